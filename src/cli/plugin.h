/*
 * cli/plugin.h: docker's CLI plugins: `NAME` runs an executable docker-NAME
 * from the directories of plugins.
 */
#pragma once

#include "cli/cli.h"

/*
 * Become the plugin argv[0], with all of argv as its arguments and
 * DOCKER_HOST set to our engine when nothing else says where it is.
 *
 * -ERR_NOT_FOUND when there is none (err is not touched); ERR_SYSTEM when it
 * cannot be run. Does not return on success.
 */
int plugin_become(struct cli *cli, int argc, char *const *argv, struct error *err);
