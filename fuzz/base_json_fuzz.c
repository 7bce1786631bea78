#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/jsonw.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse_and_write(const char *text, size_t len, struct buf *b)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *j;
	struct jsonw w;

	if (json_parse(&a, text, len, &j, NULL) < 0)
		return -1;
	jsonw_init(&w, b);
	/* The writer has one level less than the parser: a deeper document is refused there. */
	jsonw_value(&w, j);
	return jsonw_finish(&w, NULL);
}

/* Property: what parses is written to a text that parses; from the second text on
 * nothing changes (the first may make an integer of -0.0). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(buf) once = BUF_INIT(16UL * 1024 * 1024);
	auto_(buf) twice = BUF_INIT(16UL * 1024 * 1024);
	auto_(buf) thrice = BUF_INIT(16UL * 1024 * 1024);

	if (parse_and_write((const char *)data, size, &once) < 0)
		return 0;
	if (parse_and_write(once.data, once.len, &twice) < 0 ||
	    parse_and_write(twice.data, twice.len, &thrice) < 0)
		abort();
	if (twice.len != thrice.len || memcmp(twice.data, thrice.data, twice.len) != 0)
		abort();
	return 0;
}
