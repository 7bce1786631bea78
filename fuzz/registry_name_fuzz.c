#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/str.h"
#include "registry/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: an accepted name makes a storage key that stays below its prefix and comes back. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *s = str_dup((struct str){ (const char *)data, size });
	char key[512];
	struct name_reference ref;

	(void)!name_reference_parse(s, &ref, NULL);
	if (!name_is_repo(s))
		return 0;
	name_repo_key(s, "", key, sizeof(key));
	if (strchr(key + strlen("repos/"), '/') != NULL || strstr(key, "..") != NULL)
		abort();
	name_repo_unflatten(key + strlen("repos/"));
	if (strcmp(key + strlen("repos/"), s) != 0)
		abort();
	(void)name_glob("a*/**/b?", s);
	return 0;
}
