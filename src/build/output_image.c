/* build/output_image.c: the image with a manifest: to a registry, into a layout. See outputs.h. */
#include <unistd.h>

#include "build/cache_places.h"
#include "build/layout.h"
#include "build/outputs.h"
#include "build/progress.h"
#include "image/commit.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "store/images.h"

struct made {
	struct buf text;
	struct arena arena;
	struct descriptor self;
	struct descriptor *blobs; /* layers, then the config */
	size_t n_blobs;
};
#define MADE_INIT \
	{ \
		.text = BUF_INIT(MANIFEST_MAX), .arena = ARENA_INIT \
	}

static void made_release(struct made *m)
{
	buf_release(&m->text);
	arena_release(&m->arena);
}
DEFINE_AUTO(made, made_release);

static int make(struct build *b, const struct build_place *o, bool oci, const char *id,
		struct made *m, struct error *err)
{
	struct image_manifest_want want = { .annotations = output_annotations(b, o) };
	struct store *s = b->builder->cfg.store;
	struct manifest_any any;
	int r = place_bool(o, "oci-mediatypes", oci, &want.oci, err);

	if (r < 0)
		return r;
	if (want.oci || want.annotations.n > 0)
		r = image_manifest_as(s, id, &want, b->cancel, &m->text, &m->self.media_type,
				      &m->self.digest, err);
	else
		r = image_manifest(s, id, b->cancel, &m->text, &m->self.media_type, &m->self.digest,
				   err);
	if (r < 0)
		return r;
	r = manifest_parse(&m->arena, m->text.data, m->text.len, m->self.media_type, &any, err);
	if (r < 0)
		return r;
	m->self.size = (int64_t)m->text.len;
	m->n_blobs = any.manifest->n_layers + 1;
	m->blobs = arena_array(&m->arena, m->n_blobs, sizeof(*m->blobs));
	for (size_t i = 0; i + 1 < m->n_blobs; i++)
		m->blobs[i] = any.manifest->layers[i];
	m->blobs[m->n_blobs - 1] = any.manifest->config;
	return 0;
}

static int push_to(struct build *b, const struct made *m, const char *name, const char *id,
		   bool by_digest, struct error *err)
{
	struct builder_config *cfg = &b->builder->cfg;
	char text[REFERENCE_TEXT_MAX], digest[DIGEST_TEXT_MAX];
	struct progress_task task;
	struct remote_repo *repo;
	struct reference ref;
	int r;

	if (cfg->repo == NULL)
		return error_set(err, ERR_UNAVAILABLE, "there is no registry client");
	r = reference_parse_tagged(name, &ref, err);
	if (r == 0)
		r = cfg->repo(cfg->arg, name, b->q->registry_auth, REMOTE_PUSH, b->cancel, &repo,
			      err);
	if (r < 0)
		return r;
	progress_task_begin(b->progress, &task, "pushing %s", name);
	r = push_blobs(b, repo, m->blobs, m->n_blobs, err);
	if (r == 0)
		r = remote_push_manifest(repo, m->self.media_type, m->text.data, m->text.len,
					 by_digest, err);
	remote_close(repo);
	(void)!progress_task_end(b->progress, &task, r, err);
	if (r < 0)
		return error_wrap(err, r, "push %s", name);
	reference_set_tag(&ref, "");
	ref.digest = m->self.digest;
	reference_format(&ref, text);
	r = repo_digests_set(cfg->store, text, id, err);
	/* Deleted here meanwhile: pushed it is. */
	if (r == -ERR_NOT_FOUND)
		r = 0;
	digest_format(&m->self.digest, digest);
	if (r == 0)
		progress_note(b->progress, "Pushed %s: digest: %s size: %zu\n", name, digest,
			      m->text.len);
	return r;
}

int output_image(struct build *b, const struct build_place *o, const char *id,
		 struct build_result *ret, struct error *err)
{
	auto_(made) m = MADE_INIT;
	const char *const *names;
	bool push, by_digest;
	int r = place_bool(o, "push", strcmp(o->type, "registry") == 0, &push, err);

	if (r == 0)
		r = place_bool(o, "push-by-digest", false, &by_digest, err);
	if (r == 0)
		r = output_names(b, o, &names, err);
	if (r < 0)
		return r;
	ret->names = names;
	/* In the store an image needs no manifest, unless somebody has words for it. */
	if (!push && output_annotations(b, o).n == 0)
		return 0;
	r = make(b, o, false, id, &m, err);
	for (; r == 0 && push && *names; names++)
		r = push_to(b, &m, *names, id, by_digest, err);
	if (r == 0) {
		ret->manifest = m.self;
		ret->annotations = output_annotations(b, o);
	}
	return r;
}

int output_layout(struct build *b, const struct build_place *o, const char *id,
		  struct build_result *ret, struct error *err)
{
	auto_(made) m = MADE_INIT;
	const char *const *names;
	int r = output_names(b, o, &names, err);

	if (r == 0)
		r = make(b, o, true, id, &m, err);
	m.self.annotations = output_descriptor_annotations(b, o);
	for (size_t i = 0; r == 0 && i <= m.n_blobs; i++) {
		const struct descriptor *d = i < m.n_blobs ? &m.blobs[i] : &m.self;
		autoclose int fd = FD_NONE;

		r = content_open(b->builder->cfg.store->content, &d->digest, &fd, NULL, err);
		if (r == 0)
			r = layout_put(o->fd, d, fd, err);
	}
	ret->names = names;
	ret->manifest = m.self;
	ret->annotations = output_all_annotations(b, o);
	if (r == 0 && *names == NULL)
		return layout_tag(o->fd, &m.self, "latest", err);
	for (; r == 0 && *names; names++)
		r = layout_tag(o->fd, &m.self, strrchr(*names, ':') + 1, err);
	return r;
}
