/*
 * cli/config.h: ~/.docker/config.json, contexts, and the engine's address.
 *
 * The file is the docker CLI's; keys that proa does not know are kept when the
 * file is rewritten.
 */
#pragma once

#include <stdbool.h>

#include "base/json.h"
#include "cli/cli.h"

struct config {
	const char *dir;         /* ~/.docker, DOCKER_CONFIG or --config */
	const struct json *root; /* the document, or an empty object */
};

/* Loaded once; a broken file is warned about on stderr and taken as empty. */
const struct config *config_get(struct cli *cli);
void config_free(struct config *c);
/* A string member, NULL when absent or empty. */
const char *config_str(struct cli *cli, const char *key);
/* Set `root` as the new document: written atomically, mode 0600. */
MUST_CHECK int config_write(struct cli *cli, const struct json *root, struct error *err);

/* Where the engine is. tls_* are NULL when not used. */
struct endpoint {
	const char *host;
	bool tls, tls_verify;
	const char *ca, *cert, *key;
	bool is_default; /* nobody chose it: the engine may be started */
};
MUST_CHECK int endpoint_resolve(struct cli *cli, struct endpoint *ret, struct error *err);
/* The name of the context in force: --context, DOCKER_CONTEXT, currentContext,
 * or "default". */
const char *context_current(struct cli *cli);
/* Where the engine is when nobody says: the machine's, which a group may use; for who is not root
 * a socket of their own below XDG_RUNTIME_DIR comes first, where there is one. */
const char *default_host(struct cli *cli);
/* meta.json of a context; ERR_NOT_FOUND with docker's text. */
MUST_CHECK int context_load(struct cli *cli, const char *name, const struct json **ret,
			    struct error *err);
/* Directory name of a context: hex sha256 of its name. */
void context_id(const char *name, char ret[65]);
