/* A build cache from somebody else: what is accepted is written and read as the same. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "build/cache_doc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(buf) text = BUF_INIT(4 * CACHE_DOC_MAX);
	auto_(arena) a = ARENA_INIT;
	struct cache_doc d, again;
	struct jsonw w;

	if (cache_doc_parse(&a, (const char *)data, size, &d, NULL) < 0)
		return 0;
	for (size_t i = 0; i < d.n_records; i++) {
		if (strlen(d.records[i].key) != 64 || d.records[i].layer >= (int64_t)d.n_layers)
			abort();
	}
	jsonw_init(&w, &text);
	cache_doc_write(&w, &d, false);
	if (jsonw_finish(&w, NULL) < 0 || text.len > CACHE_DOC_MAX)
		return 0;
	if (cache_doc_parse(&a, text.data, text.len, &again, NULL) < 0 ||
	    again.n_records != d.n_records || again.n_layers != d.n_layers)
		abort();
	return 0;
}
