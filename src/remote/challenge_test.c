#include "remote/challenge.h"

#include <string.h>

#include "tests/tap.h"

static const struct {
	const char *text;
	int want;
	bool basic, bearer;
	const char *realm, *service, *scope;
} cases[] = {
	{ "Basic realm=\"x\"", 0, true, false, "", "", "" },
	{ "Bearer realm=\"https://a/token\",service=\"s\",scope=\"repository:x:pull,push\"", 0,
	  false, true, "https://a/token", "s", "repository:x:pull,push" },
	{ "bearer realm=https, service = s", 0, false, true, "https", "s", "" },
	{ "Basic realm=\"a\", Bearer realm=\"b\"", 0, true, true, "b", "", "" },
	{ "Bearer realm=\"a\\\"b\"", 0, false, true, "a\"b", "", "" },
	{ "Negotiate, Basic", 0, true, false, "", "", "" },
	{ "Bearer", 0, false, true, "", "", "" },
	{ "", 0, false, false, "", "", "" },
	{ "Bearer realm=\"x", -ERR_INVALID, false, false, "", "", "" },
	{ "=x", -ERR_INVALID, false, false, "", "", "" },
	{ "Bearer realm=", -ERR_INVALID, false, false, "", "", "" },
	{ "Bearer @", -ERR_INVALID, false, false, "", "", "" },
};

int main(void)
{
	char text[CHALLENGE_TEXT_MAX + 64] = "Bearer realm=\"";
	struct challenge c;
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		is_int(challenge_parse(cases[i].text, &c, &err), cases[i].want, cases[i].text);
		if (cases[i].want < 0)
			continue;
		ok(c.basic == cases[i].basic && c.bearer == cases[i].bearer, "its schemes");
		is_str(c.realm, cases[i].realm, "realm");
		is_str(c.service, cases[i].service, "service");
		is_str(c.scope, cases[i].scope, "scope");
	}
	memset(text + 14, 'x', CHALLENGE_TEXT_MAX);
	text[14 + CHALLENGE_TEXT_MAX] = '"';
	is_int(challenge_parse(text, &c, &err), -ERR_INVALID, "a realm that is too long");
	return tap_done();
}
