#include <stdint.h>
#include <stdlib.h>

#include "build/ignore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: what a file ignores, its negation after it brings back. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	struct ignore ig;
	size_t n;
	unsigned *lines;
	const char **patterns =
	    ignore_read(&a, (struct str){ (const char *)data, size }, &n, &lines);

	if (ignore_compile(&a, patterns, n, lines, &ig, NULL) < 0)
		return 0;
	for (size_t i = 0; i < ig.len; i++) {
		bool hit = ignore_matches(&ig, ig.at[i].text, NULL);

		if (hit != ignore_matches(&ig, ig.at[i].text, NULL))
			abort();
		(void)ignore_may_reinclude(&ig, ig.at[i].text);
	}
	return 0;
}
