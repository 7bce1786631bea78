/*
 * registry/gc.h: collection, retention and scrub, beside pushes and pulls.
 *
 * A blob stays while a manifest of any repository needs it, while a repository
 * linked it less than grace_ns ago, or when a push used it since the
 * collection began (see gate.h). Cost is linear in objects.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/error.h"
#include "registry/upload.h"

struct gc_options {
	int64_t grace_ns;      /* how long an unused link keeps its blob; default 1 h */
	int64_t upload_age_ns; /* when an abandoned upload goes; default 24 h */
	bool untagged;         /* also delete manifests that no tag, index or subject keeps */
	bool dry_run;
};

struct gc_result {
	uint64_t blobs, bytes; /* deleted, or to be deleted when dry */
	uint64_t links, manifests, uploads, kept;
};

MUST_CHECK int gc_run(struct repo_store *s, struct uploads *u, const struct gc_options *o,
		      const struct cancel *cancel, struct gc_result *ret, struct error *err);

/* One rule of retention: the first whose patterns match a tag decides. */
struct retain_rule {
	const char *repos;   /* glob, NULL = all */
	const char *tags;    /* glob, NULL = all */
	unsigned keep_last;  /* newest n of the matching tags stay; 0: no such rule */
	int64_t keep_age_ns; /* tags younger than this stay; 0: no such rule */
};
/* One line per tag into `report`: "delete repo:tag (reason)". */
MUST_CHECK int gc_retain(struct repo_store *s, const struct retain_rule *rules, size_t n_rules,
			 bool dry_run, struct buf *report, struct error *err);

/*
 * Read every blob and compare with its digest. A damaged one is set aside: absent from
 * then on, until it is pushed again.
 *
 * dry_run  only tell
 * report   a line for each that is damaged now, missing since an earlier scrub, or healed
 * ret_bad  how many are damaged or missing
 */
MUST_CHECK int gc_scrub(struct repo_store *s, bool dry_run, const struct cancel *cancel,
			struct buf *report, uint64_t *ret_checked, uint64_t *ret_bad,
			struct error *err);
