#include <stdlib.h>

#include "registry/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: what is accepted has a type, bounded references and a descriptor that parses. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(1 << 20);
	struct digest d = { .algo = DIGEST_SHA256 };
	struct manifest_info info;
	const struct json *j;

	if (manifest_read(&a, (const char *)data, size, NULL, &info, NULL) < 0)
		return 0;
	if (info.media_type == NULL || info.n_refs > MANIFEST_REFS_MAX)
		abort();
	if (manifest_descriptor(&info, &d, size, &b, NULL) == 0 &&
	    json_parse(&a, b.data, b.len, &j, NULL) < 0)
		abort();
	return 0;
}
