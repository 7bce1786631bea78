#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/store.h"

#define RESERVE "reserve"

enum {
	RESERVE_BYTES = 1 << 20,
	KEEP_FACTOR = 8, /* so much must be free before we take our part again */
};

static bool has_room(const struct store *s, uint64_t bytes)
{
	struct statvfs st;

	return fstatvfs(s->dirfd, &st) < 0 || (uint64_t)st.f_bavail * st.f_frsize >= bytes;
}

void store_reserve_give(struct store *s)
{
	if (!has_room(s, RESERVE_BYTES))
		(void)unlinkat(s->dirfd, RESERVE, 0);
}

void store_reserve_keep(struct store *s)
{
	autoclose int fd = FD_NONE;

	if (faccessat(s->dirfd, RESERVE, F_OK, 0) == 0 ||
	    !has_room(s, (uint64_t)KEEP_FACTOR * RESERVE_BYTES))
		return;
	fd = openat(s->dirfd, RESERVE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* A file system that cannot promise space is no worse than before. */
	if (fd >= 0 && fallocate(fd, 0, 0, RESERVE_BYTES) < 0)
		(void)unlinkat(s->dirfd, RESERVE, 0);
}
