/*
 * registry/name.h: names that clients send, parsed before any use.
 *
 * Spec: distribution-spec v1.1, spec.md, "Pulling manifests".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "oci/digest.h"

#define NAME_REPO_MAX 256 /* bytes, with the NUL */
#define NAME_TAG_MAX  129

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/...)*, at most 255 bytes. */
bool name_is_repo(const char *s);
/* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
bool name_is_tag(const char *s);

/* What stands behind /manifests/: a tag or a digest. */
struct name_reference {
	bool is_digest;
	struct digest digest;
	char tag[NAME_TAG_MAX];
};
/* ERR_INVALID for neither, ERR_UNIMPLEMENTED for an unknown digest algorithm. */
MUST_CHECK int name_reference_parse(const char *s, struct name_reference *ret, struct error *err);

/* "sha256-<hex>": a digest as one component of a storage key. */
#define NAME_DIGEST_MAX DIGEST_TEXT_MAX
void name_digest_format(const struct digest *d, char out[static NAME_DIGEST_MAX]);
MUST_CHECK int name_digest_parse(const char *s, struct digest *ret, struct error *err);

/* Key of a blob: content/blobs/sha256/ab/<hex>. */
void name_blob_key(const struct digest *d, char *out, size_t len);
/* Prefix of a repository: repos/<name with '/' as '+'>; rest is appended as it is. */
void name_repo_key(const char *repo, const char *rest, char *out, size_t len);
/* The name again from one component below repos/. */
void name_repo_unflatten(char *component);

/* Glob of access rules: '*' within a component, '**' across them, '?' one byte. */
bool name_glob(const char *pattern, const char *name);
