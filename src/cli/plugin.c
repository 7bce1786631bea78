/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plugin.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/commands.h"
#include "cli/config.h"

enum { DIRS_MAX = 32, PLUGINS_MAX = 256, METADATA_MAX = 1 << 20, METADATA_TIMEOUT_MS = 10000 };

static const char *const system_dirs[] = {
	"/usr/local/lib/docker/cli-plugins",
	"/usr/local/libexec/docker/cli-plugins",
	"/usr/lib/docker/cli-plugins",
	"/usr/libexec/docker/cli-plugins",
};

/* A plugin's name is a file name: letters, digits, '-' and '_'. */
static bool name_valid(const char *name)
{
	return *name &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
		   strlen(name) &&
	       *name != '-';
}

/* The directories, first come, first served. */
static size_t dirs_find(struct cli *cli, const char **out, size_t max)
{
	size_t n = 0;

	json_for_each_item (dir, json_get(config_get(cli)->root, "cliPluginsExtraDirs"))
		if (dir->type == JSON_STRING && n < max)
			out[n++] = dir->s;
	if (n < max)
		out[n++] = arena_format(&cli->arena, "%s/cli-plugins", config_get(cli)->dir);
	for (size_t i = 0; i < ARRAY_LEN(system_dirs) && n < max; i++)
		out[n++] = system_dirs[i];
	return n;
}

static const char *plugin_in(struct cli *cli, const char *dir, const char *name)
{
	const char *path = arena_format(&cli->arena, "%s/docker-%s", dir, name);
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? path : NULL;
}

static const char *plugin_find(struct cli *cli, const char *name)
{
	const char *dirs[DIRS_MAX], *path = NULL;
	size_t n = dirs_find(cli, dirs, DIRS_MAX);

	for (size_t i = 0; i < n && !path; i++)
		path = plugin_in(cli, dirs[i], name);
	return path;
}

/* Why the file at `path` is no plugin, or NULL; what it says of itself in *ret. */
static const char *metadata_read(struct cli *cli, const char *name, const char *path,
				 const struct json **ret)
{
	const char *argv[] = { path, "docker-cli-plugin-metadata", NULL };
	struct proc_spec spec = { .path = path, .argv = argv, .cwd_fd = FD_NONE };
	auto_(buf) out = BUF_INIT(METADATA_MAX);
	auto_(buf) complaint = BUF_INIT(METADATA_MAX);
	const struct command *builtin;
	const char *schema, *vendor;
	struct error err = { 0 };
	int status = 0, r;

	builtin = command_find(name, NULL);
	if ((builtin && builtin->run != cmd_unsupported) || command_group_find(name))
		return arena_format(&cli->arena, "plugin \"%s\" duplicates builtin command", name);
	r = proc_run(&spec, "", 0, &out, &complaint, METADATA_TIMEOUT_MS, &status, &err);
	if (r < 0)
		return arena_format(&cli->arena, "failed to fetch metadata: %s", err.msg);
	if (status != 0)
		return arena_format(&cli->arena, "failed to fetch metadata: exit status %d",
				    status);
	if (json_parse(&cli->arena, out.data ? out.data : "", out.len, ret, &err) < 0 ||
	    (*ret)->type != JSON_OBJECT)
		return arena_format(&cli->arena, "invalid metadata: %s", err.msg);
	schema = json_str(*ret, "SchemaVersion");
	if (!schema || !cstr_starts(schema, "0."))
		return arena_format(&cli->arena,
				    "plugin SchemaVersion \"%s\" is not valid, must be 0.1.0",
				    schema ? schema : "");
	vendor = json_str(*ret, "Vendor");
	return vendor && *vendor ? NULL : "plugin metadata does not define a vendor";
}

int plugin_become(struct cli *cli, const char *name, struct error *err)
{
	const char *path = name_valid(name) ? plugin_find(cli, name) : NULL;
	char **words = arena_array(&cli->arena, (size_t)cli->argc + 1, sizeof(*words));
	const struct json *metadata = NULL;
	struct endpoint e = { 0 };

	if (!path || metadata_read(cli, name, path, &metadata))
		return -ERR_NOT_FOUND;
	if (endpoint_resolve(cli, &e, NULL) == 0 && e.is_default)
		setenv("DOCKER_HOST", e.host, 1);
	setenv("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", cli->path, 1);
	words[0] = arena_strdup(&cli->arena, path);
	memcpy(words + 1, cli->argv + 1, (size_t)(cli->argc - 1) * sizeof(*words));
	fflush(stdout);
	execv(path, words);
	return error_sys(err, errno, "cannot run %s", path);
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(json_str(*(const struct json *const *)a, "Name"),
		      json_str(*(const struct json *const *)b, "Name"));
}

static bool name_listed(const struct json *list, const char *name)
{
	json_for_each_item (p, list)
		if (strcmp(json_str(p, "Name"), name) == 0)
			return true;
	return false;
}

static void plugin_add(struct cli *cli, struct json *list, const char *name, const char *path)
{
	struct arena *a = &cli->arena;
	struct json *p = json_new_object(a);
	const struct json *metadata = NULL;
	const char *why = metadata_read(cli, name, path, &metadata);

	json_for_each_member (m, why ? NULL : metadata)
		if (strcmp(m->key, "Name") != 0 && strcmp(m->key, "Path") != 0)
			json_set(a, p, m->key, m->value);
	json_set(a, p, "Name", json_new_string(a, name));
	json_set(a, p, "Path", json_new_string(a, path));
	if (why)
		json_set(a, p, "Err", json_new_string(a, why));
	json_push(a, list, p);
}

struct json *plugins_json(struct cli *cli)
{
	struct json *list = json_new_array(&cli->arena);
	const char *dirs[DIRS_MAX];
	size_t n = dirs_find(cli, dirs, DIRS_MAX);

	for (size_t i = 0; i < n; i++) {
		DIR *dir = opendir(dirs[i]);
		const struct dirent *d;

		while (dir && (d = readdir(dir)) && list->n_items < PLUGINS_MAX) {
			const char *name = d->d_name + strlen("docker-"), *path;

			if (!cstr_starts(d->d_name, "docker-") || !name_valid(name) ||
			    name_listed(list, name))
				continue;
			path = plugin_in(cli, dirs[i], name);
			if (path)
				plugin_add(cli, list, arena_strdup(&cli->arena, name), path);
		}
		if (dir)
			closedir(dir);
	}
	if (list->n_items > 1)
		qsort(list->items, list->n_items, sizeof(*list->items), name_compare);
	return list;
}

void plugins_print(struct cli *cli)
{
	bool title = false;

	json_for_each_item (p, plugins_json(cli)) {
		const char *brief = json_str(p, "ShortDescription"),
			   *version = json_str(p, "Version");

		if (json_get(p, "Err"))
			continue;
		if (!title)
			puts(" Plugins:");
		title = true;
		printf("  %s: %s (%s)\n", json_str(p, "Name"), brief ? brief : "",
		       json_str(p, "Vendor"));
		if (version && *version)
			printf("    Version:  %s\n", version);
		printf("    Path:     %s\n", json_str(p, "Path"));
	}
}
