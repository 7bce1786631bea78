/*
 * registry/storage.h: where a registry keeps its objects.
 *
 * Keys are '/'-separated components of [a-z0-9A-Z._+-] that the registry makes
 * itself from parsed names and digests; nothing that a client sent reaches a
 * driver unparsed. The interface asks for no more than an object store gives:
 * whole small objects, large objects by upload, listing of one level. Each
 * implementation passes storage_test.c.
 *
 * storage_fs.c: a directory, in the engine's content layout.
 * storage_fault.c: wraps another one and fails on demand.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"

#define STORAGE_KEY_MAX 640 /* bytes, with the NUL */

struct storage;

struct storage_stat {
	uint64_t size;
	int64_t mtime_ns; /* wall clock */
};

/* An object opened for reading. */
struct storage_object {
	int fd; /* owned by the caller, O_CLOEXEC, positioned at 0 */
	uint64_t size;
};

/* A large object on its way in. Owned by the caller until commit, abort or close. */
struct storage_upload {
	int fd;
	uint64_t size; /* bytes that are in it */
	char id[40];
};

/* Names of one level, sorted bytewise. */
struct storage_listing {
	char **names;
	size_t len;
};

struct storage_ops {
	/* Append the whole object to b (its ceiling holds). ERR_NOT_FOUND. */
	int (*get)(struct storage *s, const char *key, struct buf *b, struct error *err);
	int (*open)(struct storage *s, const char *key, struct storage_object *ret,
		    struct error *err);
	int (*stat)(struct storage *s, const char *key, struct storage_stat *ret,
		    struct error *err);
	/* Create or replace, whole and durable when it returns. */
	int (*put)(struct storage *s, const char *key, const void *bytes, size_t len,
		   struct error *err);
	/* Durable when it returns. Not an error when absent. */
	int (*remove)(struct storage *s, const char *key, struct error *err);
	/* The same, but a crash may bring the object back until the next flush: for
	 * collections, which delete many and lose nothing by deleting one again. */
	int (*discard)(struct storage *s, const char *key, struct error *err);
	/* What was discarded before stays away. */
	int (*flush)(struct storage *s, struct error *err);
	/* Give back the space of what was discarded; may wait for the disk. */
	int (*reclaim)(struct storage *s, struct error *err);
	/* Create an empty object that a crash may take away: a note, no data. */
	int (*note)(struct storage *s, const char *key, struct error *err);
	/* What was noted at key stays through a crash. */
	int (*settle)(struct storage *s, const char *key, struct error *err);
	/*
	 * Take a damaged object away from key and keep it as the object
	 * "quarantine/<as>", durable when it returns. ERR_NOT_FOUND when key is not the
	 * object any more that was opened as seen.
	 */
	int (*quarantine)(struct storage *s, const char *key, const struct storage_object *seen,
			  const char *as, struct error *err);
	/* Set mtime to now; ERR_NOT_FOUND. */
	int (*touch)(struct storage *s, const char *key, struct error *err);
	/* Objects and prefixes directly below prefix; empty when there is none. */
	int (*list)(struct storage *s, const char *prefix, struct storage_listing *ret,
		    struct error *err);

	/* id: 32 hex digits that the registry chose at random. list, stat and discard
	 * know an unfinished upload as the object "uploads/<id>". */
	int (*upload_begin)(struct storage *s, const char *id, struct storage_upload *ret,
			    struct error *err);
	/* Go on with one; ERR_NOT_FOUND. */
	int (*upload_resume)(struct storage *s, const char *id, struct storage_upload *ret,
			     struct error *err);
	/* Append at u->size. */
	int (*upload_write)(struct storage *s, struct storage_upload *u, const void *bytes,
			    size_t len, struct error *err);
	/* The bytes written so far again, from offset 0 (for hashing after a restart). */
	int (*upload_read)(struct storage *s, struct storage_upload *u, uint64_t offset, void *out,
			   size_t len, size_t *ret_n, struct error *err);
	/* Make it the object key, in place of one that is there already; durable when it
	 * returns. Takes u in every case. */
	int (*upload_commit)(struct storage *s, struct storage_upload *take_u, const char *key,
			     struct error *err);
	/* Let go of the handle; the bytes stay for upload_resume. */
	void (*upload_close)(struct storage *s, struct storage_upload *take_u);
	/* Forget the bytes. Not an error when absent. */
	int (*upload_remove)(struct storage *s, const char *id, struct error *err);

	void (*free)(struct storage *s);
};

struct storage {
	const struct storage_ops *ops;
};

/*
 * A directory. Created when absent, locked against a second server.
 *
 * ERR_CONFLICT when another process serves it, ERR_CORRUPT for a version file
 * of a later format.
 */
MUST_CHECK int storage_fs_open(const char *path, struct storage **ret, struct error *err);

/* Wraps take_inner; every n-th call that can fail does, with ERR_SYSTEM (n 0: none). */
struct storage *storage_fault_new(struct storage *take_inner);
void storage_fault_every(struct storage *s, unsigned n);

void storage_listing_release(struct storage_listing *l);
void storage_free(struct storage *s); /* NULL is fine */

DEFINE_AUTO(storage_listing, storage_listing_release);
