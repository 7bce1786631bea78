/*
 * runtime/rootfs.h: the container's view of files, built by mount fds.
 *
 * Runs in the container's new mount namespace, before its root is entered. The
 * image is hostile: everything below the root is reached by openat2 from the
 * root's fd and mounts are attached to fds, never to paths.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/vec.h"
#include "cgroup/cgroup.h"
#include "oci/runtime_config.h"
#include "runtime/mount_option.h"

struct rootfs {
	const struct runtime_config *config;
	int root;           /* O_PATH of the container's root, a mount of its own */
	int bundle;         /* relative sources count from here; of the new mount namespace */
	int null;           /* O_PATH of the host's /dev/null, verified */
	const int *sources; /* one per config->mounts: detached mount made beforehand, or FD_NONE */
	int devices;        /* what rootfs_prepare_devices made, or FD_NONE */
	bool user_ns;       /* devices are bound, not made */
	bool cgroup_ns;     /* a private cgroup namespace */
	bool no_pivot;
	const struct cgroup *cgroup;
	const struct cgroup_host *host;
	VEC(int) late_readonly; /* mounts that turn read-only in rootfs_protect; owned */
	int devpts;             /* the container's devpts mount, or FD_NONE; owned */
};

/*
 * Make `config->root` a mount of the calling process's namespace and open it.
 * take_tree: a detached clone of it made beforehand, or FD_NONE. Mount
 * propagation to the host is cut according to linux.rootfsPropagation.
 */
MUST_CHECK int rootfs_attach(struct rootfs *r, int take_tree, struct error *err);
/* All of config.mounts, in order. */
MUST_CHECK int rootfs_mount_all(struct rootfs *r, struct error *err);
/*
 * A user namespace may not make devices: make those of linux.devices outside of it, in a
 * detached tmpfs. ret_dir: its root, owned by the caller; a node that the host does not let us
 * make either is not in it (the host's own is bound then).
 */
MUST_CHECK int rootfs_prepare_devices(const struct runtime_config *c, int *ret_dir,
				      struct error *err);
/* Default devices and those of linux.devices; /dev/fd and its like. */
MUST_CHECK int rootfs_make_devices(struct rootfs *r, struct error *err);
/* Masked and read-only paths, and the root's own read-only flag. */
MUST_CHECK int rootfs_protect(struct rootfs *r, struct error *err);
/* pivot_root (or, with no_pivot, a moved root and chroot) and drop the host's tree. */
MUST_CHECK int rootfs_enter(struct rootfs *r, struct error *err);
/*
 * For a container without a mount namespace of its own: open the root at `path`. Nothing is
 * mounted, because others would see it. join: the mount namespace to enter first, or FD_NONE.
 */
MUST_CHECK int rootfs_share(struct rootfs *r, int join, const char *path, struct error *err);
/* chroot into it. */
MUST_CHECK int rootfs_enter_shared(struct rootfs *r, struct error *err);
/* linux.sysctl. Files of namespaces only: others are ERR_INVALID. */
MUST_CHECK int rootfs_sysctl(const struct rootfs *r, const uint32_t namespaces, struct error *err);

/*
 * A clone of the tree at dirfd/path, detached; recursive: with the mounts below it.
 * ERR_NOT_FOUND names the path.
 */
MUST_CHECK int mount_clone(int dirfd, const char *path, bool recursive, int *ret_fd,
			   struct error *err);
/* A new file system, detached. data: "key=value" and flags. */
MUST_CHECK int mount_new(const char *type, const char *source, const char *const *data,
			 size_t n_data, uint64_t attr, int *ret_fd, struct error *err);
/* Put the detached mount onto target (any fd of a file or directory). */
MUST_CHECK int mount_attach(int mount, int target, const char *what, struct error *err);
/* Change attributes, also of all below it when recursive. propagation 0: as it is. */
MUST_CHECK int mount_change(int mount, bool recursive, uint64_t set, uint64_t clear,
			    uint64_t propagation, struct error *err);
/* Map the ids of a detached mount by a user namespace. */
MUST_CHECK int mount_map_ids(int mount, bool recursive, int user_ns, struct error *err);
/* Directory for a mount, made when absent. */
MUST_CHECK int rootfs_target_dir(int root, const char *path, int *ret_fd, struct error *err);
/* File for a mount, made when absent. */
MUST_CHECK int rootfs_target_file(int root, const char *path, int *ret_fd, struct error *err);
/* The cgroup mount of config.json, v1 or v2 as the machine has it. */
MUST_CHECK int rootfs_mount_cgroup(struct rootfs *r, const struct spec_mount *m,
				   const struct mount_option *o, struct error *err);
