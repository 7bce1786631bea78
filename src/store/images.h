/*
 * store/images.h: the rows of images, tags and repo digests. The logic that
 * users see (look-up by short id, deletion, filters) is in image/.
 *
 * An image's id is the digest of its config blob, as docker's. A row of an image
 * references (for gc) its config, every manifest it came with, their layer
 * blobs, and its layers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/error.h"
#include "oci/digest.h"
#include "store/db.h"

struct store;

struct image_row {
	char *id;           /* "sha256:<hex>" */
	char *parent;       /* id of the image it was built on, "" if unknown or not here */
	int64_t created_ns; /* of the config; 0 = never set */
	int64_t size;       /* sum of layer sizes, bytes */
	char *os, *arch, *variant;
	int64_t tagged_ns; /* last time a tag was set; 0 = never */
	char *labels;      /* JSON object text of config.Labels, or NULL */
	int64_t pulled_ns; /* when it came into the store */
};
void image_row_release(struct image_row *r);
DEFINE_AUTO(image_row, image_row_release);

/* One layer blob of a manifest: compressed (or plain) form of a diffID. */
struct layer_blob {
	struct digest digest;
	struct digest diff_id;
	const char *media_type;
	uint64_t size;
};

struct image_put {
	struct digest id;   /* the config blob, already in content */
	const char *parent; /* NULL = "" */
	int64_t created_ns;
	const char *os, *arch, *variant, *labels; /* NULL allowed */
	const struct digest *diff_ids;
	size_t n_layers; /* layers must be in snapshots */
	/* NULL when there is no manifest (built or committed here). */
	const struct digest *manifest;
	const char *manifest_media_type;
	const struct layer_blob *blobs; /* of that manifest; [n_layers] or none */
	size_t n_blobs;
	const struct digest *index; /* the index that led to the manifest, or NULL */
};

/*
 * Record an image; again is fine (adds the manifest). Layers are made durable
 * first (snapshots_sync), then one DB_FULL transaction. With store_options.sync_later
 * a layer whose blob is durable and comes in `blobs` is flushed afterwards instead. The tags are
 * set in the same transaction, repo_digest ("repo@sha256:...", may be NULL) too: nobody sees the
 * image without them. ret_old (may be NULL): for each tag the id that it named before, owned, NULL
 * if none or same.
 */
MUST_CHECK int images_put(struct store *s, const struct image_put *put, const char *const *tags,
			  size_t n_tags, const char *repo_digest, char **ret_old,
			  struct error *err);
MUST_CHECK int images_get(struct store *s, const char *id, struct image_row *ret,
			  struct error *err);
/* Ids with this hex prefix; at most `max` rows. Each owned by the caller. */
MUST_CHECK int images_by_prefix(struct store *s, const char *hex, char **out, size_t max,
				size_t *ret_n, struct error *err);
MUST_CHECK int images_layers(struct store *s, const char *id, struct digest **ret, size_t *ret_n,
			     struct error *err);
/* Row, tags, digests and references go in one DB_FULL transaction. */
MUST_CHECK int images_delete(struct store *s, const char *id, struct error *err);
/* The same, but ERR_CONFLICT when it has a tag: it may have got one since the caller looked. */
MUST_CHECK int images_delete_untagged(struct store *s, const char *id, struct error *err);
MUST_CHECK int images_each(struct store *s,
			   int (*fn)(void *arg, const struct image_row *row, struct error *err),
			   void *arg, struct error *err); /* newest first */
/* Number of images whose parent is id. */
MUST_CHECK int images_count_children(struct store *s, const char *id, int64_t *ret,
				     struct error *err);

/* ---- names. `name` is the full canonical text "docker.io/library/busybox:1" ---- */

/* Set or move. *ret_old: as of images_put. manifest: digest text or NULL. ERR_NOT_FOUND when the
 * image is no more. */
MUST_CHECK int tags_set(struct store *s, const char *name, const char *id, const char *manifest,
			char **ret_old, struct error *err);
/* ERR_NOT_FOUND. */
MUST_CHECK int tags_get(struct store *s, const char *name, char **ret_id,
			char **ret_manifest /* may be NULL */, struct error *err);
MUST_CHECK int tags_remove(struct store *s, const char *name, struct error *err);
MUST_CHECK int tags_each(struct store *s, const char *id /* NULL: all */,
			 int (*fn)(void *arg, const char *name, const char *id, struct error *err),
			 void *arg, struct error *err); /* by name */
/* Repo digests: name = "docker.io/library/busybox@sha256:...". ERR_NOT_FOUND as of tags_set. */
MUST_CHECK int repo_digests_set(struct store *s, const char *name, const char *id,
				struct error *err);
MUST_CHECK int repo_digests_get(struct store *s, const char *name, char **ret_id,
				struct error *err);
MUST_CHECK int repo_digests_remove(struct store *s, const char *name, struct error *err);
MUST_CHECK int repo_digests_each(struct store *s, const char *id /* NULL: all */,
				 int (*fn)(void *arg, const char *name, const char *id,
					   struct error *err),
				 void *arg, struct error *err);

/* ---- manifests and layer blobs ---- */

struct manifest_row {
	struct digest digest;
	char *media_type;
};
/* Manifests known for an image, oldest first; array owned, with its strings. */
MUST_CHECK int manifests_of(struct store *s, const char *id, struct manifest_row **ret,
			    size_t *ret_n, struct error *err);
/* Store the bytes of a manifest made here and record it for image `id`. ERR_NOT_FOUND when the
 * image is no more; so does layer_blobs_add. */
MUST_CHECK int manifests_add(struct store *s, const char *id, const void *bytes, size_t len,
			     const char *media_type, struct digest *ret, struct error *err);
void manifest_rows_free(struct manifest_row *rows, size_t n);
/* Remember that blob is the (compressed) form of diff_id; the image `id` keeps it. */
MUST_CHECK int layer_blobs_add(struct store *s, const char *id, const struct layer_blob *blob,
			       struct error *err);
/* Likewise; a lease keeps it. */
MUST_CHECK int layer_blobs_lease(struct store *s, const char *lease_id,
				 const struct layer_blob *blob, struct error *err);
/* A stored blob whose content is diff_id: *ret_media_type owned. ERR_NOT_FOUND. */
MUST_CHECK int layer_blobs_find(struct store *s, const struct digest *diff_id,
				struct digest *ret_digest, uint64_t *ret_size,
				char **ret_media_type, struct error *err);
/* diffID of a blob seen before (pull: "Already exists"). ERR_NOT_FOUND. */
MUST_CHECK int layer_blobs_diff_id(struct store *s, const struct digest *blob,
				   struct digest *ret_diff_id, struct error *err);
