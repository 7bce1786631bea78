/*
 * registry/repo.h: repositories: links to blobs, manifests, tags, referrers.
 *
 * Objects below repos/<name>/:
 *   blobs/<digest>       empty; its mtime is when the blob was last pushed,
 *                        mounted or asked for here
 *   manifests/<digest>   first line the media type, then "<digest> <size>" a line
 *                        for what the manifest needs; "subject <digest>" for its subject
 *   tags/<tag>           the digest
 *   referrers/<subject>/<digest>   the descriptor as the referrers API shows it
 *
 * A blob can be read through a repository that links it. A manifest is written
 * only after everything it needs was found, under gate_enter, so that a sweep
 * that runs beside it never takes what it has just found.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "oci/digest.h"
#include "registry/gate.h"
#include "registry/storage.h"

#define REPO_MANIFEST_MAX (4 * 1024 * 1024) /* bytes; distribution-spec asks for at least this */

struct repo_store {
	struct storage *storage; /* borrowed */
	struct gate gate;
};

struct repo_manifest {
	struct digest digest;
	char *media_type; /* in the arena */
	const char *bytes;
	size_t len;
};

/* Link the blob to the repository, or renew the link: no collection takes it from now on.
 * A crash may take the link away until it is settled. */
MUST_CHECK int repo_note_link(struct repo_store *s, const char *repo, const struct digest *d,
			      struct error *err);
MUST_CHECK int repo_settle_link(struct repo_store *s, const char *repo, const struct digest *d,
				struct error *err);
/* ERR_NOT_FOUND unless linked here and present; renews the link when it is old. */
MUST_CHECK int repo_stat_blob(struct repo_store *s, const char *repo, const struct digest *d,
			      uint64_t *ret_size, struct error *err);
MUST_CHECK int repo_open_blob(struct repo_store *s, const char *repo, const struct digest *d,
			      struct storage_object *ret, struct error *err);
/*
 * Link the blob if some repository that `may` accepts (NULL: any) links it.
 * ERR_NOT_FOUND when none does.
 */
typedef bool (*repo_may_fn)(void *arg, const char *repo);
MUST_CHECK int repo_mount_blob(struct repo_store *s, const char *repo, const struct digest *d,
			       repo_may_fn may, void *arg, struct error *err);
/* ERR_NOT_FOUND when it was not linked. The bytes go with the next collection. */
MUST_CHECK int repo_unlink_blob(struct repo_store *s, const char *repo, const struct digest *d,
				struct error *err);

/*
 * Write a manifest, and the tags when given, all visible when it returns.
 *
 * media_type   Content-Type of the request, or NULL
 * want         digest that the client names, or NULL
 * algo         digest algorithm when want is NULL
 * ret_subject  its subject; algo 0 when it has none
 *
 * ERR_INVALID malformed, or media types that disagree; ERR_CORRUPT the bytes
 * are not `want`; ERR_NOT_FOUND a blob or manifest that it needs is not here
 * (the message names it).
 */
struct repo_put {
	const char *media_type;
	const char *const *tags;
	size_t n_tags;
	const struct digest *want;
	const char *bytes;
	size_t len;
	bool sparse; /* what it needs may be absent: a mirror's comes when it is asked for */
};
MUST_CHECK int repo_put_manifest(struct repo_store *s, const char *repo, const struct repo_put *put,
				 struct digest *ret_digest, struct digest *ret_subject,
				 struct error *err);
/* Bytes are in the arena. ERR_NOT_FOUND. */
MUST_CHECK int repo_get_manifest(struct repo_store *s, const char *repo, const struct digest *d,
				 struct arena *a, struct repo_manifest *ret, struct error *err);
/* Removes its tags and its entry among the referrers too. ERR_NOT_FOUND. */
MUST_CHECK int repo_delete_manifest(struct repo_store *s, const char *repo, const struct digest *d,
				    struct error *err);

/* The same for a manifest that no tag names, without looking through the tags (a
 * collection would read all of them for each), and durable after a flush only. */
MUST_CHECK int repo_drop_untagged(struct repo_store *s, const char *repo, const struct digest *d,
				  struct error *err);

MUST_CHECK int repo_get_tag(struct repo_store *s, const char *repo, const char *tag,
			    struct digest *ret, struct error *err);
MUST_CHECK int repo_delete_tag(struct repo_store *s, const char *repo, const char *tag,
			       struct error *err);
/* ERR_NOT_FOUND for a repository that does not exist. */
MUST_CHECK int repo_list_tags(struct repo_store *s, const char *repo, struct storage_listing *ret,
			      struct error *err);
/* Every repository, sorted by name. */
MUST_CHECK int repo_list(struct repo_store *s, struct storage_listing *ret, struct error *err);
/* Descriptors (JSON objects) of what refers to subject; artifact_type NULL: all. */
MUST_CHECK int repo_referrers(struct repo_store *s, const char *repo, const struct digest *subject,
			      const char *artifact_type, struct buf *b, struct error *err);

/* Digests that the record of a manifest names, one call each; for collection. */
typedef int (*repo_ref_fn)(void *arg, const struct digest *d, int64_t size, bool is_subject,
			   struct error *err);
MUST_CHECK int repo_manifest_refs(struct repo_store *s, const char *repo, const struct digest *d,
				  repo_ref_fn fn, void *arg, struct error *err);
