/* registry/auth_internal.h: shared by auth.c and auth_config.c. */
#pragma once

#include "base/str.h"
#include "registry/auth.h"
#include "registry/password.h"

#define AUTH_KEY_SIZE 32
#define AUTH_TTL_S    300 /* life of a token */

struct auth_rule {
	const char *repos;  /* glob */
	const char **users; /* names, "*" = every known user, "anonymous" = everybody */
	size_t n_users;
	unsigned actions;
};

struct auth {
	struct arena arena;   /* of what the configuration gave */
	const char *htpasswd; /* path, or NULL */
	bool token;           /* issue bearer tokens */
	int64_t ttl_s;
	struct auth_rule *rules;
	size_t n_rules;
	uint8_t key[AUTH_KEY_SIZE];
	struct passwords *passwords; /* NULL without an htpasswd file */
};

/* Read the "auth" object. ERR_INVALID names the member. */
MUST_CHECK int auth_config_read(struct auth *a, const struct json *config, struct error *err);
/* AUTH_PULL ..., all of them for "*", 0 for anything else. */
unsigned auth_action_parse(struct str s);
const char *auth_action_name(unsigned bit);
