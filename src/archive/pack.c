/*
 * archive/pack.c: see pack.h. The walk keeps its stack on the heap (threads of
 * the daemon have 256 KiB), one directory fd a level.
 */
#include "archive/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/mapped.h"
#include "archive/tar.h"
#include "base/alloc.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/overlay.h"
#include "base/vec.h"

#define PIECE       (128 * 1024)
#define DEPTH_MAX   2048
#define XATTR_NAMES 65536
#define XATTR_BYTES 65536
/* Of the names kept to find hard links again; past it a file is packed once a name. */
#define LINKS_BYTES_MAX (64U << 20)

struct level {
	int fd;
	char **names; /* sorted; before each stands its DT_ type */
	size_t n, next;
	size_t path_len; /* of the path before this level's names */
};

struct packer {
	struct tar_writer tar;
	const struct pack_options *o;
	struct pack_stats stats;
	struct buf path;   /* name in the archive of the present entry */
	size_t prefix_len; /* of the part that `rename` gave */
	struct map links;  /* "dev:ino" -> path in the archive */
	size_t links_bytes;
	VEC(struct level) levels;
	VEC(struct tar_xattr) xattrs;
	char *piece, *xattr_names, *xattr_values;
};

static int failed(const struct packer *p, const char *what, struct error *err)
{
	return error_sys(err, errno, "'%.200s': %s", p->path.data ? p->path.data : "", what);
}

/* ---- one directory ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a + 1, *(char *const *)b + 1);
}

static char *typed_name(const struct dirent *e)
{
	size_t n = strlen(e->d_name) + 1;
	char *out = xcalloc(1, n + 1);

	out[0] = (char)e->d_type;
	memcpy(out + 1, e->d_name, n);
	return out;
}

static void level_release(struct level *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
	close(l->fd);
}

/* takes fd */
static int push_level(struct packer *p, int take_fd, struct error *err)
{
	VEC(char *) names = { 0 };
	struct level *l;
	struct dirent *e;
	int copy = openat(take_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	int r = 0;

	if (!d || p->levels.len >= DEPTH_MAX) {
		r = d ? error_set(err, ERR_INVALID, "'%.80s...': directories deeper than %d",
				  p->path.data, DEPTH_MAX)
		      : failed(p, "open directory", err);

		if (d)
			closedir(d);
		close(take_fd);
		return r;
	}
	while (errno = 0, (e = readdir(d)) != NULL) {
		if (fs_is_component(e->d_name))
			*vec_push(&names) = typed_name(e);
	}
	/* Half a directory must not pass for the whole. */
	if (errno != 0)
		r = failed(p, "read directory", err);
	closedir(d);
	if (names.len)
		qsort(names.at, names.len, sizeof(*names.at), compare_names);
	l = vec_push(&p->levels);
	*l = (struct level){
		.fd = take_fd, .names = names.at, .n = names.len, .path_len = p->path.len
	};
	return r;
}

/* ---- one entry ---- */

static bool xattr_wanted(const char *name)
{
	if (strncmp(name, "user.overlay.", 13) == 0)
		return false;
	return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0;
}

static int read_xattrs(struct packer *p, int fd, struct tar_entry *e, struct error *err)
{
	ssize_t n = flistxattr(fd, p->xattr_names, XATTR_NAMES), len;
	size_t used = 0;

	p->xattrs.len = 0;
	if (n < 0 && errno != ENOTSUP)
		return failed(p, "list extended attributes", err);
	for (char *name = p->xattr_names; n > 0 && name < p->xattr_names + n;
	     name += strlen(name) + 1) {
		if (!xattr_wanted(name))
			continue;
		len = fgetxattr(fd, name, p->xattr_values + used, XATTR_BYTES - used);
		if (len < 0)
			return failed(p, "read an extended attribute", err);
		mapped_xattr_in(p->o->maps, name, p->xattr_values + used, &len);
		*vec_push(&p->xattrs) =
		    (struct tar_xattr){ name, p->xattr_values + used, (size_t)len };
		used += (size_t)len;
	}
	e->xattrs = p->xattrs.at;
	e->n_xattrs = p->xattrs.len;
	return 0;
}

static void fill_entry(const struct packer *p, const struct stat *st, struct tar_entry *e)
{
	*e = (struct tar_entry){
		.path = p->path.data,
		.link = "",
		.mode = st->st_mode & 07777,
		.uid = p->o->reset_owner ? 0 : st->st_uid,
		.gid = p->o->reset_owner ? 0 : st->st_gid,
		.mtime_ns = (int64_t)st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec,
		.dev_major = major(st->st_rdev),
		.dev_minor = minor(st->st_rdev),
	};
	if (p->o->clamp_mtime && e->mtime_ns > p->o->mtime_max_ns)
		e->mtime_ns = p->o->mtime_max_ns;
	if (!p->o->reset_owner)
		mapped_owner_in(p->o->maps, &e->uid, &e->gid);
}

static int write_entry(struct packer *p, const struct tar_entry *e, struct error *err)
{
	p->stats.entries++;
	if (e->type == TAR_FILE)
		p->stats.size += e->size;
	return tar_writer_entry(&p->tar, e, err);
}

static int write_data(struct packer *p, int fd, uint64_t size, struct error *err)
{
	bool end = false;
	int r = 0;

	while (r == 0 && size > 0) {
		size_t want = size < PIECE ? (size_t)size : PIECE;
		ssize_t n = end ? 0 : fault_hit("read") ? -1 : read(fd, p->piece, want);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(p, "read", err);
		if (n == 0) { /* it shrank: keep what the header promised */
			end = true;
			memset(p->piece, 0, want);
			n = (ssize_t)want;
		}
		r = cancel_check(p->o->cancel, err);
		if (r == 0)
			r = tar_writer_data(&p->tar, p->piece, (size_t)n, err);
		size -= (size_t)n;
	}
	return r;
}

/* The name under which this file has been packed already, or NULL. */
static const char *known_link(struct packer *p, const struct stat *st)
{
	char key[64];
	const char *first;

	if (st->st_nlink < 2)
		return NULL;
	snprintf(key, sizeof(key), "%llx:%llx", (unsigned long long)st->st_dev,
		 (unsigned long long)st->st_ino);
	first = map_get(&p->links, key);
	if (!first && p->links_bytes < LINKS_BYTES_MAX) {
		p->links_bytes += sizeof(key) + p->path.len;
		map_set(&p->links, key, xstrdup(p->path.data));
	}
	return first;
}

static int pack_again(struct packer *p, const struct stat *st, const char *first, struct error *err)
{
	struct tar_entry e;

	fill_entry(p, st, &e);
	e.type = TAR_HARDLINK;
	e.link = first;
	return write_entry(p, &e, err);
}

static int pack_file(struct packer *p, int dir, const char *name, struct error *err)
{
	autoclose int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const char *first;
	struct tar_entry e;
	struct stat st;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0; /* it vanished */
	if (fd < 0 || fstat(fd, &st) < 0)
		return failed(p, "open", err);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_CONFLICT, "'%.200s' changed while it was read",
				 p->path.data);
	first = known_link(p, &st);
	if (first)
		return pack_again(p, &st, first, err);
	fill_entry(p, &st, &e);
	e.type = TAR_FILE;
	e.size = (uint64_t)st.st_size;
	r = read_xattrs(p, fd, &e, err);
	if (r == 0)
		r = write_entry(p, &e, err);
	return r < 0 ? r : write_data(p, fd, e.size, err);
}

static int pack_symlink(struct packer *p, int dir, const char *name, const struct stat *st,
			struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
	struct tar_entry e;

	if (n < 0)
		return failed(p, "read symlink", err);
	target[n] = '\0';
	fill_entry(p, st, &e);
	e.type = TAR_SYMLINK;
	e.link = target;
	e.mode = 0777;
	return write_entry(p, &e, err);
}

static int pack_whiteout(struct packer *p, const char *parent_end, const char *name,
			 struct error *err)
{
	struct tar_entry e = { .type = TAR_FILE, .link = "", .mode = 0600 };
	size_t keep = (size_t)(parent_end - p->path.data);
	int r;

	p->path.len = keep;
	p->path.data[keep] = '\0';
	r = buf_addf(&p->path, err, ".wh.%s", name);
	e.path = p->path.data;
	return r < 0 ? r : write_entry(p, &e, err);
}

/* The entry of a directory and what marks it; its fd goes onto the stack. */
static int pack_dir(struct packer *p, int dir, const char *name, bool entry, struct error *err)
{
	autoclose int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct tar_entry e;
	struct stat st;
	int r = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return failed(p, "open directory", err);
	if (p->path.len > 0 && p->path.data[p->path.len - 1] != '/')
		r = buf_add(&p->path, "/", 1, err);
	fill_entry(p, &st, &e);
	e.type = TAR_DIR;
	if (r == 0)
		r = read_xattrs(p, fd, &e, err);
	if (r == 0 && entry)
		r = write_entry(p, &e, err);
	if (r == 0 && p->o->overlay && overlay_is_opaque(fd)) {
		size_t len = p->path.len;

		r = buf_add(&p->path, "", 0, err);
		if (r == 0)
			r = pack_whiteout(p, p->path.data + len, ".wh..opq", err);
		p->path.len = len;
		p->path.data[len] = '\0';
	}
	return r < 0 ? r : push_level(p, steal_fd(&fd), err);
}

static int pack_special(struct packer *p, const struct stat *st, struct error *err)
{
	struct tar_entry e;

	fill_entry(p, st, &e);
	e.type = S_ISFIFO(st->st_mode) ? TAR_FIFO : S_ISCHR(st->st_mode) ? TAR_CHAR : TAR_BLOCK_DEV;
	return write_entry(p, &e, err);
}

static bool is_excluded(const struct packer *p)
{
	const char *path = p->path.data + p->prefix_len;

	for (size_t i = 0; p->o->exclude && p->o->exclude[i]; i++) {
		if (strcmp(p->o->exclude[i], path) == 0)
			return true;
	}
	return false;
}

/* Name `name` in dir; p->path is already its path in the archive. type: a DT_ word. */
static int pack_one(struct packer *p, int dir, const char *name, int type, struct error *err)
{
	const char *first;
	struct stat st;

	/* Most are files: opening one tells the rest. */
	if (type == DT_REG)
		return fault_hit("stat") ? failed(p, "look at", err)
		       : is_excluded(p)  ? 0
					 : pack_file(p, dir, name, err);
	if (fault_hit("stat") || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : failed(p, "look at", err); /* it vanished */
	if (S_ISSOCK(st.st_mode) || is_excluded(p))
		return 0;
	if (S_ISDIR(st.st_mode))
		return pack_dir(p, dir, name, true, err);
	if (p->o->overlay && overlay_is_whiteout(&st))
		return pack_whiteout(p, p->path.data + p->path.len - strlen(name), name, err);
	if (S_ISREG(st.st_mode))
		return pack_file(p, dir, name, err);
	first = known_link(p, &st);
	if (first)
		return pack_again(p, &st, first, err);
	if (S_ISLNK(st.st_mode))
		return pack_symlink(p, dir, name, &st, err);
	return pack_special(p, &st, err);
}

static int pack_levels(struct packer *p, struct error *err)
{
	int r = 0;

	while (r == 0 && p->levels.len > 0) {
		struct level *l = &p->levels.at[p->levels.len - 1];
		const char *name;
		int type;

		if (l->next == l->n) {
			level_release(l);
			p->levels.len--;
			continue;
		}
		type = (unsigned char)l->names[l->next][0];
		name = l->names[l->next++] + 1;
		p->path.len = l->path_len;
		r = buf_add(&p->path, name, strlen(name), err);
		if (r == 0)
			r = cancel_check(p->o->cancel, err);
		if (r == 0)
			r = pack_one(p, l->fd, name, type, err);
	}
	return r;
}

static int pack_top(struct packer *p, int dirfd, const char *name, struct error *err)
{
	const char *as = p->o->rename;
	bool self = strcmp(name, ".") == 0;
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "look at '%s'", name);
	if (!as || !*as)
		as = self ? "" : name;
	r = buf_add(&p->path, as, strlen(as), err);
	if (r < 0)
		return r;
	if (!S_ISDIR(st.st_mode)) {
		p->prefix_len = p->path.len; /* nothing to exclude */
		return pack_one(p, dirfd, name, DT_UNKNOWN, err);
	}
	p->prefix_len = p->path.len ? p->path.len + 1 : 0;
	if (p->path.len == 0 && !p->o->no_root_entry) {
		r = buf_add(&p->path, "./", 2, err);
		if (r == 0)
			r = pack_dir(p, dirfd, name, true, err);
		if (r == 0)
			p->levels.at[0].path_len = 0;
		return r < 0 ? r : pack_levels(p, err);
	}
	r = pack_dir(p, dirfd, name, !p->o->no_root_entry, err);
	return r < 0 ? r : pack_levels(p, err);
}

int pack_tree(int dirfd, const char *name, struct writer *to, const struct pack_options *options,
	      struct pack_stats *ret, struct error *err)
{
	struct packer p = {
		.tar = TAR_WRITER_INIT(to),
		.o = options,
		.path = BUF_INIT(1 << 20),
		.links.free_value = free,
		.piece = xcalloc(1, PIECE),
		.xattr_names = xcalloc(1, XATTR_NAMES),
		.xattr_values = xcalloc(1, XATTR_BYTES),
	};
	int r = pack_top(&p, dirfd, name, err);

	if (r == 0)
		r = tar_writer_finish(&p.tar, err);
	if (r == 0 && ret)
		*ret = p.stats;
	vec_for_each (l, &p.levels)
		level_release(l);
	vec_release(&p.levels);
	vec_release(&p.xattrs);
	map_release(&p.links);
	buf_release(&p.path);
	free(p.piece);
	free(p.xattr_names);
	free(p.xattr_values);
	return r;
}

int pack_layer(int upperfd, struct writer *to, const struct cancel *cancel, struct pack_stats *ret,
	       struct error *err)
{
	struct pack_options o = { .overlay = true, .no_root_entry = true, .cancel = cancel };
	struct stat st;

	if (fstat(upperfd, &st) < 0)
		return error_sys(err, errno, "look at the upper directory");
	/* Usual roots need no word about themselves, as in docker's layers. */
	o.no_root_entry = (st.st_mode & 07777) == 0755 && st.st_uid == 0 && st.st_gid == 0;
	return pack_tree(upperfd, ".", to, &o, ret, err);
}
