/*
 * build/vars.h: an ordered list of variables.
 *
 * Setting an existing name replaces its value in place, so that the order is
 * that of the first definition, as Docker's config keeps it. Lives in an arena.
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"

struct var {
	const char *key, *value;
};

struct vars {
	struct var *at;
	size_t len, cap;
};

const char *vars_get(const struct vars *e, const char *key); /* NULL when not set */
/* key and value are borrowed: they must live as long as the arena. */
void vars_set(struct arena *a, struct vars *e, const char *key, const char *value);
/* An independent list with the same (borrowed) strings. */
struct vars vars_copy(struct arena *a, const struct vars *e);
/* "KEY=value" split at the first '='; without '=' the value is "". */
void vars_set_pair(struct arena *a, struct vars *e, const char *pair);
