/*
 * store/mount.h: turn mounts (values) into a detached mount, which nobody
 * else sees and which disappears with its last fd: for docker cp, export and
 * diff of containers that do not run, and for build steps.
 *
 * fsopen + fsconfig "lowerdir+" (Linux 6.5+) + fsmount; an older kernel, or a
 * list of layers longer than a page, gets one option string of paths relative
 * to the snapshots directory in a helper thread of its own cwd.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct mounts;

/*
 * *ret_fd: O_PATH-like fd of the root of the detached mount, owned by the
 * caller, usable with openat and friends. read_only also when m has no upper.
 * ERR_SYSTEM; ERR_FORBIDDEN without the privilege to mount.
 */
MUST_CHECK int mount_open(const struct mounts *m, bool read_only, int *ret_fd, struct error *err);

/*
 * mount_open for a user namespace: on disk are the ids that the namespace sees,
 * in the mount those outside. Every layer is id-mapped on its own: overlayfs
 * cannot be. Linux 5.19. Always writable when m has an upper.
 *
 * user_ns   borrowed
 * uid, gid  outside, of the namespace's root
 */
MUST_CHECK int mount_open_mapped(const struct mounts *m, int user_ns, uid_t uid, gid_t gid,
				 int *ret_fd, struct error *err);
