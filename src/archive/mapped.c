/* archive/mapped.c: see mapped.h. */
#include "archive/mapped.h"

#include <endian.h>
#include <linux/capability.h>
#include <string.h>

#include "base/idmap.h"

_Static_assert(XATTR_CAPS_SZ_3 <= MAPPED_XATTR_MAX, "a file's capabilities fit");

int mapped_owner_out(const struct id_maps *maps, const char *path, uid_t *uid, gid_t *gid,
		     struct error *err)
{
	if (maps == NULL)
		return 0;
	if (!id_map_out(maps->uids, maps->n_uids, *uid, uid))
		return error_set(err, ERR_INVALID,
				 "'%.200s': no uid %u in the container's user namespace", path,
				 *uid);
	if (!id_map_out(maps->gids, maps->n_gids, *gid, gid))
		return error_set(err, ERR_INVALID,
				 "'%.200s': no gid %u in the container's user namespace", path,
				 *gid);
	return 0;
}

void mapped_owner_in(const struct id_maps *maps, uint32_t *uid, uint32_t *gid)
{
	if (maps == NULL)
		return;
	*uid = id_map_in(maps->uids, maps->n_uids, *uid);
	*gid = id_map_in(maps->gids, maps->n_gids, *gid);
}

static bool is_capability(const char *name, const void *value, size_t len, size_t want,
			  uint32_t revision)
{
	uint32_t magic;

	if (strcmp(name, "security.capability") != 0 || len != want)
		return false;
	memcpy(&magic, value, sizeof(magic));
	return (le32toh(magic) & VFS_CAP_REVISION_MASK) == revision;
}

static void set_revision(char *value, uint32_t revision)
{
	uint32_t magic;

	memcpy(&magic, value, sizeof(magic));
	magic = htole32((le32toh(magic) & ~VFS_CAP_REVISION_MASK) | revision);
	memcpy(value, &magic, sizeof(magic));
}

struct tar_xattr mapped_xattr_out(const struct id_maps *maps, const struct tar_xattr *x,
				  char buf[static MAPPED_XATTR_MAX])
{
	uint32_t root;

	if (maps == NULL ||
	    !is_capability(x->name, x->value, x->len, XATTR_CAPS_SZ_2, VFS_CAP_REVISION_2))
		return *x;
	root = htole32(id_map_root(maps->uids, maps->n_uids));
	memcpy(buf, x->value, XATTR_CAPS_SZ_2);
	set_revision(buf, VFS_CAP_REVISION_3);
	memcpy(buf + XATTR_CAPS_SZ_2, &root, sizeof(root));
	return (struct tar_xattr){ x->name, buf, XATTR_CAPS_SZ_3 };
}

void mapped_xattr_in(const struct id_maps *maps, const char *name, char *value, ssize_t *len)
{
	uint32_t root;

	if (maps == NULL ||
	    !is_capability(name, value, (size_t)*len, XATTR_CAPS_SZ_3, VFS_CAP_REVISION_3))
		return;
	memcpy(&root, value + XATTR_CAPS_SZ_2, sizeof(root));
	if (le32toh(root) != id_map_root(maps->uids, maps->n_uids))
		return;
	set_revision(value, VFS_CAP_REVISION_2);
	*len = XATTR_CAPS_SZ_2;
}
