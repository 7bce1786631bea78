/*
 * runtime/protect.c: an executable that no container can write (CVE-2019-5736).
 *
 * A process that enters a container shows its file as /proc/PID/exe; opened
 * for writing after the process has ended it is the host's binary. So we run
 * from a file that cannot be written: a detached read-only clone of its mount,
 * which belongs to no mount namespace and so cannot be changed by anybody, or,
 * without the rights to make one, a sealed memfd (0.8 ms more).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "runtime/runtime.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

static bool is_safe(int fd)
{
	struct statvfs vfs;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals >= 0)
		return (seals & SEALS) == SEALS;
	return fstatvfs(fd, &vfs) == 0 && vfs.f_flag & ST_RDONLY;
}

static int copy_sealed(int from, int *ret_fd, struct error *err)
{
	autoclose int fd = memfd_create("proa-runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	struct stat st;
	off_t done = 0;

	/* Kernels before 6.3 do not know the flag and need none. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("proa-runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || fstat(from, &st) < 0)
		return error_sys(err, errno, "memfd");
	while (done < st.st_size) {
		ssize_t n = sendfile(fd, from, NULL, (size_t)(st.st_size - done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(err, n < 0 ? errno : EIO, "copy the executable");
		done += n;
	}
	if (fchmod(fd, 0555) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return error_sys(err, errno, "seal the executable");
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Opened through the clone, every look at /proc/PID/exe ends at a read-only mount. */
static int clone_readonly(int self, int *ret_fd)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	autoclose int tree =
	    open_tree(self, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -1;
	*ret_fd = steal_fd(&tree);
	return 0;
}

int runtime_protect_self(char *const argv[], struct error *err)
{
	autoclose int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	autoclose int copy = FD_NONE;
	int r;

	if (self < 0)
		return error_sys(err, errno, "open /proc/self/exe");
	if (is_safe(self))
		return 0;
	if (clone_readonly(self, &copy) < 0) {
		r = copy_sealed(self, &copy, err);
		if (r < 0)
			return r;
	}
	fexecve(copy, argv, environ);
	return error_sys(err, errno, "execute the sealed copy");
}
