/*
 * store/gc.h: remove what nothing names. Mark from images and leases, sweep
 * blobs and layers; runs beside everything else: each removal is one
 * transaction that looks for references again (see store/lease.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/digest.h"

struct store;
struct cancel;

struct gc_stats {
	uint64_t blobs, blob_bytes;
	uint64_t layers, layer_bytes;
};

/* `removed` (may be NULL) hears of each layer that went. Cost: one indexed
 * look-up a blob and layer. */
struct gc_options {
	void (*removed_layer)(void *arg, const struct digest *diff_id);
	void *arg;
	const struct cancel *cancel; /* may be NULL */
	int64_t partial_max_age_ns;  /* partial downloads older than this go; 0: 7 days */
};
MUST_CHECK int gc_run(struct store *s, const struct gc_options *options /* may be NULL */,
		      struct gc_stats *ret /* may be NULL */, struct error *err);
