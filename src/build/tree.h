/*
 * build/tree.h: files that a build reads: contexts, stages, images.
 *
 * Walks below one directory fd with what .dockerignore hides left out, and
 * hashes what it finds: type, mode, owner, size, link, xattrs and content, never
 * times; that two names are one file counts. Nothing outside the directory is opened, whatever
 * symlinks say.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/cancel.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/map.h"
#include "build/ignore.h"

struct stat_cache; /* build/stat_cache.h */

struct tree {
	int fd;                      /* borrowed; the root directory */
	const char *what;            /* for messages: "build context" */
	const struct ignore *ignore; /* may be NULL */
	bool zero_owner;             /* everything counts as 0:0 (contexts) */
	bool ours;                   /* files may get a second name in a layer */
	bool single;                 /* a file has one name here, more may be in layers */
	struct stat_cache *cache;    /* of file contents, may be NULL */
	const struct cancel *cancel;
};

struct tree_entry {
	const char *path; /* from the tree's root, without leading '/'; "" for the root */
	const char *rel;  /* from where the walk began; "" for that itself */
	int dirfd;        /* borrowed: the directory that holds it */
	const char *name; /* in dirfd */
	const struct stat *st;
};
typedef int (*tree_fn)(void *arg, const struct tree_entry *e, struct error *err);

/*
 * Visit `path` (resolved inside the root, also a last symlink) and everything
 * below it, directories before their contents, names in byte order. Hidden
 * directories come only when something below them is not hidden. `exclude` (may
 * be NULL) hides more, by `rel` with the directory `above` before it ("" for none).
 * ERR_NOT_FOUND; ERR_INVALID deeper than 512; what fn returns.
 */
MUST_CHECK int tree_walk(const struct tree *t, const char *path, const struct ignore *exclude,
			 const char *above, tree_fn fn, void *arg, struct error *err);

/*
 * Paths that match `pattern` (Go's path.Match by component), in byte order,
 * relative to the root; without magic the path itself whether it exists or not.
 * Array and strings in the arena.
 */
MUST_CHECK int tree_glob(const struct tree *t, struct arena *a, const char *pattern,
			 const char ***ret, size_t *ret_n, struct error *err);

/*
 * The same for --parents: paths below the directories that match `above` whose names
 * from there match `pattern` as a line of .dockerignore would ("**" is any number of
 * components). What lies below a match is not named.
 */
MUST_CHECK int tree_match(const struct tree *t, struct arena *a, const char *above,
			  const char *pattern, const char ***ret, size_t *ret_n, struct error *err);

/* Add the content of one path to h. Same errors as tree_walk. */
MUST_CHECK int tree_hash(const struct tree *t, const char *path, const struct ignore *exclude,
			 const char *above, struct hash *h, struct error *err);

/* Is a path hidden by .dockerignore? *ret_by (may be NULL): the line that did it. */
bool tree_hides(const struct tree *t, const char *path, const struct ignore_pattern **ret_by);
/* "a/b" for "/a//b/": clean, without leading '/'. In the arena. */
const char *tree_path(struct arena *a, const char *path);
