/* A log line is whatever a container made the shim write, or somebody edited: parsing stays in its
 * bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "engine/logread.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *out = calloc(1, size + 1);
	struct log_record rec;

	if (log_line_parse((struct str){ (const char *)data, size }, out, &rec) &&
	    rec.text.len > size)
		abort();
	free(out);
	return 0;
}
