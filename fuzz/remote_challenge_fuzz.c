#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/str.h"
#include "remote/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: values are terminated and come out of the text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *text = str_dup((struct str){ (const char *)data, size });
	struct challenge c;

	if (challenge_parse(text, &c, NULL) < 0)
		return 0;
	if (strlen(c.realm) > strlen(text) || strlen(c.scope) > strlen(text))
		abort();
	if (!c.bearer && (c.realm[0] || c.scope[0] || c.service[0]))
		abort();
	return 0;
}
