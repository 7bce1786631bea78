/* build/step_copy.c: COPY, ADD and WORKDIR into a mounted root. */
#include <errno.h>
#include <fcntl.h>
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

struct copier {
	struct build *build;
	struct node *node;
	const struct copy_spec *spec;
	const struct tree *tree;
	int rootfd;
	bool chown;
	uid_t uid; /* with chown */
	gid_t gid;
	int64_t mtime_ns; /* of files from contexts */
	/* One source at a time: */
	int base_fd;      /* directory that `rel` paths are below */
	const char *name; /* of the top entry when it is no directory */
	struct map links; /* "dev:ino" -> path below base_fd */
	struct arena arena;
};

static void owner_of(const struct copier *c, const struct stat *st, uid_t *uid, gid_t *gid)
{
	*uid = c->chown ? c->uid : c->tree && c->tree->zero_owner ? 0 : st->st_uid;
	*gid = c->chown ? c->gid : c->tree && c->tree->zero_owner ? 0 : st->st_gid;
}

/* Owner before mode: chown clears setuid. */
static int set_meta(struct copier *c, int fd, const struct stat *st, const char *path,
		    struct error *err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };
	mode_t mode = st->st_mode;
	uid_t uid;
	gid_t gid;
	int r;

	owner_of(c, st, &uid, &gid);
	if (c->spec->chmod[0] != '\0') {
		r = chmod_apply(c->spec->chmod, mode, &mode, err);
		if (r < 0)
			return r;
	}
	if (c->tree != NULL && c->tree->zero_owner && !c->build->q->real_times)
		times[1] = (struct timespec){ c->mtime_ns / NS_PER_SEC, c->mtime_ns % NS_PER_SEC };
	if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode & 07777) < 0 || futimens(fd, times) < 0)
		return error_sys(err, errno, "set attributes of '%s'", path);
	return 0;
}

static int make_room(int dirfd, const char *name, const char *path, struct error *err)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "stat '%s'", path);
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "cannot replace to directory %s with file",
				 path);
	if (unlinkat(dirfd, name, 0) < 0)
		return error_sys(err, errno, "remove '%s'", path);
	return 0;
}

static int copy_file(struct copier *c, const struct tree_entry *e, int dirfd, const char *name,
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

static int copy_link(struct copier *c, const struct tree_entry *e, int dirfd, const char *name,
		     struct error *err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, e->st->st_mtim };
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
	if (c->tree != NULL && c->tree->zero_owner && !c->build->q->real_times)
		times[1] = (struct timespec){ c->mtime_ns / NS_PER_SEC, c->mtime_ns % NS_PER_SEC };
	(void)!utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static int copy_special(struct copier *c, const struct tree_entry *e, int dirfd, const char *name,
			struct error *err)
{
	uid_t uid;
	gid_t gid;

	if (S_ISSOCK(e->st->st_mode))
		return 0;
	owner_of(c, e->st, &uid, &gid);
	if (mknodat(dirfd, name, e->st->st_mode, e->st->st_rdev) < 0 ||
	    fchownat(dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dirfd, name, e->st->st_mode & 07777, 0) < 0)
		return error_sys(err, errno, "create '%s'", e->path);
	return 0;
}

/* A second name of a file already copied becomes a hard link. true: done. */
static bool link_again(struct copier *c, const struct tree_entry *e, int dirfd, const char *name)
{
	char key[64];
	const char *first;

	if (e->st->st_nlink < 2 || !S_ISREG(e->st->st_mode) || e->rel[0] == '\0')
		return false;
	snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)e->st->st_dev,
		 (unsigned long long)e->st->st_ino);
	first = map_get(&c->links, key);
	if (first != NULL)
		return linkat(c->base_fd, first, dirfd, name, 0) == 0;
	map_set(&c->links, key, arena_strdup(&c->arena, e->rel));
	return false;
}

/* A directory below the one that is copied gets the attributes of the source, also
 * when it was there before; one that is only passed (--parents) then gets its mode.
 * Peer: BuildKit. */
static int copy_directory(struct copier *c, const struct tree_entry *e, int dirfd, const char *name,
			  bool passed, struct error *err)
{
	autoclose int fd = FD_NONE, from = FD_NONE;
	bool made = mkdirat(dirfd, name, 0700) == 0;
	struct stat st;
	int r;

	if (!made) {
		if (errno != EEXIST)
			return error_sys(err, errno, "create '%s'", e->path);
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
			return error_set(err, ERR_INVALID, "cannot copy to non-directory: %s",
					 e->path);
	}
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "open '%s'", name);
	if (passed && !made)
		return fchmod(fd, e->st->st_mode & 07777) < 0
			   ? error_sys(err, errno, "set attributes of '%s'", e->path)
			   : 0;
	from = openat(e->dirfd, e->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return error_sys(err, errno, "open '%s'", e->path);
	r = fs_copy_xattrs(from, fd, true, err);
	return r < 0 ? r : set_meta(c, fd, e->st, e->path, err);
}

/* Directory of `rel` below base_fd, without following links. */
static int open_parent(struct copier *c, const char *rel, int *ret_fd, const char **ret_name,
		       struct error *err)
{
	const char *slash = strrchr(rel, '/');
	autofree char *parent = NULL;

	if (slash == NULL) {
		*ret_name = rel;
		*ret_fd = fcntl(c->base_fd, F_DUPFD_CLOEXEC, 3);
		return *ret_fd < 0 ? error_sys(err, errno, "duplicate directory") : 0;
	}
	*ret_name = slash + 1;
	parent = str_dup((struct str){ rel, (size_t)(slash - rel) });
	return fs_open_beneath(c->base_fd, parent, O_RDONLY | O_DIRECTORY, 0, ret_fd, err);
}

static int copy_entry(void *arg, const struct tree_entry *e, struct error *err)
{
	struct copier *c = arg;
	autoclose int dirfd = FD_NONE;
	const char *name;
	int r;

	if (e->rel[0] == '\0' && S_ISDIR(e->st->st_mode))
		return 0;
	r = open_parent(c, e->rel[0] ? e->rel : c->name, &dirfd, &name, err);
	if (r < 0)
		return r;
	if (S_ISDIR(e->st->st_mode))
		return copy_directory(c, e, dirfd, name, false, err);
	r = make_room(dirfd, name, e->path, err);
	if (r < 0 || link_again(c, e, dirfd, name))
		return r;
	if (S_ISREG(e->st->st_mode))
		return copy_file(c, e, dirfd, name, err);
	if (S_ISLNK(e->st->st_mode))
		return copy_link(c, e, dirfd, name, err);
	return copy_special(c, e, dirfd, name, err);
}

/* Directories that a destination needs get the mode of --chmod when that is a
 * number. Peer: BuildKit. */
static int dir_mode(const struct copier *c, mode_t *ret, struct error *err)
{
	*ret = 0755;
	return chmod_is_octal(c->spec->chmod) ? chmod_apply(c->spec->chmod, 0, ret, err) : 0;
}

static int make_dirs(struct copier *c, const char *path, int *ret_fd, struct error *err)
{
	uid_t uid = c->chown ? c->uid : 0;
	gid_t gid = c->chown ? c->gid : 0;
	autoclose int fd = FD_NONE;
	mode_t mode;
	int r = dir_mode(c, &mode, err);

	if (r < 0)
		return r;
	r = fs_mkdir_all_in_root(c->rootfd, path, mode & 0777, uid, gid, &fd, err);
	if (r < 0)
		return r;
	/* An O_PATH fd cannot be read below: open what it stands for. */
	*ret_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? error_sys(err, errno, "open '%s'", path) : 0;
}

static bool is_directory(struct copier *c, const char *path)
{
	autoclose int fd = FD_NONE;

	return fs_open_in_root(c->rootfd, path, O_PATH | O_DIRECTORY, 0, &fd, NULL) == 0;
}

/* Where one source goes: the directory to be below, and the name of a file. */
static int open_target(struct copier *c, const char *source_name, bool source_is_dir,
		       const char *dest, struct error *err)
{
	size_t len = strlen(dest);
	bool slash = len > 0 && dest[len - 1] == '/';
	autofree char *path = NULL;
	int r;

	if (slash || source_is_dir || is_directory(c, dest)) {
		c->name = source_name;
		return make_dirs(c, dest, &c->base_fd, err);
	}
	r = fs_resolve_in_root(c->rootfd, dest, &path, err);
	if (r < 0)
		return r;
	c->name = arena_strdup(&c->arena, strrchr(path, '/') + 1);
	{
		autofree char *up = cstr_format("%s/..", path), *dir = fs_path_clean(up);

		return make_dirs(c, dir, &c->base_fd, err);
	}
}

static void close_target(struct copier *c)
{
	if (c->base_fd >= 0)
		close(c->base_fd);
	c->base_fd = FD_NONE;
	map_release(&c->links);
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
	int r = fs_mkdir_all_in_root(c->rootfd, c->spec->dest, 0755, c->uid, c->gid, NULL, err);

	if (r < 0)
		return r;
	fd_reader_init(&from, fd, c->build->cancel);
	r = decompressor_new(&from.reader, &d, err);
	if (r == 0)
		r = archive_extract(c->rootfd, c->spec->dest, decompressor_reader(d), &options,
				    &stats, err);
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

/* Directories above a match keep their names and attributes. */
static int make_parents(struct copier *c, const char *path, const char *kept, int *ret_fd,
			struct error *err)
{
	size_t cut = strlen(path) - strlen(kept);
	autoclose int dir = FD_NONE;
	int r = make_dirs(c, c->spec->dest, &dir, err);

	for (const char *p = kept; r == 0 && (p = strchr(p, '/')) != NULL; p++) {
		size_t len = (size_t)(p - kept);
		const char *source = arena_strndup(&c->arena, path, cut + len);
		const char *rel = arena_strndup(&c->arena, kept, len);
		autoclose int from = FD_NONE, parent = FD_NONE;
		struct tree_entry e = { .path = source, .rel = rel };
		const char *name;
		struct stat st;

		r = fs_open_in_root(c->tree->fd, source, O_PATH | O_DIRECTORY, 0, &from, err);
		if (r < 0 || fstat(from, &st) < 0)
			return r < 0 ? r : error_sys(err, errno, "stat '%s'", source);
		e.st = &st;
		e.dirfd = from;
		e.name = ".";
		c->base_fd = dir;
		r = open_parent(c, rel, &parent, &name, err);
		if (r == 0)
			r = copy_directory(c, &e, parent, name, true, err);
	}
	c->base_fd = FD_NONE;
	*ret_fd = r < 0 ? FD_NONE : steal_fd(&dir);
	return r;
}

static int copy_with_parents(struct copier *c, const char *path, const char *kept, bool is_dir,
			     const struct ignore *exclude, struct error *err)
{
	autoclose int dir = FD_NONE;
	const char *parent = "";
	int r = make_parents(c, path, kept, &dir, err);

	if (r < 0)
		return r;
	if (!is_dir) {
		c->base_fd = steal_fd(&dir);
		c->name = kept;
		return tree_walk(c->tree, path, exclude, kept, copy_entry, c, err);
	}
	{
		struct tree_entry e = { .path = path, .rel = kept };
		autoclose int from = FD_NONE, up = FD_NONE;
		const char *name;
		struct stat st;

		c->base_fd = dir;
		r = fs_open_in_root(c->tree->fd, path[0] ? path : ".", O_PATH | O_DIRECTORY, 0,
				    &from, err);
		if (r == 0 && fstat(from, &st) < 0)
			r = error_sys(err, errno, "stat '%s'", path);
		e.st = &st;
		e.dirfd = from;
		e.name = ".";
		if (r == 0 && kept[0] != '\0')
			r = open_parent(c, kept, &up, &name, err);
		if (r == 0 && kept[0] != '\0')
			r = copy_directory(c, &e, up, name, false, err);
		c->base_fd = FD_NONE;
		if (r == 0)
			r = fs_open_beneath(dir, kept[0] ? kept : ".", O_RDONLY | O_DIRECTORY, 0,
					    &c->base_fd, err);
	}
	(void)parent;
	return r < 0 ? r : tree_walk(c->tree, path, exclude, kept, copy_entry, c, err);
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
	if (r == 0 && c->spec->parents && n == 0)
		r = make_dirs(c, c->spec->dest, &c->base_fd, err);
	close_target(c);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = copy_match(c, found[i], path_below(found[i], above),
			       c->spec->excludes.len ? &exclude : NULL, err);
	return r;
}

static int write_inline(struct copier *c, const struct copy_item *item, struct error *err)
{
	struct stat st = { .st_mode = S_IFREG | 0644 };
	autoclose int fd = FD_NONE;
	int r = open_target(c, item->path, false, c->spec->dest, err);

	if (r == 0)
		r = make_room(c->base_fd, c->name, c->name, err);
	if (r == 0) {
		fd = openat(c->base_fd, c->name,
			    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			r = error_sys(err, errno, "create '%s'", c->name);
	}
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
		r = make_room(c->base_fd, c->name, c->name, err);
	if (r == 0) {
		to = openat(c->base_fd, c->name,
			    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (to < 0)
			r = error_sys(err, errno, "create '%s'", c->name);
	}
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
		r = make_dirs(c, c->spec->dest, &c->base_fd, err);
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

int step_copy(struct build *b, struct node *n, int rootfd, struct error *err)
{
	auto_(source_tree) from = SOURCE_TREE_INIT;
	struct copier c = {
		.build = b,
		.node = n,
		.spec = n->copy,
		.rootfd = rootfd,
		.base_fd = FD_NONE,
		.mtime_ns = n->epoch_ns,
	};
	mode_t mode;
	int r = 0;

	if (n->copy->chmod[0] != '\0')
		r = chmod_apply(n->copy->chmod, S_IFREG | 0644, &mode, err);
	if (r == 0 && n->copy->chown[0] != '\0') {
		c.chown = true;
		owner_lookup(rootfd, n->copy->chown, &c.uid, &c.gid);
	}
	for (size_t i = 0; r == 0 && i < n->copy->n_items; i++) {
		if (n->copy->items[i].kind == COPY_PATH && c.tree == NULL) {
			r = source_open(b, &n->copy->from, &from, err);
			c.tree = &from.tree;
		}
	}
	if (r == 0)
		r = copy_items(&c, err);
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
