/*
 * cli/each.h: one request for each operand, at once, as `stop a b c` does.
 */
#pragma once

#include "cli/cli.h"

struct client;

/* What to do for one operand, on a thread of its own. `a` is the thread's. */
typedef int each_action(struct client *c, const struct args *args, const char *name,
			struct arena *a, struct error *err);

/*
 * Run `action` for every operand, up to 50 at a time; then, in the order of
 * the operands, print each name that succeeded on stdout and each failure on
 * stderr ("Error response from daemon: ..."). cli->status is 1 after a failure.
 */
MUST_CHECK int each_operand(struct cli *cli, const struct args *args, each_action *action,
			    struct error *err);
/* As each_operand, but what is not there (ERR_NOT_FOUND) is told on stderr and is no failure. */
MUST_CHECK int each_operand_there(struct cli *cli, const struct args *args, each_action *action,
				  struct error *err);
