#include "http/url.h"

#include <string.h>
#include <strings.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int http_decode(struct arena *a, struct str s, bool plus_is_blank, const char **ret,
		struct error *err)
{
	char *out = arena_alloc(a, s.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if (c == '%') {
			bool whole = s.len - i > 2;
			int hi = whole ? hex_value(s.at[i + 1]) : -1;
			int lo = whole ? hex_value(s.at[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return error_set(err, ERR_INVALID, "invalid URL escape '%.*s'",
						 (int)(s.len - i < 3 ? s.len - i : 3), s.at + i);
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c == '+' && plus_is_blank) {
			c = ' ';
		}
		if (c == 0)
			return error_set(err, ERR_INVALID, "NUL in URL");
		out[n++] = c;
	}
	out[n] = 0;
	*ret = out;
	return 0;
}

int http_query_parse(struct arena *a, struct str text, struct http_query *ret, struct error *err)
{
	struct http_query q = { 0 };
	struct str rest = text, field;
	size_t n = 1, i = 0;
	int r;

	for (size_t k = 0; k < text.len; k++)
		n += text.at[k] == '&';
	if (n > HTTP_QUERY_MAX)
		return error_set(err, ERR_INVALID, "more than %d query parameters", HTTP_QUERY_MAX);
	q.at = arena_array(a, n, sizeof(q.at[0]));
	while (text.len > 0 && i < n && str_split(&rest, '&', &field)) {
		ptrdiff_t eq = str_find(field, '=');
		struct str key = eq < 0 ? field : str_sub(field, 0, (size_t)eq);
		struct str value = eq < 0 ? STR_LIT("") : str_sub(field, (size_t)eq + 1, field.len);

		if (field.len == 0)
			continue;
		r = http_decode(a, key, true, &q.at[i].key, err);
		if (r < 0)
			return r;
		r = http_decode(a, value, true, &q.at[i].value, err);
		if (r < 0)
			return r;
		i++;
	}
	q.len = i;
	*ret = q;
	return 0;
}

int http_target_parse(struct arena *a, const char *target, const char **ret_path,
		      struct http_query *ret_query, struct error *err)
{
	struct str s = str_of(target);
	struct str query = STR_LIT("");
	struct http_query q;
	const char *path;
	ptrdiff_t at;
	int r;

	at = str_find(s, '#');
	if (at >= 0)
		s.len = (size_t)at;
	at = str_find(s, '?');
	if (at >= 0) {
		query = str_sub(s, (size_t)at + 1, s.len);
		s.len = (size_t)at;
	}
	if (str_starts(s, "http://") || str_starts(s, "https://")) {
		const char *host = memchr(s.at, ':', s.len);
		struct str rest = str_sub(s, (size_t)(host - s.at) + 3, s.len);

		at = str_find(rest, '/');
		s = at < 0 ? STR_LIT("/") : str_sub(rest, (size_t)at, rest.len);
	}
	if (!str_eqs(s, "*") && (s.len == 0 || s.at[0] != '/'))
		return error_set(err, ERR_INVALID, "malformed request target");
	r = http_decode(a, s, false, &path, err);
	if (r < 0)
		return r;
	r = http_query_parse(a, query, &q, err);
	if (r < 0)
		return r;
	*ret_path = path;
	*ret_query = q;
	return 0;
}

const char *http_query_nth(const struct http_query *q, const char *key, size_t i)
{
	for (size_t k = 0; k < q->len; k++)
		if (strcmp(q->at[k].key, key) == 0 && i-- == 0)
			return q->at[k].value;
	return NULL;
}

const char *http_query_get(const struct http_query *q, const char *key)
{
	return http_query_nth(q, key, 0);
}

bool http_query_bool(const struct http_query *q, const char *key, bool def)
{
	static const char *const falses[] = { "", "0", "no", "false", "none" };
	const char *value = http_query_get(q, key);
	struct str s;

	if (value == NULL)
		return def;
	s = str_trim(str_of(value));
	for (size_t i = 0; i < ARRAY_LEN(falses); i++)
		if (str_eq_nocase(s, str_of(falses[i])))
			return false;
	return true;
}

int http_query_int(const struct http_query *q, const char *key, int64_t def, int64_t *ret,
		   struct error *err)
{
	const char *value = http_query_get(q, key);

	if (cstr_is_empty(value)) {
		*ret = def;
		return 0;
	}
	if (parse_i64(str_of(value), INT64_MIN, INT64_MAX, ret, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid value '%.64s' for %s", value, key);
	return 0;
}

static int encode(struct buf *b, const char *s, bool keep_slash, struct error *err)
{
	static const char hex[] = "0123456789ABCDEF";
	int r;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		char esc[3] = { '%', hex[c >> 4], hex[c & 15] };
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			     (c >= 'A' && c <= 'Z') || strchr("-._~", c) != NULL ||
			     (keep_slash && (c == '/' || c == ':' || c == '@'));

		r = buf_add(b, plain ? s : esc, plain ? 1 : 3, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int http_encode_path(struct buf *b, const char *s, bool keep_slash, struct error *err)
{
	return encode(b, s, keep_slash, err);
}

int http_encode_param(struct buf *b, const char *key, const char *value, struct error *err)
{
	int r;

	if (b->len > 0 && b->data[b->len - 1] != '?') {
		r = buf_add(b, "&", 1, err);
		if (r < 0)
			return r;
	}
	r = encode(b, key, false, err);
	if (r < 0)
		return r;
	r = buf_add(b, "=", 1, err);
	if (r < 0)
		return r;
	return encode(b, value, false, err);
}
