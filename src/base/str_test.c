#include "base/str.h"

#include "base/auto.h"
#include "tests/tap.h"

static const struct {
	const char *text;
	int want;
	int64_t ns;
	const char *message;
} durations[] = {
	{ "0", 0, 0, NULL },
	{ "5s", 0, 5000000000, NULL },
	{ "1h15m30.918273645s", 0, 4530918273645, NULL },
	{ "-1.5h", 0, -5400000000000, NULL },
	{ "+5s", 0, 5000000000, NULL },
	{ "300ms", 0, 300000000, NULL },
	{ "12us", 0, 12000, NULL },
	{ "12\xc2\xb5s", 0, 12000, NULL },
	{ ".5s", 0, 500000000, NULL },
	{ "5.s", 0, 5000000000, NULL },
	{ "39h9m14.425s", 0, 140954425000000, NULL },
	{ "9223372036854775807ns", 0, INT64_MAX, NULL },
	{ "-9223372036854775808ns", 0, INT64_MIN, NULL },
	{ "0.3333333333333333333h", 0, 1200000000000, NULL },
	{ "", -ERR_INVALID, 0, "time: invalid duration \"\"" },
	{ "3", -ERR_INVALID, 0, "time: missing unit in duration \"3\"" },
	{ "-", -ERR_INVALID, 0, "time: invalid duration \"-\"" },
	{ "s", -ERR_INVALID, 0, "time: invalid duration \"s\"" },
	{ ".", -ERR_INVALID, 0, "time: invalid duration \".\"" },
	{ ".s", -ERR_INVALID, 0, "time: invalid duration \".s\"" },
	{ "1d", -ERR_INVALID, 0, "time: unknown unit \"d\" in duration \"1d\"" },
	{ "9223372036854775808ns", -ERR_INVALID, 0, NULL },
	{ "3000000h", -ERR_INVALID, 0, NULL },
};

static const struct {
	const char *text;
	int want;
	int64_t bytes;
	const char *message;
} sizes[] = {
	{ "32", 0, 32, NULL },
	{ "32b", 0, 32, NULL },
	{ "32B", 0, 32, NULL },
	{ "32k", 0, 32 << 10, NULL },
	{ "32KB", 0, 32 << 10, NULL },
	{ "32KiB", 0, 32 << 10, NULL },
	{ "512m", 0, 512 << 20, NULL },
	{ "1.5GiB", 0, 3 << 29, NULL },
	{ "32 mb", 0, 32 << 20, NULL },
	{ "0.5t", 0, 1LL << 39, NULL },
	{ "1p", 0, 1LL << 50, NULL },
	{ "", -ERR_INVALID, 0, "invalid size: ''" },
	{ "hello", -ERR_INVALID, 0, "invalid size: 'hello'" },
	{ "-32", -ERR_INVALID, 0, "invalid size: '-32'" },
	{ "32bb", -ERR_INVALID, 0, "invalid suffix: 'bb'" },
	{ "32kbb", -ERR_INVALID, 0, "invalid suffix: 'kbb'" },
	{ "32zb", -ERR_INVALID, 0, "invalid suffix: 'zb'" },
	{ "1.2.3", -ERR_INVALID, 0, NULL },
	{ "99999999999p", -ERR_INVALID, 0, NULL },
};

static const struct {
	const char *text;
	uint64_t max;
	int want;
	uint64_t value;
} numbers[] = {
	{ "0", 10, 0, 0 },
	{ "10", 10, 0, 10 },
	{ "11", 10, -ERR_INVALID, 0 },
	{ "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
	{ "18446744073709551616", UINT64_MAX, -ERR_INVALID, 0 },
	{ "", 10, -ERR_INVALID, 0 },
	{ "+1", 10, -ERR_INVALID, 0 },
	{ "-1", 10, -ERR_INVALID, 0 },
	{ " 1", 10, -ERR_INVALID, 0 },
	{ "1x", 10, -ERR_INVALID, 0 },
};

static const struct {
	const char *what, *text;
	bool valid;
} utf8[] = {
	{ "ASCII", "abc", true },
	{ "two bytes", "\xc3\xa9", true },
	{ "four bytes", "\xf0\x9f\x90\xb3", true },
	{ "the last code point", "\xf4\x8f\xbf\xbf", true },
	{ "beyond it", "\xf4\x90\x80\x80", false },
	{ "overlong slash", "\xc0\xaf", false },
	{ "overlong in three", "\xe0\x80\xaf", false },
	{ "surrogate", "\xed\xa0\x80", false },
	{ "lone continuation", "\x80", false },
	{ "cut sequence", "\xe2\x82", false },
};

static void test_parse(void)
{
	struct error err = { 0 };
	int64_t i = 0;
	uint64_t u = 0;
	bool b = false;

	for (size_t k = 0; k < ARRAY_LEN(durations); k++) {
		is_int(parse_duration(str_of(durations[k].text), &i, &err), durations[k].want,
		       durations[k].text);
		if (durations[k].want == 0)
			is_int(i, durations[k].ns, "nanoseconds");
		else if (durations[k].message != NULL)
			is_str(err.msg, durations[k].message, "Go's words");
	}
	for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
		is_int(parse_size(str_of(sizes[k].text), &i, &err), sizes[k].want, sizes[k].text);
		if (sizes[k].want == 0)
			is_int(i, sizes[k].bytes, "bytes");
		else if (sizes[k].message != NULL)
			is_str(err.msg, sizes[k].message, "Docker's words");
	}
	for (size_t k = 0; k < ARRAY_LEN(numbers); k++) {
		is_int(parse_u64(str_of(numbers[k].text), numbers[k].max, &u, &err),
		       numbers[k].want, numbers[k].text);
		if (numbers[k].want == 0)
			ok(u == numbers[k].value, "value");
	}
	is_int(parse_i64(str_of("-9223372036854775808"), INT64_MIN, INT64_MAX, &i, &err), 0,
	       "the least integer");
	ok(i == INT64_MIN, "is INT64_MIN");
	is_int(parse_i64(str_of("5"), -1, 4, &i, &err), -ERR_INVALID, "above the range");
	is_int(parse_octal(str_of("0755"), 07777, &u, &err), 0, "octal");
	is_int((long long)u, 0755, "with a zero in front");
	is_int(parse_octal(str_of("8"), 07777, &u, &err), -ERR_INVALID, "no octal digit");
	is_int(parse_bool(str_of("T"), &b, &err), 0, "T");
	ok(b, "is true");
	is_int(parse_bool(str_of("yes"), &b, &err), -ERR_INVALID, "yes is no boolean of Go's");
}

static void test_views(void)
{
	static const char *const fields[] = { "a", "", "b", "" };
	struct str rest = str_of("a,,b,"), f;
	autofree char *copy = str_dup(str_sub(str_of("hello"), 1, 3));
	autofree char *text = cstr_format("%s-%d", "x", 7);
	char hex[7];
	size_t n = 0;

	while (str_split(&rest, ',', &f) && n < ARRAY_LEN(fields)) {
		ok(str_eqs(f, fields[n]), "field");
		n++;
	}
	is_int((long long)n, 4, "a trailing separator gives an empty last field");
	rest = str_of("");
	ok(str_split(&rest, ',', &f) && f.len == 0 && !str_split(&rest, ',', &f),
	   "the empty text has one empty field");
	is_str(copy, "ell", "part of a view");
	is_str(text, "x-7", "format");
	ok(str_sub(str_of("abc"), 9, 9).len == 0, "a part beyond the end is empty");
	ok(str_eqs(str_trim(str_of(" \t a b\r\n")), "a b"), "trim");
	ok(str_eq_nocase(str_of("AbC"), str_of("aBc")), "ignoring case");
	ok(!str_eq(str_of("ab"), str_of("abc")), "a prefix is not equal");
	ok(str_find(str_of("a:b:c"), ':') == 1 && str_rfind(str_of("a:b:c"), ':') == 3 &&
	       str_find(str_of("abc"), ':') == -1,
	   "find from both sides");
	ok(cstr_starts("abc", "ab") && !cstr_starts("a", "ab") && cstr_ends("abc", "bc"),
	   "prefix and suffix");
	hex_format("\x00\xab\xff", 3, hex);
	is_str(hex, "00abff", "hex");
	for (size_t i = 0; i < ARRAY_LEN(utf8); i++)
		ok(utf8_valid(str_of(utf8[i].text)) == utf8[i].valid, utf8[i].what);
}

int main(void)
{
	test_parse();
	test_views();
	return tap_done();
}
