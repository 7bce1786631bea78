/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/context_ignore.h"

#include <string.h>

#include "base/fs.h"
#include "base/vec.h"

int context_ignore_parse(struct arena *a, struct str text, struct context_ignore *ret,
			 struct error *err)
{
	VEC(struct context_pattern) list = { 0 };
	struct context_ignore ig = { 0 };
	struct str rest = text, line;
	bool first = true;

	while (str_split(&rest, '\n', &line)) {
		bool include = false;
		autofree char *clean = NULL, *raw = NULL;
		const char *p;

		if (first && line.len >= 3 && memcmp(line.at, "\xef\xbb\xbf", 3) == 0)
			line = str_sub(line, 3, line.len);
		first = false;
		if (line.len && line.at[0] == '#')
			continue;
		line = str_trim(line);
		if (line.len == 0)
			continue;
		if (line.at[0] == '!') {
			include = true;
			line = str_trim(str_sub(line, 1, line.len));
			if (line.len == 0) {
				vec_release(&list);
				return error_set(err, ERR_INVALID,
						 "illegal exclusion pattern: \"!\"");
			}
		}
		raw = str_dup(line);
		clean = fs_path_clean(raw);
		for (p = clean; *p == '/'; p++)
			;
		if (!*p || strcmp(p, ".") == 0)
			continue;
		*vec_push(&list) = (struct context_pattern){ arena_strdup(a, p), include };
		ig.has_includes |= include;
	}
	ig.len = list.len;
	ig.at = arena_array(a, list.len + 1, sizeof(*ig.at));
	if (list.len)
		memcpy(ig.at, list.at, list.len * sizeof(*ig.at));
	vec_release(&list);
	*ret = ig;
	return 0;
}

/* Stars multiply: past so many steps a pattern counts as no match. */
enum { MATCH_STEPS_MAX = 100000 };

/* [a-z], [^a-z]; *p stands behind '['. false also for an unclosed class. */
static bool class_matches(const char **p, char c)
{
	const char *s = *p;
	bool negated = *s == '^', hit = false;

	if (negated)
		s++;
	for (bool first = true; *s && (*s != ']' || first); first = false) {
		char low = *s == '\\' && s[1] ? *++s : *s, high = low;

		s++;
		if (*s == '-' && s[1] && s[1] != ']') {
			high = s[1];
			s += 2;
		}
		hit |= c >= low && c <= high;
	}
	if (*s != ']')
		return false;
	*p = s + 1;
	return hit != negated;
}

/* The whole path, or a directory above it: a match may end at a '/'. */
static bool pattern_matches(const char *p, const char *s, unsigned *budget)
{
	if (*budget == 0)
		return false;
	--*budget;
	for (; *p; p++, s++) {
		if (p[0] == '*' && p[1] == '*') {
			p += 2;
			if (*p == '/')
				p++;
			if (!*p)
				return true;
			for (;; s++) {
				if (pattern_matches(p, s, budget))
					return true;
				s += strcspn(s, "/");
				if (!*s)
					return false;
			}
		}
		if (*p == '*') {
			for (;; s++) {
				if (pattern_matches(p + 1, s, budget))
					return true;
				if (!*s || *s == '/')
					return false;
			}
		}
		if (!*s)
			return false;
		if (*p == '?') {
			if (*s == '/')
				return false;
		} else if (*p == '[') {
			p++;
			if (*s == '/' || !class_matches(&p, *s))
				return false;
			p--;
		} else {
			if (*p == '\\' && p[1])
				p++;
			if (*p != *s)
				return false;
		}
	}
	return !*s || *s == '/';
}

bool context_ignore_matches(const struct context_ignore *ig, const char *path)
{
	bool ignored = false;

	for (size_t i = 0; i < ig->len; i++) {
		unsigned budget = MATCH_STEPS_MAX;

		if (ig->at[i].include == ignored && pattern_matches(ig->at[i].text, path, &budget))
			ignored = !ig->at[i].include;
	}
	return ignored;
}
