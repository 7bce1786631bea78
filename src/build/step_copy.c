/*
 * build/step_copy.c: COPY, ADD and WORKDIR.
 *
 * Where a destination is, symlinks and all, the mounted root says; the files
 * themselves go straight into the upper directory (build/place.h). A file that the
 * layer made last by the same instruction holds already becomes a hard link to
 * that one (build/copied.h), and so does a file of an unpacked context, which is ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "archive/apply.h"
#include "archive/compress.h"
#include "archive/tar.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/map.h"
#include "build/build_internal.h"
#include "build/chmod.h"
#include "build/copied.h"
#include "build/place.h"
#include "build/stat_cache.h"
#include "build/text.h"

struct copier {
	struct build *build;
	struct node *node;
	const struct copy_spec *spec;
	const struct tree *tree;
	struct rootfs *root;
	struct copied *copied; /* may be NULL */
	bool chown;
	uid_t uid; /* with chown */
	gid_t gid;
	int64_t mtime_ns; /* of files from contexts */
	bool stale;       /* the mounted root does not show what was copied */
	bool alone;       /* there is one source only */
	/* One source at a time: */
	struct place base;     /* directory that `rel` paths are below */
	const char *base_path; /* from the root, "" for the root */
	const char *name;      /* of the top entry when it is no directory */
	const char *prefix;    /* stands before `rel`, "" or "a/b" */
	bool whole;            /* the base is the destination itself, for all sources */
	struct place at;       /* the directory worked in last, below base */
	struct text at_path, rel, in_layer;
	struct map links; /* "dev:ino" -> path below base */
	struct arena arena;
};

static void owner_of(const struct copier *c, const struct stat *st, uid_t *uid, gid_t *gid)
{
	*uid = c->chown ? c->uid : c->tree && c->tree->zero_owner ? 0 : st->st_uid;
	*gid = c->chown ? c->gid : c->tree && c->tree->zero_owner ? 0 : st->st_gid;
}

static int64_t mtime_of(const struct copier *c, const struct stat *st)
{
	int64_t ns = (int64_t)st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec;

	if (c->build->q->real_times)
		return ns;
	/* Files of contexts get that very time, others are not newer. */
	return (c->tree != NULL && c->tree->zero_owner) || ns > c->mtime_ns ? c->mtime_ns : ns;
}

static void set_time(struct timespec times[2], int64_t ns)
{
	int64_t s = ns / NS_PER_SEC, rest = ns % NS_PER_SEC;

	s -= rest < 0;
	rest += rest < 0 ? NS_PER_SEC : 0;
	times[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
	times[1] = (struct timespec){ .tv_sec = s, .tv_nsec = rest };
}

/* What a copy of a file is to look like; its content is another matter. */
static int looks_of(const struct copier *c, const struct stat *st, struct copied_file *ret,
		    struct error *err)
{
	uid_t uid;
	gid_t gid;
	mode_t mode = st->st_mode;
	int r = 0;

	owner_of(c, st, &uid, &gid);
	if (c->spec->chmod[0] != '\0')
		r = chmod_apply(c->spec->chmod, mode, &mode, err);
	*ret = (struct copied_file){
		.mode = mode & 07777, .uid = uid, .gid = gid, .mtime_ns = mtime_of(c, st)
	};
	return r;
}

/* Owner before mode: chown clears setuid. */
static int set_meta(struct copier *c, int fd, const struct stat *st, const char *path,
		    struct error *err)
{
	struct copied_file want;
	struct timespec times[2];
	int r = looks_of(c, st, &want, err);

	if (r < 0)
		return r;
	set_time(times, want.mtime_ns);
	if (fchown(fd, want.uid, want.gid) < 0 || fchmod(fd, want.mode) < 0 ||
	    futimens(fd, times) < 0)
		return error_sys(err, errno, "set attributes of '%s'", path);
	return 0;
}

static const char *path_in_layer(struct copier *c, const struct place *p, const char *name)
{
	text_clear(&c->in_layer);
	text_adds(&c->in_layer, c->base_path);
	text_adds(&c->in_layer, "/");
	if (p == &c->at && c->at_path.len > 0) {
		text_adds(&c->in_layer, c->at_path.at);
		text_adds(&c->in_layer, "/");
	}
	text_adds(&c->in_layer, name);
	return c->in_layer.at;
}

/* A file of a context that we have unpacked becomes the layer's, unless a
 * layer has it already. Its time is nobody's business there. */
static bool link_unpacked(struct copier *c, const struct tree_entry *e,
			  const struct copied_file *want, const struct place *p, const char *name)
{
	uint8_t sum[SHA256_SIZE];
	struct timespec times[2];
	struct stat st;

	if (!c->tree->ours || e->st->st_nlink != 1 || (e->st->st_mode & 07777) != want->mode ||
	    e->st->st_uid != want->uid || e->st->st_gid != want->gid ||
	    linkat(e->dirfd, e->name, p->upper, name,
		   e->dirfd == AT_FDCWD ? AT_SYMLINK_FOLLOW : 0) < 0)
		return false;
	set_time(times, want->mtime_ns);
	/* Of two steps that link at once each sees a third name, and copies. */
	if (fstatat(p->upper, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 2 &&
	    utimensat(p->upper, name, times, AT_SYMLINK_NOFOLLOW) == 0) {
		/* It is known under its new times as well. */
		if (c->tree->cache != NULL && stat_cache_get(c->tree->cache, e->st, sum) &&
		    fstatat(p->upper, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			stat_cache_put(c->tree->cache, &st, sum);
		return true;
	}
	(void)!unlinkat(p->upper, name, 0);
	return false;
}

/* An unpacked file may be the layer's own, whose change time the new link has changed. */
static void know_again(const struct copier *c, const struct tree_entry *e,
		       const uint8_t hash[static SHA256_SIZE])
{
	struct stat st;

	if (c->tree->ours && e->st->st_nlink > 1 &&
	    fstatat(e->dirfd, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		stat_cache_put(c->tree->cache, &st, hash);
}

static int copy_data(struct copier *c, const struct tree_entry *e, int dirfd, const char *name,
		     struct error *err)
{
	autoclose int from = FD_NONE, to = FD_NONE;
	int r;

	from = openat(e->dirfd, e->name,
		      O_RDONLY | O_CLOEXEC | O_NONBLOCK | (e->dirfd == AT_FDCWD ? 0 : O_NOFOLLOW));
	if (from < 0)
		return error_sys(err, errno, "open '%s'", e->path);
	to = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return error_sys(err, errno, "create '%s'", name);
	r = fs_copy_data(from, to, err);
	if (r == 0)
		r = fs_copy_xattrs(from, to, true, err);
	return r < 0 ? r : set_meta(c, to, e->st, e->path, err);
}

static int copy_file(struct copier *c, const struct tree_entry *e, const struct place *p,
		     const char *name, struct error *err)
{
	struct copied_file want;
	bool known = false;
	int r = looks_of(c, e->st, &want, err);

	if (r < 0)
		return r;
	if (c->copied != NULL && (e->st->st_nlink == 1 || c->tree->single) &&
	    c->tree->cache != NULL && stat_cache_get(c->tree->cache, e->st, want.hash)) {
		const char *path = path_in_layer(c, p, name);

		known = true;
		copied_add(c->copied, path, &want);
		/* The layer of the last time has this very file: one name more for it. */
		if (p->old >= 0 && copied_had(c->copied, path, &want) &&
		    linkat(p->old, name, p->upper, name, 0) == 0) {
			know_again(c, e, want.hash);
			return 0;
		}
	}
	if (c->copied != NULL && !known)
		copied_add_fresh(c->copied, path_in_layer(c, p, name));
	return link_unpacked(c, e, &want, p, name) ? 0 : copy_data(c, e, p->upper, name, err);
}

static int copy_link(struct copier *c, const struct tree_entry *e, int dirfd, const char *name,
		     struct error *err)
{
	struct timespec times[2];
	char target[4096];
	ssize_t n = readlinkat(e->dirfd, e->name, target, sizeof(target) - 1);
	uid_t uid;
	gid_t gid;

	if (n < 0)
		return error_sys(err, errno, "read link '%s'", e->path);
	target[n] = '\0';
	owner_of(c, e->st, &uid, &gid);
	if (symlinkat(target, dirfd, name) < 0 ||
	    fchownat(dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "create link '%s'", e->path);
	set_time(times, mtime_of(c, e->st));
	(void)!utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static int copy_special(struct copier *c, const struct tree_entry *e, int dirfd, const char *name,
			struct error *err)
{
	struct timespec times[2];
	uid_t uid;
	gid_t gid;

	if (S_ISSOCK(e->st->st_mode))
		return 0;
	owner_of(c, e->st, &uid, &gid);
	if (mknodat(dirfd, name, e->st->st_mode, e->st->st_rdev) < 0 ||
	    fchownat(dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dirfd, name, e->st->st_mode & 07777, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "create '%s'", e->path);
	set_time(times, mtime_of(c, e->st));
	(void)!utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

/* A second name of a file already copied becomes a hard link. true: done. */
static bool link_again(struct copier *c, const struct tree_entry *e, const char *rel, int dirfd,
		       const char *name)
{
	char key[64];
	const char *first;

	if (e->st->st_nlink < 2 || !S_ISREG(e->st->st_mode) || e->rel[0] == '\0')
		return false;
	snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)e->st->st_dev,
		 (unsigned long long)e->st->st_ino);
	first = map_get(&c->links, key);
	if (first != NULL)
		return linkat(c->base.upper, first, dirfd, name, 0) == 0;
	map_set(&c->links, key, arena_strdup(&c->arena, rel));
	return false;
}

/* A directory below the one that is copied gets the attributes of the source, also
 * when it was there before; one that is only passed (--parents) then gets its mode.
 * Peer: BuildKit. */
static int copy_directory(struct copier *c, const struct tree_entry *e, const struct place *p,
			  const char *name, bool passed, struct error *err)
{
	auto_(place) to = PLACE_INIT;
	autoclose int from = FD_NONE;
	bool made;
	int r = place_mkdir(p, name, e->path, &made, err);

	if (r == 0)
		r = place_open_below(p, name, &to, err);
	if (r < 0)
		return r;
	if (passed && !made)
		return fchmod(to.upper, e->st->st_mode & 07777) < 0
			   ? error_sys(err, errno, "set attributes of '%s'", e->path)
			   : 0;
	from = openat(e->dirfd, e->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return error_sys(err, errno, "open '%s'", e->path);
	r = fs_copy_xattrs(from, to.upper, true, err);
	return r < 0 ? r : set_meta(c, to.upper, e->st, e->path, err);
}

/* Directory of `rel` below the base, without following links; borrowed until the next call. */
static int open_parent(struct copier *c, const char *rel, const struct place **ret,
		       const char **ret_name, struct error *err)
{
	const char *slash = strrchr(rel, '/');
	size_t len = slash ? (size_t)(slash - rel) : 0;
	int r;

	*ret_name = slash ? slash + 1 : rel;
	*ret = &c->at;
	if (c->at.upper >= 0 && c->at_path.len == len &&
	    (len == 0 || memcmp(c->at_path.at, rel, len) == 0))
		return 0;
	place_close(&c->at);
	text_clear(&c->at_path);
	text_add(&c->at_path, rel, len);
	r = place_open_below(&c->base, len ? c->at_path.at : "", &c->at, err);
	return r;
}

static int copy_entry(void *arg, const struct tree_entry *e, struct error *err)
{
	struct copier *c = arg;
	const struct place *p;
	const char *name, *rel = e->rel;
	int r;

	if (e->rel[0] == '\0' && S_ISDIR(e->st->st_mode))
		return 0;
	if (e->rel[0] == '\0')
		rel = c->name;
	if (e->rel[0] != '\0' && c->prefix[0] != '\0') {
		text_clear(&c->rel);
		text_addf(&c->rel, "%s/%s", c->prefix, e->rel);
		rel = c->rel.at;
	}
	r = open_parent(c, rel, &p, &name, err);
	if (r < 0)
		return r;
	c->stale = true;
	if (S_ISDIR(e->st->st_mode))
		return copy_directory(c, e, p, name, false, err);
	/* One source in a directory of its own meets nothing. */
	if (p->lower >= 0 || !c->alone)
		r = place_clear(p, name, e->path, err);
	if (r < 0 || link_again(c, e, rel, p->upper, name))
		return r;
	if (S_ISREG(e->st->st_mode))
		return copy_file(c, e, p, name, err);
	if (S_ISLNK(e->st->st_mode))
		return copy_link(c, e, p->upper, name, err);
	return copy_special(c, e, p->upper, name, err);
}

/* The mounted root, with all that was copied. */
static int fresh_root(struct copier *c, int *ret, struct error *err)
{
	int r = c->stale ? rootfs_refresh(c->root, err) : 0;

	c->stale = c->stale && r < 0;
	*ret = c->root->fd;
	return r;
}

/* A source is done; the next one may go to the same place. */
static void close_target(struct copier *c)
{
	map_release(&c->links);
	c->prefix = "";
	if (c->whole)
		return;
	place_close(&c->at);
	place_close(&c->base);
}

/* Directories that a destination needs get the mode of --chmod when that is a
 * number. Peer: BuildKit. */
static int make_dirs(struct copier *c, const char *path, int *ret_fd, struct error *err)
{
	mode_t mode = 0755;
	int r = chmod_is_octal(c->spec->chmod) ? chmod_apply(c->spec->chmod, 0, &mode, err) : 0;

	return r < 0 ? r
		     : fs_mkdir_all_in_root(c->root->fd, path, mode & 0777, c->chown ? c->uid : 0,
					    c->chown ? c->gid : 0, ret_fd, err);
}

/* Make the directory `path` of the mounted root the base. */
static int open_base(struct copier *c, const char *path, struct error *err)
{
	char link[FS_PROC_FD_MAX], real[PATH_MAX];
	autoclose int fd = FD_NONE;
	ssize_t n;
	int r = make_dirs(c, path, &fd, err);

	if (r < 0 && err != NULL && err->sys == ENOTDIR)
		return error_set(err, ERR_INVALID, "cannot copy to non-directory: %s%s", path,
				 c->spec->n_items > 1 && !cstr_ends(c->spec->dest, "/")
				     ? " (of several sources the destination must end with /)"
				     : "");
	if (r < 0)
		return r;
	/* Where symlinks have led to: the root of a mount of nobody's is "/". */
	fs_proc_fd_path(fd, link);
	n = readlink(link, real, sizeof(real) - 1);
	if (n < 0)
		return error_sys(err, errno, "read where '%s' is", path);
	real[n] = '\0';
	c->whole = false;
	close_target(c);
	c->base_path = arena_strdup(&c->arena, strcmp(real, "/") == 0 ? "" : real);
	return place_open(c->root->upper_fd, c->root->lower_fd,
			  c->copied ? copied_old_fd(c->copied) : FD_NONE, real, &c->base, err);
}

static bool is_directory(struct copier *c, const char *path)
{
	autoclose int fd = FD_NONE;

	return fs_open_in_root(c->root->fd, path, O_PATH | O_DIRECTORY, 0, &fd, NULL) == 0;
}

/* Where one source goes: the directory to be below, and the name of a file. */
static int open_target(struct copier *c, const char *source_name, bool source_is_dir,
		       const char *dest, struct error *err)
{
	size_t len = strlen(dest);
	bool slash = len > 0 && dest[len - 1] == '/';
	autofree char *path = NULL;
	int root, r;

	c->name = source_name;
	if (c->whole)
		return 0;
	r = fresh_root(c, &root, err);
	if (r < 0)
		return r;
	if (slash || source_is_dir || is_directory(c, dest)) {
		r = open_base(c, dest, err);
		c->whole = r == 0;
		return r;
	}
	r = fs_resolve_in_root(root, dest, &path, err);
	if (r < 0)
		return r;
	c->name = arena_strdup(&c->arena, strrchr(path, '/') + 1);
	{
		autofree char *up = cstr_format("%s/..", path), *dir = fs_path_clean(up);

		return open_base(c, dir, err);
	}
}

bool archive_is(int fd)
{
	struct fd_reader from;
	struct decompressor *d = NULL;
	struct tar_reader *t = NULL;
	const struct tar_entry *e = NULL;
	bool found = false;

	fd_reader_init(&from, fd, NULL);
	if (decompressor_new(&from.reader, &d, NULL) == 0) {
		t = tar_reader_new(decompressor_reader(d));
		found = tar_reader_next(t, &e, NULL) == 0 && e != NULL;
		tar_reader_free(t);
	}
	decompressor_free(d);
	return found && lseek(fd, 0, SEEK_SET) == 0;
}

static int unpack_archive(struct copier *c, int fd, struct error *err)
{
	struct extract_options options = {
		.chown = c->chown,
		.uid = c->uid,
		.gid = c->gid,
		.cancel = c->build->cancel,
	};
	struct decompressor *d = NULL;
	struct apply_stats stats;
	struct fd_reader from;
	int root, r = fresh_root(c, &root, err);

	if (r == 0)
		r = fs_mkdir_all_in_root(root, c->spec->dest, 0755, c->uid, c->gid, NULL, err);
	if (r < 0)
		return r;
	fd_reader_init(&from, fd, c->build->cancel);
	r = decompressor_new(&from.reader, &d, err);
	if (r == 0)
		r = archive_extract(root, c->spec->dest, decompressor_reader(d), &options, &stats,
				    err);
	/* What shows through may be another now, and times are the archive's. */
	c->whole = false;
	c->root->dated = false;
	decompressor_free(d);
	return r;
}

/* 1: it was an archive and is unpacked. */
static int try_unpack(struct copier *c, const char *path, struct error *err)
{
	autoclose int fd = FD_NONE;
	struct stat st;
	int r;

	if (!c->spec->add || c->spec->unpack == NO)
		return 0;
	r = fs_open_in_root(c->tree->fd, path, O_RDONLY | O_NONBLOCK, 0, &fd, NULL);
	if (r < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !archive_is(fd))
		return 0;
	r = unpack_archive(c, fd, err);
	return r < 0 ? r : 1;
}

/* Directory `source` of the tree as `rel` below the base. */
static int make_parent(struct copier *c, const char *source, const char *rel, bool passed,
		       struct error *err)
{
	struct tree_entry e = { .path = source, .rel = rel };
	autoclose int from = FD_NONE;
	const struct place *p;
	const char *name;
	struct stat st;
	int r = fs_open_in_root(c->tree->fd, source[0] ? source : ".", O_PATH | O_DIRECTORY, 0,
				&from, err);

	if (r == 0 && fstat(from, &st) < 0)
		r = error_sys(err, errno, "stat '%s'", source);
	if (r == 0)
		r = open_parent(c, rel, &p, &name, err);
	e.st = &st;
	e.dirfd = from;
	e.name = ".";
	c->stale = true;
	return r < 0 ? r : copy_directory(c, &e, p, name, passed, err);
}

/* Directories above a match keep their names and attributes. */
static int make_parents(struct copier *c, const char *path, const char *kept, struct error *err)
{
	size_t cut = strlen(path) - strlen(kept);
	int r = open_target(c, "", true, c->spec->dest, err);

	for (const char *p = kept; r == 0 && (p = strchr(p, '/')) != NULL; p++) {
		size_t len = (size_t)(p - kept);

		r = make_parent(c, arena_strndup(&c->arena, path, cut + len),
				arena_strndup(&c->arena, kept, len), true, err);
	}
	return r;
}

static int copy_with_parents(struct copier *c, const char *path, const char *kept, bool is_dir,
			     const struct ignore *exclude, struct error *err)
{
	int r = make_parents(c, path, kept, err);

	if (r == 0 && is_dir && kept[0] != '\0')
		r = make_parent(c, path, kept, false, err);
	if (r < 0)
		return r;
	c->name = kept;
	c->prefix = kept;
	return tree_walk(c->tree, path, exclude, kept, copy_entry, c, err);
}

static int copy_match(struct copier *c, const char *path, const char *kept,
		      const struct ignore *exclude, struct error *err)
{
	const char *base = strrchr(path, '/');
	autoclose int fd = FD_NONE;
	struct stat st = { 0 };
	int r;

	r = try_unpack(c, path, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = fs_open_in_root(c->tree->fd, path[0] ? path : ".", O_PATH, 0, &fd, NULL);
	if (r == 0 && fstat(fd, &st) < 0)
		return error_sys(err, errno, "stat '%s'", path);
	if (c->spec->parents) {
		r = copy_with_parents(c, path, kept, S_ISDIR(st.st_mode), exclude, err);
	} else {
		r = open_target(c, base ? base + 1 : path, S_ISDIR(st.st_mode), c->spec->dest, err);
		if (r == 0)
			r = tree_walk(c->tree, path, exclude, "", copy_entry, c, err);
	}
	close_target(c);
	return r;
}

static int copy_paths(struct copier *c, const struct copy_item *item, struct error *err)
{
	struct ignore exclude;
	const char **found;
	size_t n = 0, above = 0;
	int r = ignore_compile(&c->arena, c->spec->excludes.at, c->spec->excludes.len, NULL,
			       &exclude, err);

	if (r == 0)
		r = copy_sources(c->tree, &c->arena, c->spec, item->path, &found, &n, &above, err);
	c->alone = n == 1 && c->spec->n_items == 1;
	if (r == 0 && c->spec->parents && n == 0)
		r = open_target(c, "", true, c->spec->dest, err);
	close_target(c);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = copy_match(c, found[i], path_below(found[i], above),
			       c->spec->excludes.len ? &exclude : NULL, err);
	return r;
}

/* The file c->name of the base, new and empty. */
static int create_target(struct copier *c, int *ret_fd, struct error *err)
{
	int r = place_clear(&c->base, c->name, c->name, err);

	c->stale = true;
	if (r < 0)
		return r;
	*ret_fd = openat(c->base.upper, c->name,
			 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *ret_fd < 0 ? error_sys(err, errno, "create '%s'", c->name) : 0;
}

static int write_inline(struct copier *c, const struct copy_item *item, struct error *err)
{
	struct stat st = { .st_mode = S_IFREG | 0644 };
	autoclose int fd = FD_NONE;
	int r = open_target(c, item->path, false, c->spec->dest, err);

	if (r == 0)
		r = create_target(c, &fd, err);
	if (r == 0)
		r = fs_write_all(fd, item->text, strlen(item->text), err);
	st.st_mtim = (struct timespec){ c->mtime_ns / NS_PER_SEC, c->mtime_ns % NS_PER_SEC };
	if (r == 0)
		r = set_meta(c, fd, &st, item->path, err);
	close_target(c);
	return r;
}

static int copy_url(struct copier *c, struct copy_item *item, struct error *err)
{
	struct stat st = { .st_mode = S_IFREG | 0600 };
	autoclose int from = FD_NONE, to = FD_NONE;
	uint8_t sum[SHA256_SIZE];
	int r = 0;

	if (item->file == NULL)
		r = url_fetch(c->build, c->node, item, sum, err);
	if (r == 0)
		r = fs_open_beneath(c->build->builder->dir_fd, item->file, O_RDONLY, 0, &from, err);
	if (r < 0)
		return r;
	if (c->spec->unpack == YES && archive_is(from))
		return unpack_archive(c, from, err);
	if (item->name[0] == '\0' && cstr_ends(c->spec->dest, "/"))
		return error_set(err, ERR_INVALID, "cannot determine a filename for %s",
				 item->path);
	r = open_target(c, item->name, false, c->spec->dest, err);
	if (r == 0)
		r = create_target(c, &to, err);
	if (r == 0)
		r = fs_copy_data(from, to, err);
	st.st_mtim = (struct timespec){ c->mtime_ns / NS_PER_SEC, c->mtime_ns % NS_PER_SEC };
	if (r == 0)
		r = set_meta(c, to, &st, item->path, err);
	close_target(c);
	return r;
}

static int copy_git(struct copier *c, struct copy_item *item, struct error *err)
{
	struct tree tree = { .what = "repository", .zero_owner = true };
	const struct tree *before = c->tree;
	autoclose int fd = FD_NONE;
	int r = git_fetch(c->build, c->node, item, &fd, err);

	if (r == 0)
		r = open_target(c, "", true, c->spec->dest, err);
	tree.fd = fd;
	tree.cancel = c->build->cancel;
	c->tree = &tree;
	if (r == 0)
		r = tree_walk(&tree, "", NULL, "", copy_entry, c, err);
	close_target(c);
	c->tree = before;
	return r;
}

static int copy_items(struct copier *c, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->spec->n_items; i++) {
		struct copy_item *item = &c->spec->items[i];

		switch (item->kind) {
		case COPY_PATH:
			r = copy_paths(c, item, err);
			break;
		case COPY_INLINE:
			r = write_inline(c, item, err);
			break;
		case COPY_URL:
			r = copy_url(c, item, err);
			break;
		case COPY_GIT:
			r = copy_git(c, item, err);
			break;
		}
	}
	return r;
}

int step_copy(struct build *b, struct node *n, struct rootfs *root, struct copied *copied,
	      struct error *err)
{
	auto_(source_tree) from = SOURCE_TREE_INIT;
	struct copier c = {
		.build = b,
		.node = n,
		.spec = n->copy,
		.root = root,
		.copied = copied,
		.base = PLACE_INIT,
		.at = PLACE_INIT,
		.prefix = "",
		.mtime_ns = n->epoch_ns,
	};
	mode_t mode;
	int r = rootfs_lower(root, n, err);

	root->dated = true;
	if (r == 0 && n->copy->chmod[0] != '\0')
		r = chmod_apply(n->copy->chmod, S_IFREG | 0644, &mode, err);
	if (r == 0 && n->copy->chown[0] != '\0') {
		c.chown = true;
		owner_lookup(root->fd, n->copy->chown, &c.uid, &c.gid);
	}
	for (size_t i = 0; r == 0 && i < n->copy->n_items; i++) {
		if (n->copy->items[i].kind == COPY_PATH && c.tree == NULL) {
			r = source_open(b, &n->copy->from, &from, err);
			c.tree = &from.tree;
		}
	}
	if (r == 0)
		r = copy_items(&c, err);
	c.whole = false;
	close_target(&c);
	text_release(&c.at_path);
	text_release(&c.rel);
	text_release(&c.in_layer);
	arena_release(&c.arena);
	return r;
}

int step_workdir(struct build *b, struct node *n, int rootfd, struct error *err)
{
	uid_t uid = 0;
	gid_t gid = 0;

	(void)b;
	if (n->user[0] != '\0')
		owner_lookup(rootfd, n->user, &uid, &gid);
	return fs_mkdir_all_in_root(rootfd, n->path, 0755, uid, gid, NULL, err);
}
