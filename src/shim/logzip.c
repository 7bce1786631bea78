/* shim/logzip.c: see logzip.h. */
#include "shim/logzip.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "base/auto.h"
#include "base/fs.h"
#include "base/str.h"

#define CHUNK      65536
#define GZIP       (15 + 16) /* zlib: the largest window, with a gzip head */
#define LEVEL      3
#define BUSY_NICE  10
#define FIRST_FREE 5

static int deflate_chunk(z_stream *z, unsigned char *out, int to, int flush)
{
	do {
		z->next_out = out;
		z->avail_out = CHUNK;
		if (deflate(z, flush) == Z_STREAM_ERROR ||
		    fs_write_all(to, out, CHUNK - z->avail_out, NULL) < 0)
			return -1;
	} while (z->avail_out == 0);
	return 0;
}

static int compress_fd(int from, int to)
{
	static unsigned char in[CHUNK], out[CHUNK];
	char comment[40];
	gz_header head = { .os = 3, .comment = (Bytef *)comment };
	z_stream z = { 0 };
	struct stat st;
	ssize_t n;

	if (fstat(from, &st) < 0 ||
	    deflateInit2(&z, LEVEL, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -1;
	snprintf(comment, sizeof(comment), LOGZIP_COMMENT "%llu", (unsigned long long)st.st_ino);
	if (deflateSetHeader(&z, &head) != Z_OK)
		return -1;
	do {
		n = read(from, in, sizeof(in));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		z.next_in = in;
		z.avail_in = (unsigned)n;
		if (deflate_chunk(&z, out, to, n == 0 ? Z_FINISH : Z_NO_FLUSH) < 0)
			return -1;
	} while (n != 0);
	return deflateEnd(&z) == Z_OK ? 0 : -1;
}

/* In the child: nothing of the shim's may stay open, its clients wait for the end of it. */
static _Noreturn void child(const char *path, const char *temporary, const char *name)
{
	int from = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int to = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);

	if (from < 0 || to < 0 || dup2(from, 3) < 0 || dup2(to, 4) < 0)
		_exit(1);
	(void)close_range(FIRST_FREE, ~0U, 0);
	(void)setpriority(PRIO_PROCESS, 0, BUSY_NICE);
	if (compress_fd(3, 4) < 0 || rename(temporary, name) < 0) {
		unlink(temporary);
		_exit(1);
	}
	unlink(path);
	_exit(0);
}

void logzip_start(struct logzip *z, const char *path)
{
	autofree char *temporary = cstr_format("%s.gz.part", path);
	autofree char *name = cstr_format("%s.gz", path);
	pid_t pid;

	logzip_wait(z);
	pid = fork();
	if (pid == 0)
		child(path, temporary, name);
	/* Not yet reaped, so the number is still its own. */
	if (pid > 0)
		z->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
}

void logzip_wait(struct logzip *z)
{
	siginfo_t info;

	if (z->pidfd < 0)
		return;
	/* Reaped by the shim's own loop already: ECHILD. */
	while (waitid((idtype_t)P_PIDFD, (id_t)z->pidfd, &info, WEXITED) < 0 && errno == EINTR)
		continue;
	close(z->pidfd);
	z->pidfd = FD_NONE;
}
