/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/autostart.h"
#include "cli/body.h"
#include "cli/config.h"
#include "cli/options.h"
#include "oci/platform.h"

enum { QUERY_MAX = 4 << 20, HEADERS_MAX = 64 };

/* DOCKER_CUSTOM_HEADERS ("k=v,k2=v2", CSV) stands for the configuration's. */
static size_t headers_of_env(struct cli *cli, struct http_header *out)
{
	const char *text = getenv("DOCKER_CUSTOM_HEADERS");
	struct csv csv = { 0 };
	size_t n = 0;

	if (!text || !*text || csv_parse(&cli->arena, text, &csv, NULL) < 0)
		return 0;
	for (size_t i = 0; i < csv.n && n < HEADERS_MAX; i++) {
		char *eq = strchr(csv.fields[i], '=');

		if (!eq || eq == csv.fields[i])
			continue;
		*eq = 0;
		out[n++] = (struct http_header){ .name = csv.fields[i], .value = eq + 1 };
	}
	return n;
}

static size_t headers_of_config(struct cli *cli, struct http_header *out)
{
	size_t n = headers_of_env(cli, out);

	if (n > 0)
		return n;

	json_for_each_member (m, json_get(config_get(cli)->root, "HttpHeaders"))
		if (m->value->type == JSON_STRING && n < HEADERS_MAX &&
		    !str_eq_nocase(str_of(m->key), STR_LIT("User-Agent")))
			out[n++] = (struct http_header){ .name = m->key, .value = m->value->s };
	return n;
}

struct client *api_client(struct cli *cli, struct error *err)
{
	struct http_header headers[HEADERS_MAX];
	struct client_config config = { 0 };
	struct endpoint e = { 0 };
	int r;

	if (cli->client)
		return cli->client;
	r = endpoint_resolve(cli, &e, err);
	if (r < 0) {
		if (!err || !cstr_starts(err->msg, "conflicting options"))
			error_wrap(err, r,
				   "Failed to initialize: unable to resolve docker endpoint");
		return NULL;
	}
	if (e.is_default && autostart_engine(cli, e.host, err) < 0)
		return NULL;
	cli->host = e.host;
	config.host = e.host;
	config.api_version = getenv("DOCKER_API_VERSION");
	if (config.api_version && !*config.api_version)
		config.api_version = NULL;
	config.headers = headers;
	config.n_headers = headers_of_config(cli, headers);
	config.tls = e.tls;
	config.tls_verify = e.tls_verify;
	config.tls_ca = e.ca;
	config.tls_cert = e.cert;
	config.tls_key = e.key;
	if (client_new(&config, &cli->client, err) < 0)
		return NULL;
	return cli->client;
}

void api_close(struct cli *cli)
{
	if (cli->client)
		client_free(cli->client);
	cli->client = NULL;
}

int api_wrap(struct error *err, int r)
{
	if (r >= 0 || !err || err->kind == ERR_CANCELED)
		return r;
	if (err->sys != 0 || cstr_starts(err->msg, "Cannot connect to the Docker daemon") ||
	    cstr_starts(err->msg, "unable to parse docker host"))
		return r;
	{
		autofree char *msg = xstrdup(err->msg);

		error_set(err, err->kind, "Error response from daemon: %s", msg);
	}
	return r;
}

int api_json(struct cli *cli, const char *method, const char *path, const char *query,
	     const char *body, const struct json **ret, struct error *err)
{
	struct client *c = api_client(cli, err);

	if (!c)
		return -err->kind;
	return api_wrap(err, client_json(c, method, path, query, body, &cli->arena, ret, err));
}

int api_get(struct cli *cli, const char *path, const char *query, const struct json **ret,
	    struct error *err)
{
	return api_json(cli, "GET", path, query, NULL, ret, err);
}

int api_stream(struct cli *cli, const struct client_request *req, struct client_response **ret,
	       struct error *err)
{
	struct client *c = api_client(cli, err);

	if (!c)
		return -err->kind;
	return api_wrap(err, client_do(c, req, ret, err));
}

int api_hijack(struct cli *cli, const struct client_request *req, struct client_stream *ret,
	       struct error *err)
{
	struct client *c = api_client(cli, err);

	if (!c)
		return -err->kind;
	return api_wrap(err, client_hijack(c, req, ret, err));
}

bool api_at_least(struct cli *cli, int minor)
{
	const char *v = cli->client ? client_api_version(cli->client) : NULL;
	uint64_t have = 0;

	if (!v || !cstr_starts(v, "1."))
		return false;
	if (parse_u64(str_of(v + 2), 10000, &have, NULL) < 0)
		return false;
	return have >= (uint64_t)minor;
}

bool api_is_local_proa(struct cli *cli)
{
	return api_client(cli, NULL) && cstr_starts(cli->host, "unix://") && api_is_proa(cli);
}

bool api_is_proa(struct cli *cli)
{
	struct client_request req = { .method = "GET", .path = "/_ping", .unversioned = true };
	autoptr(client_response) response = NULL;
	const char *server;

	if (!api_client(cli, NULL))
		return false;
	if (client_do(cli->client, &req, &response, NULL) < 0)
		return false;
	server = client_response_header(response, "Server");
	return server && (cstr_starts(server, "proa") || cstr_starts(server, "Proa"));
}

struct buf api_query(void)
{
	return (struct buf)BUF_INIT(QUERY_MAX);
}

static void filter_add(struct arena *a, struct json *root, const char *filter)
{
	const char *eq = strchr(filter, '=');
	struct str key, value;
	struct json *values;
	char *name;

	if (!eq)
		return;
	key = str_trim((struct str){ filter, (size_t)(eq - filter) });
	value = str_trim(str_of(eq + 1));
	name = arena_strndup(a, key.at, key.len);
	for (char *p = name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	values = body_member(a, root, name);
	name = arena_strndup(a, value.at, value.len);
	if (!json_get(values, name))
		json_set(a, values, name, json_new_bool(a, true));
}

char *api_filters_with(struct cli *cli, const struct args *args, const char *key, const char *value)
{
	struct json *root = json_new_object(&cli->arena);
	auto_(buf) text = BUF_INIT(QUERY_MAX);
	struct jsonw w;

	args_for_each(f, args, "filter") filter_add(&cli->arena, root, f);
	if (key)
		filter_add(&cli->arena, root, arena_format(&cli->arena, "%s=%s", key, value));
	if (root->n_members == 0)
		return NULL;
	jsonw_init(&w, &text);
	jsonw_value(&w, root);
	if (jsonw_finish(&w, NULL) < 0)
		return NULL;
	return arena_strdup(&cli->arena, text.data);
}

char *api_filters(struct cli *cli, const struct args *args)
{
	return api_filters_with(cli, args, NULL, NULL);
}

int api_platforms(struct cli *cli, const struct args *args, const char *key, struct buf *q,
		  struct error *err)
{
	struct arena *a = &cli->arena;

	args_for_each(text, args, "platform")
	{
		struct json *o = json_new_object(a);
		struct platform p;
		int r = platform_parse(text, &p, err);

		if (r < 0)
			return r;
		json_set(a, o, "architecture", json_new_string(a, arena_strdup(a, p.arch)));
		json_set(a, o, "os", json_new_string(a, arena_strdup(a, p.os)));
		if (*p.variant)
			json_set(a, o, "variant", json_new_string(a, arena_strdup(a, p.variant)));
		client_query_add(q, key, body_text(a, o));
	}
	return 0;
}
