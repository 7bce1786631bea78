/*
 * registry/storage_fs.c: objects as files.
 *
 * Layout (version 1):
 *   version  lock
 *   content/blobs/sha256/ab/<hex>     as the engine keeps them
 *   quarantine/<algo>-<hex>           what a scrub found damaged
 *   repos/<name>/...                  small objects, see repo.h
 *   uploads/<id>                      bytes of unfinished uploads
 *   trash/<n>                         see trash.h
 *
 * Order on disk: data, fsync(file), link or rename, fsync(directory).
 */
#include "registry/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/str.h"
#include "registry/trash.h"

#define VERSION_TEXT "1\n"

struct storage_fs {
	struct storage storage;
	int root;    /* directory fd */
	int uploads; /* directory fd */
	int trash;   /* directory fd */
	int bad;     /* directory fd: the quarantine */
	int lock;
};

static struct storage_fs *of(struct storage *s)
{
	return container_of(s, struct storage_fs, storage);
}

/* A new directory is as durable as what will be in it: names of all its ancestors. */
static int make_dir(struct storage_fs *fs, const char *dir, int *ret_dir, struct error *err)
{
	char part[STORAGE_KEY_MAX];
	int r = fs_mkdir_all_in_root(fs->root, dir, 0700, geteuid(), getegid(), NULL, err);

	for (const char *p = strchr(dir, '/'); r == 0 && p != NULL; p = strchr(p + 1, '/')) {
		autoclose int fd = FD_NONE;

		snprintf(part, sizeof(part), "%.*s", (int)(p - dir), dir);
		r = fs_open_beneath(fs->root, part, O_RDONLY | O_DIRECTORY, 0, &fd, err);
		if (r == 0)
			r = fs_sync_dir(fd, err);
	}
	if (r == 0)
		r = fs_sync_dir(fs->root, err);
	return r < 0 ? r : fs_open_beneath(fs->root, dir, O_RDONLY | O_DIRECTORY, 0, ret_dir, err);
}

/* Directory of key, made when `make`; *ret_name points at the last component. */
static int open_parent(struct storage_fs *fs, const char *key, bool make, int *ret_dir,
		       const char **ret_name, struct error *err)
{
	const char *slash = strrchr(key, '/');
	char dir[STORAGE_KEY_MAX];
	int r;

	if (slash == NULL || (size_t)(slash - key) >= sizeof(dir))
		return error_set(err, ERR_INVALID, "bad object key '%s'", key);
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - key), key);
	r = fs_open_beneath(fs->root, dir, O_RDONLY | O_DIRECTORY, 0, ret_dir, err);
	if (r == -ERR_NOT_FOUND && make)
		r = make_dir(fs, dir, ret_dir, err);
	if (r == 0)
		*ret_name = slash + 1;
	return r;
}

static int fs_get(struct storage *s, const char *key, struct buf *b, struct error *err)
{
	autoclose int fd = FD_NONE;
	int r = fs_open_beneath(of(s)->root, key, O_RDONLY, 0, &fd, err);
	char part[4096];

	if (r < 0)
		return r;
	for (;;) {
		ssize_t n = read(fd, part, sizeof(part));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "read '%s'", key);
		if (n == 0)
			return 0;
		r = buf_add(b, part, (size_t)n, err);
		if (r < 0)
			return error_wrap(err, r, "object '%s'", key);
	}
}

static int fs_open_object(struct storage *s, const char *key, struct storage_object *ret,
			  struct error *err)
{
	autoclose int fd = FD_NONE;
	struct stat st;
	int r = fs_open_beneath(of(s)->root, key, O_RDONLY, 0, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "stat '%s'", key);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_NOT_FOUND, "'%s' is not an object", key);
	ret->size = (uint64_t)st.st_size;
	ret->fd = steal_fd(&fd);
	return 0;
}

static int fs_stat_object(struct storage *s, const char *key, struct storage_stat *ret,
			  struct error *err)
{
	struct stat st;
	const char *name;
	autoclose int dir = FD_NONE;
	int r = open_parent(of(s), key, false, &dir, &name, err);

	if (r < 0)
		return r;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? error_set(err, ERR_NOT_FOUND, "no object '%s'", key)
				       : error_sys(err, errno, "stat '%s'", key);
	ret->size = (uint64_t)st.st_size;
	ret->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return 0;
}

static int fs_put(struct storage *s, const char *key, const void *bytes, size_t len,
		  struct error *err)
{
	autoclose int dir = FD_NONE;
	const char *name;
	int r = open_parent(of(s), key, true, &dir, &name, err);

	if (r < 0)
		return r;
	return fs_replace(dir, name, 0600, bytes, len, err);
}

static int fs_note(struct storage *s, const char *key, struct error *err)
{
	autoclose int dir = FD_NONE;
	autoclose int fd = FD_NONE;
	const char *name;
	int r = open_parent(of(s), key, true, &dir, &name, err);

	return r < 0 ? r : fs_open_beneath(dir, name, O_WRONLY | O_CREAT, 0600, &fd, err);
}

static int fs_settle(struct storage *s, const char *key, struct error *err)
{
	autoclose int dir = FD_NONE;
	const char *name;
	int r = open_parent(of(s), key, false, &dir, &name, err);

	return r < 0 ? r : fs_sync_dir(dir, err);
}

static int fs_remove(struct storage *s, const char *key, struct error *err)
{
	autoclose int dir = FD_NONE;
	const char *name;
	int r = open_parent(of(s), key, false, &dir, &name, err);

	if (r < 0)
		return r == -ERR_NOT_FOUND ? 0 : r;
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "remove '%s'", key);
	return fs_sync_dir(dir, err);
}

static int fs_discard(struct storage *s, const char *key, struct error *err)
{
	autoclose int dir = FD_NONE;
	const char *name;
	int r = open_parent(of(s), key, false, &dir, &name, err);

	if (r < 0)
		return r == -ERR_NOT_FOUND ? 0 : r;
	return trash_take(of(s)->trash, dir, name, err);
}

static int fs_reclaim(struct storage *s, struct error *err)
{
	return trash_empty(of(s)->trash, err);
}

static int fs_flush(struct storage *s, struct error *err)
{
	return syncfs(of(s)->root) < 0 ? error_sys(err, errno, "sync the data directory") : 0;
}

/* Moved first and looked at then: a push may put a good one there at any moment. */
static int fs_quarantine(struct storage *s, const char *key, const struct storage_object *seen,
			 const char *as, struct error *err)
{
	struct storage_fs *fs = of(s);
	autoclose int dir = FD_NONE;
	struct stat want, got;
	const char *name;
	int r = open_parent(fs, key, false, &dir, &name, err);

	if (r < 0)
		return r;
	if (fstat(seen->fd, &want) < 0)
		return error_sys(err, errno, "stat '%s'", key);
	if (renameat(dir, name, fs->bad, as) < 0)
		return errno == ENOENT ? error_set(err, ERR_NOT_FOUND, "no object '%s'", key)
				       : error_sys(err, errno, "set '%s' aside", key);
	if (fstatat(fs->bad, as, &got, AT_SYMLINK_NOFOLLOW) == 0 && got.st_ino != want.st_ino) {
		if (renameat2(fs->bad, as, dir, name, RENAME_NOREPLACE) < 0)
			(void)unlinkat(fs->bad, as, 0);
		return error_set(err, ERR_NOT_FOUND, "'%s' has been replaced", key);
	}
	r = fs_sync_dir(fs->bad, err);
	return r < 0 ? r : fs_sync_dir(dir, err);
}

static int fs_touch(struct storage *s, const char *key, struct error *err)
{
	autoclose int dir = FD_NONE;
	const char *name;
	int r = open_parent(of(s), key, false, &dir, &name, err);

	if (r < 0)
		return r;
	if (utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? error_set(err, ERR_NOT_FOUND, "no object '%s'", key)
				       : error_sys(err, errno, "touch '%s'", key);
	return 0;
}

static int fs_list(struct storage *s, const char *prefix, struct storage_listing *ret,
		   struct error *err)
{
	auto_(storage_listing) l = { 0 };
	autoclose int fd = FD_NONE;
	auto_(fs_names) names = { 0 };
	int r = fs_open_beneath(of(s)->root, prefix, O_RDONLY | O_DIRECTORY, 0, &fd, err);

	if (r == -ERR_NOT_FOUND) {
		*ret = (struct storage_listing){ 0 };
		return 0;
	}
	if (r < 0)
		return r;
	r = fs_read_names(fd, &names, err);
	if (r < 0)
		return error_wrap(err, r, "list '%s'", prefix);
	l.names = xcalloc(names.len + 1, sizeof(*l.names));
	for (size_t i = 0; i < names.len; i++)
		if (names.at[i][0] != '.')
			l.names[l.len++] = steal_ptr(names.at[i]);
	*ret = l;
	l = (struct storage_listing){ 0 };
	return 0;
}

static int fs_upload_begin(struct storage *s, const char *id, struct storage_upload *ret,
			   struct error *err)
{
	struct storage_upload u = { .fd = FD_NONE };
	int r = fs_open_beneath(of(s)->uploads, id, O_RDWR | O_CREAT | O_EXCL | O_APPEND, 0600,
				&u.fd, err);

	if (r < 0)
		return error_wrap(err, r, "begin upload");
	snprintf(u.id, sizeof(u.id), "%s", id);
	*ret = u;
	return 0;
}

static int fs_upload_resume(struct storage *s, const char *id, struct storage_upload *ret,
			    struct error *err)
{
	autoclose int fd = FD_NONE;
	struct stat st;
	int r = fs_open_beneath(of(s)->uploads, id, O_RDWR | O_APPEND, 0, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "stat upload");
	*ret = (struct storage_upload){ .size = (uint64_t)st.st_size };
	ret->fd = steal_fd(&fd);
	snprintf(ret->id, sizeof(ret->id), "%s", id);
	return 0;
}

static int fs_upload_write(struct storage *s, struct storage_upload *u, const void *bytes,
			   size_t len, struct error *err)
{
	int r = fs_write_all(u->fd, bytes, len, err);

	(void)s;
	if (r < 0) {
		/* A short write must not count: the next chunk starts where this one did. */
		if (ftruncate(u->fd, (off_t)u->size) < 0)
			return error_wrap(err, r, "write upload (and it could not be cut back)");
		return error_wrap(err, r, "write upload");
	}
	u->size += len;
	return 0;
}

static int fs_upload_read(struct storage *s, struct storage_upload *u, uint64_t offset, void *out,
			  size_t len, size_t *ret_n, struct error *err)
{
	ssize_t n = pread(u->fd, out, len, (off_t)offset);

	(void)s;
	if (n < 0)
		return error_sys(err, errno, "read upload");
	*ret_n = (size_t)n;
	return 0;
}

static int fs_upload_commit(struct storage *s, struct storage_upload *take_u, const char *key,
			    struct error *err)
{
	struct storage_upload u = *take_u;
	autoclose int fd = u.fd;
	autoclose int dir = FD_NONE;
	const char *name;
	int r;

	take_u->fd = FD_NONE;
	if (fsync(fd) < 0)
		return error_sys(err, errno, "sync upload");
	r = open_parent(of(s), key, true, &dir, &name, err);
	if (r < 0)
		return r;
	/* Never two names of one file: who resumed the upload would write into the object. */
	if (renameat(of(s)->uploads, u.id, dir, name) < 0)
		return error_sys(err, errno, "rename an upload to '%s'", key);
	return fs_sync_dir(dir, err);
}

static void fs_upload_close(struct storage *s, struct storage_upload *take_u)
{
	(void)s;
	if (take_u->fd >= 0)
		close(take_u->fd);
	take_u->fd = FD_NONE;
}

static int fs_upload_remove(struct storage *s, const char *id, struct error *err)
{
	if (unlinkat(of(s)->uploads, id, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "remove upload");
	return 0;
}

static void fs_free(struct storage *s)
{
	struct storage_fs *fs = of(s);

	if (fs->root >= 0)
		close(fs->root);
	if (fs->uploads >= 0)
		close(fs->uploads);
	if (fs->trash >= 0)
		close(fs->trash);
	if (fs->bad >= 0)
		close(fs->bad);
	if (fs->lock >= 0)
		close(fs->lock);
	free(fs);
}

static const struct storage_ops fs_ops = {
	.get = fs_get,
	.open = fs_open_object,
	.stat = fs_stat_object,
	.put = fs_put,
	.remove = fs_remove,
	.discard = fs_discard,
	.flush = fs_flush,
	.reclaim = fs_reclaim,
	.note = fs_note,
	.settle = fs_settle,
	.quarantine = fs_quarantine,
	.touch = fs_touch,
	.list = fs_list,
	.upload_begin = fs_upload_begin,
	.upload_resume = fs_upload_resume,
	.upload_write = fs_upload_write,
	.upload_read = fs_upload_read,
	.upload_commit = fs_upload_commit,
	.upload_close = fs_upload_close,
	.upload_remove = fs_upload_remove,
	.free = fs_free,
};

static int check_version(struct storage_fs *fs, struct error *err)
{
	auto_(buf) b = BUF_INIT(64);
	int r = fs_read_at(fs->root, "version", &b, err);

	if (r == -ERR_NOT_FOUND)
		return fs_replace(fs->root, "version", 0600, VERSION_TEXT, strlen(VERSION_TEXT),
				  err);
	if (r < 0)
		return r;
	if (strcmp(b.data, VERSION_TEXT) != 0)
		return error_set(err, ERR_CORRUPT, "unknown format version '%.*s'",
				 (int)strcspn(b.data, "\n"), b.data);
	return 0;
}

static int take_lock(int fd, struct error *err)
{
	int r = fs_lock(fd, err);

	return r == -ERR_UNAVAILABLE ? error_set(err, ERR_CONFLICT, "another registry serves it")
				     : r;
}

/* The 256 directories of blobs: a push that had to make its own would wait for the disk longer. */
static int make_blob_dirs(struct storage_fs *fs, struct error *err)
{
	autoclose int dir = FD_NONE;
	char name[3];
	int r = make_dir(fs, "content/blobs/sha256", &dir, err);

	for (unsigned i = 0; r == 0 && i < 256; i++) {
		snprintf(name, sizeof(name), "%02x", i);
		if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)
			r = error_sys(err, errno, "create a directory for blobs");
	}
	return r < 0 ? r : fs_sync_dir(dir, err);
}

static int prepare(struct storage_fs *fs, const char *path, struct error *err)
{
	int r = fs_mkdir_all(path, 0700, err);

	if (r < 0)
		return r;
	r = fs_open(path, O_RDONLY | O_DIRECTORY, 0, &fs->root, err);
	if (r < 0)
		return r;
	r = fs_open_beneath(fs->root, "lock", O_RDWR | O_CREAT, 0600, &fs->lock, err);
	if (r < 0)
		return r;
	r = take_lock(fs->lock, err);
	if (r < 0)
		return r;
	r = check_version(fs, err);
	if (r < 0)
		return r;
	r = make_blob_dirs(fs, err);
	if (r == 0)
		r = make_dir(fs, "uploads", &fs->uploads, err);
	if (r == 0)
		r = make_dir(fs, "quarantine", &fs->bad, err);
	return r < 0 ? r : make_dir(fs, "trash", &fs->trash, err);
}

int storage_fs_open(const char *path, struct storage **ret, struct error *err)
{
	struct storage_fs *fs = new0(struct storage_fs);
	int r;

	fs->storage.ops = &fs_ops;
	fs->root = fs->uploads = fs->trash = fs->bad = fs->lock = FD_NONE;
	r = prepare(fs, path, err);
	if (r < 0) {
		fs_free(&fs->storage);
		return error_wrap(err, r, "data directory '%s'", path);
	}
	*ret = &fs->storage;
	return 0;
}

void storage_listing_release(struct storage_listing *l)
{
	for (size_t i = 0; i < l->len; i++)
		free(l->names[i]);
	free(l->names);
	*l = (struct storage_listing){ 0 };
}

void storage_free(struct storage *s)
{
	if (s != NULL)
		s->ops->free(s);
}
