/* oci/glob.c: Go's path.Match. */
#include <string.h>

#include "oci/reference.h"

static int bad_pattern(struct error *err)
{
	return error_set(err, ERR_INVALID, "syntax error in pattern");
}

/* One character of a class, maybe escaped. NULL: malformed. */
static const char *class_char(const char *p, char *ret)
{
	if (*p == '\0' || *p == '-' || *p == ']')
		return NULL;
	if (*p == '\\' && *++p == '\0')
		return NULL;
	*ret = *p++;
	return *p != '\0' ? p : NULL;
}

/* "[...]" at p against c. Returns what follows it, NULL when malformed. */
static const char *match_class(const char *p, char c, bool *ret)
{
	bool negated = *++p == '^', hit = false;
	unsigned n = 0;

	p += negated;
	while (!(*p == ']' && n > 0)) {
		char lo, hi;

		p = class_char(p, &lo);
		hi = lo;
		if (p != NULL && *p == '-')
			p = class_char(p + 1, &hi);
		if (p == NULL)
			return NULL;
		hit |= lo <= c && c <= hi;
		n++;
	}
	*ret = hit != negated;
	return p + 1;
}

/* Match one pattern element that is not '*' at *p; moves *p past it. -1: malformed. */
static int match_one(const char **p, char c)
{
	const char *next;
	bool hit;

	switch (**p) {
	case '?':
		(*p)++;
		return c != '\0' && c != '/';
	case '[':
		next = match_class(*p, c, &hit);
		if (next == NULL)
			return -1;
		*p = next;
		return c != '\0' && hit;
	case '\\':
		if (*++*p == '\0')
			return -1;
		return *(*p)++ == c;
	default:
		return *(*p)++ == c;
	}
}

/* The rest of a pattern that did not match must still be well-formed. */
static int check_rest(const char *p, struct error *err)
{
	while (*p != '\0') {
		if (*p == '*')
			p++;
		else if (match_one(&p, 'a') < 0)
			return bad_pattern(err);
	}
	return 0;
}

int glob_match(const char *pattern, const char *text, bool *ret, struct error *err)
{
	const char *p = pattern, *t = text;
	const char *star = NULL, *star_text = NULL; /* where the last '*' may take one more */

	while (*t != '\0' || *p != '\0') {
		const char *before = p;
		int hit = 0;

		if (*p == '*') {
			star = ++p;
			star_text = t;
			continue;
		}
		if (*p != '\0') {
			hit = match_one(&p, *t);
			if (hit < 0)
				return bad_pattern(err);
		}
		if (hit && *t != '\0') {
			t++;
			continue;
		}
		if (star == NULL || *star_text == '\0' || *star_text == '/') {
			*ret = false;
			return check_rest(before, err);
		}
		p = star;
		t = ++star_text;
	}
	*ret = true;
	return 0;
}
