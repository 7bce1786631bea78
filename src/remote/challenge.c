#include "remote/challenge.h"

#include <string.h>

#include "base/str.h"

static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static const char *skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

static const char *take_token(const char *p, struct str *ret)
{
	const char *from = p;

	while (is_token_char(*p))
		p++;
	*ret = (struct str){ from, (size_t)(p - from) };
	return p;
}

/* token or quoted-string into out; NULL when malformed or too long. */
static const char *take_value(const char *p, char out[CHALLENGE_TEXT_MAX])
{
	struct str token;
	size_t n = 0;

	if (*p != '"') {
		p = take_token(p, &token);
		if (token.len == 0 || token.len >= CHALLENGE_TEXT_MAX)
			return NULL;
		memcpy(out, token.at, token.len);
		out[token.len] = '\0';
		return p;
	}
	for (p++; *p != '"'; p++) {
		if (*p == '\\')
			p++;
		if (*p == '\0' || n + 1 >= CHALLENGE_TEXT_MAX)
			return NULL;
		out[n++] = *p;
	}
	out[n] = '\0';
	return p + 1;
}

static void keep(struct challenge *c, struct str name, const char *value)
{
	const struct {
		const char *name;
		char *to;
	} known[] = {
		{ "realm", c->realm },
		{ "service", c->service },
		{ "scope", c->scope },
		{ "error", c->error },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq_nocase(name, str_of(known[i].name)))
			memcpy(known[i].to, value, strlen(value) + 1);
}

/* Parameters of one scheme, up to the next scheme. NULL: malformed. */
static const char *take_params(const char *p, bool wanted, struct challenge *c)
{
	char value[CHALLENGE_TEXT_MAX];

	for (;;) {
		struct str name;
		const char *after;

		p = skip_blanks(p);
		while (*p == ',')
			p = skip_blanks(p + 1);
		if (*p == '\0')
			return p;
		after = skip_blanks(take_token(p, &name));
		if (name.len == 0)
			return NULL;
		if (*after != '=')
			return p; /* a scheme */
		p = take_value(skip_blanks(after + 1), value);
		if (p == NULL)
			return NULL;
		if (wanted)
			keep(c, name, value);
	}
}

int challenge_parse(const char *header, struct challenge *ret, struct error *err)
{
	const char *p = skip_blanks(header);
	struct challenge c = { 0 };

	while (*p != '\0') {
		struct str scheme;
		bool bearer;

		p = take_token(p, &scheme);
		if (scheme.len == 0)
			return error_set(err, ERR_INVALID, "malformed WWW-Authenticate header");
		bearer = str_eq_nocase(scheme, STR_LIT("Bearer"));
		c.bearer |= bearer;
		c.basic |= str_eq_nocase(scheme, STR_LIT("Basic"));
		p = take_params(p, bearer, &c);
		if (p == NULL)
			return error_set(err, ERR_INVALID, "malformed WWW-Authenticate header");
	}
	*ret = c;
	return 0;
}
