/* image/delete.c: rmi and image prune with docker's answers; sizes. See image.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "base/vec.h"
#include "image/filter.h"
#include "image/image.h"
#include "oci/reference.h"
#include "store/gc.h"

struct name {
	char *text;
	struct reference ref;
};

struct layers {
	struct digest *diff_ids;
	size_t n;
};

/* One deletion: what was removed goes straight into the answer. */
struct deletion {
	struct store *store;
	const struct image_delete_options *o;
	struct jsonw *w;
	VEC(struct name) names;    /* tags and repo digests of the image */
	VEC(struct digest) gone;   /* diffIDs that gc took */
	VEC(struct layers) layers; /* of the images deleted so far */
	uint64_t freed;
};

static void short_id(const char *id, char out[static 13])
{
	snprintf(out, 13, "%.12s", str_starts(str_of(id), "sha256:") ? id + 7 : id);
}

static int add_name(void *arg, const char *text, const char *id, struct error *err)
{
	struct deletion *d = arg;
	struct reference ref;
	int r = reference_parse(text, &ref, err);

	(void)id;
	if (r == 0)
		*vec_push(&d->names) = (struct name){ xstrdup(text), ref };
	return r;
}

static void forget_names(struct deletion *d)
{
	vec_for_each (n, &d->names)
		free(n->text);
	d->names.len = 0;
}

static int load_names(struct deletion *d, const char *id, struct error *err)
{
	int r;

	forget_names(d);
	r = tags_each(d->store, id, add_name, d, err);
	return r < 0 ? r : repo_digests_each(d->store, id, add_name, d, err);
}

static void answer(struct deletion *d, const char *key, const char *value)
{
	jsonw_object(d->w);
	jsonw_kstring(d->w, key, value);
	jsonw_end(d->w);
}

static void tell_untagged(struct deletion *d, const struct name *n, const char *id)
{
	autofree char *familiar = image_name_familiar(n->text);

	answer(d, "Untagged", familiar);
	/* Docker's event names the image by its id on both sides. */
	if (d->o->event)
		d->o->event(d->o->event_arg, "untag", id, id);
}

static int remove_name(struct deletion *d, const struct name *n, const char *id, struct error *err)
{
	int r = reference_has_digest(&n->ref) ? repo_digests_remove(d->store, n->text, err)
					      : tags_remove(d->store, n->text, err);

	if (r == 0)
		tell_untagged(d, n, id);
	return r;
}

static bool same_repository(const struct reference *a, const struct reference *b)
{
	return strcmp(a->domain, b->domain) == 0 && strcmp(a->path, b->path) == 0;
}

/* At most one tag, and digests of that tag's repository only. */
static bool is_single_name(struct deletion *d)
{
	const struct reference *tag = NULL, *first = NULL;

	vec_for_each (n, &d->names) {
		if (!reference_has_digest(&n->ref)) {
			if (tag)
				return false;
			tag = &n->ref;
		}
	}
	vec_for_each (n, &d->names) {
		first = first ? first : tag ? tag : &n->ref;
		if (!same_repository(first, &n->ref))
			return false;
	}
	return true;
}

static int64_t users(const struct deletion *d, const char *id, bool running, char **ret_one)
{
	return d->o->users ? d->o->users->count(d->o->users->arg, id, running, ret_one) : 0;
}

/* Why the image itself cannot go. hard: reasons that force does not help against. */
static int check_conflict(struct deletion *d, const char *id, bool force, struct error *err)
{
	autofree char *running = NULL, *stopped = NULL;
	int64_t children;
	char short_text[13];
	int r = images_count_children(d->store, id, &children, err);

	if (r < 0)
		return r;
	short_id(id, short_text);
	if (users(d, id, true, &running) > 0)
		return error_set(
		    err, ERR_CONFLICT,
		    "conflict: unable to delete %s (cannot be forced) - image is being "
		    "used by running container %s",
		    short_text, running ? running : "");
	if (children > 0)
		return error_set(err, ERR_CONFLICT,
				 "conflict: unable to delete %s (cannot be forced) - image has "
				 "dependent child images",
				 short_text);
	if (!force && users(d, id, false, &stopped) > 0)
		return error_set(err, ERR_CONFLICT,
				 "conflict: unable to delete %s (must be forced) - image is being "
				 "used by stopped container %s",
				 short_text, stopped ? stopped : "");
	return 0;
}

static void note_gone(void *arg, const struct digest *diff_id)
{
	struct deletion *d = arg;

	*vec_push(&d->gone) = *diff_id;
}

/* True once: a layer of several images is told of once. */
static bool take_gone(struct deletion *d, const struct digest *diff_id)
{
	vec_for_each (g, &d->gone) {
		if (digest_same(g, diff_id)) {
			*g = d->gone.at[--d->gone.len];
			return true;
		}
	}
	return false;
}

/* Layers are named by their chain, topmost first: sha256 of "chain diffID". */
static void answer_layers(struct deletion *d, const struct digest *diff_ids, size_t n)
{
	VEC(struct digest) chains = { 0 };
	char text[DIGEST_TEXT_MAX], both[2 * DIGEST_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		struct digest chain = diff_ids[i];

		if (i > 0) {
			digest_format(&chains.at[i - 1], both);
			digest_format(&diff_ids[i], text);
			strncat(both, " ", 2);
			strncat(both, text, DIGEST_TEXT_MAX);
			hash_sha256(both, strlen(both), chain.bytes);
		}
		*vec_push(&chains) = chain;
	}
	for (size_t i = n; i > 0; i--) {
		if (!take_gone(d, &diff_ids[i - 1]))
			continue;
		digest_format(&chains.at[i - 1], text);
		answer(d, "Deleted", text);
	}
	vec_release(&chains);
}

/* With the names that it has yet, d->names. ERR_CONFLICT: not, because it has got a tag. */
static int delete_rows(struct deletion *d, const char *id, bool tagged_too, struct error *err)
{
	struct layers layers;
	int r = images_layers(d->store, id, &layers.diff_ids, &layers.n, err);

	if (r < 0)
		return r;
	*vec_push(&d->layers) = layers;
	r = tagged_too ? images_delete(d->store, id, err)
		       : images_delete_untagged(d->store, id, err);
	if (r < 0)
		return r;
	vec_for_each (n, &d->names)
		tell_untagged(d, n, id);
	answer(d, "Deleted", id);
	if (d->o->event)
		d->o->event(d->o->event_arg, "delete", id, id);
	return 0;
}

/* Free the space of everything deleted, in one sweep. */
static int sweep(struct deletion *d, struct error *err)
{
	const struct gc_options o = { .removed_layer = note_gone, .arg = d };
	struct gc_stats stats;
	int r;

	if (d->layers.len == 0)
		return 0;
	r = gc_run(d->store, &o, &stats, err);
	if (r < 0)
		return r;
	d->freed += stats.blob_bytes + stats.layer_bytes;
	vec_for_each (l, &d->layers)
		answer_layers(d, l->diff_ids, l->n);
	return 0;
}

/*
 * The image, then its nameless parents that nothing else needs. One that gets a tag in this moment
 * stays, unless tagged_too.
 */
static int delete_image(struct deletion *d, const char *id, bool tagged_too, struct error *err)
{
	autofree char *at = xstrdup(id);

	for (;;) {
		struct image_row row = { 0 };
		int r = images_get(d->store, at, &row, err);

		if (r < 0)
			return r;
		free(at);
		at = steal_ptr(row.parent);
		r = delete_rows(d, row.id, tagged_too, err);
		image_row_release(&row);
		if (r == -ERR_CONFLICT)
			return 0;
		if (r < 0 || d->o->no_prune || !at || !*at)
			return r;
		tagged_too = false;
		if (load_names(d, at, NULL) < 0 || d->names.len > 0 ||
		    images_get(d->store, at, &row, NULL) < 0)
			return 0;
		image_row_release(&row);
		if (check_conflict(d, at, false, NULL) < 0)
			return 0;
	}
}

/* Was the user's word one of the image's names, rather than its id? */
static struct name *find_name(struct deletion *d, const char *word)
{
	struct reference ref;

	if (reference_parse_tagged(word, &ref, NULL) < 0)
		return NULL;
	vec_for_each (n, &d->names) {
		char a[REFERENCE_TEXT_MAX], b[REFERENCE_TEXT_MAX];

		reference_format(&n->ref, a);
		if (reference_has_digest(&ref))
			reference_set_tag(&ref, "");
		reference_format(&ref, b);
		if (strcmp(a, b) == 0)
			return n;
	}
	return NULL;
}

static int delete_by_name(struct deletion *d, const char *id, struct name *n, const char *word,
			  struct error *err)
{
	struct reference ref = n->ref;
	bool other_tags = false;
	int r;

	if (!d->o->force && is_single_name(d)) {
		autofree char *user = NULL;
		char short_text[13];

		short_id(id, short_text);
		if (users(d, id, false, &user) > 0)
			return error_set(
			    err, ERR_CONFLICT,
			    "conflict: unable to remove repository reference \"%.200s\" "
			    "(must force) - container %s is using its referenced image "
			    "%s",
			    word, user ? user : "", short_text);
	}
	r = remove_name(d, n, id, err);
	if (r == 0)
		r = load_names(d, id, err);
	if (r < 0)
		return r;
	/* Digests of a repository whose last tag went go with it. */
	vec_for_each (o, &d->names)
		other_tags |= !reference_has_digest(&o->ref) && same_repository(&o->ref, &ref);
	for (size_t i = 0; r == 0 && !other_tags && i < d->names.len; i++) {
		if (same_repository(&d->names.at[i].ref, &ref))
			r = remove_name(d, &d->names.at[i], id, err);
	}
	if (r == 0)
		r = load_names(d, id, err);
	if (r < 0 || d->names.len > 0)
		return r;
	/* Somebody still needs it: untagging was all there was to do. */
	if (check_conflict(d, id, d->o->force, NULL) < 0)
		return 0;
	return delete_image(d, id, false, err);
}

static int delete_by_id(struct deletion *d, const char *id, struct error *err)
{
	char short_text[13];
	int r = check_conflict(d, id, d->o->force, err);

	if (r < 0)
		return r;
	short_id(id, short_text);
	if (!d->o->force && !is_single_name(d))
		return error_set(err, ERR_CONFLICT,
				 "conflict: unable to delete %s (must be forced) - image is "
				 "referenced in multiple repositories",
				 short_text);
	return delete_image(d, id, true, err);
}

static void deletion_release(struct deletion *d)
{
	forget_names(d);
	vec_release(&d->names);
	vec_release(&d->gone);
	vec_for_each (l, &d->layers)
		free(l->diff_ids);
	vec_release(&d->layers);
}

int image_delete(struct store *s, const char *name, const struct image_delete_options *o,
		 struct jsonw *w, struct error *err)
{
	struct deletion d = { .store = s, .o = o, .w = w };
	autofree char *id = NULL;
	struct name *n;
	int r = image_resolve(s, name, &id, err);

	if (r == 0)
		r = load_names(&d, id, err);
	if (r == 0) {
		jsonw_array(w);
		n = find_name(&d, name);
		r = n ? delete_by_name(&d, id, n, name, err) : delete_by_id(&d, id, err);
		if (r == 0)
			r = sweep(&d, err);
		jsonw_end(w);
	}
	deletion_release(&d);
	return r;
}

/* ---- prune ---- */

struct pruner {
	struct deletion d;
	struct filter filter;
	VEC(char *) ids;
};

/* dangling=false means: everything that no container uses. */
static bool takes_tagged(const struct pruner *p)
{
	return p->filter.has_dangling && !p->filter.dangling;
}

static int note_prunable(void *arg, const struct image_row *row, struct error *err)
{
	struct pruner *p = arg;
	bool match, tagged = false;
	int r = load_names(&p->d, row->id, err);

	if (r < 0)
		return r;
	vec_for_each (n, &p->d.names)
		tagged |= !reference_has_digest(&n->ref);
	if (tagged && !takes_tagged(p))
		return 0;
	{
		struct filter f = p->filter;

		f.has_dangling = false;
		r = filter_matches(&f, row, !tagged, &match, err);
	}
	if (r == 0 && match)
		*vec_push(&p->ids) = xstrdup(row->id);
	return r;
}

static int prune_one(struct pruner *p, const char *id, struct error *err)
{
	int r;

	/* In use, or gone as the parent of another one: leave it. */
	{
		struct image_row row = { 0 };

		r = images_get(p->d.store, id, &row, NULL);
		image_row_release(&row);
	}
	if (r < 0 || check_conflict(&p->d, id, false, NULL) < 0)
		return 0;
	r = load_names(&p->d, id, err);
	return r < 0 ? r : delete_image(&p->d, id, takes_tagged(p), err);
}

int image_prune(struct store *s, const struct json *filters, const struct image_delete_options *o,
		struct jsonw *w, struct error *err)
{
	static const char *const known[] = { "dangling", "label", "label!", "until", NULL };
	struct pruner p = { .d = { .store = s, .o = o, .w = w } };
	int r = filter_parse(s, filters, known, &p.filter, err);

	if (r == 0)
		r = images_each(s, note_prunable, &p, err);
	if (r == 0) {
		jsonw_object(w);
		jsonw_key(w, "ImagesDeleted");
		if (p.ids.len == 0)
			jsonw_null(w);
		else
			jsonw_array(w);
		vec_for_each (id, &p.ids) {
			if (r == 0)
				r = prune_one(&p, *id, err);
		}
		if (r == 0)
			r = sweep(&p.d, err);
		if (p.ids.len > 0)
			jsonw_end(w);
		jsonw_kint(w, "SpaceReclaimed", (int64_t)p.d.freed);
		jsonw_end(w);
	}
	vec_for_each (id, &p.ids)
		free(*id);
	vec_release(&p.ids);
	deletion_release(&p.d);
	filter_release(&p.filter);
	return r;
}

/* ---- sizes ---- */

int image_shared_size(struct store *s, const char *id, int64_t *ret_bytes, struct error *err)
{
	return db_get_int(s->db, ret_bytes, err,
			  "SELECT coalesce(sum(size),0) FROM layers l WHERE diff_id IN "
			  "(SELECT diff_id FROM image_layers WHERE id=?1) AND EXISTS(SELECT 1 FROM "
			  "image_layers o WHERE o.diff_id=l.diff_id AND o.id<>?1)",
			  "t", id);
}
