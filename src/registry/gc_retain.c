/* registry/gc_retain.c: which tags the rules of retention let go. */
#include "registry/gc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "registry/name.h"

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

static void tag_key(const char *repo, const char *tag, char *out, size_t len)
{
	char rest[STORAGE_KEY_MAX];

	snprintf(rest, sizeof(rest), "/tags/%s", tag);
	name_repo_key(repo, rest, out, len);
}

static int retain_one(struct repo_store *s, const char *repo, const struct aged_tag *t,
		      unsigned rank, bool dry_run, struct buf *report, struct error *err)
{
	bool ranked = t->rule->keep_last > 0 && rank < t->rule->keep_last;
	bool young =
	    t->rule->keep_age_ns > 0 && clock_wall_ns() - t->mtime_ns < t->rule->keep_age_ns;
	char key[STORAGE_KEY_MAX];
	struct storage_stat now;
	int r;

	if (ranked || young || (t->rule->keep_last == 0 && t->rule->keep_age_ns == 0))
		return 0;
	r = buf_addf(report, err, "delete %s:%s (number %u, %lld days old)\n", repo, t->name,
		     rank + 1, (long long)((clock_wall_ns() - t->mtime_ns) / NS_PER_SEC / 86400));
	if (r < 0 || dry_run)
		return r;
	/* A tag that was pushed since it was looked at is another one. */
	tag_key(repo, t->name, key, sizeof(key));
	gate_close(&s->gate);
	if (s->storage->ops->stat(s->storage, key, &now, NULL) == 0 && now.mtime_ns == t->mtime_ns)
		r = s->storage->ops->discard(s->storage, key, err);
	gate_open(&s->gate);
	return r;
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
		char key[STORAGE_KEY_MAX];
		struct storage_stat st;

		aged[n].rule = rule_for(rules, n_rules, repo, tags.names[i]);
		tag_key(repo, tags.names[i], key, sizeof(key));
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
	if (r == 0 && !dry_run)
		r = s->storage->ops->flush(s->storage, err);
	return r;
}
