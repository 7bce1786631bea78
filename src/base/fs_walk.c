#include "base/fs_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/vec.h"

void fs_names_release(struct fs_names *n)
{
	for (size_t i = 0; i < n->len; i++)
		free(n->at[i]);
	free(n->at);
	*n = (struct fs_names){ 0 };
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int fs_read_names(int dirfd, struct fs_names *ret, struct error *err)
{
	autoclose int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	auto_(fs_names) names = { 0 };
	const struct dirent *e;
	int failed;

	if (d == NULL)
		return error_sys(err, errno, "read directory");
	(void)steal_fd(&fd);
	failed = fault_hit("readdir") ? errno : 0;
	while (errno = 0, failed == 0 && (e = readdir(d)) != NULL)
		if (fs_is_component(e->d_name))
			*vec_push(&names) = xstrdup(e->d_name);
	failed = failed != 0 ? failed : errno;
	closedir(d);
	if (failed != 0)
		return error_sys(err, failed, "read directory");
	if (names.len > 1)
		qsort(names.at, names.len, sizeof(*names.at), compare_names);
	*ret = names;
	names = (struct fs_names){ 0 };
	return 0;
}

struct level {
	char *name;
	VEC(char *) dirs;
	size_t next;
	dev_t dev;
	ino_t ino;
};

struct walk {
	const struct walk_ops *ops;
	void *arg;
	int base; /* holds the tree; borrowed */
	int fd;   /* of the innermost level */
	VEC(struct level) levels;
};

static void drop_level(struct level *l)
{
	vec_for_each (name, &l->dirs)
		free(*name);
	vec_release(&l->dirs);
	free(l->name);
}

static int open_child(int dirfd, const char *name)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS };

	for (unsigned tries = 0;; tries++) {
		long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

		if (fd >= 0 || errno != EAGAIN || tries > 128)
			return (int)fd;
	}
}

/* Without root's powers a directory of mode 0 would stop the walk. */
static int open_forbidden(int dirfd, const char *name)
{
	autoclose int fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char path[FS_PROC_FD_MAX];

	if (fd < 0)
		return -1;
	fs_proc_fd_path(fd, path);
	if (chmod(path, 0700) < 0)
		return -1;
	return open_child(dirfd, name);
}

static int is_directory(int dirfd, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Hand the files of the innermost level out and note its directories. */
static int read_level(struct walk *w, struct level *l, struct error *err)
{
	autoclose int fd = openat(w->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *e;
	int r = 0;
	DIR *d;

	d = fd < 0 ? NULL : fdopendir(fd);
	if (d == NULL)
		return error_sys(err, errno, "read directory '%s'", l->name);
	(void)steal_fd(&fd);
	while (r == 0) {
		errno = 0;
		e = readdir(d);
		if (e == NULL) {
			if (errno != 0)
				r = error_sys(err, errno, "read directory '%s'", l->name);
			break;
		}
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (is_directory(w->fd, e))
			*vec_push(&l->dirs) = xstrdup(e->d_name);
		else
			r = w->ops->entry(w->arg, w->fd, e->d_name, err);
	}
	closedir(d);
	return r;
}

static int go_down(struct walk *w, const char *name, struct error *err)
{
	int parent = w->levels.len ? w->fd : w->base;
	autoclose int fd = open_child(parent, name);
	struct level *l;
	struct stat st;
	int r;

	if (fd < 0 && errno == EACCES)
		fd = open_forbidden(parent, name);
	if (fd < 0 && errno == EXDEV)
		return error_set(err, ERR_CONFLICT, "'%s' is a mount point", name);
	if (fd < 0 && errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "'%s' does not exist", name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_sys(err, errno, "open directory '%s'", name);
	if (w->ops->enter != NULL) {
		r = w->ops->enter(w->arg, parent, name, fd, err);
		if (r < 0)
			return r;
	}
	l = vec_push(&w->levels);
	l->name = xstrdup(name);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	auto_close_(&w->fd);
	w->fd = steal_fd(&fd);
	return read_level(w, l, err);
}

static int go_up(struct walk *w, struct error *err)
{
	struct level *l = &w->levels.at[w->levels.len - 1];
	autoclose int parent = FD_NONE;
	struct stat st;
	int r = 0;

	if (w->levels.len > 1) {
		parent = openat(w->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (parent < 0 || fstat(parent, &st) < 0)
			return error_sys(err, errno, "open parent of '%s'", l->name);
		if (st.st_dev != l[-1].dev || st.st_ino != l[-1].ino)
			return error_set(err, ERR_CONFLICT, "'%s' was moved meanwhile", l->name);
	}
	if (w->ops->leave != NULL)
		r = w->ops->leave(w->arg, parent < 0 ? w->base : parent, l->name, w->fd, err);
	auto_close_(&w->fd);
	w->fd = steal_fd(&parent);
	drop_level(l);
	w->levels.len--;
	return r;
}

int fs_walk(int dirfd, const char *name, const struct walk_ops *ops, void *arg, struct error *err)
{
	struct walk w = { .ops = ops, .arg = arg, .base = dirfd, .fd = FD_NONE };
	struct stat st;
	int r;

	if (!fs_is_component(name))
		return error_set(err, ERR_INVALID, "bad file name '%s'", name);
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? error_set(err, ERR_NOT_FOUND, "'%s' does not exist", name)
				       : error_sys(err, errno, "stat '%s'", name);
	if (!S_ISDIR(st.st_mode))
		return ops->entry(arg, dirfd, name, err);
	r = go_down(&w, name, err);
	while (r == 0 && w.levels.len > 0) {
		struct level *l = &w.levels.at[w.levels.len - 1];

		if (l->next == l->dirs.len)
			r = go_up(&w, err);
		else
			r = go_down(&w, l->dirs.at[l->next++], err);
	}
	vec_for_each (l, &w.levels)
		drop_level(l);
	vec_release(&w.levels);
	auto_close_(&w.fd);
	return r;
}
