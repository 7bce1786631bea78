/*
 * store/check.h: `proa store check [--repair]`.
 *
 * Reads every blob again and compares it with its name, looks at every layer,
 * image and reference. With repair: damaged blobs and layers are removed,
 * images that miss something are reported and their references to absent
 * things dropped, so that a new pull heals them; directories and rows without
 * counterpart go.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct store;
struct cancel;

struct check_stats {
	uint64_t blobs, blob_bytes, layers, images, snapshots;
	uint64_t problems, repaired;
};

/* fn hears one line per problem ("blob sha256:...: digest mismatch"). */
MUST_CHECK int store_check(struct store *s, bool repair,
			   void (*fn)(void *arg, const char *problem, bool repaired), void *arg,
			   const struct cancel *cancel, struct check_stats *ret, struct error *err);
