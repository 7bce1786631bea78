/* remote/list.c: tags, search and login. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/str.h"
#include "base/vec.h"
#include "remote/internal.h"

enum { TAGS_MAX = 100000, PAGE_MAX_BYTES = 16 * 1024 * 1024, PAGES_MAX = 1000 };

/* `<url>; rel="next"` of a Link header, made whole; NULL when there is none. Heap. */
static char *next_page(const struct transfer *t, const char *base)
{
	struct str s = str_of(transfer_header(t, "link"));
	ptrdiff_t open = str_find(s, '<'), close = str_find(s, '>');
	autofree char *relative = NULL;

	if (s.len == 0 || open < 0 || close < open || strstr(s.at + close, "rel=\"next\"") == NULL)
		return NULL;
	relative = str_dup(str_sub(s, (size_t)open + 1, (size_t)(close - open) - 1));
	return url_resolve(base, relative);
}

static bool same_origin(const char *a, const char *b)
{
	autofree char *x = url_origin(a);
	autofree char *y = url_origin(b);

	return x != NULL && y != NULL && strcmp(x, y) == 0;
}

struct names {
	struct arena *a;
	VEC(const char *) at;
};

static int keep_names(struct names *n, const struct json *list, struct error *err)
{
	json_for_each_item (v, list) {
		if (v->type != JSON_STRING)
			continue;
		if (n->at.len >= TAGS_MAX)
			return error_set(err, ERR_INVALID, "more than %d names", TAGS_MAX);
		*vec_push(&n->at) = arena_strdup(n->a, v->s);
	}
	return 0;
}

/* All pages of a list below an endpoint: tags or the catalog. */
static int read_pages(struct remote_repo *p, struct api_call *call, const char *member,
		      struct names *n, struct error *err)
{
	autofree char *url = NULL;
	int r = 0;

	for (int page = 0; r == 0 && call->tail != NULL; page++) {
		auto_(buf) body = BUF_INIT(PAGE_MAX_BYTES);
		auto_(arena) a = ARENA_INIT;
		const struct json *j = NULL;
		struct endpoint *e = NULL;
		struct transfer *t = NULL;
		char *next;

		if (page == PAGES_MAX)
			return error_set(err, ERR_INVALID, "more than %d pages", PAGES_MAX);
		r = api_send_any(p, call, &t, &e, err);
		if (r < 0)
			return r;
		r = api_read(t, &body, err);
		if (r == 0)
			r = json_parse(&a, body.data ? body.data : "", body.len, &j, err);
		if (r == 0)
			r = keep_names(n, json_get(j, member), err);
		next = next_page(t, url ? url : e->base);
		transfer_end(t);
		/* Pages stay where they began: credentials go along. */
		if (next != NULL && !same_origin(next, e->base))
			free(steal_ptr(next));
		free(url);
		call->tail = url = next;
	}
	return r;
}

static void give_names(struct names *n, struct strings *ret)
{
	const char **at = arena_array(n->a, n->at.len + 1, sizeof(*at));

	if (n->at.len > 0)
		memcpy(at, n->at.at, n->at.len * sizeof(*at));
	*ret = (struct strings){ at, n->at.len };
}

int remote_tags(struct remote_repo *p, struct arena *a, struct strings *ret, struct error *err)
{
	struct api_call call = { .method = "GET", .tail = "tags/list?n=1000" };
	struct names n = { .a = a };
	int r;

	r = read_pages(p, &call, "tags", &n, err);
	if (r == 0)
		give_names(&n, ret);
	vec_release(&n.at);
	return r;
}

static int open_host(struct remote *r, const char *host, const struct remote_auth *auth,
		     const struct cancel *cancel, struct remote_repo **ret, struct error *err)
{
	struct reference ref = { .path = "x" };

	snprintf(ref.domain, sizeof(ref.domain), "%s", host);
	return remote_open(r, &ref, auth, REMOTE_PUSH, cancel, ret, err);
}

static int hits_from(struct arena *a, const struct json *j, unsigned limit, struct remote_hits *ret)
{
	const struct json *list = json_get(j, "results");
	struct remote_hit *hits = arena_array(a, (size_t)limit + 1, sizeof(*hits));
	size_t n = 0;

	json_for_each_item (v, list) {
		if (n == limit)
			break;
		hits[n++] = (struct remote_hit){ .name = json_str(v, "name"),
						 .description = json_str(v, "description"),
						 .stars = json_int(v, "star_count", 0),
						 .official = json_bool(v, "is_official", false),
						 .automated = json_bool(v, "is_automated", false) };
	}
	*ret = (struct remote_hits){ hits, n };
	return 0;
}

static int search_index(struct remote_repo *p, const char *term, unsigned limit, struct arena *a,
			struct remote_hits *ret, struct error *err)
{
	auto_(buf) body = BUF_INIT(PAGE_MAX_BYTES);
	autofree char *escaped = url_escape(term);
	autofree char *tail = cstr_format("/v1/search?q=%s&n=%u", escaped, limit);
	const struct api_call call = {
		.method = "GET", .tail = tail, .whole_path = true, .scope = ""
	};
	const struct json *j = NULL;
	struct transfer *t = NULL;
	int r;

	r = api_send_any(p, &call, &t, NULL, err);
	if (r < 0)
		return r;
	r = api_read(t, &body, err);
	transfer_end(t);
	if (r == 0)
		r = json_parse(a, body.data ? body.data : "", body.len, &j, err);
	return r < 0 ? r : hits_from(a, j, limit, ret);
}

static int search_catalog(struct remote_repo *p, const char *host, const char *term, unsigned limit,
			  struct arena *a, struct remote_hits *ret, struct error *err)
{
	struct api_call call = { .method = "GET",
				 .tail = "/v2/_catalog?n=1000",
				 .whole_path = true,
				 .scope = "registry:catalog:*" };
	struct remote_hit *hits = arena_array(a, (size_t)limit + 1, sizeof(*hits));
	struct names n = { .a = a };
	size_t count = 0;
	int r;

	r = read_pages(p, &call, "repositories", &n, err);
	for (size_t i = 0; r == 0 && i < n.at.len && count < limit; i++)
		if (strstr(n.at.at[i], term) != NULL)
			hits[count++].name = arena_format(a, "%s/%s", host, n.at.at[i]);
	vec_release(&n.at);
	if (r == 0)
		*ret = (struct remote_hits){ hits, count };
	return r;
}

/* "host/term" names a registry as a reference would. */
static bool names_registry(const char *term, size_t *ret_len)
{
	struct str s = str_of(term);
	ptrdiff_t slash = str_find(s, '/');

	if (slash <= 0)
		return false;
	s = str_sub(s, 0, (size_t)slash);
	*ret_len = s.len;
	return str_find(s, '.') >= 0 || str_find(s, ':') >= 0 || str_eqs(s, "localhost");
}

int remote_search(struct remote *r, const char *term, unsigned limit,
		  const struct remote_auth *auth, const struct cancel *cancel, struct arena *a,
		  struct remote_hits *ret, struct error *err)
{
	const char *host = "index.docker.io";
	struct remote_repo *p = NULL;
	size_t host_len = 0;
	bool own = names_registry(term, &host_len);
	int e;

	if (own) {
		host = arena_strndup(a, term, host_len);
		term += host_len + 1;
	}
	if (own && (strcmp(host, "docker.io") == 0 || strcmp(host, "index.docker.io") == 0)) {
		host = "index.docker.io";
		own = false;
	}
	e = open_host(r, host, auth, cancel, &p, err);
	if (e < 0)
		return e;
	e = search_index(p, term, limit, a, ret, err);
	if (own && (e == -ERR_NOT_FOUND || e == -ERR_INVALID || e == -ERR_UNIMPLEMENTED))
		e = search_catalog(p, host, term, limit, a, ret, err);
	remote_close(p);
	return e;
}

/* "https://index.docker.io/v1/" and "host:port/" alike become a host. */
static const char *login_host(struct arena *a, const char *server)
{
	const char *rest = strstr(server, "://");
	const char *host = rest ? rest + 3 : server;

	host = arena_strndup(a, host, strcspn(host, "/"));
	if (*host == '\0' || strcmp(host, "index.docker.io") == 0)
		return REFERENCE_DEFAULT_DOMAIN;
	return host;
}

static int login_failed(const struct endpoint *e, struct transfer *t, struct error *err)
{
	unsigned status = transfer_status(t);
	const char *text = status == 401   ? "Unauthorized"
			   : status == 403 ? "Forbidden"
			   : status == 404 ? "Not Found"
					   : "";

	return error_set(err, status == 401 || status == 403 ? ERR_UNAUTHORIZED : ERR_UNAVAILABLE,
			 "login attempt to %s/v2/ failed with status: %u%s%s", e->base, status,
			 *text ? " " : "", text);
}

static int login_with(struct remote_repo *p, struct endpoint *e, const char *header,
		      struct arena *a, const char **ret_token, struct error *err)
{
	auto_(arena) scratch = ARENA_INIT;
	enum transfer_failure why;
	struct transport how;
	struct transfer *t = NULL;
	struct request q = { .method = "GET" };
	struct grant g = { 0 };
	int r;

	r = auth_fetch(p, e, "", header, true, &g, err);
	if (r < 0)
		return r;
	q.url = arena_format(&scratch, "%s/v2/", e->base);
	q.authorization = g.value;
	transport_fill(p->settings, &scratch, q.url, e->insecure, &how);
	r = transfer_begin(&p->remote->pool, &how, &q, p->cancel, &t, &why, err);
	if (r == 0 && transfer_status(t) != 200)
		r = login_failed(e, t, err);
	if (r == 0)
		*ret_token = arena_strdup(a, g.refresh ? g.refresh : "");
	transfer_end(t);
	free(g.value);
	free(g.refresh);
	return r;
}

int remote_login(struct remote *r, const char *server, const struct remote_auth *auth,
		 const struct cancel *cancel, struct arena *a, const char **ret_identity_token,
		 struct error *err)
{
	const struct api_call ping = { .method = "GET",
				       .tail = "/v2/",
				       .whole_path = true,
				       .no_retry = true,
				       .keep_401 = true };
	struct remote_repo *p = NULL;
	struct transfer *t = NULL;
	struct endpoint *e;
	int status;

	status = open_host(r, login_host(a, server), auth, cancel, &p, err);
	if (status < 0)
		return status;
	e = &p->endpoints.at[p->endpoints.len - 1];
	status = api_send(p, e, &ping, &t, err);
	if (status == 0 && transfer_status(t) == 401 &&
	    transfer_header(t, "www-authenticate") != NULL)
		status = login_with(p, e, transfer_header(t, "www-authenticate"), a,
				    ret_identity_token, err);
	else if (status == 0 && transfer_status(t) != 200)
		status = login_failed(e, t, err);
	else if (status == 0)
		*ret_identity_token = "";
	transfer_end(t);
	remote_close(p);
	return status;
}
