/*
 * store/snapshot_copy.c: the copy driver: layers in overlay form put one over
 * the other into one directory, as an overlay mount would show them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "store/snapshot_impl.h"

#define COPY_ALL  (FS_COPY_OWNER | FS_COPY_TIMES | FS_COPY_XATTRS)
#define MAX_DEPTH 4096

static bool is_opaque(int dirfd)
{
	char v = 0;

	return (fgetxattr(dirfd, "trusted.overlay.opaque", &v, 1) == 1 && v == 'y') ||
	       (fgetxattr(dirfd, "user.overlay.opaque", &v, 1) == 1 && v == 'y');
}

static int empty_dir(int dirfd, struct error *err)
{
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!d)
		return error_sys(err, errno, "open directory");
	while (r == 0 && (e = readdir(d)) != NULL) {
		if (fs_is_component(e->d_name))
			r = fs_remove_tree(dirfd, e->d_name, err);
	}
	closedir(d);
	return r;
}

static int copy_attributes(int from, int to, struct error *err)
{
	struct timespec times[2];
	struct stat st;
	int r = fs_copy_xattrs(from, to, true, err);

	if (r < 0)
		return r;
	(void)fremovexattr(to, "trusted.overlay.opaque");
	(void)fremovexattr(to, "user.overlay.opaque");
	if (fstat(from, &st) < 0)
		return error_sys(err, errno, "stat directory");
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	if ((geteuid() == 0 && fchown(to, st.st_uid, st.st_gid) < 0) ||
	    fchmod(to, st.st_mode & 07777) < 0 || futimens(to, times) < 0)
		return error_sys(err, errno, "copy attributes");
	return 0;
}

static int merge_dir(int from, int to, unsigned depth, struct error *err);

static int merge_sub_dir(int from, int to, const char *name, unsigned depth, struct error *err)
{
	autoclose int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	autoclose int out = FD_NONE;
	struct stat st;
	int r;

	if (in < 0)
		return error_sys(err, errno, "open '%s'", name);
	if (fstatat(to, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)) {
		r = fs_remove_tree(to, name, err);
		if (r < 0)
			return r;
	}
	if (mkdirat(to, name, 0700) < 0 && errno != EEXIST)
		return error_sys(err, errno, "create '%s'", name);
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (out < 0)
		return error_sys(err, errno, "open '%s'", name);
	return merge_dir(in, out, depth + 1, err);
}

static int merge_one(int from, int to, const char *name, unsigned depth, struct error *err)
{
	struct stat st;
	int r;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "stat '%s'", name);
	if (S_ISDIR(st.st_mode))
		return merge_sub_dir(from, to, name, depth, err);
	r = fs_remove_tree(to, name, err);
	if (r < 0 || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0)))
		return r;
	return fs_copy_tree(from, name, to, name, COPY_ALL, err);
}

static int merge_dir(int from, int to, unsigned depth, struct error *err)
{
	int copy, r = 0;
	struct dirent *e;
	DIR *d;

	if (depth > MAX_DEPTH)
		return error_set(err, ERR_INVALID, "directories deeper than %d", MAX_DEPTH);
	if (is_opaque(from))
		r = empty_dir(to, err);
	if (r < 0)
		return r;
	copy = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = copy < 0 ? NULL : fdopendir(copy);
	if (!d)
		return error_sys(err, errno, "open directory");
	while (errno = 0, r == 0 && (e = readdir(d)) != NULL) {
		if (fs_is_component(e->d_name))
			r = merge_one(from, to, e->d_name, depth, err);
	}
	if (r == 0 && errno != 0)
		r = error_sys(err, errno, "read directory");
	closedir(d);
	return r < 0 ? r : copy_attributes(from, to, err);
}

int snapshot_copy_layers(struct snapshots *s, const struct digest *diff_ids, size_t n, int to,
			 struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		autoclose int from = FD_NONE;
		int r = snapshot_layer_open(s, &diff_ids[i], &from, err);

		if (r == 0)
			r = merge_dir(from, to, 0, err);
		if (r < 0)
			return error_wrap(err, r, "copy layer");
	}
	return 0;
}
