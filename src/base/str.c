#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool str_eqs(struct str a, const char *b)
{
	return str_eq(a, str_of(b));
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.at[i]) != lower(b.at[i]))
			return false;
	return true;
}

bool str_starts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.len >= n && (n == 0 || memcmp(s.at, prefix, n) == 0);
}

bool str_ends(struct str s, const char *suffix)
{
	size_t n = strlen(suffix);

	return s.len >= n && (n == 0 || memcmp(s.at + s.len - n, suffix, n) == 0);
}

ptrdiff_t str_find(struct str s, char c)
{
	const char *p = s.len ? memchr(s.at, c, s.len) : NULL;

	return p ? p - s.at : -1;
}

ptrdiff_t str_rfind(struct str s, char c)
{
	const char *p = s.len ? memrchr(s.at, c, s.len) : NULL;

	return p ? p - s.at : -1;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.len > 0 && is_blank(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

struct str str_sub(struct str s, size_t from, size_t len)
{
	if (from > s.len)
		from = s.len;
	if (len > s.len - from)
		len = s.len - from;
	return (struct str){ s.at ? s.at + from : NULL, len };
}

bool str_split(struct str *rest, char sep, struct str *ret_field)
{
	ptrdiff_t i;

	if (rest->at == NULL)
		return false;
	i = str_find(*rest, sep);
	if (i < 0) {
		*ret_field = *rest;
		*rest = (struct str){ NULL, 0 };
	} else {
		*ret_field = (struct str){ rest->at, (size_t)i };
		*rest = (struct str){ rest->at + i + 1, rest->len - (size_t)i - 1 };
	}
	return true;
}

char *str_dup(struct str s)
{
	char *p = xcalloc(1, s.len + 1);

	if (s.len > 0)
		memcpy(p, s.at, s.len);
	return p;
}

bool cstr_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool cstr_ends(const char *s, const char *suffix)
{
	return str_ends(str_of(s), suffix);
}

bool cstr_is_empty(const char *s)
{
	return s == NULL || *s == '\0';
}

char *cstr_format(const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&p, fmt, ap);
	va_end(ap);
	return n < 0 ? xcalloc(SIZE_MAX, 2) : p;
}

/* A byte >= 0x80 that may follow in a sequence whose first byte is given. */
static bool utf8_second_ok(unsigned char first, unsigned char c)
{
	switch (first) {
	case 0xe0:
		return c >= 0xa0 && c <= 0xbf;
	case 0xed:
		return c >= 0x80 && c <= 0x9f;
	case 0xf0:
		return c >= 0x90 && c <= 0xbf;
	case 0xf4:
		return c >= 0x80 && c <= 0x8f;
	default:
		return c >= 0x80 && c <= 0xbf;
	}
}

size_t utf8_sequence(struct str s)
{
	unsigned char c, n;

	if (s.len == 0)
		return 0;
	c = (unsigned char)s.at[0];
	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (s.len < n || !utf8_second_ok(c, (unsigned char)s.at[1]))
		return 0;
	for (unsigned char i = 2; i < n; i++)
		if (((unsigned char)s.at[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool utf8_valid(struct str s)
{
	while (s.len > 0) {
		size_t n = utf8_sequence(s);

		if (n == 0)
			return false;
		s.at += n;
		s.len -= n;
	}
	return true;
}

void hex_format(const void *bytes, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = bytes;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}
