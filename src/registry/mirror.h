/*
 * registry/mirror.h: a pull-through cache of several upstreams.
 *
 * A repository below a mirror's prefix that lacks a tag, manifest or blob gets
 * it from the upstream and keeps it; pushes to such a repository are its own.
 * A tag is asked for upstream each time and moved here when it has changed.
 * When the upstream is down, what is here is served. What two clients ask for
 * at once is fetched once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/stream.h"
#include "registry/config.h"
#include "registry/repo.h"
#include "registry/upload.h"

struct mirror;

/* Everything is borrowed and outlives the mirror. */
MUST_CHECK int mirror_new(const struct registry_config *config, struct repo_store *store,
			  struct uploads *uploads, struct mirror **ret, struct error *err);
void mirror_free(struct mirror *m); /* NULL is fine */
/* Whether repo stands below one of the prefixes. */
bool mirror_covers(const struct mirror *m, const char *repo);

/*
 * Bring a manifest in, without what it needs.
 *
 * reference  tag or digest, parsed by the caller before
 *
 * ERR_NOT_FOUND when the upstream has none, ERR_UNAVAILABLE when it cannot be
 * reached: the caller then serves what is here.
 */
MUST_CHECK int mirror_manifest(struct mirror *m, const char *repo, const char *reference,
			       const struct cancel *cancel, struct error *err);
/*
 * Bring a blob in that a manifest of the repository needs.
 *
 * pass  gets the bytes while they arrive, unverified; NULL: nobody waits. Its
 *       failure does not end the fetch.
 * ret_passed  whether pass was given all of them (else another request fetched it)
 */
MUST_CHECK int mirror_blob(struct mirror *m, const char *repo, const struct digest *d, int64_t size,
			   struct writer *pass, const struct cancel *cancel, bool *ret_passed,
			   struct error *err);
