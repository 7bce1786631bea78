#include <stdlib.h>
#include <string.h>

#include "oci/image_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse_and_write(struct arena *a, const char *text, size_t len, struct buf *b)
{
	struct image_config c;

	if (image_config_parse(a, text, len, &c, NULL) < 0)
		return -1;
	return image_config_format(&c, b, NULL);
}

/* Property: what is read is written to a text that reads as the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) once = BUF_INIT(4 * IMAGE_CONFIG_MAX);
	auto_(buf) twice = BUF_INIT(4 * IMAGE_CONFIG_MAX);

	if (parse_and_write(&a, (const char *)data, size, &once) < 0 || once.len > IMAGE_CONFIG_MAX)
		return 0;
	if (parse_and_write(&a, once.data, once.len, &twice) < 0)
		abort();
	if (once.len != twice.len || memcmp(once.data, twice.data, once.len) != 0)
		abort();
	return 0;
}
