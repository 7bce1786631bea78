/*
 * build/known.h: files that layers of this context hold already, by content.
 *
 * A context that comes as a stream is unpacked to be read by paths. What a COPY took from it the
 * last time lies in a layer, and a hard link to that is cheaper than the file anew. Each file of a
 * layer is lent once: two names of one file would say that the context had a hard link.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/auto.h"
#include "base/hash.h"
#include "store/store.h"

struct known;

/* Of the layers that COPYs of context `origin` made last; they are leased to lease_id. */
struct known *known_new(struct store *s, const char *origin, const char *lease_id);
void known_free(struct known *k); /* NULL is nothing */
DEFINE_AUTOPTR(known, known_free);

/* Make dir/name a link to a file of root's with this content, size and mode. false: there is none
 * left, or something is at dir/name. */
bool known_link(struct known *k, const uint8_t hash[static SHA256_SIZE], uint64_t size, mode_t mode,
		int dir, const char *name);
