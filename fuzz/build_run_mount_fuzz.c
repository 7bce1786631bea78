/* The value of RUN --mount, checked by its form alone and with its variables expanded. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "build/instruction.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int expand(void *ctx, const char *word, const char **ret, struct error *err)
{
	(void)ctx;
	(void)err;
	*ret = strcmp(word, "$V") == 0 ? "a,b=\"c" : word;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	const char *text = arena_strndup(&a, (const char *)data, size);
	struct run_mount m;

	(void)!run_mount_parse(&a, text, NULL, NULL, &m, NULL);
	if (run_mount_parse(&a, text, expand, NULL, &m, NULL) < 0)
		return 0;
	if (m.size_limit < 0 || m.mode < -1 || m.uid < -1 || m.gid < -1 || m.mode > 07777 ||
	    m.uid > UINT32_MAX || m.gid > UINT32_MAX)
		abort();
	return 0;
}
