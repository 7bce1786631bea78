#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/str.h"
#include "oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: the canonical and the familiar form parse to the same reference. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *text = str_dup((struct str){ (const char *)data, size });
	char canonical[REFERENCE_TEXT_MAX], other[REFERENCE_TEXT_MAX];
	struct reference ref, again;
	bool hit;

	if (glob_match(text, "library/busybox:1", &hit, NULL) < 0)
		hit = false;
	if (reference_parse(text, &ref, NULL) < 0)
		return 0;
	reference_format(&ref, canonical);
	if (reference_parse(canonical, &again, NULL) < 0)
		abort();
	reference_familiar(&again, other);
	/* A familiar name may look like an id, or its first component like a domain
	 * ("docker.io/a.b/c"): Docker's grammar has that hole. */
	if (reference_parse(other, &again, NULL) < 0 ||
	    memchr(ref.path, '.', strcspn(ref.path, "/")) ||
	    strncmp(ref.path, "localhost/", 10) == 0)
		return 0;
	reference_format(&again, other);
	if (strcmp(canonical, other) != 0)
		abort();
	return 0;
}
