/*
 * image/unpack.h: layer blob -> layer snapshot, in one pass:
 * reader (socket or blob) -> inflate -> sha256(diffID) -> files.
 */
#pragma once

#include "base/error.h"
#include "base/stream.h"
#include "oci/digest.h"
#include "store/images.h"
#include "store/store.h"

struct cancel;

struct unpack_layer {
	const struct digest *diff_id; /* expected, or NULL: whatever it is */
	const struct cancel *cancel;
	uint64_t max_bytes; /* logical cap, 0 = default */
	/* Uncompressed bytes applied so far, now and then; may be NULL. */
	void (*progress)(void *arg, uint64_t bytes);
	void *arg;
};
/*
 * Unpack what `from` gives (any compression, read to its end) and commit it as
 * a layer. Nothing is visible on failure. ERR_CORRUPT when the diffID differs.
 * The caller holds a lease on diff_id when it is known; when not, on nothing: the layer is
 * leased to `lease_id` before it becomes visible. *ret (may be NULL) tells what was made.
 */
MUST_CHECK int unpack_layer(struct store *s, struct reader *from, const struct unpack_layer *u,
			    const char *lease_id, struct layer_info *ret, struct error *err);

/* Unpack a blob that is in content already. */
MUST_CHECK int unpack_blob(struct store *s, const struct digest *blob, const struct unpack_layer *u,
			   const char *lease_id, struct layer_info *ret, struct error *err);

/*
 * After store_open with sync_later: layers that a crash has left unsure are unpacked again from
 * their blobs and flushed. *ret_lost: how many could not be, which are gone now.
 */
MUST_CHECK int unpack_unsure(struct store *s, size_t *ret_again, size_t *ret_lost,
			     struct error *err);

/*
 * Unpack a layer and keep its bytes: gzip and zstd as they are, anything else
 * (plain, bzip2, xz) as gzip made on the way; so that the exact tar can be had
 * again. In one pass. blob: digest and size that the kept bytes must have when
 * they are gzip or zstd, NULL: whatever they are. The blob and the layer are
 * leased to lease_id.
 */
struct unpack_expect {
	const struct digest *digest;
	uint64_t size;
};
MUST_CHECK int unpack_keep(struct store *s, struct reader *from, const struct unpack_layer *u,
			   const struct unpack_expect *blob, const char *lease_id,
			   struct layer_info *ret_layer, struct layer_blob *ret_blob,
			   struct error *err);
