/*
 * cli/plugin.h: docker's CLI plugins: `NAME` runs an executable docker-NAME
 * from the directories of plugins, if it answers for itself with metadata.
 */
#pragma once

#include "base/json.h"
#include "cli/cli.h"

/*
 * Become the plugin `name`: it gets all our words after the program's name, as
 * they were typed, and DOCKER_HOST set to our engine when nothing else says
 * where it is.
 *
 * -ERR_NOT_FOUND when there is no valid one (err is not touched); ERR_SYSTEM
 * when it cannot be run. Does not return on success.
 */
int plugin_become(struct cli *cli, const char *name, struct error *err);

/*
 * All plugins, sorted by name: what each says of itself, Name and Path; Err
 * instead when it is not valid. Runs each of them once. Lives in cli->arena.
 */
struct json *plugins_json(struct cli *cli);

/* The lines of `info` about the client's plugins; nothing when there are none. */
void plugins_print(struct cli *cli);
