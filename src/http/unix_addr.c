#include "http/unix_addr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fs.h"

int unix_addr_set(struct unix_addr *ret, const char *path, struct error *err)
{
	struct unix_addr a = { .un.sun_family = AF_UNIX, .dirfd = FD_NONE };
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];
	size_t len = strlen(path);
	int n, r;

	if (len == 0 || len >= sizeof(dir))
		return error_set(err, ERR_INVALID, "bad socket path '%.64s'", path);
	a.len = sizeof(a.un);
	if (len < sizeof(a.un.sun_path)) {
		memcpy(a.un.sun_path, path, len + 1);
		*ret = a;
		return 0;
	}
	if (slash == NULL || slash[1] == 0)
		return error_set(err, ERR_INVALID, "bad socket path '%.64s'", path);
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = 0;
	r = fs_open(dir, O_PATH | O_DIRECTORY, 0, &a.dirfd, err);
	if (r < 0)
		return r;
	n = snprintf(a.un.sun_path, sizeof(a.un.sun_path), "/proc/self/fd/%d/%s", a.dirfd,
		     slash + 1);
	if (n >= (int)sizeof(a.un.sun_path)) {
		unix_addr_release(&a);
		return error_set(err, ERR_INVALID, "socket name '%.64s...' is too long", slash + 1);
	}
	*ret = a;
	return 0;
}

void unix_addr_release(struct unix_addr *a)
{
	if (a->dirfd >= 0)
		close(a->dirfd);
	a->dirfd = FD_NONE;
}
