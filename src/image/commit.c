/* image/commit.c: see commit.h. */
#include "image/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/apply.h"
#include "archive/compress.h"
#include "archive/pack.h"
#include "image/image.h"
#include "oci/manifest.h"
#include "oci/media_type.h"
#include "store/images.h"
#include "store/lease.h"

static int needs_overlay(struct store *s, struct error *err)
{
	if (snapshots_driver(s->snapshots) == SNAPSHOT_OVERLAY)
		return 0;
	return error_set(err, ERR_UNIMPLEMENTED,
			 "committing with the storage driver vfs is not supported yet");
}

int commit_measure(struct store *s, const char *key, const struct cancel *cancel,
		   struct layer_info *ret, bool *ret_empty, struct error *err)
{
	autoclose int upper = FD_NONE;
	auto_(hash_writer) hash = { 0 };
	struct pack_stats stats;
	int r = needs_overlay(s, err);

	if (r == 0)
		r = snapshot_open_upper(s->snapshots, key, &upper, err);
	if (r < 0)
		return r;
	hash_writer_init(&hash, NULL);
	r = pack_layer(upper, &hash.writer, cancel, &stats, err);
	if (r < 0)
		return r;
	*ret = (struct layer_info){ .size = stats.size, .tar_size = hash.n_bytes };
	hash_writer_finish(&hash, &ret->diff_id);
	if (ret_empty)
		*ret_empty = stats.entries == 0;
	return 0;
}

int commit_take(struct store *s, const char *key, const char *lease_id, const struct cancel *cancel,
		struct layer_info *ret, struct error *err)
{
	struct layer_info info;
	int r = commit_measure(s, key, cancel, &info, NULL, err);

	if (r == 0 && lease_id)
		r = lease_add_digest(s->db, lease_id, REF_LAYER, &info.diff_id, err);
	if (r == 0)
		r = snapshot_commit(s->snapshots, key, &info, err);
	if (r == 0 && ret)
		*ret = info;
	return r;
}

/* ---- a copy of the diff, through a pipe ---- */

struct packing {
	int upper, pipe;
	const struct cancel *cancel;
	struct hash_writer hash;
	struct pack_stats stats;
	int result;
	struct error err;
};

static void *pack_thread(void *arg)
{
	struct packing *p = arg;
	struct fd_writer out;

	fd_writer_init(&out, p->pipe, NULL);
	hash_writer_init(&p->hash, &out.writer);
	p->result = pack_layer(p->upper, &p->hash.writer, p->cancel, &p->stats, &p->err);
	close(p->pipe);
	return NULL;
}

/* A failing applier closes its end; the packer then sees EPIPE, not a signal:
 * the daemon ignores SIGPIPE, and so does this thread. */
static int start_packing(struct packing *p, pthread_t *thread, int *ret_read, struct error *err)
{
	int ends[2], r;
	sigset_t pipe_signal, old;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_sys(err, errno, "make a pipe");
	(void)fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	p->pipe = ends[1];
	sigfillset(&pipe_signal);
	pthread_sigmask(SIG_SETMASK, &pipe_signal, &old);
	r = pthread_create(thread, NULL, pack_thread, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0) {
		close(ends[0]);
		close(ends[1]);
		return error_sys(err, r, "start a thread");
	}
	*ret_read = ends[0];
	return 0;
}

static int copy_into(struct packing *p, int root, struct layer_info *ret, struct error *err)
{
	const struct apply_options o = { .cancel = p->cancel,
					 .userxattr = snapshots_need_userxattr() };
	struct fd_reader in;
	pthread_t thread;
	int fd = FD_NONE, r;

	r = start_packing(p, &thread, &fd, err);
	if (r < 0)
		return r;
	fd_reader_init(&in, fd, NULL);
	r = apply_layer(root, &in.reader, &o, NULL, err);
	close(fd);
	pthread_join(thread, NULL);
	*ret = (struct layer_info){ .size = p->stats.size, .tar_size = p->hash.n_bytes };
	hash_writer_finish(&p->hash, &ret->diff_id);
	/* The packer's reason is the better one when both failed. */
	if (p->result < 0 && (r == 0 || r == -ERR_CORRUPT)) {
		if (err)
			*err = p->err;
		return p->result;
	}
	return r;
}

int commit_copy(struct store *s, const char *key, const char *lease_id, const struct cancel *cancel,
		struct layer_info *ret, struct error *err)
{
	struct layer_draft draft = LAYER_DRAFT_INIT;
	struct packing p = { .cancel = cancel, .upper = FD_NONE };
	struct layer_info info;
	int r = needs_overlay(s, err);

	if (r == 0)
		r = snapshot_open_upper(s->snapshots, key, &p.upper, err);
	if (r == 0)
		r = snapshot_layer_begin(s->snapshots, &draft, err);
	if (r == 0)
		r = copy_into(&p, draft.fd, &info, err);
	if (p.upper >= 0)
		close(p.upper);
	if (r == 0 && lease_id)
		r = lease_add_digest(s->db, lease_id, REF_LAYER, &info.diff_id, err);
	if (r < 0) {
		snapshot_layer_abort(s->snapshots, &draft);
		return r;
	}
	r = snapshot_layer_commit(s->snapshots, &draft, &info, err);
	if (r == 0 && ret)
		*ret = info;
	return r;
}

/* ---- the bytes of a layer again ---- */

static int export_blob(struct store *s, const struct digest *blob, struct writer *to,
		       struct error *err)
{
	autoclose int fd = FD_NONE;
	struct decompressor *d;
	struct fd_reader in;
	int r = content_open(s->content, blob, &fd, NULL, err);

	if (r < 0)
		return r;
	fd_reader_init(&in, fd, NULL);
	r = decompressor_new(&in.reader, &d, err);
	if (r < 0)
		return r;
	r = stream_copy(decompressor_reader(d), to, UINT64_MAX, NULL, err);
	decompressor_free(d);
	return r;
}

static int export_dir(struct store *s, const struct digest *diff_id, struct writer *to,
		      const struct cancel *cancel, struct error *err)
{
	autoclose int fd = FD_NONE;
	int r = snapshot_layer_open(s->snapshots, diff_id, &fd, err);

	return r < 0 ? r : pack_layer(fd, to, cancel, NULL, err);
}

int layer_export(struct store *s, const struct digest *diff_id, struct writer *to,
		 const struct cancel *cancel, struct error *err)
{
	auto_(hash_writer) hash = { 0 };
	autofree char *media_type = NULL;
	char text[DIGEST_TEXT_MAX];
	struct digest blob, got;
	uint64_t size;
	int r;

	hash_writer_init(&hash, to);
	if (layer_blobs_find(s, diff_id, &blob, &size, &media_type, NULL) == 0)
		r = export_blob(s, &blob, &hash.writer, err);
	else
		r = export_dir(s, diff_id, &hash.writer, cancel, err);
	digest_format(diff_id, text);
	if (r < 0)
		return error_wrap(err, r, "layer %s", text);
	hash_writer_finish(&hash, &got);
	if (!digest_same(&got, diff_id))
		return error_set(err, ERR_CORRUPT, "layer %s was changed on disk", text);
	return 0;
}

/* One of the known constants: the row's own text dies with the query. */
static const char *known_type(const char *type)
{
	static const char *const types[] = { MEDIA_OCI_LAYER, MEDIA_OCI_LAYER_GZIP,
					     MEDIA_OCI_LAYER_ZSTD, MEDIA_DOCKER_LAYER,
					     MEDIA_DOCKER_LAYER_GZIP };

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(types[i], type) == 0)
			return types[i];
	}
	return MEDIA_DOCKER_LAYER_GZIP;
}

static int compress_into(struct store *s, const struct digest *diff_id, struct content_writer *w,
			 const struct cancel *cancel, struct error *err)
{
	struct compressor *c;
	int r = compressor_new(COMPRESSION_GZIP, 0, content_sink(w), &c, err);

	if (r < 0)
		return r;
	r = layer_export(s, diff_id, compressor_writer(c), cancel, err);
	if (r == 0)
		r = compressor_finish(c, err);
	compressor_free(c);
	return r;
}

static int keep_blob(struct store *s, const char *id, const char *lease_id,
		     const struct layer_blob *b, struct error *err)
{
	return id ? layer_blobs_add(s, id, b, err) : layer_blobs_lease(s, lease_id, b, err);
}

/* For an image, or else for a lease. */
static int compress_for(struct store *s, const char *id, const char *lease_id,
			const struct digest *diff_id, const struct cancel *cancel,
			struct layer_blob *ret, struct error *err)
{
	const struct content_expect expect = { .size = CONTENT_SIZE_UNKNOWN };
	struct layer_blob b = { .diff_id = *diff_id, .media_type = MEDIA_DOCKER_LAYER_GZIP };
	autofree char *media_type = NULL;
	struct content_writer *w;
	int r;

	if (layer_blobs_find(s, diff_id, &b.digest, &b.size, &media_type, NULL) == 0) {
		b.media_type = known_type(media_type);
		r = keep_blob(s, id, lease_id, &b, err);
		if (r == 0)
			*ret = b;
		return r;
	}
	r = content_begin(s->content, &expect, &w, err);
	if (r < 0)
		return r;
	r = compress_into(s, diff_id, w, cancel, err);
	if (r < 0) {
		content_abort(w, false);
		return r;
	}
	r = content_commit(w, &b.digest, &b.size, err);
	if (r == 0)
		r = keep_blob(s, id, lease_id, &b, err);
	/* gc may have come between the two. */
	if (r == 0 && content_stat(s->content, &b.digest, NULL, NULL) < 0)
		r = error_set(err, ERR_UNAVAILABLE, "the compressed layer was removed meanwhile");
	if (r == 0)
		*ret = b;
	return r;
}

int layer_compress(struct store *s, const char *id, const struct digest *diff_id,
		   const struct cancel *cancel, struct layer_blob *ret, struct error *err)
{
	return compress_for(s, id, NULL, diff_id, cancel, ret, err);
}

int layer_compress_for(struct store *s, const char *lease_id, const struct digest *diff_id,
		       const struct cancel *cancel, struct layer_blob *ret, struct error *err)
{
	return compress_for(s, NULL, lease_id, diff_id, cancel, ret, err);
}

/* ---- manifests ---- */

/* A manifest is of use when all that it names is here. */
static bool is_complete(struct store *s, const struct manifest *m)
{
	if (content_stat(s->content, &m->config.digest, NULL, NULL) < 0)
		return false;
	for (size_t i = 0; i < m->n_layers; i++) {
		if (content_stat(s->content, &m->layers[i].digest, NULL, NULL) < 0)
			return false;
	}
	return true;
}

static int kept_manifest(struct store *s, const struct manifest_row *row, struct buf *b,
			 struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct manifest_any any;
	size_t before = b->len;
	int r = content_read(s->content, &row->digest, b, err);

	if (r == 0)
		r = manifest_parse(&a, b->data + before, b->len - before, row->media_type, &any,
				   err);
	if (r == 0 && any.manifest && is_complete(s, any.manifest))
		return 0;
	b->len = before;
	return error_set(err, ERR_NOT_FOUND, "no complete manifest");
}

static const char *static_manifest_type(const char *type)
{
	return strcmp(type, MEDIA_OCI_MANIFEST) == 0 ? MEDIA_OCI_MANIFEST : MEDIA_DOCKER_MANIFEST;
}

static void set_types(struct descriptor *layers, size_t n, bool oci)
{
	for (size_t i = 0; i < n; i++) {
		enum media_compression c = media_compression(layers[i].media_type);

		if (oci)
			layers[i].media_type = c == MEDIA_ZSTD   ? MEDIA_OCI_LAYER_ZSTD
					       : c == MEDIA_GZIP ? MEDIA_OCI_LAYER_GZIP
								 : MEDIA_OCI_LAYER;
		else
			layers[i].media_type =
			    c == MEDIA_GZIP ? MEDIA_DOCKER_LAYER_GZIP : MEDIA_DOCKER_LAYER;
	}
}

static int make_manifest(struct store *s, const struct image *i,
			 const struct image_manifest_want *want, const struct cancel *cancel,
			 struct buf *b, const char **ret_media_type, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct descriptor *layers = arena_array(&a, i->n_layers + 1, sizeof(*layers));
	struct manifest m = { .layers = layers,
			      .n_layers = i->n_layers,
			      .annotations = want->annotations };
	bool oci = want->oci || want->annotations.n > 0;
	int r;

	/* Docker's schema 2 cannot say zstd. */
	for (size_t n = 0; n < i->n_layers; n++) {
		struct layer_blob blob;

		r = layer_compress(s, i->row.id, &i->diff_ids[n], cancel, &blob, err);
		if (r < 0)
			return r;
		layers[n] = (struct descriptor){ .media_type = blob.media_type,
						 .digest = blob.digest,
						 .size = (int64_t)blob.size };
		oci = oci || media_compression(blob.media_type) == MEDIA_ZSTD;
	}
	set_types(layers, i->n_layers, oci);
	m.media_type = oci ? MEDIA_OCI_MANIFEST : MEDIA_DOCKER_MANIFEST;
	m.config = (struct descriptor){ .media_type = oci ? MEDIA_OCI_CONFIG : MEDIA_DOCKER_CONFIG,
					.digest = i->id,
					.size = (int64_t)i->config_len };
	*ret_media_type = m.media_type;
	return manifest_format(&m, b, err);
}

int image_manifest_as(struct store *s, const char *id, const struct image_manifest_want *want,
		      const struct cancel *cancel, struct buf *b, const char **ret_media_type,
		      struct digest *ret_digest, struct error *err)
{
	auto_(image) image = { 0 };
	size_t before = b->len;
	const char *type;
	int r = image_open(s, id, &image, err);

	if (r == 0)
		r = make_manifest(s, &image, want, cancel, b, &type, err);
	if (r == 0)
		r = manifests_add(s, id, b->data + before, b->len - before, type, ret_digest, err);
	if (r == 0)
		*ret_media_type = type;
	return r;
}

int image_manifest(struct store *s, const char *id, const struct cancel *cancel, struct buf *b,
		   const char **ret_media_type, struct digest *ret_digest, struct error *err)
{
	const struct image_manifest_want any = { 0 };
	struct manifest_row *rows;
	const char *type = NULL;
	size_t n;
	int r = manifests_of(s, id, &rows, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && !type; i++) {
		if (kept_manifest(s, &rows[i], b, NULL) < 0)
			continue;
		type = static_manifest_type(rows[i].media_type);
		*ret_digest = rows[i].digest;
	}
	manifest_rows_free(rows, n);
	if (type) {
		*ret_media_type = type;
		return 0;
	}
	return image_manifest_as(s, id, &any, cancel, b, ret_media_type, ret_digest, err);
}
