/* image/list.c: lists with filters, inspect and history. See image.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"
#include "image/filter.h"
#include "image/image.h"
#include "oci/image_config.h"
#include "oci/reference.h"

struct names {
	VEC(char *) at;
};

struct lister {
	struct store *store;
	const struct image_filter *f;
	struct jsonw *w;
	struct filter filter;
	struct map tags, digests; /* id -> struct names */
	struct map parents;       /* ids that have children */
};

static void names_free(void *p)
{
	struct names *n = p;

	vec_for_each (s, &n->at)
		free(*s);
	vec_release(&n->at);
	free(n);
}

static int collect(void *arg, const char *name, const char *id, struct error *err)
{
	struct map *m = arg;
	struct names *n = map_get(m, id);

	(void)err;
	if (!n) {
		n = new0(struct names);
		map_set(m, id, n);
	}
	*vec_push(&n->at) = image_name_familiar(name);
	return 0;
}

static int note_parent(void *arg, const struct image_row *row, struct error *err)
{
	struct map *m = arg;

	(void)err;
	if (row->parent && *row->parent)
		map_set(m, row->parent, m);
	return 0;
}

static void names_write(struct jsonw *w, const char *key, const struct names *n, const char *none,
			const char *const *only, bool null_when_empty)
{
	size_t count = 0;

	jsonw_key(w, key);
	for (size_t i = 0; n && i < n->at.len; i++)
		count += filter_name_matches(n->at.at[i], only);
	if (count == 0 && !none && null_when_empty) {
		jsonw_null(w);
		return;
	}
	jsonw_array(w);
	if (count == 0 && none)
		jsonw_string(w, none);
	for (size_t i = 0; n && i < n->at.len; i++) {
		if (filter_name_matches(n->at.at[i], only))
			jsonw_string(w, n->at.at[i]);
	}
	jsonw_end(w);
}

static int64_t count_users(const struct image_users *u, const char *id, bool running)
{
	autofree char *one = NULL;

	return u ? u->count(u->arg, id, running, &one) : -1;
}

static bool any_matches(const struct names *n, const char *const *only)
{
	for (size_t i = 0; n && i < n->at.len; i++) {
		if (filter_name_matches(n->at.at[i], only))
			return true;
	}
	return false;
}

static int list_one(void *arg, const struct image_row *row, struct error *err)
{
	struct lister *l = arg;
	struct names *tags = map_get(&l->tags, row->id), *digests = map_get(&l->digests, row->id);
	bool nameless = !tags && !digests, dangling = !tags;
	const char *const *only = l->filter.references;
	int64_t shared = -1;
	struct jsonw *w = l->w;
	bool match;
	int r = filter_matches(&l->filter, row, dangling, &match, err);

	if (r < 0 || !match)
		return r;
	if (dangling && !l->f->all && map_has(&l->parents, row->id))
		return 0;
	if (only && !any_matches(tags, only) && !any_matches(digests, only))
		return 0;
	if (l->f->shared_size) {
		r = image_shared_size(l->store, row->id, &shared, err);
		if (r < 0)
			return r;
	}
	jsonw_object(w);
	jsonw_kint(w, "Containers", count_users(l->f->users, row->id, false));
	jsonw_kint(w, "Created", row->created_ns / NS_PER_SEC);
	jsonw_kstring(w, "Id", row->id);
	jsonw_key(w, "Labels");
	if (row->labels)
		jsonw_raw(w, row->labels, strlen(row->labels));
	else
		jsonw_null(w);
	jsonw_kstring(w, "ParentId", row->parent ? row->parent : "");
	names_write(w, "RepoDigests", digests,
		    nameless && l->f->virtual_size ? "<none>@<none>" : NULL, only,
		    l->f->virtual_size);
	names_write(w, "RepoTags", tags, dangling && l->f->virtual_size ? "<none>:<none>" : NULL,
		    only, false);
	jsonw_kint(w, "SharedSize", shared);
	jsonw_kint(w, "Size", row->size);
	if (l->f->virtual_size)
		jsonw_kint(w, "VirtualSize", row->size);
	jsonw_end(w);
	return 0;
}

int image_list(struct store *s, const struct image_filter *f, struct jsonw *w, struct error *err)
{
	static const char *const known[] = { "dangling", "label",     "label!", "before",
					     "since",    "reference", "until",  NULL };
	struct lister l = { .store = s, .f = f, .w = w };
	int r = filter_parse(s, f->filters, known, &l.filter, err);

	l.tags.free_value = l.digests.free_value = names_free;
	if (r == 0)
		r = tags_each(s, NULL, collect, &l.tags, err);
	if (r == 0)
		r = repo_digests_each(s, NULL, collect, &l.digests, err);
	if (r == 0 && !f->all)
		r = images_each(s, note_parent, &l.parents, err);
	if (r == 0) {
		jsonw_array(w);
		r = images_each(s, list_one, &l, err);
		jsonw_end(w);
	}
	map_release(&l.tags);
	map_release(&l.digests);
	map_release(&l.parents);
	filter_release(&l.filter);
	return r;
}

/* ---- one image ---- */

static int write_names(struct store *s, const char *id, struct jsonw *w, struct error *err)
{
	struct map tags = { .free_value = names_free }, digests = { .free_value = names_free };
	int r = tags_each(s, id, collect, &tags, err);

	if (r == 0)
		r = repo_digests_each(s, id, collect, &digests, err);
	if (r == 0) {
		names_write(w, "RepoTags", map_get(&tags, id), NULL, NULL, false);
		names_write(w, "RepoDigests", map_get(&digests, id), NULL, NULL, false);
	}
	map_release(&tags);
	map_release(&digests);
	return r;
}

static void write_layers(const struct image *i, struct jsonw *w)
{
	char text[DIGEST_TEXT_MAX];

	jsonw_kobject(w, "RootFS");
	jsonw_kstring(w, "Type", "layers");
	if (i->n_layers > 0) {
		jsonw_karray(w, "Layers");
		for (size_t n = 0; n < i->n_layers; n++) {
			digest_format(&i->diff_ids[n], text);
			jsonw_string(w, text);
		}
		jsonw_end(w);
	}
	jsonw_end(w);
}

/* Where the layers are, in the words of docker's overlay2. */
static int write_graph(struct store *s, const struct image *i, struct jsonw *w, struct error *err)
{
	auto_(buf) lower = BUF_INIT(1 << 20);
	struct layer_info info;
	int r = 0;

	jsonw_kobject(w, "GraphDriver");
	jsonw_kobject(w, "Data");
	for (size_t n = i->n_layers; r == 0 && n > 0; n--) {
		autofree char *path = NULL;

		if (snapshot_layer_get(s->snapshots, &i->diff_ids[n - 1], &info, NULL) < 0)
			continue;
		path = cstr_format("%s/snapshots/%lld/fs", s->root, (long long)info.number);
		if (n == i->n_layers)
			jsonw_kstring(w, "UpperDir", path);
		else
			r = buf_addf(&lower, err, "%s%s", lower.len ? ":" : "", path);
	}
	if (lower.len)
		jsonw_kstring(w, "LowerDir", lower.data);
	jsonw_end(w);
	jsonw_kstring(w, "Name", snapshot_driver_name(snapshots_driver(s->snapshots)));
	jsonw_end(w);
	return r;
}

static void write_text(struct jsonw *w, const char *key, const char *value)
{
	jsonw_kstring(w, key, value ? value : "");
}

static const char *last_comment(const struct json *doc)
{
	const struct json *history = json_get(doc, "history");
	const char *own = json_str(doc, "comment"), *last = NULL;

	if (own)
		return own;
	json_for_each_item (h, history)
		last = json_str(h, "comment");
	return last;
}

/* A configuration without what only a container has. Peer: dockerd 28 at API 1.50. */
static int write_image_members(struct arena *a, const struct container_config *c, struct jsonw *w,
			       struct error *err)
{
	static const char *const of_containers[] = {
		"Hostname",   "Domainname", "AttachStdin", "AttachStdout", "AttachStderr",
		"Tty",        "OpenStdin",  "StdinOnce",   "Image",        "NetworkDisabled",
		"MacAddress", "StopTimeout"
	};
	auto_(buf) b = BUF_INIT(16 << 20);
	const struct json *j = NULL;
	struct jsonw whole;
	int r;

	jsonw_init(&whole, &b);
	container_config_write(&whole, c);
	r = jsonw_finish(&whole, err);
	if (r == 0)
		r = json_parse(a, b.data, b.len, &j, err);
	if (r < 0)
		return r;
	jsonw_object(w);
	json_for_each_member (m, j) {
		bool drop = false;

		for (size_t i = 0; i < ARRAY_LEN(of_containers); i++)
			drop |= strcmp(m->key, of_containers[i]) == 0;
		if (!drop)
			jsonw_kvalue(w, m->key, m->value);
	}
	jsonw_end(w);
	return 0;
}

static int write_config(const struct image *i, unsigned api, struct jsonw *w, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct image_config c;
	int r = image_config_parse(&a, i->config_text, i->config_len, &c, err);

	if (r < 0)
		return r;
	jsonw_key(w, "Config");
	if (api < 50)
		container_config_write(w, &c.config);
	else
		r = write_image_members(&a, &c.config, w, err);
	return r;
}

/* Always an object. Peer: dockerd 20.10, also of an image without. */
static void write_container_config(const struct image *i, struct jsonw *w)
{
	const struct json *c = json_get(i->json, "container_config");

	jsonw_key(w, "ContainerConfig");
	if (c)
		jsonw_value(w, c);
	else
		container_config_write(w, &(struct container_config){ 0 });
}

int image_inspect(struct store *s, const char *name, unsigned api, struct jsonw *w,
		  struct error *err)
{
	const bool virtual_size = api < 44;
	auto_(image) i = { 0 };
	const char *variant;
	int r = image_open(s, name, &i, err);

	if (r < 0)
		return r;
	jsonw_object(w);
	jsonw_kstring(w, "Id", i.row.id);
	r = write_names(s, i.row.id, w, err);
	write_text(w, "Parent", i.row.parent);
	write_text(w, "Comment", last_comment(i.json));
	jsonw_kstring(w, "Created",
		      json_str(i.json, "created") ? json_str(i.json, "created") : TIME_ZERO_TEXT);
	if (virtual_size) {
		write_text(w, "Container", json_str(i.json, "container"));
		write_container_config(&i, w);
	}
	write_text(w, "DockerVersion", json_str(i.json, "docker_version"));
	write_text(w, "Author", json_str(i.json, "author"));
	if (r == 0)
		r = write_config(&i, api, w, err);
	write_text(w, "Architecture", json_str(i.json, "architecture"));
	variant = json_str(i.json, "variant");
	if (variant && *variant)
		jsonw_kstring(w, "Variant", variant);
	write_text(w, "Os", json_str(i.json, "os"));
	jsonw_kint(w, "Size", i.row.size);
	if (virtual_size)
		jsonw_kint(w, "VirtualSize", i.row.size);
	if (r == 0)
		r = write_graph(s, &i, w, err);
	write_layers(&i, w);
	jsonw_kobject(w, "Metadata");
	jsonw_ktime(w, "LastTagTime", i.row.tagged_ns);
	jsonw_end(w);
	jsonw_end(w);
	return r;
}

/* ---- history ---- */

static int64_t history_created(const struct json *h)
{
	const char *text = json_str(h, "created");
	int64_t ns = 0;

	if (!text || strncmp(text, "0001", 4) == 0 || time_parse_rfc3339(text, &ns, NULL) < 0)
		return -62135596800LL; /* Go's zero time, as docker shows it */
	return ns / NS_PER_SEC;
}

/* The image that stands behind a history line: only the newest is known for
 * sure; its ancestors when they are here, one line each. */
static void step_id(struct store *s, char **id, size_t n_items, size_t index, char *out,
		    size_t size)
{
	struct image_row row = { 0 };

	snprintf(out, size, "<missing>");
	if (index == n_items)
		return;
	if (!*id || !**id)
		return;
	snprintf(out, size, "%s", *id);
	if (images_get(s, *id, &row, NULL) < 0) {
		snprintf(out, size, "<missing>");
		free(steal_ptr(*id));
		return;
	}
	free(*id);
	*id = row.parent && *row.parent ? xstrdup(row.parent) : NULL;
	image_row_release(&row);
}

static int tag_line(void *arg, const char *name, const char *id, struct error *err)
{
	struct jsonw *w = arg;
	autofree char *familiar = image_name_familiar(name);

	(void)id;
	(void)err;
	jsonw_string(w, familiar);
	return 0;
}

static int write_tags(struct store *s, const char *id, struct jsonw *w, struct error *err)
{
	int64_t n = 0;
	int r = db_get_int(s->db, &n, err, "SELECT count(*) FROM tags WHERE id=?", "t", id);

	jsonw_key(w, "Tags");
	if (r < 0 || n == 0) {
		jsonw_null(w);
		return r;
	}
	jsonw_array(w);
	r = tags_each(s, id, tag_line, w, err);
	jsonw_end(w);
	return r;
}

static int history_lines(struct store *s, const struct image *i, const struct json *history,
			 struct jsonw *w, struct error *err)
{
	size_t layer = i->n_layers, n = history ? history->n_items : 0;
	autofree char *id = xstrdup(i->row.id);
	struct layer_info info;
	char text[DIGEST_TEXT_MAX];
	int r = 0;

	for (size_t at = n; r == 0 && at > 0; at--) {
		const struct json *h = history->items[at - 1];
		int64_t size = 0;

		if (!json_bool(h, "empty_layer", false) && layer > 0 &&
		    snapshot_layer_get(s->snapshots, &i->diff_ids[--layer], &info, NULL) == 0)
			size = (int64_t)info.size;
		step_id(s, &id, n, at - 1, text, sizeof(text));
		jsonw_object(w);
		write_text(w, "Comment", json_str(h, "comment"));
		jsonw_kint(w, "Created", history_created(h));
		write_text(w, "CreatedBy", json_str(h, "created_by"));
		jsonw_kstring(w, "Id", text);
		jsonw_kint(w, "Size", size);
		r = write_tags(s, text, w, err);
		jsonw_end(w);
	}
	return r;
}

int image_history(struct store *s, const char *name, struct jsonw *w, struct error *err)
{
	auto_(image) i = { 0 };
	const struct json *history;
	int r = image_open(s, name, &i, err);

	if (r < 0)
		return r;
	history = json_get(i.json, "history");
	jsonw_array(w);
	if (history && history->type == JSON_ARRAY)
		r = history_lines(s, &i, history, w, err);
	jsonw_end(w);
	return r;
}
