/*
 * build/cache_places.h: where caches come from and go to, as the client says it:
 * "type=registry,ref=x,mode=max". Also what images are pushed with: both are blobs,
 * then a manifest.
 */
#pragma once

#include "build/build.h"
#include "oci/descriptor.h"
#include "remote/remote.h"

/* NULL when it is not given. */
const char *place_attr(const struct build_place *p, const char *key);
/* "true", "false", "1" ...; ERR_INVALID. */
MUST_CHECK int place_bool(const struct build_place *p, const char *key, bool otherwise, bool *ret,
			  struct error *err);

/* Refuse what is wrong or not there, before the build begins. */
MUST_CHECK int caches_check(const struct build_request *q, struct error *err);
/* Do all steps have to be looked at, because somebody wants their records? */
bool caches_want_all(const struct build_request *q);

struct build;

/* The records that go into the image's config, as a JSON value; *ret_text owned, NULL when
 * nobody asked for them. */
MUST_CHECK int caches_inline(struct build *b, char **ret_text, struct error *err);
/* Write every cache that was asked for. After the steps are done. */
MUST_CHECK int caches_export(struct build *b, struct error *err);

/* Make sure that a registry has these blobs of the store, side by side. */
MUST_CHECK int push_blobs(struct build *b, struct remote_repo *repo, const struct descriptor *d,
			  size_t n, struct error *err);
