/* engine/ops.c: stop, kill, restart, pause, rename, update, resize. */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "engine/body_check.h"
#include "engine/container_internal.h"
#include "engine/network.h"
#include "store/db.h"
#include "store/store.h"

#define STOP_TIMEOUT_S  10
#define KILL_TIMEOUT_NS (10 * NS_PER_SEC)

static const struct {
	const char *name;
	int number;
} signals[] = {
	{ "ABRT", SIGABRT }, { "ALRM", SIGALRM }, { "BUS", SIGBUS },       { "CHLD", SIGCHLD },
	{ "CLD", SIGCHLD },  { "CONT", SIGCONT }, { "FPE", SIGFPE },       { "HUP", SIGHUP },
	{ "ILL", SIGILL },   { "INT", SIGINT },   { "IO", SIGIO },         { "IOT", SIGIOT },
	{ "KILL", SIGKILL }, { "PIPE", SIGPIPE }, { "POLL", SIGPOLL },     { "PROF", SIGPROF },
	{ "PWR", SIGPWR },   { "QUIT", SIGQUIT }, { "SEGV", SIGSEGV },     { "STKFLT", SIGSTKFLT },
	{ "STOP", SIGSTOP }, { "SYS", SIGSYS },   { "TERM", SIGTERM },     { "TRAP", SIGTRAP },
	{ "TSTP", SIGTSTP }, { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU },     { "URG", SIGURG },
	{ "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "VTALRM", SIGVTALRM }, { "WINCH", SIGWINCH },
	{ "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ },
};

static bool realtime_parse(const char *s, int *ret)
{
	int64_t n = 0;

	if (strncasecmp(s, "RTMIN", 5) == 0) {
		if (s[5] != '\0' && (s[5] != '+' || parse_i64(str_of(s + 6), 0, 30, &n, NULL) < 0))
			return false;
		*ret = 34 + (int)n;
		return true;
	}
	if (strncasecmp(s, "RTMAX", 5) == 0) {
		if (s[5] != '\0' && (s[5] != '-' || parse_i64(str_of(s + 6), 0, 30, &n, NULL) < 0))
			return false;
		*ret = 64 - (int)n;
		return true;
	}
	return false;
}

int signal_parse(const char *s, int *ret, struct error *err)
{
	const char *name = strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s;
	uint64_t n;
	size_t i;

	if (isdigit((unsigned char)s[0])) {
		if (parse_u64(str_of(s), 64, &n, NULL) == 0 && n > 0) {
			*ret = (int)n;
			return 0;
		}
		return error_set(err, ERR_INVALID, "invalid signal: %s", s);
	}
	for (i = 0; i < ARRAY_LEN(signals); i++) {
		if (strcasecmp(signals[i].name, name) == 0) {
			*ret = signals[i].number;
			return 0;
		}
	}
	if (realtime_parse(name, ret))
		return 0;
	return error_set(err, ERR_INVALID, "invalid signal: %s", s);
}

/* ---- signals ---- */

static struct task *task_of(struct container *c)
{
	LOCKED(&c->lock);
	return c->task ? task_ref(c->task) : NULL;
}

static int send_signal(struct container *c, int sig, struct error *err)
{
	char number[16];
	struct event_attr attr = { "signal", number };
	struct error local = { 0 };
	struct task *t = task_of(c);
	int r;

	if (sig == SIGKILL) {
		LOCKED(&c->lock);
		c->dying = true;
	}
	r = t ? task_signal(t, NULL, sig, &local)
	      : error_set(&local, ERR_CONFLICT, "the process has ended");
	task_unref(t);
	if (r == -ERR_UNAVAILABLE && sig == SIGKILL) {
		LOCKED(&c->lock);
		c->dying = false;
	}
	if (r == -ERR_CONFLICT)
		return error_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	if (r < 0)
		return error_set(err, local.kind, "%s", local.msg);
	snprintf(number, sizeof(number), "%d", sig);
	container_event(c, "kill", &attr, 1);
	return 0;
}

int container_cgroup_open(struct container *c, struct arena *a, struct cgroup *ret,
			  struct error *err)
{
	struct cgroup_host host;
	pid_t pid;
	int r;

	{
		LOCKED(&c->lock);
		pid = c->pid;
	}
	r = cgroup_host_detect(a, &host, err);
	if (r == 0)
		r = cgroup_open_pid(&host, pid, ret, err);
	if (r == 0 && !container_has_its_pid(c))
		r = error_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	return r;
}

static int freeze(struct container *c, bool frozen, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	auto_(cgroup) cg = CGROUP_INIT;
	int r = container_cgroup_open(c, &a, &cg, err);

	return r < 0 ? r : cgroup_freeze(&cg, frozen, err);
}

/* A frozen process gets its signal when it thaws. */
static void thaw_for_signal(struct container *c)
{
	{
		LOCKED(&c->lock);
		if (c->status != CONTAINER_PAUSED)
			return;
		c->status = CONTAINER_RUNNING;
		container_changed(c);
	}
	(void)!freeze(c, false, NULL);
	container_event(c, "unpause", NULL, 0);
}

/* Waiting for its next run: that run is called off. true when it was so. */
static bool cancel_restart(struct container *c)
{
	{
		LOCKED(&c->lock);
		if (c->status != CONTAINER_RESTARTING)
			return false;
		c->status = CONTAINER_EXITED;
		c->stop_requested = true;
		container_changed(c);
	}
	(void)!container_save_state(c, NULL);
	return true;
}

struct run {
	uint64_t exit_seq;
};

static bool run_is_over(struct container *c, void *arg)
{
	const struct run *run = arg;

	return c->exit_seq != run->exit_seq || !container_is_running(c);
}

/* What was asked did not arrive, so it was not asked: the policy for restarts holds as before. */
static void withdraw_stop(struct container *c, bool requested_before)
{
	LOCKED(&c->lock);
	c->stop_requested = requested_before;
}

static int kill_now(struct container *c, const char *ref, int sig, struct run *run,
		    struct error *err)
{
	struct error local = { 0 };
	int stop = SIGTERM, r;
	bool before;
	const char *own;

	/* A kill that comes while the start still runs waits for its end. */
	LOCKED(&c->op);
	{
		LOCKED(&c->lock);
		if (!container_is_running(c))
			return error_set(err, ERR_CONFLICT,
					 "Cannot kill container: %s: Container %s is not running",
					 ref, c->id);
		run->exit_seq = c->exit_seq;
		own = json_str(c->config, "StopSignal");
		if (!cstr_is_empty(own))
			(void)!signal_parse(own, &stop, NULL);
		before = c->stop_requested;
		if (sig == SIGKILL || sig == stop)
			c->stop_requested = true;
	}
	if (cancel_restart(c))
		return 0;
	r = send_signal(c, sig, &local);
	if (r == -ERR_UNAVAILABLE)
		withdraw_stop(c, before);
	if (r < 0)
		return error_set(err, local.kind, "Cannot kill container: %s: %s", ref, local.msg);
	if (sig == SIGKILL)
		thaw_for_signal(c);
	return 0;
}

int container_kill(struct engine *e, const char *ref, const char *signal, struct error *err)
{
	autoptr(container) c = NULL;
	struct run run;
	int sig = SIGKILL, r;

	r = container_find(e, ref, &c, err);
	if (r == 0 && !cstr_is_empty(signal))
		r = signal_parse(signal, &sig, err);
	if (r < 0)
		return r;
	r = kill_now(c, ref, sig, &run, err);
	if (r < 0 || sig != SIGKILL)
		return r;
	/* dockerd answers when it is dead. */
	r = container_await(c, run_is_over, &run, clock_mono_ns() + KILL_TIMEOUT_NS, NULL, err);
	return r == -ERR_UNAVAILABLE
		   ? error_set(err, ERR_SYSTEM,
			       "Cannot kill container: %s: tried to kill container, "
			       "but did not receive an exit event",
			       ref)
		   : r;
}

/* ---- stop ---- */

static int64_t stop_deadline(struct container *c, int32_t timeout_s)
{
	const struct json *own = json_get(c->config, "StopTimeout");

	if (timeout_s == CONTAINER_TIMEOUT_DEFAULT)
		timeout_s = own && own->type == JSON_INT ? (int32_t)own->i : STOP_TIMEOUT_S;
	if (timeout_s < 0)
		return INT64_MAX;
	return clock_mono_ns() + (int64_t)timeout_s * NS_PER_SEC;
}

static int stop_signal(struct container *c, const char *signal, int *ret, struct error *err)
{
	const char *own = json_str(c->config, "StopSignal");

	*ret = SIGTERM;
	if (!cstr_is_empty(signal))
		return signal_parse(signal, ret, err);
	return cstr_is_empty(own) ? 0 : signal_parse(own, ret, err);
}

static int ask_to_end(struct container *c, int sig, struct error *err)
{
	struct error local = { 0 };
	int r = send_signal(c, sig, &local);

	/* Gone in the meantime is what was wanted. */
	if (r < 0 && r != -ERR_CONFLICT)
		return error_set(err, local.kind, "cannot stop container: %s: %s", c->id,
				 local.msg);
	thaw_for_signal(c);
	return 0;
}

static int stop(struct container *c, const char *signal, int32_t timeout_s, bool *ret_changed,
		struct error *err)
{
	struct run run;
	int64_t deadline;
	bool before;
	int sig, r;

	r = stop_signal(c, signal, &sig, err);
	if (r < 0)
		return r;
	{
		LOCKED(&c->op);
		{
			LOCKED(&c->lock);
			*ret_changed = container_is_running(c);
			if (!*ret_changed)
				return 0;
			before = c->stop_requested;
			c->stop_requested = true;
			run.exit_seq = c->exit_seq;
		}
		if (cancel_restart(c))
			return 0;
		deadline = stop_deadline(c, timeout_s);
		r = ask_to_end(c, sig, err);
		/* Not to be taken for the end of the wait. */
		if (r == -ERR_UNAVAILABLE) {
			withdraw_stop(c, before);
			return r;
		}
	}
	if (r == 0)
		r = container_await(c, run_is_over, &run, deadline, NULL, err);
	if (r == -ERR_UNAVAILABLE) {
		r = ask_to_end(c, SIGKILL, err);
		if (r < 0)
			return r;
		r = container_await(c, run_is_over, &run, clock_mono_ns() + KILL_TIMEOUT_NS, NULL,
				    err);
		if (r == -ERR_UNAVAILABLE)
			r = error_set(
			    err, ERR_SYSTEM,
			    "cannot stop container: %s: tried to kill container, but did not "
			    "receive an exit event",
			    c->id);
	}
	if (r == 0)
		container_event(c, "stop", NULL, 0);
	return r;
}

int container_stop(struct engine *e, const char *ref, const char *signal, int32_t timeout_s,
		   bool *ret_changed, struct error *err)
{
	autoptr(container) c = NULL;
	int r = container_find(e, ref, &c, err);

	return r < 0 ? r : stop(c, signal, timeout_s, ret_changed, err);
}

int container_restart(struct engine *e, const char *ref, const char *signal, int32_t timeout_s,
		      struct error *err)
{
	autoptr(container) c = NULL;
	bool changed;
	int r;

	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	{
		/* Stopping it now must not remove it. */
		LOCKED(&c->lock);
		c->keep_once = true;
	}
	r = stop(c, signal, timeout_s, &changed, err);
	if (r == 0) {
		LOCKED(&c->op);
		{
			LOCKED(&c->lock);
			c->restart_count = 0;
			c->backoff_ms = 0;
		}
		r = container_start_locked(c, &changed, err);
	}
	{
		LOCKED(&c->lock);
		c->keep_once = false;
	}
	if (r == 0)
		container_event(c, "restart", NULL, 0);
	return r;
}

/* ---- pause ---- */

/* false: it was killed while it was being frozen, before the killer could see that. */
static bool note_paused(struct container *c, bool paused)
{
	LOCKED(&c->lock);
	if (paused && c->dying)
		return false;
	c->status = paused ? CONTAINER_PAUSED : CONTAINER_RUNNING;
	container_changed(c);
	return true;
}

static int set_paused(struct engine *e, const char *ref, bool paused, struct error *err)
{
	autoptr(container) c = NULL;
	int r;

	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	LOCKED(&c->op);
	r = container_still_there(c, ref, err);
	if (r < 0)
		return r;
	{
		LOCKED(&c->lock);
		if (paused && c->status == CONTAINER_RESTARTING)
			return error_set(err, ERR_CONFLICT,
					 "Container %s is restarting, wait until the container is "
					 "running",
					 c->id);
		if (paused && (!container_is_running(c) || c->dying))
			return error_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
		if (paused && c->status == CONTAINER_PAUSED)
			return error_set(err, ERR_CONFLICT, "Container %s is already paused",
					 c->id);
		if (!paused && c->status != CONTAINER_PAUSED)
			return error_set(err, ERR_SYSTEM, "Container %s is not paused", c->id);
	}
	r = freeze(c, paused, err);
	/* Its group may have gone under our hands. */
	if (r < 0 && !container_has_its_pid(c))
		return error_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	if (r < 0)
		return error_wrap(err, r, "Cannot %s container %s", paused ? "pause" : "unpause",
				  c->id);
	if (!note_paused(c, paused)) {
		(void)!freeze(c, false, NULL);
		return error_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	}
	r = container_save_state(c, err);
	container_event(c, paused ? "pause" : "unpause", NULL, 0);
	return r;
}

int container_pause(struct engine *e, const char *ref, struct error *err)
{
	return set_paused(e, ref, true, err);
}

int container_unpause(struct engine *e, const char *ref, struct error *err)
{
	return set_paused(e, ref, false, err);
}

/* ---- rename ---- */

/* The table and the container say `name`, which is reserved. Returns the old one, owned by the
 * caller. */
static char *take_name(struct container *c, const char *name)
{
	struct engine *e = c->engine;
	char *old;

	LOCKED(&e->containers_lock);
	map_remove(&e->containers_by_name, c->name);
	map_remove(&e->reserved_names, name);
	map_set(&e->containers_by_name, name, c);
	lock_take(&c->lock);
	old = c->name;
	c->name = xstrdup(name);
	lock_drop(&c->lock);
	return old;
}

int container_rename(struct engine *e, const char *ref, const char *name, struct error *err)
{
	autoptr(container) c = NULL;
	struct event_attr attr = { "oldName", NULL };
	autofree char *old = NULL, *shown = NULL;
	int r;

	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	if (cstr_is_empty(name))
		return error_set(err, ERR_INVALID, "Neither old nor new names may be empty");
	if (name[0] == '/')
		name++;
	if (!container_name_is_valid(name))
		return error_set(err, ERR_INVALID,
				 "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are "
				 "allowed",
				 name);
	LOCKED(&c->op);
	/* In the table of names it would outlive the last reference. */
	r = container_still_there(c, ref, err);
	if (r < 0)
		return r;
	if (strcmp(c->name, name) == 0)
		return error_set(err, ERR_INVALID,
				 "Renaming a container with the same name as its current name");
	r = container_table_reserve(e, name, c->id, err);
	if (r < 0)
		return error_wrap(err, r, "Error when allocating new name");
	old = take_name(c, name);
	r = container_save_doc(c, err);
	if (r < 0) {
		free(take_name(c, old));
		return r;
	}
	network_renamed(c);
	shown = cstr_format("/%s", old);
	attr.value = shown;
	container_event(c, "rename", &attr, 1);
	return 0;
}

/* ---- update ---- */

static const char *const update_keys[] = {
	"CpuShares",          "Memory",        "NanoCpus",    "CpuPeriod",
	"CpuQuota",           "CpusetCpus",    "CpusetMems",  "MemoryReservation",
	"MemorySwap",         "PidsLimit",     "BlkioWeight", "CpuRealtimePeriod",
	"CpuRealtimeRuntime", "RestartPolicy",
};

static bool is_set(const struct json *v)
{
	switch (v->type) {
	case JSON_INT:
		return v->i != 0;
	case JSON_STRING:
		return v->s_len > 0;
	case JSON_OBJECT:
		return !cstr_is_empty(json_str(v, "Name"));
	case JSON_NULL:
	case JSON_BOOL:
	case JSON_DOUBLE:
	case JSON_ARRAY:
		break;
	}
	return false;
}

/* systemd writes what it knows of a scope into the group again whenever it is reloaded. */
static int tell_systemd(const struct container *c, const struct cgroup_limits *l, struct arena *a,
			struct error *err)
{
	autofree char *path = container_cgroup_path(c);
	struct cgroup_unit unit;
	struct cgroup_host host;
	int r = cgroup_unit_parse(a, path, c->id, false, &unit, err);

	if (r == 0)
		r = cgroup_host_detect(a, &host, err);
	return r < 0 ? r : cgroup_unit_update(unit.name, unit.rootless, &host, l, err);
}

static int apply_limits(struct container *c, const struct json *hc, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	auto_(cgroup) cg = CGROUP_INIT;
	struct cgroup_limits l;
	int64_t nano = json_int(hc, "NanoCpus", 0);
	int r;

	cgroup_limits_init(&l);
	if (json_int(hc, "CpuShares", 0))
		l.cpu_shares = json_int(hc, "CpuShares", 0);
	if (json_int(hc, "CpuPeriod", 0))
		l.cpu_period_us = json_int(hc, "CpuPeriod", 0);
	if (json_int(hc, "CpuQuota", 0))
		l.cpu_quota_us = json_int(hc, "CpuQuota", 0);
	if (nano > 0) {
		l.cpu_period_us = 100000;
		l.cpu_quota_us = nano / 10000;
	}
	l.cpuset_cpus = json_str(hc, "CpusetCpus");
	l.cpuset_mems = json_str(hc, "CpusetMems");
	if (json_int(hc, "Memory", 0))
		l.memory_limit = json_int(hc, "Memory", 0);
	if (json_int(hc, "MemorySwap", 0))
		l.memory_swap = json_int(hc, "MemorySwap", 0);
	if (json_int(hc, "MemoryReservation", 0))
		l.memory_reservation = json_int(hc, "MemoryReservation", 0);
	if (json_int(hc, "PidsLimit", 0))
		l.pids_limit = json_int(hc, "PidsLimit", 0);
	if (json_int(hc, "BlkioWeight", 0))
		l.io_weight = json_int(hc, "BlkioWeight", 0);
	r = container_cgroup_open(c, &a, &cg, err);
	if (r == 0 && c->engine->cfg.systemd_cgroup)
		r = tell_systemd(c, &l, &a, err);
	return r < 0 ? r : cgroup_limit(&cg, &l, err);
}

static int check_update(const struct container *c, const struct json *body, const struct json *hc,
			struct error *err)
{
	const char *policy = json_str(json_get(body, "RestartPolicy"), "Name");

	if (json_bool(c->host_config, "AutoRemove", false) && !cstr_is_empty(policy) &&
	    strcmp(policy, "no") != 0)
		return error_set(
		    err, ERR_INVALID,
		    "Restart policy cannot be updated because AutoRemove is enabled for "
		    "the container");
	if (json_int(body, "Memory", 0) > 0 && json_int(body, "MemorySwap", 0) == 0 &&
	    json_int(c->host_config, "MemorySwap", 0) > 0 &&
	    json_int(body, "Memory", 0) > json_int(c->host_config, "MemorySwap", 0))
		return error_set(
		    err, ERR_INVALID,
		    "Memory limit should be smaller than already set memoryswap limit, "
		    "update the memoryswap at the same time");
	return host_config_check(c->engine, hc, err);
}

/* Returns the one it had; readers may hold it. */
static const struct json *take_host_config(struct container *c, const struct json *hc)
{
	const struct json *old;

	LOCKED(&c->lock);
	old = c->host_config;
	c->host_config = hc;
	return old;
}

int container_update(struct engine *e, const char *ref, const struct json *body, struct jsonw *out,
		     struct error *err)
{
	autoptr(container) c = NULL;
	const struct json *old;
	struct error local;
	struct json *hc;
	bool running;
	size_t i;
	int r;

	r = container_find(e, ref, &c, err);
	if (r == 0)
		r = body_check_update(body, err);
	if (r < 0)
		return r;
	LOCKED(&c->op);
	r = container_still_there(c, ref, err);
	if (r < 0)
		return r;
	/* Documents are never changed in place: readers may hold the old one. */
	hc = json_clone(&c->arena, c->host_config);
	for (i = 0; i < ARRAY_LEN(update_keys); i++) {
		const struct json *v = json_get_nocase(body, update_keys[i]);

		if (v && is_set(v))
			json_set(&c->arena, hc, update_keys[i], json_clone(&c->arena, v));
	}
	r = check_update(c, body, hc, err);
	if (r < 0)
		return r;
	{
		LOCKED(&c->lock);
		running = c->pid > 0 && container_is_running(c);
	}
	old = take_host_config(c, hc);
	r = container_save_doc(c, err);
	if (r < 0) {
		(void)!take_host_config(c, old);
		return r;
	}
	/*
	 * After the record: limits that it does not have could not be taken back. One that ends in
	 * this moment has its group no more; what is recorded holds for its next run.
	 */
	if (running && (r = apply_limits(c, hc, err)) < 0 && container_has_its_pid(c)) {
		(void)!take_host_config(c, old);
		if (container_save_doc(c, &local) < 0)
			log_warn("limits of a failed update are still recorded, continuing",
				 KV("container", c->id), KV_ERR(&local));
		return error_wrap(err, r, "Cannot update container %s", c->id);
	}
	container_event(c, "update", NULL, 0);
	jsonw_object(out);
	jsonw_knull(out, "Warnings");
	jsonw_end(out);
	return 0;
}

int container_resize(struct engine *e, const char *ref, uint16_t rows, uint16_t cols,
		     struct error *err)
{
	autoptr(container) c = NULL;
	struct task *t;
	int r;

	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	t = task_of(c);
	if (t == NULL)
		return error_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	r = task_resize(t, NULL, rows, cols, err);
	task_unref(t);
	if (r == -ERR_CONFLICT)
		return error_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
	if (r == 0) {
		char h[8], w[8];
		struct event_attr attrs[] = { { "height", h }, { "width", w } };

		snprintf(h, sizeof(h), "%u", rows);
		snprintf(w, sizeof(w), "%u", cols);
		container_event(c, "resize", attrs, 2);
	}
	return r;
}
