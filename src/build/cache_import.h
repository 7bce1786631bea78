/*
 * build/cache_import.h: caches that other machines have left (--cache-from).
 *
 * Asked only for what this store does not know, and not before. A layer is
 * fetched when a record of it is a hit; its blob must have its digest and unpack
 * to its diffID, else the source is not asked again and the step runs. Nothing
 * here fails a build: the client gets a warning.
 */
#pragma once

#include "build/build_internal.h"

struct cache_imports;

/* Looks at nothing yet. Borrows b. */
struct cache_imports *cache_imports_new(struct build *b);
void cache_imports_free(struct cache_imports *i); /* NULL is nothing */

/* Is there a record of this definition? Opens the sources at its first call. */
bool cache_imports_know(struct cache_imports *i, const char *def);
/* The key that a definition upon a base led to. */
bool cache_imports_fast(struct cache_imports *i, const char *fast, char ret_key[static 65]);
/*
 * Bring the record of this key, and its layer, into the store. True: cache_get
 * finds it now, and b's lease holds the layer.
 */
bool cache_imports_fetch(struct cache_imports *i, const char *key);
