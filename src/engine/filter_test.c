/* Tests of engine/filter.h and of names and times that users type. */
#include "engine/filter.h"

#include "base/clock.h"
#include "base/str.h"
#include "engine/container_internal.h"
#include "tests/tap.h"

static void test_filters(void)
{
	static const char *const known[] = { "label", "name", NULL };
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{ "{\"label\":{\"a=1\":true}}", 0 },
		{ "{\"label\":[\"a=1\"]}", 0 },
		{ "{}", 0 },
		{ "{\"nosuch\":[\"x\"]}", -ERR_INVALID },
		{ "{\"label\":\"a\"}", -ERR_INVALID },
		{ "{\"label\":[1]}", -ERR_INVALID },
		{ "[]", -ERR_INVALID },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(arena) a = ARENA_INIT;
		auto_(filters) f = { 0 };
		const struct json *j = NULL;

		ok(json_parse(&a, cases[i].text, strlen(cases[i].text), &j, NULL) == 0, "parses");
		is_int(filters_read(j, known, &f, NULL), cases[i].want, cases[i].text);
		if (i < 2)
			is_str(filters_get(&f, "label")[0], "a=1", "both shapes give the value");
	}
}

static void test_labels(void)
{
	static const char text[] = "{\"a\":\"1\",\"b\":\"\"}";
	auto_(arena) a = ARENA_INIT;
	const struct json *j = NULL;

	ok(json_parse(&a, text, sizeof(text) - 1, &j, NULL) == 0, "parses");
	ok(filter_label_matches(j, "a") && filter_label_matches(j, "a=1") &&
	       filter_label_matches(j, "b="),
	   "a key, or key and value");
	ok(!filter_label_matches(j, "a=2") && !filter_label_matches(j, "c") &&
	       !filter_label_matches(j, "aa"),
	   "nothing else");
}

static void test_names(void)
{
	autofree char *name = container_random_name(0);

	ok(container_name_is_valid(name), "a random name is a valid one");
	ok(container_name_is_valid("a1") && container_name_is_valid("A_b.c-d"), "docker's names");
	ok(!container_name_is_valid("a") && !container_name_is_valid("-a") &&
	       !container_name_is_valid("a/b") && !container_name_is_valid(""),
	   "and what they are not");
}

static void test_signals(void)
{
	int sig = 0;

	ok(signal_parse("KILL", &sig, NULL) == 0 && sig == 9, "KILL");
	ok(signal_parse("SIGterm", &sig, NULL) == 0 && sig == 15, "SIGterm");
	ok(signal_parse("15", &sig, NULL) == 0 && sig == 15, "15");
	ok(signal_parse("RTMIN+3", &sig, NULL) == 0 && sig == 37, "RTMIN+3");
	ok(signal_parse("NOSUCH", &sig, NULL) == -ERR_INVALID, "NOSUCH");
	ok(signal_parse("0", &sig, NULL) == -ERR_INVALID, "0");
	ok(signal_parse("99", &sig, NULL) == -ERR_INVALID, "99");
}

int main(void)
{
	test_filters();
	test_labels();
	test_names();
	test_signals();
	return tap_done();
}
