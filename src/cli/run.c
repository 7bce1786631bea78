/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/body.h"
#include "cli/commands.h"
#include "cli/pull.h"
#include "cli/session.h"
#include "oci/platform.h"
#include "oci/reference.h"

/* A value of a flag is wrong, whatever the text says. */
enum { EXIT_FLAGS = 125 };

/* Some failures are shown without the program's name, and end with 1. */
static int plain_failure(struct cli *cli, struct error *err, int status)
{
	int r = -(int)err->kind;

	fprintf(stderr, "%s\n", err->msg);
	memset(err, 0, sizeof(*err));
	cli->status = status;
	return r;
}

static int create_request(struct cli *cli, const char *query, const char *body,
			  const struct json **ret, struct error *err)
{
	return api_json(cli, "POST", "/containers/create", query, body, ret, err);
}

static int cidfile_check(const char *path, struct error *err)
{
	if (*path && access(path, F_OK) == 0)
		return error_set(
		    err, ERR_CONFLICT,
		    "container ID file found, make sure the other container isn't running or "
		    "delete %s",
		    path);
	return 0;
}

static int cidfile_write(const char *path, const char *id, struct error *err)
{
	autoclose int fd = FD_NONE;
	int r;

	if (!*path)
		return 0;
	r = fs_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666, &fd, err);
	if (r < 0)
		return error_set(err, ERR_SYSTEM,
				 "failed to create the container ID file: open %s: %s", path,
				 err->sys == ENOENT   ? "no such file or directory"
				 : err->sys == EACCES ? "permission denied"
						      : "cannot be opened");
	return fs_write_all(fd, id, strlen(id), err);
}

static bool is_missing_image(const struct error *e)
{
	return e->kind == ERR_NOT_FOUND &&
	       (strstr(e->msg, "No such image") || strstr(e->msg, "image with reference"));
}

/* "arm64" as "linux/arm64". */
static int platform_full(struct arena *a, const char *text, const char **ret, struct error *err)
{
	char full[PLATFORM_TEXT_MAX];
	struct platform p;
	int r = platform_parse(text, &p, err);

	if (r < 0)
		return error_wrap(err, r, "error parsing specified platform");
	platform_format(&p, full);
	*ret = arena_strdup(a, full);
	return 0;
}

int container_create(struct cli *cli, const struct args *args, const struct run_config *config,
		     const char **ret_id, struct error *err)
{
	const char *pull = args_str(args, "pull"), *platform = args_str(args, "platform");
	const char *cidfile = args_str(args, "cidfile"),
		   *body = body_text(&cli->arena, config->body);
	bool quiet = args_bool(args, "quiet");
	const struct json *answer = NULL;
	char familiar[REFERENCE_TEXT_MAX];
	auto_(buf) q = api_query();
	struct reference ref;
	bool named;
	int r;

	r = cidfile_check(cidfile, err);
	if (r < 0)
		return r;
	named = reference_parse_tagged(config->image, &ref, err) == 0;
	/* An image's whole id is no name, and not pulled. */
	if (!named && strlen(config->image) != 64 && !cstr_starts(config->image, "sha256:"))
		return -err->kind;
	if (!*platform && getenv("DOCKER_DEFAULT_PLATFORM"))
		platform = getenv("DOCKER_DEFAULT_PLATFORM");
	r = *platform ? platform_full(&cli->arena, platform, &platform, err) : 0;
	if (r < 0)
		return r;
	if (!api_client(cli, err))
		return -err->kind;
	client_query_add(&q, "name", *args_str(args, "name") ? args_str(args, "name") : NULL);
	client_query_add(&q, "platform", *platform ? platform : NULL);
	if (strcmp(pull, "always") == 0 && named) {
		r = pull_image(cli, config->image, platform, false, quiet, stderr, err);
		if (r < 0)
			return r;
	}
	r = create_request(cli, q.data, body, &answer, err);
	if (r < 0 && is_missing_image(err) && named && strcmp(pull, "missing") == 0) {
		reference_familiar(&ref, familiar);
		if (!quiet)
			fprintf(stderr, "Unable to find image '%s' locally\n", familiar);
		memset(err, 0, sizeof(*err));
		r = pull_image(cli, config->image, platform, false, quiet, stderr, err);
		if (r == 0)
			r = create_request(cli, q.data, body, &answer, err);
	}
	if (r < 0)
		return r;
	json_for_each_item (w, json_get(answer, "Warnings"))
		fprintf(stderr, "WARNING: %s\n", w->type == JSON_STRING ? w->s : "");
	*ret_id = json_str(answer, "Id");
	if (!*ret_id)
		return error_set(err, ERR_CORRUPT, "the engine's answer names no container");
	return cidfile_write(cidfile, *ret_id, err);
}

int exit_wait_begin(struct cli *cli, const char *id, const char *condition, struct exit_wait *ret,
		    struct error *err)
{
	auto_(buf) q = api_query();
	struct client_request req = { .method = "POST" };

	req.path = client_path(&cli->arena, "/containers/", id, "/wait");
	client_query_add(&q, "condition", *condition ? condition : NULL);
	req.query = q.data;
	return api_stream(cli, &req, &ret->response, err);
}

int exit_wait_finish(struct cli *cli, struct exit_wait *w)
{
	auto_(buf) text = BUF_INIT(1 << 20);
	const struct json *answer = NULL;
	struct error err = { 0 };
	const char *why;
	int r = reader_read_all(w->response->body, &text, &err);

	if (r == 0)
		r = json_parse(&cli->arena, text.data ? text.data : "", text.len, &answer, &err);
	exit_wait_drop(w);
	why = json_str(json_get(answer, "Error"), "Message");
	if (r < 0 || why) {
		fprintf(stderr, "Error waiting for container: %s\n", why ? why : err.msg);
		return 125;
	}
	return (int)json_int(answer, "StatusCode", 125);
}

void exit_wait_drop(struct exit_wait *w)
{
	if (w->response)
		client_response_free(w->response);
	w->response = NULL;
}

int cmd_create(struct cli *cli, const struct args *args, struct error *err)
{
	struct run_config config;
	const char *id = NULL;
	int r;

	r = run_config_build(cli, args, &config, err);
	if (r < 0) {
		cli->status = EXIT_FLAGS;
		return r;
	}
	r = container_create(cli, args, &config, &id, err);
	if (r < 0)
		return plain_failure(cli, err, 1);
	printf("%s\n", id);
	return 0;
}

static int start_request(struct cli *cli, const char *id, struct error *err)
{
	return api_json(cli, "POST", client_path(&cli->arena, "/containers/", id, "/start"), NULL,
			NULL, NULL, err);
}

/* -d: the id once it runs. */
static int run_detached(struct cli *cli, const char *id, struct error *err)
{
	int r = start_request(cli, id, err);

	if (r == 0)
		printf("%s\n", id);
	return r;
}

static int attach_stream(struct cli *cli, const char *id, const struct run_config *c,
			 struct client_stream *ret, struct error *err)
{
	struct client_request req = { .method = "POST" };
	auto_(buf) q = api_query();

	req.path = client_path(&cli->arena, "/containers/", id, "/attach");
	client_query_add(&q, "stream", "1");
	client_query_add_bool(&q, "stdin", c->attach_in);
	client_query_add_bool(&q, "stdout", c->attach_out);
	client_query_add_bool(&q, "stderr", c->attach_err);
	req.query = q.data;
	req.content_type = "text/plain";
	return api_hijack(cli, &req, ret, err);
}

/* Attach, wait, start, in this order: nothing of the output is lost. */
static int run_attached(struct cli *cli, const struct args *args, const char *id,
			const struct run_config *c, struct error *err)
{
	struct client_stream stream = { .fd = FD_NONE };
	struct exit_wait wait = { 0 };
	struct session s = { .cli = cli, .tty = c->tty, .in = c->attach_in };
	bool started = false;
	int r;

	s.out = c->attach_out || c->tty;
	s.err = c->attach_err;
	s.kill_path = args_bool(args, "sig-proxy")
			  ? client_path(&cli->arena, "/containers/", id, "/kill")
			  : NULL;
	s.resize_path = client_path(&cli->arena, "/containers/", id, "/resize");
	r = session_keys(&s, cli, args_str(args, "detach-keys"), err);
	if (r == 0)
		r = attach_stream(cli, id, c, &stream, err);
	if (r < 0)
		return r;
	r = exit_wait_begin(cli, id, c->auto_remove ? "removed" : "next-exit", &wait, err);
	if (r == 0) {
		session_begin(&s);
		r = start_request(cli, id, err);
		started = r == 0;
		if (started) {
			session_resize(&s);
			r = session_pump(&s, &stream, err);
		}
		session_end(&s);
	}
	client_stream_release(&stream);
	if (!started || s.detached) {
		/* A start that failed removes the container of --rm first. */
		if (!started && wait.response && c->auto_remove)
			exit_wait_finish(cli, &wait);
		exit_wait_drop(&wait);
		return r;
	}
	cli->status = exit_wait_finish(cli, &wait);
	return r;
}

int cmd_run(struct cli *cli, const struct args *args, struct error *err)
{
	struct run_config config;
	const char *id = NULL;
	struct session keys = { 0 };
	int r;

	r = run_config_build(cli, args, &config, err);
	if (r < 0 && cstr_starts(err->msg, "conflicting options: cannot specify both --attach"))
		return plain_failure(cli, err, 1);
	if (r < 0)
		cli->status = EXIT_FLAGS;
	if (r == 0)
		r = session_keys(&keys, cli, args_str(args, "detach-keys"), err);
	if (r == 0 && session_check_tty(config.attach_in, config.tty, err) < 0)
		return plain_failure(cli, err, 1);
	if (r == 0)
		r = container_create(cli, args, &config, &id, err);
	if (r < 0)
		return r;
	if (!config.attach_in && !config.attach_out && !config.attach_err)
		return run_detached(cli, id, err);
	return run_attached(cli, args, id, &config, err);
}

/* `start -a` and `start -i`. */
static int start_attached(struct cli *cli, const struct args *args, const char *name,
			  struct error *err)
{
	struct client_stream stream = { .fd = FD_NONE };
	const struct json *c = NULL;
	struct run_config config = { .attach_out = true, .attach_err = true };
	struct exit_wait wait = { 0 };
	struct session s = { .cli = cli, .out = true, .err = true };
	int r =
	    api_get(cli, client_path(&cli->arena, "/containers/", name, "/json"), NULL, &c, err);

	if (r < 0)
		return r;
	config.auto_remove = json_bool(json_get(c, "HostConfig"), "AutoRemove", false);
	config.attach_in =
	    args_bool(args, "interactive") && json_bool(json_get(c, "Config"), "OpenStdin", false);
	s.tty = json_bool(json_get(c, "Config"), "Tty", false);
	s.in = config.attach_in;
	if (!s.tty)
		s.kill_path = client_path(&cli->arena, "/containers/", name, "/kill");
	s.resize_path = client_path(&cli->arena, "/containers/", name, "/resize");
	r = session_keys(&s, cli, args_str(args, "detach-keys"), err);
	if (r == 0)
		r = attach_stream(cli, name, &config, &stream, err);
	if (r == 0)
		r = exit_wait_begin(cli, name, config.auto_remove ? "removed" : "next-exit", &wait,
				    err);
	if (r == 0) {
		session_begin(&s);
		r = start_request(cli, name, err);
		if (r == 0) {
			session_resize(&s);
			r = session_pump(&s, &stream, err);
		}
		session_end(&s);
	}
	client_stream_release(&stream);
	if (r == 0 && !s.detached)
		cli->status = exit_wait_finish(cli, &wait);
	exit_wait_drop(&wait);
	return r;
}

int cmd_start(struct cli *cli, const struct args *args, struct error *err)
{
	auto_(buf) failed = BUF_INIT(1 << 20);
	int r = 0;

	if (*args_str(args, "checkpoint"))
		return error_set(err, ERR_UNIMPLEMENTED, "checkpoints are not supported yet");
	if (args_bool(args, "attach") || args_bool(args, "interactive")) {
		if (args->operands.len > 1)
			return error_set(err, ERR_INVALID,
					 "you cannot start and attach multiple containers at once");
		return start_attached(cli, args, args_operand(args, 0), err);
	}
	for (size_t i = 0; i < args->operands.len; i++) {
		struct error one = { 0 };
		const char *name = args->operands.at[i];

		if (start_request(cli, name, &one) < 0) {
			cli_report(cli, &one);
			r = buf_addf(&failed, err, "%s%s", failed.len ? ", " : "", name);
		} else {
			printf("%s\n", name);
		}
	}
	if (r == 0 && failed.len)
		return error_set(err, ERR_SYSTEM, "Error: failed to start containers: %s",
				 failed.data);
	return r;
}

/* Why nothing can be attached to this container; NULL when it can. */
static const char *attach_refusal(const struct json *state)
{
	if (!json_bool(state, "Running", false))
		return "You cannot attach to a stopped container, start it first";
	if (json_bool(state, "Paused", false))
		return "You cannot attach to a paused container, unpause it first";
	if (json_bool(state, "Restarting", false))
		return "You cannot attach to a restarting container, wait until it is running";
	return NULL;
}

int cmd_attach(struct cli *cli, const struct args *args, struct error *err)
{
	const char *name = args_operand(args, 0);
	struct run_config config = { .attach_out = true, .attach_err = true };
	struct session s = { .cli = cli, .out = true, .err = true };
	struct client_stream stream = { .fd = FD_NONE };
	struct exit_wait wait = { 0 };
	const struct json *c = NULL;
	int r =
	    api_get(cli, client_path(&cli->arena, "/containers/", name, "/json"), NULL, &c, err);

	if (r < 0)
		return r;
	if (attach_refusal(json_get(c, "State")))
		return error_set(err, ERR_CONFLICT, "%s", attach_refusal(json_get(c, "State")));
	config.attach_in =
	    !args_bool(args, "no-stdin") && json_bool(json_get(c, "Config"), "OpenStdin", false);
	s.tty = json_bool(json_get(c, "Config"), "Tty", false);
	s.in = config.attach_in;
	r = session_check_tty(!args_bool(args, "no-stdin"), s.tty, err);
	if (r == 0)
		r = session_keys(&s, cli, args_str(args, "detach-keys"), err);
	if (r < 0)
		return r;
	if (args_bool(args, "sig-proxy") && !s.tty)
		s.kill_path = client_path(&cli->arena, "/containers/", name, "/kill");
	s.resize_path = client_path(&cli->arena, "/containers/", name, "/resize");
	r = exit_wait_begin(cli, name, "", &wait, err);
	if (r == 0)
		r = attach_stream(cli, name, &config, &stream, err);
	if (r == 0) {
		session_begin(&s);
		session_redraw(&s);
		r = session_pump(&s, &stream, err);
		session_end(&s);
	}
	client_stream_release(&stream);
	if (r == 0 && s.detached)
		fputs("read escape sequence\n", stderr);
	else if (r == 0)
		cli->status = exit_wait_finish(cli, &wait);
	exit_wait_drop(&wait);
	return r;
}
