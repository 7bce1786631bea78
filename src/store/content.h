/*
 * store/content.h: blobs by digest.
 *
 * A blob is invisible until commit, immutable after it, and never stored under
 * a digest it does not hash to. Two writers of one digest both succeed; the
 * second finds the blob present and drops its own copy.
 *
 * On disk (content_dir.c): <root>/blobs/sha256/ab/<64 hex>, partial writes in
 * <root>/ingest/. A blob that no lease and no image names is removed by the
 * next gc: whoever adds one takes a lease on its digest first (store/lease.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/stream.h"
#include "oci/digest.h"

struct content_store;
struct content_writer;

#define CONTENT_SIZE_UNKNOWN UINT64_MAX

/* What a writer must turn out to be. */
struct content_expect {
	const struct digest *digest; /* NULL: unknown, whatever it hashes to (sha256) */
	uint64_t size;               /* bytes, or CONTENT_SIZE_UNKNOWN; also the write limit */
	uint64_t max;                /* limit when size is unknown; 0 = none */
	/* Go on from what an earlier writer of the same digest left with
	 * content_abort(w, true); needs digest. */
	bool resume;
};

/* One implementation of the store: content_dir.c (a directory), content_mem.c
 * (memory, for tests), content_fault.c (wraps another and fails the n-th call).
 * Every one must pass tests/suite/content_suite.c. */
struct content_ops {
	int (*open)(struct content_store *s, const struct digest *d, int *ret_fd,
		    uint64_t *ret_size, struct error *err);
	int (*begin)(struct content_store *s, const struct content_expect *expect,
		     struct content_writer **ret, struct error *err);
	int (*remove)(struct content_store *s, const struct digest *d, struct error *err);
	/* Call fn for every blob; a blob added or removed meanwhile may or may not come. */
	int (*list)(struct content_store *s,
		    int (*fn)(void *arg, const struct digest *d, uint64_t size, struct error *err),
		    void *arg, struct error *err);
	void (*free)(struct content_store *s);
};
struct content_store {
	const struct content_ops *ops;
};

/* dirfd is borrowed (dup'd); blobs/ and ingest/ are made when absent. */
MUST_CHECK int content_dir_new(int dirfd, struct content_store **ret, struct error *err);
struct content_store *content_mem_new(void);
/* Fails the n-th call with ERR_SYSTEM EIO; n counts from 1, 0 = never. Takes `inner`. */
struct content_store *content_fault_new(struct content_store *take_inner, long fail_at);
void content_free(struct content_store *s);

/* Open for reading: *ret_fd is owned by the caller, O_CLOEXEC, at offset 0.
 * ERR_NOT_FOUND "blob sha256:... not found". */
MUST_CHECK int content_open(struct content_store *s, const struct digest *d, int *ret_fd,
			    uint64_t *ret_size /* may be NULL */, struct error *err);
/* ERR_NOT_FOUND as above; ret_size may be NULL. */
MUST_CHECK int content_stat(struct content_store *s, const struct digest *d, uint64_t *ret_size,
			    struct error *err);
/* Whole small blob, appended to b (its ceiling is the limit), digest verified:
 * ERR_CORRUPT when the disk no longer holds what was stored. */
MUST_CHECK int content_read(struct content_store *s, const struct digest *d, struct buf *b,
			    struct error *err);
/* Not an error when absent: afterwards the blob is not there. */
MUST_CHECK int content_remove(struct content_store *s, const struct digest *d, struct error *err);
MUST_CHECK int content_list(struct content_store *s,
			    int (*fn)(void *arg, const struct digest *d, uint64_t size,
				      struct error *err),
			    void *arg, struct error *err);
/* Read the blob again and compare: ERR_CORRUPT, ERR_NOT_FOUND. */
MUST_CHECK int content_verify(struct content_store *s, const struct digest *d, struct error *err);

/*
 * Begin a write. The writer is owned by the caller, who ends it with exactly
 * one of content_commit and content_abort.
 */
MUST_CHECK int content_begin(struct content_store *s, const struct content_expect *expect,
			     struct content_writer **ret, struct error *err);
/* Where to write; hashes on the way. ERR_INVALID past the expected size. */
struct writer *content_sink(struct content_writer *w);
/* Bytes already held: after a resumed begin, the offset to ask the peer for. */
uint64_t content_offset(const struct content_writer *w);
/* Start over: forget what is held (the peer ignored the Range). */
MUST_CHECK int content_restart(struct content_writer *w, struct error *err);
/*
 * Verify size and digest, make durable, make visible; ends the writer also on
 * failure. Order: data, fsync(file), link (EEXIST = success), fsync(directory).
 * ERR_CORRUPT when it is not what was expected (nothing is kept then).
 */
MUST_CHECK int content_commit(struct content_writer *w, struct digest *ret_digest /* may be NULL */,
			      uint64_t *ret_size /* may be NULL */, struct error *err);
/* keep: leave the bytes for a later resume (only when the digest was given). */
void content_abort(struct content_writer *w, bool keep); /* NULL is nothing */

/* Small blob in one call. */
MUST_CHECK int content_add(struct content_store *s, const void *bytes, size_t len,
			   struct digest *ret, struct error *err);

/*
 * A reader that writes what passes through it: gives first the bytes that a
 * resumed writer already holds, then those of `from`, each written into `to`
 * before it is handed on. Refuses with ERR_CORRUPT when `from` gives more or
 * fewer bytes than the writer expects. Both are borrowed; commit is the caller's.
 */
struct content_tee {
	struct reader reader;
	struct reader *from;
	struct content_writer *to;
	uint64_t replayed, replay_end;
	void (*progress)(void *arg, uint64_t held); /* may be NULL; after each piece */
	void *arg;
};
void content_tee_init(struct content_tee *t, struct content_writer *to, struct reader *from);

/* Digest over what passes: for diffIDs. `from` is borrowed. */
struct hash_reader {
	struct reader reader;
	struct reader *from;
	struct hash hash;
	uint64_t n_bytes;
};
void hash_reader_init(struct hash_reader *r, struct reader *from);
void hash_reader_finish(struct hash_reader *r, struct digest *ret); /* once; releases the state */
void hash_reader_release(struct hash_reader *r);
DEFINE_AUTO(hash_reader, hash_reader_release);
struct hash_writer {
	struct writer writer;
	struct writer *to; /* may be NULL: only count and hash */
	struct hash hash;
	uint64_t n_bytes;
};
void hash_writer_init(struct hash_writer *w, struct writer *to);
void hash_writer_finish(struct hash_writer *w, struct digest *ret);
void hash_writer_release(struct hash_writer *w);
DEFINE_AUTO(hash_writer, hash_writer_release);

/* Convenience over digest.h: same algorithm and bytes. */
bool digest_same(const struct digest *a, const struct digest *b);
/* Parse NUL-terminated text. */
MUST_CHECK int digest_from_text(const char *text, struct digest *ret, struct error *err);
