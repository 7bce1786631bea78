#include "registry/config_member.h"

#include <string.h>

#include "base/str.h"

static int read_value(const struct config_member *m, const struct json *v, struct error *err)
{
	int64_t n;
	int r;

	switch (m->kind) {
	case CONFIG_TEXT:
	case CONFIG_ANY_TEXT:
		if (v->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "want a string");
		if (*v->s == '\0' && m->kind == CONFIG_TEXT)
			return error_set(err, ERR_INVALID, "want a string that is not empty");
		*(const char **)m->out = v->s;
		return 0;
	case CONFIG_FLAG:
		if (v->type != JSON_BOOL)
			return error_set(err, ERR_INVALID, "want true or false");
		*(bool *)m->out = v->b;
		return 0;
	case CONFIG_COUNT:
		if (v->type != JSON_INT || v->i < 0 || v->i > 1000000)
			return error_set(err, ERR_INVALID, "want a number from 0 to 1000000");
		*(unsigned *)m->out = (unsigned)v->i;
		return 0;
	case CONFIG_NUMBER:
		if ((v->type != JSON_INT && v->type != JSON_DOUBLE) ||
		    (v->type == JSON_INT ? (double)v->i : v->d) < 0)
			return error_set(err, ERR_INVALID, "want a number");
		*(double *)m->out = v->type == JSON_INT ? (double)v->i : v->d;
		return 0;
	case CONFIG_BYTES:
		if (v->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "want a size such as \"10GB\"");
		r = parse_size(str_of(v->s), &n, err);
		if (r == 0)
			*(uint64_t *)m->out = (uint64_t)n;
		return r;
	case CONFIG_DURATION:
		if (v->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "want a duration such as \"24h\"");
		r = parse_duration(str_of(v->s), &n, err);
		if (r == 0 && n < 0)
			r = error_set(err, ERR_INVALID, "want a duration that is not negative");
		if (r == 0)
			*(int64_t *)m->out = n;
		return r;
	case CONFIG_OTHER:
		*(const struct json **)m->out = v;
		return 0;
	}
	return 0;
}

int config_object(const struct json *j, const char *what, const struct config_member *members,
		  size_t n, struct error *err)
{
	const char *colon = *what ? ": " : "", *dot = *what ? "." : "";

	if (j == NULL)
		return 0;
	if (j->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "%s%swant an object", what, colon);
	json_for_each_member (m, j) {
		size_t i = 0;
		int r;

		while (i < n && strcmp(members[i].key, m->key) != 0)
			i++;
		if (i == n)
			return error_set(err, ERR_INVALID, "%s%sunknown member '%s'", what, colon,
					 m->key);
		r = read_value(&members[i], m->value, err);
		if (r < 0)
			return error_wrap(err, r, "%s%s%s", what, dot, m->key);
	}
	return 0;
}
