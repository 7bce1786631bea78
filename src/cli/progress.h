/*
 * cli/progress.h: JSON message streams (pull, push, load, build) shown.
 *
 * On a terminal each id has a line of its own that is redrawn, with a bar; else
 * one line a message, without bars.
 */
#pragma once

#include <stdio.h>

#include "base/json.h"
#include "base/stream.h"
#include "cli/cli.h"

enum progress_mode {
	PROGRESS_AUTO, /* redraw when `out` is a terminal, else plain */
	PROGRESS_TTY,
	PROGRESS_PLAIN,
	PROGRESS_QUIET,
	PROGRESS_RAW, /* the messages as they came, one a line */
};

struct progress_options {
	enum progress_mode mode;
	FILE *out;
	/* Called for each {"aux":...} and message; may be NULL. */
	void (*message)(void *data, const struct json *m);
	void *data;
};

/* "auto", "plain", "tty", "quiet", "rawjson". */
MUST_CHECK int progress_mode_parse(const char *text, enum progress_mode *ret, struct error *err);

/* Show the stream up to its end. ERR_SYSTEM with the text of an error message
 * inside of the stream; cli->status is set from its code when that is not 0. */
MUST_CHECK int progress_show(struct cli *cli, struct reader *from,
			     const struct progress_options *options, struct error *err);
