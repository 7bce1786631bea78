#include "build/text.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "build/rune.h"

void text_add(struct text *t, const char *bytes, size_t n)
{
	if (t->overflow || n > TEXT_MAX - t->len) {
		t->overflow = true;
		return;
	}
	if (t->len + n + 1 > t->cap) {
		t->cap = (t->len + n + 1) * 2;
		t->at = xrealloc(t->at, t->cap);
	}
	if (n > 0)
		memcpy(t->at + t->len, bytes, n);
	t->len += n;
	t->at[t->len] = '\0';
}

void text_adds(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_add_rune(struct text *t, uint32_t c)
{
	char bytes[4];

	text_add(t, bytes, rune_encode(c, bytes));
}

void text_addf(struct text *t, const char *fmt, ...)
{
	autofree char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		s = xcalloc(SIZE_MAX, 2); /* does not return */
	text_add(t, s, (size_t)n);
}

static bool is_printable(uint32_t c)
{
	if (c < 0x7F)
		return c >= ' ';
	return c > 0xA0 && c != 0xAD && !rune_is_space(c) && !(c >= 0x200B && c <= 0x200F) &&
	       !(c >= 0x2028 && c <= 0x202E) && !(c >= 0xE000 && c <= 0xF8FF) && c != 0xFEFF;
}

static void add_escaped(struct text *t, uint32_t c)
{
	static const char from[] = "\a\b\f\n\r\t\v\"\\", to[] = "abfnrtv\"\\";
	const char *p = c != 0 && c < 0x80 ? memchr(from, (int)c, sizeof(from) - 1) : NULL;

	if (p != NULL)
		text_addf(t, "\\%c", to[p - from]);
	else if (is_printable(c))
		text_add_rune(t, c);
	else if (c < ' ' || c == 0x7F)
		text_addf(t, "\\x%02x", (unsigned)c);
	else if (c < 0x10000)
		text_addf(t, "\\u%04x", (unsigned)c);
	else
		text_addf(t, "\\U%08x", (unsigned)c);
}

void text_add_quoted(struct text *t, struct str s)
{
	size_t width;

	text_adds(t, "\"");
	while (s.len > 0) {
		uint32_t c = rune_decode(s, &width);

		if (c == RUNE_BAD && width == 1)
			text_addf(t, "\\x%02x", (unsigned)(unsigned char)s.at[0]);
		else
			add_escaped(t, c);
		s = str_sub(s, width, s.len);
	}
	text_adds(t, "\"");
}

void text_clear(struct text *t)
{
	t->len = 0;
	if (t->at != NULL)
		t->at[0] = '\0';
}

char *text_dup(const struct text *t, struct arena *a)
{
	return arena_strndup(a, t->at ? t->at : "", t->len);
}

void text_release(struct text *t)
{
	free(t->at);
	*t = (struct text)TEXT_INIT;
}

const char *text_quote(struct arena *a, const char *s)
{
	auto_(text) t = TEXT_INIT;

	text_add_quoted(&t, str_of(s));
	return text_dup(&t, a);
}
