/*
 * base/jsonw.h: JSON out, the bytes that Go's encoding/json would make.
 *
 * Escapes '<' '>' '&' U+2028 U+2029 as \u003c ..., control characters as
 * \n \r \t \b \f or \u00XX, invalid UTF-8 as \ufffd (Spec: Go 1.22+ encoding/json).
 * Key order is the order of the calls. Errors (the buffer's ceiling) stick:
 * check once with jsonw_finish.
 *
 *     struct jsonw w;
 *     jsonw_init(&w, &buf);
 *     jsonw_object(&w);
 *     jsonw_key(&w, "Id");  jsonw_string(&w, id);
 *     jsonw_end(&w);
 *     r = jsonw_finish(&w, err);
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"

struct jsonw {
	struct buf *buf; /* borrowed */
	int status;      /* first failure, or 0 */
	struct error err;
	unsigned depth;
	bool need_comma[72]; /* deeper than what json_parse accepts */
	char closer[72];
	bool after_key;
	unsigned indent; /* spaces a level, 0 = compact; Go's MarshalIndent layout */
	bool no_html;    /* SetEscapeHTML(false) */
};

void jsonw_init(struct jsonw *w, struct buf *b);
void jsonw_object(struct jsonw *w);
void jsonw_array(struct jsonw *w);
void jsonw_end(struct jsonw *w); /* closes the innermost */
void jsonw_key(struct jsonw *w, const char *key);
void jsonw_string(struct jsonw *w, const char *s); /* NULL writes null */
void jsonw_stringn(struct jsonw *w, const char *s, size_t n);
void jsonw_int(struct jsonw *w, int64_t i);
void jsonw_uint(struct jsonw *w, uint64_t u);
void jsonw_double(struct jsonw *w, double d); /* Go's shortest form */
void jsonw_bool(struct jsonw *w, bool b);
void jsonw_null(struct jsonw *w);
void jsonw_raw(struct jsonw *w, const char *json, size_t n); /* already JSON */
void jsonw_value(struct jsonw *w, const struct json *j);     /* a parsed document; NULL = null */
/* 0 when every level is closed and nothing failed. */
MUST_CHECK int jsonw_finish(struct jsonw *w, struct error *err);

/* key + value in one call. */
void jsonw_kstring(struct jsonw *w, const char *key, const char *s);
void jsonw_kint(struct jsonw *w, const char *key, int64_t i);
void jsonw_kbool(struct jsonw *w, const char *key, bool b);
void jsonw_knull(struct jsonw *w, const char *key);
void jsonw_kobject(struct jsonw *w, const char *key);
void jsonw_karray(struct jsonw *w, const char *key);
void jsonw_kvalue(struct jsonw *w, const char *key, const struct json *j);
void jsonw_ktime(struct jsonw *w, const char *key, int64_t wall_ns); /* 0 = Go's zero time */
