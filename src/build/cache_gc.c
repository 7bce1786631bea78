/* build/cache_gc.c: see cache_gc.h. */
#include "build/cache_gc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/random.h"
#include "base/vec.h"
#include "build/build_internal.h"
#include "build/copied.h"
#include "store/gc.h"

struct item {
	char id[26];
	const char *key, *layer; /* a record; layer "" when it has none */
	const char *mount;       /* id of a cache mount, else NULL */
	int64_t number;          /* its directory */
	const char *text;
	int64_t bytes, created_ns, used_ns, uses;
	bool shared, in_use, gone;
};

struct items {
	struct arena arena;
	VEC(struct item) list;
	struct map layers; /* layer -> how many records of the list have it */
	struct map bytes;  /* layer -> its bytes, which are those of its first record */
};

static void items_release(struct items *i)
{
	arena_release(&i->arena);
	vec_release(&i->list);
	map_release(&i->layers);
	map_release(&i->bytes);
}
DEFINE_AUTO(items, items_release);

void builder_mount_begin(struct builder *b, const char *id)
{
	LOCKED(&b->mounts_lock);

	map_set(&b->mounts_used, id, (void *)((uintptr_t)map_get(&b->mounts_used, id) + 1));
}

void builder_mount_end(struct builder *b, const char *id)
{
	/* It is measured again: the step has written to it. */
	(void)!db_run(b->cfg.store->db, NULL, "UPDATE build_mount SET used_ns=? WHERE id=?", "it",
		      clock_wall_ns(), id);
	{
		LOCKED(&b->mounts_lock);
		uintptr_t n = (uintptr_t)map_get(&b->mounts_used, id) - 1;

		if (n == 0)
			map_remove(&b->mounts_used, id);
		else
			map_set(&b->mounts_used, id, (void *)n);
	}
}

void builder_mount_name(const char *id, char out[static MOUNT_NAME_SIZE])
{
	autofree char *text = cstr_format("cache mount %s", id);
	uint8_t sum[SHA256_SIZE];
	char hex[65];

	hash_sha256(text, strlen(text), sum);
	hex_format(sum, sizeof(sum), hex);
	snprintf(out, MOUNT_NAME_SIZE, "%.25s", hex);
}

/* ---- what there is ---- */

static const char *keep(struct items *i, const char *s)
{
	return arena_strdup(&i->arena, s ? s : "");
}

static int64_t count_layer(struct items *i, const char *layer, int by)
{
	uintptr_t n = (uintptr_t)map_get(&i->layers, layer) + (uintptr_t)by;

	map_set(&i->layers, layer, (void *)n);
	return (int64_t)n;
}

#define RECORDS_SQL \
	"SELECT c.key, c.layer, c.text, c.created_ns, c.used_ns, c.uses," \
	" coalesce(nullif(l.disk,0), l.size, 0) +" \
	" coalesce((SELECT sum(b.size) FROM layer_blobs b, refs r WHERE b.diff_id=c.layer" \
	"  AND r.ref=b.digest AND r.kind=1 AND r.owner='lease:" CACHE_LEASE "'), 0)," \
	" EXISTS(SELECT 1 FROM image_layers i WHERE i.diff_id=c.layer)," \
	" EXISTS(SELECT 1 FROM refs r WHERE r.ref=c.layer AND r.kind=2" \
	"  AND r.owner<>'lease:" CACHE_LEASE "' AND r.owner LIKE 'lease:build/%')" \
	" FROM build_cache c LEFT JOIN layers l ON l.diff_id=c.layer ORDER BY c.created_ns"

static int load_records(struct builder *b, struct items *i, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	bool row = true;
	int r = db_prepare(b->cfg.store->db, RECORDS_SQL, &q, err);

	while (r == 0 && (r = db_step(&q, &row, err)) == 0 && row) {
		struct item *t = vec_push(&i->list);

		*t = (struct item){ .key = keep(i, db_col_text(&q, 0)),
				    .layer = keep(i, db_col_text(&q, 1)),
				    .text = keep(i, db_col_text(&q, 2)),
				    .created_ns = db_col_int(&q, 3),
				    .used_ns = db_col_int(&q, 4),
				    .uses = db_col_int(&q, 5),
				    .bytes = db_col_int(&q, 6),
				    .shared = db_col_int(&q, 7) != 0,
				    .in_use = db_col_int(&q, 8) != 0 };
		snprintf(t->id, sizeof(t->id), "%.25s", t->key);
		/* A layer is counted with its first record. */
		if (t->layer[0] == '\0')
			continue;
		if (count_layer(i, t->layer, 1) > 1)
			t->bytes = 0;
		else
			map_set(&i->bytes, t->layer, (void *)(uintptr_t)t->bytes);
	}
	return r;
}

/* Walks what was used since it was last measured. */
static int measure_mount(struct builder *b, struct item *t, struct error *err)
{
	autofree char *name = cstr_format("%lld", (long long)t->number);
	autoclose int dir = FD_NONE;
	uint64_t bytes = 0;
	int r = fs_open_beneath(b->dir_fd, "mounts", O_RDONLY | O_DIRECTORY, 0, &dir, err);

	if (r == 0)
		r = fs_disk_usage(dir, name, &bytes, err);

	/* Steps that work in it change it under the walk. */
	if (r < 0)
		return 0;
	t->bytes = (int64_t)bytes;
	return db_run(b->cfg.store->db, err,
		      "UPDATE build_mount SET size=?, measured_ns=? WHERE n=? AND used_ns<=?",
		      "iiii", t->bytes, clock_wall_ns(), t->number, t->used_ns);
}

static int load_mounts(struct builder *b, struct items *i, struct error *err)
{
	size_t first = i->list.len;
	int r;

	{
		auto_(db_stmt) q = DB_STMT_INIT;
		bool row = true;

		r = db_prepare(b->cfg.store->db,
			       "SELECT id, n, created_ns, used_ns, uses, CASE WHEN "
			       "measured_ns>used_ns THEN size ELSE -1 END FROM build_mount "
			       "ORDER BY created_ns",
			       &q, err);
		while (r == 0 && (r = db_step(&q, &row, err)) == 0 && row) {
			struct item *t = vec_push(&i->list);

			*t = (struct item){ .layer = "",
					    .mount = keep(i, db_col_text(&q, 0)),
					    .number = db_col_int(&q, 1),
					    .created_ns = db_col_int(&q, 2),
					    .used_ns = db_col_int(&q, 3),
					    .uses = db_col_int(&q, 4),
					    .bytes = db_col_int(&q, 5) };
		}
	}
	for (size_t n = first; r == 0 && n < i->list.len; n++) {
		struct item *t = &i->list.at[n];

		t->text = arena_format(&i->arena, "cache mount %s", t->mount);
		builder_mount_name(t->mount, t->id);
		lock_take(&b->mounts_lock);
		t->in_use = map_has(&b->mounts_used, t->mount);
		lock_drop(&b->mounts_lock);
		if (t->bytes < 0) {
			t->bytes = 0;
			r = measure_mount(b, t, err);
		}
	}
	return r;
}

static int load(struct builder *b, struct items *i, struct error *err)
{
	int r = load_records(b, i, err);

	return r < 0 ? r : load_mounts(b, i, err);
}

static void write_item(struct jsonw *out, const struct item *t)
{
	jsonw_object(out);
	jsonw_kstring(out, "ID", t->id);
	jsonw_kstring(out, "Type", t->mount ? "exec.cachemount" : "regular");
	jsonw_kstring(out, "Description", t->text);
	jsonw_kbool(out, "InUse", t->in_use);
	jsonw_kbool(out, "Shared", t->shared);
	jsonw_kint(out, "Size", t->bytes);
	jsonw_ktime(out, "CreatedAt", t->created_ns);
	jsonw_ktime(out, "LastUsedAt", t->used_ns);
	jsonw_kint(out, "UsageCount", t->uses);
	jsonw_end(out);
}

int builder_usage(struct builder *b, struct jsonw *out, int64_t *ret_bytes, struct error *err)
{
	auto_(items) i = { 0 };
	int64_t bytes = 0;
	int r = load(b, &i, err);

	if (r < 0)
		return r;
	jsonw_array(out);
	vec_for_each (t, &i.list) {
		write_item(out, t);
		bytes += t->shared ? 0 : t->bytes; /* counted with its image */
	}
	jsonw_end(out);
	if (ret_bytes != NULL)
		*ret_bytes = bytes;
	return 0;
}

/* ---- giving it back ---- */

static bool matches(const struct cache_rule *rule, const struct item *t, int64_t now)
{
	unsigned type = t->mount ? CACHE_MOUNT : CACHE_REGULAR;

	return !t->gone && !rule->none && (rule->types == 0 || (rule->types & type)) &&
	       (rule->id == NULL || strncmp(t->id, rule->id, strlen(rule->id)) == 0) &&
	       (rule->text == NULL || strcmp(t->text, rule->text) == 0) &&
	       (rule->in_use < 0 || t->in_use == (rule->in_use != 0)) &&
	       (rule->shared < 0 || t->shared == (rule->shared != 0)) &&
	       (rule->unused_ns == 0 || t->used_ns < now - rule->unused_ns) &&
	       (rule->before_ns == 0 || t->used_ns < rule->before_ns);
}

static int older_first(const void *a, const void *b)
{
	const struct item *x = *(const struct item *const *)a, *y = *(const struct item *const *)b;

	return x->used_ns < y->used_ns ? -1 : x->used_ns > y->used_ns;
}

/* How much may stay of what counts; -1: nothing has to. */
static int64_t kept_bytes(struct builder *b, const struct cache_rule *rule, int64_t total)
{
	int64_t bytes = rule->max_used_bytes ? rule->max_used_bytes : INT64_MAX;
	struct statvfs v;

	if (!rule->max_used_bytes && !rule->min_free_bytes)
		return rule->reserved_bytes ? rule->reserved_bytes : -1;
	if (rule->min_free_bytes && fstatvfs(b->dir_fd, &v) == 0) {
		int64_t free = (int64_t)(v.f_bavail * v.f_frsize);

		if (free < rule->min_free_bytes && total - (rule->min_free_bytes - free) < bytes)
			bytes = total - (rule->min_free_bytes - free);
	}
	return bytes > rule->reserved_bytes ? bytes : rule->reserved_bytes;
}

/* Out of the way at once, so that a step that comes now makes a new one. */
static int remove_mount(struct builder *b, const struct item *t, bool *ret_gone, struct error *err)
{
	autofree char *from = cstr_format("%lld", (long long)t->number), *to = NULL;
	autoclose int dir = FD_NONE;
	char hex[17];
	int r = fs_open_beneath(b->dir_fd, "mounts", O_RDONLY | O_DIRECTORY, 0, &dir, err);

	if (r < 0)
		return r;
	random_hex(hex, 8);
	to = cstr_format("gone-%s", hex);
	{
		LOCKED(&b->mounts_lock);

		*ret_gone = !map_has(&b->mounts_used, t->mount);
		if (*ret_gone && renameat(dir, from, dir, to) < 0 && errno != ENOENT)
			r = error_sys(err, errno, "remove 'mounts/%s'", from);
	}
	if (r < 0 || !*ret_gone)
		return r;
	r = db_run(b->cfg.store->db, err, "DELETE FROM build_mount WHERE n=?", "i", t->number);
	return r < 0 ? r : fs_remove_tree(dir, to, err);
}

struct collection {
	struct builder *builder;
	struct items items;
	struct jsonw *out;   /* of the array of ids; NULL: nobody asks */
	bool any, layers;    /* something went; a record did */
	int64_t mount_bytes; /* of mounts that went */
};

static int remove_item(struct collection *c, struct item *t, struct error *err)
{
	struct items *i = &c->items;
	int r;

	if (t->mount != NULL) {
		r = remove_mount(c->builder, t, &t->gone, err);
		c->mount_bytes += t->gone ? t->bytes : 0;
	} else {
		r = cache_drop(c->builder->cfg.store, t->key, t->layer, err);
		t->gone = r == 0;
		c->layers |= t->gone;
		if (t->gone && t->layer[0] != '\0')
			(void)count_layer(i, t->layer, -1);
	}
	if (r < 0 || !t->gone)
		return r;
	if (c->out != NULL && !c->any)
		jsonw_karray(c->out, "CachesDeleted");
	if (c->out != NULL)
		jsonw_string(c->out, t->id);
	c->any = true;
	return 0;
}

/* A layer's bytes stand with its first record and are free with the last. */
static int64_t freed_bytes(const struct items *i, const struct item *t)
{
	if (t->mount != NULL || t->layer[0] == '\0')
		return t->bytes;
	if (map_get(&i->layers, t->layer) != NULL)
		return 0;
	return (int64_t)(uintptr_t)map_get(&i->bytes, t->layer);
}

static int apply_rule(struct collection *c, const struct cache_rule *rule, struct error *err)
{
	int64_t now = clock_wall_ns(), total = 0, limit;
	autofree struct item **found = xcalloc(c->items.list.len + 1, sizeof(struct item *));
	size_t n = 0;
	int r = 0;

	vec_for_each (t, &c->items.list) {
		if (t->gone || (t->shared && !rule->all && rule->shared != 1))
			continue;
		total += t->bytes;
		if (!t->in_use && matches(rule, t, now))
			found[n++] = t;
	}
	limit = kept_bytes(c->builder, rule, total);
	qsort(found, n, sizeof(struct item *), older_first);
	for (size_t k = 0; r == 0 && k < n && total > limit; k++) {
		r = remove_item(c, found[k], err);
		if (r == 0 && found[k]->gone)
			total -= freed_bytes(&c->items, found[k]);
	}
	return r;
}

/* What only makes builds quicker goes with everything else. */
static int forget_notes(struct store *s, struct error *err)
{
	int r = stat_cache_limit(s->db, 0, err);

	return r < 0 ? r : copied_forget(s, err);
}

int builder_prune(struct builder *b, const struct cache_rule *rules, size_t n_rules,
		  struct jsonw *out, struct error *err)
{
	struct collection c = { .builder = b, .out = out };
	struct gc_stats stats = { 0 };
	int r;

	lock_take(&b->gc_lock);
	if (out != NULL)
		jsonw_object(out);
	r = load(b, &c.items, err);
	for (size_t i = 0; r == 0 && i < n_rules; i++) {
		r = apply_rule(&c, &rules[i], err);
		if (r == 0 && out != NULL && cache_rule_is_all(&rules[i]))
			r = forget_notes(b->cfg.store, err);
	}
	if (r == 0 && (c.layers || out != NULL))
		r = gc_run(b->cfg.store, NULL, &stats, err);
	if (r == 0 && out != NULL)
		r = db_trim(b->cfg.store->db, err);
	lock_drop(&b->gc_lock);
	items_release(&c.items);
	if (r < 0 || out == NULL)
		return r;
	if (c.any)
		jsonw_end(out);
	else
		jsonw_knull(out, "CachesDeleted");
	jsonw_kint(out, "SpaceReclaimed",
		   (int64_t)(stats.layer_bytes + stats.blob_bytes) + c.mount_bytes);
	jsonw_end(out);
	return 0;
}

/* ---- after builds ---- */

static void *collector(void *arg)
{
	struct builder *b = arg;
	struct error err;

	lock_take(&b->lock);
	while (!b->gc_stop) {
		if (!b->gc_due) {
			pthread_cond_wait(&b->landed, &b->lock.mutex);
			continue;
		}
		b->gc_due = false;
		lock_drop(&b->lock);
		if (builder_prune(b, b->rules.at, b->rules.n, NULL, &err) < 0 && b->cfg.gc_failed)
			b->cfg.gc_failed(b->cfg.arg, &err);
		lock_take(&b->lock);
	}
	lock_drop(&b->lock);
	return NULL;
}

void builder_collect(struct builder *b)
{
	LOCKED(&b->lock);

	if (b->rules.n == 0)
		return;
	b->gc_due = true;
	if (!b->gc_started)
		b->gc_started = pthread_create(&b->gc_thread, NULL, collector, b) == 0;
	pthread_cond_broadcast(&b->landed);
}

void builder_collect_stop(struct builder *b)
{
	lock_take(&b->lock);
	b->gc_stop = true;
	pthread_cond_broadcast(&b->landed);
	lock_drop(&b->lock);
	if (b->gc_started)
		pthread_join(b->gc_thread, NULL);
}
