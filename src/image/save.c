/*
 * image/save.c: docker save: one tar, both OCI layout and docker archive. See
 * archive.h. The small documents come first, so that whoever loads it from a
 * stream knows what is coming.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/tar.h"
#include "base/alloc.h"
#include "base/cancel.h"
#include "base/jsonw.h"
#include "base/map.h"
#include "base/vec.h"
#include "image/archive.h"
#include "image/commit.h"
#include "image/image.h"
#include "oci/manifest.h"
#include "oci/media_type.h"
#include "oci/reference.h"

#define IMAGE_NAME   "io.containerd.image.name"
#define REF_NAME     "org.opencontainers.image.ref.name"
#define DOCUMENT_MAX (64UL << 20)

/* A layer as it goes out: a blob of content, or the plain tar of a directory. */
struct out_layer {
	struct digest digest, diff_id;
	uint64_t size;
	bool plain;
};

struct out_image {
	struct image image;
	VEC(char *) tags; /* canonical */
	char *manifest;
	size_t manifest_len;
	struct digest manifest_digest;
	const char *manifest_type;
	struct out_layer *layers; /* image.n_layers */
};

struct saver {
	struct store *store;
	const struct cancel *cancel;
	struct tar_writer tar;
	VEC(struct out_image) images;
	struct pairs annotations; /* of manifests made now */
	struct pairs descriptor_annotations;
	struct map written; /* digests that are in the tar */
};

/* ---- which images, under which names ---- */

static struct out_image *find_or_add(struct saver *s, const char *id, struct error *err, int *ret)
{
	struct out_image *o;

	*ret = 0;
	vec_for_each (i, &s->images) {
		if (strcmp(i->image.row.id, id) == 0)
			return i;
	}
	o = vec_push(&s->images);
	*ret = image_open(s->store, id, &o->image, err);
	if (*ret < 0)
		s->images.len--;
	return o;
}

static void add_tag(struct out_image *o, const char *canonical)
{
	vec_for_each (t, &o->tags) {
		if (strcmp(*t, canonical) == 0)
			return;
	}
	*vec_push(&o->tags) = xstrdup(canonical);
}

static int add_image(struct saver *s, const char *id, const char *canonical, struct error *err)
{
	int r;
	struct out_image *o = find_or_add(s, id, err, &r);

	if (r == 0 && canonical)
		add_tag(o, canonical);
	return r;
}

struct repository {
	struct saver *saver;
	char prefix[REFERENCE_TEXT_MAX]; /* "docker.io/library/busybox:" */
	bool found;
};

static int add_if_of_repository(void *arg, const char *name, const char *id, struct error *err)
{
	struct repository *p = arg;

	if (strncmp(name, p->prefix, strlen(p->prefix)) != 0)
		return 0;
	p->found = true;
	return add_image(p->saver, id, name, err);
}

static int add_name(struct saver *s, const char *name, struct error *err)
{
	struct repository p = { .saver = s };
	autofree char *id = NULL, *canonical = NULL, *tagged = NULL;
	struct reference ref;
	size_t n;
	int r;

	if (reference_parse(name, &ref, NULL) == 0 && !reference_has_tag(&ref) &&
	    !reference_has_digest(&ref)) {
		reference_name(&ref, p.prefix);
		n = strlen(p.prefix);
		snprintf(p.prefix + n, sizeof(p.prefix) - n, ":");
		r = tags_each(s->store, NULL, add_if_of_repository, &p, err);
		if (r < 0 || p.found)
			return r;
	}
	r = image_resolve(s->store, name, &id, err);
	if (r < 0)
		return r;
	/* A name that is a tag goes into the archive, an id or digest does not. */
	if (image_name_canonical(name, &canonical, NULL) < 0 ||
	    tags_get(s->store, canonical, &tagged, NULL, NULL) < 0 || strcmp(tagged, id) != 0)
		free(steal_ptr(canonical));
	return add_image(s, id, canonical, err);
}

/* ---- manifests: the one it came with, or one of what is here ---- */

static int use_kept_manifest(struct saver *s, struct out_image *o, const struct manifest_row *row)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(MANIFEST_MAX);
	struct manifest_any any;
	uint64_t size;

	if (content_read(s->store->content, &row->digest, &b, NULL) < 0 ||
	    manifest_parse(&a, b.data, b.len, row->media_type, &any, NULL) < 0 || !any.manifest ||
	    any.manifest->n_layers != o->image.n_layers)
		return -ERR_NOT_FOUND;
	for (size_t i = 0; i < o->image.n_layers; i++) {
		const struct descriptor *d = &any.manifest->layers[i];

		if (content_stat(s->store->content, &d->digest, &size, NULL) < 0)
			return -ERR_NOT_FOUND;
		o->layers[i] = (struct out_layer){ d->digest, o->image.diff_ids[i], size, false };
	}
	o->manifest_type = strcmp(row->media_type, MEDIA_OCI_MANIFEST) == 0 ? MEDIA_OCI_MANIFEST
									    : MEDIA_DOCKER_MANIFEST;
	o->manifest_digest = row->digest;
	o->manifest = buf_detach(&b, &o->manifest_len);
	return 0;
}

static int make_manifest(struct saver *s, struct out_image *o, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(MANIFEST_MAX);
	size_t n = o->image.n_layers;
	struct descriptor *layers = arena_array(&a, n + 1, sizeof(*layers));
	struct manifest m = { .media_type = MEDIA_OCI_MANIFEST, .layers = layers, .n_layers = n };
	struct layer_info info;
	int r;

	for (size_t i = 0; i < n; i++) {
		struct out_layer *l = &o->layers[i];
		autofree char *type = NULL;

		l->diff_id = o->image.diff_ids[i];
		if (layer_blobs_find(s->store, &l->diff_id, &l->digest, &l->size, &type, NULL) ==
		    0) {
			enum media_compression c = media_compression(type);

			layers[i].media_type = c == MEDIA_ZSTD   ? MEDIA_OCI_LAYER_ZSTD
					       : c == MEDIA_GZIP ? MEDIA_OCI_LAYER_GZIP
								 : MEDIA_OCI_LAYER;
		} else {
			r = snapshot_layer_get(s->store->snapshots, &l->diff_id, &info, err);
			if (r < 0)
				return r;
			l->digest = l->diff_id;
			l->size = info.tar_size;
			l->plain = true;
			layers[i].media_type = MEDIA_OCI_LAYER;
		}
		layers[i].digest = l->digest;
		layers[i].size = (int64_t)l->size;
	}
	m.annotations = s->annotations;
	m.config = (struct descriptor){ .media_type = MEDIA_OCI_CONFIG,
					.digest = o->image.id,
					.size = (int64_t)o->image.config_len };
	r = manifest_format(&m, &b, err);
	if (r < 0)
		return r;
	o->manifest_type = MEDIA_OCI_MANIFEST;
	o->manifest_digest = (struct digest){ .algo = DIGEST_SHA256 };
	hash_sha256(b.data, b.len, o->manifest_digest.bytes);
	o->manifest = buf_detach(&b, &o->manifest_len);
	return 0;
}

static int prepare(struct saver *s, struct out_image *o, struct error *err)
{
	struct manifest_row *rows;
	size_t n;
	int r = manifests_of(s->store, o->image.row.id, &rows, &n, err);

	if (r < 0)
		return r;
	o->layers = xcalloc(o->image.n_layers + 1, sizeof(*o->layers));
	for (size_t i = 0; i < n && !o->manifest && s->annotations.n == 0; i++)
		(void)use_kept_manifest(s, o, &rows[i]);
	manifest_rows_free(rows, n);
	return o->manifest ? 0 : make_manifest(s, o, err);
}

/* ---- writing ---- */

static void blob_path(const struct digest *d, char out[static 200])
{
	char text[DIGEST_TEXT_MAX], *colon;

	digest_format(d, text);
	colon = strchr(text, ':');
	*colon = '/';
	snprintf(out, 200, "blobs/%s", text);
}

static int put_document(struct saver *s, const char *name, struct jsonw *w, struct buf *b,
			struct error *err)
{
	int r = jsonw_finish(w, err);

	return r < 0 ? r : tar_writer_file(&s->tar, name, 0644, 0, b->data, b->len, err);
}

/* name: NULL for none */
static void put_annotations(struct jsonw *w, const char *name, const struct pairs *more)
{
	if (name == NULL && more->n == 0)
		return;
	jsonw_kobject(w, "annotations");
	if (name != NULL) {
		jsonw_kstring(w, IMAGE_NAME, name);
		jsonw_kstring(w, REF_NAME, strrchr(name, ':') + 1);
	}
	for (size_t i = 0; i < more->n; i++) {
		if (name == NULL || (strcmp(more->at[i].key, IMAGE_NAME) != 0 &&
				     strcmp(more->at[i].key, REF_NAME) != 0))
			jsonw_kstring(w, more->at[i].key, more->at[i].value);
	}
	jsonw_end(w);
}

static int put_index(struct saver *s, struct error *err)
{
	auto_(buf) b = BUF_INIT(DOCUMENT_MAX);
	struct jsonw w;
	char text[DIGEST_TEXT_MAX];

	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_kint(&w, "schemaVersion", 2);
	jsonw_kstring(&w, "mediaType", MEDIA_OCI_INDEX);
	jsonw_karray(&w, "manifests");
	vec_for_each (o, &s->images) {
		size_t i = 0;

		do {
			jsonw_object(&w);
			digest_format(&o->manifest_digest, text);
			jsonw_kstring(&w, "mediaType", o->manifest_type);
			jsonw_kstring(&w, "digest", text);
			jsonw_kint(&w, "size", (int64_t)o->manifest_len);
			put_annotations(&w, i < o->tags.len ? o->tags.at[i] : NULL,
					&s->descriptor_annotations);
			jsonw_end(&w);
		} while (++i < o->tags.len);
	}
	jsonw_end(&w);
	jsonw_end(&w);
	return put_document(s, "index.json", &w, &b, err);
}

static int put_manifest_json(struct saver *s, struct error *err)
{
	auto_(buf) b = BUF_INIT(DOCUMENT_MAX);
	struct jsonw w;
	char path[200];

	jsonw_init(&w, &b);
	jsonw_array(&w);
	vec_for_each (o, &s->images) {
		jsonw_object(&w);
		blob_path(&o->image.id, path);
		jsonw_kstring(&w, "Config", path);
		if (o->tags.len == 0)
			jsonw_knull(&w, "RepoTags");
		else
			jsonw_karray(&w, "RepoTags");
		vec_for_each (t, &o->tags) {
			autofree char *familiar = image_name_familiar(*t);

			jsonw_string(&w, familiar);
		}
		if (o->tags.len > 0)
			jsonw_end(&w);
		jsonw_karray(&w, "Layers");
		for (size_t i = 0; i < o->image.n_layers; i++) {
			blob_path(&o->layers[i].digest, path);
			jsonw_string(&w, path);
		}
		jsonw_end(&w);
		jsonw_end(&w);
	}
	jsonw_end(&w);
	return put_document(s, "manifest.json", &w, &b, err);
}

/* True the first time a digest is asked for. */
static bool is_new(struct saver *s, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	if (map_has(&s->written, text))
		return false;
	map_set(&s->written, text, s);
	return true;
}

static int put_bytes(struct saver *s, const struct digest *d, const void *bytes, size_t len,
		     struct error *err)
{
	char path[200];

	if (!is_new(s, d))
		return 0;
	blob_path(d, path);
	return tar_writer_file(&s->tar, path, 0644, 0, bytes, len, err);
}

struct data_writer {
	struct writer writer;
	struct saver *saver;
};

static int data_write(struct writer *w, const void *bytes, size_t len, struct error *err)
{
	struct saver *s = container_of(w, struct data_writer, writer)->saver;
	int r = cancel_check(s->cancel, err);

	if (r < 0)
		return r;
	if (len > s->tar.left)
		return error_set(err, ERR_CORRUPT, "a layer is longer than it was");
	return tar_writer_data(&s->tar, bytes, len, err);
}

static int put_blob(struct saver *s, const struct out_layer *l, struct writer *to,
		    struct error *err)
{
	autoclose int fd = FD_NONE;
	struct fd_reader in;
	uint64_t size;
	int r = content_open(s->store->content, &l->digest, &fd, &size, err);

	if (r < 0)
		return r;
	if (size != l->size)
		return error_set(err, ERR_CORRUPT, "a blob has changed its size");
	fd_reader_init(&in, fd, s->cancel);
	return stream_copy(&in.reader, to, size, NULL, err);
}

static int put_layer(struct saver *s, const struct out_layer *l, struct error *err)
{
	static const struct writer_ops ops = { data_write };
	struct data_writer data = { .writer.ops = &ops, .saver = s };
	struct tar_entry e = { .type = TAR_FILE, .link = "", .mode = 0644, .size = l->size };
	char path[200];
	int r;

	if (!is_new(s, &l->digest))
		return 0;
	blob_path(&l->digest, path);
	e.path = path;
	r = tar_writer_entry(&s->tar, &e, err);
	if (r < 0)
		return r;
	r = l->plain ? layer_export(s->store, &l->diff_id, &data.writer, s->cancel, err)
		     : put_blob(s, l, &data.writer, err);
	if (r == 0 && s->tar.left > 0)
		r = error_set(err, ERR_CORRUPT, "a layer is shorter than it was");
	return r;
}

static int put_image(struct saver *s, const struct out_image *o, struct error *err)
{
	int r = put_bytes(s, &o->manifest_digest, o->manifest, o->manifest_len, err);

	if (r == 0)
		r = put_bytes(s, &o->image.id, o->image.config_text, o->image.config_len, err);
	for (size_t i = 0; r == 0 && i < o->image.n_layers; i++)
		r = put_layer(s, &o->layers[i], err);
	return r;
}

static int write_all(struct saver *s, struct error *err)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	int r = tar_writer_file(&s->tar, "oci-layout", 0644, 0, layout, strlen(layout), err);

	if (r == 0)
		r = put_index(s, err);
	if (r == 0)
		r = put_manifest_json(s, err);
	vec_for_each (o, &s->images) {
		if (r == 0)
			r = put_image(s, o, err);
	}
	return r < 0 ? r : tar_writer_finish(&s->tar, err);
}

static int save(struct saver *s, struct error *err)
{
	int r = 0;

	vec_for_each (o, &s->images) {
		if (r == 0)
			r = prepare(s, o, err);
	}
	return r < 0 ? r : write_all(s, err);
}

static void saver_release(struct saver *s)
{
	vec_for_each (o, &s->images) {
		vec_for_each (t, &o->tags)
			free(*t);
		vec_release(&o->tags);
		free(o->manifest);
		free(o->layers);
		image_release(&o->image);
	}
	vec_release(&s->images);
	map_release(&s->written);
}

int image_save(struct store *s, const char *const *names, size_t n_names,
	       const struct cancel *cancel, struct writer *to, struct error *err)
{
	struct saver saver = { .store = s, .cancel = cancel, .tar = TAR_WRITER_INIT(to) };
	int r = 0;

	for (size_t i = 0; r == 0 && i < n_names; i++)
		r = add_name(&saver, names[i], err);
	if (r == 0)
		r = save(&saver, err);
	saver_release(&saver);
	return r;
}

int image_save_one(struct store *s, const struct image_save_one *o, const struct cancel *cancel,
		   struct writer *to, struct descriptor *ret, struct error *err)
{
	struct saver saver = { .store = s,
			       .cancel = cancel,
			       .tar = TAR_WRITER_INIT(to),
			       .annotations = o->annotations,
			       .descriptor_annotations = o->descriptor_annotations };
	int r = add_image(&saver, o->id, NULL, err);

	for (size_t i = 0; r == 0 && i < o->n_tags; i++)
		r = add_image(&saver, o->id, o->tags[i], err);
	if (r == 0)
		r = save(&saver, err);
	if (r == 0)
		*ret = (struct descriptor){ .media_type = saver.images.at[0].manifest_type,
					    .digest = saver.images.at[0].manifest_digest,
					    .size = (int64_t)saver.images.at[0].manifest_len };
	saver_release(&saver);
	return r;
}
