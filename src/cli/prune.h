/* cli/prune.h: what all the prune commands do after they have asked. */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct cli;

/*
 * POST `path` with `query` and print what went: `title`, a line each, an empty line; nothing
 * when nothing went.
 *
 * member  of the answer that lists it, "ContainersDeleted": names, or {Untagged} and {Deleted}
 * total   the bytes that came back are added to it
 */
MUST_CHECK int prune_run(struct cli *cli, const char *path, const char *query, const char *title,
			 const char *member, int64_t *total, struct error *err);
/* The last line: "Total reclaimed space: 1.98MB". */
void prune_print_total(struct cli *cli, int64_t total);
