/* remote/fetch.c: manifests and blobs from a registry. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "oci/media_type.h"
#include "remote/internal.h"

#define ACCEPT \
	MEDIA_DOCKER_MANIFEST ", " MEDIA_DOCKER_LIST ", " MEDIA_OCI_MANIFEST ", " MEDIA_OCI_INDEX \
			      ", application/json;q=0.5"

static void hash_text(enum digest_algo algo, const void *bytes, size_t len, struct digest *ret)
{
	auto_(hash) h = { 0 };

	if (algo == DIGEST_SHA512)
		hash_init_sha512(&h);
	else
		hash_init_sha256(&h);
	hash_add(&h, bytes, len);
	*ret = (struct digest){ .algo = algo == DIGEST_SHA512 ? algo : DIGEST_SHA256 };
	hash_finish(&h, ret->bytes);
}

static void manifest_tail(const struct remote_repo *p, const struct digest *d, char out[static 256])
{
	char text[DIGEST_TEXT_MAX];

	if (d == NULL && reference_has_digest(&p->ref))
		d = &p->ref.digest;
	if (d != NULL)
		digest_format(d, text);
	snprintf(out, 256, "manifests/%s",
		 d != NULL                    ? text
		 : reference_has_tag(&p->ref) ? p->ref.tag
					      : "latest");
}

/* A type that says nothing about manifests is no word of the registry's. */
static const char *useful_type(const char *type)
{
	return media_kind(type) == MEDIA_OTHER ? NULL : type;
}

/* Bytes against the digest and size that were asked for or promised. */
static int verify(const struct remote_repo *p, const struct descriptor *d, const char *promised,
		  const struct buf *b, struct digest *ret, struct error *err)
{
	const struct digest *want = d                               ? &d->digest
				    : reference_has_digest(&p->ref) ? &p->ref.digest
								    : NULL;
	char text[DIGEST_TEXT_MAX];
	struct digest header;

	hash_text(want ? want->algo : DIGEST_SHA256, b->data, b->len, ret);
	if (d != NULL && (uint64_t)d->size != b->len)
		return error_set(err, ERR_CORRUPT,
				 "manifest has %zu bytes, its descriptor says %lld", b->len,
				 (long long)d->size);
	if (want != NULL && !digest_equal(want, ret)) {
		digest_format(want, text);
		return error_set(err, ERR_CORRUPT, "manifest verification failed for digest %s",
				 text);
	}
	if (want == NULL && promised != NULL &&
	    digest_parse(promised, strlen(promised), &header, NULL) == 0 &&
	    header.algo == DIGEST_SHA256 && !digest_equal(&header, ret))
		return error_set(err, ERR_CORRUPT, "manifest verification failed for digest %s",
				 promised);
	return 0;
}

int remote_get_manifest(struct remote_repo *p, struct arena *a, const struct descriptor *d,
			struct remote_manifest *ret, struct error *err)
{
	auto_(buf) body = BUF_INIT(MANIFEST_MAX);
	struct remote_manifest m = { 0 };
	char tail[256], name[REFERENCE_TEXT_MAX];
	const struct api_call call = { .method = "GET", .tail = tail, .accept = ACCEPT };
	struct transfer *t = NULL;
	const char *type;
	int r;

	manifest_tail(p, d ? &d->digest : NULL, tail);
	r = api_send_any(p, &call, &t, NULL, err);
	if (r < 0)
		return r;
	type = arena_strdup(a, useful_type(transfer_header(t, "content-type")));
	r = api_read(t, &body, err);
	if (r == 0)
		r = buf_add(&body, "", 0, err);
	if (r == 0)
		r = verify(p, d, transfer_header(t, "docker-content-digest"), &body,
			   &m.descriptor.digest, err);
	transfer_end(t);
	if (r == 0) {
		m.text = arena_strndup(a, body.data, body.len);
		m.descriptor.size = (int64_t)body.len;
		if (d != NULL && media_kind(d->media_type) != MEDIA_OTHER)
			type = d->media_type;
		r = manifest_parse(a, m.text, body.len, type, &m.doc, err);
	}
	if (r < 0) {
		reference_familiar(&p->ref, name);
		return error_wrap(err, r, "manifest of %s", name);
	}
	m.descriptor.media_type =
	    m.doc.manifest ? m.doc.manifest->media_type : m.doc.index->media_type;
	*ret = m;
	return 0;
}

static int from_head(struct arena *a, struct transfer *t, struct descriptor *ret)
{
	const char *digest = transfer_header(t, "docker-content-digest");
	const char *length = transfer_header(t, "content-length");
	const char *type = transfer_header(t, "content-type");
	struct descriptor d = { 0 };
	uint64_t size = 0;

	if (digest == NULL || length == NULL || useful_type(type) == NULL ||
	    digest_parse(digest, strlen(digest), &d.digest, NULL) < 0 ||
	    parse_u64(str_of(length), MANIFEST_MAX, &size, NULL) < 0)
		return -1;
	d.size = (int64_t)size;
	d.media_type = arena_strndup(a, type, strcspn(type, "; "));
	*ret = d;
	return 0;
}

int remote_head(struct remote_repo *p, struct arena *a, struct descriptor *ret, struct error *err)
{
	char tail[256];
	const struct api_call call = { .method = "HEAD", .tail = tail, .accept = ACCEPT };
	struct remote_manifest m;
	struct transfer *t = NULL;
	int r;

	manifest_tail(p, NULL, tail);
	r = api_send_any(p, &call, &t, NULL, err);
	if (r == 0 && from_head(a, t, ret) == 0) {
		transfer_end(t);
		return 0;
	}
	transfer_end(t);
	if (r < 0 && r != -ERR_NOT_FOUND && r != -ERR_UNIMPLEMENTED && r != -ERR_INVALID)
		return r;
	/* An error has no text in the answer to a HEAD. */
	r = remote_get_manifest(p, a, NULL, &m, err);
	if (r == 0)
		*ret = m.descriptor;
	return r;
}

static bool is_image_config(const char *type)
{
	/* Old docker versions pushed configs as bare bytes. */
	return media_kind(type) == MEDIA_CONFIG || strcmp(type, "application/octet-stream") == 0;
}

static int check_image(const struct remote_repo *p, const struct manifest *m, struct error *err)
{
	char name[REFERENCE_TEXT_MAX];

	reference_familiar(&p->ref, name);
	if (!is_image_config(m->config.media_type))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "%s is not an image: its config is of type '%.100s'", name,
				 m->config.media_type);
	for (size_t i = 0; i < m->n_layers; i++) {
		enum media_kind kind = media_kind(m->layers[i].media_type);

		if (kind == MEDIA_LAYER_FOREIGN)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "%s: layer %zu is a foreign layer, which its publisher "
					 "does not let registries hold: not supported",
					 name, i);
		if (kind != MEDIA_LAYER)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "%s: layer %zu is of type '%.100s', which is no file "
					 "system layer",
					 name, i, m->layers[i].media_type);
	}
	return 0;
}

int remote_resolve(struct remote_repo *p, struct arena *a, const struct platform *want,
		   struct remote_image *ret, struct error *err)
{
	const struct descriptor *next = NULL;
	struct remote_image image = { 0 };
	char name[REFERENCE_TEXT_MAX];
	struct platform host;
	int r;

	if (want == NULL) {
		platform_host(&host);
		want = &host;
	}
	r = remote_get_manifest(p, a, NULL, &image.top, err);
	image.manifest = image.top;
	image.top_is_index = r == 0 && image.top.doc.index != NULL;
	for (int depth = 0; r == 0 && image.manifest.doc.index != NULL; depth++) {
		if (depth == INDEX_DEPTH_MAX) {
			reference_familiar(&p->ref, name);
			return error_set(err, ERR_INVALID, "%s: indexes are nested deeper than %d",
					 name, INDEX_DEPTH_MAX);
		}
		r = index_choose(image.manifest.doc.index, want, &next, err);
		if (r == 0)
			r = remote_get_manifest(p, a, next, &image.manifest, err);
	}
	if (r == 0)
		r = check_image(p, image.manifest.doc.manifest, err);
	if (r == 0)
		*ret = image;
	return r;
}

struct blob {
	struct remote_blob pub;
	struct remote_repo *p;
	struct digest digest;
	uint64_t at;
	struct transfer *t; /* NULL: to be opened at `at` */
	int tries;          /* since the last byte */
	int64_t heard_ns;   /* when that was */
	unsigned status;    /* of the last answer; 0: nobody answered */
	bool ended;
};

static int skip(struct blob *b, uint64_t n, struct error *err)
{
	char chunk[16384];

	while (n > 0) {
		size_t got = 0;
		int r = transfer_read(b->t, chunk, n < sizeof(chunk) ? (size_t)n : sizeof(chunk),
				      &got, err);

		if (r < 0)
			return r;
		if (got == 0)
			return error_set(err, ERR_UNAVAILABLE, "connection was cut");
		b->pub.wire_bytes += got;
		n -= got;
	}
	return 0;
}

/* The head of an answer against what the descriptor says. */
static int check_blob_head(struct blob *b, struct error *err)
{
	const char *length = transfer_header(b->t, "content-length");
	const char *range = transfer_header(b->t, "content-range");
	bool part = transfer_status(b->t) == 206;
	uint64_t want, got = 0, from = UINT64_MAX;
	struct str s;

	if (part) {
		s = str_of(range ? range : "");
		if (str_starts(s, "bytes "))
			s = str_sub(s, 6, s.len);
		s = str_sub(s, 0, str_find(s, '-') > 0 ? (size_t)str_find(s, '-') : 0);
		if (parse_u64(s, UINT64_MAX, &from, NULL) < 0 || from != b->at || b->pub.size < 0)
			return error_set(err, ERR_INVALID, "registry sent another range: '%.100s'",
					 range ? range : "");
	}
	if (b->pub.size < 0) {
		if (parse_u64(str_of(length ? length : ""), INT64_MAX, &got, NULL) < 0)
			return error_set(err, ERR_CORRUPT, "registry does not say its size");
		b->pub.size = (int64_t)got;
	}
	want = (uint64_t)b->pub.size - (part ? b->at : 0);
	if (length != NULL &&
	    (parse_u64(str_of(length), UINT64_MAX, &got, NULL) < 0 || got != want))
		return error_set(err, ERR_CORRUPT,
				 "registry sends %.30s bytes, the descriptor says %llu", length,
				 (unsigned long long)want);
	return 0;
}

static int blob_open(struct blob *b, struct error *err)
{
	char tail[64 + DIGEST_TEXT_MAX] = "blobs/", range[64];
	struct api_call call = { .method = "GET", .tail = tail, .ret_status = &b->status };
	int r;

	digest_format(&b->digest, tail + strlen(tail));
	if (b->at > 0) {
		snprintf(range, sizeof(range), "bytes=%llu-", (unsigned long long)b->at);
		call.range = range;
	}
	r = api_send_any(b->p, &call, &b->t, NULL, err);
	if (r < 0)
		return r;
	r = check_blob_head(b, err);
	/* No Range there: what we have comes once more. */
	if (r == 0 && b->at > 0 && transfer_status(b->t) != 206)
		r = skip(b, b->at, err);
	if (r < 0)
		transfer_end(steal_ptr(b->t));
	return r;
}

static int blob_fail(const struct blob *b, int r, struct error *err)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(&b->digest, text);
	return error_wrap(err, r, "blob %s", text);
}

/* After the last byte nothing may follow; this also frees the connection. */
static int check_end(struct blob *b, struct error *err)
{
	char extra;
	size_t n = 0;

	b->ended = true;
	if (b->t == NULL)
		return 0;
	if (transfer_read(b->t, &extra, 1, &n, NULL) == 0 && n > 0)
		return error_set(err, ERR_CORRUPT, "longer than its descriptor says (%lld bytes)",
				 (long long)b->pub.size);
	transfer_end(steal_ptr(b->t));
	return 0;
}

/* One attempt: *ret_n bytes, or a failure that may be worth another. */
static int blob_try(struct blob *b, void *out, size_t len, size_t *ret_n, struct error *err)
{
	uint64_t left;
	size_t n = 0;
	int r = 0;

	if (b->t == NULL)
		r = blob_open(b, err);
	if (r < 0)
		return r;
	left = (uint64_t)b->pub.size - b->at;
	if (left > 0)
		r = transfer_read(b->t, out, len < left ? len : (size_t)left, &n, err);
	if (r == 0 && n == 0 && left > 0)
		r = error_set(err, ERR_UNAVAILABLE, "connection was cut at %llu of %lld bytes",
			      (unsigned long long)b->at, (long long)b->pub.size);
	if (r < 0)
		return r;
	b->at += n;
	b->pub.wire_bytes += n;
	*ret_n = n;
	return 0;
}

static bool is_at_end(const struct blob *b)
{
	return b->pub.size >= 0 && b->at == (uint64_t)b->pub.size;
}

static int blob_read(struct reader *reader, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct blob *b = container_of(reader, struct blob, pub.reader);
	bool refused;
	int r;

	if (is_at_end(b)) {
		r = b->ended ? 0 : check_end(b, err);
		*ret_n = 0;
		return r < 0 ? blob_fail(b, r, err) : 0;
	}
	for (;;) {
		r = blob_try(b, out, len, ret_n, err);
		if (r == 0) {
			b->tries = 0;
			b->heard_ns = clock_mono_ns();
			return 0;
		}
		refused = b->t == NULL && b->status != 0;
		transfer_end(steal_ptr(b->t));
		if (r != -ERR_UNAVAILABLE || refused || !api_patience(b->p, b->tries, b->heard_ns))
			return blob_fail(b, r, err);
		r = api_back_off(b->p, ++b->tries, err);
		if (r < 0)
			return r;
	}
}

int remote_get_blob(struct remote_repo *p, const struct descriptor *d, uint64_t offset,
		    struct remote_blob **ret, struct error *err)
{
	static const struct reader_ops ops = { blob_read };
	struct blob *b;

	if (offset > 0 && (d->size < 0 || offset > (uint64_t)d->size))
		return error_set(err, ERR_INVALID, "offset %llu is beyond the blob",
				 (unsigned long long)offset);
	b = new0(struct blob);
	b->pub.reader.ops = &ops;
	b->p = p;
	b->digest = d->digest;
	b->pub.size = d->size;
	b->at = offset;
	b->heard_ns = clock_mono_ns();
	*ret = &b->pub;
	return 0;
}

void remote_blob_close(struct remote_blob *pub)
{
	struct blob *b = pub ? container_of(pub, struct blob, pub) : NULL;

	if (b == NULL)
		return;
	transfer_end(b->t);
	free(b);
}

int remote_read_blob(struct remote_repo *p, const struct descriptor *d, struct buf *b,
		     struct error *err)
{
	struct remote_blob *blob = NULL;
	size_t before = b->len;
	struct digest got;
	char text[DIGEST_TEXT_MAX];
	int r;

	digest_format(&d->digest, text);
	if ((uint64_t)d->size > b->max - before)
		return error_set(err, ERR_INVALID, "blob %s: %lld bytes are more than %zu", text,
				 (long long)d->size, b->max - before);
	r = remote_get_blob(p, d, 0, &blob, err);
	if (r == 0)
		r = reader_read_all(&blob->reader, b, err);
	remote_blob_close(blob);
	if (r == 0)
		r = buf_add(b, "", 0, err);
	if (r < 0)
		return r;
	hash_text(d->digest.algo, b->data + before, b->len - before, &got);
	if (!digest_equal(&got, &d->digest))
		return error_set(err, ERR_CORRUPT, "blob %s: digest does not match", text);
	return 0;
}
