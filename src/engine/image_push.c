/*
 * engine/image_push.c: docker push: layers side by side, config, manifest. The
 * manifest is the one the image came with when all of it is here, so that
 * digests never change on the way through.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/queue.h"
#include "base/str.h"
#include "base/vec.h"
#include "engine/image_impl.h"
#include "image/commit.h"
#include "oci/manifest.h"
#include "store/store.h"

#define BAR_EVERY_NS (100 * NS_PER_MS)

struct push {
	struct engine *engine;
	struct remote_repo *repo;
	struct progress *progress;
	const struct cancel *cancel;
	struct reference ref;
	struct arena arena;
	char *id;
	char mount_from[REFERENCE_NAME_MAX]; /* "" = none */
};

struct blob_task {
	struct push *push;
	const struct descriptor *blob;
	char short_id[13]; /* "" for the config: docker says nothing about it */
	int64_t bar_ns;
};

static void show_bar(void *arg, uint64_t sent)
{
	struct blob_task *t = arg;
	int64_t now = clock_mono_ns();

	if (!*t->short_id || (now - t->bar_ns < BAR_EVERY_NS && sent < (uint64_t)t->blob->size))
		return;
	t->bar_ns = now;
	progress_bar(t->push->progress, t->short_id, "Pushing", sent, (uint64_t)t->blob->size);
}

static void tell_blob(struct blob_task *t, enum remote_push_result result)
{
	char text[REFERENCE_NAME_MAX + 32];

	if (!*t->short_id)
		return;
	if (result == REMOTE_EXISTS)
		snprintf(text, sizeof(text), "Layer already exists");
	else if (result == REMOTE_MOUNTED)
		snprintf(text, sizeof(text), "Mounted from %s", t->push->mount_from);
	else
		snprintf(text, sizeof(text), "Pushed");
	progress_step(t->push->progress, t->short_id, text);
}

static int push_blob(struct blob_task *t, struct error *err)
{
	struct push *p = t->push;
	autoclose int fd = FD_NONE;
	enum remote_push_result result;
	int r = content_open(p->engine->store->content, &t->blob->digest, &fd, NULL, err);

	if (r == 0)
		r = progress_check(p->progress, err);
	if (r == 0)
		r = remote_push_blob(p->repo, t->blob, fd, *p->mount_from ? p->mount_from : NULL,
				     show_bar, t, &result, err);
	if (r == 0)
		tell_blob(t, result);
	return r;
}

static int blob_work(void *arg, bool cancelled, struct error *err)
{
	struct blob_task *t = arg;
	int r = cancelled ? 0 : push_blob(t, err);

	free(t);
	return r;
}

static int push_blobs(struct push *p, const struct manifest *m, const struct image *image,
		      struct error *err)
{
	unsigned n_threads = engine_config_now(p->engine).max_concurrent_uploads;
	struct queue *q;
	int r = queue_new(n_threads ? n_threads : 5, m->n_layers + 2, &q, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i <= m->n_layers; i++) {
		struct blob_task *t = new0(struct blob_task);

		t->push = p;
		t->blob = i < m->n_layers ? &m->layers[i] : &m->config;
		if (i < m->n_layers && i < image->n_layers)
			image_short(&image->diff_ids[i], t->short_id);
		queue_push(q, blob_work, t);
	}
	return queue_finish(q, err);
}

static int note_source(void *arg, const char *name, const char *id, struct error *err)
{
	struct push *p = arg;
	struct reference ref;

	(void)id;
	(void)err;
	if (reference_parse(name, &ref, NULL) == 0 && strcmp(ref.domain, p->ref.domain) == 0 &&
	    strcmp(ref.path, p->ref.path) != 0)
		memcpy(p->mount_from, ref.path, sizeof(p->mount_from));
	return 0;
}

static int finish(struct push *p, const struct buf *manifest, const char *media_type,
		  const struct digest *digest, struct error *err)
{
	char text[DIGEST_TEXT_MAX], name[REFERENCE_TEXT_MAX];
	struct reference ref = p->ref;
	int r =
	    remote_push_manifest(p->repo, media_type, manifest->data, manifest->len, false, err);

	if (r < 0)
		return r;
	reference_set_tag(&ref, "");
	ref.digest = *digest;
	reference_format(&ref, name);
	r = repo_digests_set(p->engine->store, name, p->id, err);
	/* Deleted here meanwhile: pushed it is. */
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	digest_format(digest, text);
	progress_status(p->progress, NULL, "%s: digest: %s size: %zu", p->ref.tag, text,
			manifest->len);
	image_progress_aux(p->progress, p->ref.tag, text, (int64_t)manifest->len);
	return 0;
}

static int push_image(struct push *p, struct error *err)
{
	auto_(image) image = { 0 };
	auto_(buf) b = BUF_INIT(MANIFEST_MAX);
	struct manifest_any any;
	struct digest digest;
	const char *media_type;
	char short_id[13];
	int r = image_open(p->engine->store, p->id, &image, err);

	if (r < 0)
		return r;
	for (size_t i = image.n_layers; i > 0; i--) {
		image_short(&image.diff_ids[i - 1], short_id);
		progress_step(p->progress, short_id, "Preparing");
	}
	r = image_manifest(p->engine->store, p->id, p->cancel, &b, &media_type, &digest, err);
	if (r == 0)
		r = manifest_parse(&p->arena, b.data, b.len, media_type, &any, err);
	if (r == 0)
		r = repo_digests_each(p->engine->store, p->id, note_source, p, err);
	if (r == 0)
		r = push_blobs(p, any.manifest, &image, err);
	return r < 0 ? r : finish(p, &b, media_type, &digest, err);
}

static int push_one(struct engine *e, const struct reference *ref, const char *id,
		    const struct remote_auth *auth, struct progress *progress,
		    const struct cancel *cancel, struct error *err)
{
	struct push p = { .engine = e,
			  .progress = progress,
			  .cancel = cancel,
			  .ref = *ref,
			  .arena = ARENA_INIT };
	char familiar[REFERENCE_TEXT_MAX], name[REFERENCE_TEXT_MAX];
	int r = remote_open(e->images->remote, ref, auth, REMOTE_PUSH, cancel, &p.repo, err);

	if (r < 0)
		return r;
	p.id = xstrdup(id);
	r = push_image(&p, err);
	remote_close(p.repo);
	arena_release(&p.arena);
	free(p.id);
	reference_familiar(ref, familiar);
	reference_familiar_name(ref, name);
	if (r == 0)
		image_event(e, "push", familiar, name);
	return r;
}

struct tagged {
	struct reference ref;
	char *id;
};

struct tag_list {
	struct reference name;
	bool one;
	VEC(struct tagged) found;
};

static int note_tag(void *arg, const char *name, const char *id, struct error *err)
{
	struct tag_list *l = arg;
	struct reference ref;
	int r = reference_parse(name, &ref, err);

	if (r < 0 || strcmp(ref.domain, l->name.domain) != 0 ||
	    strcmp(ref.path, l->name.path) != 0 || (l->one && strcmp(ref.tag, l->name.tag) != 0))
		return r;
	*vec_push(&l->found) = (struct tagged){ ref, xstrdup(id) };
	return 0;
}

int engine_image_push(struct engine *e, const char *name, const char *tag, const struct json *auth,
		      struct writer *out, const struct cancel *cancel, struct error *err)
{
	struct progress progress = PROGRESS_INIT(out);
	struct tag_list l = { 0 };
	char plain[REFERENCE_TEXT_MAX], familiar[REFERENCE_TEXT_MAX];
	struct remote_auth credentials;
	int r = image_reference(name, tag, &l.name, err);

	if (r == 0 && reference_has_digest(&l.name))
		r = error_set(err, ERR_INVALID, "cannot push a digest reference");
	if (r < 0)
		return r;
	l.one = reference_has_tag(&l.name);
	reference_name(&l.name, plain);
	reference_familiar_name(&l.name, familiar);
	r = tags_each(e->store, NULL, note_tag, &l, err);
	image_auth_read(auth, &credentials);
	progress_status(&progress, NULL, "The push refers to repository [%s]", plain);
	if (r == 0 && l.found.len == 0)
		r = error_set(err, ERR_NOT_FOUND,
			      "An image does not exist locally with the tag: %s", familiar);
	vec_for_each (t, &l.found) {
		if (r == 0)
			r = push_one(e, &t->ref, t->id, &credentials, &progress, cancel, err);
		free(t->id);
	}
	vec_release(&l.found);
	return progress_end(&progress, r, err);
}
