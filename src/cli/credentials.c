/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/body.h"
#include "cli/config.h"

enum { SECRET_MAX = 1 << 20, HELPER_TIMEOUT_MS = 60000 };

const char *credentials_server(const char *domain)
{
	return strcmp(domain, "docker.io") == 0 || strcmp(domain, "index.docker.io") == 0
		   ? CREDENTIALS_HUB
		   : domain;
}

static const char *helper_of(struct cli *cli, const char *server)
{
	const char *name = json_str(json_get(config_get(cli)->root, "credHelpers"), server);

	return name && *name ? name : config_str(cli, "credsStore");
}

/* docker-credential-NAME ACTION with `input` on stdin. */
static int helper_run(struct cli *cli, const char *name, const char *action, const char *input,
		      struct buf *out, struct error *err)
{
	const char *program = arena_format(&cli->arena, "docker-credential-%s", name);
	const char *argv[] = { program, action, NULL };
	struct proc_spec spec = { .path = program, .argv = argv, .cwd_fd = FD_NONE };
	auto_(buf) complaint = BUF_INIT(SECRET_MAX);
	int status = 0;
	int r =
	    proc_run(&spec, input, strlen(input), out, &complaint, HELPER_TIMEOUT_MS, &status, err);

	if (r < 0)
		return error_wrap(err, r, "error getting credentials");
	if (status != 0)
		return error_set(err, ERR_SYSTEM,
				 "error getting credentials - err: exit status %d, out: `%s`",
				 status,
				 out->data        ? out->data
				 : complaint.data ? complaint.data
						  : "");
	return 0;
}

/* "auth": base64 of "user:password". */
static int auth_decode(struct cli *cli, const char *text, struct credentials *c)
{
	auto_(buf) plain = BUF_INIT(SECRET_MAX);
	char *colon;

	if (base64_decode(&plain, str_of(text), NULL) < 0 || !plain.data)
		return -ERR_INVALID;
	colon = strchr(plain.data, ':');
	if (!colon)
		return -ERR_INVALID;
	c->username = arena_strndup(&cli->arena, plain.data, (size_t)(colon - plain.data));
	c->password = arena_strdup(&cli->arena, colon + 1);
	return 0;
}

/* "https://host/v1/" and "host" mean the same. */
static struct str host_of(const char *server)
{
	struct str s = str_of(server);
	ptrdiff_t slash;

	if (str_starts(s, "https://"))
		s = str_sub(s, 8, s.len);
	else if (str_starts(s, "http://"))
		s = str_sub(s, 7, s.len);
	slash = str_find(s, '/');
	return slash < 0 ? s : str_sub(s, 0, (size_t)slash);
}

static const struct json *auth_entry(struct cli *cli, const char *server)
{
	const struct json *auths = json_get(config_get(cli)->root, "auths");
	const struct json *exact = json_get(auths, server);

	if (exact)
		return exact;
	json_for_each_member (m, auths) {
		struct str a = host_of(m->key), b = host_of(server);

		if (a.len == b.len && memcmp(a.at, b.at, a.len) == 0)
			return m->value;
	}
	return NULL;
}

int credentials_get(struct cli *cli, const char *server, struct credentials *ret, struct error *err)
{
	struct credentials c = { "", "", "" };
	const char *helper = helper_of(cli, server), *auth;
	const struct json *entry;

	if (helper) {
		auto_(buf) out = BUF_INIT(SECRET_MAX);
		const struct json *doc = NULL;
		int r = helper_run(cli, helper, "get", server, &out, err);

		if (r < 0 && err && strstr(err->msg, "credentials not found")) {
			memset(err, 0, sizeof(*err));
			*ret = c;
			return 0;
		}
		if (r == 0)
			r = json_parse(&cli->arena, out.data ? out.data : "", out.len, &doc, err);
		if (r < 0)
			return r;
		c.username = json_str(doc, "Username") ? json_str(doc, "Username") : "";
		c.password = json_str(doc, "Secret") ? json_str(doc, "Secret") : "";
		if (strcmp(c.username, "<token>") == 0) {
			c.identity_token = c.password;
			c.username = c.password = "";
		}
		*ret = c;
		return 0;
	}
	entry = auth_entry(cli, server);
	auth = json_str(entry, "auth");
	if (auth && *auth && auth_decode(cli, auth, &c) < 0)
		return error_set(err, ERR_INVALID, "invalid auth configuration file");
	if (json_str(entry, "identitytoken"))
		c.identity_token = json_str(entry, "identitytoken");
	*ret = c;
	return 0;
}

/* A copy of the document with `auths` changed: entry NULL removes the server's. */
static struct json *config_with(struct cli *cli, const char *server, struct json *entry)
{
	struct arena *a = &cli->arena;
	struct json *root = json_new_object(a), *auths = json_new_object(a);
	bool placed = false;

	json_for_each_member (m, json_get(config_get(cli)->root, "auths")) {
		struct str x = host_of(m->key), y = host_of(server);
		bool same = x.len == y.len && memcmp(x.at, y.at, x.len) == 0;

		if (!same)
			json_set(a, auths, m->key, m->value);
	}
	if (entry)
		json_set(a, auths, server, entry);
	json_for_each_member (m, config_get(cli)->root) {
		bool is_auths = strcmp(m->key, "auths") == 0;

		json_set(a, root, m->key, is_auths ? auths : m->value);
		placed |= is_auths;
	}
	if (!placed)
		json_set(a, root, "auths", auths);
	return root;
}

int credentials_store(struct cli *cli, const char *server, const struct credentials *c,
		      bool *ret_plain, struct error *err)
{
	struct arena *a = &cli->arena;
	const char *helper = helper_of(cli, server);
	struct json *entry = json_new_object(a);
	auto_(buf) encoded = BUF_INIT(SECRET_MAX);
	const char *pair;
	int r;

	if (ret_plain)
		*ret_plain = !helper;
	if (helper) {
		auto_(buf) out = BUF_INIT(SECRET_MAX);
		bool token = *c->identity_token;

		json_set(a, entry, "ServerURL", json_new_string(a, server));
		json_set(a, entry, "Username", json_new_string(a, token ? "<token>" : c->username));
		json_set(a, entry, "Secret",
			 json_new_string(a, token ? c->identity_token : c->password));
		r = helper_run(cli, helper, "store", body_text(a, entry), &out, err);
		return r < 0 ? r
			     : config_write(cli, config_with(cli, server, json_new_object(a)), err);
	}
	pair = arena_format(a, "%s:%s", c->username, *c->identity_token ? "" : c->password);
	r = base64_encode(&encoded, pair, strlen(pair), false, err);
	if (r < 0)
		return r;
	json_set(a, entry, "auth", json_new_string(a, arena_strdup(a, encoded.data)));
	if (*c->identity_token)
		json_set(a, entry, "identitytoken", json_new_string(a, c->identity_token));
	return config_write(cli, config_with(cli, server, entry), err);
}

int credentials_erase(struct cli *cli, const char *server, struct error *err)
{
	const char *helper = helper_of(cli, server);

	if (helper) {
		auto_(buf) out = BUF_INIT(SECRET_MAX);
		int r = helper_run(cli, helper, "erase", server, &out, err);

		if (r < 0)
			return r;
	}
	return config_write(cli, config_with(cli, server, NULL), err);
}

static struct json *auth_json(struct arena *a, const struct credentials *c, const char *server)
{
	struct json *o = json_new_object(a);

	if (*c->identity_token) {
		json_set(a, o, "identitytoken", json_new_string(a, c->identity_token));
	} else if (*c->username || *c->password) {
		json_set(a, o, "username", json_new_string(a, c->username));
		json_set(a, o, "password", json_new_string(a, c->password));
	}
	if (o->n_members)
		json_set(a, o, "serveraddress", json_new_string(a, server));
	return o;
}

/* What needs no credentials goes on without, as docker does; it says why the rest will be denied.
 */
static void get_or_warn(struct cli *cli, const char *server, struct credentials *ret, bool *warned)
{
	struct error why = { 0 };

	if (credentials_get(cli, server, ret, &why) == 0)
		return;
	*ret = (struct credentials){ "", "", "" };
	if (!*warned)
		fprintf(stderr, "WARNING: %s, continuing without\n", why.msg);
	*warned = true;
}

int credentials_header(struct cli *cli, const char *domain, const char **ret, struct error *err)
{
	const char *server = credentials_server(domain), *text;
	struct credentials c;
	auto_(buf) encoded = BUF_INIT(SECRET_MAX);
	bool warned = false;
	int r;

	get_or_warn(cli, server, &c, &warned);
	text = body_text(&cli->arena, auth_json(&cli->arena, &c, server));
	r = base64_encode(&encoded, text, strlen(text), true, err);
	if (r < 0)
		return r;
	/* Padded, as docker's encoder writes it. */
	while (encoded.len % 4 && r == 0)
		r = buf_add(&encoded, "=", 1, err);
	*ret = arena_strdup(&cli->arena, encoded.data);
	return r;
}

int credentials_all_header(struct cli *cli, const char **ret, struct error *err)
{
	struct json *all = json_new_object(&cli->arena);
	auto_(buf) encoded = BUF_INIT(SECRET_MAX);
	bool warned = false;
	const char *text;
	int r;

	json_for_each_member (m, json_get(config_get(cli)->root, "auths")) {
		struct credentials c;

		get_or_warn(cli, m->key, &c, &warned);
		json_set(&cli->arena, all, m->key, auth_json(&cli->arena, &c, m->key));
	}
	json_for_each_member (m, json_get(config_get(cli)->root, "credHelpers")) {
		struct credentials c;

		get_or_warn(cli, m->key, &c, &warned);
		json_set(&cli->arena, all, m->key, auth_json(&cli->arena, &c, m->key));
	}
	text = body_text(&cli->arena, all);
	r = base64_encode(&encoded, text, strlen(text), true, err);
	while (r == 0 && encoded.len % 4)
		r = buf_add(&encoded, "=", 1, err);
	if (r == 0)
		*ret = arena_strdup(&cli->arena, encoded.data);
	return r;
}
