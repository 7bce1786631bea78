/*
 * runtime/runtime.h: an OCI container's life, as functions.
 *
 * The verbs of `proa-runtime` are thin wrappers of these. Each call stands
 * alone: the truth is the state directory <root>/<id> (see runtime/state.h),
 * guarded by a lock. The caller must be single-threaded (children are cloned
 * and joined to namespaces) and should run from a protected executable
 * (runtime_protect_self) before it enters anything.
 *
 * Spec: runtime-spec v1.2, runtime.md "Operations" and "Lifecycle".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct buf;

/* What every verb takes; from the global flags. */
struct runtime_options {
	const char *root;    /* directory of the states; NULL: /run/proa-runtime or the user's */
	bool systemd_cgroup; /* cgroupsPath is slice:prefix:name */
	bool no_cgroup;      /* --cgroup-manager disabled */
	int rootless;        /* -1 auto, 0 no, 1 yes */
};

struct runtime_create_options {
	const char *id;
	const char *bundle;         /* NULL: the working directory */
	const char *config;         /* NULL: config.json in the bundle */
	const char *pid_file;       /* NULL: none */
	const char *console_socket; /* NULL: none */
	const char *pidfd_socket;   /* NULL: none */
	unsigned preserve_fds;      /* fds 3 .. 2+n go to the container */
	bool no_pivot;
	bool no_new_keyring;
	/* NULL, or where the master of the terminal goes (the caller's; FD_NONE without one):
	 * the way of a `run` that stays in front, instead of console_socket. */
	int *ret_console;
};

/*
 * Make the container: namespaces, mounts, cgroup and limits are in place and its init waits for
 * runtime_start. fds 0-2 of the caller become the container's unless the process has a terminal.
 *
 * ret_pid  of the init, in the caller's PID namespace; a child of the caller. May be NULL.
 *
 * On failure nothing is left: no state, no cgroup, no mount, no process. ERR_INVALID names the
 * field of config.json; ERR_CONFLICT "container with id exists"; a program that cannot be started
 * is ERR_NOT_FOUND or ERR_FORBIDDEN with the words that docker's exit codes depend on
 * (`exec: "x": executable file not found in $PATH`).
 */
MUST_CHECK int runtime_create(const struct runtime_options *o,
			      const struct runtime_create_options *c, pid_t *ret_pid,
			      struct error *err);
/* Let the init of a created container run its program; returns when execve has succeeded or
 * failed. ERR_CONFLICT unless the container is `created`; ERR_NOT_FOUND. */
MUST_CHECK int runtime_start(const struct runtime_options *o, const char *id, struct error *err);
/* Send sig to the init, or to every process of the container. ERR_CONFLICT "container not
 * running" when it has stopped. */
MUST_CHECK int runtime_kill(const struct runtime_options *o, const char *id, int sig, bool all,
			    struct error *err);
/* Remove what is left of a stopped container: cgroup, state; poststop hooks run. force: kill it
 * first, and an absent container is a success. ERR_CONFLICT when it runs. */
MUST_CHECK int runtime_delete(const struct runtime_options *o, const char *id, bool force,
			      struct error *err);

struct runtime_exec_options {
	const char *id;
	const char *process;         /* path of a process.json, or NULL: args below */
	const char *const *args;     /* NULL-terminated; base: the container's own process */
	const char *const *env;      /* NULL-terminated "K=V" added; may be NULL */
	const char *const *caps;     /* NULL-terminated, added to all sets; may be NULL */
	const char *cwd, *user;      /* NULL: the container's; user = "uid[:gid]" */
	const char *additional_gids; /* "1,2"; NULL none */
	const char *apparmor, *process_label;
	const char *pid_file, *console_socket, *pidfd_socket;
	const char *cgroup; /* sub-group; NULL: the container's own */
	unsigned preserve_fds;
	int tty;          /* -1 as the process says, 0, 1 */
	int no_new_privs; /* -1 as the process says, 1 */
	bool ignore_paused;
};
/*
 * Start one more process in a running container; returns after its execve succeeded.
 * ret_pid: the process, a child of the caller. Errors as runtime_create.
 * ret_console: master of its terminal when it has one and no console_socket was given, else
 * FD_NONE; may be NULL (then a terminal without a socket is ERR_INVALID).
 */
MUST_CHECK int runtime_exec(const struct runtime_options *o, const struct runtime_exec_options *e,
			    pid_t *ret_pid, int *ret_console, struct error *err);

/* Freeze and thaw. ERR_CONFLICT in the wrong state. */
MUST_CHECK int runtime_pause(const struct runtime_options *o, const char *id, struct error *err);
MUST_CHECK int runtime_resume(const struct runtime_options *o, const char *id, struct error *err);
/* The state as runtime-spec's JSON, appended to b. */
MUST_CHECK int runtime_state(const struct runtime_options *o, const char *id, struct buf *b,
			     struct error *err);
/* Change limits; `resources` is the text of a linux.resources object. */
MUST_CHECK int runtime_update(const struct runtime_options *o, const char *id,
			      const char *resources, size_t len, struct error *err);

/*
 * Make sure that this process does not run from a file that a container could open for writing
 * through /proc/PID/exe (CVE-2019-5736): already on a read-only mount or a sealed memfd, it
 * returns 0; otherwise it executes itself again from a sealed copy and does not return.
 * Call it first in main, single-threaded.
 */
MUST_CHECK int runtime_protect_self(char *const argv[], struct error *err);

/*
 * The whole command line: `proa-runtime [global flags] VERB ...`; returns the exit code.
 * Flags of both runc and crun. main/runtime.c adds the verbs that are not the runtime's.
 */
int runtime_main(int argc, char **argv);
/* `proa-runtime userns UID_MAP GID_MAP`: make a user namespace, send it (or why not) to the
 * socket at fd 3. */
int runtime_userns_main(int argc, char **argv);
/* PID 1 of --init: start argv, forward signals, reap, return the child's code. */
int runtime_init_main(int argc, char **argv);
