/* image/load_images.c: what was in the archive becomes images. See load_impl.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/vec.h"
#include "image/image.h"
#include "image/load_impl.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "oci/media_type.h"
#include "oci/reference.h"

static void blob_key(const struct digest *d, char out[static 200])
{
	char text[DIGEST_TEXT_MAX], *colon;

	digest_format(d, text);
	colon = strchr(text, ':');
	*colon = '/';
	snprintf(out, 200, "blobs/%s", text);
}

struct pending {
	struct image_create create;
	VEC(char *) tags; /* canonical */
	VEC(const char *) tag_list;
	VEC(struct layer_blob) blobs;
};

static void pending_release(struct pending *p)
{
	vec_for_each (t, &p->tags)
		free(*t);
	vec_release(&p->tags);
	vec_release(&p->tag_list);
	vec_release(&p->blobs);
}

/* A config's layers must be the ones that came, in their order. */
static int check_layers(const struct document *config, const struct loaded_layer *const *layers,
			size_t n, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct image_config c;
	char want[DIGEST_TEXT_MAX], got[DIGEST_TEXT_MAX];
	int r = image_config_parse(&a, config->text, config->len, &c, err);

	if (r < 0)
		return r;
	if (c.n_diff_ids != n)
		return error_set(err, ERR_INVALID,
				 "invalid manifest, layers length mismatch: expected %zu, got %zu",
				 c.n_diff_ids, n);
	for (size_t i = 0; i < n; i++) {
		if (digest_same(&c.diff_ids[i], &layers[i]->info.diff_id))
			continue;
		return error_set(err, ERR_INVALID,
				 "invalid diffID for layer %zu: expected \"%s\", got \"%s\"", i,
				 load_digest_text(&c.diff_ids[i], want),
				 load_digest_text(&layers[i]->info.diff_id, got));
	}
	return 0;
}

static int finish(struct loader *l, struct pending *p, struct error *err)
{
	autofree char *id = NULL;
	int r;

	vec_for_each (t, &p->tags)
		*vec_push(&p->tag_list) = *t;
	p->create.tags = p->tag_list.at;
	p->create.n_tags = p->tag_list.len;
	p->create.blobs = p->blobs.at;
	p->create.n_blobs = p->blobs.len;
	r = image_create(l->store, &p->create, &id, err);
	if (r < 0)
		return r;
	if (l->options->loaded && p->tags.len == 0)
		return l->options->loaded(l->options->arg, id, NULL, err);
	vec_for_each (t, &p->tags) {
		autofree char *familiar = image_name_familiar(*t);

		r = l->options->loaded ? l->options->loaded(l->options->arg, id, familiar, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static void keep_blobs(struct pending *p, const struct loaded_layer *const *layers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (layers[i]->has_blob)
			*vec_push(&p->blobs) = layers[i]->blob;
	}
}

/* The OCI manifest with this config, when all that it names is kept as it is. */
static void find_manifest(struct loader *l, struct pending *p, const struct digest *config)
{
	map_for_each (e, &l->documents) {
		auto_(arena) a = ARENA_INIT;
		const struct document *d = e->value;
		struct manifest_any any;
		bool all = true;

		if (!str_starts(str_of(e->key), "blobs/") ||
		    manifest_parse(&a, d->text, d->len, NULL, &any, NULL) < 0 || !any.manifest ||
		    !digest_same(&any.manifest->config.digest, config))
			continue;
		for (size_t i = 0; i < any.manifest->n_layers; i++)
			all = all && content_stat(l->store->content,
						  &any.manifest->layers[i].digest, NULL, NULL) == 0;
		if (!all)
			continue;
		p->create.manifest = d->text;
		p->create.manifest_len = d->len;
		p->create.manifest_media_type = strstr(any.manifest->media_type, "docker")
						    ? MEDIA_DOCKER_MANIFEST
						    : MEDIA_OCI_MANIFEST;
		return;
	}
}

/* ---- docker archives ---- */

static int docker_tags(const struct json *item, struct pending *p, struct error *err)
{
	const struct json *tags = json_get(item, "RepoTags");

	json_for_each_item (t, tags) {
		struct reference ref;
		char *canonical;
		int r;

		if (t->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "manifest.json: RepoTags: want strings");
		r = reference_parse(t->s, &ref, err);
		if (r < 0)
			return error_wrap(err, r, "manifest.json: '%.100s'", t->s);
		if (!reference_has_tag(&ref))
			return error_set(err, ERR_INVALID, "invalid tag \"%.200s\"", t->s);
		r = image_name_canonical(t->s, &canonical, err);
		if (r < 0)
			return r;
		*vec_push(&p->tags) = canonical;
	}
	return 0;
}

static int docker_image(struct loader *l, const struct json *item, struct pending *p,
			struct error *err)
{
	const char *path = json_str(item, "Config");
	const struct json *list = json_get(item, "Layers");
	autofree const struct loaded_layer **layers = NULL;
	autofree char *key = path ? load_key(path) : NULL;
	const struct document *config = key ? load_document(l, key) : NULL;
	struct digest id = { .algo = DIGEST_SHA256 };
	size_t n = 0;
	int r;

	if (!config)
		return error_set(err, ERR_INVALID,
				 "manifest.json: config '%.200s' is not in the archive",
				 path ? path : "");
	layers =
	    xcalloc((list && list->type == JSON_ARRAY ? list->n_items : 0) + 1, sizeof(*layers));
	json_for_each_item (item_path, list) {
		autofree char *layer_key =
		    item_path->type == JSON_STRING ? load_key(item_path->s) : NULL;

		layers[n] = layer_key ? load_layer(l, layer_key) : NULL;
		if (!layers[n++])
			return error_set(err, ERR_INVALID,
					 "manifest.json: layer '%.200s' is not in the archive",
					 layer_key ? layer_key : "");
	}
	r = check_layers(config, layers, n, err);
	if (r == 0)
		r = docker_tags(item, p, err);
	if (r < 0)
		return r;
	p->create.config = config->text;
	p->create.config_len = config->len;
	hash_sha256(config->text, config->len, id.bytes);
	keep_blobs(p, layers, n);
	find_manifest(l, p, &id);
	return finish(l, p, err);
}

static int docker_archive(struct loader *l, const struct document *d, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *doc;
	int r = json_parse(&a, d->text, d->len, &doc, err);

	if (r < 0)
		return error_wrap(err, r, "manifest.json");
	if (doc->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID, "manifest.json: want a list");
	json_for_each_item (item, doc) {
		struct pending p = { 0 };

		r = docker_image(l, item, &p, err);
		pending_release(&p);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- OCI layouts ---- */

static const struct document *blob_document(struct loader *l, const struct digest *d)
{
	char key[200];

	blob_key(d, key);
	return load_document(l, key);
}

/* The name that the index gives an image, if it is one. */
static void oci_name(const struct descriptor *d, struct pending *p)
{
	const char *name = pairs_get(&d->annotations, "io.containerd.image.name");
	struct reference ref;
	char *canonical;

	if (!name) {
		name = pairs_get(&d->annotations, "org.opencontainers.image.ref.name");
		/* Often just a tag: then it is a tag of nothing. */
		if (name && (!strchr(name, ':') && !strchr(name, '/')))
			name = NULL;
	}
	if (name && reference_parse(name, &ref, NULL) == 0 &&
	    image_name_canonical(name, &canonical, NULL) == 0)
		*vec_push(&p->tags) = canonical;
}

static int oci_manifest(struct loader *l, const struct descriptor *top, const struct manifest *m,
			struct error *err)
{
	autofree const struct loaded_layer **layers = xcalloc(m->n_layers + 1, sizeof(*layers));
	const struct document *config = blob_document(l, &m->config.digest);
	struct pending p = { 0 };
	char key[200];
	int r;

	if (!config)
		return error_set(err, ERR_INVALID, "the image's config is not in the archive");
	for (size_t i = 0; i < m->n_layers; i++) {
		blob_key(&m->layers[i].digest, key);
		layers[i] = load_layer(l, key);
		if (!layers[i])
			return error_set(err, ERR_INVALID, "layer '%s' is not in the archive", key);
	}
	r = check_layers(config, layers, m->n_layers, err);
	if (r < 0)
		return r;
	oci_name(top, &p);
	p.create.config = config->text;
	p.create.config_len = config->len;
	keep_blobs(&p, layers, m->n_layers);
	find_manifest(l, &p, &m->config.digest);
	r = finish(l, &p, err);
	pending_release(&p);
	return r;
}

static int oci_descriptor(struct loader *l, const struct descriptor *top,
			  const struct descriptor *d, unsigned depth, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	const struct document *doc = blob_document(l, &d->digest);
	struct manifest_any any;
	struct platform host;
	const struct descriptor *chosen;
	int r;

	if (!doc)
		return error_set(err, ERR_INVALID, "a manifest that index.json names is missing");
	if (depth > INDEX_DEPTH_MAX)
		return error_set(err, ERR_INVALID, "indexes nested deeper than %d",
				 INDEX_DEPTH_MAX);
	r = manifest_parse(&a, doc->text, doc->len, d->media_type, &any, err);
	if (r < 0)
		return r;
	if (any.manifest)
		return oci_manifest(l, top, any.manifest, err);
	platform_host(&host);
	r = index_choose(any.index, &host, &chosen, err);
	return r < 0 ? r : oci_descriptor(l, top, chosen, depth + 1, err);
}

static int oci_layout(struct loader *l, const struct document *d, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct manifest_any any;
	int r = manifest_parse(&a, d->text, d->len, MEDIA_OCI_INDEX, &any, err);

	if (r < 0)
		return error_wrap(err, r, "index.json");
	if (!any.index)
		return error_set(err, ERR_INVALID, "index.json is not an index");
	for (size_t i = 0; i < any.index->n_manifests; i++) {
		const struct descriptor *m = &any.index->manifests[i];

		r = oci_descriptor(l, m, m, 0, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int load_images(struct loader *l, struct error *err)
{
	const struct document *d = load_document(l, "manifest.json");

	if (d)
		return docker_archive(l, d, err);
	d = load_document(l, "index.json");
	if (d)
		return oci_layout(l, d, err);
	return error_set(err, ERR_INVALID,
			 "not an image archive: neither manifest.json nor index.json is in it "
			 "(`import` takes the tar of a root file system)");
}
