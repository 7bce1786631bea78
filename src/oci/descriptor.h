/* oci/descriptor.h: a pointer to content.
 * Spec: image-spec v1.1, descriptor.md. Strings live in the document's arena. */
#pragma once

#include <stdint.h>

#include "base/jsonw.h"
#include "oci/decode.h"
#include "oci/digest.h"
#include "oci/platform.h"

struct descriptor {
	const char *media_type; /* NULL only where the specification allows */
	struct digest digest;
	int64_t size; /* bytes; never negative */
	struct strings urls;
	struct pairs annotations;
	struct platform *platform; /* NULL when absent; as the text has it, not normalised */
	const char *artifact_type; /* may be NULL */
	const char *data;          /* base64; may be NULL */
};

/* Table for decode_object and for tables that hold descriptors. */
extern const struct decode_struct descriptor_decode;

/* As an object, members in the specification's order, empty ones left out. */
void descriptor_write(struct jsonw *w, const struct descriptor *d);
/* key and all pairs as an object; key and all strings as an array. */
void pairs_write(struct jsonw *w, const char *key, const struct pairs *p);
void strings_write(struct jsonw *w, const char *key, const struct strings *s);
bool digest_equal(const struct digest *a, const struct digest *b);
/* "key" in annotations; NULL when absent. */
const char *pairs_get(const struct pairs *p, const char *key);
