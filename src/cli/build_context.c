/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/build_context.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive/tar.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/str.h"
#include "base/vec.h"

enum { HEAD_SIZE = 262, CHUNK = 64 << 10, DEPTH_MAX = 512 };

void build_context_release(struct build_context *c)
{
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	c->dir_fd = FD_NONE;
	buf_release(&c->head);
}

static bool is_url(const char *s)
{
	return cstr_starts(s, "http://") || cstr_starts(s, "https://") ||
	       cstr_starts(s, "git://") || cstr_starts(s, "github.com/") || cstr_starts(s, "git@");
}

static int stdin_read(struct buf *b, size_t max, struct error *err)
{
	char bytes[CHUNK];

	while (b->len < max) {
		size_t want = max - b->len < sizeof(bytes) ? max - b->len : sizeof(bytes);
		ssize_t n = read(STDIN_FILENO, bytes, want);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "read stdin");
		if (n == 0)
			break;
		r = buf_add(b, bytes, (size_t)n, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A tar, plain or compressed, or else the text of a Dockerfile. */
static bool is_archive(const struct buf *b)
{
	static const struct {
		const char *magic;
		size_t len, at;
	} kinds[] = { { "ustar", 5, 257 },
		      { "\x1f\x8b", 2, 0 },
		      { "BZh", 3, 0 },
		      { "\xfd"
			"7zXZ",
			5, 0 },
		      { "\x28\xb5\x2f\xfd", 4, 0 } };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (b->len >= kinds[i].at + kinds[i].len &&
		    memcmp(b->data + kinds[i].at, kinds[i].magic, kinds[i].len) == 0)
			return true;
	return false;
}

static int open_stdin(struct cli *cli, const char *file, struct build_context *c, struct error *err)
{
	int r;

	if (strcmp(file, "-") == 0)
		return error_set(
		    err, ERR_INVALID,
		    "invalid argument: can't use stdin for both build context and dockerfile");
	if (isatty(STDIN_FILENO))
		return error_set(err, ERR_INVALID,
				 "unable to prepare context: stdin is a terminal");
	r = stdin_read(&c->head, HEAD_SIZE + 1, err);
	if (r < 0)
		return r;
	c->from_stdin = is_archive(&c->head);
	c->dockerfile = *file ? file : "Dockerfile";
	if (c->from_stdin)
		return 0;
	r = stdin_read(&c->head, c->head.max, err);
	if (r < 0)
		return r;
	c->dockerfile_text = arena_strdup(&cli->arena, c->head.data ? c->head.data : "");
	c->dockerfile = "Dockerfile";
	return 0;
}

/* -f names a file of the context, or one elsewhere whose text is sent. */
static int dockerfile_find(struct cli *cli, const char *dir, const char *file,
			   struct build_context *c, struct error *err)
{
	char root[PATH_MAX], path[PATH_MAX];
	const char *given = *file ? file : arena_format(&cli->arena, "%s/Dockerfile", dir);
	size_t n;
	int r;

	if (strcmp(file, "-") == 0) {
		r = stdin_read(&c->head, c->head.max, err);
		c->dockerfile_text = arena_strdup(&cli->arena, c->head.data ? c->head.data : "");
		c->dockerfile = "Dockerfile";
		return r;
	}
	if (!realpath(dir, root))
		return error_set(err, ERR_NOT_FOUND,
				 "unable to prepare context: path \"%s\" not found", dir);
	if (*file && access(file, F_OK) < 0 && *file != '/' &&
	    access(arena_format(&cli->arena, "%s/%s", dir, file), F_OK) == 0)
		given = arena_format(&cli->arena, "%s/%s", dir, file);
	if (!realpath(given, path)) {
		autofree char *cwd = getcwd(NULL, 0);

		if (!*file && access(arena_format(&cli->arena, "%s/dockerfile", dir), F_OK) == 0) {
			c->dockerfile = "dockerfile";
			return 0;
		}
		return error_set(
		    err, ERR_NOT_FOUND,
		    "unable to prepare context: unable to evaluate symlinks in Dockerfile path: "
		    "lstat %s%s%s: no such file or directory",
		    *given == '/' ? ""
		    : *file       ? cwd
				  : root,
		    *given == '/' ? "" : "/", *file ? given : "Dockerfile");
	}
	n = strlen(root);
	if (strncmp(path, root, n) == 0 && (path[n] == '/' || strcmp(root, "/") == 0)) {
		c->dockerfile = arena_strdup(&cli->arena, path + n + (path[n] == '/'));
		return 0;
	}
	buf_release(&c->head);
	c->head.max = 16 << 20;
	r = fs_read_file(path, &c->head, err);
	c->dockerfile_text = arena_strdup(&cli->arena, c->head.data ? c->head.data : "");
	c->dockerfile = "Dockerfile";
	return r;
}

static int ignore_read(struct cli *cli, struct build_context *c, struct error *err)
{
	auto_(buf) text = BUF_INIT(1 << 20);
	const char *own = arena_format(&cli->arena, "%s.dockerignore", c->dockerfile);
	int r = -ERR_NOT_FOUND;

	if (!c->dockerfile_text && faccessat(c->dir_fd, own, R_OK, 0) == 0)
		r = fs_read_in_root(c->dir_fd, own, &text, err);
	else if (faccessat(c->dir_fd, ".dockerignore", R_OK, 0) == 0)
		r = fs_read_in_root(c->dir_fd, ".dockerignore", &text, err);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0)
		return r;
	r = context_ignore_parse(&cli->arena, (struct str){ text.data ? text.data : "", text.len },
				 &c->ignore, err);
	return r < 0 ? error_wrap(err, r, "error checking context") : 0;
}

int build_context_open(struct cli *cli, const char *where, const char *file,
		       struct build_context *c, struct error *err)
{
	struct stat st;
	int r;

	if (strcmp(where, "-") == 0)
		return open_stdin(cli, file, c, err);
	if (is_url(where) && stat(where, &st) < 0) {
		c->remote = where;
		c->dockerfile = *file ? file : "Dockerfile";
		return 0;
	}
	if (stat(where, &st) < 0)
		return error_set(err, ERR_NOT_FOUND,
				 "unable to prepare context: path \"%s\" not found", where);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID,
				 "unable to prepare context: context must be a directory: %s",
				 where);
	r = fs_open(where, O_RDONLY | O_DIRECTORY, 0, &c->dir_fd, err);
	if (r == 0)
		r = dockerfile_find(cli, where, file, c, err);
	return r < 0 ? r : ignore_read(cli, c, err);
}

struct walk {
	struct build_context *c;
	struct tar_writer tar;
	struct arena arena;
	VEC(struct inode {
		dev_t dev;
		ino_t ino;
		const char *path;
	})
	links; /* first names of files with several */
};

static const char *first_name(struct walk *w, const struct stat *st, const char *path)
{
	vec_for_each (i, &w->links)
		if (i->dev == st->st_dev && i->ino == st->st_ino)
			return i->path;
	*vec_push(&w->links) =
	    (struct inode){ st->st_dev, st->st_ino, arena_strdup(&w->arena, path) };
	return NULL;
}

static int file_send(struct walk *w, int fd, uint64_t size, struct error *err)
{
	autofree char *bytes = xcalloc(1, CHUNK);
	int r = 0;

	while (size > 0 && r == 0) {
		size_t want = size < CHUNK ? (size_t)size : CHUNK;
		ssize_t n = read(fd, bytes, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "read the context");
		if (n == 0) { /* it shrank: the header's promise is kept with zeros */
			memset(bytes, 0, CHUNK);
			n = (ssize_t)want;
		}
		r = tar_writer_data(&w->tar, bytes, (size_t)n, err);
		size -= (uint64_t)n;
	}
	return r;
}

static bool is_kept(const struct walk *w, const char *path)
{
	return !context_ignore_matches(&w->c->ignore, path) ||
	       (!w->c->dockerfile_text && strcmp(path, w->c->dockerfile) == 0) ||
	       strcmp(path, ".dockerignore") == 0;
}

static int entry_send(struct walk *w, int dirfd, const char *name, const char *path,
		      const struct stat *st, struct error *err)
{
	struct tar_entry e = { .path = path, .link = "", .mode = st->st_mode & 07777 };
	autoclose int fd = FD_NONE;
	char target[PATH_MAX];
	int r;

	e.mtime_ns = st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec;
	if (S_ISREG(st->st_mode)) {
		const char *first = st->st_nlink > 1 ? first_name(w, st, path) : NULL;

		e.type = first ? TAR_HARDLINK : TAR_FILE;
		e.link = first ? first : "";
		e.size = first ? 0 : (uint64_t)st->st_size;
		if (!first) {
			fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
			if (fd < 0)
				return error_sys(err, errno, "open '%s' of the context", path);
		}
	} else if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);

		if (n < 0)
			return error_sys(err, errno, "read link '%s'", path);
		target[n] = 0;
		e.type = TAR_SYMLINK;
		e.link = target;
	} else if (S_ISDIR(st->st_mode)) {
		e.type = TAR_DIR;
	} else if (S_ISFIFO(st->st_mode)) {
		e.type = TAR_FIFO;
	} else if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		e.type = S_ISCHR(st->st_mode) ? TAR_CHAR : TAR_BLOCK_DEV;
		e.dev_major = major(st->st_rdev);
		e.dev_minor = minor(st->st_rdev);
	} else {
		return 0;
	}
	r = tar_writer_entry(&w->tar, &e, err);
	return r == 0 && fd >= 0 ? file_send(w, fd, e.size, err) : r;
}

static int walk_dir(struct walk *w, int take_fd, const char *path, unsigned depth,
		    struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	auto_(fs_names) names = { 0 };
	autoclose int dir = take_fd;
	int r = fs_read_names(dir, &names, err);

	if (r < 0)
		return error_wrap(err, r, "'%s' of the context", path);
	for (size_t i = 0; i < names.len && r == 0; i++) {
		const char *name = names.at[i];
		const char *full = *path ? arena_format(&a, "%s/%s", path, name) : name;
		bool kept = is_kept(w, full);
		struct stat st;

		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (kept)
			r = entry_send(w, dir, name, full, &st, err);
		/* Below an ignored directory something may be included again. */
		if (r == 0 && S_ISDIR(st.st_mode) && (kept || w->c->ignore.has_includes)) {
			int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (fd < 0)
				r = error_sys(err, errno, "open '%s' of the context", full);
			else if (depth >= DEPTH_MAX)
				r = error_set(err, ERR_INVALID, "the context is nested too deeply"),
				close(fd);
			else
				r = walk_dir(w, fd, full, depth + 1, err);
		}
	}
	return r;
}

static int stdin_forward(struct build_context *c, struct writer *to, struct error *err)
{
	autofree char *bytes = xcalloc(1, CHUNK);
	int r = writer_write(to, c->head.data, c->head.len, err);

	while (r == 0) {
		ssize_t n = read(STDIN_FILENO, bytes, CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "read stdin");
		if (n == 0)
			break;
		r = writer_write(to, bytes, (size_t)n, err);
	}
	return r;
}

int build_context_write(void *data, struct writer *to, struct error *err)
{
	struct build_context *c = data;
	struct walk w = { .c = c, .tar = TAR_WRITER_INIT(to) };
	int r = 0;

	if (c->from_stdin)
		return stdin_forward(c, to, err);
	if (c->dockerfile_text) {
		r = tar_writer_file(&w.tar, c->dockerfile, 0644, 0, c->dockerfile_text,
				    strlen(c->dockerfile_text), err);
	}
	if (r == 0 && c->dir_fd >= 0) {
		int fd = openat(c->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		r = fd < 0 ? error_sys(err, errno, "open the context")
			   : walk_dir(&w, fd, "", 0, err);
	}
	if (r == 0)
		r = tar_writer_finish(&w.tar, err);
	vec_release(&w.links);
	arena_release(&w.arena);
	return r;
}
