/* SPDX-License-Identifier: Apache-2.0 */
/* The record of --mount, --output, --cache-to and others: fields are parts of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	const char *text = arena_strndup(&a, (const char *)data, size);
	size_t total = 0;
	struct csv csv;

	if (csv_parse(&a, text, &csv, NULL) < 0)
		return 0;
	for (size_t i = 0; i < csv.n; i++)
		total += strlen(csv.fields[i]);
	if (total > size || csv.n > size + 1)
		abort();
	return 0;
}
