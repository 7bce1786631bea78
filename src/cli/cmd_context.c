/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
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
#include "cli/listing.h"
#include "cli/options.h"

enum { META_MAX = 1 << 20 };

#define NAME_RULE "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"

static int name_check(const char *name, struct error *err)
{
	bool good = isalnum((unsigned char)name[0]) && name[1];

	for (const char *p = name + 1; good && *p; p++)
		good = isalnum((unsigned char)*p) || strchr("_.+-", *p);
	if (!good)
		return error_set(
		    err, ERR_INVALID,
		    "context name \"%s\" is invalid, names are validated against regexp \"%s\"",
		    name, NAME_RULE);
	return 0;
}

static const char *meta_dir(struct cli *cli, const char *name)
{
	char id[65];

	context_id(name, id);
	return arena_format(&cli->arena, "%s/contexts/meta/%s", config_get(cli)->dir, id);
}

static const char *tls_dir(struct cli *cli, const char *name)
{
	char id[65];

	context_id(name, id);
	return arena_format(&cli->arena, "%s/contexts/tls/%s", config_get(cli)->dir, id);
}

static bool context_exists(struct cli *cli, const char *name)
{
	return access(arena_format(&cli->arena, "%s/meta.json", meta_dir(cli, name)), F_OK) == 0;
}

static int meta_write(struct cli *cli, const char *name, const struct json *meta, struct error *err)
{
	const char *dir = meta_dir(cli, name), *text = body_text(&cli->arena, meta);
	autoclose int fd = FD_NONE;
	int r = fs_mkdir_all(dir, 0755, err);

	if (r == 0)
		r = fs_open(dir, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	return r < 0 ? r : fs_replace(fd, "meta.json", 0644, text, strlen(text), err);
}

static int tls_copy(struct cli *cli, const char *name, const char *from, const char *as,
		    struct error *err)
{
	const char *dir = arena_format(&cli->arena, "%s/docker", tls_dir(cli, name));
	auto_(buf) pem = BUF_INIT(META_MAX);
	autoclose int fd = FD_NONE;
	int r = fs_read_file(from, &pem, err);

	if (r == 0)
		r = fs_mkdir_all(dir, 0700, err);
	if (r == 0)
		r = fs_open(dir, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	return r < 0 ? r : fs_replace(fd, as, 0600, pem.data, pem.len, err);
}

/* --docker host=...,ca=...: the endpoint, and TLS files put in place. */
static int endpoint_build(struct cli *cli, const struct args *args, const char *name,
			  struct json *endpoint, struct error *err)
{
	static const char *const files[][2] = { { "ca", "ca.pem" },
						{ "cert", "cert.pem" },
						{ "key", "key.pem" } };

	args_for_each(pair, args, "docker")
	{
		const char *eq = strchr(pair, '=');
		const char *key =
		    arena_strndup(&cli->arena, pair, eq ? (size_t)(eq - pair) : strlen(pair));
		bool known = false;
		int r = 0;

		if (!eq)
			return error_set(err, ERR_INVALID, "%s must be formatted as key=value",
					 pair);
		if (strcmp(key, "host") == 0) {
			json_set(&cli->arena, endpoint, "Host",
				 json_new_string(&cli->arena, eq + 1));
			known = true;
		} else if (strcmp(key, "skip-tls-verify") == 0) {
			bool skip = false;

			if (parse_bool(str_of(eq + 1), &skip, NULL) < 0)
				return error_set(
				    err, ERR_INVALID,
				    "unable to create docker endpoint config: skip-tls-verify: "
				    "invalid syntax");
			json_set(&cli->arena, endpoint, "SkipTLSVerify",
				 json_new_bool(&cli->arena, skip));
			known = true;
		} else if (strcmp(key, "from") == 0) {
			const struct json *other = NULL;

			r = context_load(cli, eq + 1, &other, err);
			json_for_each_member (m, json_path(other, "Endpoints.docker"))
				json_set(&cli->arena, endpoint, m->key, m->value);
			known = true;
		}
		for (size_t i = 0; i < ARRAY_LEN(files) && r == 0; i++) {
			if (strcmp(key, files[i][0]) != 0)
				continue;
			r = tls_copy(cli, name, eq + 1, files[i][1], err);
			known = true;
		}
		if (r < 0)
			return r;
		if (!known)
			return error_set(
			    err, ERR_INVALID,
			    "unable to create docker endpoint config: unrecognized config key: %s",
			    key);
	}
	return 0;
}

static struct json *meta_build(struct arena *a, const char *name, const struct json *metadata,
			       struct json *endpoint)
{
	struct json *meta = json_new_object(a), *endpoints = json_new_object(a);
	const struct json *none = json_new_object(a);

	json_set(a, meta, "Name", json_new_string(a, name));
	json_for_each_member (m, metadata ? metadata : none)
		json_set(a, body_member(a, meta, "Metadata"), m->key, m->value);
	body_member(a, meta, "Metadata");
	json_set(a, endpoints, "docker", endpoint);
	json_set(a, meta, "Endpoints", endpoints);
	return meta;
}

int cmd_context_create(struct cli *cli, const struct args *args, struct error *err)
{
	const char *name = args_operand(args, 0), *from = args_str(args, "from");
	struct arena *a = &cli->arena;
	struct json *endpoint = json_new_object(a), *metadata = json_new_object(a);
	const struct json *other = NULL;
	int r = name_check(name, err);

	if (r < 0)
		return r;
	if (strcmp(name, "default") == 0)
		return error_set(err, ERR_INVALID, "\"default\" is a reserved context name");
	if (context_exists(cli, name))
		return error_set(err, ERR_CONFLICT, "context \"%s\" already exists", name);
	if (*from && args_count(args, "docker"))
		return error_set(err, ERR_INVALID,
				 "cannot use --docker or --from flags in conjunction");
	if (*from && strcmp(from, "default") != 0) {
		r = context_load(cli, from, &other, err);
		if (r < 0)
			return r;
		json_for_each_member (m, json_get(other, "Metadata"))
			json_set(a, metadata, m->key, m->value);
		json_for_each_member (m, json_path(other, "Endpoints.docker"))
			json_set(a, endpoint, m->key, m->value);
	} else if (*from) {
		struct endpoint e = { 0 };

		r = endpoint_resolve(cli, &e, err);
		if (r < 0)
			return r;
		json_set(a, endpoint, "Host", json_new_string(a, e.host));
		json_set(a, endpoint, "SkipTLSVerify", json_new_bool(a, false));
	} else {
		if (!args_count(args, "docker"))
			return error_set(err, ERR_INVALID,
					 "docker endpoint configuration is required");
		json_set(a, endpoint, "SkipTLSVerify", json_new_bool(a, false));
		r = endpoint_build(cli, args, name, endpoint, err);
		if (r < 0)
			return r;
	}
	if (*args_str(args, "description"))
		json_set(a, metadata, "Description",
			 json_new_string(a, args_str(args, "description")));
	r = meta_write(cli, name, meta_build(a, name, metadata, endpoint), err);
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
	const struct json *old = NULL;
	int r = name_check(name, err);

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
		json_set(a, endpoint, "SkipTLSVerify", json_new_bool(a, false));
		r = endpoint_build(cli, args, name, endpoint, err);
	} else {
		json_for_each_member (m, json_path(old, "Endpoints.docker"))
			json_set(a, endpoint, m->key, m->value);
	}
	if (r == 0)
		r = meta_write(cli, name, meta_build(a, name, metadata, endpoint), err);
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

static void warn_overridden(void)
{
	if (getenv("DOCKER_HOST") && *getenv("DOCKER_HOST"))
		fputs("Warning: DOCKER_HOST environment variable overrides the active context. To "
		      "use a "
		      "context, either set the global --context flag, or unset DOCKER_HOST "
		      "environment "
		      "variable.\n",
		      stderr);
}

int cmd_context_use(struct cli *cli, const struct args *args, struct error *err)
{
	const char *name = args_operand(args, 0);
	bool is_default = strcmp(name, "default") == 0;
	const struct json *meta = NULL;
	int r = is_default ? 0 : name_check(name, err);

	if (r == 0 && !is_default)
		r = context_load(cli, name, &meta, err);
	if (r == 0)
		r = current_set(cli, is_default ? NULL : name, err);
	if (r < 0)
		return r;
	printf("%s\n", name);
	fflush(stdout);
	fprintf(stderr, "Current context is now \"%s\"\n", name);
	warn_overridden();
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
			if (r == 0 && access(tls_dir(cli, name), F_OK) == 0) {
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
			const char *description, const char *host)
{
	struct json *row = listing_add(cli, l, NULL);

	json_set(&cli->arena, row, "Current",
		 json_new_bool(&cli->arena, strcmp(name, context_current(cli)) == 0));
	row_set(cli, row, "Name", name);
	row_set(cli, row, "Description", description);
	row_set(cli, row, "DockerEndpoint", host);
	row_set(cli, row, "Error", "");
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
		return geteuid() == 0
			   ? "unix:///run/proa/proa.sock"
			   : arena_format(&cli->arena, "unix://%s/proa/proa.sock",
					  getenv("XDG_RUNTIME_DIR") ? getenv("XDG_RUNTIME_DIR")
								    : "/run");
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
		    default_endpoint(cli));
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
				    json_str(json_path(meta, "Endpoints.docker"), "Host"));
	}
	if (dir)
		closedir(dir);
	if (l.rows.len > 1)
		qsort(l.rows.at, l.rows.len, sizeof(*l.rows.at), row_compare);
	r = listing_print(cli, &l, args_str(args, "format"), args_bool(args, "quiet"), err);
	listing_release(&l);
	if (!args_bool(args, "quiet"))
		warn_overridden();
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
		meta = meta_build(a, name, NULL, endpoint);
	} else {
		r = context_load(cli, name, &meta, err);
		if (r < 0)
			return r;
	}
	json_for_each_member (m, meta)
		json_set(a, doc, m->key, m->value);
	json_set(a, doc, "TLSMaterial", json_new_object(a));
	if (!is_default && access(arena_format(a, "%s/docker", tls_dir(cli, name)), F_OK) == 0) {
		struct json *files = json_new_array(a);

		for (size_t i = 0; i < 3; i++) {
			static const char *const names[] = { "ca.pem", "cert.pem", "key.pem" };

			if (access(arena_format(a, "%s/docker/%s", tls_dir(cli, name), names[i]),
				   F_OK) == 0)
				json_push(a, files, json_new_string(a, names[i]));
		}
		json_set(a, body_member(a, doc, "TLSMaterial"), "docker", files);
	}
	json_set(a, storage, "MetadataPath",
		 json_new_string(a, is_default ? "<IN MEMORY>" : meta_dir(cli, name)));
	json_set(a, storage, "TLSPath",
		 json_new_string(a, is_default ? "<IN MEMORY>" : tls_dir(cli, name)));
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
					    doc, &out, &failure);
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
