/*
 * runtime/process.h: what a process of a container is given before execve:
 * limits, identity, capabilities, labels, terminal, working directory.
 *
 * The order of calls is that of docs/runtime-order.md; each step is one
 * function. All of them act on the calling process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "oci/runtime_config.h"
#include "runtime/capability.h"
#include "runtime/filter.h"

struct process_setup {
	const struct spec_process *spec;
	struct capability_sets caps; /* from process_check */
	struct seccomp_program seccomp;
	bool user_ns;
	bool no_new_keyring;
	bool is_exec;          /* not the container's first process */
	bool keep_groups;      /* annotation run.oci.keep_original_groups, podman's keep-groups */
	const char *id;        /* names the session keyring */
	unsigned preserve_fds; /* with those of LISTEN_FDS */
	unsigned listen_fds;   /* of a socket activation: the container is told of so many */
	int label_fd;          /* /proc/self/attr/... to be written before execve, or FD_NONE */
	char *const *env;      /* for execve; with HOME */
	const char *path;      /* for execve, found by process_resolve */
	uint64_t held;         /* what may still be permitted while init waits */
	bool in_cwd;           /* process_enter_cwd has succeeded */
};

/* Refuse what this kernel cannot give (labels), parse capabilities. Before anything is made. */
MUST_CHECK int process_check(struct process_setup *p, struct error *err);
/* oomScoreAdj of a process, from outside; pid 0: our own. ERR_SYSTEM. */
MUST_CHECK int process_set_oom(pid_t pid, const struct spec_process *s, struct error *err);
/* While the host's /proc is at /proc: oom_score_adj; opens label_fd. */
MUST_CHECK int process_apply_host(struct process_setup *p, struct error *err);
/* process.execCPUAffinity: before the process enters the container's cgroup, or after. */
MUST_CHECK int process_apply_affinity(const struct process_setup *p, bool final, struct error *err);
/*
 * All CPUs of the container's cgroup, whatever the caller was bound to; in exec only when
 * execCPUAffinity says nothing. In the cgroup. Peer: runc 1.3.
 */
MUST_CHECK int process_reset_affinity(const struct process_setup *p, struct error *err);
/* rlimits, scheduler, ioPriority, personality, session keyring: still with all rights. */
MUST_CHECK int process_apply_limits(struct process_setup *p, struct error *err);
/* linux.personality; NULL: as it is. */
MUST_CHECK int process_personality(const char *domain, struct error *err);
/* Nothing blocked, nothing ignored: what the caller did with signals is not the container's. */
void process_reset_signals(void);
/*
 * Where 0, 1 or 2 is the host's /dev/null, put the container's there: through
 * ours a root without a user namespace could change the host's node. After the
 * root was entered.
 */
MUST_CHECK int process_replace_null(struct error *err);
/*
 * Pipes and files that are 0, 1 and 2 become the user's: it may open /dev/stdout again.
 * Peer: runc's fixStdioPermissions, crun the same.
 */
MUST_CHECK int process_own_stdio(const struct process_setup *p, struct error *err);
/* Environment for execve in the arena: the spec's, HOME from /etc/passwd of the container when
 * it lacks one. The root must have been entered. */
MUST_CHECK int process_build_env(struct process_setup *p, struct arena *a, struct error *err);
/* Groups, gid, uid, bounding set, no_new_privs; keeps CAP_SYS_ADMIN permitted for the filter. */
MUST_CHECK int process_drop(struct process_setup *p, struct error *err);
/* Make the working directory below `root` when it is absent; before the root is read-only. */
MUST_CHECK int process_make_cwd(const struct process_setup *p, int root, struct error *err);
/*
 * chdir to the working directory, never through a magic link; refuses one that is outside of the
 * root. Before process_drop: as root, and "permission denied" is no error yet; after it: as the
 * user, if need be. Peer: runc's finalizeNamespace, so that a user starts in a directory of root's.
 */
MUST_CHECK int process_try_cwd(struct process_setup *p, struct error *err);
MUST_CHECK int process_enter_cwd(struct process_setup *p, struct error *err);
/* Find args[0] as execvp would; the errors have the peers' words. Call as the user, in the cwd. */
MUST_CHECK int process_resolve(struct process_setup *p, struct arena *a, struct error *err);
/* seccomp and last capabilities alone, for a helper of the container's. A filter with a listener
 * is left out: nobody would answer it yet. */
MUST_CHECK int process_confine(struct process_setup *p, struct error *err);
/* seccomp, last capabilities, execve. Returns only on failure. listener as filter_install. */
MUST_CHECK int process_exec(struct process_setup *p, int (*notify)(void *ctx, int listener),
			    void *ctx, struct error *err);

/* 0 for RLIMIT names known to libc; ERR_INVALID. */
MUST_CHECK int rlimit_parse(const char *name, int *ret, struct error *err);
