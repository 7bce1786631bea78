/*
 * engine/rootfs.c: a container's root file system as one directory fd.
 *
 * Running: the root of its init, volumes and all. Otherwise a detached mount
 * that nobody else sees. Paths below it are resolved by base/fs only.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "engine/container_internal.h"
#include "store/mount.h"
#include "store/store.h"

int container_root_open(struct container *c, bool read_only, struct container_root *ret,
			struct error *err)
{
	auto_(mounts) m = { 0 };
	autofree char *key = cstr_format("container/%s", c->id);
	autofree char *path = NULL;
	pid_t pid;
	int r;

	{
		LOCKED(&c->lock);
		pid = container_is_running(c) ? c->pid : 0;
	}
	if (pid > 0) {
		path = cstr_format("/proc/%d/root", (int)pid);
		if (fs_open(path, O_PATH | O_DIRECTORY, 0, &ret->fd, NULL) == 0)
			return 0;
	}
	r = snapshot_mounts(c->engine->store->snapshots, key, &m, err);
	if (r < 0)
		return r;
	return mount_open(&m, read_only, &ret->fd, err);
}

void container_root_close(struct container_root *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = FD_NONE;
}
