/* runtime/device.c: nodes and links below /dev. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "runtime/rootfs.h"

struct node {
	const char *path;
	mode_t mode; /* with type */
	dev_t dev;
	uid_t uid;
	gid_t gid;
};

static const struct node defaults[] = {
	{ "/dev/null", S_IFCHR | 0666, 0x103, 0, 0 },
	{ "/dev/zero", S_IFCHR | 0666, 0x105, 0, 0 },
	{ "/dev/full", S_IFCHR | 0666, 0x107, 0, 0 },
	{ "/dev/random", S_IFCHR | 0666, 0x108, 0, 0 },
	{ "/dev/urandom", S_IFCHR | 0666, 0x109, 0, 0 },
	{ "/dev/tty", S_IFCHR | 0666, 0x500, 0, 0 },
};

static bool same_node(const struct stat *st, const struct node *n)
{
	return (st->st_mode & S_IFMT) == (n->mode & S_IFMT) &&
	       (S_ISFIFO(st->st_mode) || st->st_rdev == n->dev);
}

/* A user namespace may not make devices: the one made beforehand or else the host's is bound.
 * made: its name in r->devices, or NULL. */
static int bind_node(struct rootfs *r, const struct node *n, const char *made, struct error *err)
{
	autoclose int tree = FD_NONE;
	autoclose int target = FD_NONE;
	struct stat st;
	int rc = -ERR_NOT_FOUND;

	if (made != NULL && r->devices >= 0)
		rc = mount_clone(r->devices, made, false, &tree, err);
	if (rc == -ERR_NOT_FOUND)
		rc = mount_clone(AT_FDCWD, n->path, false, &tree, err);
	if (rc < 0)
		return rc;
	if (fstat(tree, &st) < 0 || !same_node(&st, n))
		return error_set(err, ERR_INVALID, "the host's '%s' is another device", n->path);
	rc = mount_change(tree, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, 0, err);
	if (rc == 0)
		rc = rootfs_target_file(r->root, n->path, &target, err);
	return rc < 0 ? rc : mount_attach(tree, target, n->path, err);
}

static int node_of(const struct spec_device *d, struct node *ret, struct error *err)
{
	mode_t type = *d->type == 'b' ? S_IFBLK : *d->type == 'p' ? S_IFIFO : S_IFCHR;

	if (d->major < 0 || d->minor < 0 || d->major > UINT32_MAX || d->minor > UINT32_MAX)
		return error_set(err, ERR_INVALID, "number %lld:%lld is out of range",
				 (long long)d->major, (long long)d->minor);
	*ret =
	    (struct node){ d->path, type | (d->file_mode.set ? d->file_mode.value & 07777u : 0666),
			   makedev((unsigned)d->major, (unsigned)d->minor),
			   d->uid.set ? (uid_t)d->uid.value : 0,
			   d->gid.set ? (gid_t)d->gid.value : 0 };
	return 0;
}

/* The host's id of the container's `id`; -1 when it has none. */
static int64_t mapped(const struct spec_id_mapping *m, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (id >= m[i].container_id && id - m[i].container_id < m[i].size)
			return (int64_t)m[i].host_id + (id - m[i].container_id);
	return -1;
}

static int prepare_node(const struct spec_linux *l, const struct node *n, int dir, const char *name,
			struct error *err)
{
	int64_t uid = mapped(l->uid_mappings, l->n_uid_mappings, n->uid);
	int64_t gid = mapped(l->gid_mappings, l->n_gid_mappings, n->gid);

	if (mknodat(dir, name, n->mode, n->dev) < 0)
		return errno == EPERM ? 0 : error_sys(err, errno, "make device '%s'", n->path);
	if (uid >= 0 && gid >= 0 &&
	    fchownat(dir, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "change owner of '%s'", n->path);
	return 0;
}

/* Name of linux.devices[i] in rootfs.devices. */
static const char *name_of(size_t i, char buf[static 24])
{
	snprintf(buf, 24, "%zu", i);
	return buf;
}

int rootfs_prepare_devices(const struct runtime_config *c, int *ret_dir, struct error *err)
{
	static const char *const data[] = { "mode=711" }; /* root of the namespace is nobody here */
	const struct spec_linux *l = &c->linux_;
	autoclose int dir = FD_NONE;
	mode_t old = umask(0);
	int r = 0;

	if (l->n_devices > 0)
		r = mount_new("tmpfs", "devices", data, ARRAY_LEN(data),
			      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, &dir, err);
	for (size_t i = 0; r == 0 && i < l->n_devices; i++) {
		struct node n;
		char name[24];

		r = node_of(&l->devices[i], &n, err);
		if (r == 0)
			r = prepare_node(l, &n, dir, name_of(i, name), err);
		if (r < 0)
			r = error_wrap(err, r, "linux.devices[%zu]", i);
	}
	umask(old);
	if (r == 0)
		*ret_dir = steal_fd(&dir);
	return r;
}

/* Before Linux 6.15 nothing of a detached mount can be cloned. On top of "/" no path leads to it.
 */
static int show_prepared(const struct rootfs *r, struct error *err)
{
	autoclose int top = FD_NONE;
	int rc;

	if (r->devices < 0)
		return 0;
	rc = fs_open("/", O_PATH | O_DIRECTORY, 0, &top, err);
	return rc < 0 ? rc : mount_attach(r->devices, top, "/", err);
}

static int hide_prepared(const struct rootfs *r, struct error *err)
{
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", r->devices);
	if (r->devices >= 0 && umount2(self, MNT_DETACH) < 0)
		return error_sys(err, errno, "unmount the prepared devices");
	return 0;
}

/* Parent directory of the node, opened in the root; *dev_fd caches "/dev". */
static int open_parent(struct rootfs *r, const char *path, int *dev_fd, int *ret_fd,
		       const char **ret_name, struct error *err)
{
	const char *slash = strrchr(path, '/');
	autofree char *parent = NULL;
	int rc;

	if (slash == NULL || *path != '/' || !fs_is_component(slash + 1))
		return error_set(err, ERR_INVALID, "device path '%s' is not absolute, or no name",
				 path);
	*ret_name = slash + 1;
	parent = str_dup((struct str){ path, (size_t)(slash - path) });
	if (strcmp(parent, "/dev") != 0)
		return rootfs_target_dir(r->root, *parent ? parent : "/", ret_fd, err);
	if (*dev_fd < 0) {
		rc = rootfs_target_dir(r->root, parent, dev_fd, err);
		if (rc < 0)
			return rc;
	}
	*ret_fd = *dev_fd;
	return 0;
}

static int make_node(struct rootfs *r, const struct node *n, const char *made, int *dev_fd,
		     struct error *err)
{
	const char *name = NULL;
	struct stat st;
	int dir = FD_NONE, rc;
	autoclose int own = FD_NONE;

	if (r->user_ns)
		return bind_node(r, n, made, err);
	rc = open_parent(r, n->path, dev_fd, &dir, &name, err);
	if (rc < 0)
		return rc;
	if (dir != *dev_fd)
		own = dir;
	if (mknodat(dir, name, n->mode, n->dev) < 0) {
		if (errno == EPERM)
			return bind_node(r, n, made, err);
		if (errno != EEXIST)
			return error_sys(err, errno, "make device '%s'", n->path);
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !same_node(&st, n))
			return error_set(err, ERR_CONFLICT, "'%s' exists and is another file",
					 n->path);
	}
	if ((n->uid != 0 || n->gid != 0) &&
	    fchownat(dir, name, n->uid, n->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_sys(err, errno, "change owner of '%s'", n->path);
	return 0;
}

/* With the host's own /dev bound in, its files are not ours to make. */
static bool dev_is_bound(const struct runtime_config *c)
{
	for (size_t i = 0; i < c->n_mounts; i++) {
		const struct spec_mount *m = &c->mounts[i];
		size_t n = strlen(m->destination);

		while (n > 1 && m->destination[n - 1] == '/')
			n--;
		if (n != 4 || strncmp(m->destination, "/dev", 4) != 0)
			continue;
		if (m->type != NULL && strcmp(m->type, "bind") == 0)
			return true;
		for (size_t k = 0; k < m->options.n; k++)
			if (strcmp(m->options.at[k], "bind") == 0 ||
			    strcmp(m->options.at[k], "rbind") == 0)
				return true;
	}
	return false;
}

static int make_links(struct rootfs *r, int *dev_fd, struct error *err)
{
	static const struct {
		const char *name, *to;
	} links[] = {
		{ "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" },
		{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
		{ "core", "/proc/kcore" },       { "ptmx", "pts/ptmx" },
	};
	int rc = *dev_fd >= 0 ? 0 : rootfs_target_dir(r->root, "/dev", dev_fd, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		if (strcmp(links[i].name, "core") == 0 && access("/proc/kcore", F_OK) < 0)
			continue;
		/* An own ptmx of the image would be the host's. */
		if (strcmp(links[i].name, "ptmx") == 0 && r->devpts >= 0)
			unlinkat(*dev_fd, "ptmx", 0);
		if (symlinkat(links[i].to, *dev_fd, links[i].name) < 0 && errno != EEXIST)
			return error_sys(err, errno, "link /dev/%s", links[i].name);
	}
	return 0;
}

int rootfs_make_devices(struct rootfs *r, struct error *err)
{
	const struct spec_linux *l = &r->config->linux_;
	autoclose int dev = FD_NONE;
	int rc;

	if (dev_is_bound(r->config))
		return 0;
	rc = show_prepared(r, err);
	for (size_t i = 0; rc == 0 && i < l->n_devices; i++) {
		struct node n;
		char name[24];

		rc = node_of(&l->devices[i], &n, err);
		if (rc == 0)
			rc = make_node(r, &n, name_of(i, name), &dev, err);
		if (rc < 0)
			return error_wrap(err, rc, "linux.devices[%zu]", i);
	}
	if (rc == 0)
		rc = hide_prepared(r, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
		bool given = false;

		for (size_t k = 0; k < l->n_devices && !given; k++)
			given = strcmp(l->devices[k].path, defaults[i].path) == 0;
		rc = given ? 0 : make_node(r, &defaults[i], NULL, &dev, err);
		if (rc < 0)
			return rc;
	}
	return make_links(r, &dev, err);
}
