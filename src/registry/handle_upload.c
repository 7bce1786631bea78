/*
 * registry/handle_upload.c: /v2/<name>/blobs/uploads/ (end-4 to end-6, end-11,
 * end-13, end-14).
 *
 * Spec: distribution-spec v1.1, "Pushing blobs".
 */
#include <stdio.h>
#include <string.h>

#include "http/range.h"
#include "registry/server_internal.h"

static void say_where(struct call *c, const char *id, uint64_t size)
{
	http_response_set_headerf(c->res, "Location", "/v2/%s/blobs/uploads/%s", c->repo, id);
	http_response_set_header(c->res, "Docker-Upload-UUID", id);
	http_response_set_headerf(c->res, "Range", "0-%llu",
				  (unsigned long long)(size > 0 ? size - 1 : 0));
}

static void say_created(struct call *c, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	http_response_set_headerf(c->res, "Location", "/v2/%s/blobs/%s", c->repo, text);
	http_response_set_header(c->res, "Docker-Content-Digest", text);
	call_count(c, COUNT_BLOB_PUSHES, 1);
	call_empty(c, 201);
}

static void fail_upload(struct call *c, const struct error *err)
{
	if (err->kind == ERR_INVALID)
		call_fail(c, CODE_BLOB_UPLOAD_INVALID, err->msg);
	else if (err->kind == ERR_CORRUPT)
		call_fail(c, CODE_DIGEST_INVALID, err->msg);
	else if (err->kind == ERR_FORBIDDEN)
		call_fail(c, CODE_SIZE_INVALID, err->msg);
	else if (err->kind == ERR_CONFLICT)
		call_fail(c, CODE_RANGE_INVALID, err->msg);
	else
		call_fail_err(c, err, CODE_BLOB_UPLOAD_UNKNOWN);
}

/* "?digest=": false when malformed, and then answered. */
static bool read_digest(struct call *c, const char *text, struct digest *ret)
{
	struct error err;

	if (text != NULL && digest_parse(text, strlen(text), ret, &err) == 0)
		return true;
	call_fail(c, CODE_DIGEST_INVALID, text ? err.msg : "the query lacks 'digest'");
	return false;
}

struct mount_source {
	struct call *c;
	const char *from; /* NULL: wherever it is found */
};

static bool may_mount(void *arg, const char *repo)
{
	const struct mount_source *m = arg;

	return (m->from == NULL || strcmp(m->from, repo) == 0) &&
	       call_allow_on(m->c, repo, AUTH_PULL);
}

/* Only a blob that the client may pull from the other repository is mounted. */
static bool try_mount(struct call *c, const char *mount, const char *from)
{
	struct mount_source m = { c, from };
	struct digest d;

	if (mount == NULL || digest_parse(mount, strlen(mount), &d, NULL) < 0 ||
	    repo_mount_blob(&c->r->store, c->repo, &d, may_mount, &m, NULL) < 0)
		return false;
	say_created(c, &d);
	return true;
}

static void finish(struct call *c, const char *id, const struct digest *d)
{
	struct error err;

	if (upload_commit(c->r->uploads, c->repo, id, d, &err) < 0)
		fail_upload(c, &err);
	else
		say_created(c, d);
}

static int append(struct call *c, const char *id, int64_t at, uint64_t *ret_size, struct error *err)
{
	struct upload_chunk chunk = { .at = at,
				      .length = c->req->content_length,
				      .body = c->req->body };
	int r;

	*ret_size = 0;
	r = upload_append(c->r->uploads, c->repo, id, &chunk, ret_size, err);
	call_count(c, COUNT_BYTES_IN, chunk.got);
	return r;
}

static bool may_push(struct call *c)
{
	if (c->r->config->read_only) {
		call_fail(c, CODE_UNSUPPORTED, "this registry is read-only");
		return false;
	}
	return call_allow(c, AUTH_PULL | AUTH_PUSH);
}

void handle_upload_begin(struct call *c)
{
	const char *digest = http_query_get(&c->req->query, "digest");
	char id[UPLOAD_ID_MAX];
	struct digest d = { 0 };
	struct error err;
	uint64_t size;

	if (strcmp(c->req->method, "POST") != 0) {
		http_response_set_header(c->res, "Allow", "POST");
		call_fail(c, CODE_UNSUPPORTED, "an upload begins with POST");
		return;
	}
	if (!may_push(c))
		return;
	if (try_mount(c, http_query_get(&c->req->query, "mount"),
		      http_query_get(&c->req->query, "from")))
		return;
	if (digest != NULL && !read_digest(c, digest, &d))
		return;
	if (upload_begin(c->r->uploads, c->repo, id, &err) < 0) {
		fail_upload(c, &err);
		return;
	}
	if (digest == NULL) {
		say_where(c, id, 0);
		call_empty(c, 202);
		return;
	}
	if (append(c, id, -1, &size, &err) < 0) {
		(void)!upload_abort(c->r->uploads, c->repo, id, NULL);
		fail_upload(c, &err);
		return;
	}
	finish(c, id, &d);
}

/* "0-99": the first byte's offset; the last must agree with the length. ERR_CONFLICT. */
static int read_content_range(struct call *c, int64_t *ret_at, struct error *err)
{
	const char *text = http_request_header(c->req, "Content-Range");
	struct http_range part;
	int64_t total;
	int r;

	*ret_at = -1;
	if (text == NULL)
		return 0;
	r = http_content_range_parse(text, &part, &total, NULL);
	if (r < 0)
		return error_set(err, ERR_CONFLICT, "malformed Content-Range '%.60s'", text);
	if (c->req->content_length >= 0 && part.len != (uint64_t)c->req->content_length)
		return error_set(err, ERR_CONFLICT, "Content-Range and Content-Length disagree");
	*ret_at = (int64_t)part.first;
	return 0;
}

static void fail_append(struct call *c, const char *id, uint64_t size, const struct error *err)
{
	uint64_t now = size;

	if (err->kind == ERR_CONFLICT) {
		/* Where the upload stands, so that the client can go on from there. */
		if (upload_size(c->r->uploads, c->repo, id, &now, NULL) == 0)
			say_where(c, id, now);
		call_fail(c, CODE_RANGE_INVALID, err->msg);
		return;
	}
	fail_upload(c, err);
}

static void patch_upload(struct call *c)
{
	struct error err;
	uint64_t size = 0;
	int64_t at;

	if (read_content_range(c, &at, &err) < 0 || append(c, c->rest, at, &size, &err) < 0) {
		fail_append(c, c->rest, size, &err);
		return;
	}
	say_where(c, c->rest, size);
	call_empty(c, 202);
}

static void put_upload(struct call *c)
{
	struct error err;
	struct digest d;
	uint64_t size = 0;
	int64_t at;

	if (!read_digest(c, http_query_get(&c->req->query, "digest"), &d))
		return;
	if (c->req->content_length != 0) {
		if (read_content_range(c, &at, &err) < 0 ||
		    append(c, c->rest, at, &size, &err) < 0) {
			fail_append(c, c->rest, size, &err);
			return;
		}
	}
	finish(c, c->rest, &d);
}

void handle_upload(struct call *c)
{
	const char *method = c->req->method;
	struct error err;
	uint64_t size;

	if (!may_push(c))
		return;
	if (strcmp(method, "PATCH") == 0) {
		patch_upload(c);
	} else if (strcmp(method, "PUT") == 0) {
		put_upload(c);
	} else if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
		if (upload_size(c->r->uploads, c->repo, c->rest, &size, &err) < 0) {
			fail_upload(c, &err);
			return;
		}
		say_where(c, c->rest, size);
		call_empty(c, 204);
	} else if (strcmp(method, "DELETE") == 0) {
		if (upload_abort(c->r->uploads, c->repo, c->rest, &err) < 0)
			fail_upload(c, &err);
		else
			call_empty(c, 204);
	} else {
		http_response_set_header(c->res, "Allow", "GET, PATCH, PUT, DELETE");
		call_fail(c, CODE_UNSUPPORTED, "this method is not for uploads");
	}
}
