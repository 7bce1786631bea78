/*
 * base/proc.h: start a program, wait for it.
 *
 * The child gets exactly the fds of the map and nothing else; its signal mask
 * is empty and its dispositions are default. Built on posix_spawn/vfork, so it
 * is cheap from a process with much memory and safe from threads.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct proc_fd {
	int parent; /* borrowed fd of ours; FD_NONE = /dev/null */
	int child;  /* its number in the child */
};

struct proc_spec {
	const char *path;          /* absolute, or searched in PATH when without '/' */
	const char *const *argv;   /* NULL-terminated */
	const char *const *env;    /* NULL-terminated; NULL = ours */
	const struct proc_fd *fds; /* 0,1,2 default to /dev/null when not mapped */
	size_t n_fds;
	int cwd_fd;       /* directory to start in; FD_NONE = ours (initialise it!) */
	bool new_session; /* setsid */
	int death_signal; /* PR_SET_PDEATHSIG, 0 = none */
};

struct proc {
	pid_t pid;
	int pidfd; /* owned; O_CLOEXEC */
};

/* What proc_spawn would start: path itself when it has a '/', else the first executable of that
 * name in PATH; the caller's. NULL: there is none. */
char *proc_find(const char *path);

/* ERR_NOT_FOUND when the program does not exist, ERR_SYSTEM otherwise. */
MUST_CHECK int proc_spawn(const struct proc_spec *spec, struct proc *ret, struct error *err);

/*
 * Wait for the end, at most timeout_ms (< 0: for ever), or until cancel fires.
 * *ret_status: exit code, or 128 + signal. ERR_UNAVAILABLE on time-out.
 * Closes the pidfd on success.
 */
struct cancel;
MUST_CHECK int proc_wait(struct proc *p, int timeout_ms, const struct cancel *cancel,
			 int *ret_status, struct error *err);
/* Through the pidfd: never hits a recycled pid. Gone already is not an error. */
MUST_CHECK int proc_signal(const struct proc *p, int sig, struct error *err);
void proc_close(struct proc *p); /* forget it: closes the pidfd, does not wait */

/* Run to the end, capture stdout and stderr (each at most its buf's ceiling;
 * may be NULL), give `input` on stdin. For small helpers only. */
struct buf;
MUST_CHECK int proc_run(const struct proc_spec *spec, const void *input, size_t input_len,
			struct buf *out, struct buf *err_out, int timeout_ms, int *ret_status,
			struct error *err);
