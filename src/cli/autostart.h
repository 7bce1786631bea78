/*
 * cli/autostart.h: an engine without any set-up.
 *
 * When nobody configured a host and nothing answers at the default socket,
 * proad is started in the background, once, by whoever holds the lock.
 */
#pragma once

#include "cli/cli.h"

/*
 * Make sure that something listens at `host` ("unix://PATH").
 *
 * Tells so in one line on stderr when it starts proad, found beside this
 * program or in PATH. 0 also when nothing can be started: the request that
 * follows reports that it cannot connect.
 */
MUST_CHECK int autostart_engine(struct cli *cli, const char *host, struct error *err);

/* Path of a program of ours: beside this one, else the bare name for PATH. */
const char *sibling_path(struct cli *cli, const char *name);

/* Connect to a Unix socket: 0, or -errno. */
MUST_CHECK int unix_connect(const char *path, int *ret_fd);
