/*
 * build/text.h: a string under construction.
 *
 * Its ceiling sticks instead of failing each call: variables that double
 * themselves line by line must end as one error, not as all of the memory.
 * Check `overflow` once, when the text is done.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

#define TEXT_MAX (16U << 20) /* bytes; the largest word, line or heredoc */

struct text {
	char *at; /* may be NULL while len is 0 */
	size_t len, cap;
	bool overflow;
};

#define TEXT_INIT \
	{ \
		0 \
	}

void text_add(struct text *t, const char *bytes, size_t n);
void text_adds(struct text *t, const char *s);
void text_add_rune(struct text *t, uint32_t c);
void text_addf(struct text *t, const char *fmt, ...) PRINTF(2, 3);
/* Go's strconv.Quote of s: double quotes, escapes, invalid bytes as \xNN. */
void text_add_quoted(struct text *t, struct str s);
void text_clear(struct text *t);
/* NUL-terminated copy in the arena. */
char *text_dup(const struct text *t, struct arena *a);
void text_release(struct text *t);

/* Quoted copy of s in the arena. */
const char *text_quote(struct arena *a, const char *s);

DEFINE_AUTO(text, text_release);
