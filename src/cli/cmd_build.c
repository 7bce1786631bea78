/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/body.h"
#include "cli/build_context.h"
#include "cli/build_extra.h"
#include "cli/build_view.h"
#include "cli/commands.h"
#include "cli/credentials.h"
#include "cli/flag_check.h"
#include "cli/pipe_body.h"
#include "cli/progress.h"
#include "cli/proxy.h"

enum { TEXT_MAX = 16 << 20 };

struct result {
	struct cli *cli;
	const char *id;              /* of the image */
	const struct json *metadata; /* of the result; NULL: none came */
	const struct json *call;     /* the answer to --call; NULL: none came */
	bool quiet;
	struct build_view *view; /* NULL: the classic stream */
	struct build_extra *extra;
};

/* The message dies; what it said stays. */
static const struct json *json_keep(struct cli *cli, const struct json *j)
{
	auto_(buf) text = BUF_INIT(TEXT_MAX);
	const struct json *kept = NULL;
	struct jsonw w;

	jsonw_init(&w, &text);
	jsonw_value(&w, j);
	if (jsonw_finish(&w, NULL) < 0 ||
	    json_parse(&cli->arena, text.data, text.len, &kept, NULL) < 0)
		return NULL;
	return kept;
}

static void shell_begin(struct result *result, const struct json *event)
{
	const char *command = json_str(event, "command");
	struct error why = { 0 };

	if (result->view)
		build_view_pause(result->view);
	if (result->extra->shell_fd < 0)
		return;
	fprintf(
	    stderr,
	    "\nThe step has failed. This is %s in its file system; what is changed here is thrown\n"
	    "away, and the build ends when the shell does.\n",
	    command ? command : "a shell");
	if (build_extra_shell(result->cli, result->extra, &why) < 0)
		fprintf(stderr, "%s\n", why.msg);
}

static void message_take(void *data, const struct json *m)
{
	struct result *result = data;
	const char *id = json_str(json_get(m, "aux"), "ID"), *text = json_str(m, "stream");

	if (json_path(m, "proa.metadata"))
		result->metadata = json_keep(result->cli, json_path(m, "proa.metadata"));
	else if (json_path(m, "proa.call"))
		result->call = json_keep(result->cli, json_path(m, "proa.call"));
	else if (id)
		result->id = arena_strdup(&result->cli->arena, id);
	else if (result->quiet && text && cstr_starts(text, "sha256:"))
		result->id = arena_strndup(&result->cli->arena, text, strcspn(text, "\n"));
	else if (json_get(json_get(m, "proa"), "shell"))
		shell_begin(result, json_get(json_get(m, "proa"), "shell"));
	else if (result->view)
		build_view_message(result->view, m);
}

static void query_int(struct buf *q, const char *key, const struct args *args, const char *flag)
{
	if (args_set(args, flag))
		client_query_add_int(q, key, args_int(args, flag));
}

static void query_text(struct buf *q, const char *key, const struct args *args, const char *flag)
{
	if (*args_str(args, flag))
		client_query_add(q, key, args_str(args, flag));
}

/* k=v, or k alone: the value of our environment, null when it has none. */
static const char *build_args_text(struct cli *cli, const struct args *args)
{
	struct arena *a = &cli->arena;
	struct json *map = json_new_object(a), *proxies = json_new_array(a);

	args_for_each(text, args, "build-arg")
	{
		const char *eq = strchr(text, '='), *value = eq ? eq + 1 : getenv(text);

		json_set(a, map, arena_strndup(a, text, eq ? (size_t)(eq - text) : strlen(text)),
			 value ? json_new_string(a, value) : arena_new(a, struct json));
	}
	proxy_env_add(cli, proxies);
	json_for_each_item (p, proxies) {
		const char *eq = strchr(p->s, '=');
		const char *name = arena_strndup(a, p->s, (size_t)(eq - p->s));
		bool given = false;

		for (size_t i = 0; i < map->n_members; i++)
			given |= strcmp(map->members[i].key, name) == 0;
		if (!given)
			json_set(a, map, name, json_new_string(a, eq + 1));
	}
	return map->n_members ? body_text(a, map) : NULL;
}

static const char *ulimits_text(struct arena *a, const struct args *args)
{
	struct json *list = json_new_array(a);

	args_for_each(text, args, "ulimit")
	{
		struct json *o = json_new_object(a);
		struct ulimit u;

		if (ulimit_parse(text, &u, NULL) < 0)
			continue;
		json_set(a, o, "Name", json_new_string(a, arena_strdup(a, u.name)));
		json_set(a, o, "Hard", json_new_int(a, u.hard));
		json_set(a, o, "Soft", json_new_int(a, u.soft));
		json_push(a, list, o);
	}
	return list->n_items ? body_text(a, list) : NULL;
}

/* Each value is a list, divided by commas. */
static struct json *cache_names(struct arena *a, const struct args *args)
{
	struct json *list = json_new_array(a);

	args_for_each(text, args, "cache-from")
	{
		struct str rest = str_of(text), name;

		while (str_split(&rest, ',', &name))
			json_push(a, list, json_new_string(a, arena_strndup(a, name.at, name.len)));
	}
	return list;
}

static int query_build(struct cli *cli, const struct args *args, struct buf *q, struct error *err)
{
	struct arena *a = &cli->arena;
	struct json *labels = NULL;
	int r;

	args_for_each(tag, args, "tag") client_query_add(q, "t", tag);
	args_for_each(host, args, "add-host")
	{
		char *line = arena_strdup(a, host), *eq = strchr(line, '=');

		if (eq)
			*eq = ':';
		client_query_add(q, "extrahosts", line);
	}
	r = body_labels(a, args, "label", NULL, &labels, err);
	if (r < 0)
		return r;
	client_query_add(q, "buildargs", build_args_text(cli, args));
	client_query_add(q, "labels", labels->n_members ? body_text(a, labels) : NULL);
	if (args_count(args, "cache-from") && build_extra_cache_names(args))
		client_query_add(q, "cachefrom", body_text(a, cache_names(a, args)));
	client_query_add(q, "ulimits", ulimits_text(a, args));
	client_query_add_bool(q, "q", args_bool(args, "quiet"));
	client_query_add_bool(q, "nocache", args_bool(args, "no-cache"));
	client_query_add_bool(q, "pull", args_bool(args, "pull"));
	client_query_add_bool(q, "forcerm", args_bool(args, "force-rm"));
	client_query_add_bool(q, "squash", args_bool(args, "squash"));
	client_query_add(q, "rm", args_bool(args, "rm") ? "1" : "0");
	query_text(q, "target", args, "target");
	query_text(q, "platform", args, "platform");
	query_text(q, "cgroupparent", args, "cgroup-parent");
	query_text(q, "cpusetcpus", args, "cpuset-cpus");
	query_text(q, "cpusetmems", args, "cpuset-mems");
	query_int(q, "cpushares", args, "cpu-shares");
	query_int(q, "cpuquota", args, "cpu-quota");
	query_int(q, "cpuperiod", args, "cpu-period");
	query_int(q, "memory", args, "memory");
	query_int(q, "memswap", args, "memory-swap");
	query_int(q, "shmsize", args, "shm-size");
	if (args_set(args, "network"))
		query_text(q, "networkmode", args, "network");
	client_query_add(q, "version", "1");
	return 0;
}

static int refuse(const struct args *args, struct error *err)
{
	static const char *const later[] = { "compress", "isolation", "security-opt", "ssh" };
	static const char *const attestations[] = { "provenance", "sbom" };

	/* "false" is what proa does. */
	for (size_t i = 0; i < ARRAY_LEN(attestations); i++)
		if (args_set(args, attestations[i]) &&
		    strcmp(args_str(args, attestations[i]), "false") != 0)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "build --%s=%s is not supported yet", attestations[i],
					 args_str(args, attestations[i]));

	if (strchr(args_str(args, "platform"), ','))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "build --platform=%s is not supported yet: one platform a build",
				 args_str(args, "platform"));
	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		if (args_set(args, later[i]))
			return error_set(err, ERR_UNIMPLEMENTED, "build --%s is not supported yet",
					 later[i]);
	return 0;
}

/* proa's own words beside the query: the body, when the directory goes as an fd. */
static const char *extra_body(struct cli *cli, const struct build_context *c, struct json *extra)
{
	if (c->dockerfile_text)
		json_set(&cli->arena, extra, "dockerfileText",
			 json_new_string(&cli->arena, c->dockerfile_text));
	return body_text(&cli->arena, extra);
}

enum { EXTRA_HEADER_MAX = 48 << 10 }; /* bytes; a request's head may have 64 KiB */

/* Our words beside the query in a header: when the context is no directory of this machine. */
static int extra_header(struct cli *cli, const struct build_extra *extra, struct http_header *ret,
			struct error *err)
{
	auto_(buf) coded = BUF_INIT(EXTRA_HEADER_MAX);
	const char *text = body_text(&cli->arena, extra->json);

	if (!api_is_proa(cli))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "secrets, contexts, outputs, caches with a type, --check, "
				 "--explain, --profile and --plan need a proad as the engine");
	if (extra->n_fds > 1)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "--on-fail and contexts, outputs and caches in files and "
				 "directories need a directory as context and a proad on this "
				 "machine");
	if (base64_encode(&coded, text, strlen(text), true, NULL) < 0)
		return error_set(err, ERR_INVALID,
				 "secrets and options are too long for a context that is no "
				 "directory");
	*ret = (struct http_header){ "X-Proa-Build", arena_strdup(&cli->arena, coded.data) };
	return 0;
}

/* The request of an open context: the directory itself to proad on this
 * machine, else a tar. */
static int request_send(struct cli *cli, struct build_context *c, struct build_extra *extra,
			const char *query, struct client_response **ret, struct error *err)
{
	struct client_request req = { .method = "POST", .path = "/build", .query = query };
	struct http_header headers[2] = { { "X-Registry-Config", NULL } };
	bool direct = c->dir_fd >= 0 && api_is_local_proa(cli);
	struct pipe_body body;
	int r = credentials_all_header(cli, &headers[0].value, err);

	req.headers = headers;
	req.n_headers = 1;
	if (r == 0 && extra->any && !direct)
		r = extra_header(cli, extra, &headers[req.n_headers++], err);
	if (r < 0)
		return r;
	if (c->remote)
		return api_stream(cli, &req, ret, err);
	if (direct) {
		req.body = extra_body(cli, c, extra->json);
		req.body_len = strlen(req.body);
		extra->fds[0] = c->dir_fd;
		req.fds = extra->fds;
		req.n_fds = extra->n_fds;
		r = api_stream(cli, &req, ret, err);
		build_extra_sent(extra);
		return r;
	}
	req.content_type = "application/x-tar";
	r = pipe_body_start(&body, build_context_write, c, err);
	if (r < 0)
		return r;
	req.body_reader = body.reader;
	r = api_stream(cli, &req, ret, err);
	{
		struct error why = { 0 };
		int w = pipe_body_finish(&body, &why);

		/* A context that could not be read explains what the engine saw. */
		if (w < 0) {
			if (r == 0)
				client_response_free(*ret);
			*err = why;
			return w;
		}
	}
	return r;
}

static int metadata_write(struct cli *cli, const char *path, const struct json *metadata,
			  struct error *err)
{
	auto_(buf) text = BUF_INIT(TEXT_MAX);
	autoclose int fd = FD_NONE;
	struct jsonw w;
	int r;

	if (!*path)
		return 0;
	jsonw_init(&w, &text);
	w.indent = 2;
	jsonw_value(&w, metadata ? metadata : json_new_object(&cli->arena));
	r = jsonw_finish(&w, err);
	if (r == 0)
		r = fs_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, err);
	return r < 0 ? r : fs_write_all(fd, text.data, text.len, err);
}

/* The engine refuses a Dockerfile before it builds: we have the text to show the line of. */
static void show_parse_error(struct build_context *c, const struct error *err)
{
	static const char words[] = "dockerfile parse error on line ";
	const char *at = strstr(err->msg, words);
	auto_(buf) text = BUF_INIT(TEXT_MAX);
	struct str rest, line = { 0 };
	uint64_t number;

	if (at == NULL)
		return;
	at += strlen(words);
	if (parse_u64((struct str){ at, strspn(at, "0123456789") }, UINT32_MAX, &number, NULL) < 0)
		return;
	if (c->dockerfile_text != NULL)
		rest = str_of(c->dockerfile_text);
	else if (c->dir_fd >= 0 && fs_read_in_root(c->dir_fd, c->dockerfile, &text, NULL) == 0 &&
		 text.len > 0)
		rest = (struct str){ text.data, text.len };
	else
		return;
	for (uint64_t i = 0; i < number; i++)
		if (!str_split(&rest, '\n', &line))
			return;
	fprintf(stderr, "%s:%llu\n--------------------\n%4llu | >>> %.*s\n--------------------\n",
		c->dockerfile_text ? "Dockerfile" : c->dockerfile, (unsigned long long)number,
		(unsigned long long)number, STR_ARG(line));
}

static int iidfile_write(const char *path, const char *id, struct error *err)
{
	autoclose int fd = FD_NONE;
	int r;

	if (!*path)
		return 0;
	if (!id)
		return error_set(err, ERR_CORRUPT,
				 "server did not provide an image ID. Cannot write %s", path);
	r = fs_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666, &fd, err);
	return r < 0 ? r : fs_write_all(fd, id, strlen(id), err);
}

/* Which form the progress has; "auto" draws on a terminal of ours. */
static int view_new(const struct args *args, enum progress_mode mode,
		    const struct build_extra *extra, struct build_view **ret, struct error *err)
{
	const char *profile = args_str(args, "profile");
	struct build_view_options o = {
		.quiet = mode == PROGRESS_QUIET,
		.profile = strcmp(profile, "table") == 0  ? PROFILE_TABLE
			   : strcmp(profile, "json") == 0 ? PROFILE_JSON
							  : PROFILE_NONE,
		.tty = mode == PROGRESS_TTY || (mode == PROGRESS_AUTO && isatty(STDERR_FILENO)),
	};

	if (args_set(args, "profile") && o.profile == PROFILE_NONE)
		return error_set(err, ERR_INVALID,
				 "invalid argument \"%s\" for \"--profile\" flag: must be table or "
				 "json",
				 profile);
	o.tty = o.tty && extra->call == NULL;
	if (extra->events && mode != PROGRESS_RAW)
		*ret = build_view_new(&o);
	return 0;
}

int cmd_build(struct cli *cli, const struct args *args, struct error *err)
{
	struct result result = { .cli = cli, .quiet = args_bool(args, "quiet") };
	struct progress_options options = { .out = stdout,
					    .message = message_take,
					    .data = &result };
	AUTO(build_context_release) struct build_context context = BUILD_CONTEXT_INIT;
	AUTO(build_extra_release) struct build_extra extra = BUILD_EXTRA_INIT;
	bool bad;
	autoptr(client_response) response = NULL;
	auto_(buf) q = api_query();
	int r = refuse(args, err);

	if (r == 0)
		r = progress_mode_parse(args_set(args, "progress")    ? args_str(args, "progress")
					: getenv("BUILDKIT_PROGRESS") ? getenv("BUILDKIT_PROGRESS")
								      : "auto",
					&options.mode, err);
	if (r == 0)
		r = build_context_open(cli, args_operand(args, 0), args_str(args, "file"), &context,
				       err);
	if (r == 0)
		r = query_build(cli, args, &q, err);
	/* Only a proad on this machine tells events. */
	extra.events = r == 0 && options.mode == PROGRESS_AUTO && isatty(STDERR_FILENO) &&
		       isatty(STDOUT_FILENO) && context.dir_fd >= 0 && api_is_local_proa(cli);
	if (r == 0)
		r = build_extra_read(cli, args, &extra, err);
	if (r == 0)
		r = view_new(args, options.mode, &extra, &result.view, err);
	if (r < 0)
		return r;
	result.extra = &extra;
	if (*args_str(args, "iidfile"))
		unlink(args_str(args, "iidfile"));
	if (context.dockerfile_text && context.dir_fd >= 0 && !api_is_local_proa(cli))
		context.dockerfile = BUILD_CONTEXT_SENT;
	client_query_add(&q, "dockerfile", context.dockerfile);
	client_query_add(&q, "remote", context.remote);
	if (result.quiet)
		options.mode = PROGRESS_QUIET;
	r = request_send(cli, &context, &extra, q.data, &response, err);
	if (r < 0 && result.view && err)
		show_parse_error(&context, err);
	if (r == 0)
		r = progress_show(cli, response->body, &options, err);
	if (result.view)
		build_view_finish(result.view);
	build_view_free(result.view);
	if (r == 0)
		r = build_extra_commit(&extra, err);
	if (r < 0)
		return r;
	if (extra.call) {
		r = build_call_print(extra.call, result.call, extra.call_json, &bad, err);
		cli->status = r == 0 && bad ? 1 : cli->status;
		return r;
	}
	if (result.quiet && result.id)
		printf("%s\n", result.id);
	r = metadata_write(cli, args_str(args, "metadata-file"), result.metadata, err);
	return r < 0 ? r : iidfile_write(args_str(args, "iidfile"), result.id, err);
}
