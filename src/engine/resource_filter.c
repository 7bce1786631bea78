#include "engine/resource_filter.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"

int filter_check(const struct json *filters, const char *const *known, struct error *err)
{
	json_for_each_member (m, filters) {
		const char *const *k = known;

		while (*k && strcmp(*k, m->key) != 0)
			k++;
		if (!*k)
			return error_set(err, ERR_INVALID, "invalid filter '%s'", m->key);
	}
	return 0;
}

/* Calls fn for each value until it says true. */
static bool each_value(const struct json *values, bool (*fn)(void *ctx, const char *value),
		       void *ctx)
{
	json_for_each_item (v, values)
		if (v->type == JSON_STRING && fn(ctx, v->s))
			return true;
	json_for_each_member (m, values)
		if (m->value->type != JSON_BOOL || m->value->b)
			if (fn(ctx, m->key))
				return true;
	return false;
}

bool filter_any(const struct json *filters, const char *key,
		bool (*fn)(void *ctx, const char *value), void *ctx)
{
	const struct json *values = json_get(filters, key);

	return !values || each_value(values, fn, ctx);
}

bool filter_has(const struct json *filters, const char *key)
{
	return json_get(filters, key) != NULL;
}

static bool take_value(void *ctx, const char *value)
{
	*(const char **)ctx = value;
	return true;
}

int filter_bool(const struct json *filters, const char *key, bool def, bool *ret, struct error *err)
{
	const struct json *values = json_get(filters, key);
	const char *value = NULL;

	if (!values) {
		*ret = def;
		return 0;
	}
	if (!each_value(values, take_value, &value) || parse_bool(str_of(value), ret, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid filter '%s=[%s]'", key,
				 value ? value : "");
	return 0;
}

static bool label_matches(void *ctx, const char *value)
{
	const struct json *labels = ctx;
	const char *eq = strchr(value, '=');

	json_for_each_member (m, labels) {
		const char *have = m->value->type == JSON_STRING ? m->value->s : "";

		if (!eq && strcmp(m->key, value) == 0)
			return true;
		if (eq && strlen(m->key) == (size_t)(eq - value) &&
		    strncmp(m->key, value, (size_t)(eq - value)) == 0 && strcmp(have, eq + 1) == 0)
			return true;
	}
	return false;
}

static bool label_misses(void *ctx, const char *value)
{
	return !label_matches(ctx, value);
}

bool filter_labels(const struct json *filters, const struct json *labels)
{
	const struct json *wanted = json_get(filters, "label");
	const struct json *unwanted = json_get(filters, "label!");
	void *ctx = (void *)(uintptr_t)labels;

	if (wanted && each_value(wanted, label_misses, ctx))
		return false;
	return !unwanted || !each_value(unwanted, label_matches, ctx);
}

int filter_until(const struct json *filters, int64_t created_wall_ns, bool *ret_old,
		 struct error *err)
{
	const struct json *values = json_get(filters, "until");
	const char *value = NULL;
	int64_t at;

	*ret_old = true;
	if (!values)
		return 0;
	if (!each_value(values, take_value, &value))
		return error_set(err, ERR_INVALID, "invalid filter 'until'");
	if (time_parse_query(value, &at, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid filter 'until=[%s]'", value);
	*ret_old = created_wall_ns < at;
	return 0;
}
