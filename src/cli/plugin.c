/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plugin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "cli/config.h"

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

static const char *plugin_in(struct cli *cli, const char *dir, const char *name)
{
	const char *path = arena_format(&cli->arena, "%s/docker-%s", dir, name);
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0 ? path : NULL;
}

static const char *plugin_find(struct cli *cli, const char *name)
{
	const char *path =
	    plugin_in(cli, arena_format(&cli->arena, "%s/cli-plugins", config_get(cli)->dir), name);

	json_for_each_item (dir, json_get(config_get(cli)->root, "cliPluginsExtraDirs"))
		if (!path && dir->type == JSON_STRING)
			path = plugin_in(cli, dir->s, name);
	for (size_t i = 0; i < ARRAY_LEN(system_dirs) && !path; i++)
		path = plugin_in(cli, system_dirs[i], name);
	return path;
}

int plugin_become(struct cli *cli, int argc, char *const *argv, struct error *err)
{
	const char *path = name_valid(argv[0]) ? plugin_find(cli, argv[0]) : NULL;
	char **words = arena_array(&cli->arena, (size_t)argc + 2, sizeof(*words));
	struct endpoint e = { 0 };

	if (!path)
		return -ERR_NOT_FOUND;
	if (endpoint_resolve(cli, &e, NULL) == 0)
		setenv("DOCKER_HOST", e.host, e.is_default);
	words[0] = arena_strdup(&cli->arena, path);
	memcpy(words + 1, argv, (size_t)argc * sizeof(*words));
	fflush(stdout);
	execv(path, words);
	return error_sys(err, errno, "cannot run %s", path);
}
