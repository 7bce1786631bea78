#include <stdlib.h>
#include <string.h>

#include "oci/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse_and_write(struct arena *a, const char *text, size_t len, struct buf *b)
{
	const struct descriptor *d;
	struct manifest_any any;
	struct platform host = { .os = "linux", .arch = "amd64" };

	if (manifest_parse(a, text, len, NULL, &any, NULL) < 0)
		return -1;
	if (any.index != NULL && index_choose(any.index, &host, &d, NULL) == 0 && d->size < 0)
		abort();
	return any.manifest ? manifest_format(any.manifest, b, NULL)
			    : index_format(any.index, b, NULL);
}

/* Property: what is read is written to a text that reads as the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) once = BUF_INIT(4 * MANIFEST_MAX);
	auto_(buf) twice = BUF_INIT(4 * MANIFEST_MAX);

	if (parse_and_write(&a, (const char *)data, size, &once) < 0 || once.len > MANIFEST_MAX)
		return 0;
	if (parse_and_write(&a, once.data, once.len, &twice) < 0)
		abort();
	if (once.len != twice.len || memcmp(once.data, twice.data, once.len) != 0)
		abort();
	return 0;
}
