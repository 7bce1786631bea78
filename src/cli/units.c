/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/units.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/str.h"

static const char *scaled(struct arena *a, double size, double base, int digits,
			  const char *const *units, size_t n)
{
	size_t i = 0;

	while (size >= base && i + 1 < n) {
		size /= base;
		i++;
	}
	return arena_format(a, "%.*g%s", digits, size, units[i]);
}

const char *human_size(struct arena *a, double bytes, int digits)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB" };

	return scaled(a, bytes, 1000, digits, units, ARRAY_LEN(units));
}

const char *human_bytes(struct arena *a, double bytes)
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB", "TiB",
					     "PiB", "EiB", "ZiB", "YiB" };

	return scaled(a, bytes, 1024, 4, units, ARRAY_LEN(units));
}

const char *human_duration(struct arena *a, int64_t seconds)
{
	int64_t minutes = seconds / 60, hours = (seconds + 1800) / 3600;

	if (seconds < 1)
		return "Less than a second";
	if (seconds == 1)
		return "1 second";
	if (seconds < 60)
		return arena_format(a, "%lld seconds", (long long)seconds);
	if (minutes == 1)
		return "About a minute";
	if (minutes < 60)
		return arena_format(a, "%lld minutes", (long long)minutes);
	if (hours == 1)
		return "About an hour";
	if (hours < 48)
		return arena_format(a, "%lld hours", (long long)hours);
	if (hours < 24 * 7 * 2)
		return arena_format(a, "%lld days", (long long)hours / 24);
	if (hours < 24 * 30 * 2)
		return arena_format(a, "%lld weeks", (long long)hours / 24 / 7);
	if (hours < 24 * 365 * 2)
		return arena_format(a, "%lld months", (long long)hours / 24 / 30);
	return arena_format(a, "%lld years", (long long)seconds / 3600 / 24 / 365);
}

const char *human_since(struct arena *a, int64_t unix_seconds)
{
	int64_t now = clock_wall_ns() / NS_PER_SEC;

	return arena_format(a, "%s ago", human_duration(a, now - unix_seconds));
}

const char *go_time(struct arena *a, int64_t unix_seconds, int64_t ns)
{
	time_t t = (time_t)unix_seconds;
	char day[40], zone[40], fraction[16] = "";
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z %Z", &tm);
	if (ns > 0) {
		int n = snprintf(fraction, sizeof(fraction), ".%09lld", (long long)ns);

		while (n > 1 && fraction[n - 1] == '0')
			fraction[--n] = 0;
	}
	return arena_format(a, "%s%s %s", day, fraction, zone);
}

const char *ellipsis(struct arena *a, const char *s, size_t max)
{
	size_t runes = 0, cut = 0;

	for (size_t i = 0; s[i]; i++) {
		if ((s[i] & 0xc0) == 0x80)
			continue;
		if (++runes == max)
			cut = i;
	}
	if (runes <= max)
		return s;
	return arena_format(a, "%.*s…", (int)cut, s);
}

const char *short_id(struct arena *a, const char *id)
{
	const char *colon = strchr(id, ':');

	if (colon)
		id = colon + 1;
	return strlen(id) > 12 ? arena_strndup(a, id, 12) : id;
}

static bool is_seconds(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n > 0 && (!s[n] || (s[n] == '.' && !s[n + 1 + strspn(s + n + 1, "0123456789")]));
}

/* "2006-01-02", "2006-01-02T15", "...:04", "...:05[.9]", with or without a zone. */
static bool parse_calendar(struct arena *a, const char *s, int64_t *ret_ns)
{
	static const char full[] = "0000-00-00T00:00:00";
	size_t n = strspn(s, "0123456789-"), zone;
	const char *text, *rest;
	time_t t;
	struct tm tm;

	if (n < 10 || (s[10] && s[10] != 'T'))
		return false;
	zone = strcspn(s + 10, "Z+-") + 10;
	rest = s + zone;
	if (zone > strlen(full))
		text = arena_strndup(a, s, zone);
	else
		text = arena_format(a, "%.*s%s", (int)zone, s, full + zone);
	if (*rest)
		return time_parse_rfc3339(arena_format(a, "%s%s", text, rest), ret_ns, NULL) == 0;
	if (time_parse_rfc3339(arena_format(a, "%sZ", text), ret_ns, NULL) < 0)
		return false;
	/* Without a zone the local one is meant. */
	t = (time_t)(*ret_ns / NS_PER_SEC);
	localtime_r(&t, &tm);
	*ret_ns -= tm.tm_gmtoff * NS_PER_SEC;
	return true;
}

int moment_parse(struct arena *a, const char *text, const char **ret, struct error *err)
{
	int64_t ns = 0;

	if (is_seconds(text)) {
		*ret = text;
		return 0;
	}
	if (parse_duration(str_of(text), &ns, NULL) == 0)
		ns = clock_wall_ns() - ns;
	else if (!parse_calendar(a, text, &ns))
		return error_set(err, ERR_INVALID,
				 "failed to parse value as time or duration: \"%s\"", text);
	*ret = arena_format(a, "%lld.%09lld", (long long)(ns / NS_PER_SEC),
			    (long long)(ns % NS_PER_SEC));
	return 0;
}
