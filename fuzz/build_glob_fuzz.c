/* A wildcard of COPY and a name, parted by a NUL; a name without magic is its own pattern. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "build/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	const uint8_t *nul = memchr(data, 0, size);
	size_t n = nul ? (size_t)(nul - data) : size;
	struct str pattern = { (const char *)data, n };
	struct str name = { (const char *)data + n + 1, nul ? size - n - 1 : 0 };
	struct glob g;
	int checked = glob_check_path(pattern, NULL);

	/* The matcher's cost grows with the stars of a pattern: short inputs tell enough. */
	if (size > 512 || glob_compile_path(&a, pattern, &g, NULL) < 0)
		return 0;
	if (checked < 0)
		abort();
	(void)glob_matches(&g, nul ? name : pattern);
	if (memchr(pattern.at, '\\', n) == NULL &&
	    !glob_has_magic(arena_strndup(&a, pattern.at, n)) && !glob_matches(&g, pattern))
		abort();
	return 0;
}
