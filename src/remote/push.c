/* remote/push.c: blobs and manifests to a registry. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "oci/media_type.h"
#include "remote/internal.h"

struct push {
	struct remote_repo *p;
	struct endpoint *e;
	char digest[DIGEST_TEXT_MAX];
	struct upload body;
	int64_t moved_ns; /* when a byte of it was sent last */
	void (*progress)(void *arg, uint64_t sent);
	void *arg;
};

static void on_progress(void *arg, uint64_t sent)
{
	struct push *u = arg;

	u->moved_ns = clock_mono_ns();
	if (u->progress)
		u->progress(u->arg, sent);
}

static int blob_exists(struct push *u, bool *ret, struct error *err)
{
	char tail[32 + DIGEST_TEXT_MAX];
	const struct api_call call = { .method = "HEAD", .tail = tail };
	struct transfer *t = NULL;
	int r;

	snprintf(tail, sizeof(tail), "blobs/%s", u->digest);
	r = api_send(u->p, u->e, &call, &t, err);
	if (r < 0)
		return r;
	*ret = transfer_status(t) == 200;
	transfer_end(t);
	return 0;
}

/* Where to send the bytes; *ret_location NULL: the registry took them from mount_from. */
static int start_upload(struct push *u, const char *mount_from, char **ret_location,
			struct error *err)
{
	char tail[512 + DIGEST_TEXT_MAX] = "blobs/uploads/", scope[320];
	struct api_call call = { .method = "POST", .tail = tail };
	autofree char *base = NULL;
	struct transfer *t = NULL;
	unsigned status;
	int r;

	if (mount_from != NULL) {
		snprintf(tail, sizeof(tail), "blobs/uploads/?mount=%s&from=%s", u->digest,
			 mount_from);
		snprintf(scope, sizeof(scope), "repository:%s:pull", mount_from);
		call.extra_scope = scope;
	}
	r = api_send(u->p, u->e, &call, &t, err);
	if (r < 0)
		return r;
	status = transfer_status(t);
	*ret_location = NULL;
	if (status == 202) {
		const char *location = transfer_header(t, "location");

		base = cstr_format("%s/v2/%s/blobs/uploads/", u->e->base, u->e->path);
		*ret_location = location ? url_resolve(base, location) : NULL;
		if (*ret_location == NULL)
			r = error_set(err, ERR_INVALID, "registry gave no place for an upload");
	} else if (status != 201 || mount_from == NULL) {
		r = api_refused(u->p, t, &call, err);
	}
	transfer_end(t);
	return r;
}

/* Send all of the body to *location, which then is where to go on. */
static int send_bytes(struct push *u, char **location, struct error *err)
{
	const struct api_call call = { .method = "PATCH",
				       .tail = *location,
				       .content_type = "application/octet-stream",
				       .body = &u->body,
				       .no_retry = true };
	struct transfer *t = NULL;
	const char *next;
	char *resolved;
	int r;

	r = api_send(u->p, u->e, &call, &t, err);
	if (r < 0)
		return r;
	if (transfer_status(t) >= 300) {
		r = api_refused(u->p, t, &call, err);
	} else {
		next = transfer_header(t, "location");
		resolved = next ? url_resolve(*location, next) : NULL;
		if (resolved != NULL) {
			free(*location);
			*location = resolved;
		}
	}
	transfer_end(t);
	return r;
}

static int finish_upload(struct push *u, const char *location, struct error *err)
{
	autofree char *digest = url_escape(u->digest);
	autofree char *url =
	    cstr_format("%s%sdigest=%s", location, strchr(location, '?') ? "&" : "?", digest);
	static const struct upload nothing = { .bytes = "", .fd = FD_NONE };
	const struct api_call call = { .method = "PUT",
				       .tail = url,
				       .content_type = "application/octet-stream",
				       .body = &nothing,
				       .no_retry = true };
	struct transfer *t = NULL;
	int r;

	r = api_send(u->p, u->e, &call, &t, err);
	if (r < 0)
		return r;
	if (transfer_status(t) >= 300)
		r = api_refused(u->p, t, &call, err);
	transfer_end(t);
	return r;
}

static int upload_once(struct push *u, const char *mount_from, bool *ret_mounted, struct error *err)
{
	autofree char *location = NULL;
	int r;

	r = start_upload(u, mount_from, &location, err);
	if (r < 0)
		return r;
	*ret_mounted = location == NULL;
	if (*ret_mounted)
		return 0;
	if (u->body.size > 0)
		r = send_bytes(u, &location, err);
	return r < 0 ? r : finish_upload(u, location, err);
}

int remote_push_blob(struct remote_repo *p, const struct descriptor *d, int fd,
		     const char *mount_from, void (*progress)(void *arg, uint64_t sent), void *arg,
		     enum remote_push_result *ret, struct error *err)
{
	struct push u = {
		.p = p,
		.e = &p->endpoints.at[p->endpoints.len - 1],
		.body = { .fd = fd, .size = (uint64_t)d->size, .progress = on_progress, .arg = &u },
		.moved_ns = clock_mono_ns(),
		.progress = progress,
		.arg = arg,
	};
	bool exists = false, mounted = false;
	int r;

	digest_format(&d->digest, u.digest);
	r = blob_exists(&u, &exists, err);
	if (r < 0)
		return error_wrap(err, r, "blob %s", u.digest);
	if (exists) {
		*ret = REMOTE_EXISTS;
		return 0;
	}
	for (int tries = 0;; tries++) {
		r = upload_once(&u, mount_from, &mounted, err);
		if (r != -ERR_UNAVAILABLE || !api_patience(p, tries, u.moved_ns))
			break;
		r = api_back_off(p, tries + 1, err);
		if (r < 0)
			break;
	}
	if (r < 0)
		return error_wrap(err, r, "blob %s", u.digest);
	*ret = mounted ? REMOTE_MOUNTED : REMOTE_UPLOADED;
	return 0;
}

int remote_push_manifest(struct remote_repo *p, const char *media_type, const void *text,
			 size_t len, bool by_digest, struct error *err)
{
	const struct upload body = { .bytes = text, .fd = FD_NONE, .size = len };
	struct digest d = { .algo = DIGEST_SHA256 };
	char tail[256], name[DIGEST_TEXT_MAX];
	const struct api_call call = {
		.method = "PUT", .tail = tail, .content_type = media_type, .body = &body
	};
	struct transfer *t = NULL;
	const char *answer;
	int r;

	hash_sha256(text, len, d.bytes);
	digest_format(&d, name);
	snprintf(tail, sizeof(tail), "manifests/%s",
		 by_digest || !reference_has_tag(&p->ref) ? name : p->ref.tag);
	r = api_send(p, &p->endpoints.at[p->endpoints.len - 1], &call, &t, err);
	if (r < 0)
		return r;
	answer = transfer_header(t, "docker-content-digest");
	if (transfer_status(t) >= 300)
		r = api_refused(p, t, &call, err);
	else if (answer != NULL && strcmp(answer, name) != 0)
		r = error_set(err, ERR_CORRUPT, "registry stored the manifest as %.150s, not as %s",
			      answer, name);
	transfer_end(t);
	return r;
}
