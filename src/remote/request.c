/* remote/request.c: a request with credentials, redirects and patience. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "remote/internal.h"

enum { RETRY_AFTER_MAX_S = 10, PROBE_TIMEOUT_MS = 5000 };

bool api_patience(const struct remote_repo *p, int tries, int64_t since_ns)
{
	const struct remote_config *c = &p->settings->c;

	/* Retries of what fails at once are counted, those of what stalls are timed. */
	return tries < c->retries &&
	       clock_mono_ns() - since_ns < GIVE_UP_STALLS * c->stall_timeout_ms * NS_PER_MS;
}

int api_back_off(const struct remote_repo *p, int n, struct error *err)
{
	int wait_ms = n == 1 ? 50 : 250 << (n < 6 ? n - 2 : 4), r;

	if (p->cancel == NULL) {
		poll(NULL, 0, wait_ms);
		return 0;
	}
	r = cancel_poll(p->cancel, FD_NONE, 0, wait_ms, err);
	return r == -ERR_UNAVAILABLE ? 0 : r;
}

int api_read(struct transfer *t, struct buf *b, struct error *err)
{
	char chunk[16384];
	size_t n = 0;
	int r;

	do {
		r = transfer_read(t, chunk, sizeof(chunk), &n, err);
		if (r == 0)
			r = buf_add(b, chunk, n, err);
	} while (r == 0 && n > 0);
	return r;
}

void api_line(char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '\n' || *text == '\r' || *text == '\t')
			*text = ' ';
}

/* The registry's first error, "manifest unknown: manifest unknown". */
static void read_reason(struct transfer *t, char *code, size_t code_len, char *text,
			size_t text_len)
{
	auto_(buf) body = BUF_INIT(ERROR_BODY_MAX);
	auto_(arena) a = ARENA_INIT;
	const struct json *j = NULL, *list;
	const char *c, *m;

	code[0] = text[0] = '\0';
	if (api_read(t, &body, NULL) < 0 || body.len == 0 ||
	    json_parse(&a, body.data, body.len, &j, NULL) < 0)
		return;
	list = json_get(j, "errors");
	if (list == NULL || list->type != JSON_ARRAY || list->n_items == 0)
		return;
	c = json_str(list->items[0], "code");
	m = json_str(list->items[0], "message");
	snprintf(code, code_len, "%.60s", c ? c : "");
	snprintf(text, text_len, "%s%s%.400s", code, c && m ? ": " : "", m ? m : "");
	for (size_t i = 0; i < strlen(code) && text[i]; i++)
		text[i] = text[i] == '_'                     ? ' '
			  : text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20)
							     : text[i];
	api_line(text);
}

static int rate_limited(struct transfer *t, const char *text, struct error *err)
{
	const char *after = transfer_header(t, "retry-after");

	if (*text == '\0')
		text = "toomanyrequests: the registry's rate limit is reached";
	if (after != NULL)
		return error_set(err, ERR_UNAVAILABLE, "%s (try again in %.20s s)", text, after);
	return error_set(err, ERR_UNAVAILABLE, "%s", text);
}

static int pull_refused(const struct remote_repo *p, const struct api_call *c, const char *code,
			const char *text, unsigned status, struct error *err)
{
	char name[REFERENCE_TEXT_MAX], whole[REFERENCE_TEXT_MAX];

	reference_familiar_name(&p->ref, name);
	reference_familiar(&p->ref, whole);
	if (strcmp(code, "DENIED") == 0)
		return error_set(err, ERR_NOT_FOUND,
				 "pull access denied for %s, repository does not exist or may "
				 "require 'docker login': %s",
				 name, text);
	if (strcmp(code, "NAME_UNKNOWN") == 0)
		return error_set(err, ERR_NOT_FOUND, "repository %s not found: %s", name, text);
	if (status == 404 && *code == '\0' && cstr_starts(c->tail, "blobs/"))
		return error_set(err, ERR_NOT_FOUND, "blob unknown to the registry");
	if (strcmp(code, "MANIFEST_UNKNOWN") == 0 || (status == 404 && *code == '\0'))
		return error_set(err, ERR_NOT_FOUND, "manifest for %s not found: %s", whole,
				 *text ? text : "manifest unknown: manifest unknown");
	return 0;
}

/* A token was given, and it does not reach. Peer: dockerd 20.10 calls this denied. */
static bool lacks_scope(const struct transfer *t)
{
	const char *challenge = transfer_header(t, "www-authenticate");

	return transfer_status(t) == 401 && challenge != NULL &&
	       strstr(challenge, "insufficient_scope") != NULL;
}

int api_refused(struct remote_repo *p, struct transfer *t, const struct api_call *c,
		struct error *err)
{
	unsigned status = transfer_status(t);
	char code[64], text[512];
	int r = 0;

	read_reason(t, code, sizeof(code), text, sizeof(text));
	if (lacks_scope(t)) {
		snprintf(code, sizeof(code), "DENIED");
		snprintf(text, sizeof(text), "denied: requested access to the resource is denied");
		status = 403;
	}
	if (status == 429)
		return rate_limited(t, text, err);
	if (strcmp(p->actions, "pull") == 0 && strcmp(c->method, "GET") == 0)
		r = pull_refused(p, c, code, text, status, err);
	if (r < 0)
		return r;
	if (text[0] == '\0')
		snprintf(text, sizeof(text), "received unexpected HTTP status: %u", status);
	switch (status) {
	case 401:
		return error_set(err, ERR_UNAUTHORIZED, "%s", text);
	case 403:
		return error_set(err, ERR_FORBIDDEN, "%s", text);
	case 404:
		return error_set(err, ERR_NOT_FOUND, "%s", text);
	case 405:
	case 501:
		return error_set(err, ERR_UNIMPLEMENTED, "%s", text);
	default:
		return error_set(err, status >= 500 ? ERR_UNAVAILABLE : ERR_INVALID, "%s", text);
	}
}

/* One exchange, its strings and its state. */
struct exchange {
	struct remote_repo *p;
	struct endpoint *e;
	const struct api_call *c;
	struct arena arena;
	const char *scope;
	char *authorization; /* heap; NULL: none */
	const char *url;     /* where it goes now */
	const char *base;    /* of the endpoint; NULL: not known yet */
	int64_t start_ns;
	bool foreign; /* a redirect left the endpoint: no credentials */
	enum transfer_failure why;
};

static int send_to(struct exchange *x, const char *url, struct transfer **ret, struct error *err)
{
	struct remote_repo *p = x->p;
	bool insecure = x->e->insecure;
	struct transport how;
	struct request q = { .method = x->c->method,
			     .url = url,
			     .accept = x->c->accept,
			     .content_type = x->c->content_type,
			     .authorization = x->foreign ? NULL : x->authorization,
			     .range = x->c->range,
			     .body = x->c->body };

	/* Docker finds out whether anybody is there by a ping of its own. */
	if (!x->foreign && !x->c->whole_path)
		q.connect_as = arena_format(&x->arena, "%.*s/v2/",
					    (int)(strcspn(strstr(url, "://") + 3, "/") +
						  (size_t)(strstr(url, "://") + 3 - url)),
					    url);
	if (x->foreign) {
		const char *host = strstr(url, "://") + 3;

		insecure = host_is_insecure(p->settings,
					    arena_strndup(&x->arena, host, strcspn(host, "/?#")));
	}
	transport_fill(p->settings, &x->arena, url, insecure, &how);
	/* A server of plain HTTP may wait for ever for the end of a TLS greeting. */
	if (!x->foreign && x->base == NULL && how.connect_timeout_ms > PROBE_TIMEOUT_MS)
		how.connect_timeout_ms = PROBE_TIMEOUT_MS;
	return transfer_begin(&p->remote->pool, &how, &q, p->cancel, ret, &x->why, err);
}

static const char *url_at(struct exchange *x, const char *base)
{
	if (strstr(x->c->tail, "://") != NULL)
		return x->c->tail;
	if (x->c->whole_path)
		return arena_format(&x->arena, "%s%s", base, x->c->tail);
	return arena_format(&x->arena, "%s/v2/%s/%s", base, x->e->path, x->c->tail);
}

static void set_scheme(struct exchange *x, const char *scheme)
{
	struct endpoint *e = x->e;

	{
		LOCKED(&x->p->lock);
		if (e->base == NULL) {
			e->scheme = xstrdup(scheme);
			e->base = cstr_format("%s://%s", scheme, e->host);
		}
		x->base = e->base;
	}
	LOCKED(&x->p->remote->lock);
	map_set(&x->p->remote->schemes, e->host, xstrdup(scheme));
}

static bool known_scheme(struct exchange *x)
{
	const char *scheme;

	{
		LOCKED(&x->p->lock);
		x->base = x->e->base;
		if (x->base != NULL)
			return true;
	}
	{
		LOCKED(&x->p->remote->lock);
		scheme = map_get(&x->p->remote->schemes, x->e->host);
		scheme = scheme ? arena_strdup(&x->arena, scheme) : NULL;
	}
	if (scheme == NULL)
		return false;
	set_scheme(x, scheme);
	return true;
}

/* Nothing goes from TLS into the clear. */
static int look_where(const char *from_url, const char *to_url, bool insecure, bool *foreign,
		      struct error *err)
{
	autofree char *from = url_origin(from_url);
	autofree char *to = url_origin(to_url);

	if (to == NULL || from == NULL || !cstr_starts(to, "http"))
		return error_set(err, ERR_INVALID, "'%s' is not a URL to go to", to_url);
	if (cstr_starts(from, "https://") && !cstr_starts(to, "https://") && !insecure)
		return error_set(err, ERR_INVALID, "%s: way from https to http refused", to_url);
	if (strcmp(from, to) != 0)
		*foreign = true;
	return 0;
}

/* An insecure host may speak TLS all the same: try that first. */
static int send_first(struct exchange *x, struct transfer **ret, struct error *err)
{
	int r;

	if (known_scheme(x)) {
		x->url = url_at(x, x->base);
		r = look_where(x->base, x->url, x->e->insecure, &x->foreign, err);
		return r < 0 ? r : send_to(x, x->url, ret, err);
	}
	x->url = url_at(x, arena_format(&x->arena, "https://%s", x->e->host));
	r = send_to(x, x->url, ret, err);
	if (r == 0) {
		set_scheme(x, "https");
		return 0;
	}
	if (r != -ERR_UNAVAILABLE || x->why == TRANSFER_UNTRUSTED)
		return r;
	x->url = url_at(x, arena_format(&x->arena, "http://%s", x->e->host));
	r = send_to(x, x->url, ret, err);
	if (r == 0)
		set_scheme(x, "http");
	else
		x->url = NULL;
	return r;
}

static bool is_redirect(unsigned status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

int api_redirect(const char *from_url, struct transfer *t, bool insecure, char **ret, bool *foreign,
		 struct error *err)
{
	const char *location = transfer_header(t, "location");
	autofree char *next = NULL;
	int r;

	*ret = NULL;
	if (!is_redirect(transfer_status(t)))
		return 0;
	next = location ? url_resolve(from_url, location) : NULL;
	r = look_where(from_url, next ? next : "", insecure, foreign, err);
	if (r < 0)
		return error_wrap(err, r, "redirect of %s", from_url);
	*ret = steal_ptr(next);
	return 0;
}

/* As Go's http client names it: "Get". */
static const char *method_word(const char *method)
{
	static const char *const words[][2] = {
		{ "GET", "Get" }, { "HEAD", "Head" },   { "POST", "Post" },
		{ "PUT", "Put" }, { "PATCH", "Patch" }, { "DELETE", "Delete" },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(method, words[i][0]) == 0)
			return words[i][1];
	return method;
}

/* The challenge of a 401 answered; ERR_UNAUTHORIZED when it was answered before. */
static int authorize(struct exchange *x, struct transfer *t, bool again, struct error *err)
{
	const char *header = transfer_header(t, "www-authenticate");
	char *value = NULL;
	int r;

	if (header == NULL || again || x->foreign)
		return api_refused(x->p, t, x->c, err);
	auth_forget(x->p, x->e, x->scope);
	r = auth_find(x->p, x->e, x->scope, header, &value, err);
	/* Nobody refused anything: as a plain failure (500) it does not make the
	 * docker CLI ask for a password. */
	if (r == -ERR_UNAUTHORIZED && err != NULL && cstr_starts(err->msg, "no basic auth"))
		return error_set(err, ERR_SYSTEM, "%s \"%s\": no basic auth credentials",
				 method_word(x->c->method), x->url);
	if (r < 0)
		return r;
	free(x->authorization);
	x->authorization = value;
	return 0;
}

/* Send, follow, authorize. */
static int exchange_once(struct exchange *x, struct transfer **ret, struct error *err)
{
	struct transfer *t = NULL;
	unsigned asked = 0, hops = 0;
	int r;

	x->url = NULL;
	x->foreign = false;
	r = send_first(x, &t, err);
	while (r == 0) {
		autofree char *next = NULL;

		x->e->answered = true;
		r = api_redirect(x->url, t, x->e->insecure, &next, &x->foreign, err);
		if (r < 0)
			break;
		if (next != NULL) {
			if (++hops > REDIRECTS_MAX) {
				r = error_set(err, ERR_INVALID, "%s: too many redirects", x->url);
				break;
			}
			x->url = arena_strdup(&x->arena, next);
			transfer_end(steal_ptr(t));
			r = send_to(x, x->url, &t, err);
		} else if (transfer_status(t) == 401 && !x->c->keep_401) {
			r = authorize(x, t, asked++ > 0, err);
			transfer_end(steal_ptr(t));
			x->url = NULL;
			if (r == 0)
				r = send_first(x, &t, err);
		} else {
			break;
		}
	}
	if (r < 0) {
		transfer_end(t);
		return r;
	}
	*ret = t;
	return 0;
}

/* A short pause that the registry asks for is kept; a long one is the answer. */
static bool worth_another(const struct exchange *x, int r, struct transfer *t, int tries)
{
	uint64_t after = 0;
	const char *text;

	if (x->c->no_retry || !api_patience(x->p, tries, x->start_ns))
		return false;
	if (r < 0)
		return r == -ERR_UNAVAILABLE && x->e->answered && !x->c->ret_status;
	if (transfer_status(t) != 429)
		return transfer_status(t) >= 500 && transfer_status(t) != 501;
	text = transfer_header(t, "retry-after");
	return text != NULL && parse_u64(str_of(text), RETRY_AFTER_MAX_S, &after, NULL) == 0;
}

int api_send(struct remote_repo *p, struct endpoint *e, const struct api_call *c,
	     struct transfer **ret, struct error *err)
{
	struct exchange x = { .p = p, .e = e, .c = c, .start_ns = clock_mono_ns() };
	struct transfer *t = NULL;
	int r;

	x.scope = c->scope ? c->scope
			   : arena_format(&x.arena, "repository:%s:%s%s%s", e->path, p->actions,
					  c->extra_scope ? " " : "",
					  c->extra_scope ? c->extra_scope : "");
	r = auth_find(p, e, x.scope, NULL, &x.authorization, err);
	for (int tries = 0; r == 0; tries++) {
		t = NULL;
		r = exchange_once(&x, &t, err);
		if (c->ret_status != NULL)
			*c->ret_status = r == 0 ? transfer_status(t) : 0;
		if (r == 0 && transfer_status(t) < 500 && transfer_status(t) != 429)
			break;
		if (!worth_another(&x, r, t, tries)) {
			if (r == 0)
				r = api_refused(p, t, c, err);
			break;
		}
		transfer_end(steal_ptr(t));
		r = api_back_off(p, tries + 1, err);
	}
	free(x.authorization);
	arena_release(&x.arena);
	if (r < 0) {
		transfer_end(t);
		return r;
	}
	*ret = t;
	return 0;
}

int api_send_any(struct remote_repo *p, const struct api_call *c, struct transfer **ret,
		 struct endpoint **ret_endpoint, struct error *err)
{
	size_t first = p->current;
	int r = 0;

	for (size_t i = 0; i < p->endpoints.len; i++) {
		size_t at = (first + i) % p->endpoints.len;
		struct endpoint *e = &p->endpoints.at[at];
		struct transfer *t = NULL;

		r = api_send(p, e, c, &t, err);
		if (r == 0 && transfer_status(t) < 300) {
			p->current = at;
			*ret = t;
			if (ret_endpoint != NULL)
				*ret_endpoint = e;
			return 0;
		}
		if (r == 0)
			r = api_refused(p, t, c, err);
		transfer_end(t);
		if (r == -ERR_CANCELED)
			return r;
	}
	return r;
}
