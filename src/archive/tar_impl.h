/* archive/tar_impl.h: what the files of the tar reader share. Private to archive. */
#pragma once

#include "archive/tar.h"
#include "base/arena.h"
#include "base/str.h"
#include "base/vec.h"

#define TAR_BUF         (128 * 1024)
#define TAR_EXTENTS_MAX 65536
#define NS              1000000000LL

struct tar_header;

struct pax_record {
	const char *key;
	struct str value;
};

struct tar_reader {
	struct reader *from;
	struct reader stream;
	bool from_end, ended;
	size_t at, len;
	struct tar_entry entry;
	struct arena arena; /* of the present entry */
	char *long_path, *long_link;
	int64_t raw_uid, raw_gid;
	uint64_t headers;   /* bytes of extended headers of the present entry */
	uint64_t left, pad; /* of the present entry's data */
	uint64_t stream_at, extent_left;
	size_t stream_extent;
	VEC(struct pax_record) pax;
	VEC(struct tar_xattr) xattrs;
	VEC(struct tar_extent) extents;
	char buf[TAR_BUF];
};

/* Up to len raw bytes; 0 at the end of the input. */
MUST_CHECK int tar_raw(struct tar_reader *t, void *out, size_t len, size_t *ret_n,
		       struct error *err);
MUST_CHECK int tar_raw_full(struct tar_reader *t, void *out, size_t len, struct error *err);
/* Octal or base-256 field. */
MUST_CHECK int tar_number(const char *field, size_t len, int64_t *ret, const char *what,
			  struct error *err);

MUST_CHECK int tar_pax_parse(struct tar_reader *t, char *text, size_t len, struct error *err);
/* Let the records that were parsed change t->entry. */
MUST_CHECK int tar_pax_apply(struct tar_reader *t, struct error *err);
/* Fill in entry.extents for any of the sparse forms. */
MUST_CHECK int tar_sparse_setup(struct tar_reader *t, const struct tar_header *h, bool gnu,
				struct error *err);
