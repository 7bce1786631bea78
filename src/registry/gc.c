#include "registry/gc.h"

#include <stdio.h>

#include "base/clock.h"
#include "registry/gc_internal.h"
#include "registry/name.h"

#define BATCH         64   /* objects deleted each time the gate is closed */
#define RECLAIM_EVERY 4096 /* blobs, so that a long collection gives space back as it goes */

static char present; /* the value of every set */

void gc_set_add(struct map *m, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	map_set(m, text, &present);
}

bool gc_set_has(const struct map *m, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	return map_has(m, text);
}

int gc_list(struct repo_store *s, const char *repo, const char *kind, struct storage_listing *ret,
	    struct error *err)
{
	char key[STORAGE_KEY_MAX];

	name_repo_key(repo, kind, key, sizeof(key));
	return s->storage->ops->list(s->storage, key, ret, err);
}

static int keep_ref(void *arg, const struct digest *d, int64_t size, bool is_subject,
		    struct error *err)
{
	struct collection *c = arg;

	(void)size;
	(void)err;
	if (!is_subject)
		gc_set_add(&c->live, d);
	return 0;
}

/* Nothing that a present manifest needs is collected. */
static int mark_manifests(struct collection *c, const char *repo, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	int r = gc_list(c->s, repo, "/manifests", &list, err);

	for (size_t i = 0; r == 0 && i < list.len; i++) {
		struct digest d;

		if (name_digest_parse(list.names[i], &d, NULL) < 0)
			continue;
		gc_set_add(&c->live, &d);
		r = repo_manifest_refs(c->s, repo, &d, keep_ref, c, err);
		if (r == -ERR_NOT_FOUND)
			r = 0; /* deleted meanwhile: its blobs wait for the next time */
		if (r == 0)
			r = cancel_check(c->cancel, err);
	}
	return r;
}

static int mark_links(struct collection *c, const char *repo, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	int r = gc_list(c->s, repo, "/blobs", &list, err);

	for (size_t i = 0; r == 0 && i < list.len; i++) {
		char rest[STORAGE_KEY_MAX], key[STORAGE_KEY_MAX];
		struct storage_stat st;
		struct digest d;

		if (name_digest_parse(list.names[i], &d, NULL) < 0 || gc_set_has(&c->live, &d))
			continue;
		snprintf(rest, sizeof(rest), "/blobs/%s", list.names[i]);
		name_repo_key(repo, rest, key, sizeof(key));
		r = c->s->storage->ops->stat(c->s->storage, key, &st, err);
		if (r == -ERR_NOT_FOUND)
			r = 0;
		else if (r == 0 && st.mtime_ns >= c->link_before_ns)
			gc_set_add(&c->live, &d);
	}
	return r;
}

/* Delete one object unless a push has come to need its digest. The gate is closed.
 * Not durable: after a crash the next collection deletes it again. */
static int drop(struct collection *c, const char *key, const struct digest *d, bool *ret_done,
		struct error *err)
{
	*ret_done = !gate_is_noted(&c->s->gate, d);
	if (!*ret_done || c->o->dry_run)
		return 0;
	return c->s->storage->ops->discard(c->s->storage, key, err);
}

static int drop_link(struct collection *c, const char *repo, const struct digest *d,
		     struct error *err)
{
	char name[NAME_DIGEST_MAX], rest[STORAGE_KEY_MAX], key[STORAGE_KEY_MAX];
	bool done;
	int r;

	name_digest_format(d, name);
	snprintf(rest, sizeof(rest), "/blobs/%s", name);
	name_repo_key(repo, rest, key, sizeof(key));
	r = drop(c, key, d, &done, err);
	c->result.links += done;
	return r;
}

static int drop_blob(struct collection *c, const char *prefix, const struct digest *d,
		     struct error *err)
{
	char key[STORAGE_KEY_MAX];
	struct storage_stat st;
	bool done;
	int r;

	(void)prefix;
	name_blob_key(d, key, sizeof(key));
	if (c->s->storage->ops->stat(c->s->storage, key, &st, NULL) < 0)
		return 0;
	r = drop(c, key, d, &done, err);
	c->result.blobs += done;
	c->result.bytes += done ? st.size : 0;
	return r;
}

/*
 * Drop what is not live of a listing, a batch each time the gate is closed.
 *
 * algo   of names that are only the hexadecimal part, or NULL
 * where  the repository, or NULL
 */
static int sweep(struct collection *c, const struct storage_listing *list, const char *algo,
		 const char *where,
		 int (*drop_one)(struct collection *c, const char *where, const struct digest *d,
				 struct error *err),
		 struct error *err)
{
	size_t at = 0;
	int r = 0;

	while (r == 0 && at < list->len) {
		r = cancel_check(c->cancel, err);
		if (r < 0)
			return r;
		gate_close(&c->s->gate);
		for (unsigned n = 0; r == 0 && at < list->len && n < BATCH; at++) {
			char text[DIGEST_TEXT_MAX];
			struct digest d;

			snprintf(text, sizeof(text), "%s%s%s", algo ? algo : "", algo ? "-" : "",
				 list->names[at]);
			if (name_digest_parse(text, &d, NULL) < 0)
				continue;
			if (gc_set_has(&c->live, &d)) {
				c->result.kept += algo != NULL;
				continue;
			}
			r = drop_one(c, where, &d, err);
			n++;
		}
		gate_open(&c->s->gate);
	}
	return r;
}

static int sweep_links(struct collection *c, const char *repo, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	int r = gc_list(c->s, repo, "/blobs", &list, err);

	return r < 0 ? r : sweep(c, &list, NULL, repo, drop_link, err);
}

/* One of the 256 directories of an algorithm's blobs. */
static int sweep_dir(void *arg, const char *algo, const char *dir, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	struct collection *c = arg;
	char key[STORAGE_KEY_MAX];
	int r;

	snprintf(key, sizeof(key), "content/blobs/%s/%s", algo, dir);
	r = c->s->storage->ops->list(c->s->storage, key, &list, err);
	if (r == 0)
		r = sweep(c, &list, algo, NULL, drop_blob, err);
	if (r < 0 || c->o->dry_run || c->result.blobs - c->reclaimed < RECLAIM_EVERY)
		return r;
	c->reclaimed = c->result.blobs;
	return c->s->storage->ops->reclaim(c->s->storage, err);
}

int gc_each_blob_dir(struct repo_store *s,
		     int (*fn)(void *arg, const char *algo, const char *dir, struct error *err),
		     void *arg, struct error *err)
{
	static const char *const algos[] = { "sha256", "sha512" };
	int r = 0;

	for (size_t a = 0; r == 0 && a < ARRAY_LEN(algos); a++) {
		auto_(storage_listing) dirs = { 0 };
		char key[STORAGE_KEY_MAX];

		snprintf(key, sizeof(key), "content/blobs/%s", algos[a]);
		r = s->storage->ops->list(s->storage, key, &dirs, err);
		for (size_t i = 0; r == 0 && i < dirs.len; i++)
			r = fn(arg, algos[a], dirs.names[i], err);
	}
	return r;
}

/* Nobody will push again what nobody needs. */
static int sweep_quarantine(struct collection *c, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	int r = c->s->storage->ops->list(c->s->storage, "quarantine", &list, err);

	for (size_t i = 0; r == 0 && i < list.len && !c->o->dry_run; i++) {
		char key[STORAGE_KEY_MAX];
		struct digest d;

		snprintf(key, sizeof(key), "quarantine/%s", list.names[i]);
		if (name_digest_parse(list.names[i], &d, NULL) < 0 || !gc_set_has(&c->live, &d))
			r = c->s->storage->ops->discard(c->s->storage, key, err);
	}
	return r;
}

static int collect(struct collection *c, struct error *err)
{
	auto_(storage_listing) repos = { 0 };
	int r = repo_list(c->s, &repos, err);

	for (size_t i = 0; r == 0 && i < repos.len; i++) {
		if (c->o->untagged)
			r = gc_delete_untagged(c, repos.names[i], err);
		if (r == -ERR_NOT_FOUND)
			r = 0;
		if (r == 0)
			r = mark_manifests(c, repos.names[i], err);
		if (r == 0)
			r = mark_links(c, repos.names[i], err);
	}
	/* No crash brings a manifest back whose blobs are gone. */
	if (r == 0 && c->result.manifests > 0 && !c->o->dry_run)
		r = c->s->storage->ops->flush(c->s->storage, err);
	for (size_t i = 0; r == 0 && i < repos.len; i++)
		r = sweep_links(c, repos.names[i], err);
	if (r == 0)
		r = sweep_quarantine(c, err);
	if (r == 0)
		r = gc_each_blob_dir(c->s, sweep_dir, c, err);
	return r < 0 || c->o->dry_run ? r : c->s->storage->ops->reclaim(c->s->storage, err);
}

int gc_run(struct repo_store *s, struct uploads *u, const struct gc_options *o,
	   const struct cancel *cancel, struct gc_result *ret, struct error *err)
{
	struct collection c = { .s = s, .o = o, .cancel = cancel };
	unsigned expired = 0;
	int r = o->dry_run ? 0 : uploads_expire(u, o->upload_age_ns, &expired, err);

	if (r < 0)
		return r;
	c.link_before_ns = clock_wall_ns() - o->grace_ns;
	gate_collect_begin(&s->gate);
	r = collect(&c, err);
	gate_collect_end(&s->gate);
	map_release(&c.live);
	c.result.uploads = expired;
	if (r == 0)
		*ret = c.result;
	return r;
}
