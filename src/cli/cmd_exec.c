/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/api.h"
#include "cli/body.h"
#include "cli/commands.h"
#include "cli/session.h"

static int exec_body(struct cli *cli, const struct args *args, bool detach, struct json **ret,
		     struct error *err)
{
	struct arena *a = &cli->arena;
	struct json *body = json_new_object(a), *command = json_new_array(a), *env = NULL;
	int r = body_env(a, args, "env", "env-file", &env, err);

	if (r < 0)
		return r;
	for (size_t i = 1; i < args->operands.len; i++)
		json_push(a, command, json_new_string(a, args->operands.at[i]));
	json_set(a, body, "User", json_new_string(a, args_str(args, "user")));
	json_set(a, body, "Privileged", json_new_bool(a, args_bool(args, "privileged")));
	json_set(a, body, "Tty", json_new_bool(a, args_bool(args, "tty")));
	json_set(a, body, "AttachStdin",
		 json_new_bool(a, !detach && args_bool(args, "interactive")));
	json_set(a, body, "AttachStdout", json_new_bool(a, !detach));
	json_set(a, body, "AttachStderr", json_new_bool(a, !detach));
	json_set(a, body, "DetachKeys", json_new_string(a, args_str(args, "detach-keys")));
	if (env->n_items)
		json_set(a, body, "Env", env);
	json_set(a, body, "WorkingDir", json_new_string(a, args_str(args, "workdir")));
	json_set(a, body, "Cmd", command);
	*ret = body;
	return 0;
}

static const char *start_body(struct arena *a, bool detach, bool tty)
{
	struct json *body = json_new_object(a), *size = json_new_array(a);
	struct winsize w;

	json_set(a, body, "Detach", json_new_bool(a, detach));
	json_set(a, body, "Tty", json_new_bool(a, tty));
	if (tty && !detach && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0) {
		json_push(a, size, json_new_int(a, w.ws_row));
		json_push(a, size, json_new_int(a, w.ws_col));
		json_set(a, body, "ConsoleSize", size);
	}
	return body_text(a, body);
}

static int exec_attached(struct cli *cli, const struct args *args, const char *id,
			 struct error *err)
{
	struct client_stream stream = { .fd = FD_NONE };
	struct session s = { .cli = cli, .out = true, .err = true };
	struct client_request req = { .method = "POST" };
	const struct json *state = NULL;
	int r;

	s.tty = args_bool(args, "tty");
	s.in = args_bool(args, "interactive");
	s.resize_path = client_path(&cli->arena, "/exec/", id, "/resize");
	r = session_keys(&s, cli, args_str(args, "detach-keys"), err);
	if (r < 0)
		return r;
	req.path = client_path(&cli->arena, "/exec/", id, "/start");
	req.body = start_body(&cli->arena, false, s.tty);
	req.body_len = strlen(req.body);
	r = api_hijack(cli, &req, &stream, err);
	if (r < 0)
		return r;
	session_begin(&s);
	session_resize(&s);
	r = session_pump(&s, &stream, err);
	session_end(&s);
	client_stream_release(&stream);
	if (r < 0)
		return r;
	if (s.detached) {
		fputs("exec attach failed: error on attach stdin: read escape sequence\n", stderr);
		return 0;
	}
	r = api_get(cli, client_path(&cli->arena, "/exec/", id, "/json"), NULL, &state, err);
	if (r == 0)
		cli->status = (int)json_int(state, "ExitCode", 0);
	return r;
}

int cmd_exec(struct cli *cli, const struct args *args, struct error *err)
{
	bool detach = args_bool(args, "detach");
	const struct json *answer = NULL;
	struct json *body = NULL;
	const char *id;
	int r = exec_body(cli, args, detach, &body, err);

	/* A missing container is reported before a missing terminal. */
	if (r == 0)
		r = api_get(
		    cli, client_path(&cli->arena, "/containers/", args_operand(args, 0), "/json"),
		    NULL, NULL, err);
	if (r == 0 && !detach)
		r = session_check_tty(args_bool(args, "interactive"), args_bool(args, "tty"), err);
	if (r == 0)
		r = api_json(
		    cli, "POST",
		    client_path(&cli->arena, "/containers/", args_operand(args, 0), "/exec"), NULL,
		    body_text(&cli->arena, body), &answer, err);
	if (r < 0)
		return r;
	id = json_str(answer, "Id");
	if (!id || !*id)
		return error_set(err, ERR_CORRUPT, "exec ID empty");
	if (!detach)
		return exec_attached(cli, args, id, err);
	return api_json(cli, "POST", client_path(&cli->arena, "/exec/", id, "/start"), NULL,
			start_body(&cli->arena, true, args_bool(args, "tty")), NULL, err);
}
