/*
 * archive/apply.c: walk over a tar and find each entry's place. See apply.h;
 * the making of the entries is in apply_place.c.
 */
#include "archive/apply.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/apply_impl.h"
#include "archive/mapped.h"
#include "base/alloc.h"
#include "base/cancel.h"
#include "base/fs.h"
#include "base/overlay.h"
#include "base/str.h"

#define WHITEOUT        ".wh."
#define WHITEOUT_META   ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

int apply_clean_path(const char *path, struct buf *out, struct error *err)
{
	struct str rest = str_of(path), part;
	int r = buf_add(out, "", 0, err);

	while (r == 0 && str_split(&rest, '/', &part)) {
		if (part.len == 0 || str_eqs(part, "."))
			continue;
		if (str_eqs(part, ".."))
			return error_set(err, ERR_INVALID, "'%.200s': '..' in a path", path);
		if (part.len > NAME_MAX)
			return error_set(err, ERR_INVALID, "'%.80s...': name longer than %d bytes",
					 path, NAME_MAX);
		r = buf_addf(out, err, "%s%.*s", out->len ? "/" : "", STR_ARG(part));
	}
	if (r < 0)
		return error_set(err, ERR_INVALID, "'%.80s...': path longer than %d bytes", path,
				 PATH_MAX);
	return 0;
}

void apply_forget_parent(struct applier *a)
{
	if (a->parent >= 0)
		close(a->parent);
	a->parent = FD_NONE;
	free(steal_ptr(a->parent_path));
}

/* mkdir -p of a layer's path: each step is a real directory of this layer. */
static int make_layer_dirs(struct applier *a, const char *path, int *ret, struct error *err)
{
	autoclose int at = openat(a->rootfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct str rest = str_of(path), part;
	struct stat st;

	while (at >= 0 && str_split(&rest, '/', &part)) {
		char name[NAME_MAX + 1];
		bool made, hidden = false;
		int next;

		memcpy(name, part.at, part.len);
		name[part.len] = '\0';
		made = mkdirat(at, name, 0755) == 0;
		/* A whiteout of this very layer: below, everything is hidden. */
		if (!made && errno == EEXIST && fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    overlay_is_whiteout(&st)) {
			hidden = true;
			made = unlinkat(at, name, 0) == 0 && mkdirat(at, name, 0755) == 0;
		}
		next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (next < 0 && (errno == ELOOP || errno == ENOTDIR))
			return error_set(err, ERR_INVALID,
					 "'%.200s': '%s' in the path is not a directory", path,
					 name);
		close(at);
		at = next;
		if (at >= 0 && made && fchmod(at, 0755) < 0)
			break;
		if (at >= 0 && hidden)
			(void)fsetxattr(
			    at, a->userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque",
			    "y", 1, 0);
	}
	if (at < 0)
		return error_sys(err, errno, "'%.200s': make directories", path);
	*ret = steal_fd(&at);
	return 0;
}

static int open_layer_dir(struct applier *a, const char *path, int *ret, struct error *err)
{
	int r;

	if (!*path) {
		*ret = openat(a->rootfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return *ret < 0 ? error_sys(err, errno, "open the root") : 0;
	}
	r = fs_open_beneath(a->rootfd, path, O_RDONLY | O_DIRECTORY, 0, ret, err);
	if (r == 0)
		return 0;
	/* Absent, or something in the way: the slow walk tells which. */
	return make_layer_dirs(a, path, ret, err);
}

static int open_extract_dir(struct applier *a, const char *path, int *ret, struct error *err)
{
	autofree char *full = cstr_format("%s/%s", a->dest, path);
	autoclose int fd = FD_NONE;
	const struct extract_options *o = a->extract;
	uid_t uid = o->chown ? o->uid : 0;
	gid_t gid = o->chown ? o->gid : 0;
	int r = fs_open_in_root(a->rootfd, full, O_RDONLY | O_DIRECTORY, 0, ret, err);

	if (r != -ERR_NOT_FOUND)
		return r;
	r = mapped_owner_out(o->maps, path, &uid, &gid, err);
	if (r == 0)
		r = fs_mkdir_all_in_root(a->rootfd, full, 0755, uid, gid, &fd, err);
	return r < 0 ? r : fs_open_in_root(a->rootfd, full, O_RDONLY | O_DIRECTORY, 0, ret, err);
}

int apply_parent(struct applier *a, const char *path, int *ret, struct error *err)
{
	int fd, r;

	if (a->parent >= 0 && strcmp(path, a->parent_path) == 0) {
		*ret = a->parent;
		return 0;
	}
	r = a->layer ? open_layer_dir(a, path, &fd, err) : open_extract_dir(a, path, &fd, err);
	if (r < 0)
		return r;
	apply_forget_parent(a);
	a->parent = *ret = fd;
	a->parent_path = xstrdup(path);
	return 0;
}

/* ---- whiteouts ---- */

static int set_opaque(struct applier *a, int dir, struct error *err)
{
	const char *name = a->userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque";

	if (fsetxattr(dir, name, "y", 1, 0) < 0)
		return error_sys(err, errno, "set %s", name);
	return 0;
}

static int place_whiteout(struct applier *a, const char *path, int dir, const char *name,
			  struct error *err)
{
	struct stat st;
	int fd, r;

	if (strcmp(name, WHITEOUT_OPAQUE) == 0)
		return set_opaque(a, dir, err);
	/* Notes of aufs to itself. */
	if (strncmp(name, WHITEOUT_META, strlen(WHITEOUT_META)) == 0)
		return 0;
	name += strlen(WHITEOUT);
	if (!fs_is_component(name))
		return error_set(err, ERR_INVALID, "'%.200s': whiteout of '%s'", path, name);
	if (mknodat(dir, name, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "'%.200s': make a whiteout", path);
	/* This layer has the name itself: a whiteout only means what is below. */
	if (!S_ISDIR(st.st_mode))
		return 0;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_sys(err, errno, "'%.200s': open", path);
	r = set_opaque(a, fd, err);
	close(fd);
	return r;
}

/* ---- the walk ---- */

static int place_root(struct applier *a, const struct tar_entry *e, struct error *err)
{
	if (!a->layer)
		return 0;
	if (e->type != TAR_DIR)
		return error_set(err, ERR_INVALID, "'%.200s': the root is not a directory",
				 e->path);
	apply_late_time(a, "", a->rootfd, e->mtime_ns);
	return apply_attributes(a, e, a->rootfd, err);
}

static int charge(struct applier *a, const struct tar_entry *e, struct error *err)
{
	if (++a->stats.entries > APPLY_MAX_ENTRIES)
		return error_set(err, ERR_INVALID, "more than %llu entries", APPLY_MAX_ENTRIES);
	if (e->type != TAR_FILE)
		return 0;
	/* What fits on no disk is a lie, what does not fit on this one bad luck. */
	if (e->size > a->max_bytes - a->charged && a->max_is_room && e->size <= APPLY_MAX_BYTES)
		return error_sys(err, ENOSPC, "'%.200s': %llu bytes", e->path,
				 (unsigned long long)e->size);
	if (e->size > a->max_bytes - a->charged)
		return error_set(
		    err, ERR_INVALID,
		    "'%.200s': %llu bytes are more than the limit of %llu for all files", e->path,
		    (unsigned long long)e->size, (unsigned long long)a->max_bytes);
	a->charged += e->size;
	a->stats.size += e->size;
	return 0;
}

static int place_entry(struct applier *a, const struct tar_entry *e, struct buf *path,
		       struct error *err)
{
	char *slash, *name;
	const char *parent = "";
	int dir, r = charge(a, e, err);

	a->have_whole = false;
	path->len = 0;
	if (r == 0)
		r = apply_clean_path(e->path, path, err);
	if (r < 0)
		return r;
	if (path->len == 0)
		return place_root(a, e, err);
	slash = strrchr(path->data, '/');
	name = slash ? slash + 1 : path->data;
	if (slash) {
		*slash = '\0';
		parent = path->data;
	}
	r = apply_parent(a, parent, &dir, err);
	if (slash)
		*slash = '/';
	if (r < 0)
		return r;
	if (a->layer && strncmp(name, WHITEOUT, strlen(WHITEOUT)) == 0)
		return place_whiteout(a, path->data, dir, name, err);
	return apply_place(a, e, path->data, dir, name, err);
}

void apply_late_time(struct applier *a, const char *path, int fd, int64_t mtime_ns)
{
	struct timespec times[2];

	if (a->dirs_bytes < LATE_BYTES_MAX) {
		a->dirs_bytes += sizeof(struct late_dir) + strlen(path);
		*vec_push(&a->dirs) = (struct late_dir){ xstrdup(path), mtime_ns };
		return;
	}
	apply_times(mtime_ns, times);
	(void)futimens(fd, times);
}

/* Below its directories nothing changes any more: now their times hold. */
static void set_late_times(struct applier *a)
{
	vec_for_each (d, &a->dirs) {
		struct timespec times[2];
		int fd;

		apply_times(d->mtime_ns, times);
		/* A directory that a later entry replaced has no time to set. */
		if ((a->layer ? fs_open_beneath(a->rootfd, *d->path ? d->path : ".",
						O_RDONLY | O_DIRECTORY, 0, &fd, NULL)
			      : open_extract_dir(a, d->path, &fd, NULL)) < 0)
			continue;
		(void)futimens(fd, times);
		close(fd);
	}
}

int apply_all(struct applier *a, struct error *err)
{
	auto_(buf) path = BUF_INIT(PATH_MAX - 1);
	const struct tar_entry *e;
	int r;

	for (;;) {
		r = cancel_check(a->cancel, err);
		if (r == 0)
			r = tar_reader_next(a->tar, &e, err);
		if (r < 0 || !e)
			break;
		r = place_entry(a, e, &path, err);
		if (r < 0)
			break;
	}
	if (r == 0)
		set_late_times(a);
	return r;
}

void apply_release(struct applier *a)
{
	apply_forget_parent(a);
	vec_for_each (d, &a->dirs)
		free(d->path);
	vec_release(&a->dirs);
	tar_reader_free(a->tar);
	free(a->piece);
	free(a->whole);
}

static void limit_bytes(struct applier *a, int fd, uint64_t asked)
{
	struct statvfs v;

	a->max_bytes = asked ? asked : APPLY_MAX_BYTES;
	if (asked || fstatvfs(fd, &v) < 0 || v.f_bfree > APPLY_MAX_BYTES / v.f_frsize)
		return;
	a->max_bytes = (uint64_t)v.f_bfree * v.f_frsize;
	a->max_is_room = true;
}

int apply_layer(int rootfd, struct reader *tar, const struct apply_options *options,
		struct apply_stats *ret, struct error *err)
{
	struct applier a = {
		.rootfd = rootfd,
		.tar = tar_reader_new(tar),
		.cancel = options->cancel,
		.layer = true,
		.userxattr = options->userxattr,
		.no_owner = options->no_owner,
		.skip_devices = options->skip_devices,
		.parent = FD_NONE,
		.piece = xcalloc(1, APPLY_PIECE),
	};
	int r;

	limit_bytes(&a, rootfd, options->max_bytes);
	r = apply_all(&a, err);
	if (r == 0 && ret)
		*ret = a.stats;
	apply_release(&a);
	return r;
}

int archive_extract(int rootfd, const char *dest, struct reader *tar,
		    const struct extract_options *options, struct apply_stats *ret,
		    struct error *err)
{
	autoclose int fd = FD_NONE;
	struct applier a = { 0 };
	struct stat st;
	int r = fs_open_in_root(rootfd, dest, O_PATH, 0, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "look at '%s'", dest);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "'%s': not a directory", dest);
	a = (struct applier){
		.rootfd = rootfd,
		.tar = tar_reader_new(tar),
		.cancel = options->cancel,
		.extract = options,
		.dest = dest,
		.parent = FD_NONE,
		.piece = xcalloc(1, APPLY_PIECE),
		.whole =
		    options->watch && options->watch->place ? xcalloc(1, EXTRACT_WHOLE_MAX) : NULL,
	};
	limit_bytes(&a, rootfd, options->max_bytes);
	r = apply_all(&a, err);
	if (r == 0 && ret)
		*ret = a.stats;
	apply_release(&a);
	return r;
}
