/* cgroup/file.c: control files: one open, one read or write, one close. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/macros.h"
#include "cgroup/cgroup_internal.h"

int cgroup_write(int dirfd, const char *file, const char *text, struct error *err)
{
	autoclose int fd = FD_NONE;
	size_t len = strlen(text);
	ssize_t n;

	if (strchr(file, '/') != NULL)
		return error_set(err, ERR_INVALID, "cgroup file '%s' has a '/'", file);
	fd = openat(dirfd, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "no cgroup file '%s'", file);
	if (fd < 0)
		return error_sys(err, errno, "open cgroup file '%s'", file);
	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)len)
		return 0;
	if (n < 0 && (errno == EINVAL || errno == ERANGE || errno == ENODEV || errno == EOPNOTSUPP))
		return error_set(err, ERR_INVALID, "write '%s' to '%s': %s", text, file,
				 strerrordesc_np(errno));
	return error_sys(err, n < 0 ? errno : EIO, "write '%s' to '%s'", text, file);
}

int cgroup_write_i64(int dirfd, const char *file, int64_t v, struct error *err)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)v);
	return cgroup_write(dirfd, file, text, err);
}

int cgroup_read(int dirfd, const char *file, struct buf *b, struct error *err)
{
	autoclose int fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char chunk[4096];
	int r;

	b->len = 0;
	if (fd < 0 && errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "no cgroup file '%s'", file);
	if (fd < 0)
		return error_sys(err, errno, "open cgroup file '%s'", file);
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "read cgroup file '%s'", file);
		if (n == 0)
			break;
		r = buf_add(b, chunk, (size_t)n, err);
		if (r < 0)
			return error_wrap(err, r, "cgroup file '%s'", file);
	}
	r = buf_add(b, "", 0, err);
	if (r < 0)
		return r;
	while (b->len > 0 && b->data[b->len - 1] == '\n')
		b->data[--b->len] = '\0';
	return 0;
}

int cgroup_read_u64(int dirfd, const char *file, uint64_t *ret, struct error *err)
{
	auto_(buf) b = BUF_INIT(256);
	int r = cgroup_read(dirfd, file, &b, err);

	if (r < 0)
		return r;
	if (b.len == 3 && memcmp(b.data, "max", 3) == 0) {
		*ret = UINT64_MAX;
		return 0;
	}
	r = parse_u64((struct str){ b.data ? b.data : "", b.len }, UINT64_MAX, ret, err);
	return r < 0 ? error_wrap(err, r, "cgroup file '%s'", file) : 0;
}

bool cgroup_has_file(int dirfd, const char *file)
{
	return faccessat(dirfd, file, F_OK, 0) == 0;
}
