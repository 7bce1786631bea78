/*
 * runtime/exec.c: one more process in a running container.
 *
 * Between setns and execve this process can be seen by the container: it runs
 * from a sealed executable, is not dumpable, and keeps no fd of the host's.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/str.h"
#include "runtime/child.h"
#include "runtime/console.h"
#include "runtime/handover.h"
#include "runtime/pid_out.h"
#include "runtime/resource.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

struct executing {
	const struct runtime_options *options;
	const struct runtime_exec_options *exec;
	struct arena arena;
	struct state_dir dir;
	struct runtime_state state;
	struct cgroup cgroup;
	struct spec_process spec;
	struct process_setup process;
	int pidfd, socket, console, console_ours, pidfd_socket;
	int entry[CGROUP_HIERARCHY_MAX];
	size_t n_entry;
	bool in_cgroup;
	bool in_user; /* the user namespace was joined on the way */
	pid_t pid;
};

static void executing_release(struct executing *x)
{
	for (size_t i = 0; i < x->n_entry; i++)
		close(x->entry[i]);
	auto_close_(&x->pidfd);
	auto_close_(&x->socket);
	auto_close_(&x->console);
	auto_close_(&x->console_ours);
	auto_close_(&x->pidfd_socket);
	cgroup_release(&x->cgroup);
	state_dir_release(&x->dir);
	arena_release(&x->arena);
}
DEFINE_AUTO(executing, executing_release);

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

static struct strings joined(struct arena *a, struct strings have, const char *const *more)
{
	size_t n = count(more);
	const char **at = arena_array(a, have.n + n + 1, sizeof(*at));

	for (size_t i = 0; i < have.n; i++)
		at[i] = have.at[i];
	for (size_t i = 0; i < n; i++)
		at[have.n + i] = more[i];
	return (struct strings){ at, have.n + n };
}

/* --cap raises in the ambient set only what the config made inheritable, as runc does. */
static struct strings inheritable_of(struct arena *a, const struct spec_capabilities *c,
				     const char *const *more)
{
	const char **at = arena_array(a, count(more) + 1, sizeof(*at));
	size_t n = 0;

	for (size_t i = 0; more[i] != NULL; i++)
		for (size_t k = 0; k < c->inheritable.n; k++)
			if (strcmp(more[i], c->inheritable.at[k]) == 0) {
				at[n++] = more[i];
				break;
			}
	return joined(a, c->ambient, at);
}

/* "uid[:gid]", numbers only: names are for who made the process.json to resolve. */
static int parse_user(const char *text, struct spec_user *u, struct error *err)
{
	struct str rest = str_of(text), part;
	uint64_t v;
	int r;

	if (!str_split(&rest, ':', &part))
		return error_set(err, ERR_INVALID, "--user is empty");
	r = parse_u64(part, UINT32_MAX - 1, &v, err);
	if (r < 0)
		return error_wrap(err, r, "--user");
	u->uid = (uint32_t)v;
	if (rest.at == NULL)
		return 0;
	r = parse_u64(rest, UINT32_MAX - 1, &v, err);
	if (r == 0)
		u->gid = (uint32_t)v;
	return r < 0 ? error_wrap(err, r, "--user") : 0;
}

static int parse_gids(const char *text, struct arena *a, struct spec_user *u, struct error *err)
{
	struct str rest = str_of(text), part;
	size_t max = strlen(text) / 2 + 1;
	uint32_t *gids = arena_array(a, max + u->n_additional_gids, sizeof(*gids));
	size_t n = u->n_additional_gids;

	if (n > 0)
		memcpy(gids, u->additional_gids, n * sizeof(*gids));
	while (str_split(&rest, ',', &part)) {
		uint64_t v;
		int r = parse_u64(part, UINT32_MAX - 1, &v, err);

		if (r < 0)
			return error_wrap(err, r, "--additional-gids");
		gids[n++] = (uint32_t)v;
	}
	u->additional_gids = gids;
	u->n_additional_gids = n;
	return 0;
}

/* The container's own process with what the flags change. */
static int from_flags(struct executing *x, struct error *err)
{
	auto_(buf) text = BUF_INIT(RUNTIME_CONFIG_MAX);
	const struct runtime_exec_options *e = x->exec;
	struct runtime_config config;
	struct strings none = { 0 };
	int r = fs_read_at(x->dir.fd, STATE_CONFIG, &text, err);

	if (r == 0)
		r = runtime_config_parse(&x->arena, text.data, text.len, &config, err);
	if (r < 0)
		return r;
	if (config.process == NULL)
		return error_set(err, ERR_INVALID, "the container's config has no process");
	x->spec = *config.process;
	x->spec.terminal = false;
	x->spec.args = joined(&x->arena, none, e->args);
	x->spec.env = joined(&x->arena, x->spec.env, e->env);
	if (e->caps != NULL && count(e->caps) > 0) {
		struct spec_capabilities *c = arena_new(&x->arena, struct spec_capabilities);

		if (x->spec.capabilities != NULL)
			*c = *x->spec.capabilities;
		c->bounding = joined(&x->arena, c->bounding, e->caps);
		c->effective = joined(&x->arena, c->effective, e->caps);
		c->permitted = joined(&x->arena, c->permitted, e->caps);
		c->ambient = inheritable_of(&x->arena, c, e->caps);
		x->spec.capabilities = c;
	}
	if (e->user != NULL) {
		r = parse_user(e->user, &x->spec.user, err);
		if (r < 0)
			return r;
	}
	return e->additional_gids == NULL
		   ? 0
		   : parse_gids(e->additional_gids, &x->arena, &x->spec.user, err);
}

static int load_process(struct executing *x, struct error *err)
{
	const struct runtime_exec_options *e = x->exec;
	auto_(buf) text = BUF_INIT(RUNTIME_CONFIG_MAX);
	int r;

	if (e->process != NULL) {
		r = fs_read_file(e->process, &text, err);
		if (r == 0)
			r = runtime_process_parse(&x->arena, text.data ? text.data : "", text.len,
						  &x->spec, err);
	} else {
		r = from_flags(x, err);
	}
	if (r < 0)
		return r;
	if (e->cwd != NULL)
		x->spec.cwd = e->cwd;
	if (e->tty >= 0)
		x->spec.terminal = e->tty == 1;
	if (e->no_new_privs == 1)
		x->spec.no_new_privileges = true;
	if (e->apparmor != NULL)
		x->spec.apparmor_profile = e->apparmor;
	if (e->process_label != NULL)
		x->spec.selinux_label = e->process_label;
	if (x->spec.args.n == 0 || *x->spec.args.at[0] == '\0')
		return error_set(err, ERR_INVALID, "process.args: cannot be empty");
	if (x->spec.cwd == NULL || x->spec.cwd[0] != '/')
		return error_set(err, ERR_INVALID, "process.cwd: '%s' is not absolute",
				 x->spec.cwd ? x->spec.cwd : "");
	return 0;
}

static int open_target(struct executing *x, struct error *err)
{
	const struct runtime_exec_options *e = x->exec;
	enum runtime_status status;
	auto_(cgroup) cg = CGROUP_INIT;
	int r = state_open(x->options, e->id, false, &x->dir, err);

	if (r == 0)
		r = state_read(&x->dir, &x->arena, &x->state, err);
	if (r == 0)
		r = state_status(&x->dir, &x->state, &status, err);
	if (r < 0)
		return r;
	if (status == STATUS_STOPPED || status == STATUS_CREATING)
		return error_set(err, ERR_CONFLICT, "cannot exec in a stopped container");
	if (status == STATUS_PAUSED && !e->ignore_paused)
		return error_set(
		    err, ERR_CONFLICT,
		    "cannot exec in a paused container (use --ignore-paused to override)");
	r = state_pidfd(&x->state, &x->pidfd, err);
	if (r == 0)
		r = cgroup_open(x->state.cgroups, x->state.n_cgroups, &cg, err);
	if (r == 0 && !cstr_is_empty(e->cgroup)) {
		r = cgroup_open_sub(&cg, e->cgroup, &x->cgroup, err);
	} else if (r == 0) {
		x->cgroup = cg;
		cg.n = 0;
	}
	if (r == 0)
		r = cgroup_entry_fds(&x->cgroup, false, x->entry, &x->n_entry, err);
	return r;
}

static int open_console(struct executing *x, struct error *err)
{
	autoclose int pts = FD_NONE, root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose int master = FD_NONE, slave = FD_NONE;
	int r;

	if (!x->spec.terminal)
		return 0;
	if (root < 0)
		return error_sys(err, errno, "open '/'");
	r = fs_open_beneath(root, "dev/pts", O_PATH | O_DIRECTORY, 0, &pts, err);
	if (r == 0)
		r = console_open(pts, x->spec.console_size, &master, &slave, err);
	if (r == 0 && x->console_ours >= 0)
		console_plain_lines(slave);
	return r < 0 ? r : console_take(x->console, master, slave, x->spec.user.uid, err);
}

/*
 * The root of a mount namespace is not always the container's: an engine in a chroot leaves the
 * machine's own there, and a container without a mount namespace shares it. The init's root is
 * what a program in the container may see, so go there where setns led elsewhere.
 */
static int enter_root(int root, struct error *err)
{
	struct stat theirs, here;

	if (fstat(root, &theirs) < 0 || stat("/", &here) < 0)
		return error_sys(err, errno, "look at the container's root");
	if (theirs.st_dev == here.st_dev && theirs.st_ino == here.st_ino)
		return 0;
	if (fchdir(root) < 0 || chroot(".") < 0)
		return error_sys(err, errno, "enter the container's root");
	return 0;
}

/* Through our own /proc, before anything of the container's is joined. The pidfd
 * tells that the number still is the init's. */
static int open_root(const struct executing *x, int *ret, struct error *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/root", (int)x->state.pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "open the container's root");
	if (syscall(SYS_pidfd_send_signal, x->pidfd, 0, NULL, 0) < 0 && errno == ESRCH) {
		close(fd);
		return error_set(err, ERR_CONFLICT, "the container is not running");
	}
	*ret = fd;
	return 0;
}

static int enter(struct executing *x, struct error *err)
{
	/* All at once through the pidfd: no path of the container's /proc is trusted. */
	int flags = (int)(x->state.namespaces & ~(uint32_t)CLONE_NEWPID);

	autoclose int root = FD_NONE;
	int r = open_root(x, &root, err);

	if (r < 0)
		return r;
	if (x->in_user)
		flags &= ~CLONE_NEWUSER;

	for (size_t i = 0; i < x->n_entry; i++)
		if (!(x->in_cgroup && x->cgroup.at[i].version == 2) &&
		    write(x->entry[i], "0", 1) != 1)
			return error_sys(err, errno, "enter cgroup '%s'", x->cgroup.at[i].path);
	r = process_reset_affinity(&x->process, err);
	if (r < 0)
		return r;
	if (setns(x->pidfd, flags) < 0)
		return error_sys(err, errno, "join the container's namespaces");
	if (flags & CLONE_NEWUSER && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		return error_sys(err, errno, "become root of the user namespace");
	return enter_root(root, err);
}

static int keep_only(struct executing *x)
{
	int *fds[3] = { &x->socket, &x->console, &x->process.label_fd };

	return fd_keep_only(3 + x->process.preserve_fds, fds, ARRAY_LEN(fds));
}

static int become(struct executing *x, struct arena *a, struct error *err)
{
	struct handover *page = NULL;
	int r;

	process_reset_signals();
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setsid() < 0)
		return error_sys(err, errno, "start a session");
	r = process_apply_host(&x->process, err);
	if (r == 0)
		r = process_apply_affinity(&x->process, false, err);
	if (r == 0)
		r = enter(x, err);
	if (r == 0)
		r = process_apply_affinity(&x->process, true, err);
	if (r < 0)
		return r;
	if (keep_only(x) < 0)
		return error_sys(err, errno, "close what is the host's");
	r = open_console(x, err);
	if (r == 0)
		r = process_replace_null(err);
	if (r == 0)
		r = process_own_stdio(&x->process, err);
	if (r == 0)
		r = process_apply_limits(&x->process, err);
	if (r == 0)
		r = process_personality(x->state.personality, err);
	if (r == 0)
		r = memory_policy_apply(x->state.memory, err);
	if (r == 0)
		r = process_build_env(&x->process, a, err);
	if (r == 0)
		r = process_try_cwd(&x->process, err);
	if (r == 0)
		r = process_drop(&x->process, err);
	if (r == 0)
		r = process_enter_cwd(&x->process, err);
	if (r == 0)
		r = process_resolve(&x->process, a, err);
	if (r == 0)
		r = child_send(x->socket, CHILD_READY, NULL, err);
	if (r == 0 && x->process.seccomp.notify)
		r = handover_offer(x->socket, &page, err);
	return r < 0 ? r : process_exec(&x->process, handover_wait, page, err);
}

static _Noreturn void exec_child(struct executing *x)
{
	auto_(arena) a = ARENA_INIT;
	struct error err = { 0 };

	if (become(x, &a, &err) < 0 && child_send(x->socket, CHILD_FAILED, &err, NULL) < 0)
		_exit(2);
	_exit(1);
}

static int open_sockets(struct executing *x, int *ret_console, struct error *err)
{
	int pair[2];

	if (!x->spec.terminal)
		return cstr_is_empty(x->exec->console_socket)
			   ? 0
			   : error_set(err, ERR_INVALID, "a console socket without a terminal");
	if (!cstr_is_empty(x->exec->console_socket))
		return console_connect(x->exec->console_socket, "console socket", &x->console, err);
	if (ret_console == NULL)
		return error_set(
		    err, ERR_INVALID,
		    "cannot allocate tty if runc will detach without setting console socket");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "socketpair");
	x->console = pair[0];
	x->console_ours = pair[1];
	return 0;
}

/* A user of his own has rights over the PID namespace only inside of the user namespace. */
static int clone_as_user(struct executing *x, struct error *err)
{
	struct namespaces ns = {
		.join = x->state.namespaces & (CLONE_NEWUSER | CLONE_NEWPID),
		.at = { { CLONE_NEWUSER, x->pidfd }, { CLONE_NEWPID, x->pidfd } },
		.n = 2,
	};

	x->in_user = true;
	return namespaces_clone(&ns, NULL, FD_NONE, &x->in_cgroup, &x->pid, err);
}

static int clone_in(struct executing *x, struct error *err)
{
	const struct cgroup_dir *v2 = cgroup_find_v2(&x->cgroup);
	autoclose int own = FD_NONE;
	int r;

	if (geteuid() != 0 && x->state.namespaces & CLONE_NEWUSER)
		return clone_as_user(x, err);
	/* Only children enter a PID namespace. */
	if (x->state.namespaces & CLONE_NEWPID) {
		own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
		if (own < 0 || setns(x->pidfd, CLONE_NEWPID) < 0)
			return error_sys(err, errno, "join the container's PID namespace");
	}
	r = namespace_clone(0, v2 ? v2->fd : FD_NONE, false, &x->in_cgroup, &x->pid, err);
	if (own >= 0 && (r < 0 || x->pid != 0) && setns(own, CLONE_NEWPID) < 0 && r == 0)
		r = error_sys(err, errno, "return to the own PID namespace");
	return r;
}

static int fork_exec(struct executing *x, struct error *err)
{
	enum child_message_kind kind;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "socketpair");
	r = clone_in(x, err);
	if (r == 0 && x->pid == 0) {
		x->socket = pair[1];
		exec_child(x);
	}
	close(pair[1]);
	x->socket = pair[0];
	if (r < 0)
		return r;
	r = child_receive(x->socket, &kind, err);
	if (r == 0 && kind == CHILD_CLOSED)
		return error_set(err, ERR_SYSTEM, "the process died while it was set up");
	return r < 0 ? r
		     : handover_follow(x->socket, x->pid, &x->dir, &x->state, STATUS_RUNNING, err);
}

static int exec_in(struct executing *x, int *ret_console, struct error *err)
{
	int r = open_target(x, err);

	if (r == 0)
		r = load_process(x, err);
	if (r < 0)
		return r;
	x->process = (struct process_setup){ .spec = &x->spec,
					     .id = x->exec->id,
					     .is_exec = true,
					     .label_fd = FD_NONE,
					     .preserve_fds = x->exec->preserve_fds,
					     .no_new_keyring = true,
					     .user_ns = x->state.namespaces & CLONE_NEWUSER };
	r = process_check(&x->process, err);
	if (r == 0)
		r = filter_load(&x->arena, x->dir.fd, STATE_BPF, &x->process.seccomp, err);
	if (r == 0)
		r = open_sockets(x, ret_console, err);
	if (r == 0)
		r = pidfd_connect(x->exec->pidfd_socket, &x->pidfd_socket, err);
	if (r == 0)
		r = fork_exec(x, err);
	return r;
}

int runtime_exec(const struct runtime_options *o, const struct runtime_exec_options *e,
		 pid_t *ret_pid, int *ret_console, struct error *err)
{
	auto_(executing) x = { .options = o,
			       .exec = e,
			       .dir = STATE_DIR_INIT,
			       .pidfd = FD_NONE,
			       .socket = FD_NONE,
			       .console = FD_NONE,
			       .console_ours = FD_NONE,
			       .pidfd_socket = FD_NONE };
	char name[64];
	int master = FD_NONE, status, r;
	size_t len, n_fds;

	for (unsigned i = 0; i < e->preserve_fds; i++)
		if (fcntl(3 + (int)i, F_GETFD) < 0)
			return error_set(err, ERR_INVALID, "--preserve-fds: fd %u is not open",
					 3 + i);
	r = exec_in(&x, ret_console, err);
	if (r == 0 && x.console_ours >= 0)
		r = fdpass_recv(x.console_ours, name, sizeof(name), &len, &master, 1, &n_fds, err);
	if (r == 0)
		r = pidfd_send(x.pidfd_socket, x.pid, "setns", err);
	if (r == 0)
		r = pid_file_write(e->pid_file, x.pid, err);
	if (r < 0) {
		if (x.pid > 0) {
			kill(x.pid, SIGKILL);
			while (waitpid(x.pid, &status, 0) < 0 && errno == EINTR)
				continue;
		}
		auto_close_(&master);
		return r;
	}
	if (ret_pid != NULL)
		*ret_pid = x.pid;
	if (ret_console != NULL)
		*ret_console = master;
	return 0;
}
