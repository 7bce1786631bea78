/* The note that a COPY leaves beside its layer, with a sum that is right. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "build/copied.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(void *arg, const char *path, const struct copied_file *f)
{
	size_t *left = arg, n = strlen(path) + 1;

	/* Each is a part of its own of the note. */
	if (n > *left || f->hash[0] == 0xff)
		*left = 0;
	else
		*left -= n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *note = xcalloc(1, size + COPIED_HEAD);
	size_t left = size;

	copied_note_head((const char *)data, size, note);
	memcpy(note + COPIED_HEAD, data, size);
	if (copied_note_each(note, size + COPIED_HEAD, look, &left) < 0)
		abort();
	if (copied_note_each((const char *)data, size, look, &left) == 0 && size > 0 &&
	    size < COPIED_HEAD)
		abort();
	return 0;
}
