/*
 * cli/credentials.h: what ~/.docker/config.json knows about registries.
 *
 * A credential lives in a helper (docker-credential-X, spoken to by JSON on
 * stdin and stdout) when credHelpers or credsStore names one, else base64 in
 * `auths`. Secrets are never printed.
 */
#pragma once

#include "cli/cli.h"

#define CREDENTIALS_HUB "https://index.docker.io/v1/"

struct credentials {
	const char *username, *password, *identity_token; /* "" when absent */
};

/* The key of a registry's domain: the Hub's is its old URL. */
const char *credentials_server(const char *domain);
/* Never fails for what is not there: the strings are empty then. */
MUST_CHECK int credentials_get(struct cli *cli, const char *server, struct credentials *ret,
			       struct error *err);
/* *ret_plain (may be NULL): stored unencrypted in the file. */
MUST_CHECK int credentials_store(struct cli *cli, const char *server, const struct credentials *c,
				 bool *ret_plain, struct error *err);
MUST_CHECK int credentials_erase(struct cli *cli, const char *server, struct error *err);
/* A helper that fails costs a warning: the two below go on without what it has. */
/* base64url JSON for X-Registry-Auth of an image's domain. */
MUST_CHECK int credentials_header(struct cli *cli, const char *domain, const char **ret,
				  struct error *err);
/* base64 JSON of all, for X-Registry-Config of a build. */
MUST_CHECK int credentials_all_header(struct cli *cli, const char **ret, struct error *err);
