/* remote/auth.c: credentials into an Authorization header. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "remote/challenge.h"
#include "remote/internal.h"

enum { LIFETIME_MAX_S = 24 * 60 * 60 };

static char *basic_value(const struct remote_repo *p)
{
	autofree char *pair = cstr_format("%s:%s", p->auth.username ? p->auth.username : "",
					  p->auth.password ? p->auth.password : "");
	auto_(buf) b = BUF_INIT(SIZE_MAX / 4);
	int r = base64_encode(&b, pair, strlen(pair), false, NULL);

	return r < 0 ? xstrdup("Basic ") : cstr_format("Basic %s", b.data ? b.data : "");
}

/* Credentials are for the registry itself, never for a mirror of it. */
static bool may_use(const struct remote_repo *p, const struct endpoint *e)
{
	return p->has_auth && !e->mirror;
}

static char *table_key(const struct remote_repo *p, const struct endpoint *e, const char *scope)
{
	const char *user = may_use(p, e) ? p->auth.username : NULL;
	const char *secret = may_use(p, e) ? p->auth.password : NULL;

	/* The password is part of it: a login that changed must not find the old token. */
	return cstr_format("%s\n%s\n%s\n%s\n%s", e->host, user ? user : "", secret ? secret : "",
			   may_use(p, e) && p->auth.identity_token ? p->auth.identity_token : "",
			   scope);
}

void auth_forget(struct remote_repo *p, const struct endpoint *e, const char *scope)
{
	autofree char *key = table_key(p, e, scope);

	LOCKED(&p->remote->lock);
	(void)map_remove(&p->remote->tokens, key);
}

static char *look_up(struct remote_repo *p, const char *key)
{
	const struct token *t;

	LOCKED(&p->remote->lock);
	t = map_get(&p->remote->tokens, key);
	if (t == NULL || t->expires_ns < clock_mono_ns())
		return NULL;
	return xstrdup(t->value);
}

static void remember(struct remote_repo *p, const char *key, const char *value, int64_t lifetime_s)
{
	struct token *t = new0(struct token);

	t->value = xstrdup(value);
	t->expires_ns = clock_mono_ns() + lifetime_s * NS_PER_SEC;
	LOCKED(&p->remote->lock);
	/* Tokens of forgotten repositories do not pile up for ever. */
	if (p->remote->tokens.len > 1000)
		map_release(&p->remote->tokens);
	map_set(&p->remote->tokens, key, t);
}

static int add_param(struct buf *b, const char *key, const char *value, struct error *err)
{
	autofree char *escaped = url_escape(value);
	char last = b->len > 0 ? b->data[b->len - 1] : '&';

	return buf_addf(b, err, "%s%s=%s", last == '?' || last == '&' ? "" : "&", key, escaped);
}

/* The scopes of one request are separated by blanks, and asked for one by one. */
static int add_scopes(struct buf *b, const char *scope, struct error *err)
{
	struct str rest = str_of(scope), one;

	while (*scope != '\0' && str_split(&rest, ' ', &one)) {
		autofree char *text = str_dup(one);
		int r = add_param(b, "scope", text, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The URL of a GET, or the form of a POST. */
static int fill_query(struct remote_repo *p, const struct endpoint *e, const struct challenge *c,
		      const char *scope, bool offline, struct buf *b, struct error *err)
{
	bool known = may_use(p, e), refresh = known && !cstr_is_empty(p->auth.identity_token);
	int r = 0;

	if (c->service[0] != '\0')
		r = add_param(b, "service", c->service, err);
	if (r == 0 && refresh) {
		r = add_param(b, "scope", scope, err);
		if (r == 0)
			r = add_param(b, "client_id", "proa", err);
		if (r == 0)
			r = add_param(b, "grant_type", "refresh_token", err);
		return r == 0 ? add_param(b, "refresh_token", p->auth.identity_token, err) : r;
	}
	if (r == 0)
		r = add_scopes(b, scope, err);
	if (r == 0 && known)
		r = add_param(b, "account", p->auth.username, err);
	if (r == 0 && offline)
		r = buf_addf(b, err, "&offline_token=true&client_id=proa");
	return r;
}

static int token_from(const char *text, size_t len, struct grant *ret, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *j = NULL;
	const char *token, *refresh;
	int r;

	r = json_parse(&a, text, len, &j, err);
	if (r < 0)
		return error_wrap(err, r, "answer of the token server");
	token = json_str(j, "token");
	if (cstr_is_empty(token))
		token = json_str(j, "access_token");
	if (cstr_is_empty(token) || strpbrk(token, "\r\n") != NULL)
		return error_set(err, ERR_UNAUTHORIZED,
				 "authorization server did not include a token in the response");
	refresh = json_str(j, "refresh_token");
	ret->value = cstr_format("Bearer %s", token);
	ret->refresh = xstrdup(refresh ? refresh : "");
	ret->lifetime_s = json_int(j, "expires_in", 60);
	/* The server's word is not worth an overflow, and nobody works on a day's old token. */
	if (ret->lifetime_s < 0 || ret->lifetime_s > LIFETIME_MAX_S)
		ret->lifetime_s = LIFETIME_MAX_S;
	return 0;
}

/* What the token server said against it. */
static int token_refused(struct remote_repo *p, const struct endpoint *e, struct transfer *t,
			 struct error *err)
{
	auto_(buf) body = BUF_INIT(ERROR_BODY_MAX);
	auto_(arena) a = ARENA_INIT;
	unsigned status = transfer_status(t);
	const struct json *j = NULL;
	const char *text = NULL;
	char *line;

	if (api_read(t, &body, NULL) == 0 && body.len > 0 &&
	    json_parse(&a, body.data, body.len, &j, NULL) == 0) {
		text = json_str(j, "details");
		if (text == NULL)
			text = json_str(j, "message");
	}
	line = arena_strdup(&a, text ? text : "");
	api_line(line);
	text = text ? line : NULL;
	if (status == 401 || status == 403)
		return error_set(err, ERR_UNAUTHORIZED, "Get \"%s/v2/\": unauthorized: %.300s",
				 e->base ? e->base : e->host,
				 text            ? text
				 : may_use(p, e) ? "incorrect username or password"
						 : "authentication required");
	if (status == 429)
		return error_set(err, ERR_UNAVAILABLE, "toomanyrequests: %.300s",
				 text ? text : "the token server's rate limit is reached");
	return error_set(err, ERR_UNAVAILABLE,
			 "failed to fetch anonymous token: unexpected status: %u", status);
}

static int ask_token_server(struct remote_repo *p, const struct endpoint *e,
			    const struct challenge *c, const char *query, struct transfer **ret,
			    struct error *err)
{
	bool known = may_use(p, e), post = known && !cstr_is_empty(p->auth.identity_token);
	auto_(arena) a = ARENA_INIT;
	autofree char *basic = known && !post ? basic_value(p) : NULL;
	autofree char *next = NULL;
	const char *url = c->realm;
	bool foreign = false;
	struct upload form = { .bytes = query, .fd = FD_NONE, .size = strlen(query) };
	enum transfer_failure why;
	struct transport how;
	struct request q;
	int r = 0;

	/* Credentials never leave TLS for a token server in the clear. */
	if (known && !cstr_starts(c->realm, "https://") && !e->insecure)
		return error_set(err, ERR_UNAUTHORIZED,
				 "token server '%.300s' is not https: no credentials sent",
				 c->realm);
	if (!post && *query != '\0')
		url =
		    arena_format(&a, "%s%s%s", c->realm, strchr(c->realm, '?') ? "&" : "?", query);
	q = (struct request){ .method = post ? "POST" : "GET",
			      .accept = "application/json",
			      .content_type = post ? "application/x-www-form-urlencoded" : NULL,
			      .body = post ? &form : NULL };
	for (unsigned hops = 0; r == 0 && hops <= REDIRECTS_MAX; hops++) {
		transport_fill(p->settings, &a, url, e->insecure, &how);
		q.url = url;
		q.authorization = foreign ? NULL : basic;
		r = transfer_begin(&p->remote->pool, &how, &q, p->cancel, ret, &why, err);
		/* A form has the refresh token in it: that goes nowhere else. */
		if (r < 0 || post)
			return r;
		free(next);
		r = api_redirect(url, *ret, e->insecure, &next, &foreign, err);
		if (r == 0 && next == NULL)
			return 0;
		url = r == 0 ? arena_strdup(&a, next) : url;
		transfer_end(steal_ptr(*ret));
	}
	return r < 0 ? r : error_set(err, ERR_INVALID, "%s: too many redirects", url);
}

static int fetch_bearer(struct remote_repo *p, const struct endpoint *e, const struct challenge *c,
			const char *scope, bool offline, struct grant *ret, struct error *err)
{
	auto_(buf) query = BUF_INIT(16384);
	auto_(buf) body = BUF_INIT(1024UL * 1024);
	struct transfer *t = NULL;
	int r;

	if (!cstr_starts(c->realm, "http://") && !cstr_starts(c->realm, "https://"))
		return error_set(err, ERR_INVALID, "no realm in the registry's challenge");
	r = fill_query(p, e, c, scope, offline, &query, err);
	if (r == 0)
		r = ask_token_server(p, e, c, query.data ? query.data : "", &t, err);
	if (r < 0)
		return r;
	if (transfer_status(t) >= 300)
		r = token_refused(p, e, t, err);
	else
		r = api_read(t, &body, err);
	if (r == 0)
		r = token_from(body.data ? body.data : "", body.len, ret, err);
	transfer_end(t);
	return r;
}

int auth_fetch(struct remote_repo *p, const struct endpoint *e, const char *scope,
	       const char *header, bool offline, struct grant *ret, struct error *err)
{
	struct challenge c;
	int r;

	r = challenge_parse(header, &c, err);
	if (r < 0)
		return r;
	if (may_use(p, e) && !cstr_is_empty(p->auth.registry_token)) {
		*ret = (struct grant){ .value = cstr_format("Bearer %s", p->auth.registry_token),
				       .lifetime_s = 60 };
		return 0;
	}
	if (c.bearer)
		return fetch_bearer(p, e, &c, *scope ? scope : c.scope, offline, ret, err);
	if (!c.basic)
		return error_set(err, ERR_UNAUTHORIZED,
				 "registry asks for an authentication that is not supported");
	if (!may_use(p, e) || cstr_is_empty(p->auth.username))
		return error_set(err, ERR_UNAUTHORIZED, "no basic auth credentials");
	*ret = (struct grant){ .value = basic_value(p), .lifetime_s = 3600 };
	return 0;
}

int auth_find(struct remote_repo *p, const struct endpoint *e, const char *scope,
	      const char *header, char **ret, struct error *err)
{
	autofree char *key = table_key(p, e, scope);
	struct grant g = { 0 };
	int r;

	if (header == NULL) {
		*ret = look_up(p, key);
		return 0;
	}
	r = auth_fetch(p, e, scope, header, false, &g, err);
	if (r < 0)
		return r;
	/* Not to the last second: the request still has to get there. */
	remember(p, key, g.value, g.lifetime_s > 20 ? g.lifetime_s - 10 : g.lifetime_s / 2);
	free(g.refresh);
	*ret = g.value;
	return 0;
}
