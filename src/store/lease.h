/*
 * store/lease.h: what gc must keep.
 *
 * Roots are images (each references its config, manifests, blobs and layers)
 * and leases. An operation that adds content makes a lease and names each
 * thing in it *before* it relies on the thing's presence or adds it; gc removes
 * a thing only in a transaction that sees no reference to it. So an operation
 * which found its blob after lease_add returned can use it until lease_drop.
 *
 * Temporary leases belong to the process and vanish when the store is opened
 * again; kept ones (containers, build cache) stay until dropped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "oci/digest.h"
#include "store/db.h"

enum ref_kind {
	REF_BLOB = 1,  /* ref: digest text of content */
	REF_LAYER = 2, /* ref: diffID text */
	REF_IMAGE = 3, /* ref: image id "sha256:..."; keeps what the image references */
};

#define LEASE_ID_MAX 128

/* id: unique, the caller's choice, e.g. "container/<id>", "build/<hex>"; making
 * it again is fine. `kept`: survives a restart. */
MUST_CHECK int lease_make(struct db *db, const char *id, bool kept, struct error *err);
/* A temporary one with a fresh id "<prefix>/<hex>". */
MUST_CHECK int lease_make_temp(struct db *db, const char *prefix, char out[static LEASE_ID_MAX],
			       struct error *err);
MUST_CHECK int lease_add(struct db *db, const char *id, enum ref_kind kind, const char *ref,
			 struct error *err);
MUST_CHECK int lease_add_digest(struct db *db, const char *id, enum ref_kind kind,
				const struct digest *d, struct error *err);
MUST_CHECK int lease_remove(struct db *db, const char *id, enum ref_kind kind, const char *ref,
			    struct error *err);
/* Absent is fine. What it kept goes with the next gc. */
int lease_drop(struct db *db, const char *id, struct error *err);

/* Scope-bound temporary lease: `auto_(lease) l = LEASE_INIT; lease_open(...)`. */
struct lease {
	struct db *db;
	char id[LEASE_ID_MAX];
};
#define LEASE_INIT \
	{ \
		0 \
	}
MUST_CHECK int lease_open(struct db *db, const char *prefix, struct lease *ret, struct error *err);
void lease_close(struct lease *l);
DEFINE_AUTO(lease, lease_close);
