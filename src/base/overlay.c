#include "base/overlay.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

bool overlay_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool says_yes(int dirfd, const char *name)
{
	char v = 0;

	return fgetxattr(dirfd, name, &v, 1) == 1 && v == 'y';
}

bool overlay_is_opaque(int dirfd)
{
	return says_yes(dirfd, "trusted.overlay.opaque") || says_yes(dirfd, "user.overlay.opaque");
}
