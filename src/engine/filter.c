/* engine/filter.c: see filter.h. */
#include "engine/filter.h"

#include <string.h>

#include "base/str.h"

static bool is_known(const char *key, const char *const *known)
{
	for (; *known; known++)
		if (strcmp(key, *known) == 0)
			return true;
	return false;
}

static int values_of(struct arena *a, const struct json *j, const char *key,
		     const char *const **ret, struct error *err)
{
	size_t n = j->type == JSON_ARRAY ? j->n_items : j->type == JSON_OBJECT ? j->n_members : 0;
	const char **out = arena_array(a, n + 1, sizeof(*out));
	size_t k = 0;

	if (j->type != JSON_ARRAY && j->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "invalid filter '%s'", key);
	json_for_each_member (m, j)
		out[k++] = m->key;
	json_for_each_item (v, j) {
		if (v->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "invalid filter '%s'", key);
		out[k++] = v->s;
	}
	*ret = out;
	return 0;
}

int filters_read(const struct json *j, const char *const *known, struct filters *ret,
		 struct error *err)
{
	struct filters f = { 0 };
	int r;

	if (j == NULL || j->type == JSON_NULL)
		return 0;
	if (j->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "invalid filters");
	f.at = arena_array(&f.arena, j->n_members + 1, sizeof(*f.at));
	json_for_each_member (m, j) {
		struct filter *one = &f.at[f.n];

		r = is_known(m->key, known)
			? values_of(&f.arena, m->value, m->key, &one->values, err)
			: error_set(err, ERR_INVALID, "invalid filter '%s'", m->key);
		if (r < 0) {
			filters_release(&f);
			return r;
		}
		one->key = m->key;
		if (one->values[0])
			f.n++;
	}
	*ret = f;
	return 0;
}

void filters_release(struct filters *f)
{
	arena_release(&f->arena);
	*f = (struct filters){ 0 };
}

const char *const *filters_get(const struct filters *f, const char *key)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (strcmp(f->at[i].key, key) == 0)
			return f->at[i].values;
	return NULL;
}

bool filter_label_matches(const struct json *labels, const char *want)
{
	size_t len = strcspn(want, "=");

	json_for_each_member (m, labels)
		if (strlen(m->key) == len && strncmp(m->key, want, len) == 0)
			return want[len] == '\0' || (m->value->type == JSON_STRING &&
						     strcmp(m->value->s, want + len + 1) == 0);
	return false;
}
