#include "registry/name.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

static bool is_low(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* One separator: '.', '_', '__' or any number of '-'. Returns its length, 0 = none. */
static size_t separator(const char *s)
{
	size_t n = 0;

	if (s[0] == '.')
		return 1;
	if (s[0] == '_')
		return s[1] == '_' ? 2 : 1;
	while (s[n] == '-')
		n++;
	return n;
}

bool name_is_repo(const char *s)
{
	if (strlen(s) >= NAME_REPO_MAX)
		return false;
	for (;;) {
		if (!is_low(*s))
			return false;
		while (is_low(*s))
			s++;
		if (*s == '\0')
			return true;
		if (*s == '/') {
			s++;
			continue;
		}
		if (separator(s) == 0)
			return false;
		s += separator(s);
	}
}

bool name_is_tag(const char *s)
{
	size_t n = 0;

	for (; s[n] != '\0'; n++) {
		bool word = is_low(s[n]) || (s[n] >= 'A' && s[n] <= 'Z') || s[n] == '_';

		if (!word && (n == 0 || (s[n] != '.' && s[n] != '-')))
			return false;
	}
	return n > 0 && n < NAME_TAG_MAX;
}

int name_reference_parse(const char *s, struct name_reference *ret, struct error *err)
{
	struct name_reference ref = { 0 };
	int r;

	if (strchr(s, ':') != NULL) {
		r = digest_parse(s, strlen(s), &ref.digest, err);
		if (r < 0)
			return r;
		ref.is_digest = true;
		*ret = ref;
		return 0;
	}
	if (!name_is_tag(s))
		return error_set(err, ERR_INVALID, "'%.140s' is neither a tag nor a digest", s);
	snprintf(ref.tag, sizeof(ref.tag), "%s", s);
	*ret = ref;
	return 0;
}

void name_digest_format(const struct digest *d, char out[static NAME_DIGEST_MAX])
{
	digest_format(d, out);
	*strchr(out, ':') = '-';
}

int name_digest_parse(const char *s, struct digest *ret, struct error *err)
{
	char text[NAME_DIGEST_MAX];
	char *dash;

	if (strlen(s) >= sizeof(text))
		return error_set(err, ERR_INVALID, "name is too long for a digest");
	snprintf(text, sizeof(text), "%s", s);
	dash = strchr(text, '-');
	if (dash == NULL)
		return error_set(err, ERR_INVALID, "'%s' names no digest", s);
	*dash = ':';
	return digest_parse(text, strlen(text), ret, err);
}

void name_blob_key(const struct digest *d, char *out, size_t len)
{
	char text[DIGEST_TEXT_MAX];
	char *hex;

	digest_format(d, text);
	hex = strchr(text, ':');
	*hex++ = '\0';
	snprintf(out, len, "content/blobs/%s/%.2s/%s", text, hex, hex);
}

void name_repo_key(const char *repo, const char *rest, char *out, size_t len)
{
	int n = snprintf(out, len, "repos/");

	for (const char *p = repo; *p != '\0' && (size_t)n + 1 < len; p++)
		out[n++] = *p == '/' ? '+' : *p;
	snprintf(out + n, len - (size_t)n, "%s", rest);
}

void name_repo_unflatten(char *component)
{
	for (; *component != '\0'; component++)
		if (*component == '+')
			*component = '/';
}

/* Iterative with one point to come back to per kind of star: linear space, and
 * time bounded by pattern times name. */
bool name_glob(const char *p, const char *s)
{
	const char *star = NULL, *star_at = NULL, *deep = NULL, *deep_at = NULL;

	while (*s != '\0') {
		if (p[0] == '*' && p[1] == '*') {
			p += 2;
			deep = p;
			deep_at = s;
			star = NULL;
		} else if (*p == '*') {
			star = ++p;
			star_at = s;
		} else if (*p == *s || (*p == '?' && *s != '/')) {
			p++;
			s++;
		} else if (star != NULL && *star_at != '/') {
			p = star;
			s = ++star_at;
		} else if (deep != NULL) {
			p = deep;
			s = ++deep_at;
			star = NULL;
		} else {
			return false;
		}
	}
	while (*p == '*')
		p++;
	return *p == '\0';
}
