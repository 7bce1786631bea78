/* engine/times.c: "1795412663.459", "2026-11-23T05:29:19Z", "10m": Docker's since and until. */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "engine/container_internal.h"

static int parse_seconds(struct str s, int64_t *ret, struct error *err)
{
	struct str rest = s, whole, fraction = { "", 0 };
	int64_t sec, ns = 0;
	size_t i;
	int r;

	if (!str_split(&rest, '.', &whole))
		return error_set(err, ERR_INVALID, "bad time");
	if (rest.at && rest.len > 0)
		fraction = rest;
	r = parse_i64(whole, 0, 9000000000LL, &sec, err);
	if (r < 0)
		return r;
	for (i = 0; i < 9; i++) {
		char c = i < fraction.len ? fraction.at[i] : '0';

		if (c < '0' || c > '9')
			return error_set(err, ERR_INVALID, "bad time");
		ns = ns * 10 + (c - '0');
	}
	*ret = sec * NS_PER_SEC + ns;
	return 0;
}

/* "2026-11-23", "2026-11-23T05", "...:29", "...:19": completed to RFC 3339 in UTC. */
static int parse_calendar(const char *s, int64_t *ret)
{
	static const struct {
		size_t len;
		const char *rest;
	} forms[] = { { 10, "T00:00:00Z" }, { 13, ":00:00Z" }, { 16, ":00Z" }, { 19, "Z" } };
	size_t i;

	if (time_parse_rfc3339(s, ret, NULL) == 0)
		return 0;
	for (i = 0; i < ARRAY_LEN(forms); i++) {
		autofree char *whole = NULL;

		if (strlen(s) != forms[i].len && !(i == 3 && strlen(s) > 19))
			continue;
		whole = cstr_format("%s%s", s, forms[i].rest);
		return time_parse_rfc3339(whole, ret, NULL);
	}
	return -1;
}

int time_parse_query(const char *s, int64_t *ret_wall_ns, struct error *err)
{
	int64_t v;

	if (parse_seconds(str_of(s), ret_wall_ns, NULL) == 0)
		return 0;
	if (parse_duration(str_of(s), &v, NULL) == 0) {
		*ret_wall_ns = clock_wall_ns() - v;
		return 0;
	}
	if (parse_calendar(s, ret_wall_ns) == 0)
		return 0;
	return error_set(err, ERR_INVALID, "invalid value for time: failed to parse '%s'", s);
}
