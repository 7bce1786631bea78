/*
 * runtime/state.h: what is known of a container between two calls.
 *
 * <root>/<id>/ holds state.json (this struct), config.json (a copy: the bundle
 * may change), init.sock (exists until `start`), seccomp.bpf (what exec loads).
 * The directory itself is the lock (flock). A state is bound to its process by
 * pid and start time, so that a recycled pid is never touched.
 *
 * state.json, version 1. Spec: runtime-spec v1.2, runtime.md "State".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "cgroup/cgroup.h"
#include "oci/decode.h"
#include "runtime/mempolicy.h"
#include "runtime/runtime.h"

#define STATE_FILE   "state.json"
#define STATE_CONFIG "config.json"
#define STATE_SOCKET "init.sock"
#define STATE_BPF    "seccomp.bpf"
#define STATE_MAX    (4u << 20)

struct runtime_state {
	const char *id, *bundle, *rootfs, *oci_version;
	int64_t created_ns;
	uid_t owner;
	pid_t pid; /* 0: creating */
	uint64_t pid_start;
	uint32_t namespaces; /* CLONE_NEW* that are not the caller's */
	bool has_poststart, has_poststop;
	struct cgroup_dir cgroups[CGROUP_HIERARCHY_MAX]; /* paths; fds unused */
	size_t n_cgroups;
	const char *personality;            /* linux.personality.domain, for exec; NULL: none */
	const struct memory_policy *memory; /* NULL: the caller's */
	const char *unit;                   /* systemd's scope; NULL: the groups are ours alone */
	bool unit_rootless;                 /* the user's own manager made it */
	struct pairs annotations;
};

enum runtime_status {
	STATUS_CREATING,
	STATUS_CREATED,
	STATUS_RUNNING,
	STATUS_PAUSED,
	STATUS_STOPPED
};

/* An open state directory; the lock lives as long as the fd. */
struct state_dir {
	int fd;
};
#define STATE_DIR_INIT \
	{ \
		FD_NONE \
	}
void state_dir_release(struct state_dir *d);
DEFINE_AUTO(state_dir, state_dir_release);

/* The directory of all states; NULL in o means the default. Result in the arena. */
const char *state_root(const struct runtime_options *o, struct arena *a);
/* The root opened O_PATH; made (0711) when `create`. ERR_NOT_FOUND when absent. */
MUST_CHECK int state_root_open(const struct runtime_options *o, bool create, int *ret_fd,
			       struct error *err);
/* A name of [A-Za-z0-9_+.-] that does not start with a dot (such are ours), at most 1024 long.
 * ERR_INVALID. */
MUST_CHECK int state_check_id(const char *id, struct error *err);
/* Make and lock the directory of a new container. ERR_CONFLICT when there is one. */
MUST_CHECK int state_create(const struct runtime_options *o, const char *id, struct state_dir *ret,
			    struct error *err);
/* Open the directory, locked when asked. ERR_NOT_FOUND "container does not exist". */
MUST_CHECK int state_open(const struct runtime_options *o, const char *id, bool lock,
			  struct state_dir *ret, struct error *err);
MUST_CHECK int state_write(const struct state_dir *d, const struct runtime_state *s,
			   struct error *err);
/* ERR_NOT_FOUND when create was interrupted before the file, ERR_CORRUPT when it is cut. */
MUST_CHECK int state_read(const struct state_dir *d, struct arena *a, struct runtime_state *ret,
			  struct error *err);
/* Remove the directory with all in it. */
MUST_CHECK int state_remove(const struct runtime_options *o, const char *id, struct error *err);

/* Start time of a live process in clock ticks; ERR_NOT_FOUND when gone or a zombie. */
MUST_CHECK int process_start_time(pid_t pid, uint64_t *ret, struct error *err);
/* A pidfd of the state's process, checked against its start time. ERR_NOT_FOUND when it ended. */
MUST_CHECK int state_pidfd(const struct runtime_state *s, int *ret_fd, struct error *err);
/* What the container does now. */
MUST_CHECK int state_status(const struct state_dir *d, const struct runtime_state *s,
			    enum runtime_status *ret, struct error *err);
const char *status_name(enum runtime_status s);
/* Append the state as the specification has it (hooks get this, `state` prints it).
 * extra: also rootfs, created, owner as runc and crun print them; indented. */
MUST_CHECK int state_format(const struct runtime_state *s, enum runtime_status status, bool extra,
			    struct buf *b, struct error *err);
/* ContainerProcessState of process `pid` for a seccomp listener. metadata may be NULL.
 * Spec: runtime-spec v1.2, config-linux.md "The Container Process State". */
MUST_CHECK int seccomp_state_format(const struct runtime_state *s, pid_t pid,
				    enum runtime_status status, const char *metadata, struct buf *b,
				    struct error *err);
