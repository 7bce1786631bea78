/*
 * archive/tar.h: the tar format, both ways, streaming.
 *
 * Reader: ustar, GNU (long names, base-256 numbers, old sparse) and PAX
 * (path, linkpath, size, uid, gid, mtime, SCHILY.xattr.*, GNU.sparse 0.0, 0.1,
 * 1.0; global headers). Own, not libarchive: no locale dependence, exact caps,
 * and an id wider than 32 bits is an error, not uid 0.
 * Writer: deterministic PAX; an entry gets extended headers only where ustar
 * cannot hold it.
 * Spec: POSIX.1-2017 pax, "pax Interchange Format"; GNU tar manual, "Tar Internals".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/auto.h"
#include "base/error.h"
#include "base/stream.h"

enum tar_type {
	TAR_FILE,
	TAR_HARDLINK,
	TAR_SYMLINK,
	TAR_CHAR,
	TAR_BLOCK_DEV,
	TAR_DIR,
	TAR_FIFO,
};

struct tar_xattr {
	const char *name; /* "user.x", "security.capability" */
	const void *value;
	size_t len;
};

/* A run of data in a sparse file; the rest reads as zeros. */
struct tar_extent {
	uint64_t offset, len;
};

struct tar_entry {
	enum tar_type type;
	const char *path; /* as in the archive; no NUL inside; not empty */
	const char *link; /* target of links, else "" */
	mode_t mode;      /* 07777 bits */
	uint32_t uid, gid;
	uint64_t size;    /* bytes of the file as it will be (sparse: with the holes) */
	int64_t mtime_ns; /* since 1970, may be negative */
	bool has_atime;
	int64_t atime_ns;
	uint32_t dev_major, dev_minor;
	const struct tar_xattr *xattrs;
	size_t n_xattrs;
	const struct tar_extent *extents; /* NULL: not sparse */
	size_t n_extents;
};

/* ---- reader ---- */

#define TAR_HEADER_MAX (1 << 20) /* bytes of one entry's extended headers */

struct tar_reader;
struct tar_reader *tar_reader_new(struct reader *from); /* borrowed */
void tar_reader_free(struct tar_reader *t);
/*
 * Next entry; *ret is NULL at the end and borrowed until the next call.
 * Unread data of the entry before is skipped. After the end marker the rest of
 * `from` is read up and ignored. An archive that just stops on an entry's border is whole.
 * ERR_CORRUPT: bad checksum, truncated, malformed or too large header.
 * ERR_INVALID: well-formed but refused (ids beyond 32 bits, NUL in a name).
 */
MUST_CHECK int tar_reader_next(struct tar_reader *t, const struct tar_entry **ret,
			       struct error *err);
/* Data of the present TAR_FILE, without holes: for a sparse entry the bytes of
 * its extents in order. *ret_n == 0 at its end. */
MUST_CHECK int tar_reader_data(struct tar_reader *t, void *out, size_t len, size_t *ret_n,
			       struct error *err);
/* A reader over the present entry's data as the file reads (holes as zeros);
 * lives until the next tar_reader_next. */
struct reader *tar_reader_stream(struct tar_reader *t);

/* ---- writer ---- */

struct tar_writer {
	struct writer *to;
	uint64_t left;  /* data bytes still owed for the present entry */
	uint64_t total; /* bytes written so far */
};
#define TAR_WRITER_INIT(to_) \
	{ \
		.to = (to_) \
	}
/* Header of one entry. Only TAR_FILE has data: exactly e->size bytes follow by
 * tar_writer_data. extents are ignored (holes are written as zeros). */
MUST_CHECK int tar_writer_entry(struct tar_writer *w, const struct tar_entry *e, struct error *err);
MUST_CHECK int tar_writer_data(struct tar_writer *w, const void *bytes, size_t len,
			       struct error *err);
/* Small file in one call, root-owned. */
MUST_CHECK int tar_writer_file(struct tar_writer *w, const char *path, mode_t mode,
			       int64_t mtime_ns, const void *bytes, size_t len, struct error *err);
MUST_CHECK int tar_writer_finish(struct tar_writer *w, struct error *err);
