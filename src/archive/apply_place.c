/*
 * archive/apply_place.c: make one entry of a tar in one directory. Every call
 * takes a directory fd and one component and follows no symlink.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/apply_impl.h"
#include "archive/mapped.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/overlay.h"
#include "base/str.h"

static int failed(const char *path, const char *what, struct error *err)
{
	return error_sys(err, errno, "'%.200s': %s", path, what);
}

void apply_times(int64_t ns, struct timespec times[2])
{
	int64_t s = ns / NS_PER_SEC, rest = ns % NS_PER_SEC;

	if (rest < 0) {
		s--;
		rest += NS_PER_SEC;
	}
	times[0] = times[1] = (struct timespec){ .tv_sec = s, .tv_nsec = rest };
}

static bool xattr_allowed(const char *name)
{
	if (strncmp(name, "user.overlay.", 13) == 0)
		return false;
	return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0;
}

static const struct id_maps *maps_of(const struct applier *a)
{
	return a->extract ? a->extract->maps : NULL;
}

static int owner(const struct applier *a, const struct tar_entry *e, uid_t *uid, gid_t *gid,
		 struct error *err)
{
	bool chown = a->extract && a->extract->chown;

	*uid = chown ? a->extract->uid : e->uid;
	*gid = chown ? a->extract->gid : e->gid;
	return mapped_owner_out(maps_of(a), e->path, uid, gid, err);
}

static int set_xattr(const struct applier *a, const struct tar_entry *e, int fd,
		     const struct tar_xattr *from, struct error *err)
{
	char buf[MAPPED_XATTR_MAX];
	struct tar_xattr x = mapped_xattr_out(maps_of(a), from, buf);

	if (!xattr_allowed(x.name) || fsetxattr(fd, x.name, x.value, x.len, 0) == 0)
		return 0;
	/* A file system without xattrs, or a user who may not: as the peers, go on. */
	return errno == ENOTSUP || errno == EPERM
		   ? 0
		   : failed(e->path, "set an extended attribute", err);
}

int apply_attributes(struct applier *a, const struct tar_entry *e, int fd, struct error *err)
{
	struct stat st;
	uid_t uid;
	gid_t gid;
	int r = owner(a, e, &uid, &gid, err);

	if (r < 0)
		return r;
	/* Most files are root's and were made with their mode: a look is cheaper
	 * than two changes of an inode. */
	if (fstat(fd, &st) < 0)
		return failed(e->path, "look at", err);
	/* Mode after owner: chown takes setuid away. Capabilities last, likewise. */
	if (!a->no_owner && (st.st_uid != uid || st.st_gid != gid)) {
		if (fchown(fd, uid, gid) < 0)
			return failed(e->path, "set owner", err);
		st.st_mode = 0;
	}
	if ((st.st_mode & 07777) != e->mode && fchmod(fd, e->mode) < 0)
		return failed(e->path, "set mode", err);
	for (size_t i = 0; r == 0 && i < e->n_xattrs; i++)
		r = set_xattr(a, e, fd, &e->xattrs[i], err);
	return r;
}

/* ---- files ---- */

/* watch may be NULL */
static int copy_data(struct applier *a, uint64_t len, int fd, const struct extract_watch *watch,
		     const char *path, struct error *err)
{
	while (len > 0) {
		size_t n;
		int r = tar_reader_data(a->tar, a->piece,
					len < APPLY_PIECE ? (size_t)len : APPLY_PIECE, &n, err);

		if (r < 0)
			return r;
		if (n == 0)
			return error_set(err, ERR_CORRUPT, "'%.200s': data ends early", path);
		if (fault_hit("write"))
			return failed(path, "write", err);
		r = fs_write_all(fd, a->piece, n, err);
		if (r < 0)
			return error_wrap(err, r, "'%.200s'", path);
		if (watch)
			watch->data(a->extract->watch_arg, a->piece, n);
		len -= n;
	}
	return 0;
}

static int copy_file(struct applier *a, const struct tar_entry *e, int fd,
		     const struct extract_watch *watch, struct error *err)
{
	int r = 0;

	if (!e->extents)
		return copy_data(a, e->size, fd, watch, e->path, err);
	for (size_t i = 0; r == 0 && i < e->n_extents; i++) {
		if (lseek(fd, (off_t)e->extents[i].offset, SEEK_SET) < 0)
			return failed(e->path, "seek", err);
		r = copy_data(a, e->extents[i].len, fd, NULL, e->path, err);
	}
	if (r == 0 && ftruncate(fd, (off_t)e->size) < 0)
		return failed(e->path, "set size", err);
	return r;
}

/* Once an entry: what is in the way may go between two attempts. */
static int read_whole(struct applier *a, const struct tar_entry *e,
		      const struct extract_watch *watch, struct error *err)
{
	size_t at = 0, n;

	if (a->have_whole)
		return 0;
	while (at < e->size) {
		int r = tar_reader_data(a->tar, a->whole + at, (size_t)e->size - at, &n, err);

		if (r < 0)
			return r;
		at += n;
	}
	watch->data(a->extract->watch_arg, a->whole, at);
	a->have_whole = true;
	return 0;
}

/* true: the watch has put the file there itself. */
static bool place_whole(struct applier *a, const struct tar_entry *e,
			const struct extract_watch *watch, int dir, const char *name)
{
	struct stat st;

	if (!watch->place(a->extract->watch_arg, dir, name, e->size, e->mode, e->mtime_ns))
		return false;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		watch->end(a->extract->watch_arg, &st);
	return true;
}

static int write_whole(struct applier *a, const struct tar_entry *e, int fd, struct error *err)
{
	int r = fault_hit("write") ? failed(e->path, "write", err)
				   : fs_write_all(fd, a->whole, (size_t)e->size, err);

	return r < 0 ? error_wrap(err, r, "'%.200s'", e->path) : 0;
}

static int make_file(struct applier *a, const struct tar_entry *e, int dir, const char *name,
		     struct error *err)
{
	const struct extract_watch *watch =
	    a->extract && !e->extents && e->n_xattrs == 0 ? a->extract->watch : NULL;
	bool whole = watch && watch->place && e->size <= EXTRACT_WHOLE_MAX;
	autoclose int fd = FD_NONE;
	struct timespec times[2];
	struct stat st;
	int r = whole ? read_whole(a, e, watch, err) : 0;

	if (r < 0)
		return r;
	if (whole && place_whole(a, e, watch, dir, name))
		return 0;
	if (fault_hit("open"))
		return failed(e->path, "create", err);
	fd =
	    openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, e->mode & 0777);
	if (fd < 0)
		return errno == EEXIST ? -ERR_CONFLICT : failed(e->path, "create", err);
	r = whole ? write_whole(a, e, fd, err) : copy_file(a, e, fd, watch, err);
	if (r == 0)
		r = apply_attributes(a, e, fd, err);
	if (r < 0)
		return r;
	apply_times(e->mtime_ns, times);
	if (futimens(fd, times) < 0)
		return failed(e->path, "set times", err);
	if (watch && fstat(fd, &st) == 0)
		watch->end(a->extract->watch_arg, &st);
	return 0;
}

/* ---- the rest ---- */

static int attributes_by_name(struct applier *a, const struct tar_entry *e, int dir,
			      const char *name, struct error *err)
{
	struct timespec times[2];
	uid_t uid;
	gid_t gid;
	int r = owner(a, e, &uid, &gid, err);

	if (r < 0)
		return r;
	if (!a->no_owner && fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(e->path, "set owner", err);
	/* A container that runs may have put a symlink in the place of what was just made. */
	if (e->type != TAR_SYMLINK && fchmodat(dir, name, e->mode, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(e->path, "set mode", err);
	apply_times(e->mtime_ns, times);
	if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(e->path, "set times", err);
	return 0;
}

static int exists_or(const struct tar_entry *e, const char *what, struct error *err)
{
	return errno == EEXIST ? -ERR_CONFLICT : failed(e->path, what, err);
}

static int make_symlink(struct applier *a, const struct tar_entry *e, int dir, const char *name,
			struct error *err)
{
	if (symlinkat(e->link, dir, name) < 0)
		return exists_or(e, "make symlink", err);
	return attributes_by_name(a, e, dir, name, err);
}

static int make_node(struct applier *a, const struct tar_entry *e, int dir, const char *name,
		     struct error *err)
{
	mode_t type = e->type == TAR_FIFO ? S_IFIFO : e->type == TAR_CHAR ? S_IFCHR : S_IFBLK;
	dev_t dev = e->type == TAR_FIFO ? 0 : makedev(e->dev_major, e->dev_minor);

	if (a->skip_devices && e->type != TAR_FIFO)
		return 0;
	if (mknodat(dir, name, type | 0600, dev) < 0)
		return exists_or(e, "make device", err);
	return attributes_by_name(a, e, dir, name, err);
}

static int no_target(const struct tar_entry *e, struct error *err)
{
	return error_set(err, ERR_INVALID, "'%.200s': hard link to '%.200s', which is not %s",
			 e->path, e->link, "a file that came before it");
}

/* Directory and name of a link's target, inside the same tree; never made. */
static int open_target(struct applier *a, const struct tar_entry *e, struct buf *path, int *ret_dir,
		       const char **ret_name, struct error *err)
{
	autofree char *full = NULL;
	char *slash;
	int r = apply_clean_path(e->link, path, err);

	if (r < 0)
		return r;
	if (path->len == 0)
		return no_target(e, err);
	slash = strrchr(path->data, '/');
	*ret_name = slash ? slash + 1 : path->data;
	if (slash)
		*slash = '\0';
	if (!a->layer) {
		full = cstr_format("%s/%s", a->dest, slash ? path->data : "");
		r = fs_open_in_root(a->rootfd, full, O_RDONLY | O_DIRECTORY, 0, ret_dir, err);
	} else if (slash) {
		r = fs_open_beneath(a->rootfd, path->data, O_RDONLY | O_DIRECTORY, 0, ret_dir, err);
	} else {
		*ret_dir = openat(a->rootfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = *ret_dir < 0 ? failed(e->path, "open", err) : 0;
	}
	return r < 0 ? no_target(e, err) : 0;
}

static int make_hardlink(struct applier *a, const struct tar_entry *e, int dir, const char *name,
			 struct error *err)
{
	auto_(buf) path = BUF_INIT(PATH_MAX - 1);
	autoclose int from = FD_NONE;
	const char *target = "";
	struct stat st, old;
	int r = open_target(a, e, &path, &from, &target, err);

	if (r < 0)
		return r;
	if (fstatat(from, target, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode) ||
	    overlay_is_whiteout(&st))
		return no_target(e, err);
	/* A name linked to itself (or again) is done: replacing it would lose the data. */
	if (fstatat(dir, name, &old, AT_SYMLINK_NOFOLLOW) == 0 && old.st_ino == st.st_ino &&
	    old.st_dev == st.st_dev)
		return 0;
	if (linkat(from, target, dir, name, 0) < 0)
		return exists_or(e, "make hard link", err);
	a->stats.hard_links++;
	return 0;
}

static int make_dir(struct applier *a, const struct tar_entry *e, const char *path, int dir,
		    const char *name, bool hidden, struct error *err)
{
	autoclose int fd = FD_NONE;
	bool made;
	int r = fault_hit("mkdir") ? -1 : mkdirat(dir, name, 0700);

	made = r == 0;
	if (r < 0 && errno != EEXIST)
		return failed(e->path, "make directory", err);
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return !made && (errno == ENOTDIR || errno == ELOOP)
			   ? -ERR_CONFLICT
			   : failed(e->path, "open directory", err);
	if (!made && a->extract && a->extract->keep_existing_dir_meta)
		return 0;
	r = apply_attributes(a, e, fd, err);
	if (r == 0 && hidden &&
	    fsetxattr(fd, a->userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque", "y", 1,
		      0) < 0)
		r = failed(e->path, "mark opaque", err);
	if (r == 0)
		apply_late_time(a, path, fd, e->mtime_ns);
	return r;
}

static int make(struct applier *a, const struct tar_entry *e, const char *path, int dir,
		const char *name, bool hidden, struct error *err)
{
	switch (e->type) {
	case TAR_FILE:
		return make_file(a, e, dir, name, err);
	case TAR_DIR:
		return make_dir(a, e, path, dir, name, hidden, err);
	case TAR_SYMLINK:
		return make_symlink(a, e, dir, name, err);
	case TAR_HARDLINK:
		return make_hardlink(a, e, dir, name, err);
	case TAR_CHAR:
	case TAR_BLOCK_DEV:
	case TAR_FIFO:
	default:
		return make_node(a, e, dir, name, err);
	}
}

static int may_replace(const struct applier *a, const struct tar_entry *e, const struct stat *st,
		       struct error *err)
{
	if (!a->extract || !a->extract->no_overwrite_dir_non_dir)
		return 0;
	if (S_ISDIR(st->st_mode) && e->type != TAR_DIR)
		return error_set(err, ERR_INVALID,
				 "cannot overwrite directory \"%s\" with non-directory \"%s\"",
				 e->path, a->dest);
	if (!S_ISDIR(st->st_mode) && e->type == TAR_DIR)
		return error_set(err, ERR_INVALID,
				 "cannot overwrite non-directory \"%s\" with directory \"%s\"",
				 e->path, a->dest);
	return 0;
}

int apply_place(struct applier *a, const struct tar_entry *e, const char *path, int dir,
		const char *name, struct error *err)
{
	struct stat st;
	bool hidden;
	uid_t uid;
	gid_t gid;
	/* An owner that cannot be is refused before anything is made or replaced. */
	int r = owner(a, e, &uid, &gid, err);

	if (r == 0)
		r = make(a, e, path, dir, name, false, err);
	if (r != -ERR_CONFLICT)
		return r;
	/* Something is there: it goes first. A directory under the cached parent
	 * path may go with it. */
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(e->path, "look at what is there", err);
	r = may_replace(a, e, &st, err);
	if (r == 0)
		r = fs_remove_tree(dir, name, err);
	if (r < 0)
		return r;
	hidden = a->layer && overlay_is_whiteout(&st);
	r = make(a, e, path, dir, name, hidden, err);
	if (r == -ERR_CONFLICT)
		return error_set(err, ERR_CONFLICT, "'%.200s' keeps coming back", path);
	return r;
}
