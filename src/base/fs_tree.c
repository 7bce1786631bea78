/* base/fs_tree.c: whole trees: remove, measure, copy. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"

#define REMOVE_ROUNDS_MAX 16

static int unlink_failed(int sys, const char *name, struct error *err)
{
	if (sys == EBUSY)
		return error_set(err, ERR_CONFLICT, "'%s' is a mount point", name);
	return error_sys(err, sys, "remove '%s'", name);
}

static int remove_entry(void *arg, int dirfd, const char *name, struct error *err)
{
	(void)arg;
	if (fault_hit("unlink"))
		return error_sys(err, errno, "remove '%s'", name);
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	return unlink_failed(errno, name, err);
}

static int remove_enter(void *arg, int parent_fd, const char *name, int fd, struct error *err)
{
	struct stat st;

	(void)arg;
	(void)parent_fd;
	(void)err;
	(void)name;
	/* Readable but not writable to its owner: only root could empty it. */
	if (fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
		(void)fchmod(fd, 0700);
	return 0;
}

static int remove_leave(void *arg, int parent_fd, const char *name, int fd, struct error *err)
{
	(void)arg;
	(void)fd;
	if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return unlink_failed(errno, name, err);
}

int fs_remove_tree(int dirfd, const char *name, struct error *err)
{
	static const struct walk_ops ops = { remove_enter, remove_entry, remove_leave };
	struct error mine;
	int r;

	/* Somebody was about to write there and did, behind our look. */
	for (int round = 0; round < REMOVE_ROUNDS_MAX; round++) {
		mine.sys = 0;
		r = fs_walk(dirfd, name, &ops, NULL, &mine);
		if (r == 0 || mine.sys != ENOTEMPTY)
			break;
	}
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0 && err != NULL)
		*err = mine;
	return r;
}

struct usage {
	uint64_t bytes;
	bool content;
	struct map seen; /* "dev:ino" of files with more than one link */
};

static int usage_add(struct usage *u, const struct stat *st)
{
	char key[48];

	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1) {
		snprintf(key, sizeof(key), "%ju:%ju", (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);
		if (map_has(&u->seen, key))
			return 0;
		map_set(&u->seen, key, u);
	}
	if (!u->content || !S_ISDIR(st->st_mode))
		u->bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

static int usage_entry(void *arg, int dirfd, const char *name, struct error *err)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "stat '%s'", name);
	return usage_add(arg, &st);
}

static int usage_enter(void *arg, int parent_fd, const char *name, int fd, struct error *err)
{
	struct stat st;

	(void)parent_fd;
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "stat '%s'", name);
	return usage_add(arg, &st);
}

static int usage_of(int dirfd, const char *name, bool content, uint64_t *ret_bytes,
		    struct error *err)
{
	static const struct walk_ops ops = { usage_enter, usage_entry, NULL };
	struct usage u = { .content = content };
	int r = fs_walk(dirfd, name, &ops, &u, err);

	map_release(&u.seen);
	if (r == 0)
		*ret_bytes = u.bytes;
	return r;
}

int fs_disk_usage(int dirfd, const char *name, uint64_t *ret_bytes, struct error *err)
{
	return usage_of(dirfd, name, false, ret_bytes, err);
}

int fs_content_size(int dirfd, const char *name, uint64_t *ret_bytes, struct error *err)
{
	return usage_of(dirfd, name, true, ret_bytes, err);
}

/* Copy bytes [from, to) at equal offsets. */
static int copy_range(int from_fd, int to_fd, off_t from, off_t to, struct error *err)
{
	enum { CHUNK = 65536 };
	autofree char *chunk = NULL;
	bool by_kernel = true;

	while (from < to) {
		off_t in = from, out = from;
		ssize_t n;

		if (by_kernel) {
			n = copy_file_range(from_fd, &in, to_fd, &out, (size_t)(to - from), 0);
			if (n < 0 && errno != EIO && errno != ENOSPC && errno != EDQUOT) {
				by_kernel = false;
				continue;
			}
		} else {
			size_t want = to - from < CHUNK ? (size_t)(to - from) : CHUNK;

			if (chunk == NULL)
				chunk = xcalloc(1, CHUNK);
			n = pread(from_fd, chunk, want, from);
			if (n > 0)
				n = pwrite(to_fd, chunk, (size_t)n, from);
		}
		if (n < 0 && errno != EINTR)
			return error_sys(err, errno, "copy");
		if (n == 0)
			break; /* it became shorter meanwhile */
		if (n > 0)
			from += n;
	}
	return 0;
}

int fs_copy_data(int from_fd, int to_fd, struct error *err)
{
	off_t at = 0, end;
	struct stat st;
	int r;

	if (fault_hit("write"))
		return error_sys(err, errno, "copy");
	if (ioctl(to_fd, FICLONE, from_fd) == 0)
		return 0;
	if (fstat(from_fd, &st) < 0)
		return error_sys(err, errno, "stat");
	while (at < st.st_size) {
		off_t data = lseek(from_fd, at, SEEK_DATA);

		if (data < 0 && errno == ENXIO)
			break; /* a hole up to the end */
		end = data < 0 ? -1 : lseek(from_fd, data, SEEK_HOLE);
		if (end < 0) { /* no such seek here: all is data */
			data = at;
			end = st.st_size;
		}
		r = copy_range(from_fd, to_fd, data, end, err);
		if (r < 0)
			return r;
		at = end;
	}
	if (ftruncate(to_fd, st.st_size) < 0)
		return error_sys(err, errno, "set size");
	return 0;
}

/* A path /proc/self/fd/N is followed to what N is; in /proc/self/fd/N/name the
 * last component is not. */
struct xattr_calls {
	ssize_t (*list)(const char *, char *, size_t);
	ssize_t (*get)(const char *, const char *, void *, size_t);
	int (*set)(const char *, const char *, const void *, size_t, int);
};
static const struct xattr_calls follow = { listxattr, getxattr, setxattr };
static const struct xattr_calls no_follow = { llistxattr, lgetxattr, lsetxattr };

static int copy_xattrs(const struct xattr_calls *call, const char *from, const char *to,
		       bool lenient, struct error *err)
{
	autofree char *names = NULL;
	autofree char *value = NULL;
	ssize_t len = call->list(from, NULL, 0);

	if (len <= 0)
		return len == 0 || errno == ENOTSUP || errno == ENODATA
			   ? 0
			   : error_sys(err, errno, "list xattrs");
	names = xcalloc(1, (size_t)len + 1);
	len = call->list(from, names, (size_t)len);
	if (len < 0)
		return error_sys(err, errno, "list xattrs");
	value = xcalloc(1, XATTR_SIZE_MAX);
	for (const char *n = names; n < names + len; n += strlen(n) + 1) {
		ssize_t size = call->get(from, n, value, XATTR_SIZE_MAX);

		if (size < 0 && (errno == ENODATA || lenient))
			continue;
		if (size < 0)
			return error_sys(err, errno, "read xattr '%s'", n);
		if (call->set(to, n, value, (size_t)size, 0) < 0 && !lenient)
			return error_sys(err, errno, "set xattr '%s'", n);
	}
	return 0;
}

int fs_copy_xattrs(int from_fd, int to_fd, bool lenient, struct error *err)
{
	char from[FS_PROC_FD_MAX], to[FS_PROC_FD_MAX];

	fs_proc_fd_path(from_fd, from);
	fs_proc_fd_path(to_fd, to);
	return copy_xattrs(&follow, from, to, lenient, err);
}

struct copy {
	unsigned flags;
	int root; /* of the copy; borrowed */
	int fd;   /* innermost directory of the copy */
	const char *name;
	VEC(struct stat) above; /* of the directories from the root to fd */
	struct buf path;        /* of fd below root, for hard links */
	struct map links;       /* "dev:ino" -> path of the first copy */
};

/* Owner first: chown drops set-id bits and capabilities. */
static int copy_meta(const struct copy *c, const struct stat *st, int dirfd, const char *name,
		     int from_dirfd, const char *from_name, struct error *err)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };
	char from[FS_PROC_FD_MAX + NAME_MAX + 2], to[FS_PROC_FD_MAX + NAME_MAX + 2];
	int r;

	if ((c->flags & FS_COPY_OWNER) &&
	    fchownat(dirfd, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "change owner of '%s'", name);
	snprintf(to, sizeof(to), "/proc/self/fd/%d/%s", dirfd, name);
	if (!S_ISLNK(st->st_mode) &&
	    fchmodat(dirfd, name, st->st_mode & 07777, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "change mode of '%s'", name);
	if (c->flags & FS_COPY_XATTRS) {
		snprintf(from, sizeof(from), "/proc/self/fd/%d/%s", from_dirfd, from_name);
		r = copy_xattrs(&no_follow, from, to, false, err);
		if (r < 0)
			return error_wrap(err, r, "'%s'", name);
	}
	if ((c->flags & FS_COPY_TIMES) && utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "set times of '%s'", name);
	return 0;
}

static int copy_file(int from_dirfd, const char *from_name, int to_dirfd, const char *to_name,
		     struct error *err)
{
	autoclose int from = openat(from_dirfd, from_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	autoclose int to = FD_NONE;

	if (from < 0)
		return error_sys(err, errno, "open '%s'", from_name);
	if (!fault_hit("open"))
		to = openat(to_dirfd, to_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			    0600);
	if (to < 0)
		return error_sys(err, errno, "create '%s'", to_name);
	return fs_copy_data(from, to, err);
}

static int copy_symlink(int from_dirfd, const char *from_name, int to_dirfd, const char *to_name,
			struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from_dirfd, from_name, target, sizeof(target) - 1);

	if (n < 0)
		return error_sys(err, errno, "read link '%s'", from_name);
	target[n] = '\0';
	if (symlinkat(target, to_dirfd, to_name) < 0)
		return error_sys(err, errno, "create symlink '%s'", to_name);
	return 0;
}

/* A hard link to what was copied to `first`. Who shares the copy's directory may have put a
 * symlink on the way, or another file in its place: then there is none. */
static bool link_to(const struct copy *c, const char *first, const struct stat *st,
		    const char *name)
{
	const char *slash = strrchr(first, '/');
	autofree char *parent = str_dup((struct str){ first, slash ? (size_t)(slash - first) : 0 });
	autoclose int dir = FD_NONE;
	struct stat made;

	if (fs_open_beneath(c->root, parent, O_PATH | O_DIRECTORY, 0, &dir, NULL) < 0 ||
	    linkat(dir, slash ? slash + 1 : first, c->fd, name, 0) < 0)
		return false;
	if (fstatat(c->fd, name, &made, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (made.st_mode & S_IFMT) == (st->st_mode & S_IFMT))
		return true;
	(void)unlinkat(c->fd, name, 0);
	return false;
}

/* True when the entry now exists as a hard link; else remembers it as the first. */
static bool link_known(struct copy *c, const struct stat *st, const char *name)
{
	const char *first;
	char key[48];

	if (st->st_nlink < 2)
		return false;
	snprintf(key, sizeof(key), "%ju:%ju", (uintmax_t)st->st_dev, (uintmax_t)st->st_ino);
	first = map_get(&c->links, key);
	if (first != NULL)
		return link_to(c, first, st, name);
	if (buf_addf(&c->path, NULL, "%s", name) == 0) {
		map_set(&c->links, key, xstrdup(c->path.data));
		c->path.len -= strlen(name);
		c->path.data[c->path.len] = '\0';
	}
	return false;
}

static int copy_entry(void *arg, int dirfd, const char *name, struct error *err)
{
	struct copy *c = arg;
	const char *to_name = c->above.len ? name : c->name;
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "stat '%s'", name);
	if (c->above.len > 0 && link_known(c, &st, to_name))
		return 0;
	if (S_ISREG(st.st_mode))
		r = copy_file(dirfd, name, c->fd, to_name, err);
	else if (S_ISLNK(st.st_mode))
		r = copy_symlink(dirfd, name, c->fd, to_name, err);
	else if (mknodat(c->fd, to_name, (st.st_mode & S_IFMT) | 0600, st.st_rdev) < 0)
		r = error_sys(err, errno, "create node '%s'", to_name);
	else
		r = 0;
	return r < 0 ? r : copy_meta(c, &st, c->fd, to_name, dirfd, name, err);
}

static int copy_enter(void *arg, int parent_fd, const char *name, int fd, struct error *err)
{
	struct copy *c = arg;
	const char *to_name = c->above.len ? name : c->name;
	struct stat st;
	int next, r;

	(void)parent_fd;
	(void)fd;
	if (fault_hit("mkdir") || mkdirat(c->fd, to_name, 0700) < 0)
		return error_sys(err, errno, "create directory '%s'", to_name);
	next = openat(c->fd, to_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (next < 0 || fstat(next, &st) < 0) {
		r = error_sys(err, errno, "open directory '%s'", to_name);
		auto_close_(&next);
		return r;
	}
	if (c->fd != c->root)
		close(c->fd);
	c->fd = next;
	*vec_push(&c->above) = st;
	return buf_addf(&c->path, err, "%s/", to_name);
}

static int copy_leave(void *arg, int parent_fd, const char *name, int fd, struct error *err)
{
	struct copy *c = arg;
	const char *to_name = c->above.len > 1 ? name : c->name;
	autoclose int up = FD_NONE;
	const struct stat *want;
	struct stat st;
	int r;

	if (c->above.len > 1) {
		want = &c->above.at[c->above.len - 2];
		up = openat(c->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (up < 0 || fstat(up, &st) < 0)
			return error_sys(err, errno, "open parent of '%s'", to_name);
		if (st.st_dev != want->st_dev || st.st_ino != want->st_ino)
			return error_set(err, ERR_CONFLICT, "'%s' was moved meanwhile", to_name);
	}
	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "stat '%s'", name);
	close(c->fd);
	c->fd = up < 0 ? c->root : steal_fd(&up);
	c->above.len--;
	c->path.len -= strlen(to_name) + 1;
	c->path.data[c->path.len] = '\0';
	r = copy_meta(c, &st, c->fd, to_name, parent_fd, name, err);
	return r;
}

int fs_copy_tree(int from_dirfd, const char *from_name, int to_dirfd, const char *to_name,
		 unsigned flags, struct error *err)
{
	static const struct walk_ops ops = { copy_enter, copy_entry, copy_leave };
	struct copy c = { .flags = flags,
			  .root = to_dirfd,
			  .fd = to_dirfd,
			  .name = to_name,
			  .path = BUF_INIT(16UL * 1024 * 1024),
			  .links = { .free_value = free } };
	struct stat st;
	int r;

	if (!fs_is_component(to_name))
		return error_set(err, ERR_INVALID, "bad file name '%s'", to_name);
	if (fstatat(to_dirfd, to_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return error_set(err, ERR_CONFLICT, "'%s' exists", to_name);
	r = fs_walk(from_dirfd, from_name, &ops, &c, err);
	if (c.fd != c.root)
		close(c.fd);
	vec_release(&c.above);
	buf_release(&c.path);
	map_release(&c.links);
	return r;
}
