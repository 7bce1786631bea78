/*
 * engine/filter.h: the `filters` of list, prune and events calls, in both
 * shapes that clients send: {"k":{"v":true}} and {"k":["v"]}.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

struct filter {
	const char *key;
	const char *const *values; /* NULL-terminated, at least one */
};

struct filters {
	struct arena arena;
	struct filter *at;
	size_t n;
};

/* j may be NULL. known: NULL-terminated. ERR_INVALID "invalid filter 'x'" for
 * other keys and for values of a wrong shape. The strings are j's. */
MUST_CHECK int filters_read(const struct json *j, const char *const *known, struct filters *ret,
			    struct error *err);
void filters_release(struct filters *f);
DEFINE_AUTO(filters, filters_release);

/* NULL-terminated values of a key; NULL when it was not given. */
const char *const *filters_get(const struct filters *f, const char *key);
/* "k" or "k=v" against an object of strings. */
bool filter_label_matches(const struct json *labels, const char *want);
