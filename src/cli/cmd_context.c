/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "cli/body.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/context_store.h"
#include "cli/listing.h"
#include "cli/units.h"

enum { META_MAX = 1 << 20, ERROR_WIDTH = 45 };

/* A TLS file of --docker: read now, written with the context. */
static int tls_take(struct cli *cli, const char *path, const char *as, struct context_tls *tls,
		    struct error *err)
{
	auto_(buf) pem = BUF_INIT(CONTEXT_FILE_MAX);

	if (access(path, R_OK) < 0)
		return error_set(err, ERR_NOT_FOUND, "open %s: %s", path,
				 errno == ENOENT ? "no such file or directory"
						 : "permission denied");
	if (fs_read_file(path, &pem, err) < 0)
		return -err->kind;
	context_tls_set(tls, as, arena_strndup(&cli->arena, pem.data ? pem.data : "", pem.len),
			pem.len);
	return 0;
}

static int host_check(const char *host, struct error *err)
{
	if (strstr(host, "://"))
		return 0;
	return error_set(
	    err, ERR_INVALID,
	    "unable to apply docker endpoint options: unable to parse docker host `%s`", host);
}

/* Copy endpoint and TLS files of another context. */
static int endpoint_copy(struct cli *cli, const char *from, struct json *endpoint,
			 struct context_tls *tls, struct error *err)
{
	const struct json *other = NULL;
	struct endpoint e = { 0 };
	int r;

	if (strcmp(from, "default") == 0) {
		r = endpoint_resolve(cli, &e, err);
		if (r < 0)
			return r;
		json_set(&cli->arena, endpoint, "Host", json_new_string(&cli->arena, e.host));
		json_set(&cli->arena, endpoint, "SkipTLSVerify",
			 json_new_bool(&cli->arena, e.tls && !e.tls_verify));
		return 0;
	}
	r = context_load(cli, from, &other, err);
	if (r < 0)
		return r;
	json_for_each_member (m, json_path(other, "Endpoints.docker"))
		json_set(&cli->arena, endpoint, m->key, m->value);
	return context_tls_read(cli, from, tls, err);
}

/* One key=value of --docker. */
static int endpoint_option(struct cli *cli, const char *key, const char *value,
			   struct json *endpoint, struct context_tls *tls, struct error *err)
{
	static const char *const files[][2] = { { "ca", "ca.pem" },
						{ "cert", "cert.pem" },
						{ "key", "key.pem" } };
	bool skip = false;
	int r;

	if (strcmp(key, "host") == 0) {
		r = host_check(value, err);
		json_set(&cli->arena, endpoint, "Host", json_new_string(&cli->arena, value));
		return r;
	}
	if (strcmp(key, "skip-tls-verify") == 0) {
		if (parse_bool(str_of(value), &skip, NULL) < 0)
			return error_set(err, ERR_INVALID, "skip-tls-verify: invalid syntax");
		json_set(&cli->arena, endpoint, "SkipTLSVerify", json_new_bool(&cli->arena, skip));
		return 0;
	}
	if (strcmp(key, "from") == 0)
		return endpoint_copy(cli, value, endpoint, tls, err);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (strcmp(key, files[i][0]) == 0)
			return tls_take(cli, value, files[i][1], tls, err);
	return error_set(err, ERR_INVALID, "unrecognized config key: %s", key);
}

/* --docker host=...,ca=...: the endpoint, and TLS files read. */
static int endpoint_build(struct cli *cli, const struct args *args, struct json *endpoint,
			  struct context_tls *tls, struct error *err)
{
	json_set(&cli->arena, endpoint, "SkipTLSVerify", json_new_bool(&cli->arena, false));
	args_for_each(pair, args, "docker")
	{
		const char *eq = strchr(pair, '='); /* checked with the flag */
		int r = endpoint_option(
		    cli, arena_strndup(&cli->arena, pair, eq ? (size_t)(eq - pair) : strlen(pair)),
		    eq ? eq + 1 : "", endpoint, tls, err);

		if (r < 0)
			return error_wrap(err, r, "unable to create docker endpoint config");
	}
	return 0;
}

int cmd_context_create(struct cli *cli, const struct args *args, struct error *err)
{
	const char *name = args_operand(args, 0), *from = args_str(args, "from");
	struct arena *a = &cli->arena;
	struct json *endpoint = json_new_object(a), *metadata = json_new_object(a);
	auto_(context_tls) tls = { 0 };
	const struct json *other = NULL;
	int r = context_name_check(name, true, err);

	if (r < 0)
		return r;
	if (*from && args_count(args, "docker"))
		return error_set(err, ERR_INVALID,
				 "cannot use --docker or --from flags in conjunction");
	if (!*from && !args_count(args, "docker"))
		return error_set(err, ERR_INVALID, "docker endpoint configuration is required");
	if (*from && strcmp(from, "default") != 0)
		r = context_load(cli, from, &other, err);
	if (r < 0)
		return r;
	if (context_exists(cli, name))
		return error_set(err, ERR_CONFLICT, "context \"%s\" already exists", name);
	json_for_each_member (m, json_get(other, "Metadata"))
		json_set(a, metadata, m->key, m->value);
	r = *from ? endpoint_copy(cli, from, endpoint, &tls, err)
		  : endpoint_build(cli, args, endpoint, &tls, err);
	if (r < 0)
		return r;
	if (*args_str(args, "description"))
		json_set(a, metadata, "Description",
			 json_new_string(a, args_str(args, "description")));
	r = context_write(cli, name, context_meta(a, name, metadata, endpoint), &tls, err);
	if (r < 0)
		return r;
	printf("%s\n", name);
	fflush(stdout);
	fprintf(stderr, "Successfully created context \"%s\"\n", name);
	return 0;
}

int cmd_context_update(struct cli *cli, const struct args *args, struct error *err)
{
	const char *name = args_operand(args, 0);
	struct arena *a = &cli->arena;
	struct json *endpoint = json_new_object(a), *metadata = json_new_object(a);
	auto_(context_tls) tls = { 0 };
	const struct json *old = NULL;
	int r = context_name_check(name, true, err);

	if (r == 0)
		r = context_load(cli, name, &old, err);
	if (r < 0)
		return r;
	json_for_each_member (m, json_get(old, "Metadata"))
		json_set(a, metadata, m->key, m->value);
	if (args_set(args, "description"))
		json_set(a, metadata, "Description",
			 json_new_string(a, args_str(args, "description")));
	if (args_count(args, "docker")) {
		r = endpoint_build(cli, args, endpoint, &tls, err);
	} else {
		json_for_each_member (m, json_path(old, "Endpoints.docker"))
			json_set(a, endpoint, m->key, m->value);
	}
	if (r == 0)
		r = context_write(cli, name, context_meta(a, name, metadata, endpoint), &tls, err);
	if (r < 0)
		return r;
	printf("%s\n", name);
	fflush(stdout);
	fprintf(stderr, "Successfully updated context \"%s\"\n", name);
	return 0;
}

static int current_set(struct cli *cli, const char *name, struct error *err)
{
	struct json *root = json_new_object(&cli->arena);

	if (!json_get(config_get(cli)->root, "auths"))
		json_set(&cli->arena, root, "auths", json_new_object(&cli->arena));
	json_for_each_member (m, config_get(cli)->root)
		if (strcmp(m->key, "currentContext") != 0)
			json_set(&cli->arena, root, m->key, m->value);
	if (name)
		json_set(&cli->arena, root, "currentContext", json_new_string(&cli->arena, name));
	return config_write(cli, root, err);
}

static void warn_overridden(const char *what)
{
	if (getenv("DOCKER_HOST") && *getenv("DOCKER_HOST"))
		fprintf(stderr,
			"Warning: DOCKER_HOST environment variable overrides the active context. "
			"To use %s, either set the global --context flag, or unset DOCKER_HOST "
			"environment variable.\n",
			what);
}

int cmd_context_use(struct cli *cli, const struct args *args, struct error *err)
{
	const char *name = args_operand(args, 0);
	bool is_default = strcmp(name, "default") == 0;
	const struct json *meta = NULL;
	int r = is_default ? 0 : context_name_check(name, false, err);

	if (r == 0 && !is_default)
		r = context_load(cli, name, &meta, err);
	if (r == 0)
		r = current_set(cli, is_default ? NULL : name, err);
	if (r < 0)
		return r;
	printf("%s\n", name);
	fflush(stdout);
	fprintf(stderr, "Current context is now \"%s\"\n", name);
	if (!is_default)
		warn_overridden(arena_format(&cli->arena, "\"%s\"", name));
	return 0;
}

int cmd_context_show(struct cli *cli, const struct args *args, struct error *err)
{
	(void)args;
	(void)err;
	printf("%s\n", context_current(cli));
	return 0;
}

int cmd_context_rm(struct cli *cli, const struct args *args, struct error *err)
{
	(void)err;
	for (size_t i = 0; i < args->operands.len; i++) {
		const char *name = args->operands.at[i], *current = context_current(cli);
		autoclose int meta = FD_NONE, tls = FD_NONE;
		struct error one = { 0 };
		char id[65];
		int r = 0;

		context_id(name, id);
		if (strcmp(name, "default") == 0)
			r = error_set(&one, ERR_INVALID, "context \"default\" cannot be removed");
		else if (!context_exists(cli, name))
			r = args_bool(args, "force")
				? 0
				: error_set(&one, ERR_NOT_FOUND, "context \"%s\" does not exist",
					    name);
		else if (strcmp(name, current) == 0 && !args_bool(args, "force"))
			r = error_set(&one, ERR_CONFLICT,
				      "context \"%s\" is in use, set -f flag to force remove",
				      name);
		else if (strcmp(name, current) == 0)
			r = current_set(cli, NULL, &one);
		if (r == 0 && context_exists(cli, name)) {
			r = fs_open(
			    arena_format(&cli->arena, "%s/contexts/meta", config_get(cli)->dir),
			    O_RDONLY | O_DIRECTORY, 0, &meta, &one);
			if (r == 0)
				r = fs_remove_tree(meta, id, &one);
			if (r == 0 && access(context_tls_dir(cli, name), F_OK) == 0) {
				r = fs_open(arena_format(&cli->arena, "%s/contexts/tls",
							 config_get(cli)->dir),
					    O_RDONLY | O_DIRECTORY, 0, &tls, &one);
				if (r == 0)
					r = fs_remove_tree(tls, id, &one);
			}
		}
		if (r < 0)
			cli_report(cli, &one);
		else
			printf("%s\n", name);
	}
	return 0;
}

static const struct listing_title titles[] = {
	{ "Name", "NAME" },
	{ "Description", "DESCRIPTION" },
	{ "DockerEndpoint", "DOCKER ENDPOINT" },
	{ "Error", "ERROR" },
};
static const struct listing_kind context_kind = {
	"*formatter.clientContextContext",
	"{{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
	"{{.Name}}",
	NULL,
	NULL,
	titles,
	ARRAY_LEN(titles),
};

static void context_row(struct cli *cli, struct listing *l, const char *name,
			const char *description, const char *host, const char *why)
{
	struct json *row = listing_add(cli, l, NULL);

	json_set(&cli->arena, row, "Current",
		 json_new_bool(&cli->arena, strcmp(name, context_current(cli)) == 0));
	row_set(cli, row, "Name", name);
	row_set(cli, row, "Description", description);
	row_set(cli, row, "DockerEndpoint", host);
	row_set(cli, row, "Error", ellipsis(&cli->arena, why, ERROR_WIDTH));
}

/* The one in force may be gone; it is listed all the same, with the reason. */
static void lost_row(struct cli *cli, struct listing *l)
{
	const char *current = context_current(cli);
	const struct json *meta = NULL;
	struct error why = { 0 };

	vec_for_each (row, &l->rows)
		if (strcmp(json_str(row->fields, "Name"), current) == 0)
			return;
	if (context_load(cli, current, &meta, &why) < 0)
		context_row(cli, l, current, "", "", why.msg);
}

static int row_compare(const void *a, const void *b)
{
	const struct listing_row *x = a, *y = b;

	return strverscmp(json_str(x->fields, "Name"), json_str(y->fields, "Name"));
}

static const char *default_endpoint(struct cli *cli)
{
	struct endpoint e = { 0 };
	struct args saved = cli->global;
	const char *current = context_current(cli);

	/* What the default context means, whichever is in force. */
	if (strcmp(current, "default") != 0)
		return default_host(cli);
	if (endpoint_resolve(cli, &e, NULL) < 0)
		e.host = "";
	cli->global = saved;
	return e.host;
}

int cmd_context_ls(struct cli *cli, const struct args *args, struct error *err)
{
	const char *path = arena_format(&cli->arena, "%s/contexts/meta", config_get(cli)->dir);
	struct listing l = { .kind = &context_kind };
	DIR *dir = opendir(path);
	const struct dirent *d;
	int r;

	context_row(cli, &l, "default", "Current DOCKER_HOST based configuration",
		    default_endpoint(cli), "");
	while (dir && (d = readdir(dir))) {
		auto_(buf) text = BUF_INIT(META_MAX);
		const struct json *meta = NULL;
		const char *name;

		if (d->d_name[0] == '.' ||
		    fs_read_file(arena_format(&cli->arena, "%s/%s/meta.json", path, d->d_name),
				 &text, NULL) < 0 ||
		    json_parse(&cli->arena, text.data, text.len, &meta, NULL) < 0)
			continue;
		name = json_str(meta, "Name");
		if (name)
			context_row(cli, &l, name,
				    json_str(json_get(meta, "Metadata"), "Description"),
				    json_str(json_path(meta, "Endpoints.docker"), "Host"), "");
	}
	if (dir)
		closedir(dir);
	lost_row(cli, &l);
	if (l.rows.len > 1)
		qsort(l.rows.at, l.rows.len, sizeof(*l.rows.at), row_compare);
	r = listing_print(cli, &l, args_bool(args, "quiet") ? NULL : args_str(args, "format"),
			  args_bool(args, "quiet"), err);
	listing_release(&l);
	warn_overridden("a context");
	return r;
}

static int context_document(struct cli *cli, const char *name, struct json **ret, struct error *err)
{
	struct arena *a = &cli->arena;
	const struct json *meta = NULL;
	struct json *doc = json_new_object(a), *storage = json_new_object(a);
	bool is_default = strcmp(name, "default") == 0;
	int r;

	if (is_default) {
		struct json *endpoint = json_new_object(a);

		json_set(a, endpoint, "Host", json_new_string(a, default_endpoint(cli)));
		json_set(a, endpoint, "SkipTLSVerify", json_new_bool(a, false));
		meta = context_meta(a, name, NULL, endpoint);
	} else {
		r = context_load(cli, name, &meta, err);
		if (r < 0)
			return r;
	}
	json_for_each_member (m, meta)
		json_set(a, doc, m->key, m->value);
	json_set(a, doc, "TLSMaterial", json_new_object(a));
	if (!is_default &&
	    access(arena_format(a, "%s/docker", context_tls_dir(cli, name)), F_OK) == 0) {
		struct json *files = json_new_array(a);

		for (size_t i = 0; i < 3; i++) {
			static const char *const names[] = { "ca.pem", "cert.pem", "key.pem" };

			if (access(arena_format(a, "%s/docker/%s", context_tls_dir(cli, name),
						names[i]),
				   F_OK) == 0)
				json_push(a, files, json_new_string(a, names[i]));
		}
		json_set(a, body_member(a, doc, "TLSMaterial"), "docker", files);
	}
	json_set(a, storage, "MetadataPath",
		 json_new_string(a, is_default ? "<IN MEMORY>" : context_meta_dir(cli, name)));
	json_set(a, storage, "TLSPath",
		 json_new_string(a, is_default ? "<IN MEMORY>" : context_tls_dir(cli, name)));
	json_set(a, doc, "Storage", storage);
	*ret = doc;
	return 0;
}

int cmd_context_inspect(struct cli *cli, const struct args *args, struct error *err)
{
	const char *format = args_str(args, "format");
	struct json *list = json_new_array(&cli->arena), *doc = NULL;
	size_t n = args->operands.len ? args->operands.len : 1;
	auto_(buf) out = BUF_INIT(META_MAX);
	struct error failure = { 0 };
	struct jsonw w;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		const char *name = args->operands.len ? args->operands.at[i] : context_current(cli);

		r = context_document(cli, name, &doc, &failure);
		if (r < 0)
			break;
		json_push(&cli->arena, list, doc);
		if (*format) {
			out.len = 0;
			r = document_format(cli,
					    strcmp(format, "json") == 0 ? "{{json .}}" : format,
					    NULL, doc, &out, &failure);
			if (r < 0)
				break;
			printf("%s\n", out.data ? out.data : "");
		}
	}
	if (!*format && list->n_items == 0) {
		puts("[]");
	} else if (!*format) {
		jsonw_init(&w, &out);
		w.indent = 4;
		jsonw_value(&w, list);
		if (jsonw_finish(&w, err) == 0)
			printf("%s\n", out.data);
	}
	if (r < 0)
		*err = failure;
	return r;
}
