#include "registry/auth.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/jsonw.h"
#include "base/random.h"
#include "base/str.h"
#include "registry/auth_internal.h"
#include "registry/name.h"

#define ISSUER "proa-registry" /* who signs a token, and whom it is for */

static int load_key(struct auth *a, const char *path, struct error *err)
{
	auto_(buf) b = BUF_INIT(AUTH_KEY_SIZE);
	autoclose int fd = FD_NONE;
	int r = fs_read_file(path, &b, err);

	if (r == 0 && b.len == AUTH_KEY_SIZE) {
		memcpy(a->key, b.data, AUTH_KEY_SIZE);
		return 0;
	}
	if (r < 0 && r != -ERR_NOT_FOUND && access(path, F_OK) == 0)
		return r;
	random_bytes(a->key, AUTH_KEY_SIZE);
	r = fs_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, err);
	return r < 0 ? r : fs_write_all(fd, a->key, AUTH_KEY_SIZE, err);
}

int auth_new(const struct json *config, const char *key_path, struct auth **ret, struct error *err)
{
	struct auth *a = new0(struct auth);
	int r = 0;

	if (config != NULL)
		r = auth_config_read(a, config, err);
	if (r == 0 && a->htpasswd != NULL) {
		r = passwords_open(a->htpasswd, &a->passwords, err);
		if (r < 0)
			r = error_wrap(err, r, "auth.htpasswd");
	}
	if (r == 0 && !auth_is_open(a) && key_path != NULL)
		r = load_key(a, key_path, err);
	if (r < 0) {
		auth_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

int auth_check(const struct json *config, struct error *err)
{
	struct auth *a;
	int r = auth_new(config, NULL, &a, err);

	if (r == 0)
		auth_free(a);
	return r;
}

void auth_free(struct auth *a)
{
	if (a == NULL)
		return;
	passwords_free(a->passwords);
	arena_release(&a->arena);
	OPENSSL_cleanse(a->key, sizeof(a->key));
	free(a);
}

bool auth_is_open(const struct auth *a)
{
	return a->htpasswd == NULL && a->n_rules == 0;
}

static int identify_basic(struct auth *a, struct str text, struct auth_who *ret, struct error *err)
{
	auto_(buf) b = BUF_INIT(8192);
	char *colon;
	int r = base64_decode(&b, text, err);

	if (r < 0 || a->passwords == NULL)
		return error_set(err, ERR_UNAUTHORIZED, "wrong user name or password");
	colon = b.data ? strchr(b.data, ':') : NULL;
	if (colon == NULL || (size_t)(colon - b.data) >= sizeof(ret->user) ||
	    strlen(b.data) != b.len)
		return error_set(err, ERR_UNAUTHORIZED, "malformed Basic credentials");
	*colon = '\0';
	r = passwords_check(a->passwords, b.data, colon + 1, err);
	if (r == 0)
		snprintf(ret->user, sizeof(ret->user), "%s", b.data);
	OPENSSL_cleanse(b.data, b.len);
	return r;
}

static void sign(struct auth *a, struct str text, uint8_t out[static SHA256_SIZE])
{
	unsigned len = SHA256_SIZE;

	HMAC(EVP_sha256(), a->key, sizeof(a->key), (const unsigned char *)text.at, text.len, out,
	     &len);
}

/* Spec: RFC 7519, HS256 only; the header is not asked which algorithm it wants. */
static int identify_bearer(struct auth *a, struct arena *arena, struct str text,
			   struct auth_who *ret, struct error *err)
{
	auto_(buf) sum = BUF_INIT(64), body = BUF_INIT(64 * 1024);
	ptrdiff_t last = str_rfind(text, '.'), first = str_find(text, '.');
	uint8_t want[SHA256_SIZE];
	const struct json *claims;
	const char *user, *for_us;

	if (first <= 0 || last <= first)
		return error_set(err, ERR_UNAUTHORIZED, "malformed token");
	sign(a, str_sub(text, 0, (size_t)last), want);
	if (base64_decode(&sum, str_sub(text, (size_t)last + 1, text.len), NULL) < 0 ||
	    sum.len != sizeof(want) || CRYPTO_memcmp(sum.data, want, sizeof(want)) != 0)
		return error_set(err, ERR_UNAUTHORIZED, "invalid token");
	if (base64_decode(&body, str_sub(text, (size_t)first + 1, (size_t)(last - first - 1)),
			  NULL) < 0 ||
	    json_parse(arena, body.data ? body.data : "", body.len, &claims, NULL) < 0)
		return error_set(err, ERR_UNAUTHORIZED, "malformed token");
	if (json_int(claims, "exp", 0) < clock_wall_ns() / NS_PER_SEC)
		return error_set(err, ERR_UNAUTHORIZED, "the token has expired");
	for_us = json_str(claims, "aud");
	if (for_us == NULL || strcmp(for_us, ISSUER) != 0)
		return error_set(err, ERR_UNAUTHORIZED, "the token is for somebody else");
	user = json_str(claims, "sub");
	snprintf(ret->user, sizeof(ret->user), "%s", user ? user : "");
	ret->has_token = true;
	ret->token_scopes = json_get(claims, "access");
	return 0;
}

int auth_identify(struct auth *a, struct arena *arena, const char *header, struct auth_who *ret,
		  struct error *err)
{
	struct str h = str_trim(str_of(header)), scheme;
	ptrdiff_t blank;

	*ret = (struct auth_who){ 0 };
	if (header == NULL || auth_is_open(a))
		return 0;
	blank = str_find(h, ' ');
	if (blank < 0)
		return error_set(err, ERR_UNAUTHORIZED, "malformed Authorization header");
	scheme = str_sub(h, 0, (size_t)blank);
	h = str_trim(str_sub(h, (size_t)blank + 1, h.len));
	if (str_eq_nocase(scheme, STR_LIT("Basic")))
		return identify_basic(a, h, ret, err);
	if (str_eq_nocase(scheme, STR_LIT("Bearer")))
		return identify_bearer(a, arena, h, ret, err);
	return error_set(err, ERR_UNAUTHORIZED, "unknown authorization scheme");
}

static bool rule_names(const struct auth_rule *rule, const char *user)
{
	for (size_t i = 0; i < rule->n_users; i++) {
		if (strcmp(rule->users[i], "anonymous") == 0)
			return true;
		if (*user != '\0' &&
		    (strcmp(rule->users[i], "*") == 0 || strcmp(rule->users[i], user) == 0))
			return true;
	}
	return false;
}

static unsigned token_allows(const struct json *scopes, const char *repo)
{
	unsigned bits = 0;

	json_for_each_item (scope, scopes) {
		const char *type = json_str(scope, "type"), *name = json_str(scope, "name");

		if (type == NULL || name == NULL || strcmp(type, "repository") != 0 ||
		    strcmp(name, repo) != 0)
			continue;
		json_for_each_item (action, json_get(scope, "actions"))
			if (action->type == JSON_STRING)
				bits |= auth_action_parse(str_of(action->s));
	}
	return bits;
}

unsigned auth_allowed(struct auth *a, const struct auth_who *who, const char *repo,
		      unsigned actions)
{
	unsigned bits = 0;

	if (auth_is_open(a))
		return actions;
	/* Users without rules: whoever is known may do everything. */
	if (a->n_rules == 0 && *who->user != '\0')
		bits = AUTH_PULL | AUTH_PUSH | AUTH_DELETE;
	for (size_t i = 0; i < a->n_rules; i++)
		if (name_glob(a->rules[i].repos, repo) && rule_names(&a->rules[i], who->user))
			bits |= a->rules[i].actions;
	if (who->has_token)
		bits &= token_allows(who->token_scopes, repo);
	return bits & actions;
}

bool auth_may_list(struct auth *a, const struct auth_who *who)
{
	if (auth_is_open(a))
		return true;
	if (*who->user == '\0' || !who->has_token)
		return *who->user != '\0';
	json_for_each_item (scope, who->token_scopes) {
		const char *type = json_str(scope, "type"), *name = json_str(scope, "name");

		if (type != NULL && name != NULL && strcmp(type, "registry") == 0 &&
		    strcmp(name, "catalog") == 0)
			return true;
	}
	return false;
}

/* "repository:name:pull,push" where the name may hold ':'s of a port. */
static bool split_scope(struct str scope, struct str *name, struct str *actions)
{
	ptrdiff_t first = str_find(scope, ':'), last = str_rfind(scope, ':');

	if (first <= 0 || last <= first || !str_eqs(str_sub(scope, 0, (size_t)first), "repository"))
		return false;
	*name = str_sub(scope, (size_t)first + 1, (size_t)(last - first - 1));
	*actions = str_sub(scope, (size_t)last + 1, scope.len);
	return true;
}

static void write_scope(struct auth *a, const struct auth_who *who, const char *scope,
			struct jsonw *w)
{
	struct str name, actions, one;
	autofree char *repo = NULL;
	unsigned asked = 0, got;

	if (strcmp(scope, AUTH_CATALOG_SCOPE) == 0 && *who->user != '\0') {
		jsonw_object(w);
		jsonw_kstring(w, "type", "registry");
		jsonw_kstring(w, "name", "catalog");
		jsonw_karray(w, "actions");
		jsonw_string(w, "*");
		jsonw_end(w);
		jsonw_end(w);
		return;
	}
	if (!split_scope(str_of(scope), &name, &actions))
		return;
	repo = str_dup(name);
	if (!name_is_repo(repo))
		return;
	while (str_split(&actions, ',', &one))
		asked |= auth_action_parse(one);
	got = auth_allowed(a, who, repo, asked);
	if (got == 0)
		return;
	jsonw_object(w);
	jsonw_kstring(w, "type", "repository");
	jsonw_kstring(w, "name", repo);
	jsonw_karray(w, "actions");
	for (unsigned bit = AUTH_PULL; bit <= AUTH_DELETE; bit <<= 1)
		if (got & bit)
			jsonw_string(w, auth_action_name(bit));
	jsonw_end(w);
	jsonw_end(w);
}

int auth_issue(struct auth *a, const struct auth_who *who, const char *const *scopes,
	       size_t n_scopes, struct arena *arena, const char **ret_token, int64_t *ret_expires_s,
	       struct error *err)
{
	static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
	auto_(buf) claims = BUF_INIT(32 * 1024), token = BUF_INIT(64 * 1024);
	int64_t now = clock_wall_ns() / NS_PER_SEC;
	uint8_t sum[SHA256_SIZE];
	struct jsonw w;
	int r;

	jsonw_init(&w, &claims);
	jsonw_object(&w);
	jsonw_kstring(&w, "iss", ISSUER);
	jsonw_kstring(&w, "aud", ISSUER);
	jsonw_kstring(&w, "sub", who->user);
	jsonw_kint(&w, "iat", now);
	jsonw_kint(&w, "nbf", now - 5);
	jsonw_kint(&w, "exp", now + a->ttl_s);
	jsonw_karray(&w, "access");
	for (size_t i = 0; i < n_scopes; i++)
		write_scope(a, who, scopes[i], &w);
	jsonw_end(&w);
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	if (r == 0)
		r = base64_encode(&token, header, strlen(header), true, err);
	if (r == 0)
		r = buf_add(&token, ".", 1, err);
	if (r == 0)
		r = base64_encode(&token, claims.data, claims.len, true, err);
	if (r < 0)
		return r;
	sign(a, (struct str){ token.data, token.len }, sum);
	r = buf_add(&token, ".", 1, err);
	if (r == 0)
		r = base64_encode(&token, sum, sizeof(sum), true, err);
	if (r < 0)
		return r;
	*ret_token = arena_strndup(arena, token.data, token.len);
	*ret_expires_s = a->ttl_s;
	return 0;
}

const char *auth_scope(struct arena *arena, const char *repo, unsigned actions)
{
	return arena_format(arena, "repository:%s:%s", repo, auth_actions_text(arena, actions));
}

const char *auth_challenge(struct auth *a, struct arena *arena, const char *realm,
			   const char *scope, const char *error_code)
{
	if (!a->token)
		return "Basic realm=\"" ISSUER "\"";
	return arena_format(arena, "Bearer realm=\"%s\",service=\"" ISSUER "\"%s%s%s%s%s%s", realm,
			    scope ? ",scope=\"" : "", scope ? scope : "", scope ? "\"" : "",
			    error_code ? ",error=\"" : "", error_code ? error_code : "",
			    error_code ? "\"" : "");
}
