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
 * ret        the manifest when it came from upstream and the storage could not take
 *            it (a full disk); else its bytes are NULL, and it is in the repository
 *
 * ERR_NOT_FOUND when the upstream has none, ERR_UNAVAILABLE when it cannot be
 * reached: the caller then serves what is here.
 */
MUST_CHECK int mirror_manifest(struct mirror *m, const char *repo, const char *reference,
			       const struct cancel *cancel, struct arena *a,
			       struct repo_manifest *ret, struct error *err);

/* Who waits for a blob. */
struct mirror_client {
	struct writer *to; /* gets the bytes while they arrive; its failure ends no fetch */
	uint64_t size;     /* out: of the whole blob; known before the first byte */
};
/*
 * Bring a blob in.
 *
 * client  NULL: nobody waits. It gets nothing when another request fetched the blob; the
 *         last byte only once the digest agrees; and all of it even when the storage
 *         cannot take it.
 *
 * ERR_NOT_FOUND when the upstream has none.
 */
MUST_CHECK int mirror_blob(struct mirror *m, const char *repo, const struct digest *d,
			   struct mirror_client *client, const struct cancel *cancel,
			   struct error *err);
