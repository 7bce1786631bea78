/*
 * base/idmap.h: the ids of a user namespace and what they are outside of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* container + i is host + i, for i below size. */
struct id_map {
	uint32_t container, host, size;
};

/* Arrays of whoever made them, often an arena. */
struct id_maps {
	struct id_map *uids, *gids;
	size_t n_uids, n_gids;
};

/* The id outside for one inside; false: the namespace has none. */
bool id_map_out(const struct id_map *maps, size_t n, uint32_t inside, uint32_t *ret);
/* The id inside for one outside; one that has none is seen as the kernel shows it, 65534. */
uint32_t id_map_in(const struct id_map *maps, size_t n, uint32_t outside);
/* What 0 inside is outside; 65534 when it is nobody. */
uint32_t id_map_root(const struct id_map *maps, size_t n);
