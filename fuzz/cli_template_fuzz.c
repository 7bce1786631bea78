/* SPDX-License-Identifier: Apache-2.0 */
/* A template and a document, parted by a NUL: never more than an error. */
#include <stdint.h>
#include <string.h>

#include "cli/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) out = BUF_INIT(1 << 20);
	const uint8_t *nul = memchr(data, 0, size);
	size_t n = nul ? (size_t)(nul - data) : size;
	struct template_root root = { 0 };
	struct template *t = NULL;

	if (nul && json_parse(&a, (const char *)nul + 1, size - n - 1, &root.value, NULL) < 0)
		return 0;
	if (!root.value)
		root.value = json_new_object(&a);
	if (template_parse(&a, arena_strndup(&a, (const char *)data, n), &t, NULL) < 0)
		return 0;
	return template_execute(t, &root, &out, NULL) < 0 ? 0 : 0;
}
