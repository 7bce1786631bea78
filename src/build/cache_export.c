/*
 * build/cache_export.c: what a build knows, for other machines. See cache_places.h.
 *
 * mode=min takes the steps that the target is made of, mode=max every step. Layers
 * are compressed once and kept as long as the cache keeps their records.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "build/build_internal.h"
#include "build/cache_doc.h"
#include "build/cache_places.h"
#include "build/layout.h"
#include "build/progress.h"
#include "image/commit.h"
#include "oci/manifest.h"
#include "oci/media_type.h"
#include "store/images.h"

/* What a cache consists of, in the arena. */
struct parcel {
	struct arena arena;
	struct map layers; /* diffID text -> its place in doc.diff_ids, plus one */
	struct cache_doc doc;
	struct descriptor *blobs;
};
#define PARCEL_INIT \
	{ \
		.arena = ARENA_INIT \
	}

static void parcel_release(struct parcel *p)
{
	map_release(&p->layers);
	arena_release(&p->arena);
}
DEFINE_AUTO(parcel, parcel_release);

static int64_t layer_place(struct parcel *p, const struct digest *diff_id)
{
	char text[DIGEST_TEXT_MAX];
	uintptr_t at;

	digest_format(diff_id, text);
	at = (uintptr_t)map_get(&p->layers, text);
	if (at == 0) {
		p->doc.diff_ids[p->doc.n_layers] = *diff_id;
		at = ++p->doc.n_layers;
		map_set(&p->layers, text, (void *)at);
	}
	return (int64_t)at - 1;
}

static bool is_of_target(const struct build *b, const struct node *n)
{
	for (const struct node *t = b->graph.target->tip; t != NULL; t = t->base) {
		if (t == n)
			return true;
	}
	return false;
}

/* Steps in the order of the graph, which is the same for the same Dockerfile. */
static void collect(struct build *b, bool all, struct parcel *p)
{
	size_t n_nodes = b->graph.n_nodes;

	p->doc.records = arena_array(&p->arena, n_nodes + 1, sizeof(*p->doc.records));
	p->doc.diff_ids = arena_array(&p->arena, n_nodes + 1, sizeof(*p->doc.diff_ids));
	for (size_t i = 0; i < n_nodes; i++) {
		const struct node *n = b->graph.nodes[i];
		struct cache_doc_record *rec = &p->doc.records[p->doc.n_records];

		if (n->kind == NODE_IMAGE || n->key[0] == '\0' || (!all && !is_of_target(b, n)))
			continue;
		*rec = (struct cache_doc_record){ .layer = -1, .text = n->text };
		memcpy(rec->key, n->key, sizeof(rec->key));
		if (n->n_inputs > 0) {
			node_fast_key(n, rec->fast);
			hex_format(n->def, sizeof(n->def), rec->def);
		}
		if (n->made_layer)
			rec->layer = layer_place(p, &n->layers[n->n_layers - 1]);
		p->doc.n_records++;
	}
}

int caches_inline(struct build *b, char **ret_text, struct error *err)
{
	auto_(buf) text = BUF_INIT(CACHE_DOC_MAX);
	auto_(parcel) p = PARCEL_INIT;
	const struct node *tip = b->graph.target->tip;
	struct jsonw w;
	bool wanted = false;
	int r;

	*ret_text = NULL;
	for (size_t i = 0; i < b->q->n_cache_to; i++)
		wanted |= strcmp(b->q->cache_to[i].type, "inline") == 0;
	if (!wanted)
		return 0;
	collect(b, false, &p);
	/* Layers are those of the image, by their place in it. */
	for (size_t i = 0; i < p.doc.n_records; i++) {
		struct cache_doc_record *rec = &p.doc.records[i];
		size_t at = 0;

		while (rec->layer >= 0 && at < tip->n_layers &&
		       !digest_equal(&tip->layers[at], &p.doc.diff_ids[rec->layer]))
			at++;
		rec->layer = rec->layer < 0 ? -1 : (int64_t)at;
	}
	jsonw_init(&w, &text);
	cache_doc_write(&w, &p.doc, true);
	r = jsonw_finish(&w, err);
	if (r == 0)
		r = buf_add(&text, "", 0, err);
	if (r == 0)
		*ret_text = buf_detach(&text, NULL);
	return r;
}

static const char *layer_type(const struct layer_blob *blob, bool oci)
{
	enum media_compression c = media_compression(blob->media_type);

	if (c == MEDIA_ZSTD)
		return MEDIA_OCI_LAYER_ZSTD;
	if (oci)
		return c == MEDIA_GZIP ? MEDIA_OCI_LAYER_GZIP : MEDIA_OCI_LAYER;
	return c == MEDIA_GZIP ? MEDIA_DOCKER_LAYER_GZIP : MEDIA_DOCKER_LAYER;
}

static int compress_layers(struct build *b, struct parcel *p, bool oci, struct error *err)
{
	struct store *s = b->builder->cfg.store;
	int r = 0;

	p->blobs = arena_array(&p->arena, p->doc.n_layers + 2, sizeof(*p->blobs));
	for (size_t i = 0; r == 0 && i < p->doc.n_layers; i++) {
		struct layer_blob blob;

		r = layer_compress_for(s, CACHE_LEASE, &p->doc.diff_ids[i], b->cancel, &blob, err);
		if (r == 0)
			p->blobs[i] = (struct descriptor){ .media_type = layer_type(&blob, oci),
							   .digest = blob.digest,
							   .size = (int64_t)blob.size };
	}
	return r;
}

/* A document made here: into the store for as long as this build lasts. */
static int keep_text(struct build *b, const struct buf *text, const char *media_type,
		     struct descriptor *ret, struct error *err)
{
	struct digest d = { .algo = DIGEST_SHA256 };
	int r;

	hash_sha256(text->data, text->len, d.bytes);
	r = lease_add_digest(b->builder->cfg.store->db, b->lease.id, REF_BLOB, &d, err);
	if (r == 0)
		r = content_add(b->builder->cfg.store->content, text->data, text->len, &d, err);
	if (r == 0)
		*ret = (struct descriptor){ .media_type = media_type,
					    .digest = d,
					    .size = (int64_t)text->len };
	return r;
}

/* blobs[n_layers] becomes the document; the manifest or index that names all goes to *out. */
static int write_documents(struct build *b, const struct build_place *place, struct parcel *p,
			   struct buf *out, struct descriptor *ret, struct error *err)
{
	auto_(buf) text = BUF_INIT(CACHE_DOC_MAX);
	struct descriptor *config;
	struct manifest m = { .media_type = MEDIA_OCI_MANIFEST, .n_layers = p->doc.n_layers };
	struct index x = { .n_manifests = p->doc.n_layers + 1 };
	bool oci, as_image;
	struct jsonw w;
	int r = place_bool(place, "oci-mediatypes", true, &oci, err);

	if (r == 0)
		r = place_bool(place, "image-manifest", oci, &as_image, err);
	if (r == 0)
		r = compress_layers(b, p, oci, err);
	if (r < 0)
		return r;
	jsonw_init(&w, &text);
	cache_doc_write(&w, &p->doc, false);
	r = jsonw_finish(&w, err);
	config = &p->blobs[p->doc.n_layers];
	if (r == 0)
		r = keep_text(b, &text, CACHE_DOC_TYPE, config, err);
	if (r < 0)
		return r;
	m.layers = p->blobs;
	m.config = *config;
	x.manifests = p->blobs;
	x.media_type = oci ? MEDIA_OCI_INDEX : MEDIA_DOCKER_LIST;
	r = as_image ? manifest_format(&m, out, err) : index_format(&x, out, err);
	return r < 0 ? r
		     : keep_text(b, out, as_image ? MEDIA_OCI_MANIFEST : x.media_type, ret, err);
}

static int to_registry(struct build *b, const struct build_place *place, const struct parcel *p,
		       const struct buf *text, const struct descriptor *top, struct error *err)
{
	struct builder_config *cfg = &b->builder->cfg;
	struct remote_repo *repo;
	int r;

	if (cfg->repo == NULL)
		return error_set(err, ERR_UNAVAILABLE, "there is no registry client");
	r = cfg->repo(cfg->arg, place_attr(place, "ref"), b->q->registry_auth, REMOTE_PUSH,
		      b->cancel, &repo, err);
	if (r < 0)
		return r;
	r = push_blobs(b, repo, p->blobs, p->doc.n_layers + 1, err);
	if (r == 0)
		r = remote_push_manifest(repo, top->media_type, text->data, text->len, false, err);
	remote_close(repo);
	return r;
}

static int to_layout(struct build *b, const struct build_place *place, const struct parcel *p,
		     const struct descriptor *top, struct error *err)
{
	const char *tag = place_attr(place, "tag");
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->doc.n_layers + 2; i++) {
		const struct descriptor *d = i < p->doc.n_layers + 1 ? &p->blobs[i] : top;
		autoclose int fd = FD_NONE;

		r = cancel_check(b->cancel, err);
		if (r == 0)
			r = content_open(b->builder->cfg.store->content, &d->digest, &fd, NULL,
					 err);
		if (r == 0)
			r = layout_put(place->fd, d, fd, err);
	}
	return r < 0 ? r : layout_tag(place->fd, top, tag ? tag : "latest", err);
}

static int export_one(struct build *b, const struct build_place *place, struct error *err)
{
	const char *mode = place_attr(place, "mode");
	auto_(buf) text = BUF_INIT(MANIFEST_MAX);
	auto_(parcel) p = PARCEL_INIT;
	struct descriptor top;
	int r;

	collect(b, mode != NULL && strcmp(mode, "max") == 0, &p);
	r = write_documents(b, place, &p, &text, &top, err);
	if (r < 0)
		return r;
	return strcmp(place->type, "local") == 0 ? to_layout(b, place, &p, &top, err)
						 : to_registry(b, place, &p, &text, &top, err);
}

int caches_export(struct build *b, struct error *err)
{
	for (size_t i = 0; i < b->q->n_cache_to; i++) {
		const struct build_place *place = &b->q->cache_to[i];
		struct progress_task task;
		struct error why;
		bool ignore;
		int r;

		if (strcmp(place->type, "inline") == 0)
			continue;
		progress_task_begin(b->progress, &task, "exporting cache to %s",
				    strcmp(place->type, "local") == 0 ? "client directory"
								      : "registry");
		r = export_one(b, place, &why);
		(void)!progress_task_end(b->progress, &task, r, &why);
		if (r == 0)
			continue;
		if (place_bool(place, "ignore-error", false, &ignore, err) < 0 || !ignore ||
		    r == -ERR_CANCELED) {
			error_wrap(&why, r, "export cache");
			if (err != NULL)
				*err = why;
			return r;
		}
		progress_note(b->progress, "[Warning] the cache was not exported: %s\n", why.msg);
	}
	return 0;
}
