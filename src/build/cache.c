#include "build/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/vec.h"
#include "store/gc.h"
#include "store/images.h"
#include "store/lease.h"

static const char *const steps[] = {
	"CREATE TABLE build_cache(key TEXT PRIMARY KEY, layer TEXT NOT NULL, size INTEGER NOT NULL,"
	" text TEXT NOT NULL, type TEXT NOT NULL, inputs TEXT, created_ns INTEGER NOT NULL,"
	" used_ns INTEGER NOT NULL, uses INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX build_cache_used ON build_cache(used_ns);"
	"CREATE INDEX build_cache_text ON build_cache(text, created_ns);"
	"CREATE TABLE build_stat(dev INTEGER, ino INTEGER, entries BLOB NOT NULL,"
	" used_ns INTEGER NOT NULL, PRIMARY KEY(dev, ino)) WITHOUT ROWID;"
	"CREATE TABLE build_mount(n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
	" created_ns INTEGER NOT NULL, used_ns INTEGER NOT NULL);",
	/* A definition upon a certain base, and the record that it led to. */
	"CREATE TABLE build_fast(fast TEXT PRIMARY KEY, def TEXT NOT NULL, key TEXT NOT NULL)"
	" WITHOUT ROWID;"
	"CREATE INDEX build_fast_def ON build_fast(def);"
	"CREATE INDEX build_fast_key ON build_fast(key);",
};

int cache_open(struct store *s, struct error *err)
{
	int r = db_migrate(s->db, "build", steps, ARRAY_LEN(steps), err);

	return r < 0 ? r : lease_make(s->db, CACHE_LEASE, true, err);
}

static void copy_text(char *out, size_t size, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	if (n >= size)
		n = size - 1;
	memcpy(out, s ? s : "", n);
	out[n] = '\0';
}

static int read_record(struct store *s, const char *key, struct cache_record *ret,
		       struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	struct cache_record rec = { 0 };
	const char *layer;
	bool row = false;
	int r = db_prepare(s->db, "SELECT layer, size FROM build_cache WHERE key=?", &q, err);

	if (r < 0)
		return r;
	db_bind_text(&q, 1, key);
	r = db_step(&q, &row, err);
	if (r < 0)
		return r;
	if (!row)
		return error_set(err, ERR_NOT_FOUND, "no cache record %s", key);
	layer = db_col_text(&q, 0);
	memcpy(rec.key, key, strlen(key) < sizeof(rec.key) ? strlen(key) : 0);
	rec.size = db_col_int(&q, 1);
	if (layer != NULL && layer[0] != '\0') {
		r = digest_parse(layer, strlen(layer), &rec.layer, err);
		if (r < 0)
			return r;
	}
	*ret = rec;
	return 0;
}

int cache_get(struct store *s, const char *key, struct cache_record *ret, struct error *err)
{
	struct cache_record rec;
	struct layer_info info;
	int r = read_record(s, key, &rec, err);

	if (r < 0)
		return r;
	if (rec.layer.algo != 0) {
		r = snapshot_layer_get(s->snapshots, &rec.layer, &info, err);
		if (r < 0)
			return r;
	}
	r = db_run(s->db, err, "UPDATE build_cache SET used_ns=?, uses=uses+1 WHERE key=?", "it",
		   clock_wall_ns(), key);
	if (r < 0)
		return r;
	*ret = rec;
	return 0;
}

int cache_put(struct store *s, const struct cache_record *rec, struct error *err)
{
	char layer[DIGEST_TEXT_MAX] = "";
	int r;

	if (rec->layer.algo != 0) {
		digest_format(&rec->layer, layer);
		r = lease_add(s->db, CACHE_LEASE, REF_LAYER, layer, err);
		if (r < 0)
			return r;
	}
	return db_run(s->db, err,
		      "INSERT OR REPLACE INTO build_cache(key, layer, size, text, type, inputs, "
		      "created_ns, used_ns, uses) VALUES(?,?,?,?,?,?,?,?,1)",
		      "ttitttii", rec->key, layer, rec->size, rec->text,
		      rec->type ? rec->type : "regular", rec->inputs, clock_wall_ns(),
		      clock_wall_ns());
}

int cache_fast_put(struct store *s, const char *fast, const char *def, const char *key,
		   struct error *err)
{
	return db_run(s->db, err, "INSERT OR REPLACE INTO build_fast VALUES(?,?,?)", "ttt", fast,
		      def, key);
}

int cache_fast_get(struct store *s, const char *fast, char ret_key[static 65], struct error *err)
{
	autofree char *key = NULL;
	int r = db_get_text(s->db, &key, err, "SELECT key FROM build_fast WHERE fast=?", "t", fast);

	if (r == 0)
		copy_text(ret_key, 65, key);
	return r;
}

bool cache_fast_known(struct store *s, const char *def)
{
	int64_t known = 0;

	return db_get_int(s->db, &known, NULL,
			  "SELECT EXISTS(SELECT 1 FROM build_fast WHERE def=?)", "t", def) == 0 &&
	       known != 0;
}

int cache_keep_blob(struct store *s, const struct layer_blob *blob, struct error *err)
{
	return layer_blobs_lease(s, CACHE_LEASE, blob, err);
}

int cache_last_inputs(struct store *s, const char *text, char **ret_inputs, struct error *err)
{
	char *inputs = NULL;
	int r = db_get_text(s->db, &inputs, err,
			    "SELECT inputs FROM build_cache WHERE text=? ORDER BY created_ns DESC "
			    "LIMIT 1",
			    "t", text);

	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	*ret_inputs = r < 0 ? NULL : inputs;
	return 0;
}

int cache_mount_dir(struct store *s, const char *id, const char *dir_path, char **ret_path,
		    bool *ret_fresh, struct error *err)
{
	autofree char *path = NULL;
	int64_t n = 0, now = clock_wall_ns();
	struct stat st;
	int r = db_run(s->db, err,
		       "INSERT INTO build_mount(id, created_ns, used_ns) VALUES(?,?,?) "
		       "ON CONFLICT(id) DO UPDATE SET used_ns=excluded.used_ns",
		       "tii", id, now, now);

	if (r == 0)
		r = db_get_int(s->db, &n, err, "SELECT n FROM build_mount WHERE id=?", "t", id);
	if (r < 0)
		return r;
	path = cstr_format("%s/mounts/%lld/fs", dir_path, (long long)n);
	*ret_fresh = stat(path, &st) < 0;
	if (*ret_fresh) {
		r = fs_mkdir_all(path, 0755, err);
		if (r < 0)
			return r;
	}
	*ret_path = steal_ptr(path);
	return 0;
}

struct victim {
	char key[65];
	char layer[DIGEST_TEXT_MAX];
	int64_t size;
};

/* Without `all` (?5) only what no image needs goes. */
#define VICTIMS_SQL \
	"SELECT key, layer, size FROM build_cache c WHERE (?1=0 OR used_ns<?1)" \
	" AND (?2 IS NULL OR key LIKE ?2||'%') AND (?3 IS NULL OR type=?3)" \
	" AND (?4 IS NULL OR text LIKE '%'||?4||'%')" \
	" AND (?5 OR NOT EXISTS(SELECT 1 FROM image_layers i WHERE i.diff_id=c.layer))" \
	" ORDER BY used_ns"

static int find_victims(struct store *s, const struct cache_prune *p, struct victim **ret,
			size_t *ret_n, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	VEC(struct victim) found = { 0 };
	bool row = true;
	int r = db_prepare(s->db, VICTIMS_SQL, &q, err);

	if (r < 0)
		return r;
	db_bind_int(&q, 1, p->until_ns);
	db_bind_text(&q, 2, p->id);
	db_bind_text(&q, 3, p->type);
	db_bind_text(&q, 4, p->description);
	db_bind_int(&q, 5, p->all);
	while ((r = db_step(&q, &row, err)) == 0 && row) {
		struct victim *v = vec_push(&found);

		copy_text(v->key, sizeof(v->key), db_col_text(&q, 0));
		copy_text(v->layer, sizeof(v->layer), db_col_text(&q, 1));
		v->size = db_col_int(&q, 2);
	}
	if (r < 0) {
		vec_release(&found);
		return r;
	}
	*ret = found.at;
	*ret_n = found.len;
	return 0;
}

/* The layer and its compressed form are nobody's record any more. */
static int release_layer(struct store *s, const char *layer, struct error *err)
{
	autofree char *media_type = NULL;
	char text[DIGEST_TEXT_MAX];
	struct digest diff_id, blob;
	uint64_t size;
	int r = digest_parse(layer, strlen(layer), &diff_id, err);

	if (r == 0)
		r = lease_remove(s->db, CACHE_LEASE, REF_LAYER, layer, err);
	if (r < 0 || layer_blobs_find(s, &diff_id, &blob, &size, &media_type, NULL) < 0)
		return r;
	digest_format(&blob, text);
	return lease_remove(s->db, CACHE_LEASE, REF_BLOB, text, err);
}

static int drop_record(struct store *s, const struct victim *v, struct error *err)
{
	int64_t users = 0;
	int r = db_run(s->db, err, "DELETE FROM build_cache WHERE key=?", "t", v->key);

	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM build_fast WHERE key=?", "t", v->key);
	if (r < 0 || v->layer[0] == '\0')
		return r;
	r = db_get_int(s->db, &users, err, "SELECT count(*) FROM build_cache WHERE layer=?", "t",
		       v->layer);
	if (r == 0 && users == 0)
		r = release_layer(s, v->layer, err);
	return r;
}

int cache_prune(struct store *s, const struct cache_prune *p, struct jsonw *out, struct error *err)
{
	autofree struct victim *victims = NULL;
	struct gc_stats stats = { 0 };
	int64_t total = 0;
	size_t n = 0, dropped = 0;
	int r = find_victims(s, p, &victims, &n, err);

	if (r == 0)
		r = db_get_int(s->db, &total, err, "SELECT coalesce(sum(size),0) FROM build_cache",
			       "");
	for (; r == 0 && dropped < n; dropped++) {
		if (p->keep_bytes > 0 && total <= p->keep_bytes)
			break;
		r = drop_record(s, &victims[dropped], err);
		total -= victims[dropped].size;
	}
	if (r == 0)
		r = gc_run(s, NULL, &stats, err);
	if (r < 0)
		return r;
	jsonw_object(out);
	if (dropped == 0) {
		jsonw_knull(out, "CachesDeleted");
	} else {
		jsonw_karray(out, "CachesDeleted");
		for (size_t i = 0; i < dropped; i++)
			jsonw_stringn(out, victims[i].key, 25);
		jsonw_end(out);
	}
	jsonw_kint(out, "SpaceReclaimed", (int64_t)(stats.layer_bytes + stats.blob_bytes));
	jsonw_end(out);
	return 0;
}

static void write_record(struct jsonw *out, const struct db_stmt *q)
{
	const char *key = db_col_text(q, 0), *layer = db_col_text(q, 1);

	jsonw_object(out);
	jsonw_key(out, "ID");
	jsonw_stringn(out, key, 25);
	jsonw_kstring(out, "Type", db_col_text(q, 4));
	jsonw_kstring(out, "Description", db_col_text(q, 3));
	jsonw_kbool(out, "InUse", false);
	jsonw_kbool(out, "Shared", layer != NULL && db_col_int(q, 8) > 0);
	jsonw_kint(out, "Size", db_col_int(q, 2));
	jsonw_ktime(out, "CreatedAt", db_col_int(q, 5));
	jsonw_ktime(out, "LastUsedAt", db_col_int(q, 6));
	jsonw_kint(out, "UsageCount", db_col_int(q, 7));
	jsonw_end(out);
}

int cache_list(struct store *s, struct jsonw *out, int64_t *ret_bytes, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	int64_t bytes = 0;
	bool row = true;
	int r = db_prepare(s->db,
			   "SELECT key, layer, size, text, type, created_ns, used_ns, uses, "
			   "(SELECT count(*)-1 FROM build_cache o WHERE o.layer=c.layer) "
			   "FROM build_cache c ORDER BY created_ns",
			   &q, err);

	if (r < 0)
		return r;
	jsonw_array(out);
	while ((r = db_step(&q, &row, err)) == 0 && row) {
		write_record(out, &q);
		bytes += db_col_int(&q, 2);
	}
	jsonw_end(out);
	if (r == 0 && ret_bytes != NULL)
		*ret_bytes = bytes;
	return r;
}
