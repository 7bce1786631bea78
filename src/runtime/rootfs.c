#include "runtime/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"

static const struct {
	const char *word;
	unsigned long flags;
} propagations[] = {
	{ "private", MS_PRIVATE },       { "rprivate", MS_PRIVATE | MS_REC },
	{ "slave", MS_SLAVE },           { "rslave", MS_SLAVE | MS_REC },
	{ "shared", MS_SHARED },         { "rshared", MS_SHARED | MS_REC },
	{ "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE | MS_REC },
};

static unsigned long propagation_flags(const struct runtime_config *c)
{
	const char *word = c->linux_.rootfs_propagation;

	for (size_t i = 0; word != NULL && i < ARRAY_LEN(propagations); i++)
		if (strcmp(word, propagations[i].word) == 0)
			return propagations[i].flags;
	return MS_SLAVE | MS_REC;
}

/*
 * The mount that holds the new root must not hand its mounts on: pivot_root
 * refuses it, and the host would see the container's root. Only with a shared
 * propagation is it not cut off already.
 */
static int make_parent_private(int dir, struct error *err)
{
	auto_(buf) b = BUF_INIT(4u << 20);
	struct statx stx;
	struct str text, line, field;
	int r;

	if (statx(dir, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0)
		return error_sys(err, errno, "find the mount of the root");
	r = fs_read_file("/proc/self/mountinfo", &b, err);
	if (r < 0)
		return r;
	text = (struct str){ b.data, b.len };
	while (str_split(&text, '\n', &line)) {
		uint64_t id;
		autofree char *path = NULL;

		if (!str_split(&line, ' ', &field) || parse_u64(field, UINT64_MAX, &id, NULL) < 0 ||
		    id != stx.stx_mnt_id)
			continue;
		for (unsigned i = 0; i < 4; i++)
			if (!str_split(&line, ' ', &field))
				return error_set(err, ERR_SYSTEM, "mountinfo does not parse");
		path = str_dup(field);
		if (mount(NULL, path, NULL, MS_PRIVATE, NULL) < 0)
			return error_sys(err, errno, "make '%s' private", path);
		return 0;
	}
	return error_set(err, ERR_SYSTEM, "the mount of the root is not in mountinfo");
}

int rootfs_attach(struct rootfs *r, int take_tree, struct error *err)
{
	const char *path = r->config->root->path;
	unsigned long flags = propagation_flags(r->config);
	autoclose int tree = take_tree;
	autoclose int target = FD_NONE;
	struct stat st;
	int rc = 0;

	/* EINVAL: a chroot. */
	if (mount(NULL, "/", NULL, flags, NULL) < 0)
		return error_sys(err, errno, "set the propagation of '/'%s",
				 errno == EINVAL ? ", which is no mount point" : "");
	target = openat(r->bundle, path, O_PATH | O_CLOEXEC);
	/* A mapped root may not look into the bundle; the tree was opened before. Any place serves
	 * until pivot_root: on top of "/" no path is changed by it. */
	if (target < 0 && errno == EACCES && tree >= 0)
		target = open("/", O_PATH | O_CLOEXEC);
	if (target < 0 || fstat(target, &st) < 0)
		return error_sys(err, errno, "root.path: open '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "root.path: '%s' is not a directory", path);
	if (flags & MS_SHARED) {
		rc = make_parent_private(target, err);
		if (rc < 0)
			return rc;
	}
	if (tree < 0)
		rc = mount_clone(target, "", true, &tree, err);
	if (rc == 0)
		rc = mount_attach(tree, target, path, err);
	if (rc < 0)
		return error_wrap(err, rc, "root.path");
	r->root = steal_fd(&tree);
	r->null = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (r->null < 0 || fstat(r->null, &st) < 0 || !S_ISCHR(st.st_mode) ||
	    st.st_rdev != makedev(1, 3))
		return error_set(err, ERR_SYSTEM, "the host's /dev/null is not the null device");
	return 0;
}

static int protect_readonly(struct rootfs *r, const char *path, struct error *err)
{
	autoclose int target = FD_NONE;
	autoclose int tree = FD_NONE;
	int rc = fs_open_in_root(r->root, path, O_PATH, 0, &target, err);

	if (rc == -ERR_NOT_FOUND)
		return 0;
	if (rc == 0)
		rc = mount_clone(target, "", true, &tree, err);
	if (rc == 0)
		rc = mount_change(tree, true, MOUNT_ATTR_RDONLY, 0, 0, err);
	return rc < 0 ? rc : mount_attach(tree, target, path, err);
}

/* One empty tmpfs serves all masked directories. */
static int empty_dir(int *empty, int *ret_fd, struct error *err)
{
	static const char *const data[] = { "nr_inodes=1", "mode=755" };
	int r;

	if (*empty >= 0)
		return mount_clone(*empty, "", false, ret_fd, err);
	r = mount_new("tmpfs", "tmpfs", data, ARRAY_LEN(data),
		      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		      ret_fd, err);
	if (r == 0) {
		*empty = fcntl(*ret_fd, F_DUPFD_CLOEXEC, 3);
		if (*empty < 0) {
			auto_close_(ret_fd);
			return error_sys(err, errno, "mask");
		}
	}
	return r;
}

static int protect_masked(struct rootfs *r, const char *path, int *empty, struct error *err)
{
	autoclose int target = FD_NONE;
	autoclose int mount = FD_NONE;
	struct stat st;
	int rc = fs_open_in_root(r->root, path, O_PATH, 0, &target, err);

	if (rc == -ERR_NOT_FOUND)
		return 0;
	if (rc < 0)
		return rc;
	if (fstat(target, &st) < 0)
		return error_sys(err, errno, "stat '%s'", path);
	if (S_ISDIR(st.st_mode))
		rc = empty_dir(empty, &mount, err);
	else
		rc = mount_clone(r->null, "", false, &mount, err);
	return rc < 0 ? rc : mount_attach(mount, target, path, err);
}

int rootfs_protect(struct rootfs *r, struct error *err)
{
	const struct spec_linux *l = &r->config->linux_;
	autoclose int empty = FD_NONE;
	int rc = 0;

	vec_for_each (mount, &r->late_readonly) {
		if (rc == 0)
			rc = mount_change(*mount, false, MOUNT_ATTR_RDONLY, 0, 0, err);
		close(*mount);
	}
	vec_release(&r->late_readonly);
	for (size_t i = 0; rc == 0 && i < l->readonly_paths.n; i++) {
		rc = protect_readonly(r, l->readonly_paths.at[i], err);
		if (rc < 0)
			return error_wrap(err, rc, "linux.readonlyPaths[%zu]", i);
	}
	for (size_t i = 0; rc == 0 && i < l->masked_paths.n; i++) {
		rc = protect_masked(r, l->masked_paths.at[i], &empty, err);
		if (rc < 0)
			return error_wrap(err, rc, "linux.maskedPaths[%zu]", i);
	}
	if (r->config->root->readonly)
		rc = mount_change(r->root, false, MOUNT_ATTR_RDONLY, 0, 0, err);
	return rc;
}

/* What the host has mounted of proc and sysfs would let the container see around its masks. */
static int enter_by_move(struct rootfs *r, struct error *err)
{
	static const char *const host[] = { "/proc", "/sys" };

	if (fchdir(r->root) < 0)
		return error_sys(err, errno, "enter the root");
	for (size_t i = 0; i < ARRAY_LEN(host); i++)
		if (umount2(host[i], MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT &&
		    errno != EPERM)
			return error_sys(err, errno, "unmount the host's '%s'", host[i]);
	if (move_mount(r->root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_sys(err, errno, "move the root to '/'");
	if (chroot(".") < 0 || chdir("/") < 0)
		return error_sys(err, errno, "chroot");
	return 0;
}

int rootfs_enter(struct rootfs *r, struct error *err)
{
	unsigned long flags = propagation_flags(r->config);
	autoclose int old = FD_NONE;

	if (r->no_pivot)
		return enter_by_move(r, err);
	old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (old < 0 || fchdir(r->root) < 0)
		return error_sys(err, errno, "enter the root");
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return error_sys(err, errno, "pivot_root");
	if (fchdir(old) < 0)
		return error_sys(err, errno, "enter the old root");
	/* Still a peer of the host's: the unmount would travel there. */
	if (flags & MS_SHARED && mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return error_sys(err, errno, "cut the old root off");
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return error_sys(err, errno, "drop the old root");
	if (r->config->linux_.rootfs_propagation != NULL && mount(NULL, "/", NULL, flags, NULL) < 0)
		return error_sys(err, errno, "linux.rootfsPropagation");
	return 0;
}

int rootfs_share(struct rootfs *r, int join, const char *path, struct error *err)
{
	autoclose int top = FD_NONE;
	int rc;

	if (join >= 0 && setns(join, CLONE_NEWNS) < 0)
		return error_sys(err, errno, "join the mount namespace");
	/* A joined namespace may be a container's: no link of its /proc leads to our fds. */
	top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return error_sys(err, errno, "open '/'");
	rc = fs_open_in_root(top, path, O_PATH | O_DIRECTORY, 0, &r->root, err);
	return rc < 0 ? error_wrap(err, rc, "root.path: '%s'", path) : 0;
}

int rootfs_enter_shared(struct rootfs *r, struct error *err)
{
	if (fchdir(r->root) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return error_sys(err, errno, "enter the root");
	return 0;
}

static uint32_t sysctl_namespace(const char *path)
{
	static const char *const ipc[] = { "kernel/msgmax", "kernel/msgmnb",
					   "kernel/msgmni", "kernel/sem",
					   "kernel/shmall", "kernel/shmmax",
					   "kernel/shmmni", "kernel/shm_rmid_forced" };

	if (cstr_starts(path, "net/"))
		return CLONE_NEWNET;
	if (cstr_starts(path, "fs/mqueue/"))
		return CLONE_NEWIPC;
	for (size_t i = 0; i < ARRAY_LEN(ipc); i++)
		if (strcmp(path, ipc[i]) == 0)
			return CLONE_NEWIPC;
	return strcmp(path, "kernel/domainname") == 0 || strcmp(path, "kernel/hostname") == 0
		   ? CLONE_NEWUTS
		   : 0;
}

/* "net.ipv4.conf.eth0/1.x" and "net/ipv4/conf/eth0.1/x" name the same file. */
static void sysctl_path(char *key)
{
	char *dot = strchr(key, '.'), *slash = strchr(key, '/');

	if (dot == NULL || (slash != NULL && slash < dot))
		return;
	for (char *p = key; *p; p++)
		*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
}

int rootfs_sysctl(const struct rootfs *r, const uint32_t namespaces, struct error *err)
{
	const struct pairs *list = &r->config->linux_.sysctl;
	autoclose int sys = FD_NONE;
	struct statfs sfs;
	int rc;

	if (list->n == 0)
		return 0;
	sys = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (sys < 0 || fstatfs(sys, &sfs) < 0 || sfs.f_type != PROC_SUPER_MAGIC)
		return error_set(err, ERR_SYSTEM, "/proc/sys is not procfs");
	for (size_t i = 0; i < list->n; i++) {
		autofree char *path = cstr_format("%s", list->at[i].key);
		autoclose int fd = FD_NONE;

		sysctl_path(path);
		/* Two ways to say the same thing, and they differ. */
		if (strcmp(path, "kernel/hostname") == 0 ||
		    (strcmp(path, "kernel/domainname") == 0 &&
		     !cstr_is_empty(r->config->domainname) &&
		     strcmp(r->config->domainname, list->at[i].value) != 0))
			return error_set(err, ERR_INVALID,
					 "linux.sysctl: '%s' conflicts with the field for it",
					 list->at[i].key);
		if (!(sysctl_namespace(path) & namespaces))
			return error_set(err, ERR_INVALID,
					 "linux.sysctl: '%s' is not in a separate kernel namespace",
					 list->at[i].key);
		rc = fs_open_beneath(sys, path, O_WRONLY, 0, &fd, err);
		if (rc == 0 && (fstatfs(fd, &sfs) < 0 || sfs.f_type != PROC_SUPER_MAGIC))
			rc = error_set(err, ERR_SYSTEM, "not a file of procfs");
		if (rc == 0)
			rc = fs_write_all(fd, list->at[i].value, strlen(list->at[i].value), err);
		if (rc < 0)
			return error_wrap(err, rc, "linux.sysctl: '%s'='%s'", list->at[i].key,
					  list->at[i].value);
	}
	return 0;
}
