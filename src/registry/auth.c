#include "registry/auth.h"

#include <crypt.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/jsonw.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/random.h"
#include "base/str.h"
#include "registry/auth_internal.h"
#include "registry/name.h"

#define HTPASSWD_MAX   (1024 * 1024)
#define PASS_CACHE_NS  (300 * NS_PER_SEC) /* a checked password is believed this long */
#define PASS_CACHE_MAX 1024

static int read_users(struct auth *a, struct error *err)
{
	auto_(buf) b = BUF_INIT(HTPASSWD_MAX);
	struct map users = MAP_INIT;
	struct str rest, line;
	int r;

	r = fs_read_file(a->htpasswd, &b, err);
	if (r < 0)
		return r;
	users.free_value = free;
	rest = (struct str){ b.data ? b.data : "", b.len };
	while (str_split(&rest, '\n', &line)) {
		ptrdiff_t colon;
		autofree char *user = NULL;

		line = str_trim(line);
		if (line.len == 0 || line.at[0] == '#')
			continue;
		colon = str_find(line, ':');
		if (colon <= 0 || !str_starts(str_sub(line, (size_t)colon + 1, line.len), "$2")) {
			map_release(&users);
			return error_set(err, ERR_INVALID,
					 "'%s': want lines user:bcrypt-hash (htpasswd -B)",
					 a->htpasswd);
		}
		user = str_dup(str_sub(line, 0, (size_t)colon));
		map_set(&users, user, str_dup(str_sub(line, (size_t)colon + 1, line.len)));
	}
	map_release(&a->users);
	a->users = users;
	map_release(&a->checked);
	return 0;
}

/* Read the file again when it changed; a broken new one leaves the old users. */
static void refresh_users(struct auth *a)
{
	struct stat st;

	lock_assert_held(&a->lock);
	if (a->htpasswd == NULL || stat(a->htpasswd, &st) < 0)
		return;
	if (st.st_mtim.tv_sec == a->seen.tv_sec && st.st_mtim.tv_nsec == a->seen.tv_nsec)
		return;
	if (read_users(a, NULL) == 0)
		a->seen = st.st_mtim;
}

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

	a->lock = (struct lock)LOCK_INIT;
	a->checked.free_value = free;
	a->ttl_s = 300;
	if (config != NULL)
		r = auth_config_read(a, config, err);
	if (r == 0 && a->htpasswd != NULL) {
		LOCKED(&a->lock);
		r = read_users(a, err);
		refresh_users(a);
	}
	if (r == 0 && !auth_is_open(a))
		r = load_key(a, key_path, err);
	if (r < 0) {
		auth_free(a);
		return error_wrap(err, r, "auth");
	}
	*ret = a;
	return 0;
}

void auth_free(struct auth *a)
{
	if (a == NULL)
		return;
	map_release(&a->users);
	map_release(&a->checked);
	arena_release(&a->arena);
	OPENSSL_cleanse(a->key, sizeof(a->key));
	free(a);
}

bool auth_is_open(const struct auth *a)
{
	return a->htpasswd == NULL && a->n_rules == 0;
}

/* Key of the cache of checked passwords: a keyed digest, never the password. */
static void cache_key(struct auth *a, const char *user, const char *password,
		      char out[static 2 * SHA256_SIZE + 1])
{
	auto_(hash) h = { 0 };
	uint8_t sum[SHA256_SIZE];

	hash_init_sha256(&h);
	hash_add(&h, a->key, sizeof(a->key));
	hash_add(&h, user, strlen(user) + 1);
	hash_add(&h, password, strlen(password));
	hash_finish(&h, sum);
	hex_format(sum, sizeof(sum), out);
}

static bool is_cached(struct auth *a, const char *key)
{
	const int64_t *until;

	lock_assert_held(&a->lock);
	until = map_get(&a->checked, key);
	return until != NULL && *until > clock_mono_ns();
}

static int check_password(struct auth *a, const char *user, const char *password, struct error *err)
{
	/* Somebody unknown costs as much time as somebody known. */
	static const char nobody[] = "$2y$10$abcdefghijklmnopqrstuuVb5EMtsrWeLvtqHSFsMcLdrYF1qYe0u";
	autofree struct crypt_data *data = xcalloc(1, sizeof(*data));
	autofree char *want = NULL;
	char key[2 * SHA256_SIZE + 1];
	const char *got;
	bool known;

	cache_key(a, user, password, key);
	{
		LOCKED(&a->lock);
		refresh_users(a);
		if (is_cached(a, key))
			return 0;
		known = map_has(&a->users, user);
		want = xstrdup(known ? map_get(&a->users, user) : nobody);
	}
	got = crypt_r(password, want, data);
	if (!known || got == NULL || strlen(got) != strlen(want) ||
	    CRYPTO_memcmp(got, want, strlen(want)) != 0)
		return error_set(err, ERR_UNAUTHORIZED, "wrong user name or password");
	{
		int64_t *until = new0(int64_t);

		LOCKED(&a->lock);
		if (a->checked.len >= PASS_CACHE_MAX)
			map_release(&a->checked);
		a->checked.free_value = free;
		*until = clock_mono_ns() + PASS_CACHE_NS;
		map_set(&a->checked, key, until);
	}
	return 0;
}

static int identify_basic(struct auth *a, struct str text, struct auth_who *ret, struct error *err)
{
	auto_(buf) b = BUF_INIT(8192);
	char *colon;
	int r = base64_decode(&b, text, err);

	if (r < 0)
		return error_set(err, ERR_UNAUTHORIZED, "malformed Basic credentials");
	colon = b.data ? strchr(b.data, ':') : NULL;
	if (colon == NULL || (size_t)(colon - b.data) >= sizeof(ret->user) ||
	    strlen(b.data) != b.len)
		return error_set(err, ERR_UNAUTHORIZED, "malformed Basic credentials");
	*colon = '\0';
	r = check_password(a, b.data, colon + 1, err);
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
	const char *user;

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
	return auth_is_open(a) || *who->user != '\0';
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
	jsonw_kstring(&w, "iss", "proa-registry");
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

const char *auth_challenge(struct auth *a, struct arena *arena, const char *realm, const char *repo,
			   unsigned actions, const char *error_code)
{
	const char *scope = "", *why = "";

	if (!a->token)
		return arena_format(arena, "Basic realm=\"proa-registry\"");
	if (repo != NULL)
		scope = arena_format(arena, ",scope=\"repository:%s:%s\"", repo,
				     auth_actions_text(arena, actions));
	if (error_code != NULL)
		why = arena_format(arena, ",error=\"%s\"", error_code);
	return arena_format(arena, "Bearer realm=\"%s\",service=\"proa-registry\"%s%s", realm,
			    scope, why);
}

int auth_htpasswd_line(struct arena *a, const char *user, const char *password, const char **ret,
		       struct error *err)
{
	autofree struct crypt_data *data = xcalloc(1, sizeof(*data));
	char salt[CRYPT_GENSALT_OUTPUT_SIZE], seed[16];
	const char *hash;

	if (*user == '\0' || strpbrk(user, ":\n\r") != NULL || strlen(user) > 127)
		return error_set(err, ERR_INVALID, "bad user name '%s'", user);
	if (strlen(password) > 72)
		return error_set(err, ERR_INVALID, "bcrypt takes at most 72 bytes of password");
	random_bytes(seed, sizeof(seed));
	if (crypt_gensalt_rn("$2y$", 10, seed, sizeof(seed), salt, sizeof(salt)) == NULL)
		return error_set(err, ERR_UNIMPLEMENTED, "this system's libcrypt has no bcrypt");
	hash = crypt_r(password, salt, data);
	if (hash == NULL || hash[0] == '*')
		return error_set(err, ERR_UNIMPLEMENTED, "bcrypt failed");
	*ret = arena_format(a, "%s:%s", user, hash);
	return 0;
}
