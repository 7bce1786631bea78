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
