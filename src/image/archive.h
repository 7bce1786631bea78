/*
 * image/archive.h: docker save, load and import.
 *
 * Save writes one tar that is both an OCI layout (index.json, blobs/) and a
 * docker archive (manifest.json, repositories): blobs as they were pulled, so
 * digests survive; layers without blob as plain tars. Load takes docker
 * archives (old <id>/layer.tar form too) and OCI layouts, compressed or not,
 * in one pass over a stream: blobs go into content, nothing is spooled.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/stream.h"
#include "oci/descriptor.h"
#include "store/store.h"

struct cancel;

/* names: references or ids; a name without tag saves all tags of the repository. */
MUST_CHECK int image_save(struct store *s, const char *const *names, size_t n_names,
			  const struct cancel *cancel, struct writer *to, struct error *err);

/* One image under the names that the caller chooses: what a build writes. */
struct image_save_one {
	const char *id;
	const char *const *tags; /* canonical */
	size_t n_tags;
	struct pairs annotations;            /* of its manifest; any: it gets one of its own */
	struct pairs descriptor_annotations; /* of what index.json says of it; its names win */
};
/* *ret: the manifest in the archive. */
MUST_CHECK int image_save_one(struct store *s, const struct image_save_one *o,
			      const struct cancel *cancel, struct writer *to,
			      struct descriptor *ret, struct error *err);

struct image_load {
	const struct cancel *cancel;
	/* "Loaded image: busybox:1" or "Loaded image ID: sha256:..." per image. */
	int (*loaded)(void *arg, const char *id, const char *familiar /* NULL: no tag */,
		      struct error *err);
	/* Layer being unpacked; may be NULL. */
	int (*layer)(void *arg, const char *diff_id, uint64_t done, uint64_t total,
		     struct error *err);
	void *arg;
};
MUST_CHECK int image_load(struct store *s, struct reader *from, const struct image_load *l,
			  struct error *err);

/*
 * docker import: a root file system tar becomes a one-layer image.
 * tag: canonical or NULL. config: the "config" object (from --change) or NULL.
 */
struct image_import {
	const char *tag, *message, *os, *arch, *variant; /* NULL: this machine's */
	const struct json *config;
	const struct cancel *cancel;
};
MUST_CHECK int image_import(struct store *s, struct reader *from, const struct image_import *i,
			    char **ret_id, struct error *err);
