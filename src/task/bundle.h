/*
 * task/bundle.h: from "what should run" to the bytes of an OCI config.json.
 *
 * Fills in what Docker fixes for every container: default capabilities, the
 * default seccomp profile (resolved for the capabilities that are granted),
 * masked and read-only paths, default mounts, devices and device rules.
 * A pure function: touches no file. Used by engine (containers) and build (RUN).
 *
 * Spec: runtime-spec 1.2, config.md and config-linux.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/idmap.h"
#include "base/json.h"

/* All string lists are NULL-terminated; a NULL list is an empty one. */

enum bundle_ns {
	BUNDLE_NS_NEW = 0, /* a fresh one */
	BUNDLE_NS_HOST,    /* the engine's own */
	BUNDLE_NS_PATH,    /* join the one at *_ns_path */
};

struct bundle_mount {
	const char *destination; /* absolute, in the container */
	const char *type;        /* "bind", "tmpfs", "proc", ... */
	const char *source;
	const char *const *options;
	/* of an id-mapped bind: `container` is the id in the file system. None with the option
	 * "idmap": the container's own. */
	const struct id_map *uid_maps, *gid_maps;
	size_t n_uid_maps, n_gid_maps;
};

struct bundle_device {
	const char *path; /* in the container */
	char type;        /* 'c', 'b' or 'p' */
	int64_t major, minor;
	uint32_t mode; /* permission bits */
	uid_t uid;
	gid_t gid;
};

struct bundle_device_rule {
	bool allow;
	char type;            /* 'a', 'b', 'c' */
	int64_t major, minor; /* -1 = all */
	const char *access;   /* of "rwm" */
};

struct bundle_rlimit {
	const char *type; /* "RLIMIT_NOFILE" */
	uint64_t hard, soft;
};

struct bundle_pair {
	const char *key, *value;
};

struct bundle_throttle {
	int64_t major, minor;
	uint64_t rate; /* bytes or operations a second; weight for weight devices */
};

/* cgroup limits; 0 (or NULL) is "not set", as in Docker's Resources. */
struct bundle_resources {
	int64_t memory_bytes, memory_reservation_bytes,
	    memory_swap_bytes; /* swap: total; -1 none */
	bool has_swappiness;
	int64_t swappiness;
	bool oom_kill_disable;
	uint64_t cpu_shares, cpu_period_us, cpu_rt_period_us;
	int64_t cpu_quota_us, cpu_rt_runtime_us;
	const char *cpuset_cpus, *cpuset_mems;
	int64_t pids_limit; /* 0 = not set, -1 = no limit */
	uint16_t blkio_weight;
	const struct bundle_throttle *weight_devices, *read_bps, *write_bps, *read_iops,
	    *write_iops;
	size_t n_weight_devices, n_read_bps, n_write_bps, n_read_iops, n_write_iops;
};

struct bundle {
	const char *const *args; /* at least one */
	const char *const *env;
	const char *cwd; /* absolute */
	bool tty;
	uint16_t rows, cols; /* 0 = not set */
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary */
	size_t n_groups;

	const char *rootfs; /* path the runtime sees; "rootfs" for tasks of task/task.h */
	bool rootfs_readonly;
	const char *rootfs_propagation;    /* NULL = not set */
	const char *hostname, *domainname; /* NULL = not set */

	bool privileged; /* all capabilities, no seccomp, no masks, all devices */
	const char *const *cap_add, *const *cap_drop; /* "NET_ADMIN", "CAP_NET_ADMIN", "ALL" */
	bool no_new_privileges;
	bool seccomp_unconfined;
	const struct json *seccomp_profile; /* NULL = the default; Docker's profile format */
	const char *apparmor_profile, *selinux_label, *selinux_mount_label; /* NULL = none */
	const char *const *masked_paths, *const *readonly_paths; /* NULL = Docker's lists */

	const struct bundle_mount
	    *mounts; /* after the default ones, which they override by destination */
	size_t n_mounts;
	int64_t shm_bytes; /* 0 = 64 MiB */
	bool no_shm;       /* /dev/shm comes from `mounts` */
	bool no_mqueue;
	const struct bundle_device *devices; /* beyond the default ones */
	size_t n_devices;
	const struct bundle_device_rule *device_rules;
	size_t n_device_rules;

	enum bundle_ns net_ns, pid_ns, ipc_ns, uts_ns, cgroup_ns, user_ns;
	const char *net_ns_path, *pid_ns_path, *ipc_ns_path, *uts_ns_path;
	const struct id_map *uid_maps, *gid_maps; /* with user_ns NEW */
	size_t n_uid_maps, n_gid_maps;

	const struct bundle_pair *sysctls, *annotations;
	size_t n_sysctls, n_annotations;
	const struct bundle_rlimit *rlimits;
	size_t n_rlimits;
	int oom_score_adj;
	const char *cgroups_path; /* "/docker/<id>" style, or NULL */
	struct bundle_resources resources;
};

/* Append the config.json of `b` to out. ERR_INVALID names what is wrong
 * (unknown capability: `Unknown capability to add: "X"`, bad profile). */
MUST_CHECK int bundle_write(const struct bundle *b, struct buf *out, struct error *err);
/* The process object alone, for an exec. Same defaults, same errors. */
MUST_CHECK int bundle_write_process(const struct bundle *b, struct buf *out, struct error *err);

/* Docker 28's lists, NULL-terminated, static. */
const char *const *bundle_default_masked_paths(void);
const char *const *bundle_default_readonly_paths(void);
const char *const *bundle_default_capabilities(void);
