#include "oci/reference.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum { PATH_MAX_LEN = 255, TAG_MAX_LEN = 128 };

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* [a-z0-9]+ joined by "." "_" "__" or any number of "-". */
static bool is_path_component(struct str s)
{
	size_t i = 0;

	while (i < s.len && is_lower_alnum(s.at[i])) {
		size_t sep;

		while (i < s.len && is_lower_alnum(s.at[i]))
			i++;
		if (i == s.len)
			return true;
		sep = i;
		while (i < s.len && s.at[i] == s.at[sep])
			i++;
		if (!(s.at[sep] == '-' || (s.at[sep] == '_' && i - sep <= 2) ||
		      (s.at[sep] == '.' && i - sep == 1)))
			return false;
	}
	return false;
}

static bool is_path(struct str s)
{
	struct str part;

	if (s.len == 0)
		return false;
	while (str_split(&s, '/', &part))
		if (!is_path_component(part))
			return false;
	return true;
}

static bool is_domain_component(struct str s)
{
	if (s.len == 0 || !is_alnum(s.at[0]) || !is_alnum(s.at[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.at[i]) && s.at[i] != '-')
			return false;
	return true;
}

static bool is_ipv6(struct str s)
{
	if (s.len < 4 || s.at[0] != '[' || s.at[s.len - 1] != ']')
		return false;
	for (size_t i = 1; i + 1 < s.len; i++)
		if (s.at[i] == '\0' || strchr("0123456789abcdefABCDEF:", s.at[i]) == NULL)
			return false;
	return true;
}

/* host[:port], host of dotted components or a bracketed IPv6 address. */
static bool is_domain(struct str s)
{
	ptrdiff_t colon = str_rfind(s, ':');
	struct str host = s, part;

	if (colon >= 0 && s.at[s.len - 1] != ']') {
		struct str port = str_sub(s, (size_t)colon + 1, s.len);

		if (port.len == 0)
			return false;
		for (size_t i = 0; i < port.len; i++)
			if (port.at[i] < '0' || port.at[i] > '9')
				return false;
		host = str_sub(s, 0, (size_t)colon);
	}
	if (host.len == 0)
		return false;
	if (is_ipv6(host))
		return true;
	while (str_split(&host, '.', &part))
		if (!is_domain_component(part))
			return false;
	return true;
}

static bool is_tag(struct str s)
{
	if (s.len == 0 || s.len > TAG_MAX_LEN)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.at[i]) && s.at[i] != '_' &&
		    (i == 0 || (s.at[i] != '.' && s.at[i] != '-')))
			return false;
	return true;
}

static bool has_upper(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] >= 'A' && s.at[i] <= 'Z')
			return true;
	return false;
}

static bool is_hex_id(struct str s)
{
	if (s.len != 64)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!((s.at[i] >= '0' && s.at[i] <= '9') || (s.at[i] >= 'a' && s.at[i] <= 'f')))
			return false;
	return true;
}

/* The four parts of a text, not yet checked. */
struct parts {
	struct str domain, path, tag, digest; /* at == NULL: absent */
	bool library;                         /* path is to be put below library/ */
};

/* A first component is a domain when it looks like one: a dot, a port,
 * "localhost", or an upper-case letter (which no path has). */
static bool names_domain(struct str first)
{
	return str_find(first, '.') >= 0 || str_find(first, ':') >= 0 ||
	       str_eqs(first, "localhost") || has_upper(first);
}

static void split(struct str s, struct parts *p)
{
	ptrdiff_t at = str_find(s, '@'), slash, colon;

	*p = (struct parts){ .domain = STR_LIT(REFERENCE_DEFAULT_DOMAIN) };
	if (at >= 0) {
		p->digest = str_sub(s, (size_t)at + 1, s.len);
		s = str_sub(s, 0, (size_t)at);
	}
	slash = str_find(s, '/');
	if (slash >= 0 && names_domain(str_sub(s, 0, (size_t)slash))) {
		p->domain = str_sub(s, 0, (size_t)slash);
		s = str_sub(s, (size_t)slash + 1, s.len);
		if (str_eqs(p->domain, "index.docker.io"))
			p->domain = STR_LIT(REFERENCE_DEFAULT_DOMAIN);
	}
	colon = str_find(s, ':');
	if (colon >= 0) {
		p->tag = str_sub(s, (size_t)colon + 1, s.len);
		s = str_sub(s, 0, (size_t)colon);
	}
	p->path = s;
	p->library = str_eqs(p->domain, REFERENCE_DEFAULT_DOMAIN) && str_find(s, '/') < 0;
}

/* The message of a digest that has the grammar's shape but is no digest. */
static int parse_digest(struct str s, struct digest *ret, struct error *err)
{
	ptrdiff_t colon = str_find(s, ':');
	struct str hex = colon > 0 ? str_sub(s, (size_t)colon + 1, s.len) : (struct str){ 0 };
	int r;

	if (hex.len < 32)
		return error_set(err, ERR_INVALID, "invalid reference format");
	r = digest_parse(s.at, s.len, ret, NULL);
	if (r == -ERR_UNIMPLEMENTED)
		return error_set(err, ERR_INVALID, "unsupported digest algorithm");
	if (r < 0 && has_upper(hex))
		return error_set(err, ERR_INVALID, "invalid checksum digest format");
	if (r < 0)
		return error_set(err, ERR_INVALID, "invalid checksum digest length");
	return 0;
}

static int check(const char *text, const struct parts *p, struct error *err)
{
	const char *below = p->library ? "library/" : "";

	if (p->path.len > 0 && has_upper(p->path))
		return error_set(err, ERR_INVALID,
				 "invalid reference format: repository name (%s%.*s) must be "
				 "lowercase",
				 below, STR_ARG(str_sub(p->path, 0, 300)));
	if (!is_domain(p->domain) || p->domain.len >= REFERENCE_NAME_MAX || !is_path(p->path) ||
	    (p->tag.at != NULL && !is_tag(p->tag)))
		return error_set(err, ERR_INVALID, "invalid reference format");
	if (p->path.len + strlen(below) > PATH_MAX_LEN)
		return error_set(err, ERR_INVALID,
				 "repository name must not be more than %d characters",
				 PATH_MAX_LEN);
	(void)text;
	return 0;
}

int reference_parse(const char *text, struct reference *ret, struct error *err)
{
	struct reference ref = { 0 };
	struct parts p;
	int r;

	if (*text == '\0')
		return error_set(err, ERR_INVALID, "invalid reference format");
	if (is_hex_id(str_of(text)))
		return error_set(err, ERR_INVALID,
				 "invalid repository name (%s), cannot specify 64-byte "
				 "hexadecimal strings",
				 text);
	split(str_of(text), &p);
	r = check(text, &p, err);
	if (r == 0 && p.digest.at != NULL)
		r = parse_digest(p.digest, &ref.digest, err);
	if (r < 0)
		return r;
	snprintf(ref.domain, sizeof(ref.domain), "%.*s", STR_ARG(p.domain));
	snprintf(ref.path, sizeof(ref.path), "%s%.*s", p.library ? "library/" : "",
		 STR_ARG(p.path));
	snprintf(ref.tag, sizeof(ref.tag), "%.*s", STR_ARG(p.tag));
	*ret = ref;
	return 0;
}

int reference_parse_tagged(const char *text, struct reference *ret, struct error *err)
{
	int r = reference_parse(text, ret, err);

	if (r == 0 && !reference_has_tag(ret) && !reference_has_digest(ret))
		reference_set_tag(ret, "latest");
	return r;
}

bool reference_has_tag(const struct reference *r)
{
	return r->tag[0] != '\0';
}

bool reference_has_digest(const struct reference *r)
{
	return r->digest.algo != 0;
}

void reference_set_tag(struct reference *r, const char *tag)
{
	snprintf(r->tag, sizeof(r->tag), "%s", tag);
}

static void add_tag_and_digest(const struct reference *r, char out[static REFERENCE_TEXT_MAX])
{
	size_t n = strlen(out);
	char digest[DIGEST_TEXT_MAX] = "";

	if (reference_has_digest(r))
		digest_format(&r->digest, digest);
	snprintf(out + n, REFERENCE_TEXT_MAX - n, "%s%s%s%s", r->tag[0] ? ":" : "", r->tag,
		 digest[0] ? "@" : "", digest);
}

void reference_name(const struct reference *r, char out[static REFERENCE_TEXT_MAX])
{
	snprintf(out, REFERENCE_TEXT_MAX, "%s/%s", r->domain, r->path);
}

void reference_format(const struct reference *r, char out[static REFERENCE_TEXT_MAX])
{
	reference_name(r, out);
	add_tag_and_digest(r, out);
}

void reference_familiar_name(const struct reference *r, char out[static REFERENCE_TEXT_MAX])
{
	const char *path = r->path;

	if (strcmp(r->domain, REFERENCE_DEFAULT_DOMAIN) != 0) {
		reference_name(r, out);
		return;
	}
	if (cstr_starts(path, "library/") && strchr(path + 8, '/') == NULL)
		path += 8;
	snprintf(out, REFERENCE_TEXT_MAX, "%s", path);
}

void reference_familiar(const struct reference *r, char out[static REFERENCE_TEXT_MAX])
{
	reference_familiar_name(r, out);
	add_tag_and_digest(r, out);
}

int reference_match(const struct reference *r, const char *pattern, bool *ret, struct error *err)
{
	char text[REFERENCE_TEXT_MAX];
	bool hit;
	int e;

	reference_familiar(r, text);
	e = glob_match(pattern, text, &hit, err);
	if (e == 0 && !hit) {
		reference_familiar_name(r, text);
		e = glob_match(pattern, text, &hit, err);
	}
	if (e == 0)
		*ret = hit;
	return e;
}
