#include "registry/auth.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/fs.h"
#include "registry/config.h"
#include "registry/password.h"
#include "tests/tap.h"

static char dir[] = "/tmp/proa-auth-test-XXXXXX";

static const char *basic(struct arena *a, const char *pair)
{
	auto_(buf) b = BUF_INIT(256);

	if (base64_encode(&b, pair, strlen(pair), false, NULL) < 0)
		return NULL;
	return arena_format(a, "Basic %s", b.data);
}

static struct auth *open_auth(struct arena *a, const char *config, struct error *err)
{
	const struct json *j;
	struct auth *auth = NULL;

	if (json_parse(a, config, strlen(config), &j, err) < 0 ||
	    auth_new(j, arena_format(a, "%s/key", dir), &auth, err) < 0)
		return NULL;
	return auth;
}

static void write_users(struct arena *a)
{
	const char *ann, *bob;
	struct error err;
	FILE *f = fopen(arena_format(a, "%s/users", dir), "we");

	ok(password_line(a, "ann", "secret", &ann, &err) == 0 &&
	       password_line(a, "bob", "other", &bob, &err) == 0,
	   "lines for a password file");
	is_int(password_line(a, "a:b", "x", &ann, &err) < 0 ? -1 : 0, -1,
	       "a user name with ':' is refused");
	ok(password_line(a, "ann", "secret", &ann, &err) == 0, "once more");
	fprintf(f, "# users\n%s\n%s\n", ann, bob);
	fclose(f);
}

static void test_rules(struct arena *a)
{
	const char *config = arena_format(
	    a,
	    "{\"htpasswd\":\"%s/users\",\"rules\":["
	    "{\"repositories\":\"public/**\",\"users\":[\"anonymous\"],\"actions\":[\"pull\"]},"
	    "{\"repositories\":\"**\",\"users\":[\"ann\"],\"actions\":[\"*\"]},"
	    "{\"repositories\":\"team/*\",\"users\":[\"*\"],\"actions\":[\"pull\",\"push\"]}]}",
	    dir);
	static const struct {
		const char *what, *pair, *repo;
		unsigned want;
	} cases[] = {
		{ "anybody pulls public ones", NULL, "public/x/y", AUTH_PULL },
		{ "nobody else does", NULL, "team/x", 0 },
		{ "ann may everything", "ann:secret", "team/x/y", 7 },
		{ "bob pulls and pushes for the team", "bob:other", "team/x", 3 },
		{ "but not deeper", "bob:other", "team/x/y", 0 },
		{ "bob pulls public ones", "bob:other", "public/z", AUTH_PULL },
	};
	struct error err;
	struct auth *auth = open_auth(a, config, &err);
	struct auth_who who;

	ok(auth != NULL, "open");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *h = cases[i].pair ? basic(a, cases[i].pair) : NULL;

		is_int(auth_identify(auth, a, h, &who, &err), 0, "identify");
		is_int(auth_allowed(auth, &who, cases[i].repo, 7), cases[i].want, cases[i].what);
	}
	is_int(auth_identify(auth, a, basic(a, "ann:wrong"), &who, &err), -ERR_UNAUTHORIZED,
	       "a wrong password");
	is_int(auth_identify(auth, a, basic(a, "eve:secret"), &who, &err), -ERR_UNAUTHORIZED,
	       "an unknown user");
	is_int(auth_identify(auth, a, "Basic !!!", &who, &err), -ERR_UNAUTHORIZED, "no base64");
	is_int(auth_identify(auth, a, "Digest x", &who, &err), -ERR_UNAUTHORIZED, "another scheme");
	ok(strstr(auth_challenge(auth, a, "http://r/v2/token", auth_scope(a, "team/x", 3), NULL),
		  "scope=\"repository:team/x:pull,push\"") != NULL,
	   "the challenge names the scope");
	auth_free(auth);
}

static void test_tokens(struct arena *a)
{
	const char *config = arena_format(a, "{\"htpasswd\":\"%s/users\"}", dir);
	const char *scopes[] = { "repository:team/x:pull,push", "repository:team/y:pull",
				 "registry:catalog:*", "nonsense" };
	struct error err;
	struct auth *auth = open_auth(a, config, &err), *again;
	struct auth_who who, bearer;
	const char *token, *header;
	int64_t expires;
	char *forged;

	is_int(auth_identify(auth, a, basic(a, "ann:secret"), &who, &err), 0, "identify");
	is_int(auth_issue(auth, &who, scopes, 4, a, &token, &expires, &err), 0, "issue");
	header = arena_format(a, "Bearer %s", token);
	is_int(auth_identify(auth, a, header, &bearer, &err), 0, "the token is believed");
	is_str(bearer.user, "ann", "and names its user");
	is_int(auth_allowed(auth, &bearer, "team/x", 7), 3, "it allows what was asked");
	is_int(auth_allowed(auth, &bearer, "team/y", 7), 1, "for each scope");
	is_int(auth_allowed(auth, &bearer, "team/z", 7), 0, "and nothing else");
	again = open_auth(a, config, &err);
	is_int(auth_identify(again, a, header, &bearer, &err), 0, "it lives through a restart");
	auth_free(again);
	forged = arena_strdup(a, header);
	forged[strlen(forged) - 2] = forged[strlen(forged) - 2] == 'A' ? 'B' : 'A';
	is_int(auth_identify(auth, a, forged, &bearer, &err), -ERR_UNAUTHORIZED, "a forged one");
	is_int(auth_identify(auth, a, "Bearer a.b.c", &bearer, &err), -ERR_UNAUTHORIZED,
	       "a made-up one");
	is_int(auth_identify(auth, a, "Bearer eyJhbGciOiJub25lIn0.e30.", &bearer, &err),
	       -ERR_UNAUTHORIZED, "alg none");
	auth_free(auth);
}

static const struct {
	const char *what, *text;
	int want;
} configs[] = {
	{ "the empty object", "{}", 0 },
	{ "everything",
	  "{\"listen\":[\"127.0.0.1:1\"],\"limits\":{\"maxBlobSize\":\"10GB\",\"burst\":5},"
	  "\"gc\":{\"interval\":\"1h\",\"untagged\":true},\"retention\":[{\"keepLast\":3,"
	  "\"keepAge\":\"48h\",\"tags\":\"v*\"}],\"readOnly\":true}",
	  0 },
	{ "an unknown member", "{\"lisen\":[]}", -ERR_INVALID },
	{ "a nested unknown member", "{\"gc\":{\"grase\":\"1h\"}}", -ERR_INVALID },
	{ "a duration without unit", "{\"gc\":{\"grace\":\"3600\"}}", -ERR_INVALID },
	{ "a certificate without its key", "{\"tls\":{\"certificate\":\"x\"}}", -ERR_INVALID },
	{ "a wrong type", "{\"readOnly\":1}", -ERR_INVALID },
	{ "no JSON", "listen: x", -ERR_INVALID },
	{ "a mirror without upstream", "{\"mirrors\":[{\"prefix\":\"x\"}]}", -ERR_INVALID },
};

int main(void)
{
	auto_(arena) a = ARENA_INIT;
	struct registry_config c;
	struct error err;
	int tmp;

	ok(mkdtemp(dir) != NULL, "temporary directory");
	write_users(&a);
	test_rules(&a);
	test_tokens(&a);
	ok(open_auth(&a, "{\"rules\":[{\"repositories\":\"x\"}]}", &err) == NULL, "half a rule");
	ok(open_auth(&a, "{\"htpaswd\":\"x\"}", &err) == NULL, "a misspelt member");
	for (size_t i = 0; i < ARRAY_LEN(configs); i++)
		is_int(registry_config_read(&a, configs[i].text, strlen(configs[i].text), &c, &err),
		       configs[i].want, configs[i].what);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_int(fs_remove_tree(tmp, dir + strlen("/tmp/"), &err), 0, "clean up");
	close(tmp);
	return tap_done();
}
