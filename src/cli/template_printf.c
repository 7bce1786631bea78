/* SPDX-License-Identifier: Apache-2.0 */
/* fmt.Sprintf and strconv.Quote over template values. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/template_internal.h"

enum { TEXT_MAX = 64 << 20, WIDTH_MAX = 4096 };

struct spec {
	bool minus, plus, sharp, zero, blank;
	int width, precision; /* -1: none */
	char verb;
};

static void add(struct buf *b, const char *s, size_t n)
{
	if (buf_add(b, s, n, NULL) < 0)
		return;
}

const char *go_quote(struct arena *a, const char *s)
{
	static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
	auto_(buf) b = BUF_INIT(TEXT_MAX);

	add(&b, "\"", 1);
	for (; *s; s++) {
		const char *at = strchr(from, *s);
		char hex[8];

		if (at) {
			add(&b, "\\", 1);
			add(&b, &to[at - from], 1);
		} else if ((unsigned char)*s < 0x20 || *s == 0x7f) {
			snprintf(hex, sizeof(hex), "\\x%02x", (unsigned char)*s);
			add(&b, hex, 4);
		} else {
			add(&b, s, 1);
		}
	}
	add(&b, "\"", 1);
	return arena_strdup(a, b.data);
}

static size_t rune_count(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static void add_padded(struct buf *b, const struct spec *f, const char *s)
{
	size_t len = rune_count(s),
	       pad = f->width > 0 && (size_t)f->width > len ? f->width - len : 0;

	for (; pad && !f->minus; pad--)
		add(b, f->zero ? "0" : " ", 1);
	add(b, s, strlen(s));
	for (; pad; pad--)
		add(b, " ", 1);
}

static const char *hex_text(struct arena *a, const char *s, bool upper)
{
	char *out = arena_alloc(a, strlen(s) * 2 + 1);

	for (size_t i = 0; s[i]; i++)
		snprintf(out + 2 * i, 3, upper ? "%02X" : "%02x", (unsigned char)s[i]);
	return out;
}

static const char *integer_text(struct arena *a, const struct spec *f, int64_t i)
{
	char out[80];
	size_t n = sizeof(out);
	unsigned base = f->verb == 'b' ? 2 : f->verb == 'o' ? 8 : f->verb == 'd' ? 10 : 16;
	uint64_t u = i < 0 ? -(uint64_t)i : (uint64_t)i;
	const char *digits = f->verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";

	out[--n] = 0;
	do {
		out[--n] = digits[u % base];
		u /= base;
	} while (u && n > 8);
	while (f->zero && !f->minus && n > 2 &&
	       (int)(sizeof(out) - 1 - n) < f->width - (i < 0 || f->plus))
		out[--n] = '0';
	if (f->sharp && base == 16) {
		out[--n] = f->verb;
		out[--n] = '0';
	}
	if (i < 0 || f->plus)
		out[--n] = i < 0 ? '-' : '+';
	else if (f->blank)
		out[--n] = ' ';
	return arena_strdup(a, out + n);
}

static const char *float_text(struct arena *a, const struct spec *f, double d)
{
	char out[400], format[16];

	if (f->precision < 0 && f->verb == 'g') {
		float_format(d, out);
		return arena_strdup(a, out);
	}
	snprintf(format, sizeof(format), "%%%s%s*.*%c", f->plus ? "+" : "",
		 f->zero && !f->minus ? "0" : "", f->verb);
	/* The format is one of a few, built just above from checked letters. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(out, sizeof(out), format, f->zero && !f->minus && f->width < 300 ? f->width : 0,
		 f->precision < 0    ? 6
		 : f->precision > 60 ? 60
				     : f->precision,
		 d);
#pragma GCC diagnostic pop
	return arena_strdup(a, out);
}

static void value_add(struct buf *b, struct arena *a, struct spec f, const struct value *v)
{
	bool text = v->kind == VALUE_STRING, number = v->kind == VALUE_INT;
	const char *s = NULL;

	if (f.verb == 'v') {
		s = value_text(a, v);
		if (f.sharp && text)
			s = go_quote(a, s);
	} else if (text && (f.verb == 's' || f.verb == 'q')) {
		s = v->s;
		if (f.precision >= 0 && rune_count(s) > (size_t)f.precision) {
			size_t n = 0;

			for (int left = f.precision; left > 0; left--)
				for (n++; (s[n] & 0xc0) == 0x80; n++)
					;
			s = arena_strndup(a, s, n);
		}
		if (f.verb == 'q')
			s = go_quote(a, s);
	} else if (v->kind == VALUE_JSON && f.verb == 's') {
		s = value_text(a, v);
	} else if (v->kind == VALUE_JSON && f.verb == 'q' && v->json->type == JSON_ARRAY) {
		add(b, "[", 1);
		for (size_t i = 0; i < v->json->n_items; i++) {
			struct value item = value_of_json(v->json->items[i], NULL);

			if (i)
				add(b, " ", 1);
			value_add(b, a, f, &item);
		}
		add(b, "]", 1);
		return;
	} else if (text && (f.verb == 'x' || f.verb == 'X')) {
		s = hex_text(a, v->s, f.verb == 'X');
	} else if (number && strchr("dboxX", f.verb)) {
		s = integer_text(a, &f, v->i);
		f.zero = false;
	} else if (number && f.verb == 'c') {
		char one[2] = { (char)v->i, 0 };

		s = arena_strdup(a, one);
	} else if (number && f.verb == 'U') {
		s = arena_format(a, "U+%04llX", (unsigned long long)v->i);
	} else if (f.verb == 'T') {
		s = value_type(v);
	} else if (v->kind == VALUE_FLOAT && strchr("feEgG", f.verb)) {
		s = float_text(a, &f, v->d);
		f.zero = false;
	} else if (v->kind == VALUE_BOOL && f.verb == 't') {
		s = v->b ? "true" : "false";
	} else if (v->kind == VALUE_NIL || v->kind == VALUE_NOTHING) {
		s = arena_format(a, "%%!%c(<nil>)", f.verb);
	} else {
		s = arena_format(a, "%%!%c(%s=%s)", f.verb, value_type(v), value_text(a, v));
	}
	add_padded(b, &f, s);
}

static const char *spec_parse(const char *p, struct spec *ret)
{
	struct spec f = { .precision = -1 };

	for (;; p++) {
		if (*p == '-')
			f.minus = true;
		else if (*p == '+')
			f.plus = true;
		else if (*p == '#')
			f.sharp = true;
		else if (*p == '0')
			f.zero = true;
		else if (*p == ' ')
			f.blank = true;
		else
			break;
	}
	for (; isdigit((unsigned char)*p); p++)
		f.width = f.width < WIDTH_MAX ? f.width * 10 + (*p - '0') : WIDTH_MAX;
	if (*p == '.') {
		f.precision = 0;
		for (p++; isdigit((unsigned char)*p); p++)
			f.precision =
			    f.precision < WIDTH_MAX ? f.precision * 10 + (*p - '0') : WIDTH_MAX;
	}
	f.verb = *p;
	*ret = f;
	return *p ? p + 1 : p;
}

const char *go_sprintf(struct arena *a, const char *format, const struct value *args, size_t n)
{
	auto_(buf) b = BUF_INIT(TEXT_MAX);
	size_t used = 0;

	for (const char *p = format; *p;) {
		size_t plain = strcspn(p, "%");
		struct spec f;

		add(&b, p, plain);
		p += plain;
		if (!*p)
			break;
		p = spec_parse(p + 1, &f);
		if (!f.verb) {
			add(&b, "%!(NOVERB)", 10);
		} else if (f.verb == '%') {
			add(&b, "%", 1);
		} else if (used >= n) {
			const char *s = arena_format(a, "%%!%c(MISSING)", f.verb);

			add(&b, s, strlen(s));
		} else {
			value_add(&b, a, f, &args[used++]);
		}
	}
	for (size_t i = used; i < n; i++) {
		const char *s = arena_format(a, "%s%s=%s", i == used ? "%!(EXTRA " : ", ",
					     value_type(&args[i]), value_text(a, &args[i]));

		add(&b, s, strlen(s));
		if (i + 1 == n)
			add(&b, ")", 1);
	}
	return arena_strdup(a, b.data ? b.data : "");
}
