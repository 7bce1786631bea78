#include <stdlib.h>

#include "http/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: an accepted status is a status, and a body-less one has no body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	struct http_head h;
	size_t end = http_head_end((const char *)data, size, 0);

	if (end == 0 || http_parse_response(&a, (const char *)data, end, "GET", &h, NULL) < 0)
		return 0;
	if (h.status < 100 || h.status > 999)
		abort();
	if ((h.status == 204 || h.status == 304) && h.framing != HTTP_BODY_NONE)
		abort();
	return 0;
}
