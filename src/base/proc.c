#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/str.h"

#if defined(__SANITIZE_THREAD__)
/*
 * ThreadSanitizer takes clone() for a fork, and sets its "child of a fork" state in the memory
 * that ours shares with the parent: from then on it would see no lock of the parent's. glibc's
 * other name of the same function is not intercepted.
 */
int __clone(int (*fn)(void *arg), void *stack, int flags, void *arg, ...);
#define clone __clone
#endif

enum { STACK_SIZE = 64 * 1024, FDS_MAX = 64 };

/* Shared with the child, which lives in our memory until it execs. */
struct launch {
	const struct proc_spec *spec;
	const char *path;
	char *const *env;
	struct proc_fd fds[FDS_MAX];
	size_t n_fds;
	int failed; /* errno of the child's step that failed */
	const char *step;
};

static void reset_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dfl, NULL); /* fails for KILL, STOP and libc's own */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Sources move above every target first, so that no target overwrites a
 * source; then all is marked close-on-exec, and dup2 clears it on the targets.
 */
static int place_fds(struct launch *l)
{
	int top = 2, moved[FDS_MAX];

	for (size_t i = 0; i < l->n_fds; i++)
		if (l->fds[i].child > top)
			top = l->fds[i].child;
	for (size_t i = 0; i < l->n_fds; i++) {
		int from = l->fds[i].parent;

		if (from == FD_NONE)
			from = open("/dev/null", O_RDWR | O_CLOEXEC);
		moved[i] = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, top + 1);
		if (moved[i] < 0)
			return -1;
	}
	if (syscall(SYS_close_range, 0U, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return -1;
	for (size_t i = 0; i < l->n_fds; i++)
		if (dup2(moved[i], l->fds[i].child) < 0)
			return -1;
	return 0;
}

static int child_fail(struct launch *l, const char *step)
{
	l->failed = errno;
	l->step = step;
	_exit(127);
}

static int child_main(void *arg)
{
	struct launch *l = arg;

	reset_signals();
	if (l->spec->new_session && setsid() < 0)
		return child_fail(l, "start a session for");
	if (l->spec->death_signal != 0 && prctl(PR_SET_PDEATHSIG, l->spec->death_signal) < 0)
		return child_fail(l, "set the death signal of");
	if (l->spec->cwd_fd != FD_NONE && fchdir(l->spec->cwd_fd) < 0)
		return child_fail(l, "change directory for");
	if (place_fds(l) < 0)
		return child_fail(l, "place file descriptors of");
	execve(l->path, (char *const *)(uintptr_t)l->spec->argv, l->env);
	return child_fail(l, "execute");
}

char *proc_find(const char *path)
{
	const char *env = getenv("PATH");
	struct str rest = str_of(env ? env
				     : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
				       "/sbin:/bin");
	struct str dir;

	if (strchr(path, '/') != NULL)
		return str_dup(str_of(path));
	while (str_split(&rest, ':', &dir)) {
		autofree char *full = dir.len ? cstr_format("%.*s/%s", STR_ARG(dir), path)
					      : cstr_format("./%s", path);

		if (access(full, X_OK) == 0)
			return steal_ptr(full);
	}
	return NULL;
}

static int collect_fds(const struct proc_spec *spec, struct launch *l, struct error *err)
{
	if (spec->n_fds > FDS_MAX - 3)
		return error_set(err, ERR_INVALID, "more than %d file descriptors", FDS_MAX - 3);
	if (spec->n_fds > 0)
		memcpy(l->fds, spec->fds, spec->n_fds * sizeof(*spec->fds));
	l->n_fds = spec->n_fds;
	for (int std = 0; std <= 2; std++) {
		bool mapped = false;

		for (size_t i = 0; i < spec->n_fds; i++)
			mapped |= spec->fds[i].child == std;
		if (!mapped)
			l->fds[l->n_fds++] = (struct proc_fd){ FD_NONE, std };
	}
	return 0;
}

static int report(const struct launch *l, struct error *err)
{
	int r = error_sys(err, l->failed, "%s '%s'", l->step, l->path);

	if (l->failed != ENOENT || strcmp(l->step, "execute") != 0)
		return r;
	if (err != NULL)
		err->kind = ERR_NOT_FOUND;
	return -ERR_NOT_FOUND;
}

int proc_spawn(const struct proc_spec *spec, struct proc *ret, struct error *err)
{
	autofree char *path = proc_find(spec->path);
	struct launch l = { .spec = spec, .path = path };
	sigset_t all, before;
	int pidfd = FD_NONE, r;
	char *stack;
	pid_t pid;

	if (path == NULL)
		return error_set(err, ERR_NOT_FOUND, "program '%s' not found in PATH", spec->path);
	if (fault_hit("spawn"))
		return error_sys(err, errno, "start '%s'", path);
	l.env = spec->env ? (char *const *)(uintptr_t)spec->env : environ;
	r = collect_fds(spec, &l, err);
	if (r < 0)
		return r;
	stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return error_sys(err, errno, "start '%s'", path);

	/* No handler of ours may run in the child: it shares our memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pid = clone(child_main, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
		    &l, &pidfd);
	r = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	munmap(stack, STACK_SIZE);
	if (pid < 0)
		return error_sys(err, r, "start '%s'", path);
	if (l.failed != 0) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		close(pidfd);
		return report(&l, err);
	}
	*ret = (struct proc){ pid, pidfd };
	return 0;
}

int proc_wait(struct proc *p, int timeout_ms, const struct cancel *cancel, int *ret_status,
	      struct error *err)
{
	siginfo_t info = { 0 };
	int r;

	r = cancel_poll(cancel, p->pidfd, POLLIN, timeout_ms, err);
	if (r < 0)
		return r;
	do
		r = waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return error_sys(err, errno, "wait for process %ld", (long)p->pid);
	proc_close(p);
	*ret_status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	return 0;
}

int proc_signal(const struct proc *p, int sig, struct error *err)
{
	if (syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, 0) < 0 && errno != ESRCH)
		return error_sys(err, errno, "signal process %ld", (long)p->pid);
	return 0;
}

void proc_close(struct proc *p)
{
	auto_close_(&p->pidfd);
	p->pidfd = FD_NONE;
}

/* One end of the helper's output: what its pipe says goes to the buffer. */
struct capture {
	struct buf *to;
	int fd; /* FD_NONE once closed */
};

static int capture_some(struct capture *c, struct error *err)
{
	char chunk[8192];
	ssize_t n = read(c->fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EINTR ? 0 : error_sys(err, errno, "read output");
	if (n == 0) {
		close(c->fd);
		c->fd = FD_NONE;
		return 0;
	}
	return buf_add(c->to, chunk, (size_t)n, err);
}

static int drain(struct capture c[2], int timeout_ms, struct error *err)
{
	int64_t deadline = clock_mono_ns() + timeout_ms * NS_PER_MS;
	int r = 0;

	while (r == 0 && (c[0].fd >= 0 || c[1].fd >= 0)) {
		struct pollfd p[2] = { { c[0].fd, POLLIN, 0 }, { c[1].fd, POLLIN, 0 } };
		int64_t left = timeout_ms < 0 ? -1 : (deadline - clock_mono_ns()) / NS_PER_MS;

		if (timeout_ms >= 0 && left <= 0)
			return error_set(err, ERR_UNAVAILABLE, "timed out after %d ms", timeout_ms);
		if (poll(p, 2, (int)left) < 0 && errno != EINTR)
			return error_sys(err, errno, "poll");
		for (int i = 0; i < 2 && r == 0; i++)
			if (p[i].revents != 0)
				r = capture_some(&c[i], err);
	}
	return r;
}

static int input_file(const void *input, size_t len, int *ret_fd, struct error *err)
{
	autoclose int fd = memfd_create("input", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return error_sys(err, errno, "create a memory file");
	r = fs_write_all(fd, input, len, err);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_sys(err, errno, "rewind");
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int open_captures(struct capture c[2], int ends[2], struct error *err)
{
	for (int i = 0; i < 2; i++) {
		int p[2];

		if (c[i].to == NULL)
			continue;
		if (pipe2(p, O_CLOEXEC) < 0)
			return error_sys(err, errno, "create a pipe");
		c[i].fd = p[0];
		ends[i] = p[1];
	}
	return 0;
}

/* The helper is over, or it is killed: nothing of it stays. */
static int finish(struct proc *p, struct capture c[2], int timeout_ms, int *ret_status,
		  struct error *err)
{
	int64_t start = clock_mono_ns();
	int left = timeout_ms, status, r;

	r = drain(c, timeout_ms, err);
	if (timeout_ms >= 0) {
		left -= (int)((clock_mono_ns() - start) / NS_PER_MS);
		left = left < 0 ? 0 : left;
	}
	if (r == 0)
		r = proc_wait(p, left, NULL, ret_status, err);
	if (r < 0) {
		int q = proc_signal(p, SIGKILL, NULL);

		if (q == 0)
			q = proc_wait(p, -1, NULL, &status, NULL);
		if (q < 0)
			proc_close(p);
	}
	return r;
}

int proc_run(const struct proc_spec *spec, const void *input, size_t input_len, struct buf *out,
	     struct buf *err_out, int timeout_ms, int *ret_status, struct error *err)
{
	struct capture c[2] = { { out, FD_NONE }, { err_out, FD_NONE } };
	int ends[3] = { FD_NONE, FD_NONE, FD_NONE };
	struct proc_fd fds[FDS_MAX];
	struct proc_spec mine = *spec;
	struct proc p = { 0, FD_NONE };
	int r;

	if (spec->n_fds > FDS_MAX - 6)
		return error_set(err, ERR_INVALID, "more than %d file descriptors", FDS_MAX - 6);
	if (spec->n_fds > 0)
		memcpy(fds, spec->fds, spec->n_fds * sizeof(*fds));
	r = open_captures(c, ends, err);
	if (r == 0 && input_len > 0)
		r = input_file(input, input_len, &ends[2], err);
	for (int i = 0; i < 3; i++)
		if (ends[i] != FD_NONE)
			fds[mine.n_fds++] = (struct proc_fd){ ends[i], (i + 1) % 3 };
	mine.fds = fds;
	if (r == 0)
		r = proc_spawn(&mine, &p, err);
	for (int i = 0; i < 3; i++)
		auto_close_(&ends[i]);
	if (r == 0)
		r = finish(&p, c, timeout_ms, ret_status, err);
	auto_close_(&c[0].fd);
	auto_close_(&c[1].fd);
	return r;
}
