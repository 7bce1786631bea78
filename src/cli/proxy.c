/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/proxy.h"

#include <string.h>

#include "base/macros.h"
#include "base/str.h"
#include "cli/config.h"

static bool env_has(const struct json *env, const char *name)
{
	size_t n = strlen(name);

	json_for_each_item (e, env)
		if (strncmp(e->s, name, n) == 0 && e->s[n] == '=')
			return true;
	return false;
}

void proxy_env_add(struct cli *cli, struct json *env)
{
	static const char *const names[][3] = {
		{ "httpProxy", "HTTP_PROXY", "http_proxy" },
		{ "httpsProxy", "HTTPS_PROXY", "https_proxy" },
		{ "noProxy", "NO_PROXY", "no_proxy" },
		{ "ftpProxy", "FTP_PROXY", "ftp_proxy" },
		{ "allProxy", "ALL_PROXY", "all_proxy" },
	};
	const struct json *proxies = json_get(config_get(cli)->root, "proxies");
	const struct json *mine = cli->host ? json_get(proxies, cli->host) : NULL;

	if (!mine)
		mine = json_get(proxies, "default");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *value = json_str(mine, names[i][0]);

		for (size_t k = 1; k < 3 && value && *value; k++)
			if (!env_has(env, names[i][k]))
				json_push(
				    &cli->arena, env,
				    json_new_string(&cli->arena, arena_format(&cli->arena, "%s=%s",
									      names[i][k], value)));
	}
}
