/*
 * registry/manifest.h: what the registry must know of a manifest.
 *
 * Images, indexes and artifacts of any kind: only the members that name other
 * content are read. Spec: image-spec v1.1 manifest.md and image-index.md;
 * distribution, "Image Manifest V 2, Schema 2".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "oci/digest.h"

#define MANIFEST_REFS_MAX 4096

struct manifest_ref {
	struct digest digest;
	int64_t size;
	bool is_manifest; /* else a blob */
};

struct manifest_info {
	const char *media_type;    /* as it will be served */
	const char *artifact_type; /* for the referrers API; "" when there is none */
	const struct json *annotations;
	struct manifest_ref *refs; /* what must be here before it is */
	size_t n_refs;
	bool has_subject;
	struct digest subject;
};

/*
 * content_type  of the request; parameters behind ';' are ignored; NULL: take mediaType
 * ret           lives as long as the arena
 *
 * ERR_INVALID with the reason; ERR_UNIMPLEMENTED for schema 1.
 */
MUST_CHECK int manifest_read(struct arena *a, const char *bytes, size_t len,
			     const char *content_type, struct manifest_info *ret,
			     struct error *err);

/* The descriptor that the referrers API shows. */
MUST_CHECK int manifest_descriptor(const struct manifest_info *info, const struct digest *d,
				   size_t size, struct buf *b, struct error *err);
