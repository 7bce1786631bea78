/*
 * engine/recovery.c: what an earlier engine left. Shims that live are adopted,
 * ends that were missed are handled now, half-made things go, and restart
 * policies hold, also over a reboot.
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

static void recover_one(struct container *c)
{
	struct task_exit exit = { 0 };
	struct error failure = { 0 };
	struct task *t;
	pid_t pid;
	int r;

	if (c->status == CONTAINER_REMOVING) {
		LOCKED(&c->op);
		(void)!container_remove_locked(c, true, NULL);
		return;
	}
	/* The task's events carry a reference. */
	container_ref(c);
	r = task_adopt(c->engine->tasks, c->id, container_task_event, c, &t, &pid, &exit, &failure);
	if (r == 0) {
		adopt_volumes(c);
		(void)!task_execs(t, exec_adopt, c, NULL);
		{
			LOCKED(&c->lock);
			c->task = task_ref(t);
			c->pid = pid;
			if (c->status != CONTAINER_PAUSED)
				c->status = CONTAINER_RUNNING;
		}
		task_listen(t);
		task_unref(t);
		return;
	}
	container_unref(c);
	if (c->status != CONTAINER_RUNNING && c->status != CONTAINER_PAUSED)
		return;
	note_missed_exit(c, &exit);
	if (container_save_state(c, &failure) < 0)
		log_warn("container exit not recorded, continuing", KV("container", c->id),
			 KV_ERR(&failure));
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
		struct task *t;
		pid_t pid;
		bool known;

		{
			LOCKED(&e->containers_lock);
			known = map_has(&e->containers_by_id, de->d_name);
		}
		if (known || !fs_is_component(de->d_name))
			continue;
		if (task_adopt(e->tasks, de->d_name, NULL, NULL, &t, &pid, NULL, NULL) == 0) {
			(void)!task_signal(t, NULL, 9, NULL);
			(void)!task_wait(t, true, 10000, NULL, NULL, NULL);
			task_unref(t);
		}
		(void)!task_delete(e->tasks, de->d_name, NULL);
	}
	closedir(d);
}

static void finish_one(struct container *c, bool was_running)
{
	bool auto_remove = json_bool(c->host_config, "AutoRemove", false);

	if (c->task != NULL) {
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

void container_recover_all(struct engine *e)
{
	struct container **list, **at;
	struct error failure = { 0 };
	size_t n, i = 0;
	bool *was_running;

	list = container_snapshot(e, &n);
	was_running = xcalloc(n + 1, sizeof(*was_running));
	for (at = list; *at; at++) {
		was_running[i++] = container_is_running(*at);
		recover_one(*at);
	}
	bury_strays(e);
	if (network_room_restore(e, &failure) < 0)
		log_warn("networks not restored, continuing", KV_ERR(&failure));
	for (at = list, i = 0; *at; at++)
		finish_one(*at, was_running[i++]);
	free(was_running);
	container_snapshot_free(list);
	sweep_directory(e, e->data_fd, "containers");
	sweep_snapshots(e);
}
