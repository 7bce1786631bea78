/*
 * registry/trash.h: files that were deleted, whose space is still to be given back.
 *
 * Freeing the blocks of a file can wait for the disk (a file system with the
 * discard option, a large file). So a collection only renames under the gate,
 * and gives the space back behind it, several files at once. What a crash
 * leaves here goes with the next emptying.
 */
#pragma once

#include "base/error.h"

/* Move the file dirfd/name out of sight; an empty one is deleted at once. Not an
 * error when absent. */
MUST_CHECK int trash_take(int trashfd, int dirfd, const char *name, struct error *err);
/* Delete everything below trashfd. */
MUST_CHECK int trash_empty(int trashfd, struct error *err);
