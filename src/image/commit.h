/*
 * image/commit.h: a writable snapshot becomes a layer, a layer becomes an
 * image. For docker commit, docker import and the builder.
 *
 * Layers made here are kept unpacked only: their tar is made again, byte for
 * byte, when somebody asks (push, save), checked against the diffID. So a build
 * step costs no copy; the first push compresses into a kept blob.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/stream.h"
#include "oci/decode.h"
#include "store/store.h"

struct cancel;
struct json;

/*
 * Compute diffID, size and tar size of snapshot `key` without changing it
 * (nothing may write to it meanwhile, except `docker commit --pause=false`,
 * which takes what it sees: then use commit_copy).
 */
MUST_CHECK int commit_measure(struct store *s, const char *key, const struct cancel *cancel,
			      struct layer_info *ret, bool *ret_empty, struct error *err);
/* commit_measure and snapshot_commit: the upper directory becomes the layer (builder). The
 * diffID is leased to lease_id first. */
MUST_CHECK int commit_take(struct store *s, const char *key, const char *lease_id,
			   const struct cancel *cancel, struct layer_info *ret, struct error *err);
/* The snapshot stays usable: its diff is copied into a layer of its own (docker commit). */
MUST_CHECK int commit_copy(struct store *s, const char *key, const char *lease_id,
			   const struct cancel *cancel, struct layer_info *ret, struct error *err);

/* Write the uncompressed tar of a layer, from its blob or its directory;
 * ERR_CORRUPT when the bytes are not diff_id. */
MUST_CHECK int layer_export(struct store *s, const struct digest *diff_id, struct writer *to,
			    const struct cancel *cancel, struct error *err);
/* A compressed blob of a layer: an existing one, else gzip (level 1) made now and
 * kept for image `id`. */
struct layer_blob;
MUST_CHECK int layer_compress(struct store *s, const char *id, const struct digest *diff_id,
			      const struct cancel *cancel, struct layer_blob *ret,
			      struct error *err);

/* The same, kept by a lease. */
MUST_CHECK int layer_compress_for(struct store *s, const char *lease_id,
				  const struct digest *diff_id, const struct cancel *cancel,
				  struct layer_blob *ret, struct error *err);

/*
 * A manifest for an image that has none (built or committed here), with all
 * layers compressed; docker schema 2. It is stored, recorded and returned; an image that came
 * with a manifest keeps that one. Bytes appended to b.
 */
MUST_CHECK int image_manifest(struct store *s, const char *id, const struct cancel *cancel,
			      struct buf *b, const char **ret_media_type, struct digest *ret_digest,
			      struct error *err);
/* A manifest of a certain kind, whatever manifests the image has. Annotations need OCI's form. */
struct image_manifest_want {
	bool oci;
	struct pairs annotations;
};
MUST_CHECK int image_manifest_as(struct store *s, const char *id,
				 const struct image_manifest_want *want,
				 const struct cancel *cancel, struct buf *b,
				 const char **ret_media_type, struct digest *ret_digest,
				 struct error *err);
