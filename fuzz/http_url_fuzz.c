#include <stdlib.h>
#include <string.h>

#include "http/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: what was decoded, encoded again, decodes to the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(16 << 20);
	struct http_query q, again;

	if (http_query_parse(&a, (struct str){ (const char *)data, size }, &q, NULL) < 0)
		return 0;
	for (size_t i = 0; i < q.len; i++)
		if (http_encode_param(&b, q.at[i].key, q.at[i].value, NULL) < 0)
			return 0;
	if (http_query_parse(&a, (struct str){ b.data ? b.data : "", b.len }, &again, NULL) < 0 ||
	    again.len != q.len)
		abort();
	for (size_t i = 0; i < q.len; i++)
		if (strcmp(q.at[i].key, again.at[i].key) != 0 ||
		    strcmp(q.at[i].value, again.at[i].value) != 0)
			abort();
	return 0;
}
