/*
 * oci/manifest.h: image manifests and indexes, OCI's and Docker's schema 2.
 *
 * The bytes that came are what has the digest: they are stored and sent as they
 * are; this is for reading them, and for making new ones.
 * Spec: image-spec v1.1, manifest.md and image-index.md.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "oci/descriptor.h"

#define MANIFEST_MAX        (4UL * 1024 * 1024) /* bytes of text */
#define MANIFEST_LAYERS_MAX 4096
#define INDEX_ENTRIES_MAX   4096
#define INDEX_DEPTH_MAX     3 /* of indexes in indexes; the walker's duty */

struct manifest {
	const char *media_type;    /* of the document, or else as the transport said */
	const char *artifact_type; /* may be NULL */
	struct descriptor config;
	const struct descriptor *layers;
	size_t n_layers;
	struct descriptor *subject; /* may be NULL */
	struct pairs annotations;
};

struct index {
	const char *media_type;
	const char *artifact_type; /* may be NULL */
	const struct descriptor *manifests;
	size_t n_manifests;
	struct descriptor *subject; /* may be NULL */
	struct pairs annotations;
};

/* Exactly one of the two is not NULL. */
struct manifest_any {
	const struct manifest *manifest;
	const struct index *index;
};

/*
 * Decode a manifest or an index, whichever it is.
 *
 * a           owns everything in *ret
 * media_type  what the descriptor or the Content-Type said; NULL: not known.
 *             When both it and the document's mediaType are there, they must agree.
 *
 * ERR_INVALID for malformed text, a type that disagrees, or a document that is
 * both (CVE-2021-41190); ERR_UNIMPLEMENTED for schema 1. Messages start with
 * the member's path ("manifest.layers[2].size: ...").
 */
MUST_CHECK int manifest_parse(struct arena *a, const char *text, size_t len, const char *media_type,
			      struct manifest_any *ret, struct error *err);

/*
 * The entry of an index that suits `want` best (the first of equals), leaving
 * out attestations and unknown platforms. ERR_NOT_FOUND "no matching manifest
 * for linux/arm64 in the manifest list entries".
 */
MUST_CHECK int index_choose(const struct index *i, const struct platform *want,
			    const struct descriptor **ret, struct error *err);

/* Append the document; media_type decides between OCI's and Docker's form.
 * ERR_INVALID past b's ceiling. */
MUST_CHECK int manifest_format(const struct manifest *m, struct buf *b, struct error *err);
MUST_CHECK int index_format(const struct index *i, struct buf *b, struct error *err);
