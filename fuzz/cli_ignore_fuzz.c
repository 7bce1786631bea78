/* SPDX-License-Identifier: Apache-2.0 */
/* A .dockerignore and a path, parted by a NUL. */
#include <stdint.h>
#include <string.h>

#include "cli/context_ignore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	const uint8_t *nul = memchr(data, 0, size);
	size_t n = nul ? (size_t)(nul - data) : size;
	struct context_ignore ig;
	const char *path;

	/* The matcher's cost grows with the stars of a pattern: short inputs tell enough. */
	if (size > 256 ||
	    context_ignore_parse(&a, (struct str){ (const char *)data, n }, &ig, NULL) < 0)
		return 0;
	path = nul ? arena_strndup(&a, (const char *)nul + 1, size - n - 1) : "a/b";
	return context_ignore_matches(&ig, path) ? 0 : 0;
}
