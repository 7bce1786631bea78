/*
 * base/map.h: string to pointer, insertion order kept for iteration.
 *
 * Hashed with siphash and a per-process random key, because keys come from
 * peers. Keys are copied; values are borrowed unless free_value is set.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"

struct map_entry {
	const char *key; /* owned by the map */
	void *value;
};

struct map {
	struct map_entry *entries; /* insertion order; key NULL = removed, skip it */
	size_t n_entries, cap_entries;
	size_t len; /* live entries */
	unsigned *slots;
	size_t n_slots;
	void (*free_value)(void *); /* called on replace, remove and release; may be NULL */
};

#define MAP_INIT \
	{ \
		0 \
	}

void *map_get(const struct map *m, const char *key); /* NULL when absent */
bool map_has(const struct map *m, const char *key);
void map_set(struct map *m, const char *key, void *value);
bool map_remove(struct map *m, const char *key); /* false when absent */
/* Take the value out without freeing it. NULL when absent. */
void *map_steal(struct map *m, const char *key);
void map_release(struct map *m);

/* for_each over live entries: map_for_each (e, &m) use(e->key, e->value); */
#define map_for_each(e, m) \
	for (struct map_entry *e = (m)->entries; e != NULL && e < (m)->entries + (m)->n_entries; \
	     e++) \
		if (e->key != NULL)

DEFINE_AUTO(map, map_release);
