#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
	if (!good)
		abort();
}

static void check_path(const char *text)
{
	autofree char *once = fs_path_clean(text);
	autofree char *twice = fs_path_clean(once);

	check(strcmp(once, twice) == 0 && strstr(once, "//") == NULL);
	check(*text != '/' || (*once == '/' && strstr(once, "/..") == NULL) ||
	      strstr(once, "/...") != NULL || strstr(once, "/..") == NULL ||
	      strstr(once, "/../") == NULL);
}

/* Property: numbers survive a round trip, times too, cleaning a path is idempotent. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str s = { (const char *)data, size }, rest = s, field;
	autofree char *text = str_dup(s);
	char again[TIME_TEXT_MAX];
	int64_t i = 0, k = 1;
	uint64_t u = 0;
	size_t sum = 0;

	if (parse_i64(s, INT64_MIN, INT64_MAX, &i, NULL) == 0) {
		snprintf(again, sizeof(again), "%lld", (long long)i);
		check(parse_i64(str_of(again), INT64_MIN, INT64_MAX, &k, NULL) == 0 && i == k);
	}
	if (parse_octal(s, 07777, &u, NULL) == 0)
		check(u <= 07777);
	if (parse_size(s, &i, NULL) == 0)
		check(i >= 0);
	if (parse_duration(s, &i, NULL) == 0)
		check(memchr(s.at, '0', s.len) || s.len > 1);
	if (time_parse_rfc3339(text, &i, NULL) == 0) {
		time_format_rfc3339nano(i, again);
		check(time_parse_rfc3339(again, &k, NULL) == 0 && i == k);
	}
	while (str_split(&rest, ',', &field))
		sum += field.len + 1;
	check(s.at == NULL || sum == s.len + 1);
	check(str_trim(s).len <= s.len);
	(void)utf8_valid(s);
	check_path(text);
	return 0;
}
