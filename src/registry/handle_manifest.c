/* registry/handle_manifest.c: /v2/<name>/manifests/<reference> (end-3, end-7, end-9). */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "registry/server_internal.h"

#define TAGS_MAX 100 /* of one push by digest */

/* The digest behind the reference. */
static int resolve(struct call *c, const struct name_reference *ref, struct digest *ret,
		   struct error *err)
{
	if (ref->is_digest) {
		*ret = ref->digest;
		return 0;
	}
	return repo_get_tag(&c->r->store, c->repo, ref->tag, ret, err);
}

static int find(struct call *c, const struct name_reference *ref, struct repo_manifest *ret,
		struct error *err)
{
	struct digest d;
	int r = resolve(c, ref, &d, err);

	return r < 0 ? r : repo_get_manifest(&c->r->store, c->repo, &d, c->req->arena, ret, err);
}

/* A mirrored tag is asked for upstream each time, a digest only when it is not here. */
static int find_or_fetch(struct call *c, const struct name_reference *ref,
			 struct repo_manifest *ret, struct error *err)
{
	struct repo_manifest passed;
	struct error upstream;
	int r = ref->is_digest ? find(c, ref, ret, err) : -ERR_NOT_FOUND;

	if (r == 0)
		return 0;
	if (c->r->mirror != NULL && mirror_covers(c->r->mirror, c->repo)) {
		r = mirror_manifest(c->r->mirror, c->repo, c->rest, c->req->cancel, c->req->arena,
				    &passed, &upstream);
		if (r == 0 && passed.bytes != NULL) {
			*ret = passed;
			return 0;
		}
		if (r < 0 && r != -ERR_NOT_FOUND) {
			r = find(c, ref, ret, err);
			if (r == -ERR_NOT_FOUND) {
				/* Whatever it is, it is the upstream's and not the client's. */
				*err = upstream;
				err->kind = ERR_UNAVAILABLE;
				return -ERR_UNAVAILABLE;
			}
			return r;
		}
	}
	return find(c, ref, ret, err);
}

static void get_manifest(struct call *c, const struct name_reference *ref)
{
	struct repo_manifest m;
	char text[DIGEST_TEXT_MAX];
	struct error err;

	if (find_or_fetch(c, ref, &m, &err) < 0) {
		if (err.kind == ERR_NOT_FOUND)
			snprintf(err.msg, sizeof(err.msg), "manifest unknown: %.200s", c->rest);
		call_fail_err(c, &err, CODE_MANIFEST_UNKNOWN);
		return;
	}
	digest_format(&m.digest, text);
	http_response_set_header(c->res, "Docker-Content-Digest", text);
	http_response_set_headerf(c->res, "ETag", "\"%s\"", text);
	call_count(c, COUNT_MANIFEST_PULLS, 1);
	if (call_matches(c, text)) {
		call_empty(c, 304);
		return;
	}
	call_send(c, 200, m.media_type, m.bytes, m.len);
}

static void fail_put(struct call *c, const struct error *err)
{
	if (err->kind == ERR_NOT_FOUND)
		call_fail(c, CODE_MANIFEST_BLOB_UNKNOWN, err->msg);
	else if (err->kind == ERR_CORRUPT)
		call_fail(c, CODE_DIGEST_INVALID, err->msg);
	else
		call_fail_err(c, err, CODE_MANIFEST_INVALID);
}

/*
 * Tags that the request asks for: the reference, or beside a digest each "?tag=".
 * false: refused and answered. Spec: distribution-spec v1.2, "Pushing manifests".
 */
static bool read_tags(struct call *c, const struct name_reference *ref, struct repo_put *put)
{
	const char **tags = arena_array(c->req->arena, TAGS_MAX, sizeof(*tags));
	const char *one;

	put->tags = tags;
	if (!ref->is_digest)
		tags[put->n_tags++] = ref->tag;
	while (ref->is_digest &&
	       (one = http_query_nth(&c->req->query, "tag", put->n_tags)) != NULL) {
		if (put->n_tags == TAGS_MAX) {
			call_fail(c, CODE_URI_TOO_LONG, "too many tags in one request");
			return false;
		}
		if (!name_is_tag(one)) {
			call_fail(c, CODE_MANIFEST_INVALID, "a query parameter 'tag' is no tag");
			return false;
		}
		tags[put->n_tags++] = one;
	}
	return true;
}

static void say_put(struct call *c, const struct repo_put *put, const struct digest *d,
		    const struct digest *subject)
{
	char text[DIGEST_TEXT_MAX];

	if (subject->algo != 0) {
		digest_format(subject, text);
		http_response_set_header(c->res, "OCI-Subject", text);
	}
	for (size_t i = 0; put->want != NULL && i < put->n_tags; i++)
		http_response_add_header(c->res, "OCI-Tag", put->tags[i]);
	digest_format(d, text);
	http_response_set_headerf(c->res, "Location", "/v2/%s/manifests/%s", c->repo, text);
	http_response_set_header(c->res, "Docker-Content-Digest", text);
	call_count(c, COUNT_MANIFEST_PUSHES, 1);
	call_empty(c, 201);
}

static void put_manifest(struct call *c, const struct name_reference *ref)
{
	auto_(buf) body = BUF_INIT(REPO_MANIFEST_MAX);
	struct repo_put put = { .media_type = http_request_header(c->req, "Content-Type"),
				.want = ref->is_digest ? &ref->digest : NULL,
				.sparse = c->r->config->sparse_manifests };
	struct digest d, subject;
	struct error err;

	if (c->r->config->read_only) {
		call_fail(c, CODE_UNSUPPORTED, "this registry is read-only");
		return;
	}
	if (!call_allow(c, AUTH_PULL | AUTH_PUSH) || !read_tags(c, ref, &put))
		return;
	if (c->req->content_length > REPO_MANIFEST_MAX) {
		call_fail(c, CODE_SIZE_INVALID, "a manifest has at most 4 MiB");
		return;
	}
	if (http_request_read(c->req, &body, &err) < 0) {
		call_fail(c, err.kind == ERR_INVALID ? CODE_SIZE_INVALID : CODE_MANIFEST_INVALID,
			  err.msg);
		return;
	}
	put.bytes = body.data ? body.data : "";
	put.len = body.len;
	if (repo_put_manifest(&c->r->store, c->repo, &put, &d, &subject, &err) < 0) {
		fail_put(c, &err);
		return;
	}
	say_put(c, &put, &d, &subject);
}

static void delete_manifest(struct call *c, const struct name_reference *ref)
{
	struct error err;
	int r;

	if (!c->r->config->allow_delete || c->r->config->read_only) {
		call_fail(c, CODE_UNSUPPORTED, "deletion is switched off here");
		return;
	}
	if (!call_allow(c, AUTH_DELETE))
		return;
	r = ref->is_digest ? repo_delete_manifest(&c->r->store, c->repo, &ref->digest, &err)
			   : repo_delete_tag(&c->r->store, c->repo, ref->tag, &err);
	if (r < 0)
		call_fail_err(c, &err, CODE_MANIFEST_UNKNOWN);
	else
		call_empty(c, 202);
}

void handle_manifest(struct call *c)
{
	const char *method = c->req->method;
	struct name_reference ref;
	struct error err;

	if (name_reference_parse(c->rest, &ref, &err) < 0) {
		call_fail(c, strchr(c->rest, ':') ? CODE_DIGEST_INVALID : CODE_MANIFEST_INVALID,
			  err.msg);
		return;
	}
	if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
		if (call_allow(c, AUTH_PULL))
			get_manifest(c, &ref);
	} else if (strcmp(method, "PUT") == 0) {
		put_manifest(c, &ref);
	} else if (strcmp(method, "DELETE") == 0) {
		delete_manifest(c, &ref);
	} else {
		http_response_set_header(c->res, "Allow", "GET, HEAD, PUT, DELETE");
		call_fail(c, CODE_UNSUPPORTED, "this method is not for manifests");
	}
}
