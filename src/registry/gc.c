#include "registry/gc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/map.h"
#include "registry/name.h"

#define BATCH 64 /* objects deleted each time the gate is closed */

struct collection {
	struct repo_store *s;
	const struct gc_options *o;
	const struct cancel *cancel;
	struct map live;   /* digest text of blobs that stay */
	struct map wanted; /* manifests of the repository at hand that something keeps */
	int64_t link_before_ns;
	struct gc_result result;
};

static char present; /* the value of every set */

static void set_add(struct map *m, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	map_set(m, text, &present);
}

static bool set_has(const struct map *m, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	return map_has(m, text);
}

static int list_of(struct collection *c, const char *repo, const char *kind,
		   struct storage_listing *ret, struct error *err)
{
	char key[STORAGE_KEY_MAX];

	name_repo_key(repo, kind, key, sizeof(key));
	return c->s->storage->ops->list(c->s->storage, key, ret, err);
}

static int keep_ref(void *arg, const struct digest *d, int64_t size, bool is_subject,
		    struct error *err)
{
	struct collection *c = arg;

	(void)size;
	(void)err;
	if (!is_subject)
		set_add(&c->live, d);
	return 0;
}

/* Nothing that a present manifest needs is collected. */
static int mark_manifests(struct collection *c, const char *repo, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	int r = list_of(c, repo, "/manifests", &list, err);

	for (size_t i = 0; r == 0 && i < list.len; i++) {
		struct digest d;

		if (name_digest_parse(list.names[i], &d, NULL) < 0)
			continue;
		set_add(&c->live, &d);
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
	int r = list_of(c, repo, "/blobs", &list, err);

	for (size_t i = 0; r == 0 && i < list.len; i++) {
		char rest[STORAGE_KEY_MAX], key[STORAGE_KEY_MAX];
		struct storage_stat st;
		struct digest d;

		if (name_digest_parse(list.names[i], &d, NULL) < 0)
			continue;
		snprintf(rest, sizeof(rest), "/blobs/%s", list.names[i]);
		name_repo_key(repo, rest, key, sizeof(key));
		r = c->s->storage->ops->stat(c->s->storage, key, &st, err);
		if (r == -ERR_NOT_FOUND)
			r = 0;
		else if (r == 0 && st.mtime_ns >= c->link_before_ns)
			set_add(&c->live, &d);
	}
	return r;
}

static int want_ref(void *arg, const struct digest *d, int64_t size, bool is_subject,
		    struct error *err)
{
	struct collection *c = arg;

	(void)size;
	(void)err;
	if (!is_subject)
		set_add(&c->wanted, d);
	return 0;
}

struct subject_query {
	struct collection *c;
	bool has, wanted;
};

static int see_subject(void *arg, const struct digest *d, int64_t size, bool is_subject,
		       struct error *err)
{
	struct subject_query *q = arg;

	(void)size;
	(void)err;
	if (is_subject) {
		q->has = true;
		q->wanted = set_has(&q->c->wanted, d);
	}
	return 0;
}

static int want_tagged(struct collection *c, const char *repo, struct error *err)
{
	auto_(storage_listing) tags = { 0 };
	int r = repo_list_tags(c->s, repo, &tags, err);

	for (size_t i = 0; r == 0 && i < tags.len; i++) {
		struct digest d;

		r = repo_get_tag(c->s, repo, tags.names[i], &d, err);
		if (r == -ERR_NOT_FOUND)
			r = 0;
		else if (r == 0)
			set_add(&c->wanted, &d);
	}
	return r;
}

/* Indexes bring in their manifests, subjects their referrers: until nothing changes,
 * at most four levels deep (index depth and referrers of referrers). */
static int want_closure(struct collection *c, const char *repo, const struct storage_listing *list,
			struct error *err)
{
	for (int round = 0; round < 4; round++) {
		size_t before = c->wanted.len;

		for (size_t i = 0; i < list->len; i++) {
			struct subject_query q = { .c = c };
			struct digest d;
			int r = 0;

			if (name_digest_parse(list->names[i], &d, NULL) < 0)
				continue;
			if (!set_has(&c->wanted, &d)) {
				r = repo_manifest_refs(c->s, repo, &d, see_subject, &q, err);
				if (r == 0 && q.has && q.wanted)
					set_add(&c->wanted, &d);
			}
			if (r == 0 && set_has(&c->wanted, &d))
				r = repo_manifest_refs(c->s, repo, &d, want_ref, c, err);
			if (r < 0 && r != -ERR_NOT_FOUND)
				return r;
		}
		if (c->wanted.len == before)
			break;
	}
	return 0;
}

static int delete_untagged(struct collection *c, const char *repo, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	int r = list_of(c, repo, "/manifests", &list, err);

	if (r == 0)
		r = want_tagged(c, repo, err);
	if (r == 0)
		r = want_closure(c, repo, &list, err);
	for (size_t i = 0; r == 0 && i < list.len; i++) {
		char rest[STORAGE_KEY_MAX], key[STORAGE_KEY_MAX];
		struct storage_stat st;
		struct digest d;

		if (name_digest_parse(list.names[i], &d, NULL) < 0 || set_has(&c->wanted, &d))
			continue;
		snprintf(rest, sizeof(rest), "/manifests/%s", list.names[i]);
		name_repo_key(repo, rest, key, sizeof(key));
		if (c->s->storage->ops->stat(c->s->storage, key, &st, NULL) < 0 ||
		    st.mtime_ns >= c->link_before_ns)
			continue; /* pushed by digest a moment ago: its index or tag may follow */
		c->result.manifests++;
		if (c->o->dry_run)
			continue;
		gate_close(&c->s->gate);
		if (!gate_is_noted(&c->s->gate, &d))
			r = repo_drop_untagged(c->s, repo, &d, err);
		gate_open(&c->s->gate);
		if (r == -ERR_NOT_FOUND)
			r = 0;
	}
	map_release(&c->wanted);
	return r;
}

/* Delete one object unless a push has come to need its digest. */
static int drop(struct collection *c, const char *key, const struct digest *d, bool *ret_done,
		struct error *err)
{
	*ret_done = !gate_is_noted(&c->s->gate, d);
	if (!*ret_done || c->o->dry_run)
		return 0;
	return c->s->storage->ops->remove(c->s->storage, key, err);
}

static int sweep_links(struct collection *c, const char *repo, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	int r = list_of(c, repo, "/blobs", &list, err);

	for (size_t i = 0; r == 0 && i < list.len; i++) {
		char rest[STORAGE_KEY_MAX], key[STORAGE_KEY_MAX];
		struct digest d;
		bool done;

		if (name_digest_parse(list.names[i], &d, NULL) < 0 || set_has(&c->live, &d))
			continue;
		snprintf(rest, sizeof(rest), "/blobs/%s", list.names[i]);
		name_repo_key(repo, rest, key, sizeof(key));
		gate_close(&c->s->gate);
		r = drop(c, key, &d, &done, err);
		gate_open(&c->s->gate);
		c->result.links += done;
	}
	return r;
}

/* One of the 256 directories of an algorithm's blobs. */
static int sweep_dir(struct collection *c, const char *algo, const char *dir, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	char key[STORAGE_KEY_MAX];
	size_t at = 0;
	int r;

	snprintf(key, sizeof(key), "content/blobs/%s/%s", algo, dir);
	r = c->s->storage->ops->list(c->s->storage, key, &list, err);
	while (r == 0 && at < list.len) {
		r = cancel_check(c->cancel, err);
		if (r < 0)
			return r;
		gate_close(&c->s->gate);
		for (unsigned n = 0; r == 0 && at < list.len && n < BATCH; at++) {
			char text[DIGEST_TEXT_MAX];
			struct storage_stat st;
			struct digest d;
			bool done;

			snprintf(text, sizeof(text), "%s:%s", algo, list.names[at]);
			if (digest_parse(text, strlen(text), &d, NULL) < 0)
				continue;
			if (set_has(&c->live, &d)) {
				c->result.kept++;
				continue;
			}
			snprintf(key, sizeof(key), "content/blobs/%s/%s/%s", algo, dir,
				 list.names[at]);
			if (c->s->storage->ops->stat(c->s->storage, key, &st, NULL) < 0)
				continue;
			r = drop(c, key, &d, &done, err);
			c->result.blobs += done;
			c->result.bytes += done ? st.size : 0;
			n++;
		}
		gate_open(&c->s->gate);
	}
	return r;
}

static int for_each_blob_dir(struct repo_store *s,
			     int (*fn)(void *arg, const char *algo, const char *dir,
				       struct error *err),
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

static int sweep_dir_of(void *arg, const char *algo, const char *dir, struct error *err)
{
	return sweep_dir(arg, algo, dir, err);
}

static int collect(struct collection *c, struct error *err)
{
	auto_(storage_listing) repos = { 0 };
	int r = repo_list(c->s, &repos, err);

	for (size_t i = 0; r == 0 && i < repos.len; i++) {
		if (c->o->untagged)
			r = delete_untagged(c, repos.names[i], err);
		if (r == -ERR_NOT_FOUND)
			r = 0;
		if (r == 0)
			r = mark_manifests(c, repos.names[i], err);
		if (r == 0)
			r = mark_links(c, repos.names[i], err);
	}
	for (size_t i = 0; r == 0 && i < repos.len; i++)
		r = sweep_links(c, repos.names[i], err);
	return r < 0 ? r : for_each_blob_dir(c->s, sweep_dir_of, c, err);
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
	map_release(&c.wanted);
	c.result.uploads = expired;
	if (r == 0)
		*ret = c.result;
	return r;
}

/* ---- retention ---- */

struct aged_tag {
	const char *name;
	int64_t mtime_ns;
	const struct retain_rule *rule;
};

static int newest_first(const void *a, const void *b)
{
	const struct aged_tag *x = a, *y = b;

	return (x->mtime_ns < y->mtime_ns) - (x->mtime_ns > y->mtime_ns);
}

static const struct retain_rule *rule_for(const struct retain_rule *rules, size_t n,
					  const char *repo, const char *tag)
{
	for (size_t i = 0; i < n; i++)
		if ((rules[i].repos == NULL || name_glob(rules[i].repos, repo)) &&
		    (rules[i].tags == NULL || name_glob(rules[i].tags, tag)))
			return &rules[i];
	return NULL;
}

static int retain_one(struct repo_store *s, const char *repo, const struct aged_tag *t,
		      unsigned rank, bool dry_run, struct buf *report, struct error *err)
{
	bool ranked = t->rule->keep_last > 0 && rank < t->rule->keep_last;
	bool young =
	    t->rule->keep_age_ns > 0 && clock_wall_ns() - t->mtime_ns < t->rule->keep_age_ns;
	int r;

	if (ranked || young || (t->rule->keep_last == 0 && t->rule->keep_age_ns == 0))
		return 0;
	r = buf_addf(report, err, "delete %s:%s (number %u, %lld days old)\n", repo, t->name,
		     rank + 1, (long long)((clock_wall_ns() - t->mtime_ns) / NS_PER_SEC / 86400));
	if (r < 0 || dry_run)
		return r;
	r = repo_delete_tag(s, repo, t->name, err);
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int retain_repo(struct repo_store *s, const struct retain_rule *rules, size_t n_rules,
		       const char *repo, bool dry_run, struct buf *report, struct error *err)
{
	auto_(storage_listing) tags = { 0 };
	autofree struct aged_tag *aged = NULL;
	size_t n = 0;
	int r = repo_list_tags(s, repo, &tags, err);

	if (r < 0 || tags.len == 0)
		return r;
	aged = xcalloc(tags.len, sizeof(*aged));
	for (size_t i = 0; i < tags.len; i++) {
		char rest[STORAGE_KEY_MAX], key[STORAGE_KEY_MAX];
		struct storage_stat st;

		aged[n].rule = rule_for(rules, n_rules, repo, tags.names[i]);
		snprintf(rest, sizeof(rest), "/tags/%s", tags.names[i]);
		name_repo_key(repo, rest, key, sizeof(key));
		if (aged[n].rule == NULL || s->storage->ops->stat(s->storage, key, &st, NULL) < 0)
			continue;
		aged[n].name = tags.names[i];
		aged[n++].mtime_ns = st.mtime_ns;
	}
	qsort(aged, n, sizeof(*aged), newest_first);
	for (size_t k = 0; k < n_rules && r == 0; k++) {
		unsigned rank = 0;

		for (size_t i = 0; r == 0 && i < n; i++)
			if (aged[i].rule == &rules[k])
				r = retain_one(s, repo, &aged[i], rank++, dry_run, report, err);
	}
	return r;
}

int gc_retain(struct repo_store *s, const struct retain_rule *rules, size_t n_rules, bool dry_run,
	      struct buf *report, struct error *err)
{
	auto_(storage_listing) repos = { 0 };
	int r = repo_list(s, &repos, err);

	for (size_t i = 0; r == 0 && i < repos.len; i++)
		r = retain_repo(s, rules, n_rules, repos.names[i], dry_run, report, err);
	return r;
}

/* ---- scrub ---- */

struct scrub {
	struct repo_store *s;
	const struct cancel *cancel;
	struct buf *report;
	uint64_t checked, bad;
};

static int hash_object(struct repo_store *s, const char *key, struct digest *d, struct error *err)
{
	auto_(hash) h = { 0 };
	autofree char *part = xcalloc(1, 1 << 20);
	autoclose int fd = FD_NONE;
	struct storage_object o;
	int r = s->storage->ops->open(s->storage, key, &o, err);

	if (r < 0)
		return r;
	fd = o.fd;
	if (d->algo == DIGEST_SHA512)
		hash_init_sha512(&h);
	else
		hash_init_sha256(&h);
	for (;;) {
		ssize_t n = read(fd, part, 1 << 20);

		if (n < 0)
			return error_sys(err, errno, "read '%s'", key);
		if (n == 0)
			break;
		hash_add(&h, part, (size_t)n);
	}
	hash_finish(&h, d->bytes);
	return 0;
}

static int scrub_dir(void *arg, const char *algo, const char *dir, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	struct scrub *c = arg;
	char key[STORAGE_KEY_MAX];
	int r;

	snprintf(key, sizeof(key), "content/blobs/%s/%s", algo, dir);
	r = c->s->storage->ops->list(c->s->storage, key, &list, err);
	for (size_t i = 0; r == 0 && i < list.len; i++) {
		char text[DIGEST_TEXT_MAX];
		struct digest want, got;

		r = cancel_check(c->cancel, err);
		snprintf(text, sizeof(text), "%s:%s", algo, list.names[i]);
		if (r < 0 || digest_parse(text, strlen(text), &want, NULL) < 0)
			continue;
		got = (struct digest){ .algo = want.algo };
		snprintf(key, sizeof(key), "content/blobs/%s/%s/%s", algo, dir, list.names[i]);
		r = hash_object(c->s, key, &got, err);
		if (r == -ERR_NOT_FOUND) { /* collected meanwhile */
			r = 0;
			continue;
		}
		c->checked++;
		if (r == 0 && memcmp(&got, &want, sizeof(got)) == 0)
			continue;
		c->bad++;
		r = buf_addf(c->report, err, "damaged %s\n", text);
	}
	return r;
}

int gc_scrub(struct repo_store *s, const struct cancel *cancel, struct buf *report,
	     uint64_t *ret_checked, uint64_t *ret_bad, struct error *err)
{
	struct scrub c = { s, cancel, report, 0, 0 };
	int r = for_each_blob_dir(s, scrub_dir, &c, err);

	*ret_checked = c.checked;
	*ret_bad = c.bad;
	return r;
}
