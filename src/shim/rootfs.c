/*
 * shim/rootfs.c: the container's root is visible to the shim and its children
 * only, and vanishes with them: no mount is left on the host whatever dies.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fs.h"
#include "shim/supervisor.h"

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

/*
 * The mount that holds dir_fd stops telling its peers what is mounted on it.
 * The others stay as they are: a volume with shared propagation must go on
 * sharing with the host.
 */
static int isolate_mount_of(int dir_fd, struct error *err)
{
	autoclose int at = openat(dir_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int depth;

	if (at < 0)
		return error_sys(err, errno, "open the task's directory");
	for (depth = 0; depth < 256; depth++) {
		char path[FS_PROC_FD_MAX];
		struct statx st;
		int up;

		if (statx(at, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0)
			return error_sys(err, errno, "stat the task's directory");
		if (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) {
			fs_proc_fd_path(at, path);
			if (mount(NULL, path, NULL, MS_PRIVATE, NULL) < 0)
				return error_sys(err, errno, "make the mount of tasks private");
			return 0;
		}
		up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (up < 0)
			return error_sys(err, errno, "open the parent directory");
		close(at);
		at = up;
	}
	/* ".." of the root is the root. */
	return error_set(err, ERR_SYSTEM,
			 "the engine's root is no mount point: `mount --bind DIR DIR` before "
			 "`chroot DIR`");
}

int task_rootfs_attach(int *dir_fd_io, int mount_fd, struct error *err)
{
	int dir_fd, r;

	if (unshare(CLONE_NEWNS) < 0)
		return error_sys(err, errno, "unshare the mount namespace");
	/* The kernel takes the working directory along; an fd stays in the
	 * namespace that we left. */
	dir_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return error_sys(err, errno, "open the task's directory");
	close(*dir_fd_io);
	*dir_fd_io = dir_fd;
	r = isolate_mount_of(dir_fd, err);
	if (r < 0)
		return r;
	if (mkdirat(dir_fd, "rootfs", 0700) < 0 && errno != EEXIST)
		return error_sys(err, errno, "make the rootfs directory");
	if (mount_fd >= 0 &&
	    syscall(SYS_move_mount, mount_fd, "", dir_fd, "rootfs", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_sys(err, errno, "attach the root file system");
	return 0;
}
