/*
 * archive/pack.h: make a tar of a tree: layer diffs, docker export, docker cp.
 * Deterministic: names sorted by bytes, the first name of a hard-linked file
 * carries the data, no atime/ctime, no user names.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/stream.h"

struct cancel;
struct id_maps;

struct pack_options {
	/* Prefix for every name ("app" gives "app/", "app/x"); NULL or "": none. */
	const char *rename;
	bool no_root_entry; /* leave out the entry of the top directory itself */
	bool overlay;       /* translate overlay form to whiteouts (layer diff) */
	bool clamp_mtime;   /* mtimes later than mtime_max_ns become it */
	int64_t mtime_max_ns;
	bool reset_owner; /* everything 0:0 */
	/* The tree is the live root of this user namespace, the tar has its ids; NULL: as they are.
	 */
	const struct id_maps *maps;
	/* Names below the top ("proc", "etc/hosts") left out; NULL-terminated; may be NULL. */
	const char *const *exclude;
	const struct cancel *cancel;
};

struct pack_stats {
	uint64_t entries;
	uint64_t size; /* sum of file sizes */
};

/*
 * Tar of what stands at dirfd/name (file, directory, symlink...; name "." = the
 * directory itself), not following symlinks;
 * mounts below it are included. Sockets are left out.
 * A file that shrinks while it is read is filled with zeros, one that grows is cut.
 */
MUST_CHECK int pack_tree(int dirfd, const char *name, struct writer *to,
			 const struct pack_options *options, struct pack_stats *ret,
			 struct error *err);

/*
 * The layer tar of an overlay upper directory, without looking at what is
 * below: char 0:0 -> ".wh.x", opaque directory -> ".wh..wh..opq". The same tree gives the
 * same bytes for ever: diffIDs of layers kept only unpacked depend on it.
 */
MUST_CHECK int pack_layer(int upperfd, struct writer *to, const struct cancel *cancel,
			  struct pack_stats *ret, struct error *err);

enum change_kind { CHANGE_MODIFIED = 0, CHANGE_ADDED = 1, CHANGE_DELETED = 2 };
/*
 * docker diff: what upperfd changes against lowers (directory fds, topmost
 * first). fn gets absolute paths, parents before children, sorted.
 */
MUST_CHECK int pack_changes(int upperfd, const int *lowers, size_t n_lowers,
			    int (*fn)(void *arg, const char *path, enum change_kind kind,
				      struct error *err),
			    void *arg, struct error *err);
