/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/flag_check.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "base/auto.h"
#include "base/macros.h"
#include "base/str.h"
#include "oci/reference.h"

static bool is_number(const char *s)
{
	if (*s == '-' || *s == '+')
		s++;
	if (!*s)
		return false;
	for (; *s; s++)
		if (!isdigit((unsigned char)*s))
			return false;
	return true;
}

int check_int(const char *s, int64_t *ret, struct error *err)
{
	if (!is_number(s))
		return error_set(err, ERR_INVALID,
				 "strconv.ParseInt: parsing \"%s\": invalid syntax", s);
	if (parse_i64(str_of(*s == '+' ? s + 1 : s), INT64_MIN, INT64_MAX, ret, NULL) < 0)
		return error_set(err, ERR_INVALID,
				 "strconv.ParseInt: parsing \"%s\": value out of range", s);
	return 0;
}

int check_uint(const char *s, int64_t max, int64_t *ret, struct error *err)
{
	uint64_t u;

	if (!is_number(s) || *s == '-' || *s == '+')
		return error_set(err, ERR_INVALID,
				 "strconv.ParseUint: parsing \"%s\": invalid syntax", s);
	if (parse_u64(str_of(s), (uint64_t)max, &u, NULL) < 0)
		return error_set(err, ERR_INVALID,
				 "strconv.ParseUint: parsing \"%s\": value out of range", s);
	*ret = (int64_t)u;
	return 0;
}

int check_bytes(const char *s, int64_t *ret, struct error *err)
{
	size_t n = strlen(s);

	if (parse_size(str_of(s), ret, NULL) == 0)
		return 0;
	while (n > 0 && !strchr("0123456789. ", s[n - 1]))
		n--;
	/* A number with something behind it. */
	if (n > 0 && s[n] && isdigit((unsigned char)s[0]) && strspn(s, "0123456789.") + 1 >= n)
		return error_set(err, ERR_INVALID, "invalid suffix: '%s'", s + n);
	return error_set(err, ERR_INVALID, "invalid size: '%s'", s);
}

int check_swap(const char *s, struct error *err)
{
	int64_t i;

	return strcmp(s, "-1") == 0 ? 0 : check_bytes(s, &i, err);
}

int check_duration(const char *s, int64_t *ret_ns, struct error *err)
{
	size_t n = strlen(s);

	if (parse_duration(str_of(s), ret_ns, NULL) == 0)
		return 0;
	if (n > 0 && is_number(s))
		return error_set(err, ERR_INVALID, "time: missing unit in duration \"%s\"", s);
	return error_set(err, ERR_INVALID, "time: invalid duration \"%s\"", s);
}

int check_decimal(const char *s, int64_t *ret_nano, struct error *err)
{
	int64_t whole = 0, part = 0, unit = 1000000000;
	const char *p = s;
	bool negative = *p == '-', digits = false;

	if (*p == '-' || *p == '+')
		p++;
	for (; isdigit((unsigned char)*p); p++, digits = true) {
		whole = whole * 10 + (*p - '0');
		if (whole > 1000000000)
			return error_set(err, ERR_INVALID, "value is too large");
	}
	if (*p == '.') {
		for (p++; isdigit((unsigned char)*p); p++, digits = true) {
			unit /= 10;
			if (unit == 0 && *p != '0')
				return error_set(err, ERR_INVALID, "value is too precise");
			part += (*p - '0') * unit;
		}
	}
	if (*p || !digits)
		return error_set(err, ERR_INVALID, "failed to parse %s as a rational number", s);
	*ret_nano = whole * 1000000000 + part;
	if (negative)
		*ret_nano = -*ret_nano;
	return 0;
}

int check_filter(const char *s, struct error *err)
{
	if (*s && !strchr(s, '='))
		return error_set(err, ERR_INVALID, "bad format of filter (expected name=value)");
	return 0;
}

int check_pairs(const char *s, struct error *err)
{
	struct str rest = str_of(s), pair;

	while (*s && str_split(&rest, ',', &pair))
		if (str_find(pair, '=') < 0)
			return error_set(err, ERR_INVALID, "%.*s must be formatted as key=value",
					 STR_ARG(pair));
	return 0;
}

int check_tag(const char *s, struct error *err)
{
	struct reference ref;

	return reference_parse(s, &ref, err);
}

int check_env(const char *s, struct error *err)
{
	if (!*s || *s == '=')
		return error_set(err, ERR_INVALID, "invalid environment variable: %s", s);
	return 0;
}

int check_label(const char *s, struct error *err)
{
	if (!*s || *s == '=')
		return error_set(err, ERR_INVALID, "invalid label '%s': empty name", s);
	return 0;
}

int check_attach(const char *s, struct error *err)
{
	struct str v = str_of(s);

	if (str_eq_nocase(v, STR_LIT("stdin")) || str_eq_nocase(v, STR_LIT("stdout")) ||
	    str_eq_nocase(v, STR_LIT("stderr")))
		return 0;
	return error_set(err, ERR_INVALID, "valid streams are STDIN, STDOUT and STDERR");
}

static bool is_ip(const char *s)
{
	unsigned char out[16];

	return inet_pton(AF_INET, s, out) == 1 || inet_pton(AF_INET6, s, out) == 1;
}

int check_add_host(const char *s, struct error *err)
{
	const char *eq = strchr(s, '=');
	const char *sep = eq ? eq : strchr(s, ':');
	char ip[64];
	size_t n;

	if (!sep || sep == s || !sep[1])
		return error_set(err, ERR_INVALID, "bad format for add-host: \"%s\"", s);
	if (strcmp(sep + 1, "host-gateway") == 0)
		return 0;
	n = strlen(sep + 1);
	if (n < sizeof(ip)) {
		bool bracketed = sep[1] == '[' && sep[n] == ']';

		memcpy(ip, sep + 1 + bracketed, n - 2 * bracketed);
		ip[n - 2 * bracketed] = 0;
		if (is_ip(ip))
			return 0;
	}
	return error_set(err, ERR_INVALID, "invalid IP address in add-host: \"%s\"", sep + 1);
}

int check_ip(const char *s, struct error *err)
{
	if (!is_ip(s))
		return error_set(err, ERR_INVALID, "IP address is not correctly formatted: %s", s);
	return 0;
}

int check_dns_search(const char *s, struct error *err)
{
	struct str t = str_trim(str_of(s));
	bool ok = t.len > 0 && t.len < 255;

	if (str_eqs(t, "."))
		return 0;
	for (size_t i = 0; i < t.len && ok; i++)
		ok = isalnum((unsigned char)t.at[i]) || strchr("-_.", t.at[i]);
	if (!ok)
		return error_set(err, ERR_INVALID, "%.*s is not a valid domain", STR_ARG(t));
	return 0;
}

int check_sysctl(const char *s, struct error *err)
{
	static const char *const allowed[] = {
		"kernel.msgmax=", "kernel.msgmnb=", "kernel.msgmni=", "kernel.sem=",
		"kernel.shmall=", "kernel.shmmax=", "kernel.shmmni=", "kernel.shm_rmid_forced=",
		"net.",           "fs.mqueue.",
	};

	if (strchr(s, '='))
		for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
			if (cstr_starts(s, allowed[i]))
				return 0;
	return error_set(err, ERR_INVALID, "sysctl '%s' is not allowed", s);
}

int check_link(const char *s, struct error *err)
{
	const char *first = strchr(s, ':');

	if (!*s)
		return error_set(err, ERR_INVALID, "empty string specified for links");
	if (first && strchr(first + 1, ':'))
		return error_set(err, ERR_INVALID, "bad format for links: %s", s);
	return 0;
}

static int device_split(const char *s, const char **ret_value, struct error *err)
{
	const char *colon = strchr(s, ':');

	if (!colon || colon == s || !colon[1])
		return error_set(err, ERR_INVALID, "bad format: %s", s);
	if (!cstr_starts(s, "/dev/"))
		return error_set(err, ERR_INVALID, "bad format for device path: %s", s);
	*ret_value = colon + 1;
	return 0;
}

int check_weight_device(const char *s, struct error *err)
{
	const char *value = NULL;
	uint64_t u;
	int r = device_split(s, &value, err);

	if (r < 0)
		return r;
	if (parse_u64(str_of(value), UINT16_MAX, &u, NULL) < 0 || (u > 0 && (u < 10 || u > 1000)))
		return error_set(err, ERR_INVALID, "invalid weight for device: %s", s);
	return 0;
}

int check_bps_device(const char *s, struct error *err)
{
	const char *value = NULL;
	int64_t i;
	int r = device_split(s, &value, err);

	if (r < 0)
		return r;
	if (parse_size(str_of(value), &i, NULL) < 0 || i < 0)
		return error_set(err, ERR_INVALID,
				 "invalid rate for device: %s. The correct format is "
				 "<device-path>:<number>[<unit>]. Number must be a positive "
				 "integer. Unit is optional and can be kb, mb, or gb",
				 s);
	return 0;
}

int check_iops_device(const char *s, struct error *err)
{
	const char *value = NULL;
	uint64_t u;
	int r = device_split(s, &value, err);

	if (r < 0)
		return r;
	if (parse_u64(str_of(value), INT64_MAX, &u, NULL) < 0)
		return error_set(err, ERR_INVALID,
				 "invalid rate for device: %s. The correct format is "
				 "<device-path>:<number>. Number must be a positive integer",
				 s);
	return 0;
}

/* "c 1:3 rwm", "b *:* r", "a *:* rwm" */
int check_cgroup_rule(const char *s, struct error *err)
{
	const char *p = s;
	bool ok = (*p == 'a' || *p == 'b' || *p == 'c') && p[1] == ' ';

	for (int part = 0; ok && part < 2; part++) {
		const char *start;

		p += part ? 1 : 2;
		for (start = p; isdigit((unsigned char)*p) || (*p == '*' && p == start); p++)
			;
		ok = p > start && *p == (part ? ' ' : ':');
	}
	if (ok) {
		size_t n = strspn(++p, "rwm");

		ok = n >= 1 && n <= 3 && !p[n];
	}
	if (!ok)
		return error_set(err, ERR_INVALID, "invalid device cgroup format '%s'", s);
	return 0;
}

int ulimit_parse(const char *s, struct ulimit *ret, struct error *err)
{
	static const char *const names[] = {
		"core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue", "nice",
		"nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack",
	};
	const char *eq = strchr(s, '='), *colon;
	struct ulimit u = { 0 };
	bool known = false;
	int r;

	if (!eq || eq == s || !eq[1])
		return error_set(err, ERR_INVALID, "invalid ulimit argument: %s", s);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == (size_t)(eq - s) &&
		    memcmp(names[i], s, (size_t)(eq - s)) == 0)
			known = true;
	if (!known)
		return error_set(err, ERR_INVALID, "invalid ulimit type: %.*s", (int)(eq - s), s);
	memcpy(u.name, s, (size_t)(eq - s));
	colon = strchr(eq, ':');
	if (colon && strchr(colon + 1, ':'))
		return error_set(err, ERR_INVALID,
				 "too many limit value arguments - %s, can only "
				 "have up to two, `soft[:hard]`",
				 eq + 1);
	{
		autofree char *soft = str_dup(
		    (struct str){ eq + 1, colon ? (size_t)(colon - eq - 1) : strlen(eq + 1) });

		r = check_int(soft, &u.soft, err);
	}
	u.hard = u.soft;
	if (r == 0 && colon)
		r = check_int(colon + 1, &u.hard, err);
	if (r < 0)
		return r;
	if (u.hard != -1 && (u.soft == -1 || u.soft > u.hard)) {
		if (u.soft == -1)
			return error_set(err, ERR_INVALID,
					 "ulimit soft limit must be less than or "
					 "equal to hard limit: soft: -1 (unlimited), hard: %lld",
					 (long long)u.hard);
		return error_set(err, ERR_INVALID,
				 "ulimit soft limit must be less than or equal "
				 "to hard limit: %lld > %lld",
				 (long long)u.soft, (long long)u.hard);
	}
	*ret = u;
	return 0;
}

int check_ulimit(const char *s, struct error *err)
{
	struct ulimit u;

	return ulimit_parse(s, &u, err);
}
