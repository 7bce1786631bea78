/*
 * oci/runtime_config.h: the config.json of a bundle.
 *
 * Spec: runtime-spec v1.2, config.md and config-linux.md. A decoded document
 * lives in an arena; everything below is borrowed from it. Absent strings are
 * NULL, absent lists have n == 0. Words (namespace types, seccomp actions,
 * propagation, scheduler policies) are checked against the specification's
 * lists at decoding and stay text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "oci/decode.h"

#define RUNTIME_CONFIG_MAX (4UL * 1024 * 1024) /* bytes of text */

struct spec_id_mapping {
	uint32_t container_id, host_id, size;
};

struct spec_rlimit {
	const char *type; /* "RLIMIT_NOFILE" */
	uint64_t soft, hard;
};

struct spec_capabilities { /* "CAP_CHOWN" ... */
	struct strings bounding, permitted, effective, inheritable, ambient;
};

struct spec_scheduler {
	const char *policy; /* "SCHED_OTHER" ... */
	int64_t nice, priority;
	struct strings flags;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

struct spec_io_priority {
	const char *class; /* "IOPRIO_CLASS_BE" ... */
	int64_t priority;
};

struct spec_user {
	uint32_t uid, gid;
	struct opt_uint umask;
	const uint32_t *additional_gids;
	size_t n_additional_gids;
	const char *username; /* Windows only; kept */
};

struct spec_console_size {
	uint64_t height, width;
};

struct spec_cpu_affinity {
	const char *initial, *final; /* cpu lists */
};

struct spec_process {
	bool terminal;
	struct spec_console_size *console_size; /* NULL when absent */
	struct spec_user user;
	struct strings args, env; /* args.at may be given to execve */
	const char *cwd;
	struct spec_capabilities *capabilities; /* NULL when absent: no capabilities change */
	const struct spec_rlimit *rlimits;
	size_t n_rlimits;
	bool no_new_privileges;
	const char *apparmor_profile, *selinux_label;
	struct opt_int oom_score_adj;
	struct spec_scheduler *scheduler;            /* NULL when absent */
	struct spec_io_priority *io_priority;        /* NULL when absent */
	struct spec_cpu_affinity *exec_cpu_affinity; /* NULL when absent */
};

struct spec_root {
	const char *path;
	bool readonly;
};

struct spec_mount {
	const char *destination;
	const char *type, *source; /* may be NULL */
	struct strings options;
	const struct spec_id_mapping *uid_mappings, *gid_mappings;
	size_t n_uid_mappings, n_gid_mappings;
};

struct spec_hook {
	const char *path; /* absolute */
	struct strings args, env;
	struct opt_int timeout_s;
};

struct spec_hooks {
	const struct spec_hook *prestart, *create_runtime, *create_container, *start_container,
	    *poststart, *poststop;
	size_t n_prestart, n_create_runtime, n_create_container, n_start_container, n_poststart,
	    n_poststop;
};

struct spec_namespace {
	const char *type; /* mount pid network uts ipc user cgroup time */
	const char *path; /* NULL or "": a new one */
};

struct spec_device {
	const char *path, *type; /* type: c b u p */
	int64_t major, minor;
	struct opt_uint file_mode; /* may hold type bits: mask with 07777 */
	struct opt_uint uid, gid;
};

struct spec_device_rule {
	bool allow;
	const char *type;            /* a b c, or NULL = a */
	struct opt_int major, minor; /* not set, or -1: all */
	const char *access;          /* of "rwm"; NULL = all */
};

struct spec_memory {
	struct opt_int limit, reservation, swap, kernel, kernel_tcp;
	struct opt_uint swappiness;
	bool disable_oom_killer;
	struct opt_bool use_hierarchy, check_before_update;
};

struct spec_cpu {
	struct opt_uint shares, period, burst, realtime_period;
	struct opt_int quota, realtime_runtime, idle;
	const char *cpus, *mems;
};

struct spec_weight_device {
	int64_t major, minor;
	struct opt_uint weight, leaf_weight;
};

struct spec_throttle {
	int64_t major, minor;
	uint64_t rate;
};

struct spec_block_io {
	struct opt_uint weight, leaf_weight;
	const struct spec_weight_device *weight_devices;
	const struct spec_throttle *read_bps, *write_bps, *read_iops, *write_iops;
	size_t n_weight_devices, n_read_bps, n_write_bps, n_read_iops, n_write_iops;
};

struct spec_hugepage_limit {
	const char *page_size; /* "2MB" */
	uint64_t limit;
};

struct spec_net_priority {
	const char *name;
	uint32_t priority;
};

struct spec_network {
	struct opt_uint class_id;
	const struct spec_net_priority *priorities;
	size_t n_priorities;
};

struct spec_rdma {
	const char *name; /* of the device */
	struct opt_uint hca_handles, hca_objects;
};

struct spec_pids {
	struct opt_int limit;
};

struct spec_resources {
	const struct spec_device_rule *devices; /* in order */
	size_t n_devices;
	struct spec_memory *memory; /* each NULL when absent */
	struct spec_cpu *cpu;
	struct spec_pids *pids;
	struct spec_block_io *block_io;
	struct spec_network *network;
	const struct spec_hugepage_limit *hugepage_limits;
	size_t n_hugepage_limits;
	const struct spec_rdma *rdma;
	size_t n_rdma;
	struct pairs unified; /* file of cgroup v2 -> value */
};

struct spec_seccomp_arg {
	uint32_t index;
	uint64_t value, value_two;
	const char *op; /* "SCMP_CMP_EQ" ... */
};

struct spec_seccomp_rule {
	struct strings names;
	const char *action;
	struct opt_uint errno_ret;
	const struct spec_seccomp_arg *args;
	size_t n_args;
};

struct spec_seccomp {
	const char *default_action;
	struct opt_uint default_errno_ret;
	struct strings architectures, flags;
	const char *listener_path, *listener_metadata;
	const struct spec_seccomp_rule *syscalls;
	size_t n_syscalls;
};

struct spec_personality {
	const char *domain; /* LINUX or LINUX32 */
	struct strings flags;
};

struct spec_time_offset {
	int64_t secs;
	uint32_t nanosecs;
};

struct spec_time_offsets {
	struct spec_time_offset *boottime, *monotonic; /* NULL when absent */
};

struct spec_net_device {
	const char *host_name; /* on the host */
	const char *name;      /* in the container; NULL = the same */
};

struct spec_memory_policy {
	const char *mode; /* "MPOL_BIND" ... */
	const char *nodes;
	struct strings flags;
};

struct spec_linux {
	const struct spec_namespace *namespaces;
	size_t n_namespaces;
	const struct spec_id_mapping *uid_mappings, *gid_mappings;
	size_t n_uid_mappings, n_gid_mappings;
	const struct spec_device *devices;
	size_t n_devices;
	const struct spec_net_device *net_devices;
	size_t n_net_devices;
	const char *cgroups_path;
	struct spec_resources *resources; /* NULL when absent */
	const char *rootfs_propagation;   /* private shared slave unbindable (or r-forms); NULL */
	struct spec_seccomp *seccomp;     /* NULL when absent */
	struct pairs sysctl;
	struct strings masked_paths, readonly_paths;
	const char *mount_label;
	struct spec_personality *personality;
	struct spec_time_offsets *time_offsets;
	struct spec_memory_policy *memory_policy;
	const struct json *intel_rdt; /* runtime_config_validate refuses it */
};

struct runtime_config {
	const char *oci_version;
	struct spec_root *root;       /* NULL when absent */
	struct spec_process *process; /* NULL when absent */
	const char *hostname, *domainname;
	const struct spec_mount *mounts;
	size_t n_mounts;
	struct spec_hooks hooks;
	struct pairs annotations;
	struct spec_linux linux_;    /* all empty when absent; "linux" is a macro of gnu17 */
	const struct json *document; /* the whole, for keys that are not here */
};

/*
 * Decode a config.json.
 *
 * a     owns everything in *ret
 * text  len bytes, not NUL-terminated; more than RUNTIME_CONFIG_MAX is refused
 *
 * ERR_INVALID for text that is no JSON, or a member of a wrong type, range or
 * word; the message starts with the member's path ("process.user.uid: ...").
 */
MUST_CHECK int runtime_config_parse(struct arena *a, const char *text, size_t len,
				    struct runtime_config *ret, struct error *err);

/*
 * What a container needs beyond well-typed members: version 1.x, a root, a
 * process with arguments and an absolute working directory, absolute hook
 * paths, no namespace or rlimit twice, id mappings only with a user namespace
 * and without overlap, soft <= hard.
 *
 * ERR_INVALID; ERR_UNIMPLEMENTED for what proa does not do (intelRdt).
 */
MUST_CHECK int runtime_config_validate(const struct runtime_config *c, struct error *err);

/* A process.json (for exec) and a bare linux.resources object (for update). */
MUST_CHECK int runtime_process_parse(struct arena *a, const char *text, size_t len,
				     struct spec_process *ret, struct error *err);
MUST_CHECK int runtime_resources_parse(struct arena *a, const char *text, size_t len,
				       struct spec_resources *ret, struct error *err);

/* The entry of that type, or NULL. */
const struct spec_namespace *runtime_config_namespace(const struct runtime_config *c,
						      const char *type);
/* The annotation's value, or NULL. */
const char *runtime_config_annotation(const struct runtime_config *c, const char *key);
