/* cli/run.h: creating and following containers; shared by run, create, start. */
#pragma once

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/run_config.h"

/* Create by the flags, pulling the image when it is missing (--pull). *ret_id
 * is in the arena. Warnings go to stderr. */
MUST_CHECK int container_create(struct cli *cli, const struct args *args,
				const struct run_config *config, const char **ret_id,
				struct error *err);

/* A wait whose answer comes when the container ends. */
struct exit_wait {
	struct client_response *response;
};
/* Returns when the engine has taken the request; condition "next-exit",
 * "removed" or "". */
MUST_CHECK int exit_wait_begin(struct cli *cli, const char *id, const char *condition,
			       struct exit_wait *ret, struct error *err);
/* Block until it ends: the exit code, 125 when the engine cannot tell. */
int exit_wait_finish(struct cli *cli, struct exit_wait *w);
void exit_wait_drop(struct exit_wait *w);
