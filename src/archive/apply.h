/*
 * archive/apply.h: put a tar on disk below one directory fd.
 *
 * Nothing outside that directory can be touched, whatever the tar says: each
 * path is walked one component at a time with O_NOFOLLOW (layers: a symlink in
 * the way is replaced by nothing and refused) or resolved by openat2
 * RESOLVE_IN_ROOT (extract), and the last step acts on a directory fd.
 *
 * Spec: image-spec v1.1, layer.md. Security: tests/should-fail/archive.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/stream.h"

struct cancel;
struct id_maps;

#define APPLY_MAX_BYTES   (1ULL << 40) /* default logical cap of one layer: 1 TiB */
#define APPLY_MAX_ENTRIES (1ULL << 24)

struct apply_options {
	/* Charged with every file's logical size, holes included. 0 = what is
	 * smaller: APPLY_MAX_BYTES or the free space of the file system (the
	 * peers let 2 KiB of tar fill the disk). */
	uint64_t max_bytes;
	bool userxattr;              /* rootless: opaque mark is user.overlay.opaque */
	bool no_owner;               /* leave everything to the calling user (unprivileged) */
	bool skip_devices;           /* device nodes cannot be made: leave them out */
	const struct cancel *cancel; /* may be NULL */
};

struct apply_stats {
	uint64_t entries;
	uint64_t size; /* sum of file sizes: docker's layer size */
	uint64_t hard_links;
};

/*
 * Unpack an uncompressed layer tar into rootfd, an empty directory, in overlay
 * form: ".wh.x" becomes a character device 0:0 named x, ".wh..wh..opq" the
 * opaque mark. Hard links only to files of this layer. setuid, ids, times with
 * ns, xattrs of the allow-list (security.capability, user.* except
 * user.overlay.*) are kept; trusted.overlay.* and the like are dropped.
 * Reads `tar` to its end. Not fsynced.
 *
 * ERR_INVALID for entries that would leave the root or that layers may not
 * hold, each named; ERR_CORRUPT for a broken tar; ERR_SYSTEM; ERR_CANCELED.
 */
MUST_CHECK int apply_layer(int rootfd, struct reader *tar, const struct apply_options *options,
			   struct apply_stats *ret, struct error *err);

#define EXTRACT_WHOLE_MAX (1U << 20)

/* Sees each plain file without xattrs and holes as it is written. */
struct extract_watch {
	void (*data)(void *arg, const void *bytes, size_t len);
	void (*end)(void *arg, const struct stat *st); /* as it lies there now */
	/* May be NULL. Of a file of at most EXTRACT_WHOLE_MAX bytes, all of which `data` has seen:
	 * put the same one, with this mode and the owner of the options, at dir/name, where
	 * nothing may be; its time may be another one. false: it is written. true: `end` comes as
	 * for a written one. */
	bool (*place)(void *arg, int dir, const char *name, uint64_t size, mode_t mode,
		      int64_t mtime_ns);
};

struct extract_options {
	bool no_overwrite_dir_non_dir; /* a directory is never replaced by a file or vice versa */
	bool chown;                    /* everything gets uid:gid below */
	uid_t uid;
	gid_t gid;
	/* The tar's ids, and the ones above, are of this user namespace, whose live root
	 * rootfd is; the thread acts as its root (thread_act_as). NULL: ids as they are. */
	const struct id_maps *maps;
	const struct extract_watch *watch; /* borrowed; NULL: nobody looks */
	void *watch_arg;
	bool keep_existing_dir_meta; /* do not chmod, chown or touch directories that exist */
	uint64_t max_bytes;          /* as in apply_options */
	const struct cancel *cancel;
};

/*
 * Unpack a tar into directory `dest` of a running or mounted root file system
 * (docker cp, ADD). dest and every parent are resolved inside rootfd as the
 * container sees them; the last component of an entry is never followed.
 * Whiteout names are plain names here. dest must be a directory: ERR_NOT_FOUND,
 * ERR_INVALID "not a directory".
 */
MUST_CHECK int archive_extract(int rootfd, const char *dest, struct reader *tar,
			       const struct extract_options *options, struct apply_stats *ret,
			       struct error *err);
