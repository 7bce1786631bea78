#include "http/range.h"

#include "tests/tap.h"

static const struct {
	const char *value;
	uint64_t size;
	int want;
	bool partial;
	uint64_t first, len;
} cases[] = {
	{ "bytes=0-9", 100, 0, true, 0, 10 },
	{ "bytes=90-", 100, 0, true, 90, 10 },
	{ "bytes=90-200", 100, 0, true, 90, 10 },
	{ "bytes=-5", 100, 0, true, 95, 5 },
	{ "bytes=-500", 100, 0, true, 0, 100 },
	{ "bytes=100-", 100, -ERR_INVALID, false, 0, 0 },
	{ "bytes=-0", 100, -ERR_INVALID, false, 0, 0 },
	{ "bytes=0-1,3-4", 100, 0, false, 0, 0 },
	{ "bytes=5-4", 100, -ERR_INVALID, false, 0, 0 },
	{ "lines=1-2", 100, 0, false, 0, 0 },
	{ "bytes=a-b", 100, 0, false, 0, 0 },
	{ "bytes=0-99999999999999999999", 100, 0, true, 0, 100 },
	{ "bytes=18446744073709551616-", 100, -ERR_INVALID, false, 0, 0 },
	{ "bytes=-18446744073709551616", 100, 0, true, 0, 100 },
	{ "bytes=-", 100, 0, false, 0, 0 },
	{ "bytes=+0-1", 100, 0, false, 0, 0 },
	{ "bytes=0-1-2", 100, 0, false, 0, 0 },
};

static void test_range(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_range got = { 0 };
		bool partial = false;

		is_int(http_range_parse(cases[i].value, cases[i].size, &partial, &got, NULL),
		       cases[i].want, cases[i].value);
		is_int(partial, cases[i].partial, "partial or whole");
		is_int(got.first, cases[i].first, "first byte");
		is_int(got.len, cases[i].len, "length");
	}
}

static void test_content_range(void)
{
	struct http_range got = { 0 };
	int64_t total = 0;

	is_int(http_content_range_parse("0-99", &got, &total, NULL), 0, "the upload form");
	is_int(got.len, 100, "its length");
	is_int(total, -1, "no total");
	is_int(http_content_range_parse("bytes 5-9/10", &got, &total, NULL), 0, "the full form");
	is_int(total, 10, "its total");
	is_int(http_content_range_parse("bytes 5-9/9", &got, &total, NULL), -ERR_INVALID,
	       "past the total");
	is_int(http_content_range_parse("9-5", &got, &total, NULL), -ERR_INVALID, "backwards");
	is_int(http_content_range_parse("", &got, &total, NULL), -ERR_INVALID, "nothing");
}

int main(void)
{
	test_range();
	test_content_range();
	return tap_done();
}
