/*
 * engine/image_pull.c: docker pull: manifest, then layers side by side, each in
 * one pass from the socket to its files; then one transaction makes the image
 * visible. A blob is fetched once however many pulls want it, and a cut
 * download goes on where it ended.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/queue.h"
#include "base/str.h"
#include "engine/image_impl.h"
#include "image/unpack.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "store/lease.h"
#include "store/store.h"

#define BAR_EVERY_NS (100 * NS_PER_MS)

struct pull {
	struct engine *engine;
	struct remote_repo *repo;
	struct progress *progress;
	const struct cancel *cancel;
	const char *lease;
	const struct reference *ref;
	struct arena arena;
	struct remote_image image;
	struct buf config;
	struct image_config parsed;
	char id[DIGEST_TEXT_MAX];
	bool fresh; /* something was new */
};

struct layer_task {
	struct pull *pull;
	const struct descriptor *blob;
	struct digest diff_id;
	char short_id[13];
	int64_t bar_ns; /* when the last bar was sent */
};

/* ---- one layer ---- */

static bool have_layer(struct pull *p, const struct digest *diff_id)
{
	struct layer_info info;

	return snapshot_layer_get(p->engine->store->snapshots, diff_id, &info, NULL) == 0;
}

static void show_bar(void *arg, uint64_t held)
{
	struct layer_task *t = arg;
	int64_t now = clock_mono_ns();

	if (now - t->bar_ns < BAR_EVERY_NS && held < (uint64_t)t->blob->size)
		return;
	t->bar_ns = now;
	progress_bar(t->pull->progress, t->short_id, "Downloading", held, (uint64_t)t->blob->size);
}

static int stream_layer(struct layer_task *t, struct content_writer *w, struct error *err)
{
	struct pull *p = t->pull;
	const struct unpack_layer u = { .diff_id = &t->diff_id, .cancel = p->cancel };
	struct remote_blob *blob;
	struct content_tee tee;
	int r = remote_get_blob(p->repo, t->blob, content_offset(w), &blob, err);

	if (r < 0)
		return r;
	content_tee_init(&tee, w, &blob->reader);
	tee.progress = show_bar;
	tee.arg = t;
	r = unpack_layer(p->engine->store, &tee.reader, &u, p->lease, NULL, err);
	remote_blob_close(blob);
	return r;
}

static int fetch_layer(struct layer_task *t, struct error *err)
{
	struct pull *p = t->pull;
	const struct content_expect expect = { .digest = &t->blob->digest,
					       .size = (uint64_t)t->blob->size,
					       .resume = true };
	struct content_writer *w;
	int r = content_begin(p->engine->store->content, &expect, &w, err);

	if (r < 0)
		return r;
	r = stream_layer(t, w, err);
	if (r < 0) {
		/* What is wrong is not worth keeping; what was cut is, unless the disk is full. */
		content_abort(w, r != -ERR_CORRUPT && r != -ERR_INVALID && r != -ERR_SYSTEM);
		return r;
	}
	r = content_commit(w, NULL, NULL, err);
	if (r == 0) {
		/* Both went on beside the download; Docker says it one after the other. */
		progress_step(p->progress, t->short_id, "Verifying Checksum");
		progress_step(p->progress, t->short_id, "Download complete");
		progress_bar(p->progress, t->short_id, "Extracting", (uint64_t)t->blob->size,
			     (uint64_t)t->blob->size);
	}
	return r;
}

/* The blob is here and only its files are not. */
static int unpack_held(struct layer_task *t, struct error *err)
{
	struct pull *p = t->pull;
	const struct unpack_layer u = { .diff_id = &t->diff_id, .cancel = p->cancel };

	progress_step(p->progress, t->short_id, "Download complete");
	return unpack_blob(p->engine->store, &t->blob->digest, &u, p->lease, NULL, err);
}

static int get_layer(struct layer_task *t, bool *ret_new, struct error *err)
{
	struct pull *p = t->pull;
	char text[DIGEST_TEXT_MAX];
	bool waited;
	int r;

	digest_format(&t->blob->digest, text);
	r = image_flight_begin(p->engine->images, text, p->cancel, &waited, err);
	if (r < 0)
		return r;
	*ret_new = !have_layer(p, &t->diff_id);
	if (!*ret_new)
		r = 0;
	else if (content_stat(p->engine->store->content, &t->blob->digest, NULL, NULL) == 0)
		r = unpack_held(t, err);
	else
		r = fetch_layer(t, err);
	image_flight_end(p->engine->images, text);
	return r;
}

static int layer_work(void *arg, bool cancelled, struct error *err)
{
	struct layer_task *t = arg;
	bool is_new = false;
	int r = 0;

	if (!cancelled) {
		r = progress_check(t->pull->progress, err);
		if (r == 0)
			r = get_layer(t, &is_new, err);
		if (r == 0)
			progress_step(t->pull->progress, t->short_id, "Pull complete");
		else
			r = error_wrap(err, r, "layer %s", t->short_id);
	}
	free(t);
	return r;
}

static int lease_layer(struct pull *p, const struct descriptor *blob, const struct digest *diff_id,
		       struct error *err)
{
	struct db *db = p->engine->store->db;
	int r = lease_add_digest(db, p->lease, REF_BLOB, &blob->digest, err);

	return r < 0 ? r : lease_add_digest(db, p->lease, REF_LAYER, diff_id, err);
}

static int get_layers(struct pull *p, struct error *err)
{
	const struct manifest *m = p->image.manifest.doc.manifest;
	unsigned n_threads = engine_config_now(p->engine).max_concurrent_downloads;
	struct queue *q = NULL;
	size_t n_pushed = 0;
	int r = queue_new(n_threads ? n_threads : 3, m->n_layers + 1, &q, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < m->n_layers; i++) {
		struct layer_task *t;

		r = lease_layer(p, &m->layers[i], &p->parsed.diff_ids[i], err);
		if (r < 0)
			break;
		t = new0(struct layer_task);
		*t = (struct layer_task){ .pull = p,
					  .blob = &m->layers[i],
					  .diff_id = p->parsed.diff_ids[i] };
		image_short(&t->blob->digest, t->short_id);
		if (have_layer(p, &t->diff_id)) {
			progress_step(p->progress, t->short_id, "Already exists");
			free(t);
			continue;
		}
		progress_step(p->progress, t->short_id, "Pulling fs layer");
		if (n_pushed++ >= (n_threads ? n_threads : 3))
			progress_step(p->progress, t->short_id, "Waiting");
		queue_push(q, layer_work, t);
	}
	if (r < 0) {
		if (queue_finish(q, NULL) < 0)
			return r;
		return r;
	}
	return queue_finish(q, err);
}

/* ---- the image ---- */

/* The config's bytes, from content or else from the registry into it. */
static int read_config(struct pull *p, const struct descriptor *d, struct error *err)
{
	struct content_store *content = p->engine->store->content;
	struct digest added;
	int r = content_read(content, &d->digest, &p->config, NULL);

	if (r == 0)
		return 0;
	p->config.len = 0;
	r = remote_read_blob(p->repo, d, &p->config, err);
	return r < 0 ? r : content_add(content, p->config.data, p->config.len, &added, err);
}

static int get_config(struct pull *p, struct error *err)
{
	const struct manifest *m = p->image.manifest.doc.manifest;
	char text[DIGEST_TEXT_MAX];
	bool waited;
	int r = lease_add_digest(p->engine->store->db, p->lease, REF_BLOB, &m->config.digest, err);

	if (r < 0)
		return r;
	if (m->config.size > (int64_t)IMAGE_CONFIG_MAX)
		return error_set(err, ERR_INVALID, "image config of %lld bytes is too large",
				 (long long)m->config.size);
	digest_format(&m->config.digest, text);
	r = image_flight_begin(p->engine->images, text, p->cancel, &waited, err);
	if (r < 0)
		return r;
	r = read_config(p, &m->config, err);
	image_flight_end(p->engine->images, text);
	if (r == 0)
		r = image_config_parse(&p->arena, p->config.data, p->config.len, &p->parsed, err);
	if (r < 0)
		return r;
	if (p->parsed.n_diff_ids != m->n_layers)
		return error_set(err, ERR_INVALID,
				 "the manifest has %zu layers, the image config %zu", m->n_layers,
				 p->parsed.n_diff_ids);
	digest_format(&m->config.digest, p->id);
	return 0;
}

static bool have_image(struct pull *p)
{
	struct image_row row = { 0 };
	bool have = images_get(p->engine->store, p->id, &row, NULL) == 0;

	image_row_release(&row);
	for (size_t i = 0; have && i < p->parsed.n_diff_ids; i++)
		have = have_layer(p, &p->parsed.diff_ids[i]);
	return have;
}

/* Blobs that are here: a layer that came another way has none. */
static size_t held_blobs(struct pull *p, struct layer_blob *out)
{
	const struct manifest *m = p->image.manifest.doc.manifest;
	size_t n = 0;

	for (size_t i = 0; i < m->n_layers; i++) {
		const struct descriptor *d = &m->layers[i];

		if (content_stat(p->engine->store->content, &d->digest, NULL, NULL) < 0)
			continue;
		out[n++] = (struct layer_blob){ d->digest, p->parsed.diff_ids[i], d->media_type,
						(uint64_t)d->size };
	}
	return n;
}

static int keep_index(struct pull *p, struct digest *ret, struct error *err)
{
	const struct remote_manifest *top = &p->image.top;
	int r = lease_add_digest(p->engine->store->db, p->lease, REF_BLOB, &top->descriptor.digest,
				 err);

	return r < 0 ? r
		     : content_add(p->engine->store->content, top->text,
				   (size_t)top->descriptor.size, ret, err);
}

static int record(struct pull *p, struct error *err)
{
	const struct remote_manifest *m = &p->image.manifest;
	struct layer_blob *blobs = arena_array(&p->arena, p->parsed.n_diff_ids + 1, sizeof(*blobs));
	char tag[REFERENCE_TEXT_MAX], by_digest[REFERENCE_TEXT_MAX];
	const char *const tags[] = { tag };
	struct reference ref = *p->ref;
	struct digest index;
	struct image_create c = {
		.config = p->config.data,
		.config_len = p->config.len,
		.tags = tags,
		.n_tags = reference_has_digest(p->ref) ? 0 : 1,
		.manifest = m->text,
		.manifest_len = (size_t)m->descriptor.size,
		.manifest_media_type = m->doc.manifest->media_type,
		.blobs = blobs,
		.n_blobs = held_blobs(p, blobs),
		.repo_digest = by_digest,
	};
	int r;

	if (p->image.top_is_index) {
		r = keep_index(p, &index, err);
		if (r < 0)
			return r;
		c.index = &index;
	}
	reference_format(p->ref, tag);
	reference_set_tag(&ref, "");
	ref.digest = p->image.top.descriptor.digest;
	reference_format(&ref, by_digest);
	return image_create(p->engine->store, &c, NULL, err);
}

static void tell_result(struct pull *p)
{
	char familiar[REFERENCE_TEXT_MAX], name[REFERENCE_TEXT_MAX], digest[DIGEST_TEXT_MAX];

	digest_format(&p->image.top.descriptor.digest, digest);
	reference_familiar(p->ref, familiar);
	reference_familiar_name(p->ref, name);
	progress_status(p->progress, NULL, "Digest: %s", digest);
	image_event(p->engine, "pull", familiar, name);
}

/* An image without an index is one platform's only: it is kept, and told of, as dockerd does. */
static void tell_platform(struct pull *p, const struct platform *want)
{
	char familiar[REFERENCE_TEXT_MAX], have_text[PLATFORM_TEXT_MAX],
	    want_text[PLATFORM_TEXT_MAX];

	if (!want || platform_rank(want, &p->parsed.platform) >= 0)
		return;
	reference_familiar(p->ref, familiar);
	platform_format(&p->parsed.platform, have_text);
	platform_format(want, want_text);
	progress_status(p->progress, NULL,
			"WARNING: image with reference %s was found but does not match the "
			"specified platform: wanted %s, actual: %s",
			familiar, want_text, have_text);
}

static int of_image(struct pull *p, int r, struct error *err)
{
	char familiar[REFERENCE_TEXT_MAX];

	reference_familiar(p->ref, familiar);
	return error_wrap(err, r, "pull %s", familiar);
}

static int pull_image(struct pull *p, const struct platform *want, struct error *err)
{
	char digest[DIGEST_TEXT_MAX];
	int r = remote_resolve(p->repo, &p->arena, want, &p->image, err);

	if (r < 0)
		return r;
	if (reference_has_digest(p->ref))
		digest_format(&p->ref->digest, digest);
	progress_status(p->progress, reference_has_digest(p->ref) ? digest : p->ref->tag,
			"Pulling from %s", p->ref->path);
	r = get_config(p, err);
	if (r < 0)
		return of_image(p, r, err);
	p->fresh = !have_image(p);
	if (p->fresh)
		r = get_layers(p, err);
	if (r < 0)
		return of_image(p, r, err);
	r = record(p, err);
	if (r < 0)
		return r;
	tell_result(p);
	tell_platform(p, want);
	return 0;
}

struct request {
	struct engine *engine;
	const struct remote_auth *auth;
	const struct platform *platform; /* NULL: this machine */
	struct progress *progress;
	const struct cancel *cancel;
};

/* One reference with a tag or a digest. *ret_id owned; may be NULL. */
static int pull_leased(const struct request *q, const struct reference *ref, bool *ret_fresh,
		       char **ret_id, struct error *err)
{
	auto_(lease) lease = LEASE_INIT;
	struct pull p = { .engine = q->engine,
			  .progress = q->progress,
			  .cancel = q->cancel,
			  .ref = ref,
			  .arena = ARENA_INIT,
			  .config = BUF_INIT(IMAGE_CONFIG_MAX) };
	int r = lease_open(q->engine->store->db, "pull", &lease, err);

	p.lease = lease.id;
	if (r == 0)
		r = remote_open(q->engine->images->remote, ref, q->auth, REMOTE_PULL, q->cancel,
				&p.repo, err);
	if (r == 0) {
		r = pull_image(&p, q->platform, err);
		remote_close(p.repo);
	}
	if (r == 0 && ret_id)
		*ret_id = xstrdup(p.id);
	if (r == 0)
		*ret_fresh |= p.fresh;
	buf_release(&p.config);
	arena_release(&p.arena);
	return r;
}

/* The same; what was cut is kept for another try, what failed for good is not. */
static int pull_one(const struct request *q, const struct reference *ref, bool *ret_fresh,
		    char **ret_id, struct error *err)
{
	int r = pull_leased(q, ref, ret_fresh, ret_id, err);

	if (r < 0 && r != -ERR_UNAVAILABLE && r != -ERR_CANCELED && r != -ERR_NOT_FOUND)
		image_give_back(q->engine);
	return r;
}

static int pull_all_tags(const struct request *q, const struct reference *name, bool *ret_fresh,
			 struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct remote_repo *repo;
	struct strings tags;
	int r = remote_open(q->engine->images->remote, name, q->auth, REMOTE_PULL, q->cancel, &repo,
			    err);

	if (r < 0)
		return r;
	r = remote_tags(repo, &a, &tags, err);
	remote_close(repo);
	for (size_t i = 0; r == 0 && i < tags.n; i++) {
		struct reference ref = *name;

		reference_set_tag(&ref, tags.at[i]);
		r = pull_one(q, &ref, ret_fresh, NULL, err);
	}
	return r;
}

static int read_platform(const char *text, struct platform *p, const struct platform **ret,
			 struct error *err)
{
	*ret = NULL;
	if (!text || !*text)
		return 0;
	*ret = p;
	return platform_parse(text, p, err);
}

int engine_image_pull(struct engine *e, const struct engine_image_pull *o, struct writer *out,
		      const struct cancel *cancel, struct error *err)
{
	struct progress progress = PROGRESS_INIT(out);
	struct request q = { .engine = e, .progress = &progress, .cancel = cancel };
	char familiar[REFERENCE_TEXT_MAX];
	struct remote_auth auth;
	struct platform platform;
	struct reference ref;
	bool fresh = false;
	int r = image_reference(o->from_image, o->tag, &ref, err);

	if (r == 0)
		r = read_platform(o->platform, &platform, &q.platform, err);
	if (r < 0)
		return r;
	image_auth_read(o->auth, &auth);
	q.auth = &auth;
	if (reference_has_tag(&ref) || reference_has_digest(&ref))
		r = pull_one(&q, &ref, &fresh, NULL, err);
	else
		r = pull_all_tags(&q, &ref, &fresh, err);
	reference_familiar(&ref, familiar);
	if (r == 0)
		progress_status(&progress, NULL, "Status: %s for %s",
				fresh ? "Downloaded newer image" : "Image is up to date", familiar);
	return progress_end(&progress, r, err);
}

int engine_image_fetch(struct engine *e, const char *name, const char *platform_text,
		       const struct json *auth_doc, struct writer *out, const struct cancel *cancel,
		       char **ret_id, struct error *err)
{
	struct progress progress = PROGRESS_INIT(out);
	struct request q = { .engine = e, .progress = &progress, .cancel = cancel };
	struct remote_auth auth;
	struct platform platform;
	struct reference ref;
	bool fresh = false;
	int r = reference_parse_tagged(name, &ref, err);

	if (r == 0)
		r = read_platform(platform_text, &platform, &q.platform, err);
	if (r < 0)
		return r;
	image_auth_read(auth_doc, &auth);
	q.auth = &auth;
	return pull_one(&q, &ref, &fresh, ret_id, err);
}
