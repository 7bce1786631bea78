#include "runtime/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "runtime/console.h"
#include "runtime/handover.h"
#include "runtime/hook.h"

int child_send(int socket, enum child_message_kind kind, const struct error *e, struct error *err)
{
	struct child_message m = { .kind = kind };
	size_t len = offsetof(struct child_message, err);

	if (e != NULL) {
		m.err = *e;
		len = sizeof(m);
	}
	if (send(socket, &m, len, MSG_NOSIGNAL) != (ssize_t)len)
		return error_sys(err, errno, "talk to the other half");
	return 0;
}

int child_error(struct child_message *m, size_t len, struct error *err)
{
	if (m->kind != CHILD_FAILED || len != sizeof(*m))
		return error_set(err, ERR_SYSTEM, "message %u from init", m->kind);
	m->err.msg[sizeof(m->err.msg) - 1] = '\0';
	if (err != NULL)
		*err = m->err;
	return m->err.kind > ERR_NONE && m->err.kind < ERR_KIND_COUNT ? -(int)m->err.kind
								      : -ERR_SYSTEM;
}

int child_receive(int socket, enum child_message_kind *ret, struct error *err)
{
	struct child_message m;
	bool reset = false;
	ssize_t n;

	for (;;) {
		n = recv(socket, &m, sizeof(m), 0);
		if (n >= 0 || (errno != EINTR && (errno != ECONNRESET || reset)))
			break;
		/* Who ended without having read all that he was sent leaves this error, once and
		 * first: what he had said before is there behind it. */
		reset = errno == ECONNRESET;
	}
	if (n < 0)
		return error_sys(err, errno, "talk to the container's init");
	if (n == 0) {
		*ret = CHILD_CLOSED;
		return 0;
	}
	if (m.kind == CHILD_FAILED)
		return child_error(&m, (size_t)n, err);
	*ret = m.kind;
	return 0;
}

static int expect(struct child *c, enum child_message_kind want, struct error *err)
{
	enum child_message_kind answer;
	int r = child_receive(c->socket, &answer, err);

	if (r == 0 && answer != want)
		r = error_set(err, ERR_SYSTEM, "the parent gave up");
	return r;
}

static int wait_recorded(struct child *c, struct error *err)
{
	int r = c->recorded ? 0 : expect(c, CHILD_RECORDED, err);

	c->recorded = r == 0;
	return r;
}

static int ask_parent(struct child *c, enum child_message_kind kind, struct error *err)
{
	int r = wait_recorded(c, err);

	if (r == 0)
		r = child_send(c->socket, kind, NULL, err);
	return r < 0 ? r : expect(c, CHILD_GO, err);
}

/* A parent that dies takes the child with it for as long as nobody else could find the child. */
static int outlive_parent(struct child *c, struct error *err)
{
	int r = wait_recorded(c, err);

	if (r == 0 && prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) < 0)
		r = error_sys(err, errno, "live without the parent");
	return r;
}

static int become_root(struct child *c, struct error *err)
{
	int r;

	if (c->needs_map) {
		r = ask_parent(c, CHILD_MAP, err);
		if (r < 0)
			return r;
		if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
			return error_sys(err, errno, "become root of the user namespace");
		/* The change of ids forgot it. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
			return error_sys(err, errno, "ask for the parent's death");
	}
	return 0;
}

static int enter_cgroups(struct child *c, struct error *err)
{
	for (size_t i = 0; i < c->n_entry; i++)
		if (!(c->in_cgroup && c->rootfs.cgroup->at[i].version == 2) &&
		    write(c->entry[i], "0", 1) != 1)
			return error_sys(err, errno, "enter cgroup '%s'",
					 c->rootfs.cgroup->at[i].path);
	/* Its root is where we stand now, so it comes after. */
	if (c->ns->create & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0)
		return error_sys(err, errno, "make a cgroup namespace");
	return 0;
}

static int loopback_up(struct error *err)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		return error_sys(err, errno, "bring the loopback interface up");
	return 0;
}

static int set_names(struct child *c, struct error *err)
{
	const char *host = c->config->hostname, *domain = c->config->domainname;
	bool own = (c->ns->create | c->ns->join) & CLONE_NEWUTS;

	if (!own && (!cstr_is_empty(host) || !cstr_is_empty(domain)))
		return error_set(err, ERR_INVALID, "hostname: needs a uts namespace");
	if (!cstr_is_empty(host) && sethostname(host, strlen(host)) < 0)
		return error_sys(err, errno, "hostname: '%s'", host);
	if (!cstr_is_empty(domain) && setdomainname(domain, strlen(domain)) < 0)
		return error_sys(err, errno, "domainname: '%s'", domain);
	return 0;
}

/* The host's /proc tells the host's pid; once inside, there is only our own. */
static pid_t own_pid(void)
{
	char self[32] = "";
	uint64_t pid;

	if (readlink("/proc/self", self, sizeof(self) - 1) > 0 &&
	    parse_u64(str_of(self), INT32_MAX, &pid, NULL) == 0)
		return (pid_t)pid;
	return getpid();
}

static int run_hooks(struct child *c, const char *kind, const struct spec_hook *hooks, size_t n,
		     enum runtime_status status, pid_t pid, const char *const *env,
		     struct error *err)
{
	auto_(buf) b = BUF_INIT(STATE_MAX);
	struct runtime_state state = *c->state;
	int r;

	if (n == 0)
		return 0;
	state.pid = pid;
	r = state_format(&state, status, false, &b, err);
	return r < 0 ? r : hooks_run(kind, hooks, n, b.data, b.len, env, err);
}

static int take_console(struct child *c, int pts, int *ret_slave, struct error *err)
{
	const struct spec_process *p = c->process.spec;
	autoclose int master = FD_NONE, slave = FD_NONE;
	int r = console_open(pts, p->console_size, &master, &slave, err);

	if (r == 0 && c->in_front)
		console_plain_lines(slave);
	if (r == 0)
		r = console_take(c->console, master, slave, p->user.uid, err);
	if (r == 0)
		*ret_slave = steal_fd(&slave);
	return r;
}

static int open_console(struct child *c, struct error *err)
{
	autoclose int slave = FD_NONE, target = FD_NONE, mount = FD_NONE, pts = FD_NONE;
	int r = 0;

	if (!c->process.spec->terminal)
		return 0;
	if (c->rootfs.devpts < 0)
		r = fs_open_beneath(c->rootfs.root, "dev/pts", O_PATH | O_DIRECTORY, 0, &pts, err);
	if (r == 0)
		r = take_console(c, pts >= 0 ? pts : c->rootfs.devpts, &slave, err);
	if (r == 0)
		r = rootfs_target_file(c->rootfs.root, "/dev/console", &target, err);
	if (r == 0)
		r = mount_clone(slave, "", false, &mount, err);
	return r < 0 ? r : mount_attach(mount, target, "/dev/console", err);
}

/* Others see the mounts: the terminal is one of the namespace's devpts, and no /dev/console. */
static int share_root(struct child *c, struct error *err)
{
	autoclose int pts = FD_NONE, slave = FD_NONE;
	int r = rootfs_share(&c->rootfs, namespaces_fd(c->ns, CLONE_NEWNS), c->state->rootfs, err);

	if (r < 0 || !c->process.spec->terminal)
		return r;
	r = fs_open("/dev/pts", O_PATH | O_DIRECTORY, 0, &pts, err);
	return r < 0 ? r : take_console(c, pts, &slave, err);
}

/* All that is mounted before the config's hooks may look at it. */
static int fill_root(struct child *c, struct error *err)
{
	int r = rootfs_attach(&c->rootfs, c->tree, err);

	if (r == 0)
		r = rootfs_mount_all(&c->rootfs, err);
	if (r == 0)
		r = rootfs_make_devices(&c->rootfs, err);
	return r < 0 ? r : open_console(c, err);
}

static int build_root(struct child *c, struct error *err)
{
	const struct spec_hooks *h = &c->config->hooks;
	bool own = c->ns->create & CLONE_NEWNS;
	mode_t old = umask(0);
	int r = own ? fill_root(c, err) : share_root(c, err);

	if (r == 0 && h->n_prestart + h->n_create_runtime > 0)
		r = ask_parent(c, CHILD_HOOKS, err);
	if (r == 0)
		r = rootfs_sysctl(&c->rootfs, c->ns->create | c->ns->join, err);
	if (r == 0)
		r = run_hooks(c, "createContainer", h->create_container, h->n_create_container,
			      STATUS_CREATING, h->n_create_container ? own_pid() : 0, NULL, err);
	if (r == 0)
		r = process_make_cwd(&c->process, c->rootfs.root, err);
	if (r == 0 && own)
		r = rootfs_protect(&c->rootfs, err);
	if (r == 0)
		r = own ? rootfs_enter(&c->rootfs, err) : rootfs_enter_shared(&c->rootfs, err);
	umask(old);
	return r;
}

/*
 * Before all else: what follows may take long, a hook of the config's say, and the lock that
 * `delete` waits for is ours too. In a PID namespace of its own getppid tells nothing; the socket's
 * end does.
 */
static int die_with_parent(const struct child *c, struct error *err)
{
	char unused;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_sys(err, errno, "ask for the parent's death");
	if (recv(c->socket, &unused, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		return error_set(err, ERR_SYSTEM, "the parent is dead");
	return 0;
}

static int prepare(struct child *c, struct arena *a, struct error *err)
{
	int r = die_with_parent(c, err);

	if (r < 0)
		return r;
	process_reset_signals();
	/* Undumpable: in a PID namespace that was joined others can see us; with id maps to come
	 * the parent must still write them. */
	if (setsid() < 0 || (!c->needs_map && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
		return error_sys(err, errno, "start a session");
	r = namespaces_own_time(c->ns, c->config, err);
	if (r == 0)
		r = become_root(c, err);
	if (r == 0)
		r = enter_cgroups(c, err);
	if (r == 0)
		r = process_reset_affinity(&c->process, err);
	if (r == 0)
		r = namespaces_join(c->ns, err);
	if (r == 0 && c->ns->create & CLONE_NEWNET)
		r = loopback_up(err);
	if (r == 0)
		r = set_names(c, err);
	if (r == 0)
		r = process_apply_host(&c->process, err);
	if (r == 0)
		r = build_root(c, err);
	if (r == 0)
		r = process_replace_null(err);
	if (r == 0)
		r = process_own_stdio(&c->process, err);
	if (r == 0)
		r = process_apply_limits(&c->process, err);
	if (r == 0)
		r = process_personality(c->state->personality, err);
	if (r == 0)
		r = memory_policy_apply(c->state->memory, err);
	if (r == 0)
		r = process_build_env(&c->process, a, err);
	if (r == 0)
		r = process_try_cwd(&c->process, err);
	if (r == 0)
		r = process_drop(&c->process, err);
	if (r == 0)
		r = process_enter_cwd(&c->process, err);
	if (r == 0)
		r = process_resolve(&c->process, a, err);
	return r < 0 ? r : outlive_parent(c, err);
}

/*
 * The programs of startContainer hooks are the image's: they run behind its filter, as under runc,
 * so a process of their own puts itself there and runs them.
 */
static int start_hooks(struct child *c, struct error *err)
{
	const struct spec_hooks *h = &c->config->hooks;
	const char *const *env = (const char *const *)c->process.env;
	struct error e = { 0 };
	int pair[2], r;
	ssize_t n;
	pid_t pid, init;

	if (h->n_start_container == 0)
		return 0;
	init = own_pid();
	if (pipe2(pair, O_CLOEXEC) < 0)
		return error_sys(err, errno, "pipe");
	pid = fork();
	if (pid == 0) {
		r = process_confine(&c->process, &e);
		if (r == 0)
			r = run_hooks(c, "startContainer", h->start_container, h->n_start_container,
				      STATUS_CREATED, init, env, &e);
		_exit(write(pair[1], &e, sizeof(e)) == sizeof(e) && r == 0 ? 0 : 1);
	}
	close(pair[1]);
	n = pid > 0 ? read(pair[0], &e, sizeof(e)) : -1;
	close(pair[0]);
	if (pid < 0)
		return error_sys(err, errno, "fork");
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	if (n != (ssize_t)sizeof(e))
		return error_set(err, ERR_SYSTEM,
				 "error running startContainer hook: its process died");
	if (e.kind == ERR_NONE)
		return 0;
	if (err != NULL)
		*err = e;
	return -(int)e.kind;
}

static int go(struct child *c, int start, struct error *err)
{
	struct handover *page = NULL;
	int r = start_hooks(c, err);

	if (r == 0 && c->process.seccomp.notify)
		r = handover_offer(start, &page, err);
	return r < 0 ? r : process_exec(&c->process, handover_wait, page, err);
}

int fd_keep_only(unsigned base, int **fds, size_t n)
{
	/* Above the slots first: a wanted fd may stand in one of them. */
	for (size_t i = 0; i < n; i++)
		if (*fds[i] >= 0) {
			*fds[i] = fcntl(*fds[i], F_DUPFD_CLOEXEC, (int)(base + n));
			if (*fds[i] < 0)
				return -1;
		}
	for (size_t i = 0; i < n; i++) {
		int slot = (int)(base + i);

		if (*fds[i] < 0)
			close(slot);
		else if (dup3(*fds[i], slot, O_CLOEXEC) < 0)
			return -1;
		else
			*fds[i] = slot;
	}
	return close_range((unsigned)(base + n), ~0U, 0);
}

/* While it waits, init holds nothing of the host's: only the socket that `start` knocks at. */
static int keep_only(struct child *c)
{
	int *fds[3] = { &c->socket, &c->listener, &c->process.label_fd };

	return fd_keep_only(3 + c->process.preserve_fds, fds, ARRAY_LEN(fds));
}

_Noreturn void child_main(struct child *c)
{
	auto_(arena) a = ARENA_INIT;
	struct error err = { 0 };
	int start, r = prepare(c, &a, &err);

	/* The parent's lock is shared with us: it must be gone before it hears that we are ready.
	 */
	if (r == 0 && keep_only(c) < 0)
		r = error_sys(&err, errno, "close what is the host's");
	if (r == 0)
		r = child_send(c->socket, CHILD_READY, NULL, &err);
	if (r < 0) {
		if (child_send(c->socket, CHILD_FAILED, &err, NULL) < 0)
			_exit(2);
		_exit(1);
	}
	close(c->socket);
	do
		start = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
	while (start < 0 && errno == EINTR);
	if (start < 0)
		_exit(2);
	r = go(c, start, &err);
	if (r < 0 && child_send(start, CHILD_FAILED, &err, NULL) < 0)
		_exit(2);
	_exit(1);
}
