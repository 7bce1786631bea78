/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that are other programs of proa, the store, and the bridge to the socket. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/autostart.h"
#include "cli/commands.h"
#include "cli/config.h"

/* Become `program` with `first` (may be NULL) and the operands as its words. */
static int become(struct cli *cli, const char *program, const char *first, const struct args *args,
		  struct error *err)
{
	const char *path = sibling_path(cli, program);
	char **argv = arena_array(&cli->arena, args->operands.len + 3, sizeof(*argv));
	size_t n = 0;

	argv[n++] = arena_strdup(&cli->arena, program);
	if (first)
		argv[n++] = arena_strdup(&cli->arena, first);
	for (size_t i = 0; i < args->operands.len; i++)
		argv[n++] = arena_strdup(&cli->arena, args->operands.at[i]);
	fflush(stdout);
	execvp(path, argv);
	return error_sys(err, errno, "cannot run %s", program);
}

int cmd_engine(struct cli *cli, const struct args *args, struct error *err)
{
	return become(cli, "proad", NULL, args, err);
}

int cmd_registry_serve(struct cli *cli, const struct args *args, struct error *err)
{
	return become(cli, "proa-registry", "serve", args, err);
}

/* Bytes of `from` to `to`; false at the end of `from`. */
static bool move_some(int from, int to)
{
	char bytes[64 << 10];
	ssize_t n = read(from, bytes, sizeof(bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	return n > 0 && fs_write_all(to, bytes, (size_t)n, NULL) == 0;
}

/* {"Problems":[{"Text","Repaired"}],"Blobs","Bytes",...}: problems, then counts. */
int cmd_store_check(struct cli *cli, const struct args *args, struct error *err)
{
	const struct json *answer = NULL, *problems;
	bool left = false;
	int r = api_json(cli, "POST", "/store/check", args_bool(args, "repair") ? "repair=1" : NULL,
			 NULL, &answer, err);

	if (r < 0)
		return r;
	problems = json_get(answer, "Problems");
	json_for_each_item (p, problems) {
		bool repaired = json_bool(p, "Repaired", false);

		printf("%s%s\n", json_str(p, "Text") ? json_str(p, "Text") : "",
		       repaired ? " (repaired)" : "");
		left |= !repaired;
	}
	json_for_each_member (m, answer)
		if (m->value->type == JSON_INT)
			printf("%s: %lld\n", m->key, (long long)m->value->i);
	if (left)
		return error_set(err, ERR_CORRUPT,
				 "the store has problems: run 'store check --repair'");
	puts("The store is sound.");
	return 0;
}

int cmd_dial_stdio(struct cli *cli, const struct args *args, struct error *err)
{
	autoclose int fd = FD_NONE;
	bool in_open = true;
	int r;

	(void)args;
	if (!api_client(cli, err))
		return -err->kind;
	if (!cstr_starts(cli->host, "unix://"))
		return error_set(err, ERR_UNIMPLEMENTED, "dial-stdio to %s is not supported yet",
				 cli->host);
	r = unix_connect(cli->host + strlen("unix://"), &fd);
	if (r < 0)
		return error_sys(err, -r, "connect to %s", cli->host);
	for (;;) {
		struct pollfd fds[] = { { fd, POLLIN, 0 },
					{ in_open ? STDIN_FILENO : -1, POLLIN, 0 } };

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return error_sys(err, errno, "poll");
		if (fds[0].revents && !move_some(fd, STDOUT_FILENO))
			return 0;
		if (fds[1].revents && !move_some(STDIN_FILENO, fd)) {
			in_open = false;
			shutdown(fd, SHUT_WR);
		}
	}
}
