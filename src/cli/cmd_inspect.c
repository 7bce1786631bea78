/* SPDX-License-Identifier: Apache-2.0 */
/* `inspect` and its typed forms. */
#include <stdlib.h>
#include <string.h>

#include "base/jsonw.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/listing.h"

enum { OUTPUT_MAX = 256 << 20 };

struct kind {
	const char *name;   /* of --type */
	const char *before; /* path before and after the name */
	const char *after;
	bool sized;
};

static const struct kind kinds[] = {
	{ "container", "/containers/", "/json", true }, { "image", "/images/", "/json", false },
	{ "network", "/networks/", "", false },         { "volume", "/volumes/", "", false },
	{ "plugin", "/plugins/", "/json", false },
};
/* Asked only by --type: the engine says that it is no manager of a swarm. */
static const struct kind swarm_kinds[] = {
	{ "config", "/configs/", "", false }, { "node", "/nodes/", "", false },
	{ "secret", "/secrets/", "", false }, { "service", "/services/", "", false },
	{ "task", "/tasks/", "", false },
};

static int fetch(struct cli *cli, const struct kind *k, const struct args *args, const char *name,
		 const struct json **ret, struct error *err)
{
	auto_(buf) q = api_query();

	if (k->sized && args_has(args, "size"))
		client_query_add_bool(&q, "size", args_bool(args, "size"));
	if (args_has(args, "platform") && api_platforms(cli, args, "platform", &q, err) < 0)
		return -err->kind;
	if (args_has(args, "verbose"))
		client_query_add_bool(&q, "verbose", args_bool(args, "verbose"));
	return api_get(cli, client_path(&cli->arena, k->before, name, k->after), q.data, ret, err);
}

static bool is_missing(const struct error *e)
{
	return e->kind == ERR_NOT_FOUND || strstr(e->msg, "No such") || strstr(e->msg, "not found");
}

/* Among all kinds, the first that knows the name. */
static int fetch_any(struct cli *cli, const struct args *args, const char *name,
		     const struct json **ret, struct error *err)
{
	const struct json *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct error one = { 0 };
		int r = fetch(cli, &kinds[i], args, name, &found, &one);

		if (r == 0) {
			*ret = found;
			return 0;
		}
		if (!is_missing(&one) && kinds[i].before[1] != 'p') {
			*err = one;
			return r;
		}
	}
	return error_set(err, ERR_NOT_FOUND, "Error: No such object: %s", name);
}

/* "[\n    {...},\n    {...}\n]\n": each document with four blanks a level, as it came. */
static int print_all(const struct json *const *docs, size_t n, struct error *err)
{
	auto_(buf) out = BUF_INIT(OUTPUT_MAX);
	struct jsonw w;
	int r;

	if (n == 0) {
		puts("[]");
		return 0;
	}
	jsonw_init(&w, &out);
	w.indent = 4;
	w.no_html = true;
	jsonw_array(&w);
	for (size_t i = 0; i < n; i++)
		jsonw_value(&w, docs[i]);
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	if (r == 0) {
		fwrite(out.data, 1, out.len, stdout);
		putchar('\n');
	}
	return r;
}

static int print_one(struct cli *cli, const char *format, const struct json *doc, struct error *err)
{
	auto_(buf) out = BUF_INIT(OUTPUT_MAX);
	int r;

	r = document_format(cli, strcmp(format, "json") == 0 ? "{{json .}}" : format, NULL, doc,
			    &out, err);
	if (r == 0 || out.len > 0)
		fwrite(out.data, 1, r == 0 ? out.len : 0, stdout);
	putchar('\n');
	return r;
}

static int inspect(struct cli *cli, const struct args *args, const struct kind *kind,
		   struct error *err)
{
	const char *format = args_str(args, "format");
	size_t n_found = 0;
	const struct json **docs = arena_array(&cli->arena, args->operands.len + 1, sizeof(*docs));
	struct error *failures =
	    arena_array(&cli->arena, args->operands.len + 1, sizeof(*failures));
	size_t n_failed = 0;
	int r = *format && strcmp(format, "json") != 0 ? document_check(cli, format, err) : 0;

	if (r < 0)
		return r;
	if (!api_client(cli, err))
		return -err->kind;
	for (size_t i = 0; i < args->operands.len && r == 0; i++) {
		const char *name = args->operands.at[i];
		const struct json *doc = NULL;
		struct error one = { 0 };

		r = kind ? fetch(cli, kind, args, name, &doc, &one)
			 : fetch_any(cli, args, name, &doc, &one);
		if (r < 0) {
			failures[n_failed++] = one;
			r = 0;
			continue;
		}
		docs[n_found++] = doc;
		if (*format)
			r = print_one(cli, format, doc, err);
	}
	if (r < 0)
		return r;
	if (!*format)
		r = print_all(docs, n_found, err);
	else if (n_found == 0)
		putchar('\n');
	for (size_t i = 0; i < n_failed; i++)
		cli_report(cli, &failures[i]);
	return r;
}

int cmd_inspect(struct cli *cli, const struct args *args, struct error *err)
{
	const char *type = args_str(args, "type");

	if (args_set(args, "type") && !*type)
		return error_set(err, ERR_INVALID,
				 "type is empty: must be one of \"config\", "
				 "\"container\", \"image\", \"network\", \"node\", "
				 "\"plugin\", \"secret\", \"service\", \"task\", "
				 "\"volume\"");
	if (*type && args_bool(args, "size") && strcmp(type, "container") != 0)
		fprintf(stderr, "WARNING: --size ignored for %s\n", type);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, type) == 0)
			return inspect(cli, args, &kinds[i], err);
	for (size_t i = 0; i < ARRAY_LEN(swarm_kinds); i++)
		if (strcmp(swarm_kinds[i].name, type) == 0)
			return inspect(cli, args, &swarm_kinds[i], err);
	if (!*type)
		return inspect(cli, args, NULL, err);
	return error_set(
	    err, ERR_INVALID,
	    "unknown type: \"%s\": must be one of \"config\", \"container\", \"image\", "
	    "\"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"",
	    type);
}

int cmd_container_inspect(struct cli *cli, const struct args *args, struct error *err)
{
	return inspect(cli, args, &kinds[0], err);
}

int cmd_image_inspect(struct cli *cli, const struct args *args, struct error *err)
{
	auto_(buf) unused = api_query();

	/* A wrong platform before anything is printed. */
	if (api_platforms(cli, args, "platform", &unused, err) < 0)
		return -err->kind;
	return inspect(cli, args, &kinds[1], err);
}

int cmd_network_inspect(struct cli *cli, const struct args *args, struct error *err)
{
	return inspect(cli, args, &kinds[2], err);
}

int cmd_volume_inspect(struct cli *cli, const struct args *args, struct error *err)
{
	return inspect(cli, args, &kinds[3], err);
}
