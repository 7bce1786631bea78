#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/auto.h"
#include "base/str.h"

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
	int64_t era, yoe, doy;

	year -= month <= 2;
	era = (year >= 0 ? year : year - 399) / 400;
	yoe = year - era * 400;
	doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

void time_format_rfc3339nano(int64_t wall_ns, char out[static TIME_TEXT_MAX])
{
	int64_t sec = wall_ns / NS_PER_SEC, frac = wall_ns % NS_PER_SEC;
	struct tm tm;
	time_t t;
	size_t n;

	if (frac < 0) {
		frac += NS_PER_SEC;
		sec--;
	}
	t = (time_t)sec;
	gmtime_r(&t, &tm);
	n = strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	if (frac != 0) {
		n += (size_t)snprintf(out + n, TIME_TEXT_MAX - n, ".%09lld", (long long)frac);
		while (out[n - 1] == '0')
			n--;
	}
	out[n] = 'Z';
	out[n + 1] = '\0';
}

/* Take exactly n digits, at most max, and the byte `after` (0 = none) off *s. */
static bool take_digits(struct str *s, size_t n, uint64_t max, char after, int64_t *ret)
{
	size_t all = n + (after != '\0');
	uint64_t v;

	if (s->len < all || parse_u64(str_sub(*s, 0, n), max, &v, NULL) < 0)
		return false;
	if (after != '\0' && s->at[n] != after)
		return false;
	*s = str_sub(*s, all, s->len);
	*ret = (int64_t)v;
	return true;
}

static bool take_fraction(struct str *s, int64_t *ret_ns)
{
	int64_t ns = 0, unit = NS_PER_SEC;
	size_t n = 1;

	*ret_ns = 0;
	if (s->len == 0 || s->at[0] != '.')
		return true;
	for (; n < s->len && s->at[n] >= '0' && s->at[n] <= '9'; n++) {
		unit /= 10;
		ns += unit * (s->at[n] - '0');
	}
	*s = str_sub(*s, n, s->len);
	*ret_ns = ns;
	return n > 1;
}

static bool take_zone(struct str *s, int64_t *ret_sec)
{
	int64_t h, m;
	char sign;

	if (s->len == 1 && s->at[0] == 'Z') {
		*ret_sec = 0;
		return true;
	}
	if (s->len != 6)
		return false;
	sign = s->at[0];
	*s = str_sub(*s, 1, s->len);
	if ((sign != '+' && sign != '-') || !take_digits(s, 2, 23, ':', &h) ||
	    !take_digits(s, 2, 59, '\0', &m))
		return false;
	*ret_sec = (sign == '-' ? -1 : 1) * (h * 3600 + m * 60);
	return true;
}

static int64_t days_in_month(int64_t year, int64_t month)
{
	static const int64_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

int time_parse_rfc3339(const char *text, int64_t *ret_wall_ns, struct error *err)
{
	struct str s = str_of(text);
	int64_t year, month, day, h, m, sec, frac, zone, t;

	/* Go's zero time lies outside of 64-bit nanoseconds; 0 stands for it. */
	if (strcmp(text, TIME_ZERO_TEXT) == 0) {
		*ret_wall_ns = 0;
		return 0;
	}
	if (!take_digits(&s, 4, 9999, '-', &year) || !take_digits(&s, 2, 12, '-', &month) ||
	    !take_digits(&s, 2, 31, 'T', &day) || !take_digits(&s, 2, 23, ':', &h) ||
	    !take_digits(&s, 2, 59, ':', &m) || !take_digits(&s, 2, 59, '\0', &sec) ||
	    !take_fraction(&s, &frac) || !take_zone(&s, &zone) || month == 0 || day == 0 ||
	    day > days_in_month(year, month))
		return error_set(err, ERR_INVALID, "'%s' is not an RFC 3339 time", text);
	t = days_from_date(year, month, day) * 86400 + h * 3600 + m * 60 + sec - zone;
	if (__builtin_mul_overflow(t, NS_PER_SEC, &t) || __builtin_add_overflow(t, frac, &t))
		return error_set(err, ERR_INVALID, "time '%s' is out of range", text);
	*ret_wall_ns = t;
	return 0;
}

/* "1795412663" or "1795412663.459" */
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
