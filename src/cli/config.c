/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "cli/sha256.h"

enum { CONFIG_MAX = 16 << 20 };

static const char *env_text(const char *name)
{
	const char *s = getenv(name);

	return s && *s ? s : NULL;
}

static const char *config_dir(struct cli *cli)
{
	const char *dir = args_str(&cli->global, "config"), *home = env_text("HOME");

	if (*dir)
		return dir;
	if (env_text("DOCKER_CONFIG"))
		return env_text("DOCKER_CONFIG");
	return arena_format(&cli->arena, "%s/.docker", home ? home : "");
}

const struct config *config_get(struct cli *cli)
{
	auto_(buf) text = BUF_INIT(CONFIG_MAX);
	struct error err = { 0 };
	const char *path;
	int r;

	if (cli->config)
		return cli->config;
	cli->config = new0(struct config);
	cli->config->dir = config_dir(cli);
	cli->config->root = json_new_object(&cli->arena);
	path = arena_format(&cli->arena, "%s/config.json", cli->config->dir);
	r = fs_read_file(path, &text, &err);
	if (r == 0 && text.len > 0)
		r = json_parse(&cli->arena, text.data, text.len, &cli->config->root, &err);
	if (r < 0 && access(path, F_OK) == 0)
		fprintf(stderr, "WARNING: Error parsing config file (%s): %s\n", path, err.msg);
	return cli->config;
}

void config_free(struct config *c)
{
	free(c);
}

const char *config_str(struct cli *cli, const char *key)
{
	const char *s = json_str(config_get(cli)->root, key);

	return s && *s ? s : NULL;
}

int config_write(struct cli *cli, const struct json *root, struct error *err)
{
	const struct config *c = config_get(cli);
	auto_(buf) text = BUF_INIT(CONFIG_MAX);
	struct jsonw w;
	autoclose int dirfd = FD_NONE;
	int r;

	r = fs_mkdir_all(c->dir, 0700, err);
	if (r == 0)
		r = fs_open(c->dir, O_RDONLY | O_DIRECTORY, 0, &dirfd, err);
	if (r < 0)
		return r;
	jsonw_init(&w, &text);
	w.indent = 8;
	w.no_html = true;
	jsonw_value(&w, root);
	r = jsonw_finish(&w, err);
	if (r < 0)
		return r;
	/* Go's MarshalIndent with "\t", as the docker CLI writes the file. */
	{
		auto_(buf) tabbed = BUF_INIT(CONFIG_MAX);

		for (size_t i = 0; i < text.len && r == 0; i++) {
			r = buf_add(&tabbed, text.data + i, 1, err);
			if (text.data[i] != '\n')
				continue;
			while (r == 0 && i + 8 < text.len &&
			       memcmp(text.data + i + 1, "        ", 8) == 0) {
				r = buf_add(&tabbed, "\t", 1, err);
				i += 8;
			}
		}
		if (r == 0)
			r = fs_replace(dirfd, "config.json", 0600, tabbed.data, tabbed.len, err);
	}
	if (r == 0)
		cli->config->root = root;
	return r;
}

void context_id(const char *name, char ret[65])
{
	uint8_t sum[32];

	sha256_small(name, strlen(name), sum);
	hex_format(sum, sizeof(sum), ret);
}

const char *context_current(struct cli *cli)
{
	const char *name = args_str(&cli->global, "context");

	if (*name)
		return name;
	if (args_count(&cli->global, "host") > 0)
		return "default";
	if (env_text("DOCKER_HOST") || env_text("PROA_HOST"))
		return "default";
	if (env_text("DOCKER_CONTEXT"))
		return env_text("DOCKER_CONTEXT");
	name = config_str(cli, "currentContext");
	return name ? name : "default";
}

int context_load(struct cli *cli, const char *name, const struct json **ret, struct error *err)
{
	auto_(buf) text = BUF_INIT(CONFIG_MAX);
	char id[65];
	const char *path;
	int r;

	context_id(name, id);
	path = arena_format(&cli->arena, "%s/contexts/meta/%s/meta.json", config_get(cli)->dir, id);
	if (access(path, F_OK) < 0)
		return error_set(
		    err, ERR_NOT_FOUND,
		    "context \"%s\": context not found: open %s: no such file or directory", name,
		    path);
	r = fs_read_file(path, &text, err);
	if (r == 0)
		r = json_parse(&cli->arena, text.data, text.len, ret, err);
	return r;
}

const char *default_host(struct cli *cli)
{
	const char *run = env_text("XDG_RUNTIME_DIR"), *path;

	if (geteuid() != 0 && run) {
		path = arena_format(&cli->arena, "%s/proa/proa.sock", run);
		if (access(path, F_OK) == 0)
			return arena_format(&cli->arena, "unix://%s", path);
	}
	return "unix:///run/proa/proa.sock";
}

/* The TLS files of a directory: DOCKER_CERT_PATH, or one of a context. */
static void tls_files(struct cli *cli, struct endpoint *e, const char *dir)
{
	const char *ca = args_str(&cli->global, "tlscacert"), *cert, *key;

	cert = args_str(&cli->global, "tlscert");
	key = args_str(&cli->global, "tlskey");
	e->ca = *ca ? ca : arena_format(&cli->arena, "%s/ca.pem", dir);
	e->cert = *cert ? cert : arena_format(&cli->arena, "%s/cert.pem", dir);
	e->key = *key ? key : arena_format(&cli->arena, "%s/key.pem", dir);
}

static int endpoint_of_context(struct cli *cli, const char *name, struct endpoint *e,
			       struct error *err)
{
	const struct json *meta = NULL;
	char id[65];
	const char *dir;
	int r = context_load(cli, name, &meta, err);

	if (r < 0)
		return r;
	e->host = json_str(json_path(meta, "Endpoints.docker"), "Host");
	if (!e->host || !*e->host)
		e->host = default_host(cli);
	context_id(name, id);
	dir = arena_format(&cli->arena, "%s/contexts/tls/%s/docker", config_get(cli)->dir, id);
	if (access(dir, F_OK) == 0) {
		e->tls = true;
		e->tls_verify =
		    !json_bool(json_path(meta, "Endpoints.docker"), "SkipTLSVerify", false);
		tls_files(cli, e, dir);
	}
	return 0;
}

int endpoint_resolve(struct cli *cli, struct endpoint *ret, struct error *err)
{
	struct endpoint e = { 0 };
	const char *context = context_current(cli), *cert_dir = env_text("DOCKER_CERT_PATH");
	bool verify = args_bool(&cli->global, "tlsverify") ||
		      (!args_set(&cli->global, "tlsverify") && env_text("DOCKER_TLS_VERIFY"));
	int r;

	if (args_count(&cli->global, "host") > 1)
		return error_set(err, ERR_INVALID, "Specify only one -H");
	if (args_count(&cli->global, "host") == 1 && args_set(&cli->global, "context"))
		return error_set(err, ERR_INVALID,
				 "conflicting options: cannot specify both --host "
				 "and --context");
	if (strcmp(context, "default") != 0) {
		r = endpoint_of_context(cli, context, &e, err);
		if (r == 0)
			*ret = e;
		return r;
	}
	e.host = args_count(&cli->global, "host") ? args_nth(&cli->global, "host", 0) : NULL;
	if (!e.host || !*e.host)
		e.host = env_text("PROA_HOST") ? env_text("PROA_HOST") : env_text("DOCKER_HOST");
	if (!e.host) {
		e.host = default_host(cli);
		e.is_default = true;
	} else if (e.host[0] == '/') {
		e.host = arena_format(&cli->arena, "unix://%s", e.host);
	} else if (strcmp(e.host, "unix://") == 0) {
		e.host = default_host(cli);
	} else if (!strstr(e.host, "://")) {
		e.host = arena_format(&cli->arena, "tcp://%s", e.host);
	}
	e.tls_verify = verify;
	e.tls = verify || args_bool(&cli->global, "tls") || env_text("DOCKER_TLS");
	if (e.tls)
		tls_files(cli, &e, cert_dir ? cert_dir : config_get(cli)->dir);
	/* Peer: docker reads the authority's file even where it verifies nothing. */
	if (e.tls && access(e.ca, R_OK) < 0)
		return error_set(err, ERR_NOT_FOUND, "open %s: %s", e.ca,
				 errno == ENOENT ? "no such file or directory"
						 : "permission denied");
	*ret = e;
	return 0;
}
