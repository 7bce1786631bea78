#include "base/clock.h"

#include "tests/tap.h"

static const struct {
	const char *text, *want; /* want NULL: refused */
} times[] = {
	{ "2026-11-23T14:56:50Z", "2026-11-23T14:56:50Z" },
	{ "2026-11-23T14:56:50.120000000Z", "2026-11-23T14:56:50.12Z" },
	{ "2026-11-23T14:56:50.123456789Z", "2026-11-23T14:56:50.123456789Z" },
	{ "2026-11-23T14:56:50.1234567899Z", "2026-11-23T14:56:50.123456789Z" },
	{ "2026-11-23T14:56:50+01:30", "2026-11-23T13:26:50Z" },
	{ "2000-02-29T00:00:00-05:00", "2000-02-29T05:00:00Z" },
	{ "1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z" },
	{ "1900-02-29T00:00:00Z", NULL },
	{ "2026-13-01T00:00:00Z", NULL },
	{ "2026-00-01T00:00:00Z", NULL },
	{ "2026-04-31T00:00:00Z", NULL },
	{ "2026-01-01T24:00:00Z", NULL },
	{ "2026-01-01T00:00:00", NULL },
	{ "2026-01-01 00:00:00Z", NULL },
	{ "2026-01-01T00:00:00.Z", NULL },
	{ "2026-01-01T00:00:00Zx", NULL },
	{ "1500-01-01T00:00:00Z", NULL },
	{ "", NULL },
};

int main(void)
{
	char text[TIME_TEXT_MAX];
	int64_t ns = 1, before = clock_mono_ns();
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		is_int(time_parse_rfc3339(times[i].text, &ns, &err),
		       times[i].want ? 0 : -ERR_INVALID, times[i].text);
		if (times[i].want == NULL)
			continue;
		time_format_rfc3339nano(ns, text);
		is_str(text, times[i].want, "in UTC, zeros cut");
	}
	is_int(time_parse_rfc3339(TIME_ZERO_TEXT, &ns, &err), 0, "Go's zero time");
	is_int(ns, 0, "is 0");
	ok(time_parse_query("1795412663.459", &ns, NULL) == 0 && ns == 1795412663459000000LL,
	   "seconds with a fraction");
	ok(time_parse_query("2026-11-23T05:29:19Z", &ns, NULL) == 0 && ns == 1795411759000000000LL,
	   "RFC 3339");
	ok(time_parse_query("10m", &ns, NULL) == 0 && ns < clock_wall_ns() - 599 * NS_PER_SEC,
	   "a duration back from now");
	ok(time_parse_query("2026-11-23", &ns, NULL) == 0, "a day");
	ok(time_parse_query("soon", &ns, NULL) == -ERR_INVALID, "nonsense is refused");
	ok(clock_mono_ns() >= before, "monotonic time does not go back");
	ok(clock_wall_ns() > 1700000000LL * NS_PER_SEC, "wall time is of this century");
	return tap_done();
}
