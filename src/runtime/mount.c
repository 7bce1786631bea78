/* runtime/mount.c: config.json's mounts, each by fd from the first call to the last. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/str.h"
#include "base/vec.h"
#include "runtime/rootfs.h"

#define LINKS_MAX 16

int mount_clone(int dirfd, const char *path, bool recursive, int *ret_fd, struct error *err)
{
	int fd = open_tree(dirfd, path,
			   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (*path ? 0u : AT_EMPTY_PATH) |
			       (recursive ? AT_RECURSIVE : 0u));

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return error_set(err, ERR_NOT_FOUND, "bind source '%s' does not exist: %s", path,
				 "no such file or directory");
	if (fd < 0)
		return error_sys(err, errno, "clone the mount of '%s'", path);
	*ret_fd = fd;
	return 0;
}

/* The kernel explains a refused option on the context's own fd: "e tmpfs: Bad value for 'size'". */
static int refused(int fs, int sys, const char *type, const char *what, struct error *err)
{
	char text[200];
	ssize_t n = read(fs, text, sizeof(text) - 1);

	if (n > 2) {
		text[n] = '\0';
		text[strcspn(text, "\n")] = '\0';
		return error_set(err, ERR_INVALID, "mount of type '%s': %s: %s", type, what,
				 text + 2);
	}
	return error_sys(err, sys, "mount of type '%s': %s", type, what);
}

static int set_option(int fs, const char *type, const char *word, struct error *err)
{
	const char *eq = strchr(word, '=');
	char key[64];
	int r;

	if (eq == NULL) {
		r = fsconfig(fs, FSCONFIG_SET_FLAG, word, NULL, 0);
	} else {
		if ((size_t)(eq - word) >= sizeof(key))
			return error_set(err, ERR_INVALID, "mount option '%.80s' is too long",
					 word);
		memcpy(key, word, (size_t)(eq - word));
		key[eq - word] = '\0';
		r = fsconfig(fs, FSCONFIG_SET_STRING, key, eq + 1, 0);
	}
	return r < 0 ? refused(fs, errno, type, word, err) : 0;
}

int mount_new(const char *type, const char *source, const char *const *data, size_t n_data,
	      uint64_t attr, int *ret_fd, struct error *err)
{
	autoclose int fs = fsopen(type, FSOPEN_CLOEXEC);
	int fd, r;

	if (fs < 0 && errno == ENODEV)
		return error_set(err, ERR_INVALID, "unknown filesystem type '%s'", type);
	if (fs < 0)
		return error_sys(err, errno, "open file system '%s'", type);
	if (source != NULL && *source && fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return refused(fs, errno, type, source, err);
	for (size_t i = 0; i < n_data; i++) {
		r = set_option(fs, type, data[i], err);
		if (r < 0)
			return r;
	}
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return refused(fs, errno, type, "create", err);
	fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attr);
	if (fd < 0)
		return refused(fs, errno, type, "mount", err);
	*ret_fd = fd;
	return 0;
}

static bool is_directory(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

int mount_attach(int mount, int target, const char *what, struct error *err)
{
	if (move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) ==
	    0)
		return 0;
	/* The kernel says EINVAL for a file onto a directory, and for much else. */
	if (errno == EINVAL && is_directory(mount) != is_directory(target))
		errno = ENOTDIR;
	return error_sys(err, errno, "mount onto '%s'", what);
}

int mount_change(int mount, bool recursive, uint64_t set, uint64_t clear, uint64_t propagation,
		 struct error *err)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear, .propagation = propagation };

	if (!set && !clear && !propagation)
		return 0;
	if (mount_setattr(mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u), &attr,
			  sizeof(attr)) < 0)
		return error_sys(err, errno, "change the attributes of a mount");
	return 0;
}

int mount_map_ids(int mount, bool recursive, int user_ns, struct error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)user_ns };

	if (mount_setattr(mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u), &attr,
			  sizeof(attr)) < 0)
		return error_sys(err, errno, "map the ids of a mount");
	return 0;
}

/* The usual case, one missing component below a directory that is there. */
static int make_last(int root, const char *path, int *ret_fd)
{
	const char *slash = strrchr(path, '/');
	autofree char *parent = NULL;
	autoclose int dir = FD_NONE;

	if (slash == NULL || slash == path || !fs_is_component(slash + 1))
		return -1;
	parent = str_dup((struct str){ path, (size_t)(slash - path) });
	if (fs_open_in_root(root, parent, O_PATH | O_DIRECTORY, 0, &dir, NULL) < 0 ||
	    mkdirat(dir, slash + 1, 0755) < 0)
		return -1;
	*ret_fd = openat(dir, slash + 1, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_fd < 0 ? -1 : 0;
}

int rootfs_target_dir(int root, const char *path, int *ret_fd, struct error *err)
{
	int r = fs_open_in_root(root, path, O_PATH | O_DIRECTORY, 0, ret_fd, err);

	if (r == -ERR_NOT_FOUND && make_last(root, path, ret_fd) == 0)
		return 0;
	if (r == -ERR_NOT_FOUND)
		r = fs_mkdir_all_in_root(root, path, 0755, 0, 0, ret_fd, err);
	return r;
}

static int make_parent(int root, const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	autofree char *parent = NULL;

	if (slash == NULL || slash == path)
		return 0;
	parent = str_dup((struct str){ path, (size_t)(slash - path) });
	return fs_mkdir_all_in_root(root, parent, 0755, 0, 0, NULL, err);
}

/* Where the image's symlink at `path` leads to, as a path in the root; NULL: it is none. */
static char *link_target(int root, const char *path)
{
	const char *slash = strrchr(path, '/');
	autofree char *parent = NULL, *joined = NULL;
	autoclose int dir = FD_NONE;
	char text[4096];
	ssize_t n;

	if (slash == NULL)
		return NULL;
	parent = str_dup((struct str){ path, (size_t)(slash - path) });
	if (fs_open_in_root(root, *parent ? parent : "/", O_PATH | O_DIRECTORY, 0, &dir, NULL) < 0)
		return NULL;
	n = readlinkat(dir, slash + 1, text, sizeof(text) - 1);
	if (n <= 0)
		return NULL;
	text[n] = '\0';
	joined = *text == '/' ? str_dup(str_of(text)) : cstr_format("%s/%s", parent, text);
	return fs_path_clean(joined);
}

/* An image may have /etc/resolv.conf as a link to what only a running system has. */
static int make_link_parents(int root, const char *path, struct error *err)
{
	autofree char *at = str_dup(str_of(path));
	int r = 0;

	for (unsigned depth = 0; r == 0 && depth < LINKS_MAX; depth++) {
		char *next = link_target(root, at);

		if (next == NULL)
			return 0;
		free(at);
		at = next;
		r = make_parent(root, at, err);
	}
	return r;
}

int rootfs_target_file(int root, const char *path, int *ret_fd, struct error *err)
{
	int r = fs_open_in_root(root, path, O_PATH, 0, ret_fd, err);

	if (r != -ERR_NOT_FOUND)
		return r;
	r = make_parent(root, path, err);
	if (r == 0)
		r = make_link_parents(root, path, err);
	if (r < 0)
		return r;
	/* Resolved in the root in one call; what it makes is an empty file of the container's. */
	return fs_open_in_root(root, path, O_RDONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, 0644, ret_fd,
			       err);
}

static int apply_options(int mount, const struct mount_option *o, struct error *err)
{
	int r = o->bind ? mount_change(mount, false, o->attr_set, o->attr_clear, 0, err) : 0;

	if (r == 0)
		r = mount_change(mount, true, o->attr_rec_set, o->attr_rec_clear, 0, err);
	for (unsigned i = 0; r == 0 && i < o->n_propagation; i++)
		r = mount_change(mount, o->propagation_rec[i], 0, 0, o->propagation[i], err);
	return r;
}

/* Inside /proc only what programs like lxcfs replace; anything else could undo a mask. */
static int check_proc(const struct spec_mount *m, const char *clean, struct error *err)
{
	static const char *const allowed[] = { "cpuinfo",
					       "diskstats",
					       "meminfo",
					       "stat",
					       "swaps",
					       "uptime",
					       "loadavg",
					       "slabinfo",
					       "net/dev",
					       "sys/kernel/ns_last_pid",
					       "sys/crypto/fips_enabled" };

	if (!cstr_starts(clean, "/proc/"))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (strcmp(clean + 6, allowed[i]) == 0)
			return 0;
	return error_set(err, ERR_INVALID, "'%s' cannot be mounted because it is inside /proc",
			 m->destination);
}

/* The same for a directory that a symlink of the image leads into /proc. A file may: there are
 * images whose /etc/hostname is a link to the kernel's. */
static int check_target(int target, const char *clean, struct error *err)
{
	struct statfs sfs;

	if (strcmp(clean, "/proc") == 0 || cstr_starts(clean, "/proc/"))
		return 0;
	if (fstatfs(target, &sfs) < 0)
		return error_sys(err, errno, "look at '%s'", clean);
	return sfs.f_type != PROC_SUPER_MAGIC
		   ? 0
		   : error_set(err, ERR_INVALID,
			       "'%s' cannot be mounted because it is inside /proc", clean);
}

static int mount_bind(struct rootfs *r, size_t i, const struct mount_option *o, const char *clean,
		      struct error *err)
{
	const struct spec_mount *m = &r->config->mounts[i];
	autoclose int tree =
	    r->sources[i] >= 0 ? fcntl(r->sources[i], F_DUPFD_CLOEXEC, 3) : FD_NONE;
	autoclose int target = FD_NONE;
	struct statfs sfs;
	struct stat st;
	int rc = 0;

	if (m->source == NULL)
		return error_set(err, ERR_INVALID, "mount '%s': a bind needs a source",
				 m->destination);
	if (tree < 0)
		rc = mount_clone(r->bundle, m->source, o->rbind, &tree, err);
	if (rc < 0)
		return rc;
	if (fstat(tree, &st) < 0)
		return error_sys(err, errno, "stat '%s'", m->source);
	if (strcmp(clean, "/proc") == 0 &&
	    (fstatfs(tree, &sfs) < 0 || sfs.f_type != PROC_SUPER_MAGIC))
		return error_set(err, ERR_INVALID, "'%s' cannot be mounted onto /proc", m->source);
	rc = S_ISDIR(st.st_mode) ? rootfs_target_dir(r->root, m->destination, &target, err)
				 : rootfs_target_file(r->root, m->destination, &target, err);
	if (rc == 0 && S_ISDIR(st.st_mode))
		rc = check_target(target, clean, err);
	if (rc == 0)
		rc = apply_options(tree, o, err);
	return rc < 0 ? rc : mount_attach(tree, target, m->destination, err);
}

static int copy_up(int from, int to, struct error *err)
{
	auto_(fs_names) names = { 0 };
	struct stat st;
	int r = fs_read_names(from, &names, err);

	for (size_t i = 0; r == 0 && i < names.len; i++)
		r = fs_copy_tree(from, names.at[i], to, names.at[i],
				 FS_COPY_OWNER | FS_COPY_TIMES | FS_COPY_XATTRS, err);
	if (r == 0 && fstat(from, &st) == 0) {
		char path[FS_PROC_FD_MAX];

		fs_proc_fd_path(to, path);
		if (chmod(path, st.st_mode & 07777) < 0 ||
		    fchownat(to, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) < 0)
			r = error_sys(err, errno, "copy up the directory's mode");
	}
	return r;
}

/* proc and sysfs carry the masks: a symlink of the image must not move them. */
static int target_of(struct rootfs *r, const struct spec_mount *m, int *ret_fd, struct error *err)
{
	int rc = rootfs_target_dir(r->root, m->destination, ret_fd, err);
	const char *rest = m->destination;
	int again;

	if (rc < 0 || (strcmp(m->type, "proc") != 0 && strcmp(m->type, "sysfs") != 0))
		return rc;
	while (*rest == '/')
		rest++;
	rc = fs_open_beneath(r->root, *rest ? rest : ".", O_PATH | O_DIRECTORY, 0, &again, err);
	auto_close_(ret_fd);
	*ret_fd = FD_NONE;
	if (rc < 0)
		return error_set(err, ERR_INVALID, "'%s' must be mounted on ordinary directory",
				 m->destination);
	*ret_fd = again;
	return 0;
}

/* sysfs wants a network namespace of one's own user namespace; a bind of the host's serves. */
static int mount_sys_by_bind(const struct mount_option *o, int *ret_fd, struct error *err)
{
	int r = mount_clone(AT_FDCWD, "/sys", true, ret_fd, err);

	return r < 0 ? r : mount_change(*ret_fd, true, o->attr_set, 0, 0, err);
}

/* Peer: runc gives a tmpfs the mode of the directory that it covers, when none is asked for. */
static void inherit_mode(const struct rootfs *r, const struct spec_mount *m, struct mount_option *o,
			 char text[static 16])
{
	autoclose int dir = FD_NONE;
	struct stat st;

	for (size_t i = 0; i < o->n_data; i++)
		if (cstr_starts(o->data[i], "mode="))
			return;
	if (o->n_data == ARRAY_LEN(o->data) ||
	    fs_open_in_root(r->root, m->destination, O_PATH | O_DIRECTORY, 0, &dir, NULL) < 0 ||
	    fstat(dir, &st) < 0)
		return;
	snprintf(text, 16, "mode=%o", (unsigned)(st.st_mode & 07777));
	o->data[o->n_data++] = text;
}

static int mount_fs(struct rootfs *r, const struct spec_mount *m, struct mount_option *o,
		    const char *clean, struct error *err)
{
	autoclose int mount = FD_NONE;
	autoclose int target = FD_NONE;
	const char *source = m->source != NULL ? m->source : m->type;
	bool tmpfs = strcmp(m->type, "tmpfs") == 0;
	bool late = tmpfs && o->attr_set & MOUNT_ATTR_RDONLY;
	char mode[16];
	int rc;

	if (tmpfs)
		inherit_mode(r, m, o, mode);
	rc = target_of(r, m, &target, err);
	if (rc == 0)
		rc = check_target(target, clean, err);
	if (rc < 0)
		return rc;
	/* Devices and mount points are still to be made in it. */
	if (late)
		o->attr_set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	rc = mount_new(m->type, source, o->data, o->n_data, o->attr_set, &mount, err);
	if (rc < 0 && err->sys == EPERM && r->user_ns && strcmp(m->type, "sysfs") == 0)
		rc = mount_sys_by_bind(o, &mount, err);
	if (rc == 0 && o->tmpcopyup)
		rc = copy_up(target, mount, err);
	if (rc == 0)
		rc = apply_options(mount, o, err);
	if (rc == 0)
		rc = mount_attach(mount, target, m->destination, err);
	if (rc == 0 && late)
		*vec_push(&r->late_readonly) = steal_fd(&mount);
	if (rc == 0 && strcmp(m->type, "devpts") == 0) {
		auto_close_(&r->devpts);
		r->devpts = steal_fd(&mount);
	}
	return rc;
}

static int mount_failed(const struct spec_mount *m, size_t i, int rc, struct error *err)
{
	/* Peer: runc's question for it. */
	if (err != NULL && err->sys == ENOTDIR)
		return error_wrap(err, rc,
				  "mounts[%zu] '%s': are you trying to mount a directory onto a "
				  "file (or vice-versa)? Check if the specified host path exists "
				  "and is the expected type",
				  i, m->destination);
	return error_wrap(err, rc, "mounts[%zu] '%s'", i, m->destination);
}

int rootfs_mount_all(struct rootfs *r, struct error *err)
{
	for (size_t i = 0; i < r->config->n_mounts; i++) {
		const struct spec_mount *m = &r->config->mounts[i];
		autofree char *clean = NULL;
		struct mount_option o;
		int rc;

		/* Relative destinations are what old configs have: they count from the root. */
		autofree char *rooted =
		    cstr_format("%s%s", *m->destination == '/' ? "" : "/", m->destination);

		clean = fs_path_clean(rooted);
		rc = mount_option_parse(m, &o, err);
		if (rc == 0)
			rc = check_proc(m, clean, err);
		if (rc == 0 && !o.bind && m->type == NULL)
			rc = error_set(err, ERR_INVALID, "a mount without a type is no bind");
		if (rc == 0) {
			if (o.bind)
				rc = mount_bind(r, i, &o, clean, err);
			else if (strcmp(m->type, "cgroup") == 0 || strcmp(m->type, "cgroup2") == 0)
				rc = rootfs_mount_cgroup(r, m, &o, err);
			else
				rc = mount_fs(r, m, &o, clean, err);
		}
		if (rc < 0)
			return mount_failed(m, i, rc, err);
	}
	return 0;
}
