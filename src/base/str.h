/*
 * base/str.h: string views for parsing, and strict number parsing.
 *
 * A view borrows its bytes, is not NUL-terminated and may hold NUL bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

struct str {
	const char *at;
	size_t len;
};

#define STR_LIT(s) ((struct str){ (s), sizeof(s) - 1 })
#define STR_ARG(s) (int)(s).len, (s).at /* for "%.*s" */

static inline struct str str_of(const char *s)
{
	return (struct str){ s, s ? strlen(s) : 0 };
}

bool str_eq(struct str a, struct str b);
bool str_eqs(struct str a, const char *b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, const char *prefix);
bool str_ends(struct str s, const char *suffix);
/* Index of the first/last `c`, or -1. */
ptrdiff_t str_find(struct str s, char c);
ptrdiff_t str_rfind(struct str s, char c);
struct str str_trim(struct str s);                         /* blanks, tabs, CR, LF on both sides */
struct str str_sub(struct str s, size_t from, size_t len); /* clamped to s */

/* Take what stands before the first `sep` off *rest. false when *rest is
 * exhausted; a trailing separator gives one empty last field. Start with
 * rest->at != NULL. */
bool str_split(struct str *rest, char sep, struct str *ret_field);

/* Heap copy with a NUL, owned by the caller. */
char *str_dup(struct str s);

/* C-string helpers for whole, NUL-terminated texts. */
bool cstr_starts(const char *s, const char *prefix);
bool cstr_ends(const char *s, const char *suffix);
bool cstr_is_empty(const char *s); /* NULL or "" */
/* printf into a new heap string, owned by the caller. */
char *cstr_format(const char *fmt, ...) PRINTF(1, 2);

/*
 * Decimal without sign, blanks, leading '+', or overflow; at most `max`.
 * ERR_INVALID names the text. The base-8 form takes "0755" and "755".
 */
MUST_CHECK int parse_u64(struct str s, uint64_t max, uint64_t *ret, struct error *err);
MUST_CHECK int parse_octal(struct str s, uint64_t max, uint64_t *ret, struct error *err);
MUST_CHECK int parse_i64(struct str s, int64_t min, int64_t max, int64_t *ret, struct error *err);
/* Go's strconv.ParseBool: 1 t T TRUE true True, 0 f F FALSE false False. */
MUST_CHECK int parse_bool(struct str s, bool *ret, struct error *err);
/* Go's time.ParseDuration ("1h15m30.5s", "300ms", "-5s") in nanoseconds. */
MUST_CHECK int parse_duration(struct str s, int64_t *ret_ns, struct error *err);
/* docker's units.RAMInBytes ("512m", "1.5GiB", "10kb" = powers of 1024). */
MUST_CHECK int parse_size(struct str s, int64_t *ret_bytes, struct error *err);

/* True when the bytes are well-formed UTF-8 (no surrogates, no overlong). */
bool utf8_valid(struct str s);
/* Bytes of the well-formed UTF-8 sequence at the start of s, 0 when there is none. */
size_t utf8_sequence(struct str s);
/* 2*n lower-case digits and a NUL into out. */
void hex_format(const void *bytes, size_t n, char *out);
