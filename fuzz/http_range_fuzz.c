#include <stdlib.h>

#include "base/str.h"
#include "http/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: what is accepted lies within the content. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = str_dup((struct str){ (const char *)data, size });
	uint64_t total = size * 7;
	struct http_range r;
	int64_t all;
	bool partial;

	if (http_range_parse(text, total, &partial, &r, NULL) == 0 && partial &&
	    (r.len == 0 || r.first >= total || r.len > total - r.first))
		abort();
	if (http_content_range_parse(text, &r, &all, NULL) == 0 && all >= 0 &&
	    (r.len == 0 || r.first + r.len > (uint64_t)all))
		abort();
	free(text);
	return 0;
}
