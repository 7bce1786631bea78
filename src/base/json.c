#include "base/json.h"

#include <string.h>

/* The library's enumerators have our names: give them others. */
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY  JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_NULL   JANSSON_NULL
#include <jansson.h>
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_NULL

#include "base/buf.h"
#include "base/memory.h"
#include "base/str.h"
#include "base/vec.h"

enum { DEPTH_MAX = 64 };
/* A value costs 100 bytes and more, and the text "0," 2: more than one for every 16 bytes, beyond
 * these, is nobody's document but somebody's way to have our memory. */
enum { VALUES_FREE = 65536, BYTES_PER_VALUE = 16 };

/* What one look over the text finds before the library sees it. */
struct scan {
	const char *text;
	size_t len, at;
	size_t line, line_start;
	size_t n_values; /* no fewer than there are */
	struct buf copy; /* the text with big integers made reals, when there are any */
	size_t copied;   /* of the text */
	VEC(uint64_t) big;
	size_t n_used; /* of big */
};

static size_t column(const struct scan *s)
{
	return s->at - s->line_start + 1;
}

static void skip_string(struct scan *s)
{
	for (s->at++; s->at < s->len && s->text[s->at] != '"'; s->at++)
		if (s->text[s->at] == '\\')
			s->at++;
}

/*
 * The library keeps integers in 64 signed bits; rlimits and seccomp arguments
 * of a runtime config go up to 2^64-1. Such a one passes it as a real and gets
 * its exact value back in convert_real; one beyond that stays a real.
 */
static int skip_number(struct scan *s, struct error *err)
{
	size_t from = s->at;
	bool minus = from > 0 && s->text[from - 1] == '-';
	uint64_t v = 0, fits = minus ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
	struct str digits;
	int r;

	while (s->at < s->len && s->text[s->at] >= '0' && s->text[s->at] <= '9')
		s->at++;
	digits = (struct str){ s->text + from, s->at - from };
	if (digits.len < 19 || (s->at < s->len && strchr(".eE", s->text[s->at]) != NULL) ||
	    (from > 0 && strchr(".eE+", s->text[from - 1]) != NULL) ||
	    (minus && from > 1 && strchr("eE", s->text[from - 2]) != NULL) ||
	    parse_u64(digits, fits, &v, NULL) == 0)
		return 0;
	if (!minus && parse_u64(digits, UINT64_MAX, &v, NULL) == 0)
		*vec_push(&s->big) = v;
	r = buf_add(&s->copy, s->text + s->copied, s->at - s->copied, err);
	s->copied = s->at;
	return r < 0 ? r : buf_add(&s->copy, ".0", 2, err);
}

static int scan_text(struct scan *s, struct error *err)
{
	unsigned depth = 0;
	int r = 0;

	for (; s->at < s->len && r == 0; s->at++) {
		char c = s->text[s->at];

		if (c == '\n') {
			s->line++;
			s->line_start = s->at + 1;
		} else if (c == '"') {
			skip_string(s);
		} else if (c == ',') {
			s->n_values++;
		} else if (c == '{' || c == '[') {
			s->n_values++;
			if (++depth > DEPTH_MAX)
				return error_set(
				    err, ERR_INVALID,
				    "nested deeper than %d levels at line %zu, column %zu",
				    DEPTH_MAX, s->line, column(s));
		} else if (c == '}' || c == ']') {
			depth -= depth > 0;
		} else if (c >= '0' && c <= '9') {
			r = skip_number(s, err);
			s->at--;
		}
	}
	if (r == 0 && s->n_values > VALUES_FREE + s->len / BYTES_PER_VALUE)
		return error_set(err, ERR_INVALID, "more than %zu values in %zu bytes",
				 VALUES_FREE + s->len / BYTES_PER_VALUE, s->len);
	if (r == 0 && s->copied > 0)
		r = buf_add(&s->copy, s->text + s->copied, s->len - s->copied, err);
	return r;
}

static struct json *convert(struct arena *a, struct scan *s, json_t *from);

/* json_push and json_set count on room up to the next power of two. */
static size_t capacity(size_t n)
{
	size_t cap = 1;

	while (cap < n)
		cap *= 2;
	return cap;
}

static void convert_array(struct arena *a, struct scan *s, json_t *from, struct json *to)
{
	to->type = JSON_ARRAY;
	to->n_items = json_array_size(from);
	to->items = arena_array(a, capacity(to->n_items), sizeof(*to->items));
	for (size_t i = 0; i < to->n_items; i++)
		to->items[i] = convert(a, s, json_array_get(from, i));
}

static void convert_object(struct arena *a, struct scan *s, json_t *from, struct json *to)
{
	struct json_member *m;

	to->type = JSON_OBJECT;
	to->n_members = json_object_size(from);
	m = to->members = arena_array(a, capacity(to->n_members), sizeof(*to->members));
	for (void *it = json_object_iter(from); it; it = json_object_iter_next(from, it)) {
		m->key = arena_strdup(a, json_object_iter_key(it));
		m->value = convert(a, s, json_object_iter_value(it));
		m++;
	}
}

static void convert_real(struct scan *s, double d, struct json *to)
{
	to->type = JSON_DOUBLE;
	to->d = d;
	if (s->n_used < s->big.len && (double)s->big.at[s->n_used] == d)
		to->u = s->big.at[s->n_used++];
}

static struct json *convert(struct arena *a, struct scan *s, json_t *from)
{
	struct json *to = arena_new(a, struct json);

	switch (json_typeof(from)) {
	case JANSSON_OBJECT:
		convert_object(a, s, from, to);
		break;
	case JANSSON_ARRAY:
		convert_array(a, s, from, to);
		break;
	case JANSSON_STRING:
		to->type = JSON_STRING;
		to->s_len = json_string_length(from);
		to->s = arena_strndup(a, json_string_value(from), to->s_len);
		break;
	case JSON_INTEGER:
		to->type = JSON_INT;
		to->i = json_integer_value(from);
		break;
	case JSON_REAL:
		convert_real(s, json_real_value(from), to);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		to->type = JSON_BOOL;
		to->b = json_typeof(from) == JSON_TRUE;
		break;
	case JANSSON_NULL:
		break;
	}
	return to;
}

static int parse_scanned(struct arena *a, struct scan *s, const struct json **ret,
			 struct error *err)
{
	bool copied = s->copied > 0;
	const char *text = copied ? s->copy.data : s->text;
	size_t len = copied ? s->copy.len : s->len;
	json_error_t why;
	json_t *doc;

	doc = json_loadb(text ? text : "", len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (doc == NULL)
		return error_set(err, ERR_INVALID, "invalid JSON: %s at line %d, column %d",
				 why.text, why.line, why.column);
	*ret = convert(a, s, doc);
	json_decref(doc);
	/* The library's small parts of a large document lie between everybody else's. */
	if (s->n_values > VALUES_FREE)
		memory_trim();
	return 0;
}

int json_parse(struct arena *a, const char *text, size_t len, const struct json **ret,
	       struct error *err)
{
	struct scan s = {
		.text = text, .len = len, .line = 1, .copy = BUF_INIT(len + len / 8 + 16)
	};
	int r;

	r = scan_text(&s, err);
	if (r == 0)
		r = parse_scanned(a, &s, ret, err);
	vec_release(&s.big);
	buf_release(&s.copy);
	return r;
}
