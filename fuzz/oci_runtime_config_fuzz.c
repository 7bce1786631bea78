#include <stdlib.h>

#include "oci/runtime_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: a valid configuration has what the runtime relies on. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	struct spec_resources s;
	struct runtime_config c;

	if (runtime_resources_parse(&a, (const char *)data, size, &s, NULL) == 0 &&
	    s.n_devices > 0 && s.devices == NULL)
		abort();
	if (runtime_config_parse(&a, (const char *)data, size, &c, NULL) < 0 ||
	    runtime_config_validate(&c, NULL) < 0)
		return 0;
	if (c.process->args.n == 0 || c.process->args.at[c.process->args.n] != NULL ||
	    c.process->cwd[0] != '/' || c.root->path[0] == '\0')
		abort();
	for (size_t i = 0; i < c.linux_.n_namespaces; i++)
		if (c.linux_.namespaces[i].type == NULL)
			abort();
	return 0;
}
