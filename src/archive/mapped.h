/*
 * archive/mapped.h: what has other ids on disk than in the tar: a live file system of a user
 * namespace, seen from outside. Private to archive. `maps` may be NULL: nothing is mapped.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "archive/tar.h"
#include "base/error.h"

struct id_maps;

/* ERR_INVALID "'path': no id 5000 in the container's user namespace". */
MUST_CHECK int mapped_owner_out(const struct id_maps *maps, const char *path, uid_t *uid,
				gid_t *gid, struct error *err);
void mapped_owner_in(const struct id_maps *maps, uint32_t *uid, uint32_t *gid);

#define MAPPED_XATTR_MAX 24
/*
 * security.capability belongs to the root of a namespace: on the way out its root is the
 * namespace's (revision 3), in a tar nobody's (revision 2). Other attributes stay as they are.
 * buf holds the changed value. Spec: capabilities(7), "Namespaced file capabilities".
 */
struct tar_xattr mapped_xattr_out(const struct id_maps *maps, const struct tar_xattr *x,
				  char buf[static MAPPED_XATTR_MAX]);
/* In place: the value gets shorter. */
void mapped_xattr_in(const struct id_maps *maps, const char *name, char *value, ssize_t *len);
