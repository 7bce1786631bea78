/*
 * mountinfo and /proc/self/cgroup, split at the first NUL. Properties: what is
 * accepted has absolute paths and no hierarchy twice.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup/cgroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	const uint8_t *cut = memchr(data, 0, size);
	size_t n = cut ? (size_t)(cut - data) : size;
	struct str mounts = { n ? (const char *)data : "", n };
	struct str self = { cut ? (const char *)cut + 1 : "", cut ? size - n - 1 : 0 };
	struct cgroup_host h;
	struct error err;
	int v2 = 0;

	if (cgroup_host_parse(&a, mounts, self, &h, &err) < 0)
		return 0;
	if (h.n > CGROUP_HIERARCHY_MAX)
		abort();
	for (size_t i = 0; i < h.n; i++) {
		v2 += h.at[i].version == 2;
		if (h.at[i].self[0] != '/' || strlen(h.at[i].mount) >= sizeof(h.at[i].mount))
			abort();
	}
	if (v2 > 1)
		abort();
	return 0;
}
