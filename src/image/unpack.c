/* image/unpack.c: see unpack.h. */
#include "image/unpack.h"

#include <errno.h>
#include <unistd.h>

#include "archive/apply.h"
#include "archive/compress.h"
#include "image/ahead.h"
#include "oci/media_type.h"
#include "store/lease.h"

/* Passes on and tells how far it came. */
struct progress_reader {
	struct reader reader;
	struct reader *from;
	const struct unpack_layer *u;
	uint64_t n_bytes;
};

static int progress_read(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct progress_reader *p = container_of(r, struct progress_reader, reader);
	int e = reader_read(p->from, out, len, ret_n, err);

	if (e < 0)
		return e;
	p->n_bytes += *ret_n;
	if (p->u->progress)
		p->u->progress(p->u->arg, p->n_bytes);
	return 0;
}

static int check_diff_id(const struct digest *want, const struct digest *got, struct error *err)
{
	char want_text[DIGEST_TEXT_MAX], got_text[DIGEST_TEXT_MAX];

	if (!want || digest_same(want, got))
		return 0;
	digest_format(want, want_text);
	digest_format(got, got_text);
	return error_set(err, ERR_CORRUPT, "layer verification failed: diffID %s, want %s",
			 got_text, want_text);
}

static int apply_plain(int root, struct reader *plain, const struct unpack_layer *u,
		       struct layer_info *ret, struct error *err)
{
	bool confined = snapshots_need_userxattr();
	const struct apply_options o = {
		.max_bytes = u->max_bytes,
		.no_owner = geteuid() != 0,
		.skip_devices = confined,
		.userxattr = confined,
		.cancel = u->cancel,
	};
	static const struct reader_ops ops = { progress_read };
	auto_(hash_reader) hash = { 0 };
	struct progress_reader progress = { .reader.ops = &ops, .u = u };
	struct apply_stats stats;
	struct ahead *ahead;
	int r;

	/* The thread ahead has the socket, the blob and inflate; making files is cheaper than
	 * that, so the diffID's hash is on this side. */
	r = ahead_start(plain, &ahead, err);
	if (r < 0)
		return r;
	hash_reader_init(&hash, ahead_reader(ahead));
	progress.from = &hash.reader;
	r = apply_layer(root, &progress.reader, &o, &stats, err);
	ahead_stop(ahead);
	if (r < 0)
		return r;
	*ret = (struct layer_info){ .size = stats.size, .tar_size = hash.n_bytes };
	hash_reader_finish(&hash, &ret->diff_id);
	return check_diff_id(u->diff_id, &ret->diff_id, err);
}

/* Unpack a plain tar into a draft, name it, make it visible. */
static int unpack_plain(struct store *s, struct reader *plain, const struct unpack_layer *u,
			struct layer_draft *draft, struct layer_info *ret, struct error *err)
{
	int r = snapshot_layer_begin(s->snapshots, draft, err);

	if (r < 0)
		return r;
	r = apply_plain(draft->fd, plain, u, ret, err);
	if (r < 0)
		snapshot_layer_abort(s->snapshots, draft);
	return r;
}

static int publish(struct store *s, struct layer_draft *draft, const char *lease_id,
		   struct layer_info *info, struct error *err)
{
	int r = lease_id ? lease_add_digest(s->db, lease_id, REF_LAYER, &info->diff_id, err) : 0;

	if (r < 0) {
		snapshot_layer_abort(s->snapshots, draft);
		return r;
	}
	return snapshot_layer_commit(s->snapshots, draft, info, err);
}

int unpack_layer(struct store *s, struct reader *from, const struct unpack_layer *u,
		 const char *lease_id, struct layer_info *ret, struct error *err)
{
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct decompressor *d;
	struct layer_info info;
	int r = decompressor_new(from, &d, err);

	if (r < 0)
		return r;
	r = unpack_plain(s, decompressor_reader(d), u, &draft, &info, err);
	decompressor_free(d);
	if (r == 0)
		r = publish(s, &draft, lease_id, &info, err);
	if (r == 0 && ret)
		*ret = info;
	return r;
}

int unpack_blob(struct store *s, const struct digest *blob, const struct unpack_layer *u,
		const char *lease_id, struct layer_info *ret, struct error *err)
{
	autoclose int fd = FD_NONE;
	struct fd_reader in;
	int r = content_open(s->content, blob, &fd, NULL, err);

	if (r < 0)
		return r;
	fd_reader_init(&in, fd, NULL);
	return unpack_layer(s, &in.reader, u, lease_id, ret, err);
}

/* ---- after a crash ---- */

static int unpack_again(struct store *s, const struct digest *diff_id, struct error *err)
{
	const struct unpack_layer u = { .diff_id = diff_id };
	struct layer_draft draft = LAYER_DRAFT_INIT;
	autofree char *media_type = NULL;
	autoclose int fd = FD_NONE;
	struct decompressor *d;
	struct layer_info info;
	struct fd_reader in;
	struct digest blob;
	uint64_t size;
	int r = layer_blobs_find(s, diff_id, &blob, &size, &media_type, err);

	if (r == 0)
		r = content_open(s->content, &blob, &fd, NULL, err);
	if (r < 0)
		return r;
	fd_reader_init(&in, fd, NULL);
	r = decompressor_new(&in.reader, &d, err);
	if (r < 0)
		return r;
	r = unpack_plain(s, decompressor_reader(d), &u, &draft, &info, err);
	decompressor_free(d);
	return r < 0 ? r : snapshot_layer_renew(s->snapshots, &draft, &info, err);
}

int unpack_unsure(struct store *s, size_t *ret_again, size_t *ret_lost, struct error *err)
{
	autofree struct digest *layers = NULL;
	size_t n = 0, lost = 0;
	int r = snapshots_unsure(s->snapshots, &layers, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct error why;

		if (unpack_again(s, &layers[i], &why) == 0)
			continue;
		lost++;
		r = snapshot_layer_lost(s->snapshots, &layers[i], err);
	}
	if (r == 0 && n > 0)
		r = snapshots_sync(s->snapshots, err);
	*ret_again = n - lost;
	*ret_lost = lost;
	return r;
}

/* ---- keeping the bytes ---- */

/* The first bytes of a stream, put back in front of the rest. */
struct peek_reader {
	struct reader reader;
	struct reader *from;
	size_t len, at;
	char bytes[512];
};

static int peek_read(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct peek_reader *p = container_of(r, struct peek_reader, reader);
	struct mem_reader held;

	if (p->at == p->len)
		return reader_read(p->from, out, len, ret_n, err);
	mem_reader_init(&held, p->bytes + p->at, p->len - p->at);
	if (reader_read(&held.reader, out, len, ret_n, err) < 0)
		return -ERR_SYSTEM;
	p->at += *ret_n;
	return 0;
}

static int peek(struct peek_reader *p, struct reader *from, struct error *err)
{
	static const struct reader_ops ops = { peek_read };
	size_t n = 1;
	int r = 0;

	*p = (struct peek_reader){ .reader.ops = &ops, .from = from };
	while (r == 0 && n > 0 && p->len < sizeof(p->bytes)) {
		r = reader_read(from, p->bytes + p->len, sizeof(p->bytes) - p->len, &n, err);
		p->len += r == 0 ? n : 0;
	}
	return r;
}

/* Writes what passes through it. */
struct copy_reader {
	struct reader reader;
	struct reader *from;
	struct writer *to;
};

static int copy_read(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct copy_reader *c = container_of(r, struct copy_reader, reader);
	int e = reader_read(c->from, out, len, ret_n, err);

	return e < 0 || *ret_n == 0 ? e : writer_write(c->to, out, *ret_n, err);
}

/* gzip and zstd: the bytes as they come are the blob. */
static int keep_as_is(struct store *s, struct reader *from, const struct unpack_layer *u,
		      struct content_writer *w, struct layer_draft *draft, struct layer_info *ret,
		      struct error *err)
{
	struct content_tee tee;
	struct decompressor *d;
	int r;

	content_tee_init(&tee, w, from);
	r = decompressor_new(&tee.reader, &d, err);
	if (r < 0)
		return r;
	r = unpack_plain(s, decompressor_reader(d), u, draft, ret, err);
	decompressor_free(d);
	return r;
}

/* The rest: what comes out of it is compressed again on the way. */
static int keep_as_gzip(struct store *s, struct reader *from, const struct unpack_layer *u,
			struct content_writer *w, struct layer_draft *draft, struct layer_info *ret,
			struct error *err)
{
	static const struct reader_ops ops = { copy_read };
	struct copy_reader copy = { .reader.ops = &ops };
	struct decompressor *d;
	struct compressor *c;
	int r = compressor_new(COMPRESSION_GZIP, 0, content_sink(w), &c, err);

	if (r < 0)
		return r;
	r = decompressor_new(from, &d, err);
	if (r == 0) {
		copy.from = decompressor_reader(d);
		copy.to = compressor_writer(c);
		r = unpack_plain(s, &copy.reader, u, draft, ret, err);
		decompressor_free(d);
	}
	if (r == 0) {
		r = compressor_finish(c, err);
		if (r < 0)
			snapshot_layer_abort(s->snapshots, draft);
	}
	compressor_free(c);
	return r;
}

/* The blob's digest is known only now, and gc may be quicker than the lease. */
static int commit_leased(struct store *s, struct content_writer *take_w, const char *lease_id,
			 struct layer_blob *ret, struct error *err)
{
	int r = content_commit(take_w, &ret->digest, &ret->size, err);

	if (r == 0)
		r = lease_add_digest(s->db, lease_id, REF_BLOB, &ret->digest, err);
	if (r == 0 && content_stat(s->content, &ret->digest, NULL, NULL) < 0)
		r = error_set(err, ERR_UNAVAILABLE, "the layer's blob was removed meanwhile");
	return r;
}

int unpack_keep(struct store *s, struct reader *from, const struct unpack_layer *u,
		const struct unpack_expect *blob, const char *lease_id,
		struct layer_info *ret_layer, struct layer_blob *ret_blob, struct error *err)
{
	struct content_expect expect = { .size = CONTENT_SIZE_UNKNOWN };
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct layer_blob kept = { .media_type = MEDIA_DOCKER_LAYER_GZIP };
	struct content_writer *w;
	struct peek_reader head;
	struct layer_info info;
	enum compression kind;
	int r = peek(&head, from, err);

	if (r < 0)
		return r;
	kind = compression_detect(head.bytes, head.len);
	if (blob && (kind == COMPRESSION_GZIP || kind == COMPRESSION_ZSTD))
		expect = (struct content_expect){ .digest = blob->digest, .size = blob->size };
	r = content_begin(s->content, &expect, &w, err);
	if (r < 0)
		return r;
	if (kind == COMPRESSION_GZIP || kind == COMPRESSION_ZSTD)
		r = keep_as_is(s, &head.reader, u, w, &draft, &info, err);
	else
		r = keep_as_gzip(s, &head.reader, u, w, &draft, &info, err);
	if (r < 0) {
		content_abort(w, false);
		return r;
	}
	r = commit_leased(s, w, lease_id, &kept, err);
	if (r < 0) {
		snapshot_layer_abort(s->snapshots, &draft);
		return r;
	}
	r = publish(s, &draft, lease_id, &info, err);
	if (r < 0)
		return r;
	if (kind == COMPRESSION_ZSTD)
		kept.media_type = MEDIA_OCI_LAYER_ZSTD;
	kept.diff_id = info.diff_id;
	*ret_layer = info;
	*ret_blob = kept;
	return 0;
}
