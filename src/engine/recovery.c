/*
 * engine/recovery.c: what an earlier engine left. Shims that live are adopted,
 * ends that were missed are handled now, half-made things go, and restart
 * policies hold, also over a reboot. A shim that does not answer (it is stopped,
 * its disk hangs) holds nobody up: its container counts as running until it does.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/container_internal.h"
#include "engine/network.h"
#include "engine/volume.h"
#include "store/snapshot.h"
#include "store/store.h"
#include "task/task.h"

/* An engine that died in the middle cannot tell by what code init ended. */
#define EXIT_UNKNOWN 255
/* The start of the engine waits so long for the shims that are slow to say how they are, all
 * together; what comes later is taken in while it serves. */
#define ANSWER_NS      (2 * NS_PER_SEC)
#define ANSWER_STEP_MS 200
#define STRAY_MS       10000

static void adopt_volumes(struct container *c)
{
	size_t i;

	for (i = 0; i < c->n_mounts; i++)
		if (strcmp(c->mounts[i].type, "volume") == 0)
			volume_adopt(c->engine, c->mounts[i].name, c->id);
}

static void note_missed_exit(struct container *c, const struct task_exit *exit)
{
	LOCKED(&c->lock);
	c->status = CONTAINER_EXITED;
	c->pid = 0;
	c->exit_code = exit->time_ns ? exit->code : EXIT_UNKNOWN;
	c->oom_killed = exit->oom_killed;
	c->finished_ns = exit->time_ns ? exit->time_ns : clock_wall_ns();
}

/* What its shim knows better than a row that an engine was about to write. */
static void note_running(struct container *c, const struct task_state *state)
{
	struct error failure = { 0 };
	bool known;

	{
		LOCKED(&c->lock);
		c->unanswered = false;
		known = c->pid == state->pid && c->started_ns == state->started_ns;
		if (!known) {
			/* As the start would have done. */
			c->pid = state->pid;
			c->started_ns = state->started_ns;
			c->exit_code = 0;
			c->oom_killed = c->stop_requested = false;
			free(c->error_text);
			c->error_text = NULL;
			c->ran = true;
		}
		if (c->status != CONTAINER_PAUSED)
			c->status = CONTAINER_RUNNING;
		container_changed(c);
	}
	if (!known && container_save_state(c, &failure) < 0)
		log_warn("state of a container not recorded, continuing", KV("container", c->id),
			 KV_ERR(&failure));
}

/* Its shim says that it runs. */
static void adopted(struct container *c, struct task *t, const struct task_state *state)
{
	(void)!task_execs(t, exec_adopt, c, NULL);
	note_running(c, state);
	task_listen(t);
}

static void missed_exit(struct container *c, const struct task_exit *exit)
{
	struct error failure = { 0 };

	if (c->status != CONTAINER_RUNNING && c->status != CONTAINER_PAUSED)
		return;
	note_missed_exit(c, exit);
	if (container_save_state(c, &failure) < 0)
		log_warn("container exit not recorded, continuing", KV("container", c->id),
			 KV_ERR(&failure));
}

/* The task of a container that has one still, and whose shim is asked now how it is; or NULL. */
static struct task *recover_begin(struct container *c)
{
	struct task_exit exit = { 0 };
	struct task *t;

	if (c->status == CONTAINER_REMOVING) {
		LOCKED(&c->op);
		(void)!container_remove_locked(c, true, NULL);
		return NULL;
	}
	/* The task's events carry a reference. */
	container_ref(c);
	if (task_adopt(c->engine->tasks, c->id, container_task_event, c, &t, &exit, NULL) == 0)
		return t;
	container_unref(c);
	missed_exit(c, &exit);
	return NULL;
}

/* Nobody knows yet how it is. Its shim lives, so it counts as running. */
static void leave_unanswered(struct container *c, struct task *t, const struct error *why)
{
	{
		LOCKED(&c->lock);
		c->unanswered = true;
		c->pid = task_pid_on_disk(t);
		if (c->status != CONTAINER_PAUSED)
			c->status = CONTAINER_RUNNING;
	}
	log_warn("a running container does not answer, continuing", KV("container", c->id),
		 KV_ERR(why));
}

static void recover_end(struct container *c, struct task *take_t, int timeout_ms)
{
	struct task_exit exit = { 0 };
	struct error why = { 0 };
	struct task_state state;
	int r = task_adopted(take_t, timeout_ms, &state, &exit, &why);

	if (r == -ERR_NOT_FOUND) {
		task_unref(take_t);
		container_unref(c);
		missed_exit(c, &exit);
		return;
	}
	adopt_volumes(c);
	{
		LOCKED(&c->lock);
		c->task = task_ref(take_t);
	}
	if (r == 0)
		adopted(c, take_t, &state);
	else
		leave_unanswered(c, take_t, &why);
	task_unref(take_t);
}

/* Until it answers, has ended, or the engine closes: then the next one asks again. */
static int await_answer(struct engine *e, struct task *t, struct task_state *state,
			struct task_exit *exit)
{
	int r;

	do
		r = task_adopted(t, ANSWER_STEP_MS, state, exit, NULL);
	while (r == -ERR_UNAVAILABLE && !cancel_fired(&e->closing));
	return r;
}

static void answer_worker(void *arg)
{
	struct container *c = arg;
	struct task_exit exit = { 0 };
	struct task_state state;
	struct task *t;
	int r;

	{
		LOCKED(&c->lock);
		t = task_ref(c->task);
	}
	r = await_answer(c->engine, t, &state, &exit);
	if (r == 0) {
		log_info("a running container answers again", KV("container", c->id));
		adopted(c, t, &state);
		health_start(c);
	} else if (r == -ERR_NOT_FOUND) {
		{
			LOCKED(&c->lock);
			c->unanswered = false;
		}
		container_exited(c, &exit);
		container_unref(c); /* of the events */
	}
	task_unref(t);
	container_unref(c);
}

static void answer_later(struct container *c)
{
	if (workers_start(&c->engine->workers, answer_worker, container_ref(c), "answer", NULL) ==
	    0)
		return;
	log_error("no thread for a container that does not answer", KV("container", c->id));
	container_unref(c);
}

static bool should_run(const struct container *c, bool was_running)
{
	const char *policy = json_str(json_get(c->host_config, "RestartPolicy"), "Name");

	if (c->status == CONTAINER_RESTARTING)
		return true;
	if (c->status != CONTAINER_EXITED)
		return false;
	if (strcmp(policy, "always") == 0)
		return true;
	if (strcmp(policy, "unless-stopped") == 0)
		return !c->stop_requested;
	return was_running && strcmp(policy, "on-failure") == 0 && c->exit_code != 0;
}

/* Directories of tasks, containers and snapshots that no row names. */
static void sweep_directory(struct engine *e, int parent_fd, const char *name)
{
	struct dirent *de;
	DIR *d;
	int fd;

	if (fs_open_beneath(parent_fd, name, O_RDONLY | O_DIRECTORY, 0, &fd, NULL) < 0)
		return;
	d = fdopendir(fd);
	if (d == NULL) {
		close(fd);
		return;
	}
	while ((de = readdir(d)) != NULL) {
		bool known;

		if (!fs_is_component(de->d_name))
			continue;
		{
			LOCKED(&e->containers_lock);
			known = map_has(&e->containers_by_id, de->d_name);
		}
		/* Tasks of builds have other names. */
		if (!known && strlen(de->d_name) == 64)
			(void)!fs_remove_tree(dirfd(d), de->d_name, NULL);
	}
	closedir(d);
}

static int collect_orphan(void *arg, const char *key, struct error *err)
{
	struct {
		struct engine *e;
		VEC(char *) keys;
	} *o = arg;

	(void)err;
	if (!cstr_starts(key, "container/"))
		return 0;
	LOCKED(&o->e->containers_lock);
	if (!map_has(&o->e->containers_by_id, key + strlen("container/")))
		*vec_push(&o->keys) = xstrdup(key);
	return 0;
}

static void sweep_snapshots(struct engine *e)
{
	struct {
		struct engine *e;
		VEC(char *) keys;
	} o = { .e = e };

	(void)!snapshot_list(e->store->snapshots, collect_orphan, &o, NULL);
	vec_for_each (key, &o.keys) {
		(void)!snapshot_remove(e->store->snapshots, *key, NULL);
		free(*key);
	}
	vec_release(&o.keys);
}

static void end_stray(struct engine *e, const char *id, struct task *t)
{
	if (t) {
		(void)!task_signal(t, NULL, 9, NULL);
		(void)!task_wait(t, true, STRAY_MS, NULL, NULL, NULL);
	}
	(void)!task_delete(e->tasks, id, NULL);
}

struct stray {
	struct engine *e;
	struct task *task;
	char *id;
};

static void stray_worker(void *arg)
{
	struct stray *s = arg;
	struct task_state state;
	int r = await_answer(s->e, s->task, &state, NULL);

	if (r == 0 || r == -ERR_NOT_FOUND)
		end_stray(s->e, s->id, r == 0 ? s->task : NULL);
	task_unref(s->task);
	free(s->id);
	free(s);
}

static void bury_stray(struct engine *e, const char *id)
{
	struct task_state state;
	struct stray *s;
	struct task *t;
	int r = task_adopt(e->tasks, id, NULL, NULL, &t, NULL, NULL);

	if (r < 0) {
		end_stray(e, id, NULL);
		return;
	}
	r = task_adopted(t, ANSWER_STEP_MS, &state, NULL, NULL);
	if (r != -ERR_UNAVAILABLE) {
		end_stray(e, id, r == 0 ? t : NULL);
		task_unref(t);
		return;
	}
	s = new0(struct stray);
	s->e = e;
	s->task = t;
	s->id = xstrdup(id);
	if (workers_start(&e->workers, stray_worker, s, "stray", NULL) == 0)
		return;
	task_unref(t);
	free(s->id);
	free(s);
}

/* A task directory without container: its shim, if any, is ended. */
static void bury_strays(struct engine *e)
{
	struct dirent *de;
	DIR *d;
	int fd;

	if (fs_open_beneath(e->exec_fd, "tasks", O_RDONLY | O_DIRECTORY, 0, &fd, NULL) < 0)
		return;
	d = fdopendir(fd);
	if (d == NULL) {
		close(fd);
		return;
	}
	while ((de = readdir(d)) != NULL) {
		bool known;

		{
			LOCKED(&e->containers_lock);
			known = map_has(&e->containers_by_id, de->d_name);
		}
		if (!known && fs_is_component(de->d_name))
			bury_stray(e, de->d_name);
	}
	closedir(d);
}

static void finish_one(struct container *c, bool was_running)
{
	bool auto_remove = json_bool(c->host_config, "AutoRemove", false);

	if (c->task != NULL) {
		if (c->unanswered)
			answer_later(c);
		else
			health_start(c);
		return;
	}
	/* What an engine left that died before it could give it back. */
	container_unmount_all(c);
	(void)!task_delete(c->engine->tasks, c->id, NULL);
	if (auto_remove && c->ran && c->status == CONTAINER_EXITED) {
		LOCKED(&c->op);
		(void)!container_remove_locked(c, true, NULL);
		return;
	}
	if (!should_run(c, was_running))
		return;
	{
		LOCKED(&c->lock);
		c->status = CONTAINER_RESTARTING;
		c->backoff_ms = 1;
	}
	container_schedule_restart(c);
}

/* All are asked first: one after the other answers while the others are read. */
static void recover_tasks(struct container **list, struct task **tasks)
{
	int64_t end;
	size_t i;

	for (i = 0; list[i]; i++)
		tasks[i] = recover_begin(list[i]);
	end = clock_mono_ns() + ANSWER_NS;
	for (i = 0; list[i]; i++) {
		int64_t left = end - clock_mono_ns();

		if (tasks[i])
			recover_end(list[i], tasks[i], left > 0 ? (int)(left / NS_PER_MS) : 0);
	}
}

void container_recover_all(struct engine *e)
{
	struct container **list, **at;
	struct error failure = { 0 };
	struct task **tasks;
	size_t n, i = 0;
	bool *was_running;

	list = container_snapshot(e, &n);
	was_running = xcalloc(n + 1, sizeof(*was_running));
	tasks = xcalloc(n + 1, sizeof(struct task *));
	for (at = list; *at; at++)
		was_running[i++] = container_is_running(*at);
	recover_tasks(list, tasks);
	bury_strays(e);
	if (network_room_restore(e, &failure) < 0)
		log_warn("networks not restored, continuing", KV_ERR(&failure));
	for (at = list, i = 0; *at; at++)
		finish_one(*at, was_running[i++]);
	free(was_running);
	free(tasks);
	container_snapshot_free(list);
	sweep_directory(e, e->data_fd, "containers");
	sweep_snapshots(e);
}
