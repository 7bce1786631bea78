/*
 * runtime/cgroup_mount.c: what a container sees below /sys/fs/cgroup.
 *
 * v1: a tmpfs with a directory for each hierarchy; v2 alone: the hierarchy
 * itself. With a cgroup namespace the kernel cuts the view; without one only
 * the container's own groups are bound.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "runtime/rootfs.h"

static const struct cgroup_dir *dir_of(const struct rootfs *r, const struct cgroup_hierarchy *h)
{
	size_t n = strlen(h->mount);

	for (size_t i = 0; i < r->cgroup->n; i++)
		if (strncmp(r->cgroup->at[i].path, h->mount, n) == 0 &&
		    r->cgroup->at[i].path[n] == '/')
			return &r->cgroup->at[i];
	return NULL;
}

/* The hierarchy, cut to the container: by the namespace or by a bind. */
static int open_hierarchy(const struct rootfs *r, const struct cgroup_hierarchy *h, uint64_t attr,
			  int *ret_fd, struct error *err)
{
	const struct cgroup_dir *d = dir_of(r, h);
	const char *data[CGROUP_CONTROLLER_COUNT + 1];
	const char *name = strrchr(h->mount, '/');
	char named[80];
	size_t n = 0;
	int rc;

	if (r->cgroup_ns && h->version == 2)
		return mount_new("cgroup2", "cgroup2", NULL, 0, attr, ret_fd, err);
	if (r->cgroup_ns) {
		for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
			if (h->controllers & 1u << c) {
				static const char *const words[CGROUP_CONTROLLER_COUNT] = {
					"cpu",      "cpuacct",    "cpuset",  "memory",  "pids",
					"blkio",    "devices",    "freezer", "hugetlb", "net_cls",
					"net_prio", "perf_event", "rdma",    "misc",
				};

				data[n++] = words[c];
			}
		if (n == 0) {
			snprintf(named, sizeof(named), "name=%.60s", name ? name + 1 : "");
			data[n++] = "none";
			data[n++] = named;
		}
		rc = mount_new("cgroup", "cgroup", data, n, attr, ret_fd, err);
		if (rc == 0 || d == NULL)
			return rc;
	}
	if (d == NULL)
		return error_set(err, ERR_NOT_FOUND, "no cgroup below '%s'", h->mount);
	rc = mount_clone(AT_FDCWD, d->path, false, ret_fd, err);
	return rc < 0 ? rc : mount_change(*ret_fd, false, attr, 0, 0, err);
}

static int mount_v1(struct rootfs *r, const struct spec_mount *m, const struct mount_option *o,
		    int target, struct error *err)
{
	static const char *const data[] = { "mode=755" };
	uint64_t attr = o->attr_set & ~(uint64_t)MOUNT_ATTR_RDONLY;
	autoclose int tmp = FD_NONE;
	int rc = mount_new("tmpfs", "tmpfs", data, 1, attr, &tmp, err);

	if (rc == 0)
		rc = mount_attach(tmp, target, m->destination, err);
	for (size_t i = 0; rc == 0 && i < r->host->n; i++) {
		const struct cgroup_hierarchy *h = &r->host->at[i];
		const char *slash = strrchr(h->mount, '/');
		autoclose int mount = FD_NONE;
		autoclose int dir = FD_NONE;
		struct str rest, word;

		if (h->version != 1 || slash == NULL || !fs_is_component(slash + 1))
			continue;
		rc = open_hierarchy(r, h, o->attr_set, &mount, err);
		if (rc == -ERR_NOT_FOUND) {
			rc = 0;
			continue;
		}
		if (rc < 0)
			break;
		if (mkdirat(tmp, slash + 1, 0755) < 0)
			return error_sys(err, errno, "create '%s'", slash + 1);
		dir = openat(tmp, slash + 1, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir < 0)
			return error_sys(err, errno, "open '%s'", slash + 1);
		rc = mount_attach(mount, dir, h->mount, err);
		/* "cpu,cpuacct" is also found under each of its names. */
		rest = str_of(strchr(slash + 1, ',') ? slash + 1 : NULL);
		while (rc == 0 && str_split(&rest, ',', &word)) {
			autofree char *name = str_dup(word);

			if (symlinkat(slash + 1, tmp, name) < 0 && errno != EEXIST)
				rc = error_sys(err, errno, "link '%s'", name);
		}
	}
	if (rc == 0 && o->attr_set & MOUNT_ATTR_RDONLY)
		rc = mount_change(tmp, false, MOUNT_ATTR_RDONLY, 0, 0, err);
	for (unsigned i = 0; rc == 0 && i < o->n_propagation; i++)
		rc = mount_change(tmp, o->propagation_rec[i], 0, 0, o->propagation[i], err);
	return rc;
}

int rootfs_mount_cgroup(struct rootfs *r, const struct spec_mount *m, const struct mount_option *o,
			struct error *err)
{
	autoclose int target = FD_NONE;
	autoclose int mount = FD_NONE;
	bool v1 = false;
	size_t v2 = r->host->n;
	int rc = rootfs_target_dir(r->root, m->destination, &target, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < r->host->n; i++) {
		v1 |= r->host->at[i].version == 1;
		if (r->host->at[i].version == 2)
			v2 = i;
	}
	if (v1 && strcmp(m->type, "cgroup2") != 0)
		return mount_v1(r, m, o, target, err);
	if (v2 == r->host->n)
		return error_set(err, ERR_UNIMPLEMENTED, "no cgroup hierarchy is mounted here");
	rc = open_hierarchy(r, &r->host->at[v2], o->attr_set, &mount, err);
	if (rc == 0)
		rc = mount_attach(mount, target, m->destination, err);
	for (unsigned i = 0; rc == 0 && i < o->n_propagation; i++)
		rc = mount_change(mount, o->propagation_rec[i], 0, 0, o->propagation[i], err);
	return rc;
}
