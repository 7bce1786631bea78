/*
 * registry/password.h: users of an htpasswd file (bcrypt only).
 *
 * The file is read again when it changes; a broken new one leaves the users as
 * they were. Hashing is meant to be slow, so few are computed at a time and
 * whoever comes while many wait is sent away: a flood of logins costs no more
 * than those few. A password that was right is believed for five minutes.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#define PASSWORD_COST_MAX 14 /* of bcrypt: about a second; more is refused when read */

struct passwords;

/* ERR_INVALID names the line that is wrong. */
MUST_CHECK int passwords_open(const char *path, struct passwords **ret, struct error *err);
void passwords_free(struct passwords *p); /* NULL is fine */

/* ERR_UNAUTHORIZED; ERR_UNAVAILABLE when too many are being checked. */
MUST_CHECK int passwords_check(struct passwords *p, const char *user, const char *password,
			       struct error *err);

/* One line "user:$2y$..." for such a file. ERR_INVALID for a user with ':'. */
MUST_CHECK int password_line(struct arena *a, const char *user, const char *password,
			     const char **ret, struct error *err);
