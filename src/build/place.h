/*
 * build/place.h: directories of a step that files are put into without overlay's help.
 *
 * A file made through a mounted overlay costs several times what it costs in the upper
 * directory itself, and cannot be a hard link to a file of an older layer. So COPY writes into the
 * upper directory, beside a read-only view of the layers below, which says what overlay would have
 * said: which names are directories, and what a directory that gets its first change looks like.
 *
 * The mounted overlay does not see such changes: rootfs_refresh before it is looked at again.
 */
#pragma once

#include <stdbool.h>

#include "base/auto.h"
#include "base/error.h"

/* One directory. */
struct place {
	int upper; /* owned */
	int lower; /* owned; the same of the layers below, FD_NONE: nothing shows through */
	int old;   /* owned; the same of an older layer, FD_NONE: there is none */
};
#define PLACE_INIT \
	{ \
		.upper = FD_NONE, .lower = FD_NONE, .old = FD_NONE \
	}

void place_close(struct place *p);
DEFINE_AUTO(place, place_close);

/*
 * The directory `path` (without symlinks, "" is the top). It is there, in the upper directory or
 * below it; what lies only below is made above with its attributes and times. The three fds are
 * borrowed; lower_fd and old_fd may be FD_NONE.
 * ERR_NOT_FOUND, ERR_SYSTEM.
 */
MUST_CHECK int place_open(int upper_fd, int lower_fd, int old_fd, const char *path,
			  struct place *ret, struct error *err);
/* The same, below a place; path may have several components, "" is the place itself. */
MUST_CHECK int place_open_below(const struct place *p, const char *path, struct place *ret,
				struct error *err);
/* Make directory `name`, mode 0700. *ret_made: false when there was one.
 * ERR_INVALID "cannot copy to non-directory: <path>". */
MUST_CHECK int place_mkdir(const struct place *p, const char *name, const char *path,
			   bool *ret_made, struct error *err);
/* Make room for a file: ERR_INVALID when `name` is a directory. */
MUST_CHECK int place_clear(const struct place *p, const char *name, const char *path,
			   struct error *err);
