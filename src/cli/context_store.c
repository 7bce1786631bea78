/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/context_store.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "cli/body.h"
#include "cli/config.h"

enum { TLS_FILES_MAX = 64 };

#define NAME_RULE "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"

void context_tls_release(struct context_tls *t)
{
	vec_release(&t->files);
}

void context_tls_set(struct context_tls *t, const char *name, const char *data, size_t len)
{
	struct context_file file = { name, data, len };

	vec_for_each (f, &t->files) {
		if (strcmp(f->name, name) != 0)
			continue;
		*f = file;
		return;
	}
	*vec_push(&t->files) = file;
}

int context_name_check(const char *name, bool own, struct error *err)
{
	bool good = isalnum((unsigned char)name[0]) && name[1];

	if (own && strcmp(name, "default") == 0)
		return error_set(err, ERR_INVALID, "\"default\" is a reserved context name");
	for (const char *p = name + 1; good && *p; p++)
		good = isalnum((unsigned char)*p) || strchr("_.+-", *p);
	if (!good)
		return error_set(
		    err, ERR_INVALID,
		    "context name \"%s\" is invalid, names are validated against regexp \"%s\"",
		    name, NAME_RULE);
	return 0;
}

static const char *dir_of(struct cli *cli, const char *kind, const char *name)
{
	char id[65];

	context_id(name, id);
	return arena_format(&cli->arena, "%s/contexts/%s/%s", config_get(cli)->dir, kind, id);
}

const char *context_meta_dir(struct cli *cli, const char *name)
{
	return dir_of(cli, "meta", name);
}

const char *context_tls_dir(struct cli *cli, const char *name)
{
	return dir_of(cli, "tls", name);
}

bool context_exists(struct cli *cli, const char *name)
{
	return access(arena_format(&cli->arena, "%s/meta.json", context_meta_dir(cli, name)),
		      F_OK) == 0;
}

struct json *context_meta(struct arena *a, const char *name, const struct json *metadata,
			  struct json *endpoint)
{
	struct json *meta = json_new_object(a), *endpoints = json_new_object(a);
	struct json *own = json_new_object(a), *sorted = json_new_object(a);
	static const char *const first[] = { "Host", "SkipTLSVerify" };

	json_for_each_member (m, metadata)
		json_set(a, own, m->key, m->value);
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		json_for_each_member (m, endpoint)
			if (strcmp(m->key, first[i]) == 0)
				json_set(a, sorted, m->key, m->value);
	json_for_each_member (m, endpoint)
		if (!json_get(sorted, m->key))
			json_set(a, sorted, m->key, m->value);
	json_set(a, meta, "Name", json_new_string(a, name));
	json_set(a, meta, "Metadata", own);
	json_set(a, endpoints, "docker", sorted);
	json_set(a, meta, "Endpoints", endpoints);
	return meta;
}

static int file_write(const char *dir, const char *name, mode_t mode, const char *data, size_t len,
		      struct error *err)
{
	autoclose int fd = FD_NONE;
	int r = fs_mkdir_all(dir, mode == 0600 ? 0700 : 0755, err);

	if (r == 0)
		r = fs_open(dir, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	return r < 0 ? r : fs_replace(fd, name, mode, data, len, err);
}

int context_write(struct cli *cli, const char *name, const struct json *meta,
		  const struct context_tls *tls, struct error *err)
{
	const char *dir = arena_format(&cli->arena, "%s/docker", context_tls_dir(cli, name));
	const char *text = body_text(&cli->arena, meta);
	int r = 0;

	vec_for_each (f, &tls->files)
		if (r == 0)
			r = file_write(dir, f->name, 0600, f->data, f->len, err);
	/* The document last: with it the context is there. */
	return r < 0 ? r
		     : file_write(context_meta_dir(cli, name), "meta.json", 0644, text,
				  strlen(text), err);
}

int context_tls_read(struct cli *cli, const char *name, struct context_tls *ret, struct error *err)
{
	const char *path = arena_format(&cli->arena, "%s/docker", context_tls_dir(cli, name));
	DIR *dir = opendir(path);
	const struct dirent *d;
	int r = 0;

	while (r == 0 && dir && (d = readdir(dir)) && ret->files.len < TLS_FILES_MAX) {
		auto_(buf) text = BUF_INIT(CONTEXT_FILE_MAX);

		if (d->d_name[0] == '.')
			continue;
		r = fs_read_file(arena_format(&cli->arena, "%s/%s", path, d->d_name), &text, err);
		if (r == 0)
			context_tls_set(
			    ret, arena_strdup(&cli->arena, d->d_name),
			    arena_strndup(&cli->arena, text.data ? text.data : "", text.len),
			    text.len);
	}
	if (dir)
		closedir(dir);
	return r;
}
