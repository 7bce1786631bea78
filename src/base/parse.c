/* base/parse.c: the strict number, duration and size readers of str.h. */
#include <math.h>
#include <stdlib.h>

#include "base/str.h"

static int parse_base(struct str s, unsigned base, uint64_t max, uint64_t *ret, struct error *err)
{
	uint64_t v = 0;

	if (s.len == 0)
		return error_set(err, ERR_INVALID, "number is empty");
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(s.at[i] - '0');

		if (s.at[i] < '0' || digit >= base)
			return error_set(err, ERR_INVALID, "'%.*s' is not a number", STR_ARG(s));
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit, &v) || v > max)
			return error_set(err, ERR_INVALID, "'%.*s' is more than %llu", STR_ARG(s),
					 (unsigned long long)max);
	}
	*ret = v;
	return 0;
}

int parse_u64(struct str s, uint64_t max, uint64_t *ret, struct error *err)
{
	return parse_base(s, 10, max, ret, err);
}

int parse_octal(struct str s, uint64_t max, uint64_t *ret, struct error *err)
{
	return parse_base(s, 8, max, ret, err);
}

int parse_i64(struct str s, int64_t min, int64_t max, int64_t *ret, struct error *err)
{
	bool minus = s.len > 0 && s.at[0] == '-';
	struct str digits = minus ? str_sub(s, 1, s.len) : s;
	uint64_t u = 0;
	int64_t v;
	int r;

	r = parse_u64(digits, minus ? (uint64_t)INT64_MAX + 1 : INT64_MAX, &u, err);
	if (r < 0)
		return r;
	v = minus ? (int64_t)(0 - u) : (int64_t)u;
	if (v < min || v > max)
		return error_set(err, ERR_INVALID, "'%.*s' is not in %lld..%lld", STR_ARG(s),
				 (long long)min, (long long)max);
	*ret = v;
	return 0;
}

int parse_bool(struct str s, bool *ret, struct error *err)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (str_eqs(s, yes[i]) || str_eqs(s, no[i])) {
			*ret = str_eqs(s, yes[i]);
			return 0;
		}
	}
	return error_set(err, ERR_INVALID, "strconv.ParseBool: parsing \"%.*s\": invalid syntax",
			 STR_ARG(s));
}

static const struct duration_unit {
	const char *name;
	uint64_t ns;
} duration_units[] = {
	{ "ns", 1 },       { "us", 1000 },      { "\xc2\xb5s", 1000 },   { "\xce\xbcs", 1000 },
	{ "ms", 1000000 }, { "s", 1000000000 }, { "m", 60000000000ULL }, { "h", 3600000000000ULL },
};

static const struct duration_unit *find_unit(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(duration_units); i++)
		if (str_eqs(name, duration_units[i].name))
			return &duration_units[i];
	return NULL;
}

static size_t digits_at(struct str s)
{
	size_t n = 0;

	while (n < s.len && s.at[n] >= '0' && s.at[n] <= '9')
		n++;
	return n;
}

static int bad_duration(struct str whole, struct error *err)
{
	return error_set(err, ERR_INVALID, "time: invalid duration \"%.*s\"", STR_ARG(whole));
}

/* One "<number><unit>" off the front of *rest. */
static int duration_part(struct str whole, struct str *rest, uint64_t *ret_ns, struct error *err)
{
	size_t n_int = digits_at(*rest), n_frac = 0, n_unit = 0;
	const struct duration_unit *unit;
	uint64_t v = 0, frac = 0;
	double scale = 1;
	struct str s = *rest;

	if (n_int > 0 && parse_u64(str_sub(s, 0, n_int), (uint64_t)INT64_MAX + 1, &v, NULL) < 0)
		return bad_duration(whole, err);
	s = str_sub(s, n_int, s.len);
	if (s.len > 0 && s.at[0] == '.') {
		s = str_sub(s, 1, s.len);
		n_frac = digits_at(s);
		for (size_t i = 0; i < n_frac && frac < INT64_MAX / 10 - 9; i++) {
			frac = frac * 10 + (uint64_t)(s.at[i] - '0');
			scale *= 10;
		}
		s = str_sub(s, n_frac, s.len);
	}
	if (n_int + n_frac == 0)
		return bad_duration(whole, err);
	while (n_unit < s.len && s.at[n_unit] != '.' && (s.at[n_unit] < '0' || s.at[n_unit] > '9'))
		n_unit++;
	if (n_unit == 0)
		return error_set(err, ERR_INVALID, "time: missing unit in duration \"%.*s\"",
				 STR_ARG(whole));
	unit = find_unit(str_sub(s, 0, n_unit));
	if (unit == NULL)
		return error_set(err, ERR_INVALID,
				 "time: unknown unit \"%.*s\" in duration \"%.*s\"", (int)n_unit,
				 s.at, STR_ARG(whole));
	if (__builtin_mul_overflow(v, unit->ns, &v) || v > (uint64_t)INT64_MAX + 1)
		return bad_duration(whole, err);
	v += (uint64_t)((double)frac * ((double)unit->ns / scale));
	*rest = str_sub(s, n_unit, s.len);
	*ret_ns = v;
	return 0;
}

int parse_duration(struct str s, int64_t *ret_ns, struct error *err)
{
	const uint64_t limit = (uint64_t)INT64_MAX + 1;
	struct str rest = s;
	uint64_t sum = 0, part = 0;
	bool minus = false;
	int r;

	if (rest.len > 0 && (rest.at[0] == '-' || rest.at[0] == '+')) {
		minus = rest.at[0] == '-';
		rest = str_sub(rest, 1, rest.len);
	}
	if (str_eqs(rest, "0")) {
		*ret_ns = 0;
		return 0;
	}
	if (rest.len == 0)
		return bad_duration(s, err);
	while (rest.len > 0) {
		r = duration_part(s, &rest, &part, err);
		if (r < 0)
			return r;
		sum += part;
		if (part > limit || sum > limit)
			return bad_duration(s, err);
	}
	if (!minus && sum > INT64_MAX)
		return bad_duration(s, err);
	*ret_ns = minus ? (int64_t)(0 - sum) : (int64_t)sum;
	return 0;
}

/* A decimal number with optional sign, fraction and exponent. */
static int parse_decimal(struct str s, double *ret, struct error *err)
{
	char text[64], *end;
	double d;

	if (s.len == 0 || s.len >= sizeof(text))
		goto bad;
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '\0' || strchr("0123456789.eE+-", s.at[i]) == NULL)
			goto bad;
		text[i] = s.at[i];
	}
	text[s.len] = '\0';
	d = strtod(text, &end);
	if (end != text + s.len)
		goto bad;
	*ret = d;
	return 0;
bad:
	return error_set(err, ERR_INVALID, "strconv.ParseFloat: parsing \"%.*s\": invalid syntax",
			 STR_ARG(s));
}

/* The power of 1024 of a suffix in docker's spelling, -1 when it is none. */
static int size_power(struct str suffix)
{
	static const char letters[] = "bkmgtp";
	char low[4] = "";
	const char *p;

	if (suffix.len == 0)
		return 0;
	if (suffix.len > 3)
		return -1;
	for (size_t i = 0; i < suffix.len; i++)
		low[i] = (char)(suffix.at[i] | 0x20);
	p = low[0] ? strchr(letters, low[0]) : NULL;
	if (p == NULL || (p == letters && suffix.len > 1) || (suffix.len == 2 && low[1] != 'b') ||
	    (suffix.len == 3 && (low[1] != 'i' || low[2] != 'b')))
		return -1;
	return (int)(p - letters);
}

int parse_size(struct str s, int64_t *ret_bytes, struct error *err)
{
	struct str num, suffix;
	size_t n = s.len;
	double v = 0;
	int power, r;

	while (n > 0 && (s.at[n - 1] == '\0' || strchr("0123456789. ", s.at[n - 1]) == NULL))
		n--;
	if (n == 0)
		return error_set(err, ERR_INVALID, "invalid size: '%.*s'", STR_ARG(s));
	suffix = str_sub(s, n, s.len);
	num = str_sub(s, 0, s.at[n - 1] == ' ' ? n - 1 : n);
	r = parse_decimal(num, &v, err);
	if (r < 0)
		return r;
	if (!(v >= 0))
		return error_set(err, ERR_INVALID, "invalid size: '%.*s'", STR_ARG(s));
	power = size_power(suffix);
	if (power < 0)
		return error_set(err, ERR_INVALID, "invalid suffix: '%.*s'", STR_ARG(suffix));
	v = ldexp(v, 10 * power);
	if (!(v < 9223372036854775808.0))
		return error_set(err, ERR_INVALID, "invalid size: '%.*s'", STR_ARG(s));
	*ret_bytes = (int64_t)v;
	return 0;
}
