/* build/cache_import.c: see cache_import.h. */
#include "build/cache_import.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/map.h"
#include "build/cache_doc.h"
#include "build/cache_places.h"
#include "build/layout.h"
#include "build/progress.h"
#include "image/image.h"
#include "image/unpack.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "remote/remote.h"

struct origin {
	const struct build_place *place;
	const char *name; /* in warnings */
	struct cache_doc doc;
	const struct descriptor *blobs; /* of doc's layers; NULL: they are in this store */
	struct remote_repo *repo;       /* NULL: the layout at place->fd, or this store */
	struct map by_key, by_fast, by_def;
	atomic_bool bad; /* gave a layer that is not what it says */
};

struct cache_imports {
	struct build *build;
	struct arena arena;
	struct origin *at;
	size_t len;
	struct lock lock; /* guards the two */
	bool opening, opened;
	pthread_cond_t changed;
};

struct cache_imports *cache_imports_new(struct build *b)
{
	struct cache_imports *i = new0(struct cache_imports);

	i->build = b;
	i->lock = (struct lock)LOCK_INIT;
	pthread_cond_init(&i->changed, NULL);
	i->at = xcalloc(2 * b->q->n_cache_from + 1, sizeof(*i->at));
	return i;
}

static void origin_release(struct origin *o)
{
	remote_close(o->repo);
	map_release(&o->by_key);
	map_release(&o->by_fast);
	map_release(&o->by_def);
}

void cache_imports_free(struct cache_imports *i)
{
	if (i == NULL)
		return;
	for (size_t n = 0; n < i->len; n++)
		origin_release(&i->at[n]);
	free(i->at);
	arena_release(&i->arena);
	pthread_cond_destroy(&i->changed);
	free(i);
}

/* ---- opening ---- */

static int read_blob(struct origin *o, const struct descriptor *d, struct buf *b, struct error *err)
{
	return o->repo != NULL ? remote_read_blob(o->repo, d, b, err)
			       : layout_read(o->place->fd, d, b, err);
}

/* The document, and as many blobs as it has layers. */
static int read_document(struct cache_imports *i, struct origin *o, const struct descriptor *config,
			 const struct descriptor *blobs, size_t n_blobs, struct error *err)
{
	auto_(buf) text = BUF_INIT(CACHE_DOC_MAX);
	int r;

	if (config->size > (int64_t)CACHE_DOC_MAX)
		return error_set(err, ERR_INVALID, "build cache of %lld bytes is too large",
				 (long long)config->size);
	r = read_blob(o, config, &text, err);
	if (r == 0)
		r = cache_doc_parse(&i->arena, text.data ? text.data : "", text.len, &o->doc, err);
	if (r < 0)
		return r;
	if (o->doc.n_layers != n_blobs)
		return error_set(err, ERR_INVALID, "the cache names %zu layers and has %zu",
				 o->doc.n_layers, n_blobs);
	o->blobs = blobs;
	return 0;
}

static bool is_cache(const struct descriptor *d)
{
	return d->media_type != NULL && strcmp(d->media_type, CACHE_DOC_TYPE) == 0;
}

/* image-manifest=false: layers and document are entries of an index. */
static int read_index(struct cache_imports *i, struct origin *o, const struct index *x,
		      struct error *err)
{
	struct descriptor *blobs = arena_array(&i->arena, x->n_manifests + 1, sizeof(*blobs));
	const struct descriptor *config = NULL;
	size_t n = 0;

	for (size_t k = 0; k < x->n_manifests; k++) {
		if (is_cache(&x->manifests[k]))
			config = &x->manifests[k];
		else
			blobs[n++] = x->manifests[k];
	}
	if (config == NULL)
		return error_set(err, ERR_NOT_FOUND, "not a build cache");
	return read_document(i, o, config, blobs, n, err);
}

/* The records that an image's config brings along. */
static int read_inline(struct cache_imports *i, struct origin *o, const char *config, size_t len,
		       struct error *err)
{
	struct image_config c;
	const struct json *j;
	int r = image_config_parse(&i->arena, config, len, &c, err);

	if (r < 0)
		return r;
	j = json_get(c.document, CACHE_INLINE_KEY);
	if (j == NULL)
		return error_set(err, ERR_NOT_FOUND, "the image has no build cache in it");
	r = cache_doc_parse_inline(&i->arena, j, c.n_diff_ids, &o->doc, err);
	if (r < 0)
		return r;
	o->doc.diff_ids = arena_array(&i->arena, c.n_diff_ids + 1, sizeof(*o->doc.diff_ids));
	if (c.n_diff_ids > 0)
		memcpy(o->doc.diff_ids, c.diff_ids, c.n_diff_ids * sizeof(*c.diff_ids));
	return 0;
}

static int read_image(struct cache_imports *i, struct origin *o, const struct manifest *m,
		      struct error *err)
{
	auto_(buf) text = BUF_INIT(IMAGE_CONFIG_MAX);
	int r;

	if (is_cache(&m->config))
		return read_document(i, o, &m->config, m->layers, m->n_layers, err);
	if (m->config.size > (int64_t)IMAGE_CONFIG_MAX)
		return error_set(err, ERR_INVALID, "image config of %lld bytes is too large",
				 (long long)m->config.size);
	r = read_blob(o, &m->config, &text, err);
	if (r == 0)
		r = read_inline(i, o, text.data ? text.data : "", text.len, err);
	if (r == 0 && o->doc.n_layers != m->n_layers)
		r = error_set(err, ERR_INVALID, "the manifest has %zu layers, the image config %zu",
			      m->n_layers, o->doc.n_layers);
	o->blobs = m->layers;
	return r;
}

static int open_registry(struct cache_imports *i, struct origin *o, struct error *err)
{
	struct builder_config *cfg = &i->build->builder->cfg;
	struct remote_manifest m;
	struct remote_image image;
	int r;

	if (cfg->repo == NULL)
		return error_set(err, ERR_UNAVAILABLE, "there is no registry client");
	r = cfg->repo(cfg->arg, o->name, i->build->q->registry_auth, REMOTE_PULL, i->build->cancel,
		      &o->repo, err);
	if (r == 0)
		r = remote_get_manifest(o->repo, &i->arena, NULL, &m, err);
	if (r < 0)
		return r;
	if (m.doc.manifest != NULL)
		return read_image(i, o, m.doc.manifest, err);
	if (read_index(i, o, m.doc.index, err) == 0)
		return 0;
	r = remote_resolve(o->repo, &i->arena, &i->build->graph.target->platform, &image, err);
	return r < 0 ? r : read_image(i, o, image.manifest.doc.manifest, err);
}

static int open_layout(struct cache_imports *i, struct origin *o, struct error *err)
{
	const char *digest = place_attr(o->place, "digest"), *tag = place_attr(o->place, "tag");
	auto_(buf) text = BUF_INIT(MANIFEST_MAX);
	struct descriptor d;
	struct manifest_any any;
	int r = layout_find(o->place->fd, &i->arena, tag ? tag : "latest", digest, &d, err);

	if (r == 0)
		r = layout_read(o->place->fd, &d, &text, err);
	if (r == 0)
		r = manifest_parse(&i->arena, text.data ? text.data : "", text.len, d.media_type,
				   &any, err);
	if (r < 0)
		return r;
	return any.manifest ? read_image(i, o, any.manifest, err)
			    : read_index(i, o, any.index, err);
}

/* An image of this store with records in its config; quiet when there is none. */
static int open_here(struct cache_imports *i, struct origin *o, struct error *err)
{
	auto_(image) image = { 0 };
	int r = image_open(i->build->builder->cfg.store, o->name, &image, err);

	return r < 0 ? r : read_inline(i, o, image.config_text, image.config_len, err);
}

static void index_records(struct origin *o)
{
	for (size_t n = 0; n < o->doc.n_records; n++) {
		struct cache_doc_record *rec = &o->doc.records[n];

		map_set(&o->by_key, rec->key, rec);
		if (rec->fast[0] == '\0')
			continue;
		map_set(&o->by_fast, rec->fast, rec);
		map_set(&o->by_def, rec->def, rec);
	}
}

static void open_origin(struct cache_imports *i, const struct build_place *place)
{
	bool local = strcmp(place->type, "local") == 0, here = false;
	const char *ref = place_attr(place, "ref");
	struct origin *o = &i->at[i->len];
	struct progress_task task;
	struct error err;
	int r;

	*o = (struct origin){ .place = place, .name = ref ? ref : place_attr(place, "src") };
	if (!local && open_here(i, o, NULL) == 0) {
		here = true;
		index_records(o);
		o = &i->at[++i->len];
		*o = (struct origin){ .place = place, .name = ref };
	}
	if (o->name == NULL)
		o->name = "local";
	progress_task_begin(i->build->progress, &task, "importing cache manifest from %s", o->name);
	r = local ? open_layout(i, o, &err) : open_registry(i, o, &err);
	(void)!progress_task_end(i->build->progress, &task, r, &err);
	if (r == 0) {
		index_records(o);
		i->len++;
		return;
	}
	origin_release(o);
	if (!here)
		progress_note(i->build->progress,
			      "[Warning] cache %s cannot be used: %s; going on without it\n",
			      o->name, err.msg);
}

/* Sources are asked in their order, once; whoever comes meanwhile waits. */
static void open_all(struct cache_imports *i)
{
	lock_take(&i->lock);
	while (i->opening)
		pthread_cond_wait(&i->changed, &i->lock.mutex);
	if (i->opened) {
		lock_drop(&i->lock);
		return;
	}
	i->opening = true;
	lock_drop(&i->lock);
	for (size_t n = 0; n < i->build->q->n_cache_from; n++)
		open_origin(i, &i->build->q->cache_from[n]);
	lock_take(&i->lock);
	i->opening = false;
	i->opened = true;
	pthread_cond_broadcast(&i->changed);
	lock_drop(&i->lock);
}

/* ---- asking ---- */

bool cache_imports_know(struct cache_imports *i, const char *def)
{
	open_all(i);
	for (size_t n = 0; n < i->len; n++) {
		if (map_has(&i->at[n].by_def, def))
			return true;
	}
	return false;
}

bool cache_imports_fast(struct cache_imports *i, const char *fast, char ret_key[static 65])
{
	open_all(i);
	for (size_t n = 0; n < i->len; n++) {
		const struct cache_doc_record *rec = map_get(&i->at[n].by_fast, fast);

		if (rec == NULL || i->at[n].bad)
			continue;
		memcpy(ret_key, rec->key, sizeof(rec->key));
		return true;
	}
	return false;
}

static int unpack_from(struct cache_imports *i, struct origin *o, const struct descriptor *d,
		       const struct unpack_layer *u, struct layer_info *info,
		       struct layer_blob *blob, struct error *err)
{
	const struct unpack_expect expect = { &d->digest, (uint64_t)d->size };
	struct store *s = i->build->builder->cfg.store;
	struct remote_blob *from;
	autoclose int fd = FD_NONE;
	struct fd_reader file;
	int r;

	if (o->repo != NULL) {
		r = remote_get_blob(o->repo, d, 0, &from, err);
		if (r < 0)
			return r;
		r = unpack_keep(s, &from->reader, u, &expect, i->build->lease.id, info, blob, err);
		remote_blob_close(from);
		return r;
	}
	r = layout_open(o->place->fd, d, &fd, err);
	if (r < 0)
		return r;
	fd_reader_init(&file, fd, i->build->cancel);
	return unpack_keep(s, &file.reader, u, &expect, i->build->lease.id, info, blob, err);
}

/* The lease comes first: what is found after it stays. */
static int fetch_layer(struct cache_imports *i, struct origin *o, size_t n, struct layer_info *info,
		       struct error *err)
{
	struct store *s = i->build->builder->cfg.store;
	const struct digest *diff_id = &o->doc.diff_ids[n];
	const struct unpack_layer u = { .diff_id = diff_id, .cancel = i->build->cancel };
	struct layer_blob blob;
	int r = lease_add_digest(s->db, i->build->lease.id, REF_LAYER, diff_id, err);

	if (r < 0 || snapshot_layer_get(s->snapshots, diff_id, info, NULL) == 0)
		return r;
	if (o->blobs == NULL)
		return error_set(err, ERR_NOT_FOUND, "the layer is no longer here");
	r = unpack_from(i, o, &o->blobs[n], &u, info, &blob, err);
	return r < 0 ? r : cache_keep_blob(s, &blob, err);
}

static int fetch(struct cache_imports *i, struct origin *o, const struct cache_doc_record *from,
		 struct error *err)
{
	struct store *s = i->build->builder->cfg.store;
	struct cache_record rec = { .text = from->text, .used_ns = i->build->started_ns };
	struct layer_info info;
	int r = 0;

	if (from->layer >= 0) {
		r = fetch_layer(i, o, (size_t)from->layer, &info, err);
		rec.layer = o->doc.diff_ids[from->layer];
		rec.size = (int64_t)info.size;
	}
	memcpy(rec.key, from->key, sizeof(rec.key));
	if (r == 0)
		r = cache_put(s, &rec, err);
	if (r == 0 && from->fast[0] != '\0')
		r = cache_fast_put(s, from->fast, from->def, from->key, err);
	return r;
}

bool cache_imports_fetch(struct cache_imports *i, const char *key)
{
	open_all(i);
	for (size_t n = 0; n < i->len; n++) {
		struct origin *o = &i->at[n];
		const struct cache_doc_record *rec = o->bad ? NULL : map_get(&o->by_key, key);
		struct error err;
		int r = rec == NULL ? -ERR_NOT_FOUND : fetch(i, o, rec, &err);

		if (r == 0)
			return true;
		if (rec == NULL || r == -ERR_CANCELED)
			continue;
		o->bad = true;
		progress_note(i->build->progress,
			      "[Warning] cache %s cannot be used: %s; going on without it\n",
			      o->name, err.msg);
	}
	return false;
}
