#include "registry/trash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/fs.h"
#include "base/queue.h"

#define THREADS 16 /* they wait for the disk, not for a processor */
#define PENDING 32

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

/* Names for one task: handing over each alone costs more than removing it. */
struct removal {
	int dirfd;
	unsigned n;
	char names[64][24];
};

static int remove_some(void *arg, bool cancelled, struct error *err)
{
	autofree struct removal *r = arg;

	for (unsigned i = 0; i < r->n && !cancelled; i++)
		if (unlinkat(r->dirfd, r->names[i], 0) < 0 && errno != ENOENT)
			return error_sys(err, errno, "remove '%s'", r->names[i]);
	return 0;
}

/* Read names into a new removal; NULL at the end. */
static struct removal *next_removal(DIR *d)
{
	autofree struct removal *r = new0(struct removal);
	struct dirent *e;

	r->dirfd = dirfd(d);
	while (r->n < ARRAY_LEN(r->names) && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && strlen(e->d_name) < sizeof(r->names[0]))
			memcpy(r->names[r->n++], e->d_name, strlen(e->d_name) + 1);
	return r->n > 0 ? steal_ptr(r) : NULL;
}

static int empty_dir(DIR *d, struct error *err)
{
	struct removal *one = next_removal(d), *more = one ? next_removal(d) : NULL;
	struct queue *q;
	int r;

	if (one == NULL)
		return 0;
	if (more == NULL)
		return remove_some(one, false, err);
	r = queue_new(THREADS, PENDING, &q, err);
	if (r < 0) {
		free(one);
		free(more);
		return r;
	}
	queue_push(q, remove_some, one);
	for (; more != NULL; more = next_removal(d))
		queue_push(q, remove_some, more);
	return queue_finish(q, err);
}

int trash_empty(int trashfd, struct error *err)
{
	autoclose int fd = FD_NONE;
	DIR *d;
	int r = fs_open_beneath(trashfd, ".", O_RDONLY | O_DIRECTORY, 0, &fd, err);

	if (r < 0)
		return r;
	d = fdopendir(fd);
	if (d == NULL)
		return error_sys(err, errno, "list what was deleted");
	(void)steal_fd(&fd);
	r = empty_dir(d, err);
	closedir(d);
	return r;
}
