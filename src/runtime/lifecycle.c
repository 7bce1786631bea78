/* runtime/lifecycle.c: what is done to a container that exists. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/log.h"
#include "runtime/child.h"
#include "runtime/console.h"
#include "runtime/hook.h"
#include "runtime/resource.h"

#define KILL_WAIT_MS 10000

struct opened {
	struct arena arena;
	struct state_dir dir;
	struct runtime_state state;
	enum runtime_status status;
	struct cgroup cgroup;
};
#define OPENED_INIT \
	{ \
		.dir = STATE_DIR_INIT \
	}

static void opened_release(struct opened *o)
{
	cgroup_release(&o->cgroup);
	state_dir_release(&o->dir);
	arena_release(&o->arena);
}
DEFINE_AUTO(opened, opened_release);

static int open_container(const struct runtime_options *o, const char *id, bool lock,
			  struct opened *c, struct error *err)
{
	int r = state_open(o, id, lock, &c->dir, err);

	if (r == 0)
		r = state_read(&c->dir, &c->arena, &c->state, err);
	if (r == 0)
		r = state_status(&c->dir, &c->state, &c->status, err);
	return r;
}

/* The bundle's hooks; from the copy, the bundle may have changed. */
static int run_late_hooks(const struct opened *c, bool stop, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) text = BUF_INIT(RUNTIME_CONFIG_MAX);
	auto_(buf) state = BUF_INIT(STATE_MAX);
	struct runtime_config config;
	int r = fs_read_at(c->dir.fd, STATE_CONFIG, &text, err);

	if (r == 0)
		r = runtime_config_parse(&a, text.data, text.len, &config, err);
	if (r == 0)
		r = state_format(&c->state, stop ? STATUS_STOPPED : STATUS_RUNNING, false, &state,
				 err);
	if (r < 0)
		return r;
	return stop ? hooks_run("poststop", config.hooks.poststop, config.hooks.n_poststop,
				state.data, state.len, err)
		    : hooks_run("poststart", config.hooks.poststart, config.hooks.n_poststart,
				state.data, state.len, err);
}

struct handover {
	volatile int fd;
	volatile int taken;
};

/* Take the seccomp listener out of init, which stands in its own filter and cannot send it. */
static int pass_listener(const struct opened *c, int memfd, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) text = BUF_INIT(RUNTIME_CONFIG_MAX);
	autoclose int pidfd = FD_NONE, listener = FD_NONE, socket = FD_NONE;
	struct runtime_config config;
	struct handover *page;
	auto_(buf) state = BUF_INIT(STATE_MAX);
	int r = fs_read_at(c->dir.fd, STATE_CONFIG, &text, err);

	if (r == 0)
		r = runtime_config_parse(&a, text.data, text.len, &config, err);
	if (r == 0)
		r = state_pidfd(&c->state, &pidfd, err);
	if (r == 0 &&
	    (config.linux_.seccomp == NULL || config.linux_.seccomp->listener_path == NULL))
		r = error_set(err, ERR_INVALID,
			      "linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs a listener");
	if (r == 0)
		r = console_connect(config.linux_.seccomp->listener_path, &socket, err);
	if (r < 0)
		return r;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (page == MAP_FAILED)
		return error_sys(err, errno, "map");
	for (int tries = 0; page->fd == FD_NONE && tries < KILL_WAIT_MS; tries++)
		poll(NULL, 0, 1);
	listener = (int)syscall(SYS_pidfd_getfd, pidfd, page->fd, 0);
	if (listener < 0)
		r = error_sys(err, errno, "take the seccomp listener");
	page->taken = 1;
	munmap(page, 4096);
	if (r == 0)
		r = seccomp_state_format(&c->state, config.linux_.seccomp->listener_metadata,
					 &state, err);
	return r < 0 ? r : fdpass_send(socket, state.data, state.len, &listener, 1, err);
}

static int knock(const struct opened *c, struct error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct child_message m;
	size_t len, n_fds;
	int memfd, r;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" STATE_SOCKET, c->dir.fd);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return error_sys(err, errno, "reach the container's init");
	for (;;) {
		r = fdpass_recv(fd, &m, sizeof(m), &len, &memfd, 1, &n_fds, err);
		if (r < 0)
			return r;
		/* execve closed its end: the program runs. */
		if (len == 0)
			return 0;
		if (m.kind == CHILD_READY && n_fds == 1) {
			r = pass_listener(c, memfd, err);
			close(memfd);
			if (r < 0)
				return r;
			continue;
		}
		if (m.kind != CHILD_FAILED || len != sizeof(m))
			return error_set(err, ERR_SYSTEM, "message %u from init", m.kind);
		m.err.msg[sizeof(m.err.msg) - 1] = '\0';
		if (err != NULL)
			*err = m.err;
		return m.err.kind > ERR_NONE && m.err.kind < ERR_KIND_COUNT ? -(int)m.err.kind
									    : -ERR_SYSTEM;
	}
}

int runtime_start(const struct runtime_options *o, const char *id, struct error *err)
{
	auto_(opened) c = OPENED_INIT;
	struct error hook;
	int r = open_container(o, id, true, &c, err);

	if (r < 0)
		return r;
	if (c.status == STATUS_STOPPED)
		return error_set(err, ERR_CONFLICT, "cannot start a container that has stopped");
	if (c.status != STATUS_CREATED)
		return error_set(err, ERR_CONFLICT, "cannot start an already running container");
	r = knock(&c, err);
	if (unlinkat(c.dir.fd, STATE_SOCKET, 0) < 0 && r == 0)
		return error_sys(err, errno, "remove the start socket");
	if (r < 0)
		return r;
	/* The specification lets a failing poststart hook change nothing. */
	if (c.state.has_poststart && run_late_hooks(&c, false, &hook) < 0)
		log_debug("poststart hook failed", KV_ERR(&hook));
	return 0;
}

static int send_signal(const struct runtime_state *s, int sig, struct error *err)
{
	autoclose int fd = FD_NONE;
	int r = state_pidfd(s, &fd, err);

	if (r == 0 && syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) < 0)
		r = errno == ESRCH ? -ERR_NOT_FOUND : error_sys(err, errno, "signal the container");
	return r == -ERR_NOT_FOUND ? error_set(err, ERR_CONFLICT, "container not running") : r;
}

int runtime_kill(const struct runtime_options *o, const char *id, int sig, bool all,
		 struct error *err)
{
	auto_(opened) c = OPENED_INIT;
	bool frozen = false;
	int r = open_container(o, id, false, &c, err);

	if (r == 0)
		r = cgroup_open(c.state.cgroups, c.state.n_cgroups, &c.cgroup, err);
	if (r < 0)
		return r;
	/* Without a PID namespace of its own nothing else ends what init leaves behind. */
	if (sig == SIGKILL && !(c.state.namespaces & CLONE_NEWPID))
		all = true;
	if (all && c.cgroup.n > 0)
		return cgroup_kill(&c.cgroup, sig, err);
	if (c.status == STATUS_STOPPED)
		return error_set(err, ERR_CONFLICT, "container not running");
	r = send_signal(&c.state, sig, err);
	/* v1 keeps a killed task frozen. */
	if (r == 0 && sig == SIGKILL && cgroup_frozen(&c.cgroup, &frozen, NULL) == 0 && frozen)
		r = cgroup_freeze(&c.cgroup, false, err);
	return r;
}

/* SIGKILL and wait until init is no more. */
static int end_init(const struct opened *c, struct error *err)
{
	struct pollfd p = { .events = POLLIN };
	autoclose int fd = FD_NONE;
	bool frozen;
	int r = state_pidfd(&c->state, &fd, err);

	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0)
		return r;
	if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return error_sys(err, errno, "kill the container");
	if (cgroup_frozen(&c->cgroup, &frozen, NULL) == 0 && frozen)
		r = cgroup_freeze(&c->cgroup, false, err);
	if (r < 0)
		return r;
	p.fd = fd;
	if (poll(&p, 1, KILL_WAIT_MS) <= 0)
		return error_set(err, ERR_UNAVAILABLE, "the container survived SIGKILL for 10 s");
	return 0;
}

/* What `create` left when it died between mkdir and its first state. */
static int delete_half(const struct runtime_options *o, const char *id, bool force,
		       struct error *err)
{
	if (!force)
		return error_wrap(err, -(int)err->kind, "container '%s' is only half made", id);
	return state_remove(o, id, err);
}

int runtime_delete(const struct runtime_options *o, const char *id, bool force, struct error *err)
{
	auto_(opened) c = OPENED_INIT;
	struct error hook, unit;
	int r = state_open(o, id, true, &c.dir, err);

	if (r == -ERR_NOT_FOUND && force)
		return 0;
	if (r < 0)
		return r;
	r = state_read(&c.dir, &c.arena, &c.state, err);
	if (r == -ERR_NOT_FOUND || r == -ERR_CORRUPT)
		return delete_half(o, id, force, err);
	if (r == 0)
		r = state_status(&c.dir, &c.state, &c.status, err);
	if (r == 0)
		r = cgroup_open(c.state.cgroups, c.state.n_cgroups, &c.cgroup, err);
	if (r < 0)
		return r;
	if (!force && (c.status == STATUS_RUNNING || c.status == STATUS_PAUSED))
		return error_set(err, ERR_CONFLICT,
				 "cannot delete container %s that is not stopped: %s", id,
				 status_name(c.status));
	if (c.status != STATUS_STOPPED)
		r = end_init(&c, err);
	if (r == 0 && !(c.state.namespaces & CLONE_NEWPID))
		r = cgroup_kill(&c.cgroup, SIGKILL, err);
	if (r == 0)
		r = cgroup_remove(&c.cgroup, err);
	if (r < 0)
		return r;
	/* An empty scope goes by itself; a systemd that is away must not keep the container. */
	if (c.state.unit != NULL &&
	    cgroup_unit_stop(c.state.unit, c.state.unit_rootless, &unit) < 0)
		log_debug("systemd unit not stopped, continuing", KV_ERR(&unit));
	if (c.state.has_poststop && run_late_hooks(&c, true, &hook) < 0)
		log_debug("poststop hook failed", KV_ERR(&hook));
	return state_remove(o, id, err);
}

static int freeze(const struct runtime_options *o, const char *id, bool frozen, struct error *err)
{
	auto_(opened) c = OPENED_INIT;
	int r = open_container(o, id, true, &c, err);

	if (r < 0)
		return r;
	if (frozen && c.status != STATUS_RUNNING && c.status != STATUS_CREATED)
		return error_set(err, ERR_CONFLICT, "container not running");
	if (!frozen && c.status != STATUS_PAUSED)
		return error_set(err, ERR_CONFLICT, "container not paused");
	r = cgroup_open(c.state.cgroups, c.state.n_cgroups, &c.cgroup, err);
	return r < 0 ? r : cgroup_freeze(&c.cgroup, frozen, err);
}

int runtime_pause(const struct runtime_options *o, const char *id, struct error *err)
{
	return freeze(o, id, true, err);
}

int runtime_resume(const struct runtime_options *o, const char *id, struct error *err)
{
	return freeze(o, id, false, err);
}

int runtime_state(const struct runtime_options *o, const char *id, struct buf *b, struct error *err)
{
	auto_(opened) c = OPENED_INIT;
	int r = open_container(o, id, false, &c, err);

	return r < 0 ? r : state_format(&c.state, c.status, true, b, err);
}

int runtime_update(const struct runtime_options *o, const char *id, const char *resources,
		   size_t len, struct error *err)
{
	auto_(opened) c = OPENED_INIT;
	struct spec_resources spec;
	struct cgroup_limits l;
	struct cgroup_host host;
	int r = open_container(o, id, true, &c, err);

	if (r < 0)
		return r;
	if (c.status == STATUS_STOPPED)
		return error_set(err, ERR_CONFLICT, "container not running");
	r = runtime_resources_parse(&c.arena, resources, len, &spec, err);
	if (r == 0)
		r = limits_of(&spec, false, &c.arena, &l, err);
	if (r == 0)
		r = cgroup_open(c.state.cgroups, c.state.n_cgroups, &c.cgroup, err);
	if (r == 0 && c.state.unit != NULL)
		r = cgroup_host_detect(&c.arena, &host, err);
	if (r == 0 && c.state.unit != NULL)
		r = cgroup_unit_update(c.state.unit, c.state.unit_rootless, &host, &l, err);
	return r < 0 ? r : cgroup_limit(&c.cgroup, &l, err);
}
