/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/units.h"

#include "tests/tap.h"

#include "base/macros.h"

static void sizes(struct arena *a)
{
	static const struct {
		double bytes;
		int digits;
		const char *want;
	} cases[] = {
		{ 0, 3, "0B" },           { 999, 3, "999B" },        { 1000, 3, "1kB" },
		{ 1982337, 3, "1.98MB" }, { 1982337, 4, "1.982MB" }, { 395e6, 4, "395MB" },
		{ 1.5e9, 4, "1.5GB" },    { 8192, 4, "8.192kB" },    { 1e18, 4, "1EB" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_str(human_size(a, cases[i].bytes, cases[i].digits), cases[i].want,
		       cases[i].want);
	is_str(human_bytes(a, 25276502016.0), "23.54GiB", "base 1024");
	is_str(human_bytes(a, 1023), "1023B", "just below one KiB");
}

static void durations(struct arena *a)
{
	static const struct {
		int64_t seconds;
		const char *want;
	} cases[] = {
		{ -5, "Less than a second" },
		{ 0, "Less than a second" },
		{ 1, "1 second" },
		{ 45, "45 seconds" },
		{ 60, "About a minute" },
		{ 119, "About a minute" },
		{ 120, "2 minutes" },
		{ 3599, "59 minutes" },
		{ 3600, "About an hour" },
		{ 7200, "2 hours" },
		{ 48 * 3600, "2 days" },
		{ 14 * 86400, "2 weeks" },
		{ 60 * 86400, "2 months" },
		{ 730 * 86400LL, "2 years" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_str(human_duration(a, cases[i].seconds), cases[i].want, cases[i].want);
}

static void texts(struct arena *a)
{
	const char *moment = NULL;
	struct error err = { 0 };

	is_str(ellipsis(a, "abcdef", 6), "abcdef", "a text that fits stays");
	is_str(ellipsis(a, "abcdefg", 6), "abcde…", "a longer one ends in an ellipsis");
	is_str(ellipsis(a, "ääääääz", 6), "äääää…", "runes count, not bytes");
	is_str(short_id(a, "sha256:0a22de56ddbf2eafc3b3"), "0a22de56ddbf", "ids are 12 digits");
	is_str(short_id(a, "abc"), "abc", "short ids stay");
	is_int(moment_parse(a, "1136073600.000000001", &moment, &err), 0, "seconds are a moment");
	is_str(moment, "1136073600.000000001", "and stay as they are");
	is_int(moment_parse(a, "2013-01-02T13:23:37Z", &moment, &err), 0, "RFC 3339 is a moment");
	is_str(moment, "1357133017.000000000", "in seconds");
	is_int(moment_parse(a, "2013-01-02T13:23:37.5+02:00", &moment, &err), 0, "with an offset");
	is_str(moment, "1357125817.500000000", "the offset counts");
	is_int(moment_parse(a, "42m", &moment, &err), 0, "a duration is a moment");
	is_int(moment_parse(a, "foo", &moment, &err), -ERR_INVALID, "foo is none");
	is_str(err.msg, "failed to parse value as time or duration: \"foo\"", "and its text");
}

int main(void)
{
	auto_(arena) a = ARENA_INIT;

	sizes(&a);
	durations(&a);
	texts(&a);
	return tap_done();
}
