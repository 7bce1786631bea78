/*
 * store/content_dir.c: content in a directory.
 *
 *     blobs/sha256/ab/<64 hex>     mode 0444, never changed
 *     ingest/<algo>-<hex>          partial bytes of a known digest, kept for a resume
 *
 * A partial file is locked (flock) by its writer; a second writer of the same
 * digest gets an unnamed file of its own. Unnamed files vanish with the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/fs_walk.h"
#include "store/content_impl.h"

struct content_dir {
	struct content_store store;
	int blobs, ingest; /* directories */
};

struct dir_writer {
	struct content_writer w;
	struct content_dir *store;
	int fd;
	char name[DIGEST_TEXT_MAX + 8]; /* in ingest; "" = unnamed */
};

#define BLOB_PATH_MAX 160

/* "sha256/ab/abcd..." */
static void blob_path(const struct digest *d, char out[static BLOB_PATH_MAX])
{
	char text[DIGEST_TEXT_MAX];
	size_t algo_len = strlen("sha256");

	digest_format(d, text);
	snprintf(out, BLOB_PATH_MAX, "%.*s/%.2s/%s", (int)algo_len, text, text + algo_len + 1,
		 text + algo_len + 1);
}

static int dir_open(struct content_store *s, const struct digest *d, int *ret_fd,
		    uint64_t *ret_size, struct error *err)
{
	struct content_dir *c = container_of(s, struct content_dir, store);
	char path[BLOB_PATH_MAX], text[DIGEST_TEXT_MAX];
	autoclose int fd = FD_NONE;
	struct stat st;

	blob_path(d, path);
	digest_format(d, text);
	fd =
	    fault_hit("open") ? FD_NONE : openat(c->blobs, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "blob %s not found", text);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_sys(err, errno, "open blob %s", text);
	*ret_size = (uint64_t)st.st_size;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int dir_remove(struct content_store *s, const struct digest *d, struct error *err)
{
	struct content_dir *c = container_of(s, struct content_dir, store);
	char path[BLOB_PATH_MAX];

	blob_path(d, path);
	if (fault_hit("unlink") || (unlinkat(c->blobs, path, 0) < 0 && errno != ENOENT))
		return error_sys(err, errno, "remove blob '%s'", path);
	return 0;
}

static int writer_write_at_end(struct content_writer *base, const void *bytes, size_t len,
			       struct error *err)
{
	struct dir_writer *w = container_of(base, struct dir_writer, w);
	uint64_t from = base->offset;
	int r;

	if (fault_hit("write"))
		return error_sys(err, errno, "write blob");
	r = fs_write_all(w->fd, bytes, len, err);
	/* Start the write-back early: the fsync at the end then finds little to do. */
	if (r == 0 && (from >> 23) != ((from + len) >> 23))
		(void)sync_file_range(w->fd, (off_t)(from >> 23 << 23), 1 << 23,
				      SYNC_FILE_RANGE_WRITE);
	return r;
}

static int writer_read_back(struct content_writer *base, uint64_t offset, void *out, size_t len,
			    struct error *err)
{
	struct dir_writer *w = container_of(base, struct dir_writer, w);
	char *at = out;

	while (len > 0) {
		ssize_t n = pread(w->fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(err, n < 0 ? errno : EIO, "read partial blob");
		at += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int writer_truncate(struct content_writer *base, struct error *err)
{
	struct dir_writer *w = container_of(base, struct dir_writer, w);

	if (ftruncate(w->fd, 0) < 0 || lseek(w->fd, 0, SEEK_SET) < 0)
		return error_sys(err, errno, "truncate partial blob");
	return 0;
}

/* Link an unnamed or a partial file to its final name. */
static int link_blob(struct dir_writer *w, int dirfd, const char *name, struct error *err)
{
	char proc[FS_PROC_FD_MAX];
	int r;

	if (fault_hit("link"))
		return error_sys(err, errno, "link blob '%s'", name);
	if (w->name[0]) {
		r = linkat(w->store->ingest, w->name, dirfd, name, 0);
	} else {
		fs_proc_fd_path(w->fd, proc);
		r = linkat(AT_FDCWD, proc, dirfd, name, AT_SYMLINK_FOLLOW);
	}
	if (r < 0 && errno != EEXIST)
		return error_sys(err, errno, "link blob '%s'", name);
	return 0;
}

/* blobs/sha256/ab, made (durably) when absent. */
static int open_fan_out(struct content_dir *c, const char *path, int *ret, struct error *err)
{
	autoclose int parent = FD_NONE;
	int r;

	if (fault_hit("mkdir"))
		return error_sys(err, errno, "create '%s'", path);
	r = mkdirat(c->blobs, path, 0755);
	if (r < 0 && errno != EEXIST)
		return error_sys(err, errno, "create '%s'", path);
	*ret = openat(c->blobs, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret < 0)
		return error_sys(err, errno, "open '%s'", path);
	if (r < 0)
		return 0;
	parent = openat(*ret, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 || fsync(parent) < 0)
		return error_sys(err, errno, "sync directory of blobs");
	return 0;
}

static int writer_publish(struct content_writer *base, const struct digest *d, struct error *err)
{
	struct dir_writer *w = container_of(base, struct dir_writer, w);
	char path[BLOB_PATH_MAX], *name;
	autoclose int dirfd = FD_NONE;
	int r;

	if (fault_hit("fsync") || fchmod(w->fd, 0444) < 0 || fsync(w->fd) < 0)
		return error_sys(err, errno, "sync blob");
	blob_path(d, path);
	name = strrchr(path, '/');
	*name++ = '\0';
	r = open_fan_out(w->store, path, &dirfd, err);
	if (r < 0)
		return r;
	r = link_blob(w, dirfd, name, err);
	if (r < 0)
		return r;
	if (fault_hit("fsync") || fsync(dirfd) < 0)
		return error_sys(err, errno, "sync directory of blobs");
	return 0;
}

static void writer_end(struct content_writer *base, bool keep)
{
	struct dir_writer *w = container_of(base, struct dir_writer, w);

	if (w->name[0] && (!keep || base->offset == 0))
		(void)unlinkat(w->store->ingest, w->name, 0);
	close(w->fd);
	free(w);
}

static const struct content_writer_ops writer_ops = {
	.write = writer_write_at_end,
	.read_back = writer_read_back,
	.truncate = writer_truncate,
	.publish = writer_publish,
	.end = writer_end,
};

/* True when the file behind fd still has its name: its last writer may have
 * published and removed it between our open and our lock. */
static bool still_named(const struct dir_writer *w)
{
	struct stat a, b;

	return fstat(w->fd, &a) == 0 &&
	       fstatat(w->store->ingest, w->name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* Take the partial file of this digest; false when another writer has it. */
static bool take_partial(struct dir_writer *w)
{
	char text[DIGEST_TEXT_MAX], *colon;

	digest_format(&w->w.want, text);
	colon = strchr(text, ':');
	*colon = '-';
	snprintf(w->name, sizeof(w->name), "%s", text);
	w->fd = openat(w->store->ingest, w->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (w->fd >= 0 && flock(w->fd, LOCK_EX | LOCK_NB) == 0 && still_named(w))
		return true;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = FD_NONE;
	w->name[0] = '\0';
	return false;
}

/* Hash what an earlier writer left. More than announced: start over. */
static int resume(struct dir_writer *w, struct error *err)
{
	char bytes[1 << 16];
	ssize_t n;

	while ((n = read(w->fd, bytes, sizeof(bytes))) > 0) {
		if ((uint64_t)n > w->w.limit - w->w.offset)
			return content_restart(&w->w, err);
		hash_add(&w->w.hash, bytes, (size_t)n);
		w->w.offset += (uint64_t)n;
	}
	if (n < 0)
		return error_sys(err, errno, "read partial blob");
	return 0;
}

static int dir_begin(struct content_store *s, const struct content_expect *expect,
		     struct content_writer **ret, struct error *err)
{
	struct content_dir *c = container_of(s, struct content_dir, store);
	struct dir_writer *w = new0(struct dir_writer);
	int r = 0;

	w->store = c;
	w->fd = FD_NONE;
	content_writer_setup(&w->w, &writer_ops, expect);
	if (fault_hit("open"))
		r = error_sys(err, errno, "create partial blob");
	else if (!expect->resume || !expect->digest || !take_partial(w))
		w->fd = openat(c->ingest, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (r == 0 && w->fd < 0)
		r = error_sys(err, errno, "create partial blob");
	if (r == 0 && w->name[0])
		r = resume(w, err);
	if (r < 0) {
		hash_release(&w->w.hash);
		if (w->fd >= 0)
			close(w->fd);
		free(w);
		return r;
	}
	*ret = &w->w;
	return 0;
}

struct walk {
	int (*fn)(void *arg, const struct digest *d, uint64_t size, struct error *err);
	void *arg;
};

static int list_one(int dirfd, const char *algo, const char *name, const struct walk *walk,
		    struct error *err)
{
	char text[DIGEST_TEXT_MAX + NAME_MAX];
	struct digest d;
	struct stat st;

	snprintf(text, sizeof(text), "%s:%s", algo, name);
	/* Not a blob's name: not ours to judge here, store check reports it. */
	if (digest_from_text(text, &d, NULL) < 0)
		return 0;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "look at blob %s", text);
	return walk->fn(walk->arg, &d, (uint64_t)st.st_size, err);
}

/* Nothing where there is no such directory. */
static int list_dir(int parent, const char *name, int *ret_fd, struct fs_names *ret,
		    struct error *err)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	*ret_fd = fd;
	if (fd < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "open '%s'", name);
	return fs_read_names(fd, ret, err);
}

static int list_algo(struct content_dir *c, const char *algo, const struct walk *walk,
		     struct error *err)
{
	auto_(fs_names) outer = { 0 };
	autoclose int fd = FD_NONE;
	int r = list_dir(c->blobs, algo, &fd, &outer, err);

	for (size_t i = 0; r == 0 && i < outer.len; i++) {
		auto_(fs_names) inner = { 0 };
		autoclose int sub = FD_NONE;

		if (outer.at[i][0] == '.')
			continue;
		r = list_dir(fd, outer.at[i], &sub, &inner, err);
		for (size_t k = 0; r == 0 && k < inner.len; k++)
			if (inner.at[k][0] != '.')
				r = list_one(sub, algo, inner.at[k], walk, err);
	}
	return r;
}

static int dir_list(struct content_store *s,
		    int (*fn)(void *arg, const struct digest *d, uint64_t size, struct error *err),
		    void *arg, struct error *err)
{
	struct content_dir *c = container_of(s, struct content_dir, store);
	const struct walk walk = { fn, arg };
	int r = list_algo(c, "sha256", &walk, err);

	return r < 0 ? r : list_algo(c, "sha512", &walk, err);
}

static void dir_free(struct content_store *s)
{
	struct content_dir *c = container_of(s, struct content_dir, store);

	close(c->blobs);
	close(c->ingest);
	free(c);
}

static int make_dir(int dirfd, const char *name, int *ret, struct error *err)
{
	if (mkdirat(dirfd, name, 0711) < 0 && errno != EEXIST)
		return error_sys(err, errno, "create '%s'", name);
	*ret = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret < 0)
		return error_sys(err, errno, "open '%s'", name);
	return 0;
}

int content_dir_new(int dirfd, struct content_store **ret, struct error *err)
{
	static const struct content_ops ops = {
		.open = dir_open,
		.begin = dir_begin,
		.remove = dir_remove,
		.list = dir_list,
		.free = dir_free,
	};
	autoclose int blobs = FD_NONE, ingest = FD_NONE, algo = FD_NONE, algo512 = FD_NONE;
	struct content_dir *c;
	int r = make_dir(dirfd, "blobs", &blobs, err);

	if (r == 0)
		r = make_dir(blobs, "sha256", &algo, err);
	if (r == 0)
		r = make_dir(blobs, "sha512", &algo512, err);
	if (r == 0)
		r = make_dir(dirfd, "ingest", &ingest, err);
	if (r < 0)
		return r;
	c = new0(struct content_dir);
	c->store.ops = &ops;
	c->blobs = steal_fd(&blobs);
	c->ingest = steal_fd(&ingest);
	*ret = &c->store;
	return 0;
}
