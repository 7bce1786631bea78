/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/units.h"

enum { CHUNK = 64 << 10 };

/* Frames of a multiplexed body to our stdout and stderr. */
static int logs_demux(struct reader *from, struct error *err)
{
	char bytes[CHUNK];
	unsigned char head[8];
	size_t n, have = 0;

	for (;;) {
		uint32_t left;

		for (have = 0; have < sizeof(head); have += n) {
			int r = reader_read(from, head + have, sizeof(head) - have, &n, err);

			if (r < 0)
				return r;
			if (n == 0)
				return 0;
		}
		left = (uint32_t)head[4] << 24 | (uint32_t)head[5] << 16 | (uint32_t)head[6] << 8 |
		       head[7];
		while (left > 0) {
			size_t want = left < sizeof(bytes) ? left : sizeof(bytes);
			int r = reader_read(from, bytes, want, &n, err);

			if (r == 0 && n == 0)
				return 0;
			if (r == 0 && head[0] == 3)
				return error_set(err, ERR_SYSTEM,
						 "error from daemon in stream: %.*s", (int)n,
						 bytes);
			if (r == 0)
				r = fs_write_all(head[0] == 2 ? STDERR_FILENO : STDOUT_FILENO,
						 bytes, n, err);
			if (r < 0)
				return r;
			left -= (uint32_t)n;
		}
	}
}

static int logs_raw(struct reader *from, struct error *err)
{
	char bytes[CHUNK];
	size_t n;
	int r;

	do {
		r = reader_read(from, bytes, sizeof(bytes), &n, err);
		if (r == 0 && n > 0)
			r = fs_write_all(STDOUT_FILENO, bytes, n, err);
	} while (r == 0 && n > 0);
	return r;
}

int cmd_logs(struct cli *cli, const struct args *args, struct error *err)
{
	const char *name = args_operand(args, 0), *since = NULL, *until = NULL;
	struct client_request req = { .method = "GET" };
	autoptr(client_response) response = NULL;
	auto_(buf) q = api_query();
	const struct json *c = NULL;
	int r =
	    api_get(cli, client_path(&cli->arena, "/containers/", name, "/json"), NULL, &c, err);

	if (r == 0 && *args_str(args, "since")) {
		r = moment_parse(&cli->arena, args_str(args, "since"), &since, err);
		if (r < 0)
			return error_set(err, ERR_INVALID,
					 "invalid value for \"since\": failed to parse value as "
					 "time or duration: "
					 "\"%s\"",
					 args_str(args, "since"));
	}
	if (r == 0 && *args_str(args, "until")) {
		r = moment_parse(&cli->arena, args_str(args, "until"), &until, err);
		if (r < 0)
			return error_set(err, ERR_INVALID,
					 "invalid value for \"until\": failed to parse value as "
					 "time or duration: "
					 "\"%s\"",
					 args_str(args, "until"));
	}
	if (r < 0)
		return r;
	client_query_add_bool(&q, "stdout", true);
	client_query_add_bool(&q, "stderr", true);
	client_query_add(&q, "since", since);
	client_query_add(&q, "until", until);
	client_query_add_bool(&q, "timestamps", args_bool(args, "timestamps"));
	client_query_add_bool(&q, "follow", args_bool(args, "follow"));
	client_query_add_bool(&q, "details", args_bool(args, "details"));
	client_query_add(&q, "tail", args_str(args, "tail"));
	req.path = client_path(&cli->arena, "/containers/", name, "/logs");
	req.query = q.data;
	r = api_stream(cli, &req, &response, err);
	if (r < 0)
		return r;
	if (json_bool(json_get(c, "Config"), "Tty", false))
		return logs_raw(response->body, err);
	return logs_demux(response->body, err);
}
