/*
 * main/runtime.c: the executable proa-runtime: the OCI runtime's verbs, the
 * shim, the init of --init and the planner of a build. Static, single-threaded.
 */
#include <stdio.h>
#include <string.h>

#include "build/planner.h"
#include "runtime/runtime.h"
#include "shim/shim.h"

/* The verbs whose process, or whose child, enters a container. */
static const char *const entering[] = { "create", "run", "exec", "shim" };

static int enters(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		for (size_t k = 0; k < sizeof(entering) / sizeof(entering[0]); k++)
			if (strcmp(argv[i], entering[k]) == 0)
				return 1;
	return 0;
}

int main(int argc, char **argv)
{
	struct error err;

	if (argc > 1 && strcmp(argv[1], "init") == 0)
		return runtime_init_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "userns") == 0)
		return runtime_userns_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "planner") == 0)
		return planner_main(argc - 1, argv + 1);
	if (enters(argc, argv) && runtime_protect_self(argv, &err) < 0) {
		fprintf(stderr, "proa-runtime: %s\n", err.msg);
		return 1;
	}
	if (argc > 1 && strcmp(argv[1], "shim") == 0)
		return shim_main(argc - 1, argv + 1, runtime_main);
	return runtime_main(argc, argv);
}
