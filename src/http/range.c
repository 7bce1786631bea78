#include "http/range.h"

#include "base/str.h"

/* Digits of any length: what no file can have is as far as it gets. */
static int parse_offset(struct str s, uint64_t *ret)
{
	if (parse_u64(s, INT64_MAX, ret, NULL) == 0)
		return 0;
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < '0' || s.at[i] > '9')
			return -ERR_INVALID;
	*ret = INT64_MAX;
	return s.len > 0 ? 0 : -ERR_INVALID;
}

int http_range_parse(const char *value, uint64_t size, bool *ret_partial, struct http_range *ret,
		     struct error *err)
{
	struct str s = str_of(value), from, to;
	uint64_t first = 0, last = 0;
	ptrdiff_t dash;

	*ret_partial = false;
	if (!str_starts(s, "bytes="))
		return 0;
	s = str_trim(str_sub(s, 6, s.len));
	dash = str_find(s, '-');
	if (dash < 0 || str_find(s, ',') >= 0)
		return 0;
	from = str_sub(s, 0, (size_t)dash);
	to = str_sub(s, (size_t)dash + 1, s.len);
	if (from.len == 0) {
		/* The last N bytes. */
		if (parse_offset(to, &last) < 0)
			return 0;
		if (last == 0 || size == 0)
			return error_set(err, ERR_INVALID, "range '%.64s' is not satisfiable",
					 value);
		first = last < size ? size - last : 0;
		*ret = (struct http_range){ first, size - first };
		*ret_partial = true;
		return 0;
	}
	if (parse_offset(from, &first) < 0)
		return 0;
	last = INT64_MAX;
	if (to.len > 0 && parse_offset(to, &last) < 0)
		return 0;
	if (last < first || first >= size)
		return error_set(err, ERR_INVALID, "range '%.64s' is not satisfiable", value);
	if (last >= size)
		last = size - 1;
	*ret = (struct http_range){ first, last - first + 1 };
	*ret_partial = true;
	return 0;
}

int http_content_range_parse(const char *value, struct http_range *ret, int64_t *ret_total,
			     struct error *err)
{
	struct str s = str_trim(str_of(value)), range, total = { "", 0 };
	uint64_t first, last, all = 0;
	ptrdiff_t at;
	bool known;

	if (str_starts(s, "bytes "))
		s = str_trim(str_sub(s, 6, s.len));
	at = str_find(s, '/');
	range = at < 0 ? s : str_sub(s, 0, (size_t)at);
	if (at >= 0)
		total = str_sub(s, (size_t)at + 1, s.len);
	known = at >= 0 && !str_eqs(total, "*");
	at = str_find(range, '-');
	if (at < 0 || parse_u64(str_sub(range, 0, (size_t)at), INT64_MAX, &first, NULL) < 0 ||
	    parse_u64(str_sub(range, (size_t)at + 1, range.len), INT64_MAX - 1, &last, NULL) < 0 ||
	    (known && parse_u64(total, INT64_MAX, &all, NULL) < 0) || last < first ||
	    (known && last >= all))
		return error_set(err, ERR_INVALID, "malformed Content-Range '%.64s'", value);
	*ret = (struct http_range){ first, last - first + 1 };
	*ret_total = known ? (int64_t)all : -1;
	return 0;
}
