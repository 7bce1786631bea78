/* registry/handle_list.c: tags, catalogue and referrers (end-8, end-12). */
#include <string.h>

#include "base/jsonw.h"
#include "registry/server_internal.h"

#define ANSWER_MAX (16 * 1024 * 1024)

static bool is_get(struct call *c)
{
	if (strcmp(c->req->method, "GET") == 0 || strcmp(c->req->method, "HEAD") == 0)
		return true;
	http_response_set_header(c->res, "Allow", "GET, HEAD");
	call_fail(c, CODE_UNSUPPORTED, "lists can only be read");
	return false;
}

static void send_list(struct call *c, const char *name, const char *key,
		      const struct storage_listing *all, size_t max)
{
	auto_(buf) b = BUF_INIT(ANSWER_MAX);
	struct error err;
	struct jsonw w;
	size_t from, to;

	if (!call_page(c, all, &from, &to, max))
		return;
	jsonw_init(&w, &b);
	jsonw_object(&w);
	if (name != NULL)
		jsonw_kstring(&w, "name", name);
	jsonw_karray(&w, key);
	for (size_t i = from; i < to; i++)
		jsonw_string(&w, all->names[i]);
	jsonw_end(&w);
	jsonw_end(&w);
	if (jsonw_finish(&w, &err) < 0)
		call_fail(c, CODE_UNKNOWN, err.msg);
	else
		call_send(c, 200, "application/json", b.data, b.len);
}

void handle_tags(struct call *c)
{
	auto_(storage_listing) tags = { 0 };
	struct error err;

	if (!is_get(c) || !call_allow(c, AUTH_PULL))
		return;
	if (repo_list_tags(&c->r->store, c->repo, &tags, &err) < 0)
		call_fail_err(c, &err, CODE_NAME_UNKNOWN);
	else
		send_list(c, c->repo, "tags", &tags, tags.len);
}

/* A repository is listed once it has held a manifest. */
static void drop_empty(struct call *c, struct storage_listing *l)
{
	char key[STORAGE_KEY_MAX];
	struct storage_stat st;
	struct storage *s = c->r->store.storage;
	struct auth_who who = c->who;
	size_t n = 0;

	/* A token for the catalogue names no repositories: what its user may pull is shown. */
	who.has_token = false;

	for (size_t i = 0; i < l->len; i++) {
		name_repo_key(l->names[i], "/manifests", key, sizeof(key));
		if (s->ops->stat(s, key, &st, NULL) == 0 &&
		    auth_allowed(c->r->auth, &who, l->names[i], AUTH_PULL) != 0)
			l->names[n++] = l->names[i];
		else
			free(l->names[i]);
	}
	l->len = n;
}

void handle_catalog(struct call *c)
{
	auto_(storage_listing) repos = { 0 };
	struct error err;

	if (!is_get(c))
		return;
	if (!auth_may_list(c->r->auth, &c->who)) {
		call_challenge(c, AUTH_CATALOG_SCOPE);
		return;
	}
	if (repo_list(&c->r->store, &repos, &err) < 0) {
		call_fail_err(c, &err, CODE_NAME_UNKNOWN);
		return;
	}
	drop_empty(c, &repos);
	send_list(c, NULL, "repositories", &repos, 100);
}

void handle_referrers(struct call *c)
{
	static const char head[] = "{\"schemaVersion\":2,\"mediaType\":\"application/"
				   "vnd.oci.image.index.v1+json\",\"manifests\":[";
	const char *type = http_query_get(&c->req->query, "artifactType");
	auto_(buf) b = BUF_INIT(ANSWER_MAX);
	struct digest d;
	struct error err;
	int r;

	if (!is_get(c) || !call_allow(c, AUTH_PULL))
		return;
	if (digest_parse(c->rest, strlen(c->rest), &d, &err) < 0) {
		call_fail(c, CODE_DIGEST_INVALID, err.msg);
		return;
	}
	r = buf_add(&b, head, strlen(head), &err);
	if (r == 0) {
		auto_(buf) list = BUF_INIT(ANSWER_MAX);

		r = repo_referrers(&c->r->store, c->repo, &d, type, &list, &err);
		if (r == 0)
			r = buf_add(&b, list.data, list.len, &err);
	}
	if (r == 0)
		r = buf_add(&b, "]}", 2, &err);
	if (r < 0) {
		call_fail_err(c, &err, CODE_MANIFEST_UNKNOWN);
		return;
	}
	if (type != NULL)
		http_response_set_header(c->res, "OCI-Filters-Applied", "artifactType");
	call_send(c, 200, "application/vnd.oci.image.index.v1+json", b.data, b.len);
}
