#include "registry/trash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/fs.h"
#include "base/queue.h"

#define THREADS 16 /* they wait for the disk, not for a processor */
#define PENDING 256

int trash_take(int trashfd, int dirfd, const char *name, struct error *err)
{
	static atomic_uint_fast64_t next;
	char to[32];
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "stat '%s'", name);
	if (st.st_size == 0)
		return unlinkat(dirfd, name, 0) == 0 || errno == ENOENT
			   ? 0
			   : error_sys(err, errno, "remove '%s'", name);
	/* A name of an earlier process is overwritten: it was rubbish as well. */
	snprintf(to, sizeof(to), "%" PRIuFAST64, atomic_fetch_add(&next, 1));
	if (renameat(dirfd, name, trashfd, to) == 0 || errno == ENOENT)
		return 0;
	return error_sys(err, errno, "move '%s' away", name);
}

struct removal {
	int dirfd;
	char name[32];
};

static int remove_one(void *arg, bool cancelled, struct error *err)
{
	autofree struct removal *r = arg;

	if (!cancelled && unlinkat(r->dirfd, r->name, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "remove '%s'", r->name);
	return 0;
}

int trash_empty(int trashfd, struct error *err)
{
	autoclose int fd = FD_NONE;
	struct queue *q;
	struct dirent *e;
	DIR *d;
	int r = fs_open_beneath(trashfd, ".", O_RDONLY | O_DIRECTORY, 0, &fd, err);

	if (r < 0)
		return r;
	d = fdopendir(fd);
	if (d == NULL)
		return error_sys(err, errno, "list what was deleted");
	(void)steal_fd(&fd);
	r = queue_new(THREADS, PENDING, &q, err);
	while (r == 0 && (e = readdir(d)) != NULL) {
		struct removal *one;

		if (e->d_name[0] == '.')
			continue;
		one = new0(struct removal);
		one->dirfd = trashfd;
		snprintf(one->name, sizeof(one->name), "%.31s", e->d_name);
		queue_push(q, remove_one, one);
	}
	closedir(d);
	return r < 0 ? r : queue_finish(q, err);
}
