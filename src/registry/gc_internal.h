/* registry/gc_internal.h: what the parts of a collection share. */
#pragma once

#include "base/map.h"
#include "registry/gc.h"

struct collection {
	struct repo_store *s;
	const struct gc_options *o;
	const struct cancel *cancel;
	struct map live; /* digest text of blobs that stay */
	int64_t link_before_ns;
	struct gc_result result;
	uint64_t reclaimed; /* of result.blobs, whose space has been given back */
};

/* Delete the manifests of a repository that nothing keeps (gc_untagged.c). */
MUST_CHECK int gc_delete_untagged(struct collection *c, const char *repo, struct error *err);

/* Sets of digests. */
void gc_set_add(struct map *m, const struct digest *d);
bool gc_set_has(const struct map *m, const struct digest *d);

/* One level of a repository's objects; kind is "/blobs", "/manifests". */
MUST_CHECK int gc_list(struct repo_store *s, const char *repo, const char *kind,
		       struct storage_listing *ret, struct error *err);
/* Each of the directories that hold an algorithm's blobs. */
MUST_CHECK int gc_each_blob_dir(struct repo_store *s,
				int (*fn)(void *arg, const char *algo, const char *dir,
					  struct error *err),
				void *arg, struct error *err);
