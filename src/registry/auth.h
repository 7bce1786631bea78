/*
 * registry/auth.h: who may do what.
 *
 * Users come from an htpasswd file (bcrypt only) that is read again when it
 * changes; rules say which repositories a user, or anybody, may pull, push and
 * delete. `docker login` gets a bearer token from the built-in issuer, or uses
 * Basic on every request: both are always understood.
 *
 * Without users and without rules everything is allowed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

enum auth_action { AUTH_PULL = 1, AUTH_PUSH = 2, AUTH_DELETE = 4 };

struct auth;

/*
 * config    the "auth" object of the configuration, or NULL; borrowed for the call
 * key_path  file of the token key, made when absent; NULL: no tokens are wanted
 *
 * ERR_INVALID names the member that is wrong.
 */
MUST_CHECK int auth_new(const struct json *config, const char *key_path, struct auth **ret,
			struct error *err);
void auth_free(struct auth *a);
/* Whether auth_new would take this configuration. */
MUST_CHECK int auth_check(const struct json *config, struct error *err);
bool auth_is_open(const struct auth *a); /* no users, no rules */

/* Who asks. */
struct auth_who {
	char user[128];                  /* "" for nobody in particular */
	bool has_token;                  /* token_scopes limits what the rules allow */
	const struct json *token_scopes; /* in the arena of the call */
};

/*
 * Read an Authorization header (NULL: anonymous).
 * ERR_UNAUTHORIZED for wrong credentials or an expired or forged token,
 * ERR_UNAVAILABLE when too many passwords are being checked.
 */
MUST_CHECK int auth_identify(struct auth *a, struct arena *arena, const char *header,
			     struct auth_who *ret, struct error *err);
/* The bits of `actions` that who has on repo. */
unsigned auth_allowed(struct auth *a, const struct auth_who *who, const char *repo,
		      unsigned actions);
/* Whether who may see the catalogue: a user, or everybody in an open registry; a
 * token must have been asked for with AUTH_CATALOG_SCOPE. */
bool auth_may_list(struct auth *a, const struct auth_who *who);

/*
 * Issue a token for scopes "repository:name:pull,push"; scopes that are not
 * allowed are left out, as the token specification asks.
 */
MUST_CHECK int auth_issue(struct auth *a, const struct auth_who *who, const char *const *scopes,
			  size_t n_scopes, struct arena *arena, const char **ret_token,
			  int64_t *ret_expires_s, struct error *err);

/* Text of the WWW-Authenticate header. realm: URL of the token endpoint; scope and
 * error_code may be NULL. */
const char *auth_challenge(struct auth *a, struct arena *arena, const char *realm,
			   const char *scope, const char *error_code);
/* "repository:name:pull,push" in the arena. */
const char *auth_scope(struct arena *arena, const char *repo, unsigned actions);
#define AUTH_CATALOG_SCOPE "registry:catalog:*"

/* "pull", "pull,push" ... in the arena. */
const char *auth_actions_text(struct arena *a, unsigned actions);
