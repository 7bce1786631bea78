/* cli/proxy.h: the proxies of ~/.docker/config.json for containers and builds. */
#pragma once

#include "base/json.h"
#include "cli/cli.h"

/* Append HTTP_PROXY=..., http_proxy=... and so on to a list of "k=v", except
 * names that are in it already. Those of this host, else of "default". */
void proxy_env_add(struct cli *cli, struct json *env);
