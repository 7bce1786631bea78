/* engine/exit.c: what follows when a container's init has ended. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/str.h"
#include "engine/container_internal.h"
#include "engine/network.h"
#include "engine/volume.h"

#define GONE_TIMEOUT_MS  30000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS   60000
/* A run of this length was a success: the backoff begins anew. */
#define BACKOFF_RESET_NS (10 * NS_PER_SEC)

struct job {
	struct container *c; /* a reference */
	struct task_exit exit;
};

static void exit_worker(void *arg)
{
	struct job *j = arg;

	container_exited(j->c, &j->exit);
	container_unref(j->c);
	free(j);
}

void container_task_event(void *ctx, struct task *t, const struct task_event *ev)
{
	struct container *c = ctx;
	struct job *j;
	int r;

	(void)t;
	switch (ev->kind) {
	case TASK_EXIT:
		j = new0(struct job);
		j->c = container_ref(c);
		j->exit = ev->exit;
		/* An engine that closes leaves it to the next one: the record is on disk. */
		r = workers_start(&c->engine->workers, exit_worker, j, "exit", NULL);
		if (r < 0) {
			if (r != -ERR_UNAVAILABLE)
				log_error("no thread for the end of a container",
					  KV("container", c->id));
			container_unref(c);
			free(j);
		}
		break;
	case TASK_GONE:
		/* The reference that make_task took. */
		container_unref(c);
		break;
	case TASK_EXEC_EXIT:
		exec_exited(c, ev->exec_id, ev->exit.code);
		break;
	case TASK_OOM:
		container_event(c, "oom", NULL, 0);
		break;
	}
}

/* ---- restart policy ---- */

static bool wants_restart(const struct container *c)
{
	const struct json *p = json_get(c->host_config, "RestartPolicy");
	const char *name = json_str(p, "Name");
	int64_t max = json_int(p, "MaximumRetryCount", 0);

	if (c->health_restart)
		return true;
	if (c->stop_requested)
		return false;
	if (strcmp(name, "always") == 0 || strcmp(name, "unless-stopped") == 0)
		return true;
	return strcmp(name, "on-failure") == 0 && c->exit_code != 0 &&
	       (max == 0 || c->restart_count < (unsigned)max);
}

static bool not_restarting(struct container *c, void *arg)
{
	(void)arg;
	return c->status != CONTAINER_RESTARTING || c->removed;
}

static void restart_worker(void *arg)
{
	struct container *c = arg;
	struct error failure = { 0 };
	bool changed;
	int r;

	r = container_await(c, not_restarting, NULL,
			    clock_mono_ns() + (int64_t)c->backoff_ms * NS_PER_MS,
			    &c->engine->closing, NULL);
	if (r == -ERR_UNAVAILABLE) {
		bool still;

		LOCKED(&c->op);
		{
			LOCKED(&c->lock);
			still = c->status == CONTAINER_RESTARTING && !c->removed;
		}
		if (still && container_start_locked(c, &changed, &failure) < 0)
			log_warn("restart of a container failed", KV("container", c->id),
				 KV_ERR(&failure));
	}
	container_unref(c);
}

void container_schedule_restart(struct container *c)
{
	int r =
	    workers_start(&c->engine->workers, restart_worker, container_ref(c), "restart", NULL);

	if (r == 0)
		return;
	if (r != -ERR_UNAVAILABLE)
		log_error("no thread for a restart", KV("container", c->id));
	container_unref(c);
}

/* ---- exit ---- */

static void emit_die(struct container *c, const struct task_exit *exit)
{
	char code[16], seconds[24];
	struct event_attr attrs[] = { { "exitCode", code }, { "execDuration", seconds } };
	int64_t ran;

	{
		LOCKED(&c->lock);
		c->ending = true;
		ran = (exit->time_ns - c->started_ns) / NS_PER_SEC;
	}
	snprintf(code, sizeof(code), "%d", exit->code);
	snprintf(seconds, sizeof(seconds), "%lld", (long long)(ran > 0 ? ran : 0));
	container_event(c, "die", attrs, ARRAY_LEN(attrs));
}

void container_unmount_all(struct container *c)
{
	volume_unmount_all(c->engine, c->id);
	if (strcmp(json_str(c->host_config, "IpcMode"), "shareable") == 0)
		shm_unmount(c);
}

/* What the run held beside its network is given back; the task's directory goes. */
static void release_run(struct container *c, struct task *t)
{
	struct error failure = { 0 };

	if (t && task_wait(t, true, GONE_TIMEOUT_MS, NULL, NULL, &failure) < 0)
		log_warn("the shim does not end, continuing", KV("container", c->id),
			 KV_ERR(&failure));
	container_unmount_all(c);
	if (task_delete(c->engine->tasks, c->id, &failure) < 0)
		log_warn("the task's directory stays, continuing", KV("container", c->id),
			 KV_ERR(&failure));
	exec_forget_container(c);
}

static bool note_exit(struct container *c, const struct task_exit *exit)
{
	bool restart;

	LOCKED(&c->lock);
	c->task = task_unref(c->task);
	c->pid = 0;
	c->exit_code = exit->code;
	c->oom_killed = exit->oom_killed;
	c->finished_ns = exit->time_ns ? exit->time_ns : clock_wall_ns();
	restart = wants_restart(c);
	c->health_restart = false;
	if (restart) {
		if (c->finished_ns - c->started_ns > BACKOFF_RESET_NS || c->backoff_ms == 0)
			c->backoff_ms = BACKOFF_FIRST_MS;
		else if (c->backoff_ms < BACKOFF_MAX_MS)
			c->backoff_ms *= 2;
		if (c->backoff_ms > BACKOFF_MAX_MS)
			c->backoff_ms = BACKOFF_MAX_MS;
		c->restart_count++;
	}
	c->status = restart ? CONTAINER_RESTARTING : CONTAINER_EXITED;
	c->exit_seq++;
	free(c->not_removed);
	c->not_removed = NULL;
	c->ending = false;
	return restart;
}

/*
 * With AutoRemove nobody can look at the container any more, so whoever waits for its removal need
 * not wait for the kernel's: cgroups, mounts and files go behind the answer. Only where the engine
 * has mounted something of the host's for it (a volume, the shared memory) that comes first.
 */
static bool may_answer_early(const struct container *c)
{
	return json_bool(c->host_config, "AutoRemove", false) && c->n_mounts == 0 &&
	       strcmp(json_str(c->host_config, "IpcMode"), "shareable") != 0;
}

static bool forget(struct container *c)
{
	struct error failure = { 0 };

	if (container_forget_locked(c, true, &failure) == 0)
		return true;
	log_warn("container not removed", KV("container", c->id), KV_ERR(&failure));
	return false;
}

void container_exited(struct container *c, const struct task_exit *exit)
{
	struct error failure = { 0 };
	bool auto_remove, restart, early, gone, keep;
	struct task *t;

	LOCKED(&c->op);
	{
		LOCKED(&c->lock);
		t = c->task ? task_ref(c->task) : NULL;
		auto_remove = json_bool(c->host_config, "AutoRemove", false);
		keep = c->keep_once;
	}
	health_stop(c);
	emit_die(c, exit);
	network_detach(c);
	early = may_answer_early(c);
	if (!early)
		release_run(c, t);
	restart = note_exit(c, exit);
	if (!auto_remove && container_save_state(c, &failure) < 0)
		log_warn("container exit not recorded, continuing", KV("container", c->id),
			 KV_ERR(&failure));
	{
		LOCKED(&c->lock);
		container_changed(c);
	}
	gone = auto_remove && !keep && !restart && forget(c);
	if (early)
		release_run(c, t);
	task_unref(t);
	if (restart)
		container_schedule_restart(c);
	if (gone)
		container_remove_files(c);
}
