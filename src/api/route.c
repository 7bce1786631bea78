/* Matching of paths against patterns; apart, so that its test needs no engine. */
#include <string.h>

#include "api/call.h"
#include "base/str.h"

static struct str next_segment(struct str *s)
{
	struct str segment;
	ptrdiff_t slash;

	s->at++;
	s->len--;
	slash = str_find(*s, '/');
	segment = slash < 0 ? *s : str_sub(*s, 0, (size_t)slash);
	s->at += segment.len;
	s->len -= segment.len;
	return segment;
}

static bool match_from(struct str pattern, struct str path, struct arena *a, const char **args,
		       size_t n_args)
{
	while (pattern.len > 0 && path.len > 0) {
		struct str want = next_segment(&pattern);
		struct str got = next_segment(&path);

		if (str_eqs(want, "**") && n_args < API_ARGS_MAX) {
			/* Greedy: the longest that lets the rest match. */
			const char *end = path.at + path.len;

			for (const char *p = end; p >= got.at + got.len; p--) {
				if (p != end && *p != '/')
					continue;
				if (!match_from(pattern, (struct str){ p, (size_t)(end - p) }, a,
						args, n_args + 1))
					continue;
				args[n_args] = arena_strndup(a, got.at, (size_t)(p - got.at));
				return args[n_args][0] != 0;
			}
			return false;
		}
		if (str_eqs(want, "*")) {
			if (got.len == 0 || n_args == API_ARGS_MAX)
				return false;
			args[n_args++] = arena_strndup(a, got.at, got.len);
		} else if (!str_eq(want, got)) {
			return false;
		}
	}
	return pattern.len == 0 && path.len == 0;
}

bool route_match(const char *pattern, const char *path, struct arena *a,
		 const char *args[API_ARGS_MAX])
{
	if (path[0] != '/')
		return false;
	return match_from(str_of(pattern), str_of(path), a, args, 0);
}
