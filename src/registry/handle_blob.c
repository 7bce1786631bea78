/* registry/handle_blob.c: /v2/<name>/blobs/<digest> (end-2, end-10). */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "http/range.h"
#include "registry/server_internal.h"

/* Spec: RFC 9110, 14.2: only GET has ranges; 13.1.5: If-Range must match the content. */
static const char *wanted_range(struct call *c, const struct digest *d)
{
	const char *condition = http_request_header(c->req, "If-Range");
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	if (strcmp(c->req->method, "GET") != 0 ||
	    (condition != NULL && strstr(condition, text) == NULL))
		return NULL;
	return http_request_header(c->req, "Range");
}

static void serve_blob(struct call *c, const struct digest *d)
{
	const char *range = wanted_range(c, d);
	struct http_range part = { 0 };
	struct storage_object o = { .fd = FD_NONE };
	autoclose int fd = FD_NONE;
	char text[DIGEST_TEXT_MAX];
	bool partial = false;
	struct error err;
	int r = repo_open_blob(&c->r->store, c->repo, d, &o, &err);

	if (r < 0) {
		call_fail_err(c, &err, CODE_BLOB_UNKNOWN);
		return;
	}
	fd = o.fd;
	digest_format(d, text);
	http_response_set_header(c->res, "Docker-Content-Digest", text);
	http_response_set_headerf(c->res, "ETag", "\"%s\"", text);
	http_response_set_header(c->res, "Accept-Ranges", "bytes");
	http_response_set_header(c->res, "Cache-Control", "max-age=31536000");
	if (call_matches(c, text)) {
		call_empty(c, 304);
		return;
	}
	if (range != NULL && http_range_parse(range, o.size, &partial, &part, &err) < 0) {
		http_response_set_headerf(c->res, "Content-Range", "bytes */%llu",
					  (unsigned long long)o.size);
		call_fail(c, CODE_RANGE_INVALID, err.msg);
		return;
	}
	if (!partial)
		part = (struct http_range){ 0, o.size };
	else
		http_response_set_headerf(
		    c->res, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)part.first,
		    (unsigned long long)part.first + part.len - 1, (unsigned long long)o.size);
	http_response_set_header(c->res, "Content-Type", "application/octet-stream");
	c->status = partial ? 206 : 200;
	http_response_set_status(c->res, c->status);
	call_count(c, COUNT_BLOB_PULLS, 1);
	call_count(c, COUNT_BYTES_OUT, part.len);
	(void)!http_response_send_file(c->res, fd, part.first, part.len, NULL);
}

/* Starts the answer with the first byte that comes from upstream. */
struct late_writer {
	struct writer writer;
	struct call *c;
	const struct digest *d;
	struct mirror_client client;
	struct writer *body; /* NULL: not started */
};

static int late_write(struct writer *w, const void *bytes, size_t len, struct error *err)
{
	struct late_writer *l = container_of(w, struct late_writer, writer);
	char text[DIGEST_TEXT_MAX];
	int r;

	if (l->body == NULL) {
		digest_format(l->d, text);
		http_response_set_header(l->c->res, "Docker-Content-Digest", text);
		http_response_set_header(l->c->res, "Content-Type", "application/octet-stream");
		l->c->status = 200;
		http_response_set_status(l->c->res, 200);
		r = http_response_begin(l->c->res, (int64_t)l->client.size, &l->body, err);
		if (r < 0)
			return r;
	}
	return writer_write(l->body, bytes, len, err);
}

/*
 * The upstream's failure is no word about whether the blob exists: a client may try
 * again. But HEAD is how those ask who push; what is not here is theirs to bring.
 * false: nothing was sent.
 */
static bool fail_upstream(struct call *c, struct error *err)
{
	bool full = err->sys == ENOSPC || err->sys == EDQUOT;

	if (!full && (err->kind == ERR_NOT_FOUND || strcmp(c->req->method, "HEAD") == 0))
		return false;
	if (!full)
		err->kind = ERR_UNAVAILABLE;
	call_fail_err(c, err, CODE_BLOB_UNKNOWN);
	return true;
}

/*
 * A mirrored repository lacks the blob: send it on while it comes from
 * upstream. false when nothing was sent: serve_blob then says what there is.
 */
static bool pass_through(struct call *c, const struct digest *d)
{
	static const struct writer_ops ops = { late_write };
	struct late_writer late = { .writer = { &ops }, .c = c, .d = d, .client.to = &late.writer };
	bool whole =
	    strcmp(c->req->method, "GET") == 0 && http_request_header(c->req, "Range") == NULL;
	struct error err;
	uint64_t here;
	int r;

	if (c->r->mirror == NULL || !mirror_covers(c->r->mirror, c->repo) ||
	    repo_stat_blob(&c->r->store, c->repo, d, &here, NULL) == 0)
		return false;
	/* A failure after the first byte ends the connection: the client sees a cut body. */
	r = mirror_blob(c->r->mirror, c->repo, d, whole ? &late.client : NULL, c->req->cancel,
			&err);
	if (late.body == NULL)
		return r < 0 && fail_upstream(c, &err);
	call_count(c, COUNT_BLOB_PULLS, 1);
	return true;
}

static void delete_blob(struct call *c, const struct digest *d)
{
	struct error err;

	if (!c->r->config->allow_delete || c->r->config->read_only) {
		call_fail(c, CODE_UNSUPPORTED, "deletion is switched off here");
		return;
	}
	if (!call_allow(c, AUTH_DELETE))
		return;
	if (repo_unlink_blob(&c->r->store, c->repo, d, &err) < 0) {
		call_fail_err(c, &err, CODE_BLOB_UNKNOWN);
		return;
	}
	call_empty(c, 202);
}

void handle_blob(struct call *c)
{
	const char *method = c->req->method;
	struct error err;
	struct digest d;

	if (digest_parse(c->rest, strlen(c->rest), &d, &err) < 0) {
		call_fail(c, CODE_DIGEST_INVALID, err.msg);
		return;
	}
	if (strcmp(method, "DELETE") == 0) {
		delete_blob(c, &d);
		return;
	}
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		http_response_set_header(c->res, "Allow", "GET, HEAD, DELETE");
		call_fail(c, CODE_UNSUPPORTED, "this method is not for blobs");
		return;
	}
	if (call_allow(c, AUTH_PULL) && !pass_through(c, &d))
		serve_blob(c, &d);
}
