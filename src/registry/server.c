#include "registry/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/str.h"
#include "registry/server_internal.h"

#define PAGE_MAX 1000

static const struct {
	const char *name;
	int status;
} codes[CODE_COUNT] = {
	[CODE_BLOB_UNKNOWN] = { "BLOB_UNKNOWN", 404 },
	[CODE_BLOB_UPLOAD_INVALID] = { "BLOB_UPLOAD_INVALID", 400 },
	[CODE_BLOB_UPLOAD_UNKNOWN] = { "BLOB_UPLOAD_UNKNOWN", 404 },
	[CODE_DIGEST_INVALID] = { "DIGEST_INVALID", 400 },
	[CODE_MANIFEST_BLOB_UNKNOWN] = { "MANIFEST_BLOB_UNKNOWN", 404 },
	[CODE_MANIFEST_INVALID] = { "MANIFEST_INVALID", 400 },
	[CODE_MANIFEST_UNKNOWN] = { "MANIFEST_UNKNOWN", 404 },
	[CODE_NAME_INVALID] = { "NAME_INVALID", 400 },
	[CODE_NAME_UNKNOWN] = { "NAME_UNKNOWN", 404 },
	[CODE_SIZE_INVALID] = { "SIZE_INVALID", 413 },
	[CODE_URI_TOO_LONG] = { "MANIFEST_INVALID", 414 },
	[CODE_UNAUTHORIZED] = { "UNAUTHORIZED", 401 },
	[CODE_DENIED] = { "DENIED", 403 },
	[CODE_UNSUPPORTED] = { "UNSUPPORTED", 405 },
	[CODE_TOOMANYREQUESTS] = { "TOOMANYREQUESTS", 429 },
	[CODE_PAGINATION_NUMBER_INVALID] = { "PAGINATION_NUMBER_INVALID", 400 },
	[CODE_RANGE_INVALID] = { "BLOB_UPLOAD_INVALID", 416 },
	[CODE_NO_SPACE] = { "UNKNOWN", 507 },
	[CODE_UPSTREAM] = { "UNKNOWN", 502 },
	[CODE_UNKNOWN] = { "UNKNOWN", 500 },
};

void call_count(struct call *c, enum counter which, uint64_t n)
{
	atomic_fetch_add_explicit(&c->r->counters[which], n, memory_order_relaxed);
}

void call_send(struct call *c, int status, const char *type, const void *bytes, size_t len)
{
	c->status = status;
	http_response_set_status(c->res, status);
	if (type != NULL)
		http_response_set_header(c->res, "Content-Type", type);
	(void)!http_response_send(c->res, bytes, len, NULL);
}

void call_empty(struct call *c, int status)
{
	call_send(c, status, NULL, "", 0);
}

void call_fail(struct call *c, enum code code, const char *message)
{
	auto_(buf) b = BUF_INIT(16 * 1024);
	struct jsonw w;

	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_karray(&w, "errors");
	jsonw_object(&w);
	jsonw_kstring(&w, "code", codes[code].name);
	jsonw_kstring(&w, "message", message);
	jsonw_knull(&w, "detail");
	jsonw_end(&w);
	jsonw_end(&w);
	jsonw_end(&w);
	(void)!jsonw_finish(&w, NULL);
	call_send(c, codes[code].status, "application/json", b.data ? b.data : "", b.len);
}

/* What went wrong here is for the log; the client learns only that it did. */
static void fail_inside(struct call *c, const struct error *err)
{
	if (err->kind == ERR_CANCELED) { /* the client has gone: nobody reads this */
		call_fail(c, CODE_UNKNOWN, "canceled");
		return;
	}
	log_error("request failed", KV("method", c->req->method), KV("path", c->req->path),
		  KV("peer", c->req->peer), KV_ERR(err));
	if (err->sys == ENOSPC || err->sys == EDQUOT)
		call_fail(c, CODE_NO_SPACE, "no space left in this registry");
	else
		call_fail(c, CODE_UNKNOWN, "internal error");
}

void call_fail_err(struct call *c, const struct error *err, enum code not_found)
{
	switch (err->kind) {
	case ERR_NOT_FOUND:
		call_fail(c, not_found, err->msg);
		break;
	case ERR_UNAUTHORIZED:
		call_fail(c, CODE_UNAUTHORIZED, err->msg);
		break;
	case ERR_FORBIDDEN:
		call_fail(c, CODE_DENIED, err->msg);
		break;
	case ERR_INVALID:
	case ERR_UNIMPLEMENTED:
		call_fail(c, CODE_MANIFEST_INVALID, err->msg);
		break;
	case ERR_UNAVAILABLE:
		call_fail(c, CODE_UPSTREAM, err->msg);
		break;
	case ERR_NONE:
	case ERR_CONFLICT:
	case ERR_CANCELED:
	case ERR_CORRUPT:
	case ERR_SYSTEM:
	case ERR_KIND_COUNT:
	default:
		fail_inside(c, err);
		break;
	}
}

/* URL of the token endpoint, as the client reaches us. */
static const char *realm_of(struct call *c)
{
	const char *host = http_request_header(c->req, "Host");
	bool tls = c->req->tls;

	if (c->r->config->external_url != NULL)
		return arena_format(c->req->arena, "%s/v2/token", c->r->config->external_url);
	if (host == NULL || strpbrk(host, "\"\\ ") != NULL)
		host = "localhost";
	return arena_format(c->req->arena, "%s://%s/v2/token", tls ? "https" : "http", host);
}

bool call_matches(struct call *c, const char *digest)
{
	const char *match = http_request_header(c->req, "If-None-Match");

	return match != NULL && (strcmp(match, "*") == 0 || strstr(match, digest) != NULL);
}

bool call_allow_on(struct call *c, const char *repo, unsigned actions)
{
	return auth_allowed(c->r->auth, &c->who, repo, actions) == actions;
}

bool call_allow(struct call *c, unsigned actions)
{
	bool known = *c->who.user != '\0' && !c->who.has_token;

	if (call_allow_on(c, c->repo, actions))
		return true;
	if (known) {
		call_fail(c, CODE_DENIED, "requested access to the resource is denied");
		return false;
	}
	call_challenge(c, auth_scope(c->req->arena, c->repo, actions));
	return false;
}

void call_challenge(struct call *c, const char *scope)
{
	http_response_set_header(c->res, "WWW-Authenticate",
				 auth_challenge(c->r->auth, c->req->arena, realm_of(c), scope,
						c->who.has_token ? "insufficient_scope" : NULL));
	call_fail(c, CODE_UNAUTHORIZED, "authentication required");
}

bool call_page(struct call *c, const struct storage_listing *all, size_t *ret_from, size_t *ret_to,
	       size_t max)
{
	const char *n_text = http_query_get(&c->req->query, "n");
	const char *last = http_query_get(&c->req->query, "last");
	size_t from = 0;
	uint64_t n = max;

	if (n_text != NULL && parse_u64(str_of(n_text), UINT32_MAX, &n, NULL) < 0) {
		call_fail(c, CODE_PAGINATION_NUMBER_INVALID, "n is not a number");
		return false;
	}
	if (n > PAGE_MAX && n_text != NULL)
		n = PAGE_MAX;
	while (last != NULL && from < all->len && strcmp(all->names[from], last) <= 0)
		from++;
	*ret_from = from;
	*ret_to = all->len - from > n ? from + (size_t)n : all->len;
	if (*ret_to<all->len && * ret_to> from) {
		auto_(buf) link = BUF_INIT(4096);

		if (buf_addf(&link, NULL, "<%s?", c->req->path) == 0 &&
		    http_encode_param(&link, "last", all->names[*ret_to - 1], NULL) == 0)
			http_response_set_headerf(c->res, "Link", "%s&n=%llu>; rel=\"next\"",
						  link.data, (unsigned long long)n);
	}
	return true;
}

/* ---- routes ---- */

static bool cut_suffix(struct str *s, const char *suffix)
{
	if (!str_ends(*s, suffix) || s->len <= strlen(suffix))
		return false;
	s->len -= strlen(suffix);
	return true;
}

static void (*route(struct call *c, struct str rest))(struct call *)
{
	static const struct {
		const char *kind;
		void (*handle)(struct call *);
	} kinds[] = {
		{ "/blobs/uploads", handle_upload },
		{ "/blobs", handle_blob },
		{ "/manifests", handle_manifest },
		{ "/referrers", handle_referrers },
	};
	struct str name = rest;
	ptrdiff_t slash;

	if (cut_suffix(&name, "/tags/list")) {
		c->repo = arena_strndup(c->req->arena, name.at, name.len);
		return handle_tags;
	}
	if (cut_suffix(&name, "/blobs/uploads/") || cut_suffix(&name, "/blobs/uploads")) {
		c->repo = arena_strndup(c->req->arena, name.at, name.len);
		return handle_upload_begin;
	}
	slash = str_rfind(name, '/');
	if (slash <= 0)
		return NULL;
	c->rest = arena_strndup(c->req->arena, name.at + slash + 1, name.len - (size_t)slash - 1);
	name.len = (size_t)slash;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!cut_suffix(&name, kinds[i].kind))
			continue;
		c->repo = arena_strndup(c->req->arena, name.at, name.len);
		return kinds[i].handle;
	}
	return NULL;
}

static void handle_base(struct call *c)
{
	if (!auth_is_open(c->r->auth) && *c->who.user == '\0') {
		call_challenge(c, NULL);
		return;
	}
	call_send(c, 200, "application/json", "{}", 2);
}

static void handle_v2(struct call *c)
{
	void (*handle)(struct call *);
	struct str rest = str_of(c->req->path + strlen("/v2/"));

	if (rest.len == 0) {
		handle_base(c);
		return;
	}
	if (str_eqs(rest, "_catalog")) {
		handle_catalog(c);
		return;
	}
	if (str_eqs(rest, "token")) {
		handle_token(c);
		return;
	}
	handle = route(c, rest);
	if (handle == NULL) {
		call_fail(c, CODE_NAME_UNKNOWN, "no such end-point");
		return;
	}
	if (!name_is_repo(c->repo)) {
		call_fail(c, CODE_NAME_INVALID, "invalid repository name");
		return;
	}
	handle(c);
}

static void audit(struct call *c)
{
	auto_(buf) line = BUF_INIT(8192);
	char at[TIME_TEXT_MAX];
	struct jsonw w;

	if (c->r->audit_fd < 0)
		return;
	time_format_rfc3339nano(clock_wall_ns(), at);
	jsonw_init(&w, &line);
	jsonw_object(&w);
	jsonw_kstring(&w, "time", at);
	jsonw_kstring(&w, "peer", c->req->peer);
	jsonw_kstring(&w, "user", c->who.user);
	jsonw_kstring(&w, "method", c->req->method);
	jsonw_kstring(&w, "path", c->req->path);
	jsonw_kint(&w, "status", c->status);
	jsonw_end(&w);
	if (jsonw_finish(&w, NULL) == 0 && buf_add(&line, "\n", 1, NULL) == 0)
		(void)!fs_write_all(c->r->audit_fd, line.data, line.len, NULL);
}

static void refuse_who(struct call *c, const struct error *err)
{
	if (err->kind == ERR_UNAVAILABLE) {
		http_response_set_header(c->res, "Retry-After", "1");
		call_fail(c, CODE_TOOMANYREQUESTS, err->msg);
		return;
	}
	http_response_set_header(
	    c->res, "WWW-Authenticate",
	    auth_challenge(c->r->auth, c->req->arena, realm_of(c), NULL, "invalid_token"));
	call_fail(c, CODE_UNAUTHORIZED, err->msg);
}

static void dispatch(struct call *c)
{
	const char *path = c->req->path;
	struct error err;

	if (strcmp(path, "/healthz") == 0 || strcmp(path, "/readyz") == 0) {
		handle_health(c, strcmp(path, "/readyz") == 0);
		return;
	}
	if (!limit_pass(c->r->limit, c->req->peer)) {
		http_response_set_header(c->res, "Retry-After", "1");
		call_fail(c, CODE_TOOMANYREQUESTS, "too many requests from your address");
		return;
	}
	if (c->req->local && cstr_starts(path, "/_proa/")) {
		handle_admin(c, path + strlen("/_proa/"));
		return;
	}
	if (strcmp(path, "/metrics") == 0 && c->r->config->metrics) {
		handle_metrics(c);
		return;
	}
	http_response_set_header(c->res, "Docker-Distribution-Api-Version", "registry/2.0");
	if (auth_identify(c->r->auth, c->req->arena, http_request_header(c->req, "Authorization"),
			  &c->who, &err) < 0) {
		refuse_who(c, &err);
		return;
	}
	if (strcmp(path, "/v2") == 0)
		handle_base(c);
	else if (cstr_starts(path, "/v2/"))
		handle_v2(c);
	else
		call_fail(c, CODE_NAME_UNKNOWN, "this is a registry: its API begins with /v2/");
}

void registry_handle(void *arg, struct http_request *req, struct http_response *res)
{
	struct call c = { .r = arg, .req = req, .res = res };

	call_count(&c, COUNT_REQUESTS, 1);
	dispatch(&c);
	log_debug("request", KV("method", req->method), KV("path", req->path),
		  KV_INT("status", c.status), KV("peer", req->peer), KV("user", c.who.user));
	if (c.status >= 500)
		call_count(&c, COUNT_ERRORS_5XX, 1);
	else if (c.status >= 400)
		call_count(&c, COUNT_ERRORS_4XX, 1);
	if (strcmp(req->method, "GET") != 0 && strcmp(req->method, "HEAD") != 0)
		audit(&c);
}

int registry_open(const struct registry_config *config, struct registry **ret, struct error *err)
{
	struct registry *r = new0(struct registry);
	autofree char *key_path = cstr_format("%s/token.key", config->data);
	int rc;

	r->config = config;
	r->audit_fd = FD_NONE;
	r->gc_lock = (struct lock)LOCK_INIT;
	gate_init(&r->store.gate);
	rc = storage_fs_open(config->data, &r->store.storage, err);
	if (rc == 0)
		rc = auth_new(config->auth, key_path, &r->auth, err);
	if (rc == 0 && config->audit_path != NULL)
		rc = fs_open(config->audit_path, O_WRONLY | O_CREAT | O_APPEND, 0600, &r->audit_fd,
			     err);
	r->limit = limit_new(config->requests_per_second, config->burst);
	if (rc == 0)
		r->uploads = uploads_new(&r->store, config->max_blob_bytes);
	if (rc == 0 && config->n_mirrors > 0)
		rc = mirror_new(config, &r->store, r->uploads, &r->mirror, err);
	if (rc < 0) {
		registry_close(r);
		return rc;
	}
	atomic_store(&r->ready, true);
	*ret = r;
	return 0;
}

void registry_close(struct registry *r)
{
	if (r == NULL)
		return;
	mirror_free(r->mirror);
	uploads_free(r->uploads);
	auth_free(r->auth);
	limit_free(r->limit);
	if (r->audit_fd >= 0)
		close(r->audit_fd);
	storage_free(r->store.storage);
	gate_release(&r->store.gate);
	free(r);
}

static int maintain_gc(struct registry *r, const struct registry_task *t,
		       const struct cancel *cancel, struct buf *report, struct error *err)
{
	struct gc_options o = r->config->gc;
	struct gc_result g;
	int rc = t->grace ? parse_duration(str_of(t->grace), &o.grace_ns, err) : 0;

	o.dry_run = t->dry_run;
	o.untagged |= t->untagged;
	if (rc == 0)
		rc = gc_run(&r->store, r->uploads, &o, cancel, &g, err);
	if (rc < 0)
		return rc;
	if (!o.dry_run) {
		atomic_fetch_add(&r->counters[COUNT_COLLECTIONS], 1);
		atomic_fetch_add(&r->counters[COUNT_COLLECTED], g.bytes);
	}
	return buf_addf(report, err,
			"%s %llu blobs (%llu bytes), %llu links, %llu manifests, %llu uploads; "
			"%llu blobs stay\n",
			o.dry_run ? "would delete" : "deleted", (unsigned long long)g.blobs,
			(unsigned long long)g.bytes, (unsigned long long)g.links,
			(unsigned long long)g.manifests, (unsigned long long)g.uploads,
			(unsigned long long)g.kept);
}

int registry_maintain(struct registry *r, const struct registry_task *t,
		      const struct cancel *cancel, struct buf *report, struct error *err)
{
	uint64_t checked, bad;
	int rc;

	/* One maintenance at a time; pushes and pulls go on beside it (gate.h). */
	LOCKED(&r->gc_lock);
	if (strcmp(t->what, "gc") == 0)
		return maintain_gc(r, t, cancel, report, err);
	if (strcmp(t->what, "retain") == 0)
		return gc_retain(&r->store, r->config->retain, r->config->n_retain, t->dry_run,
				 report, err);
	if (strcmp(t->what, "scrub") != 0)
		return error_set(err, ERR_NOT_FOUND, "no maintenance '%s'", t->what);
	rc = gc_scrub(&r->store, t->dry_run, cancel, report, &checked, &bad, err);
	if (rc == 0)
		rc = buf_addf(report, err, "%llu blobs checked, %llu damaged or missing\n",
			      (unsigned long long)checked, (unsigned long long)bad);
	if (rc == 0 && bad > 0)
		rc = error_set(err, ERR_CORRUPT, "%llu blobs are damaged or missing",
			       (unsigned long long)bad);
	return rc;
}
