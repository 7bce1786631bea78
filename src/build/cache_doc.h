/*
 * build/cache_doc.h: a build cache as it travels between machines.
 *
 * One JSON document names layers by diffID and records: "the step with this key
 * made that layer". The blobs of the layers stand beside it, in the same order, in a
 * manifest or an index; inline, the document is a member of an image's config and
 * its layers are the image's. Keys are proa's own: a cache that BuildKit made is
 * understood as far as that there is nothing in it for us.
 *
 * What is read here was written by others: a record can at worst name a layer
 * that its key does not make, which is as much as a base image can do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "oci/digest.h"

#define CACHE_DOC_TYPE    "application/vnd.proa.buildcache.config.v1+json"
#define CACHE_INLINE_KEY  "proa.buildcache.v1"
#define CACHE_DOC_MAX     (4UL << 20) /* bytes of text */
#define CACHE_LAYERS_MAX  4096
#define CACHE_RECORDS_MAX 16384

struct cache_doc_record {
	char key[65];
	char fast[65], def[65]; /* see cache_fast_put; "" when it reads no other step */
	int64_t layer;          /* index into the layers, -1: the step changed nothing */
	const char *text;       /* the instruction, for people */
};

struct cache_doc {
	struct digest *diff_ids;
	size_t n_layers;
	struct cache_doc_record *records;
	size_t n_records;
};

/*
 * Decode a whole document. Everything lives in the arena.
 * ERR_INVALID for what is malformed or has more than the ceilings allow,
 * ERR_UNIMPLEMENTED for another version.
 */
MUST_CHECK int cache_doc_parse(struct arena *a, const char *text, size_t len, struct cache_doc *ret,
			       struct error *err);
/* The inline form: records alone, of an image with n_layers layers. */
MUST_CHECK int cache_doc_parse_inline(struct arena *a, const struct json *j, size_t n_layers,
				      struct cache_doc *ret, struct error *err);
/* As a JSON value; inline leaves the layers out. */
void cache_doc_write(struct jsonw *w, const struct cache_doc *d, bool is_inline);
