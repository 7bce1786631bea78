/* image/filter.h: the filters of image lists and prune. Private to image. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

struct store;
struct image_row;

struct filter {
	struct arena arena;
	bool has_dangling, dangling;
	const char **labels, **not_labels; /* "key" or "key=value"; NULL-terminated or NULL */
	const char **references;           /* patterns; NULL: none */
	bool has_before, has_since, has_until;
	int64_t before_ns, since_ns, until_ns;
};

/*
 * filters in both of the API's shapes, may be NULL. known: NULL-terminated.
 * ERR_INVALID "invalid filter 'x'"; ERR_NOT_FOUND for an unknown image in before, since.
 */
MUST_CHECK int filter_parse(struct store *s, const struct json *filters, const char *const *known,
			    struct filter *ret, struct error *err);
void filter_release(struct filter *f);
/* Everything but references. */
MUST_CHECK int filter_matches(const struct filter *f, const struct image_row *row, bool dangling,
			      bool *ret, struct error *err);
/* A familiar name against patterns; NULL patterns match. */
bool filter_name_matches(const char *familiar, const char *const *patterns);
