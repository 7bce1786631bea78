#include "build/vars.h"

#include <string.h>

const char *vars_get(const struct vars *e, const char *key)
{
	for (size_t i = 0; i < e->len; i++) {
		if (strcmp(e->at[i].key, key) == 0)
			return e->at[i].value;
	}
	return NULL;
}

void vars_set(struct arena *a, struct vars *e, const char *key, const char *value)
{
	for (size_t i = 0; i < e->len; i++) {
		if (strcmp(e->at[i].key, key) == 0) {
			e->at[i].value = value;
			return;
		}
	}
	if (e->len == e->cap) {
		size_t cap = e->cap ? e->cap * 2 : 8;
		struct var *at = arena_array(a, cap, sizeof(*at));

		if (e->len > 0)
			memcpy(at, e->at, e->len * sizeof(*at));
		e->at = at;
		e->cap = cap;
	}
	e->at[e->len++] = (struct var){ key, value };
}

struct vars vars_copy(struct arena *a, const struct vars *e)
{
	struct vars copy = { 0 };

	if (e->len == 0)
		return copy;
	copy.at = arena_array(a, e->len, sizeof(copy.at[0]));
	memcpy(copy.at, e->at, e->len * sizeof(copy.at[0]));
	copy.len = copy.cap = e->len;
	return copy;
}

void vars_set_pair(struct arena *a, struct vars *e, const char *pair)
{
	const char *eq = strchr(pair, '=');

	if (eq == NULL)
		vars_set(a, e, arena_strdup(a, pair), "");
	else
		vars_set(a, e, arena_strndup(a, pair, (size_t)(eq - pair)),
			 arena_strdup(a, eq + 1));
}
