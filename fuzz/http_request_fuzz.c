#include <stdlib.h>
#include <string.h>

#include "http/message.h"
#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: an accepted request has one meaning: never both framings, names are
 * tokens, no value holds a control character. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	struct http_query q;
	struct http_head h;
	const char *path;
	size_t end = http_head_end((const char *)data, size, 0);

	if (end == 0 || http_parse_request(&a, (const char *)data, end, &h, NULL) < 0)
		return 0;
	if (http_headers_get(&h.headers, "Content-Length") &&
	    http_headers_get(&h.headers, "Transfer-Encoding"))
		abort();
	for (size_t i = 0; i < h.headers.len; i++) {
		if (!http_is_token(str_of(h.headers.at[i].name)) ||
		    strpbrk(h.headers.at[i].value, "\r\n"))
			abort();
	}
	(void)!http_target_parse(&a, h.target, &path, &q, NULL);
	return 0;
}
