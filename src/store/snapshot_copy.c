/*
 * store/snapshot_copy.c: the copy driver: layers in overlay form put one over
 * the other into one directory, as an overlay mount would show them.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/overlay.h"
#include "store/snapshot_impl.h"

#define COPY_ALL  (FS_COPY_OWNER | FS_COPY_TIMES | FS_COPY_XATTRS)
#define MAX_DEPTH 4096

static int empty_dir(int dirfd, struct error *err)
{
	auto_(fs_names) names = { 0 };
	int r = fs_read_names(dirfd, &names, err);

	for (size_t i = 0; r == 0 && i < names.len; i++)
		r = fs_remove_tree(dirfd, names.at[i], err);
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
	if (r < 0 || overlay_is_whiteout(&st))
		return r;
	return fs_copy_tree(from, name, to, name, COPY_ALL, err);
}

static int merge_dir(int from, int to, unsigned depth, struct error *err)
{
	auto_(fs_names) names = { 0 };
	int r = 0;

	if (depth > MAX_DEPTH)
		return error_set(err, ERR_INVALID, "directories deeper than %d", MAX_DEPTH);
	if (overlay_is_opaque(from))
		r = empty_dir(to, err);
	if (r == 0)
		r = fs_read_names(from, &names, err);
	for (size_t i = 0; r == 0 && i < names.len; i++)
		r = merge_one(from, to, names.at[i], depth, err);
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
