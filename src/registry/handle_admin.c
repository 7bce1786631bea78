/* registry/handle_admin.c: tokens, metrics, and maintenance over the control socket. */
#include <string.h>

#include "base/clock.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "registry/server_internal.h"

#define SCOPES_MAX 32

/* Spec: distribution, "Token Authentication Specification". docker login tries
 * POST (OAuth2) first and falls back to GET on 404. */
void handle_token(struct call *c)
{
	auto_(buf) b = BUF_INIT(64 * 1024);
	const char *scopes[SCOPES_MAX], *token, *one;
	char at[TIME_TEXT_MAX];
	size_t n = 0;
	int64_t expires;
	struct error err;
	struct jsonw w;

	if (strcmp(c->req->method, "GET") != 0) {
		call_fail(c, CODE_NAME_UNKNOWN, "tokens are given for GET");
		return;
	}
	/* Several scopes come as repeated keys, or blank-separated in one. */
	while (n < SCOPES_MAX && (one = http_query_nth(&c->req->query, "scope", n)) != NULL)
		scopes[n++] = one;
	if (n == 1) {
		struct str rest = str_of(scopes[0]), word;

		for (n = 0; n < SCOPES_MAX && str_split(&rest, ' ', &word);)
			if (word.len > 0)
				scopes[n++] = arena_strndup(c->req->arena, word.at, word.len);
	}
	if (auth_issue(c->r->auth, &c->who, scopes, n, c->req->arena, &token, &expires, &err) < 0) {
		call_fail_err(c, &err, CODE_UNKNOWN);
		return;
	}
	time_format_rfc3339nano(clock_wall_ns(), at);
	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_kstring(&w, "token", token);
	jsonw_kstring(&w, "access_token", token);
	jsonw_kint(&w, "expires_in", expires);
	jsonw_kstring(&w, "issued_at", at);
	jsonw_end(&w);
	(void)!jsonw_finish(&w, NULL);
	call_send(c, 200, "application/json", b.data, b.len);
}

void handle_health(struct call *c, bool deep)
{
	struct storage *s = c->r->store.storage;
	static const char ok[] = "ok\n", not_ready[] = "not ready\n";
	struct storage_stat st;
	int r = atomic_load(&c->r->ready) ? 0 : -ERR_UNAVAILABLE;

	if (r == 0 && deep)
		r = s->ops->stat(s, "repos/health", &st, NULL);
	if (r == 0 || r == -ERR_NOT_FOUND)
		call_send(c, 200, "text/plain", ok, strlen(ok));
	else
		call_send(c, 503, "text/plain", not_ready, strlen(not_ready));
}

void handle_metrics(struct call *c)
{
	static const struct {
		enum counter which;
		const char *name, *help;
	} shown[] = {
		{ COUNT_REQUESTS, "requests_total", "Requests answered." },
		{ COUNT_ERRORS_4XX, "client_errors_total", "Answers 400 to 499." },
		{ COUNT_ERRORS_5XX, "server_errors_total", "Answers 500 and above." },
		{ COUNT_BLOB_PULLS, "blob_pulls_total", "Blobs sent." },
		{ COUNT_BLOB_PUSHES, "blob_pushes_total", "Blobs received or mounted." },
		{ COUNT_MANIFEST_PULLS, "manifest_pulls_total", "Manifests sent." },
		{ COUNT_MANIFEST_PUSHES, "manifest_pushes_total", "Manifests received." },
		{ COUNT_BYTES_OUT, "blob_bytes_sent_total", "Bytes of blobs sent." },
		{ COUNT_BYTES_IN, "blob_bytes_received_total", "Bytes of blobs received." },
		{ COUNT_COLLECTIONS, "collections_total", "Garbage collections that ended." },
		{ COUNT_COLLECTED, "collected_bytes_total", "Bytes that collections deleted." },
	};
	auto_(buf) b = BUF_INIT(16 * 1024);

	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		(void)!buf_addf(&b, NULL,
				"# HELP proa_registry_%s %s\n# TYPE proa_registry_%s counter\n"
				"proa_registry_%s %llu\n",
				shown[i].name, shown[i].help, shown[i].name, shown[i].name,
				(unsigned long long)atomic_load(&c->r->counters[shown[i].which]));
	call_send(c, 200, "text/plain; version=0.0.4; charset=utf-8", b.data, b.len);
}

void handle_admin(struct call *c, const char *what)
{
	auto_(buf) b = BUF_INIT(64 * 1024 * 1024);
	struct registry_task t = {
		.what = what,
		.grace = http_query_get(&c->req->query, "grace"),
		.dry_run = http_query_bool(&c->req->query, "dry-run", false),
		.untagged = http_query_bool(&c->req->query, "untagged", false),
	};
	struct error err;
	int r;

	if (strcmp(c->req->method, "POST") != 0) {
		call_fail(c, CODE_UNSUPPORTED, "maintenance is asked for by POST");
		return;
	}
	r = registry_maintain(c->r, &t, c->req->cancel, &b, &err);
	/* Damage is in the report; the status tells the command's exit code. */
	if (r < 0 && b.len == 0)
		(void)!buf_addf(&b, NULL, "%s\n", err.msg);
	call_send(c, r < 0 ? 500 : 200, "text/plain", b.data ? b.data : "", b.len);
}
