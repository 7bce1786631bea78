#include "base/jsonw.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

static void add(struct jsonw *w, const char *bytes, size_t n)
{
	if (w->status == 0)
		w->status = buf_add(w->buf, bytes, n, &w->err);
}

static void add_text(struct jsonw *w, const char *s)
{
	add(w, s, strlen(s));
}

static void misuse(struct jsonw *w, const char *what)
{
	if (w->status == 0)
		w->status = error_set(&w->err, ERR_INVALID, "JSON writer: %s", what);
}

static void new_line(struct jsonw *w)
{
	if (w->indent == 0)
		return;
	add(w, "\n", 1);
	for (unsigned i = 0; i < w->depth * w->indent; i++)
		add(w, " ", 1);
}

/* What stands between this value and the one before. */
static void before_item(struct jsonw *w)
{
	if (w->depth == 0)
		return;
	if (w->need_comma[w->depth])
		add(w, ",", 1);
	w->need_comma[w->depth] = true;
	new_line(w);
}

static void before_value(struct jsonw *w)
{
	if (w->after_key)
		w->after_key = false;
	else if (w->depth > 0 && w->closer[w->depth] == '}')
		misuse(w, "value without key");
	else
		before_item(w);
}

void jsonw_init(struct jsonw *w, struct buf *b)
{
	*w = (struct jsonw){ .buf = b };
}

static void open_level(struct jsonw *w, const char *opener, char closer)
{
	before_value(w);
	if (w->depth + 1 >= ARRAY_LEN(w->closer)) {
		misuse(w, "nested too deep");
		return;
	}
	add(w, opener, 1);
	w->depth++;
	w->need_comma[w->depth] = false;
	w->closer[w->depth] = closer;
}

void jsonw_object(struct jsonw *w)
{
	open_level(w, "{", '}');
}

void jsonw_array(struct jsonw *w)
{
	open_level(w, "[", ']');
}

void jsonw_end(struct jsonw *w)
{
	char closer = w->closer[w->depth];
	bool had_items = w->need_comma[w->depth];

	if (w->depth == 0 || w->after_key) {
		misuse(w, "end without begin");
		return;
	}
	w->depth--;
	if (had_items)
		new_line(w);
	add(w, &closer, 1);
}

/* The escape of one byte or sequence at s, or NULL when it stands for itself. */
static const char *escape(const struct jsonw *w, struct str s, size_t n, char out[static 8])
{
	unsigned char c = (unsigned char)s.at[0];

	if (n == 0)
		return "\\ufffd";
	if (n == 3 && memcmp(s.at, "\xe2\x80", 2) == 0 && ((unsigned char)s.at[2] & 0xfe) == 0xa8)
		return s.at[2] == '\xa8' ? "\\u2028" : "\\u2029";
	switch (c) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	case '\b':
		return "\\b";
	case '\f':
		return "\\f";
	default:
		break;
	}
	if (c >= ' ' && (w->no_html || (c != '<' && c != '>' && c != '&')))
		return NULL;
	snprintf(out, 8, "\\u%04x", c);
	return out;
}

static void add_quoted(struct jsonw *w, const char *s, size_t len)
{
	struct str rest = { s, len };
	const char *clean = s;
	char text[8];

	add(w, "\"", 1);
	while (rest.len > 0) {
		size_t n = utf8_sequence(rest);
		const char *e = escape(w, rest, n, text);

		if (n == 0)
			n = 1;
		if (e != NULL) {
			add(w, clean, (size_t)(rest.at - clean));
			add_text(w, e);
			clean = rest.at + n;
		}
		rest.at += n;
		rest.len -= n;
	}
	add(w, clean, (size_t)(s + len - clean));
	add(w, "\"", 1);
}

void jsonw_key(struct jsonw *w, const char *key)
{
	if (w->depth == 0 || w->closer[w->depth] != '}' || w->after_key) {
		misuse(w, "key outside of an object");
		return;
	}
	before_item(w);
	add_quoted(w, key, strlen(key));
	add(w, ": ", w->indent ? 2 : 1);
	w->after_key = true;
}

void jsonw_stringn(struct jsonw *w, const char *s, size_t n)
{
	before_value(w);
	add_quoted(w, s, n);
}

void jsonw_string(struct jsonw *w, const char *s)
{
	if (s == NULL)
		jsonw_null(w);
	else
		jsonw_stringn(w, s, strlen(s));
}

void jsonw_raw(struct jsonw *w, const char *json, size_t n)
{
	before_value(w);
	add(w, json, n);
}

void jsonw_int(struct jsonw *w, int64_t i)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%lld", (long long)i);

	jsonw_raw(w, text, (size_t)n);
}

void jsonw_uint(struct jsonw *w, uint64_t u)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)u);

	jsonw_raw(w, text, (size_t)n);
}

/* Fewest digits that read back as d: "d.ddde-07", %e with the least precision. */
static void shortest(double d, char out[static 32])
{
	for (int precision = 0; precision < DBL_DECIMAL_DIG; precision++) {
		snprintf(out, 32, "%.*e", precision, d);
		if (strtod(out, NULL) == d)
			return;
	}
}

static void add_exponent_form(struct jsonw *w, char *text)
{
	char *e = strchr(text, 'e');

	/* Go writes e-7 for C's e-07, and e+21 alike. */
	if (e[2] == '0')
		memmove(e + 2, e + 3, strlen(e + 3) + 1);
	jsonw_raw(w, text, strlen(text));
}

void jsonw_double(struct jsonw *w, double d)
{
	char text[400], zeros[] = "0000000000000000000000";
	double size = fabs(d);
	int digits, exponent;

	if (!isfinite(d)) {
		misuse(w, "not a finite number");
		return;
	}
	shortest(d, text);
	if (size != 0 && (size < 1e-6 || size >= 1e21)) {
		add_exponent_form(w, text);
		return;
	}
	digits = (int)strcspn(text, "e") - (text[0] == '-');
	digits = digits > 1 ? digits - 2 : 0; /* after the point */
	exponent = (int)strtod(strchr(text, 'e') + 1, NULL);
	if (exponent > digits) {
		/* %f would go on with the digits that the shortest form leaves out. */
		char *point = strchr(text, '.');

		text[strcspn(text, "e")] = '\0';
		if (point != NULL)
			memmove(point, point + 1, strlen(point));
		zeros[exponent - digits] = '\0';
		memcpy(text + strlen(text), zeros, (size_t)(exponent - digits) + 1);
	} else {
		snprintf(text, sizeof(text), "%.*f", digits - exponent, d);
	}
	jsonw_raw(w, text, strlen(text));
}

void jsonw_bool(struct jsonw *w, bool b)
{
	jsonw_raw(w, b ? "true" : "false", b ? 4 : 5);
}

void jsonw_null(struct jsonw *w)
{
	jsonw_raw(w, "null", 4);
}

void jsonw_value(struct jsonw *w, const struct json *j)
{
	switch (j ? j->type : JSON_NULL) {
	case JSON_STRING:
		jsonw_stringn(w, j->s, j->s_len);
		break;
	case JSON_INT:
		jsonw_int(w, j->i);
		break;
	case JSON_BOOL:
		jsonw_bool(w, j->b);
		break;
	case JSON_DOUBLE:
		if (j->u != 0)
			jsonw_uint(w, j->u);
		else
			jsonw_double(w, j->d);
		break;
	case JSON_OBJECT:
		jsonw_object(w);
		json_for_each_member (m, j)
			jsonw_kvalue(w, m->key, m->value);
		jsonw_end(w);
		break;
	case JSON_ARRAY:
		jsonw_array(w);
		json_for_each_item (v, j)
			jsonw_value(w, v);
		jsonw_end(w);
		break;
	case JSON_NULL:
		jsonw_null(w);
		break;
	}
}

int jsonw_finish(struct jsonw *w, struct error *err)
{
	if (w->depth != 0 || w->after_key)
		misuse(w, "document not closed");
	if (w->status < 0 && err != NULL)
		*err = w->err;
	return w->status;
}

void jsonw_kstring(struct jsonw *w, const char *key, const char *s)
{
	jsonw_key(w, key);
	jsonw_string(w, s);
}

void jsonw_kint(struct jsonw *w, const char *key, int64_t i)
{
	jsonw_key(w, key);
	jsonw_int(w, i);
}

void jsonw_kbool(struct jsonw *w, const char *key, bool b)
{
	jsonw_key(w, key);
	jsonw_bool(w, b);
}

void jsonw_knull(struct jsonw *w, const char *key)
{
	jsonw_key(w, key);
	jsonw_null(w);
}

void jsonw_kobject(struct jsonw *w, const char *key)
{
	jsonw_key(w, key);
	jsonw_object(w);
}

void jsonw_karray(struct jsonw *w, const char *key)
{
	jsonw_key(w, key);
	jsonw_array(w);
}

void jsonw_kvalue(struct jsonw *w, const char *key, const struct json *j)
{
	jsonw_key(w, key);
	jsonw_value(w, j);
}

void jsonw_ktime(struct jsonw *w, const char *key, int64_t wall_ns)
{
	char text[TIME_TEXT_MAX] = TIME_ZERO_TEXT;

	if (wall_ns != 0)
		time_format_rfc3339nano(wall_ns, text);
	jsonw_kstring(w, key, text);
}
