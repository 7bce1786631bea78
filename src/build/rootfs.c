/* build/rootfs.c: where steps write, and how that becomes a layer. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/overlay.h"
#include "base/vec.h"
#include "build/build_internal.h"
#include "image/commit.h"
#include "store/mount.h"

#define XATTR_NAMES_MAX 4096

/* What a step sees below what it makes: --link sees nothing. */
static const struct node *below(const struct node *n)
{
	return n->kind == NODE_COPY && n->copy->link ? NULL : n->base;
}

int rootfs_open(struct build *b, const struct node *n, struct rootfs *ret, struct error *err)
{
	auto_(rootfs) root = ROOTFS_INIT;
	struct store *s = b->builder->cfg.store;
	const struct node *base = below(n);
	auto_(mounts) m = { 0 };
	int r;

	if (snapshots_driver(s->snapshots) != SNAPSHOT_OVERLAY)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "building with the storage driver vfs is not supported yet");
	root.build = b;
	snprintf(root.key, sizeof(root.key), "build/%s/%u", b->id, n->index);
	r = snapshot_prepare(s->snapshots, root.key, base ? base->layers : NULL,
			     base ? base->n_layers : 0, &m, err);
	if (r < 0) {
		root.key[0] = '\0';
		return r;
	}
	m.no_sync = true; /* the store syncs a layer before it names it */
	r = mount_open(&m, false, &root.fd, err);
	if (r == 0)
		r = snapshot_open_upper(s->snapshots, root.key, &root.upper_fd, err);
	if (r < 0)
		return r;
	*ret = root;
	root = (struct rootfs)ROOTFS_INIT;
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = FD_NONE;
}

void rootfs_close(struct rootfs *r)
{
	close_fd(&r->fd);
	close_fd(&r->upper_fd);
	close_fd(&r->lower_fd);
	if (r->key[0] != '\0')
		(void)!snapshot_remove(r->build->builder->cfg.store->snapshots, r->key, NULL);
	r->key[0] = '\0';
}

int rootfs_view(struct build *b, const struct node *n, int *ret_fd, struct error *err)
{
	auto_(mounts) m = { 0 };
	int r;

	if (n == NULL || n->n_layers == 0)
		return fs_open_beneath(b->builder->dir_fd, "empty", O_RDONLY | O_DIRECTORY, 0,
				       ret_fd, err);
	r = snapshot_view(b->builder->cfg.store->snapshots, n->layers, n->n_layers, &m, err);
	return r < 0 ? r : mount_open(&m, true, ret_fd, err);
}

int rootfs_lower(struct rootfs *r, const struct node *n, struct error *err)
{
	return r->lower_fd >= 0 ? 0 : rootfs_view(r->build, below(n), &r->lower_fd, err);
}

int rootfs_refresh(struct rootfs *r, struct error *err)
{
	auto_(mounts) m = { 0 };
	int s;

	close_fd(&r->fd);
	s = snapshot_mounts(r->build->builder->cfg.store->snapshots, r->key, &m, err);
	m.no_sync = true;
	return s < 0 ? s : mount_open(&m, false, &r->fd, err);
}

struct sealer {
	int64_t limit_ns; /* mtimes are not later; INT64_MAX: leave them */
	bool dated;       /* that holds for all but directories */
	unsigned depth;
};

static int64_t mtime_of(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec;
}

static void clamp(const struct sealer *s, int dirfd, const char *name, const struct stat *st)
{
	struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = s->limit_ns / NS_PER_SEC, .tv_nsec = s->limit_ns % NS_PER_SEC },
	};

	if (mtime_of(st) > s->limit_ns)
		(void)!utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW);
}

/* Only marks of overlay's own: they do not make a directory worth keeping. */
static bool has_own_xattrs(int fd, bool *ret_opaque)
{
	char names[XATTR_NAMES_MAX];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	*ret_opaque = overlay_is_opaque(fd);
	if (n < 0)
		return true;
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		if (strncmp(names + at, "trusted.overlay.", 16) != 0 &&
		    strncmp(names + at, "user.overlay.", 13) != 0)
			return true;
	}
	return false;
}

static bool same_directory(const struct stat *upper, int lower_fd)
{
	struct stat st;

	return lower_fd >= 0 && fstat(lower_fd, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_mode == upper->st_mode && st.st_uid == upper->st_uid &&
	       st.st_gid == upper->st_gid;
}

static int seal_directory(struct sealer *s, int upper, int lower, bool *ret_empty,
			  struct error *err);

static int seal_child(struct sealer *s, int upper, int lower, const char *name, bool *ret_gone,
		      struct error *err)
{
	autoclose int fd = FD_NONE, below = FD_NONE;
	bool empty = false, opaque = false;
	struct stat st;
	int r;

	*ret_gone = false;
	if (fstatat(upper, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "stat '%s'", name);
	if (!S_ISDIR(st.st_mode)) {
		clamp(s, upper, name, &st);
		return 0;
	}
	fd = openat(upper, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "open '%s'", name);
	if (lower >= 0)
		below = openat(lower, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->depth >= 4096)
		return error_set(err, ERR_INVALID, "the layer is deeper than 4096 directories");
	s->depth++;
	r = seal_directory(s, fd, below, &empty, err);
	s->depth--;
	if (r < 0)
		return r;
	if (empty && same_directory(&st, below) && !has_own_xattrs(fd, &opaque) && !opaque &&
	    unlinkat(upper, name, AT_REMOVEDIR) == 0) {
		*ret_gone = true;
		return 0;
	}
	if (fstatat(upper, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		clamp(s, upper, name, &st);
	return 0;
}

static int seal_directory(struct sealer *s, int upper, int lower, bool *ret_empty,
			  struct error *err)
{
	int copy = openat(upper, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	VEC(char *) names = { 0 };
	size_t left = 0;
	struct dirent *d;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (dir == NULL) {
		int sys = errno;

		if (copy >= 0)
			close(copy);
		return error_sys(err, sys, "read layer");
	}
	while ((d = readdir(dir)) != NULL) {
		if (!fs_is_component(d->d_name))
			continue;
		left++;
		if (!s->dated || d->d_type == DT_DIR || d->d_type == DT_UNKNOWN)
			*vec_push(&names) = xstrdup(d->d_name);
	}
	closedir(dir);
	vec_for_each (name, &names) {
		bool gone = false;

		if (r == 0)
			r = seal_child(s, upper, lower, *name, &gone, err);
		left -= gone;
		free(*name);
	}
	vec_release(&names);
	*ret_empty = left == 0;
	return r;
}

int rootfs_seal(struct rootfs *root, const struct node *n, struct digest *ret, int64_t *ret_size,
		struct error *err)
{
	struct build *b = root->build;
	struct store *store = b->builder->cfg.store;
	struct sealer s = { .limit_ns = b->q->real_times ? INT64_MAX : n->epoch_ns,
			    .dated = root->dated };
	struct layer_info info;
	const struct node *base = below(n);
	struct stat st, lower_st;
	bool empty;
	int r;

	close_fd(&root->fd);
	r = rootfs_lower(root, n, err);
	if (r == 0)
		r = seal_directory(&s, root->upper_fd, root->lower_fd, &empty, err);
	if (r < 0)
		return r;
	if (fstat(root->upper_fd, &st) < 0 || fstat(root->lower_fd, &lower_st) < 0)
		return error_sys(err, errno, "stat layer");
	if (empty && (base == NULL || base->n_layers == 0 ||
		      (st.st_mode == lower_st.st_mode && st.st_uid == lower_st.st_uid &&
		       st.st_gid == lower_st.st_gid))) {
		*ret = (struct digest){ 0 };
		*ret_size = 0;
		rootfs_close(root);
		return 0;
	}
	clamp(&s, root->upper_fd, ".", &st);
	close_fd(&root->upper_fd);
	close_fd(&root->lower_fd);
	r = commit_take(store, root->key, b->lease.id, b->cancel, &info, err);
	if (r < 0)
		return r;
	root->key[0] = '\0';
	*ret = info.diff_id;
	*ret_size = (int64_t)info.size;
	return 0;
}
