/* base/idmap.c: see idmap.h. */
#include "base/idmap.h"

#define NOBODY 65534

bool id_map_out(const struct id_map *maps, size_t n, uint32_t inside, uint32_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (inside < maps[i].container || inside - maps[i].container >= maps[i].size)
			continue;
		*ret = maps[i].host + (inside - maps[i].container);
		return true;
	}
	return false;
}

uint32_t id_map_in(const struct id_map *maps, size_t n, uint32_t outside)
{
	for (size_t i = 0; i < n; i++)
		if (outside >= maps[i].host && outside - maps[i].host < maps[i].size)
			return maps[i].container + (outside - maps[i].host);
	return NOBODY;
}

uint32_t id_map_root(const struct id_map *maps, size_t n)
{
	uint32_t root;

	return id_map_out(maps, n, 0, &root) ? root : NOBODY;
}
