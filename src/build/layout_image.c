/* build/layout_image.c: an image of the client's OCI layout, for oci-layout:// contexts. */
#include <stdlib.h>
#include <unistd.h>

#include "build/build_internal.h"
#include "build/layout.h"
#include "image/image.h"
#include "image/unpack.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "store/images.h"

struct layout_image {
	struct build *build;
	int fd;
	struct arena arena;
	struct buf manifest_text, config_text;
	struct descriptor self;
	const struct manifest *manifest;
	struct image_config config;
};
#define LAYOUT_IMAGE_INIT \
	{ \
		.fd = FD_NONE, .arena = ARENA_INIT, .manifest_text = BUF_INIT(MANIFEST_MAX), \
		.config_text = BUF_INIT(IMAGE_CONFIG_MAX) \
	}

static void layout_image_release(struct layout_image *l)
{
	buf_release(&l->manifest_text);
	buf_release(&l->config_text);
	arena_release(&l->arena);
}
DEFINE_AUTO(layout_image, layout_image_release);

/* Through indexes down to the manifest for the platform that is built. */
static int find_manifest(struct layout_image *l, const struct platform *want, struct error *err)
{
	for (unsigned depth = 0; depth <= INDEX_DEPTH_MAX; depth++) {
		const struct descriptor *chosen;
		struct manifest_any any;
		int r;

		l->manifest_text.len = 0;
		r = layout_read(l->fd, &l->self, &l->manifest_text, err);
		if (r == 0)
			r = manifest_parse(&l->arena,
					   l->manifest_text.data ? l->manifest_text.data : "",
					   l->manifest_text.len, l->self.media_type, &any, err);
		if (r < 0)
			return r;
		if (any.manifest != NULL) {
			l->manifest = any.manifest;
			return 0;
		}
		r = index_choose(any.index, want, &chosen, err);
		if (r < 0)
			return r;
		l->self = *chosen;
	}
	return error_set(err, ERR_INVALID, "indexes within indexes are more than %d deep",
			 INDEX_DEPTH_MAX);
}

static int take_config(struct layout_image *l, struct error *err)
{
	struct store *s = l->build->builder->cfg.store;
	const struct descriptor *d = &l->manifest->config;
	struct digest added;
	int r;

	if (d->size > (int64_t)IMAGE_CONFIG_MAX)
		return error_set(err, ERR_INVALID, "image config of %lld bytes is too large",
				 (long long)d->size);
	r = lease_add_digest(s->db, l->build->lease.id, REF_BLOB, &d->digest, err);
	if (r == 0)
		r = layout_read(l->fd, d, &l->config_text, err);
	if (r == 0)
		r = content_add(s->content, l->config_text.data, l->config_text.len, &added, err);
	if (r == 0)
		r = image_config_parse(&l->arena, l->config_text.data, l->config_text.len,
				       &l->config, err);
	if (r == 0 && l->config.n_diff_ids != l->manifest->n_layers)
		r = error_set(err, ERR_INVALID, "the manifest has %zu layers, the image config %zu",
			      l->manifest->n_layers, l->config.n_diff_ids);
	return r;
}

static int take_layer(struct layout_image *l, size_t n, struct error *err)
{
	struct store *s = l->build->builder->cfg.store;
	const struct descriptor *d = &l->manifest->layers[n];
	const struct unpack_layer u = { .diff_id = &l->config.diff_ids[n],
					.cancel = l->build->cancel };
	const struct unpack_expect expect = { &d->digest, (uint64_t)d->size };
	autoclose int fd = FD_NONE;
	struct layer_info info;
	struct layer_blob blob;
	struct fd_reader from;
	int r = lease_add_digest(s->db, l->build->lease.id, REF_LAYER, u.diff_id, err);

	if (r < 0 || snapshot_layer_get(s->snapshots, u.diff_id, &info, NULL) == 0)
		return r;
	r = layout_open(l->fd, d, &fd, err);
	if (r < 0)
		return r;
	fd_reader_init(&from, fd, l->build->cancel);
	return unpack_keep(s, &from.reader, &u, &expect, l->build->lease.id, &info, &blob, err);
}

int layout_image(struct build *b, const struct build_context *c, char **ret_id, bool *ret_was_here,
		 struct error *err)
{
	auto_(layout_image) l = LAYOUT_IMAGE_INIT;
	struct store *s = b->builder->cfg.store;
	struct image_create create = { 0 };
	char text[DIGEST_TEXT_MAX];
	struct platform want;
	int r;

	l.build = b;
	l.fd = c->fd;
	platform_host(&want);
	if (b->q->platform != NULL && b->q->platform[0] != '\0' &&
	    (r = platform_parse(b->q->platform, &want, err)) < 0)
		return r;
	r = layout_find(l.fd, &l.arena, c->layout_tag ? c->layout_tag : "latest", c->layout_digest,
			&l.self, err);
	if (r == 0)
		r = find_manifest(&l, &want, err);
	if (r == 0)
		r = take_config(&l, err);
	for (size_t i = 0; r == 0 && i < l.manifest->n_layers; i++)
		r = take_layer(&l, i, err);
	if (r < 0)
		return r;
	digest_format(&l.manifest->config.digest, text);
	*ret_was_here = image_is_here(s, text);
	create.config = l.config_text.data;
	create.config_len = l.config_text.len;
	return image_create(s, &create, ret_id, err);
}
