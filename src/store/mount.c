/* store/mount.c: see mount.h. */
#include "store/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/queue.h"
#include "base/str.h"
#include "store/snapshot.h"

/* <sys/mount.h> of glibc 2.36 clashes with <linux/mount.h>; musl has no
 * wrappers at all: call the kernel. */
extern int mount(const char *source, const char *target, const char *type, unsigned long flags,
		 const void *data);
extern int umount2(const char *target, int flags);
#define PROA_MS_PRIVATE (1UL << 18)
#define PROA_MS_REC     (1UL << 14)
#define PROA_MNT_DETACH 2

static int sys_fsopen(const char *type)
{
	return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static int sys_fsconfig(int fd, unsigned cmd, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fd, cmd, key, value, 0);
}

static int sys_open_tree(int dirfd, const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, dirfd, path, flags);
}

static int mount_error(int sys, const char *what, struct error *err)
{
	if (sys == EPERM || sys == EACCES)
		return error_set(err, ERR_FORBIDDEN, "%s: not allowed to mount", what);
	return error_sys(err, sys, "%s", what);
}

/* Options that every overlay of ours has. redirect_dir and metacopy would put
 * things into the upper directory that a layer cannot say. */
static const char *const fixed_options[][2] = {
	{ "redirect_dir", "off" },
	{ "metacopy", "off" },
	{ "index", "off" },
};

static int configure(int fs, const struct mounts *m, bool read_only)
{
	/* Read-only, the writable layer is one more layer to read from. */
	if (m->upper && read_only &&
	    sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", m->upper) < 0)
		return -1;
	for (size_t i = 0; i < m->n_lower; i++) {
		if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", m->lower[i]) < 0)
			return -1;
	}
	if (m->upper && !read_only &&
	    (sys_fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", m->upper) < 0 ||
	     sys_fsconfig(fs, FSCONFIG_SET_STRING, "workdir", m->work) < 0))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(fixed_options); i++) {
		if (sys_fsconfig(fs, FSCONFIG_SET_STRING, fixed_options[i][0],
				 fixed_options[i][1]) < 0)
			return -1;
	}
	if (m->userxattr && sys_fsconfig(fs, FSCONFIG_SET_FLAG, "userxattr", NULL) < 0)
		return -1;
	if (m->no_sync && m->upper && !read_only &&
	    sys_fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL) < 0)
		return -1;
	return sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL);
}

/* -1 with errno; EINVAL: the kernel does not know "lowerdir+". */
static int mount_by_fd(const struct mounts *m, bool read_only)
{
	autoclose int fs = FD_NONE;

	/* Tests of the way below on a kernel that does not need it. */
	if (getenv("PROA_OLD_OVERLAY") != NULL) {
		errno = EINVAL;
		return -1;
	}
	fs = sys_fsopen("overlay");
	if (fs < 0 || configure(fs, m, read_only) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, read_only ? MOUNT_ATTR_RDONLY : 0);
}

/* ---- older kernels ---- */

struct old_way {
	const char *base; /* directory that the paths are relative to */
	const char *options;
	int fd, sys;
};

/* A mount(2) needs a place: a mount namespace of this thread's own, where the
 * snapshots directory's "empty" is it. */
static bool enter_place(const char *base)
{
	return unshare(CLONE_FS | CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, PROA_MS_REC | PROA_MS_PRIVATE, NULL) == 0 &&
	       chdir(base) == 0 && (mkdir("empty", 0755) == 0 || errno == EEXIST);
}

/* The detached copy outlives the thread and its namespace. */
static void *mount_in_thread(void *arg)
{
	struct old_way *w = arg;

	w->fd = FD_NONE;
	if (enter_place(w->base) && mount("overlay", "empty", "overlay", 0, w->options) == 0) {
		w->fd = sys_open_tree(AT_FDCWD, "empty", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		w->sys = errno;
		(void)umount2("empty", PROA_MNT_DETACH);
	} else {
		w->sys = errno;
	}
	return NULL;
}

static const char *relative(const char *path, const char *base)
{
	size_t n = strlen(base);

	return strncmp(path, base, n) == 0 && path[n] == '/' ? path + n + 1 : path;
}

/* The snapshots directory: what stands before "/<n>/fs" or "/empty". */
static char *base_of(const struct mounts *m)
{
	struct str s = str_of(m->lower[m->n_lower - 1]);

	if (str_ends(s, "/fs"))
		s.len -= strlen("/fs");
	s.len = (size_t)str_rfind(s, '/');
	return str_dup(s);
}

static int old_options(const struct mounts *m, const char *base, bool read_only, struct buf *b,
		       struct error *err)
{
	int r = buf_addf(b, err, "redirect_dir=off,metacopy=off,index=off%s%s,lowerdir=",
			 m->userxattr ? ",userxattr" : "",
			 m->no_sync && m->upper && !read_only ? ",volatile" : "");

	if (r == 0 && m->upper && read_only)
		r = buf_addf(b, err, "%s%s", relative(m->upper, base), m->n_lower ? ":" : "");
	for (size_t i = 0; r == 0 && i < m->n_lower; i++)
		r = buf_addf(b, err, "%s%s", i ? ":" : "", relative(m->lower[i], base));
	if (r == 0 && m->upper && !read_only)
		r = buf_addf(b, err, ",upperdir=%s,workdir=%s", relative(m->upper, base),
			     relative(m->work, base));
	return r;
}

static int mount_old_way(const struct mounts *m, bool read_only, int *ret_fd, struct error *err)
{
	autofree char *base = base_of(m);
	auto_(buf) b = BUF_INIT(4000); /* mount(2) takes one page */
	struct old_way w = { .base = base };
	pthread_t thread;
	int r = old_options(m, base, read_only, &b, err);

	if (r < 0)
		return error_wrap(err, r, "too many layers for one overlay mount");
	w.options = b.data;
	r = pthread_create(&thread, NULL, mount_in_thread, &w);
	if (r != 0)
		return error_sys(err, r, "start a thread");
	pthread_join(thread, NULL);
	if (w.fd < 0)
		return mount_error(w.sys, "mount overlay", err);
	*ret_fd = w.fd;
	return 0;
}

/* A plain directory as a mount of its own; who may not mount gets the directory. */
static int clone_dir(const char *path, bool read_only, int *ret_fd, struct error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	int fd = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 && (errno == EPERM || errno == ENOSYS))
		return fs_open(path, O_RDONLY | O_DIRECTORY, 0, ret_fd, err);
	if (fd < 0)
		return mount_error(errno, "mount directory", err);
	if (read_only &&
	    syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
		int r = mount_error(errno, "mount directory read-only", err);

		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* A volatile overlay leaves a mark, so that nobody mounts it again after a crash. Its writes are
 * all there when its files were not lost: after a power cut such containers are removed. */
static bool forget_volatile(const struct mounts *m)
{
	autofree char *path = m->work ? cstr_format("%s/work", m->work) : NULL;
	autoclose int work = FD_NONE;

	return path != NULL && fs_open(path, O_RDONLY | O_DIRECTORY, 0, &work, NULL) == 0 &&
	       faccessat(work, "incompat", F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fs_remove_tree(work, "incompat", NULL) == 0;
}

int mount_open(const struct mounts *m, bool read_only, int *ret_fd, struct error *err)
{
	int fd, sys;

	if (fault_hit("mount"))
		return error_sys(err, errno, "mount overlay");
	if (m->root)
		return clone_dir(m->root, read_only, ret_fd, err);
	fd = mount_by_fd(m, read_only || !m->upper);
	sys = errno;
	if (fd < 0 && sys == EINVAL && m->no_sync && forget_volatile(m)) {
		fd = mount_by_fd(m, read_only || !m->upper);
		sys = errno;
	}
	if (fd < 0 && (sys == EINVAL || sys == ENOSYS))
		return mount_old_way(m, read_only || !m->upper, ret_fd, err);
	if (fd < 0)
		return mount_error(sys, "mount overlay", err);
	*ret_fd = fd;
	return 0;
}

/* ---- id-mapped ---- */

struct mapped {
	const char *base;
	const char *options;
	const int *trees; /* of the lower layers, and of the directory of upper and work */
	size_t n_trees;
	uid_t uid;
	gid_t gid;
	int fd, sys;
};

/* A copy of the directory as a mount with other ids. */
static int map_tree(const char *path, int user_ns, int *ret_fd, struct error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)user_ns };
	autoclose int fd = sys_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0)
		return mount_error(errno, "clone a layer's directory", err);
	if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
		if (errno == EINVAL || errno == ENOSYS)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "the file system below '%s' cannot be id-mapped by this "
					 "kernel",
					 path);
		return mount_error(errno, "map the ids of a layer", err);
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

static bool put_tree(int tree, size_t i)
{
	char name[24];

	snprintf(name, sizeof(name), "%zu", i);
	return mkdir(name, 0700) == 0 &&
	       syscall(SYS_move_mount, tree, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

/*
 * Older overlayfs takes only what is mounted somewhere: here, where nobody else sees it.
 * This thread, whose credentials overlayfs keeps, acts as the namespace's root: ids that the
 * layers' map does not have could make nothing.
 */
static void *mount_mapped_in_thread(void *arg)
{
	struct mapped *w = arg;
	size_t i = 0;

	w->fd = FD_NONE;
	if (enter_place(w->base) && mount("layers", "empty", "tmpfs", 0, "mode=700") == 0 &&
	    chdir("empty") == 0) {
		while (i < w->n_trees && put_tree(w->trees[i], i))
			i++;
		if (i == w->n_trees && mkdir("m", 0700) == 0 && thread_act_as(w->uid, w->gid) &&
		    mount("overlay", "m", "overlay", 0, w->options) == 0)
			w->fd = sys_open_tree(AT_FDCWD, "m", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	}
	w->sys = errno;
	return NULL;
}

static const char *last_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

static int mapped_options(const struct mounts *m, struct buf *b, struct error *err)
{
	int r = buf_addf(b, err, "redirect_dir=off,metacopy=off,index=off%s,lowerdir=",
			 m->no_sync && m->upper ? ",volatile" : "");

	for (size_t i = 0; r == 0 && i < m->n_lower; i++)
		r = buf_addf(b, err, "%s%zu", i ? ":" : "", i);
	if (r == 0 && m->upper)
		r = buf_addf(b, err, ",upperdir=%zu/%s,workdir=%zu/%s", m->n_lower,
			     last_name(m->upper), m->n_lower, last_name(m->work));
	return r;
}

static int map_trees(const struct mounts *m, int user_ns, int *trees, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->n_lower; i++)
		r = map_tree(m->lower[i], user_ns, &trees[i], err);
	if (r == 0 && m->upper) {
		autofree char *dir =
		    str_dup((struct str){ m->upper, (size_t)(last_name(m->upper) - m->upper - 1) });

		r = map_tree(dir, user_ns, &trees[m->n_lower], err);
	}
	return r;
}

int mount_open_mapped(const struct mounts *m, int user_ns, uid_t uid, gid_t gid, int *ret_fd,
		      struct error *err)
{
	size_t n = m->n_lower + (m->upper != NULL);
	autofree int *trees = xcalloc(n + 1, sizeof(*trees));
	autofree char *base = m->root ? NULL : base_of(m);
	auto_(buf) b = BUF_INIT(4000);
	struct mapped w = { .base = base, .trees = trees, .n_trees = n, .uid = uid, .gid = gid };
	pthread_t thread;
	int r;

	if (m->root)
		return map_tree(m->root, user_ns, ret_fd, err);
	for (size_t i = 0; i < n; i++)
		trees[i] = FD_NONE;
	r = mapped_options(m, &b, err);
	/* The root was mounted without a map just now, to look for the users in it. */
	if (m->no_sync)
		(void)!forget_volatile(m);
	if (r == 0)
		r = map_trees(m, user_ns, trees, err);
	w.options = b.data;
	if (r == 0 && (errno = pthread_create(&thread, NULL, mount_mapped_in_thread, &w)) != 0)
		r = error_sys(err, errno, "start a thread");
	if (r == 0) {
		pthread_join(thread, NULL);
		r = w.fd < 0 ? mount_error(w.sys, "mount an overlay of id-mapped layers", err) : 0;
	}
	for (size_t i = 0; i < n; i++)
		if (trees[i] >= 0)
			close(trees[i]);
	if (r == 0)
		*ret_fd = w.fd;
	return r;
}

bool snapshots_overlay_works(const char *root)
{
	autofree char *lower = cstr_format("%s/.probe/lower", root);
	autofree char *upper = cstr_format("%s/.probe/upper", root);
	autofree char *work = cstr_format("%s/.probe/work", root);
	struct mounts m = { .lower = &lower,
			    .n_lower = 1,
			    .upper = upper,
			    .work = work,
			    .userxattr = snapshots_need_userxattr() };
	autoclose int fd = FD_NONE, dir = FD_NONE;
	bool works;

	works = fs_mkdir_all(lower, 0700, NULL) == 0 && fs_mkdir_all(upper, 0700, NULL) == 0 &&
		fs_mkdir_all(work, 0700, NULL) == 0 && mount_open(&m, false, &fd, NULL) == 0 &&
		mkdirat(fd, "x", 0700) == 0;
	if (fd >= 0)
		close(steal_fd(&fd));
	if (fs_open(root, O_RDONLY | O_DIRECTORY, 0, &dir, NULL) == 0)
		works = fs_remove_tree(dir, ".probe", NULL) == 0 && works;
	return works;
}
