/*
 * registry/upload.h: blobs on their way in.
 *
 * An upload belongs to the repository it was begun in; its id is 128 random
 * bits. Bytes are hashed while they arrive; after a restart the hash is made
 * again from what is on disk. One request at a time works on an upload.
 *
 * Spec: distribution-spec v1.1, "Pushing a blob in chunks".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/stream.h"
#include "oci/digest.h"
#include "registry/repo.h"

#define UPLOAD_ID_MAX 33

struct uploads;

struct uploads *uploads_new(struct repo_store *store, uint64_t max_blob_bytes);
void uploads_free(struct uploads *u);

MUST_CHECK int upload_begin(struct uploads *u, const char *repo, char ret_id[static UPLOAD_ID_MAX],
			    struct error *err);
/* Bytes received. ERR_NOT_FOUND for an id that is not one of this repository's. */
MUST_CHECK int upload_size(struct uploads *u, const char *repo, const char *id, uint64_t *ret_size,
			   struct error *err);
/*
 * Append a body.
 *
 * at       offset that the client claims, or -1
 * length   bytes the client announced, or -1; a body that is shorter keeps
 *          what has arrived and is ERR_CORRUPT
 *
 * ERR_NOT_FOUND; ERR_CONFLICT another request works on it, or `at` is not where
 * the upload stands; ERR_FORBIDDEN it grows past the ceiling; ERR_INVALID the
 * body is malformed.
 */
struct upload_chunk {
	int64_t at, length;
	struct reader *body;
	uint64_t got; /* out: bytes of this body that were kept, on failure too */
};
MUST_CHECK int upload_append(struct uploads *u, const char *repo, const char *id,
			     struct upload_chunk *chunk, uint64_t *ret_size, struct error *err);
/*
 * Verify, make it a blob and link it to the repository. The upload is gone
 * afterwards, except after ERR_SYSTEM.
 *
 * ERR_CORRUPT the bytes are not `want`; ERR_NOT_FOUND; ERR_CONFLICT.
 */
MUST_CHECK int upload_commit(struct uploads *u, const char *repo, const char *id,
			     const struct digest *want, struct error *err);
MUST_CHECK int upload_abort(struct uploads *u, const char *repo, const char *id, struct error *err);
/* Remove uploads that nobody touched for max_age_ns. *ret_n: how many. */
MUST_CHECK int uploads_expire(struct uploads *u, int64_t max_age_ns, unsigned *ret_n,
			      struct error *err);
