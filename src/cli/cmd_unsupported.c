/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"

int cmd_unsupported(struct cli *cli, const struct args *args, struct error *err)
{
	const char *what = args->path;

	if (strcmp(what, "swarm") == 0 || strcmp(what, "service") == 0 ||
	    strcmp(what, "node") == 0 || strcmp(what, "stack") == 0 ||
	    strcmp(what, "secret") == 0 || strcmp(what, "config") == 0)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "%s %s is not supported: proa has no swarm mode", cli->program,
				 what);
	return error_set(err, ERR_UNIMPLEMENTED, "%s %s is not supported yet", cli->program, what);
}
