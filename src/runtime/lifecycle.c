/* runtime/lifecycle.c: what is done to a container that exists. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/log.h"
#include "runtime/child.h"
#include "runtime/handover.h"
#include "runtime/hook.h"
#include "runtime/resource.h"

#define KILL_WAIT_MS 10000
#define END_WAIT_MS  2000

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
	if (!stop)
		return hooks_run("poststart", config.hooks.poststart, config.hooks.n_poststart,
				 state.data, state.len, NULL, err);
	hooks_run_all("poststop", config.hooks.poststop, config.hooks.n_poststop, state.data,
		      state.len);
	return 0;
}

static int knock(const struct opened *c, struct error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" STATE_SOCKET, c->dir.fd);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return error_sys(err, errno, "reach the container's init");
	return handover_follow(fd, c->state.pid, &c->dir, &c->state, STATUS_CREATED, err);
}

/* An init that has told why it cannot go on is ending: whoever hears of the failed start may delete
 * the container at once. */
static void await_end(const struct runtime_state *s)
{
	struct pollfd p = { .fd = FD_NONE, .events = POLLIN };

	if (state_pidfd(s, &p.fd, NULL) < 0)
		return;
	(void)!poll(&p, 1, END_WAIT_MS);
	close(p.fd);
}

static int start(const struct runtime_options *o, const char *id, bool *ret_hook, struct error *err)
{
	auto_(opened) c = OPENED_INIT;
	int r = open_container(o, id, true, &c, err);

	if (r < 0)
		return r;
	if (c.status == STATUS_STOPPED)
		return error_set(err, ERR_CONFLICT, "cannot start a container that has stopped");
	if (c.status != STATUS_CREATED)
		return error_set(err, ERR_CONFLICT, "cannot start an already running container");
	r = knock(&c, err);
	if (r < 0)
		await_end(&c.state);
	if (unlinkat(c.dir.fd, STATE_SOCKET, 0) < 0 && r == 0)
		return error_sys(err, errno, "remove the start socket");
	if (r < 0 || !c.state.has_poststart)
		return r;
	r = run_late_hooks(&c, false, err);
	*ret_hook = r < 0;
	return r;
}

int runtime_start(const struct runtime_options *o, const char *id, struct error *err)
{
	bool hook = false;
	struct error late;
	int r = start(o, id, &hook, err);

	/* Peer: a failing poststart hook ends the container of crun and runc; the specification
	 * wants that since 1.3. */
	if (hook && runtime_delete(o, id, true, &late) < 0)
		log_debug("container not removed", KV_ERR(&late));
	return r;
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
