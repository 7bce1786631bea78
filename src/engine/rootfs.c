/*
 * engine/rootfs.c: a container's root file system as one directory fd.
 *
 * Running: the root of its init, volumes and all. Otherwise a detached mount
 * that nobody else sees. Paths below it are resolved by base/fs only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "engine/container_internal.h"
#include "store/mount.h"
#include "store/store.h"

#define FLAG_EXITING 0x4 /* PF_EXITING of the kernel's sched.h */

int container_mounts(struct container *c, struct mounts *ret, struct error *err)
{
	autofree char *key = cstr_format("container/%s", c->id);
	int r = snapshot_mounts(c->engine->store->snapshots, key, ret, err);

	if (r == 0)
		ret->no_sync = json_bool(c->host_config, "AutoRemove", false);
	return r;
}

/* "pid (name) state ppid pgrp session tty tpgid flags ..."; the name may hold anything. */
static bool process_ends(pid_t pid)
{
	auto_(buf) b = BUF_INIT(4096);
	char path[32];
	struct str rest, word = { 0 };
	uint64_t flags;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (fs_read_file(path, &b, NULL) < 0 || b.data == NULL || strrchr(b.data, ')') == NULL)
		return true;
	rest = str_of(strrchr(b.data, ')'));
	for (int i = 0; i < 8; i++)
		if (!str_split(&rest, ' ', &word))
			return true;
	return parse_u64(word, UINT64_MAX, &flags, NULL) < 0 || (flags & FLAG_EXITING) != 0;
}

bool container_has_its_pid(struct container *c)
{
	struct task *t;
	pid_t pid;
	bool has;

	{
		LOCKED(&c->lock);
		t = c->task ? task_ref(c->task) : NULL;
		pid = c->pid;
	}
	has = t && pid > 0 && !process_ends(pid) && task_signal(t, NULL, 0, NULL) == 0;
	task_unref(t);
	return has;
}

int container_root_open(struct container *c, enum container_root_use use,
			struct container_root *ret, struct error *err)
{
	auto_(mounts) m = { 0 };
	autofree char *path = NULL;
	pid_t pid;
	int r;

	if (use == ROOT_WRITE)
		lock_assert_held(&c->op);
	{
		LOCKED(&c->lock);
		pid = container_is_running(c) ? c->pid : 0;
	}
	if (pid > 0) {
		path = cstr_format("/proc/%d/root", (int)pid);
		if (fs_open(path, O_PATH | O_DIRECTORY, 0, &ret->fd, NULL) == 0) {
			ret->live = use == ROOT_GLANCE || container_has_its_pid(c);
			if (ret->live)
				return 0;
			container_root_close(ret);
		}
	}
	r = container_mounts(c, &m, err);
	if (r < 0)
		return r;
	return mount_open(&m, use != ROOT_WRITE, &ret->fd, err);
}

static bool is_quiet(struct container *c, void *arg)
{
	(void)arg;
	return !c->written;
}

int container_root_quiet(struct container *c, struct error *err)
{
	lock_assert_held(&c->op);
	{
		LOCKED(&c->lock);
		if (!c->written)
			return 0;
	}
	return container_await(c, is_quiet, NULL, INT64_MAX, NULL, err);
}

int container_view_open(struct container *c, int *ret_fd, struct error *err)
{
	autofree char *key = cstr_format("container/%s", c->id);
	auto_(mounts) m = { 0 };
	int r;

	r = snapshot_mounts(c->engine->store->snapshots, key, &m, err);
	if (r < 0)
		return r;
	if (m.upper) {
		/* The writable directory as one more layer below: a look disturbs nobody. */
		char **lower = xcalloc(m.n_lower + 2, sizeof(*lower));

		lower[0] = steal_ptr(m.upper);
		memcpy(lower + 1, m.lower, m.n_lower * sizeof(*lower));
		free(m.lower);
		m.lower = lower;
		m.n_lower++;
		free(m.work);
		m.work = NULL;
	}
	r = mount_open(&m, true, ret_fd, err);
	if (r < 0) {
		LOCKED(&c->lock);
		/* Its files have gone under our hands. */
		if (c->removed)
			return error_set(err, ERR_NOT_FOUND, "No such container: %s", c->id);
	}
	return r;
}

void container_root_close(struct container_root *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = FD_NONE;
}
