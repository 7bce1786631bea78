/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/units.h"

enum { BAR_WIDTH = 50, BAR_MIN_TERMINAL = 110 };

struct display {
	struct cli *cli;
	const struct progress_options *options;
	struct arena scratch; /* of one message */
	struct map lines;     /* id -> line number + 1 */
	size_t n_lines;
	bool tty;
	int width;
};

int progress_mode_parse(const char *text, enum progress_mode *ret, struct error *err)
{
	static const char *const names[] = { "auto", "tty", "plain", "quiet", "rawjson" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(names[i], text) == 0) {
			*ret = (enum progress_mode)i;
			return 0;
		}
	}
	return error_set(err, ERR_INVALID,
			 "invalid progress type \"%s\": must be one of auto, plain, tty, "
			 "quiet, rawjson",
			 text);
}

/* "[====>     ]  1.2MB/3.4MB", or "" when there is nothing to show. */
static const char *bar_text(struct display *d, const struct json *detail)
{
	struct arena *a = &d->scratch;
	int64_t current = json_int(detail, "current", 0), total = json_int(detail, "total", 0);
	const char *units = json_str(detail, "units"), *have, *all, *bar = "";
	bool plain = units && *units;

	if (current <= 0 && total <= 0)
		return "";
	have = plain ? arena_format(a, "%lld %s", (long long)current, units)
		     : human_size(a, (double)current, 4);
	all = plain ? arena_format(a, "%lld %s", (long long)total, units)
		    : human_size(a, (double)total, 4);
	if (total <= 0)
		return arena_format(a, "%8s", have);
	if (d->width > BAR_MIN_TERMINAL) {
		int filled = (int)(current * 100 / total) / 2;
		char line[BAR_WIDTH + 1];

		if (filled > BAR_WIDTH)
			filled = BAR_WIDTH;
		memset(line, '=', sizeof(line));
		bar = arena_format(a, "[%.*s>%*s] ", filled, line, BAR_WIDTH - filled, "");
	}
	if (current > total)
		return arena_format(a, "%s%8s", bar, have);
	return arena_format(a, "%s%8s/%s", bar, have, all);
}

static void message_print(struct display *d, const struct json *m)
{
	const char *id = json_str(m, "id"), *status = json_str(m, "status");
	const char *stream = json_str(m, "stream"),
		   *bar = bar_text(d, json_get(m, "progressDetail"));
	FILE *out = d->options->out;

	if (stream && *stream) {
		fputs(stream, out);
		return;
	}
	if (*bar && !d->tty)
		return;
	if (d->tty && json_get(m, "progressDetail"))
		fputs("\r\033[K", out);
	if (id && *id)
		fprintf(out, "%s: ", id);
	if (*bar)
		fprintf(out, "%s %s\r", status ? status : "", bar);
	else
		fprintf(out, "%s%s\n", status ? status : "",
			d->tty && json_get(m, "progressDetail") ? "\r" : "");
}

/* Go to the line of the id, print there, come back. */
static void message_redraw(struct display *d, const struct json *m)
{
	const char *id = json_str(m, "id");
	size_t line = (size_t)(uintptr_t)map_get(&d->lines, id), up;
	FILE *out = d->options->out;

	if (line == 0) {
		line = ++d->n_lines;
		map_set(&d->lines, id, (void *)(uintptr_t)line);
		fputc('\n', out);
	}
	up = d->n_lines - line + 1;
	fprintf(out, "\033[%zuA\033[2K\r", up);
	message_print(d, m);
	if (*bar_text(d, json_get(m, "progressDetail")))
		fprintf(out, "\033[%zuB", up);
	else if (up > 1)
		fprintf(out, "\033[%zuB", up - 1);
	fputc('\r', out);
}

static int message_show(struct display *d, const struct json *m, struct error *err)
{
	const struct json *detail = json_get(m, "errorDetail");
	const char *error = json_str(detail, "message"), *id = json_str(m, "id");
	bool shown = d->options->mode != PROGRESS_QUIET && d->options->mode != PROGRESS_RAW;

	if (!error || !*error)
		error = json_str(m, "error");
	if (d->options->message)
		d->options->message(d->options->data, m);
	if (error && *error) {
		int code = (int)json_int(detail, "code", 0);

		if (code > 0 && code < 256)
			d->cli->status = code;
		return error_set(err, ERR_SYSTEM, "%s", error);
	}
	if (!shown || json_get(m, "aux") || json_get(m, "proa"))
		return 0;
	if (d->tty && id && *id && json_get(m, "progressDetail")) {
		message_redraw(d, m);
	} else {
		/* Other lines push the block of bars up: it starts anew. */
		if (d->tty && (!id || !*id)) {
			map_release(&d->lines);
			d->n_lines = 0;
		}
		message_print(d, m);
	}
	fflush(d->options->out);
	return 0;
}

int progress_show(struct cli *cli, struct reader *from, const struct progress_options *options,
		  struct error *err)
{
	struct display d = { .cli = cli, .options = options };
	struct client_messages messages;
	const char *text = NULL;
	size_t len = 0;
	int r;

	d.tty = options->mode == PROGRESS_TTY ||
		(options->mode == PROGRESS_AUTO && isatty(fileno(options->out)));
	d.width = d.tty ? cli_width(fileno(options->out)) : 0;
	client_messages_init(&messages, from);
	for (;;) {
		const struct json *m = NULL;

		r = client_messages_next(&messages, &text, &len, err);
		if (r < 0 || !text)
			break;
		if (options->mode == PROGRESS_RAW)
			fprintf(options->out, "%.*s\n", (int)len, text);
		r = json_parse(&d.scratch, text, len, &m, err);
		if (r == 0)
			r = message_show(&d, m, err);
		arena_release(&d.scratch);
		if (r < 0)
			break;
	}
	client_messages_release(&messages);
	map_release(&d.lines);
	return r;
}
