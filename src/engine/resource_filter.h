/*
 * engine/resource_filter.h: the `filters` of networks and volumes. Both JSON
 * shapes are read: {"label":{"a=1":true}} and {"label":["a=1"]}.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/json.h"

/* ERR_INVALID "invalid filter 'x'" for a key that is not in `known` (NULL-terminated). */
MUST_CHECK int filter_check(const struct json *filters, const char *const *known,
			    struct error *err);
/* True when the key is absent, or fn holds for one of its values. */
bool filter_any(const struct json *filters, const char *key,
		bool (*fn)(void *ctx, const char *value), void *ctx);
bool filter_has(const struct json *filters, const char *key);
/* The one boolean value of `key` (true/1/false/0); def when absent. */
MUST_CHECK int filter_bool(const struct json *filters, const char *key, bool def, bool *ret,
			   struct error *err);
/* All of "label" match and none of "label!" does; labels: object of strings or NULL. */
bool filter_labels(const struct json *filters, const struct json *labels);
/* Younger than every "until" (RFC 3339, Unix seconds or duration) is false. */
MUST_CHECK int filter_until(const struct json *filters, int64_t created_wall_ns, bool *ret_old,
			    struct error *err);
