/*
 * registry/mirror.h: a pull-through cache of several upstreams.
 *
 * A repository below a mirror's prefix that lacks a tag, manifest or blob gets
 * it from the upstream and keeps it; pushes to such a repository are its own.
 * When the upstream is down, what is here is served.
 */
#pragma once

#include <stddef.h>

#include "base/cancel.h"
#include "base/error.h"
#include "registry/config.h"
#include "registry/repo.h"
#include "registry/upload.h"

struct mirror;

/* mirrors is borrowed and outlives the mirror. */
MUST_CHECK int mirror_new(const struct config_mirror *mirrors, size_t n, struct mirror **ret,
			  struct error *err);
void mirror_free(struct mirror *m); /* NULL is fine */
/* Whether repo stands below one of the prefixes. */
bool mirror_covers(const struct mirror *m, const char *repo);

/*
 * Bring a manifest in, with the blobs and manifests it needs. A tag is asked
 * for at the upstream and moved here when it has changed.
 *
 * ERR_NOT_FOUND when the upstream has none, ERR_UNAVAILABLE when it cannot be
 * reached: the caller then serves what is here.
 */
MUST_CHECK int mirror_manifest(struct mirror *m, struct repo_store *s, struct uploads *u,
			       const char *repo, const char *reference, const struct cancel *cancel,
			       struct error *err);
