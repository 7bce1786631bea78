/*
 * registry/gc_untagged.c: which manifests of a repository something keeps.
 *
 * A tag keeps its manifest, an index what it lists, a subject what refers to it,
 * and so on from there. Every record is read once.
 */
#include "registry/gc_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/vec.h"
#include "registry/name.h"

struct edge {
	struct edge *next;
	struct digest to;
};

struct graph {
	struct map keeps;  /* digest text -> edges to what it keeps */
	struct map wanted; /* kept so far */
	VEC(struct digest) todo;
};

static void free_edges(void *p)
{
	for (struct edge *e = p; e != NULL;) {
		struct edge *next = e->next;

		free(e);
		e = next;
	}
}

static void graph_release(struct graph *g)
{
	map_release(&g->keeps);
	map_release(&g->wanted);
	vec_release(&g->todo);
}

DEFINE_AUTO(graph, graph_release);

static void add_edge(struct graph *g, const struct digest *from, const struct digest *to)
{
	struct edge *e = new0(struct edge);
	char text[DIGEST_TEXT_MAX];

	digest_format(from, text);
	e->to = *to;
	e->next = map_steal(&g->keeps, text);
	map_set(&g->keeps, text, e);
}

struct reading {
	struct graph *g;
	const struct digest *manifest;
};

static int see_ref(void *arg, const struct digest *d, int64_t size, bool is_subject,
		   struct error *err)
{
	struct reading *r = arg;

	(void)size;
	(void)err;
	if (is_subject)
		add_edge(r->g, d, r->manifest);
	else
		add_edge(r->g, r->manifest, d);
	return 0;
}

static void want(struct graph *g, const struct digest *d)
{
	if (gc_set_has(&g->wanted, d))
		return;
	gc_set_add(&g->wanted, d);
	*vec_push(&g->todo) = *d;
}

static int want_tagged(struct collection *c, const char *repo, struct graph *g, struct error *err)
{
	auto_(storage_listing) tags = { 0 };
	int r = repo_list_tags(c->s, repo, &tags, err);

	for (size_t i = 0; r == 0 && i < tags.len; i++) {
		struct digest d;

		r = repo_get_tag(c->s, repo, tags.names[i], &d, err);
		if (r == 0)
			want(g, &d);
		else if (r == -ERR_NOT_FOUND)
			r = 0;
	}
	return r;
}

static int read_graph(struct collection *c, const char *repo, const struct storage_listing *list,
		      struct graph *g, struct error *err)
{
	for (size_t i = 0; i < list->len; i++) {
		struct reading reading = { .g = g };
		struct digest d;
		int r;

		if (name_digest_parse(list->names[i], &d, NULL) < 0)
			continue;
		reading.manifest = &d;
		r = repo_manifest_refs(c->s, repo, &d, see_ref, &reading, err);
		if (r < 0 && r != -ERR_NOT_FOUND)
			return r;
		r = cancel_check(c->cancel, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static void follow(struct graph *g)
{
	while (g->todo.len > 0) {
		char text[DIGEST_TEXT_MAX];

		digest_format(&g->todo.at[--g->todo.len], text);
		for (const struct edge *e = map_get(&g->keeps, text); e != NULL; e = e->next)
			want(g, &e->to);
	}
}

static int delete_one(struct collection *c, const char *repo, const struct digest *d,
		      struct error *err)
{
	char name[NAME_DIGEST_MAX], rest[STORAGE_KEY_MAX], key[STORAGE_KEY_MAX];
	struct storage_stat st;
	int r = 0;

	name_digest_format(d, name);
	snprintf(rest, sizeof(rest), "/manifests/%s", name);
	name_repo_key(repo, rest, key, sizeof(key));
	if (c->s->storage->ops->stat(c->s->storage, key, &st, NULL) < 0 ||
	    st.mtime_ns >= c->link_before_ns)
		return 0; /* pushed by digest a moment ago: its index or tag may follow */
	if (!c->o->dry_run) {
		gate_close(&c->s->gate);
		if (!gate_is_noted(&c->s->gate, d))
			r = repo_drop_untagged(c->s, repo, d, err);
		gate_open(&c->s->gate);
	}
	c->result.manifests += r == 0;
	return r == -ERR_NOT_FOUND ? 0 : r;
}

int gc_delete_untagged(struct collection *c, const char *repo, struct error *err)
{
	auto_(storage_listing) list = { 0 };
	auto_(graph) g = { .keeps = { .free_value = free_edges } };
	int r = gc_list(c->s, repo, "/manifests", &list, err);

	if (r == 0)
		r = read_graph(c, repo, &list, &g, err);
	if (r == 0)
		r = want_tagged(c, repo, &g, err);
	follow(&g);
	for (size_t i = 0; r == 0 && i < list.len; i++) {
		struct digest d;

		if (name_digest_parse(list.names[i], &d, NULL) == 0 && !gc_set_has(&g.wanted, &d))
			r = delete_one(c, repo, &d, err);
	}
	return r;
}
