/*
 * cgroup/cgroup.h: control groups, whatever the machine has of them.
 *
 * One view over v1 (a hierarchy per controller), v2 and every mix: each
 * controller is looked for where it is, so a machine whose controllers are
 * split between both versions just works. A `struct cgroup` is a set of open
 * directories, one a hierarchy; everything below it goes through those fds and
 * never through a path again. Knows no container and no config.json.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/error.h"
#include "base/str.h"

enum cgroup_controller {
	CGROUP_CPU,
	CGROUP_CPUACCT,
	CGROUP_CPUSET,
	CGROUP_MEMORY,
	CGROUP_PIDS,
	CGROUP_IO, /* "blkio" on v1 */
	CGROUP_DEVICES,
	CGROUP_FREEZER,
	CGROUP_HUGETLB,
	CGROUP_NET_CLS,
	CGROUP_NET_PRIO,
	CGROUP_PERF_EVENT,
	CGROUP_RDMA,
	CGROUP_MISC,
	CGROUP_CONTROLLER_COUNT,
};

#define CGROUP_HIERARCHY_MAX 20
#define CGROUP_PATH_MAX      1024

/* One mounted hierarchy of this machine. */
struct cgroup_hierarchy {
	int version;                /* 1 or 2 */
	uint32_t controllers;       /* bits 1 << enum cgroup_controller; 0: named or bare v2 */
	char mount[256];            /* where it is mounted */
	char root[CGROUP_PATH_MAX]; /* which cgroup stands at the mount point, "/" mostly */
	char self[CGROUP_PATH_MAX]; /* cgroup of the calling process, seen from the mount point */
};

struct cgroup_host {
	struct cgroup_hierarchy *at; /* in an arena */
	size_t n;
};

/*
 * Read what the machine offers from the texts of /proc/self/mountinfo and
 * /proc/self/cgroup. Hierarchies mounted twice are taken once, at the first
 * mount point. Unknown controllers are kept as hierarchies without bits.
 * ERR_INVALID for lines that do not parse.
 */
MUST_CHECK int cgroup_host_parse(struct arena *a, struct str mountinfo, struct str self_cgroup,
				 struct cgroup_host *ret, struct error *err);
/* The same from /proc of the calling process; v2 controllers from cgroup.controllers. */
MUST_CHECK int cgroup_host_detect(struct arena *a, struct cgroup_host *ret, struct error *err);
/* "v1", "v2" or "hybrid", for `info` and `features`. */
const char *cgroup_host_mode(const struct cgroup_host *h);

struct cgroup_dir {
	int version;
	uint32_t controllers;
	int fd;     /* the directory; owned */
	char *path; /* absolute on the machine; owned */
};

/* One control group: a directory in each hierarchy. */
struct cgroup {
	struct cgroup_dir at[CGROUP_HIERARCHY_MAX];
	size_t n;
};

#define CGROUP_INIT \
	{ \
		.n = 0 \
	}

void cgroup_release(struct cgroup *cg);
DEFINE_AUTO(cgroup, cgroup_release);

/*
 * Make the group `path` in every hierarchy.
 *
 * path      "/a/b" counts from the mount points, "a/b" from the caller's own group;
 *           ".." is refused
 * lenient   rootless: a hierarchy that may not be written (EACCES, EPERM, EROFS) is left out
 *
 * v2: the controllers are handed down in the parents' cgroup.subtree_control;
 * v1: cpuset.cpus and .mems are copied from the parent. On failure what was made is removed.
 * ERR_CONFLICT when the last component exists and holds processes or is frozen; ERR_INVALID for
 * a bad path; ERR_SYSTEM.
 */
MUST_CHECK int cgroup_create(const struct cgroup_host *h, const char *path, bool lenient,
			     struct cgroup *ret, struct error *err);
/* The same, but the group may exist and hold processes: systemd made it for us. */
MUST_CHECK int cgroup_take(const struct cgroup_host *h, const char *path, bool lenient,
			   struct cgroup *ret, struct error *err);
/* Where cgroup_create would make `path`: version, controllers and path (in the arena) of each
 * hierarchy; fds are FD_NONE. For a record that is written before the groups are. */
MUST_CHECK int cgroup_plan(const struct cgroup_host *h, const char *path, struct arena *a,
			   struct cgroup_dir ret[static CGROUP_HIERARCHY_MAX], size_t *ret_n,
			   struct error *err);
/*
 * Open groups that exist, by absolute paths as cgroup_dir.path gave them.
 * Directories that are gone are left out (a group of n == 0 is a success).
 */
MUST_CHECK int cgroup_open(const struct cgroup_dir *dirs, size_t n, struct cgroup *ret,
			   struct error *err);
/* Open the groups of a running process. */
MUST_CHECK int cgroup_open_pid(const struct cgroup_host *h, pid_t pid, struct cgroup *ret,
			       struct error *err);
/* A group below cg ("" = cg itself); it must exist. ERR_NOT_FOUND, ERR_INVALID for "..". */
MUST_CHECK int cgroup_open_sub(const struct cgroup *cg, const char *path, struct cgroup *ret,
			       struct error *err);

/* Directory that holds `c`, or NULL. version may be NULL. */
const struct cgroup_dir *cgroup_find(const struct cgroup *cg, enum cgroup_controller c);
/* The v2 directory, or NULL. */
const struct cgroup_dir *cgroup_find_v2(const struct cgroup *cg);

/*
 * The fds by which a single-threaded process moves itself: writing "0" to each
 * (v1 "tasks", v2 "cgroup.procs") from inside does not take the kernel's global
 * thread-group lock, which a write of somebody else's pid does. The fds are the
 * caller's, O_CLOEXEC. skip_v2: the child is cloned into it.
 */
MUST_CHECK int cgroup_entry_fds(const struct cgroup *cg, bool skip_v2,
				int ret_fds[static CGROUP_HIERARCHY_MAX], size_t *ret_n,
				struct error *err);
/* Move process `pid` into cg. */
MUST_CHECK int cgroup_add(const struct cgroup *cg, pid_t pid, struct error *err);

/* Not set: the kernel's value stays. */
#define CGROUP_UNSET INT64_MIN

struct cgroup_device_rule {
	bool allow;
	char type;            /* 'a', 'b', 'c' */
	int64_t major, minor; /* -1 = all */
	const char *access;   /* subset of "rwm" */
};
struct cgroup_device_value {
	int64_t major, minor;
	int64_t value;
	int64_t leaf_value; /* weights only; CGROUP_UNSET */
};
struct cgroup_name_value {
	const char *name;
	int64_t value;
};
struct cgroup_name_text {
	const char *name;
	const char *text;
};

/* What may be asked of a group; values as in config.json's linux.resources. All arrays borrowed. */
struct cgroup_limits {
	int64_t cpu_shares, cpu_quota_us, cpu_period_us, cpu_burst_us, cpu_rt_runtime_us,
	    cpu_rt_period_us, cpu_idle;
	const char *cpuset_cpus, *cpuset_mems;                 /* NULL or "" = unset */
	int64_t memory_limit, memory_reservation, memory_swap; /* bytes, -1 = unlimited */
	int64_t memory_kernel, memory_kernel_tcp, memory_swappiness;
	int64_t memory_oom_kill_disable; /* 0, 1 */
	bool memory_check_before_update; /* refuse a limit below the usage */
	int64_t pids_limit;              /* <= 0 = unlimited */
	int64_t io_weight, io_leaf_weight;
	const struct cgroup_device_value *io_weight_device, *io_read_bps, *io_write_bps,
	    *io_read_iops, *io_write_iops;
	size_t n_io_weight_device, n_io_read_bps, n_io_write_bps, n_io_read_iops, n_io_write_iops;
	const struct cgroup_name_value *hugepages; /* name = "2MB" */
	size_t n_hugepages;
	int64_t net_class_id;
	const struct cgroup_name_value *net_priorities; /* name = interface */
	size_t n_net_priorities;
	const struct cgroup_name_text *rdma; /* name = device, text = "hca_handle=2 hca_object=3" */
	size_t n_rdma;
	const struct cgroup_name_text *unified; /* name = file of v2 */
	size_t n_unified;
	const struct cgroup_device_rule *devices; /* applied in order, first deny-all as given */
	size_t n_devices;
	bool set_devices; /* false: leave the device list alone (update) */
};

/* All unset. */
void cgroup_limits_init(struct cgroup_limits *l);
/*
 * Write the limits. A limit whose controller the machine lacks is ERR_UNIMPLEMENTED with the
 * name of the limit; a value that the kernel refuses is ERR_INVALID with file and value.
 * A second call with other values is an update: memory and swap are written in the order that
 * the kernel accepts.
 */
MUST_CHECK int cgroup_limit(const struct cgroup *cg, const struct cgroup_limits *l,
			    struct error *err);
/*
 * BPF program (struct bpf_insn[], *ret_n of them, in the arena) that decides as v1's device
 * list would. Public for its test.
 */
struct bpf_insn;
MUST_CHECK int cgroup_device_program(struct arena *a, const struct cgroup_device_rule *rules,
				     size_t n, struct bpf_insn **ret, size_t *ret_n,
				     struct error *err);

/* Freeze or thaw and wait until it is so (at most 10 s: ERR_UNAVAILABLE). */
MUST_CHECK int cgroup_freeze(const struct cgroup *cg, bool frozen, struct error *err);
MUST_CHECK int cgroup_frozen(const struct cgroup *cg, bool *ret, struct error *err);
/* Every process in the group and below; pids as the caller's PID namespace sees them. */
MUST_CHECK int cgroup_pids(const struct cgroup *cg, struct arena *a, pid_t **ret, size_t *ret_n,
			   struct error *err);
/* Send sig to every process of the group and below. SIGKILL does not miss a forking one. */
MUST_CHECK int cgroup_kill(const struct cgroup *cg, int sig, struct error *err);
/* Remove the group and those that the container made below it; waits up to 10 s for dying
 * processes. Gone already is a success. */
MUST_CHECK int cgroup_remove(const struct cgroup *cg, struct error *err);

struct cgroup_io_entry {
	uint64_t major, minor;
	const char *op; /* "Read" "Write" "Sync" "Async" "Discard" "Total" */
	uint64_t value;
};
struct cgroup_counter {
	const char *name;
	uint64_t value;
};
struct cgroup_hugetlb_stats {
	const char *size;
	uint64_t usage, max_usage, failcnt;
};
/* A snapshot of the numbers. Arrays live in the arena given; what the machine lacks is 0. */
struct cgroup_stats {
	int memory_version; /* 1 or 2: which names `memory_stat` uses; 0 none */
	uint64_t cpu_usage_ns, cpu_user_ns, cpu_system_ns;
	uint64_t *cpu_percpu_ns; /* v1 only */
	size_t n_cpu_percpu;
	uint64_t cpu_periods, cpu_throttled_periods, cpu_throttled_ns;
	uint64_t memory_usage, memory_max_usage, memory_limit, memory_failcnt;
	uint64_t swap_usage, swap_max_usage, swap_limit, swap_failcnt;
	uint64_t kernel_usage, kernel_limit;
	struct cgroup_counter *memory_stat; /* memory.stat as the kernel gives it */
	size_t n_memory_stat;
	uint64_t pids_current, pids_limit; /* limit 0 = unlimited */
	struct cgroup_io_entry *io_bytes, *io_ops;
	size_t n_io_bytes, n_io_ops;
	struct cgroup_hugetlb_stats *hugetlb;
	size_t n_hugetlb;
	uint64_t oom_kills;
};
MUST_CHECK int cgroup_stats_read(const struct cgroup *cg, struct arena *a, struct cgroup_stats *ret,
				 struct error *err);

/*
 * An fd that becomes readable (v1 eventfd, v2 inotify) when something ran out of memory in the
 * group; read it empty, then ask cgroup_oom_kills. The caller owns it. ERR_UNIMPLEMENTED
 * without a memory controller.
 */
MUST_CHECK int cgroup_oom_watch(const struct cgroup *cg, int *ret_fd, struct error *err);
/* How many processes of the group the kernel has killed for memory, since it was made. */
MUST_CHECK int cgroup_oom_kills(const struct cgroup *cg, uint64_t *ret, struct error *err);

/*
 * A list of cpus or nodes, "0-2,5", as bits, the lowest first; *ret_used: bytes up to the last one
 * that is set. ERR_INVALID for what does not parse, runs backwards or does not fit, and for none.
 */
MUST_CHECK int cgroup_cpu_list(const char *list, uint8_t *bits, size_t n_bytes, size_t *ret_used,
			       struct error *err);

/* ---- systemd, where it owns the tree ---- */

/* A property for systemd as an annotation "org.systemd.property.<name>" has it. */
struct cgroup_unit_property {
	const char *name, *value; /* value: GVariant text: "true", "'x'", "uint64 5", "-1" */
};
/* A transient scope. */
struct cgroup_unit {
	const char *slice; /* "system.slice" */
	const char *name;  /* "docker-abc.scope" */
	const char *path;  /* "/system.slice/docker-abc.scope", in every hierarchy */
	bool rootless;     /* the user's own manager makes it */
	/* The caller's; more for systemd. */
	const struct cgroup_unit_property *properties;
	size_t n_properties;
};

/*
 * Read cgroupsPath "slice:prefix:name"; NULL or "" is ":proa:<id>". An empty slice is system.slice
 * (user.slice when rootless). All in the arena. ERR_INVALID with the value for another form, for a
 * slice that is none and for characters that a unit's name cannot have.
 */
MUST_CHECK int cgroup_unit_parse(struct arena *a, const char *path, const char *id, bool rootless,
				 struct cgroup_unit *ret, struct error *err);
/*
 * Have systemd make the scope around process `pid` and wait until it stands; when the user's own
 * manager does it, u->path gets that manager's group in front. The limits are told to systemd too,
 * which would else put its own in their place at its next reload; write them with cgroup_limit
 * all the same, systemd does not know all.
 *
 * ERR_UNAVAILABLE when no systemd can be reached, ERR_CONFLICT when the unit exists.
 */
MUST_CHECK int cgroup_unit_start(struct cgroup_unit *u, pid_t pid, const struct cgroup_host *h,
				 const struct cgroup_limits *l, struct arena *a, struct error *err);
/* Tell systemd changed limits. */
MUST_CHECK int cgroup_unit_update(const char *name, bool rootless, const struct cgroup_host *h,
				  const struct cgroup_limits *l, struct error *err);
/* Stop and forget the unit; gone already is a success. */
MUST_CHECK int cgroup_unit_stop(const char *name, bool rootless, struct error *err);
