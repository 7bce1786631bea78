/*
 * engine/shm.c: /dev/shm of containers with --ipc shareable: a tmpfs below the
 * exec root, which the donor and those who join it bind.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fs.h"
#include "base/str.h"
#include "engine/container_internal.h"

char *shm_path(const struct container *c)
{
	return cstr_format("%s/shm/%s", c->engine->cfg.exec_root, c->id);
}

int shm_mount(struct container *c, int64_t size_bytes, struct error *err)
{
	autofree char *path = shm_path(c);
	char options[64], at[FS_PROC_FD_MAX];
	autoclose int fd = FD_NONE;
	int r;

	shm_unmount(c);
	r = fs_mkdir_all(path, 0700, err);
	if (r == 0)
		r = fs_open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, &fd, err);
	if (r < 0)
		return r;
	snprintf(options, sizeof(options), "mode=1777,size=%lld", (long long)size_bytes);
	fs_proc_fd_path(fd, at);
	if (mount("shm", at, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
		return error_sys(err, errno, "mount the shared memory of container %s", c->id);
	return 0;
}

void shm_unmount(struct container *c)
{
	autofree char *path = shm_path(c);

	/* Others who joined keep their own mount of it. */
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == EINVAL)
		(void)rmdir(path);
}
