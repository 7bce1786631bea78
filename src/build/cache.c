#include "build/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
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
	/* Bytes of a cache mount and when they were counted. */
	"ALTER TABLE build_mount ADD COLUMN size INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE build_mount ADD COLUMN measured_ns INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE build_mount ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;",
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

int cache_get(struct store *s, const char *key, int64_t used_ns, struct cache_record *ret,
	      struct error *err)
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
		   used_ns, key);
	if (r < 0)
		return r;
	*ret = rec;
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

static int release_unused_layer(struct store *s, const char *layer, struct error *err)
{
	int64_t users = 0;
	int r = db_get_int(s->db, &users, err, "SELECT count(*) FROM build_cache WHERE layer=?",
			   "t", layer);

	return r == 0 && users == 0 ? release_layer(s, layer, err) : r;
}

int cache_put(struct store *s, const struct cache_record *rec, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	char layer[DIGEST_TEXT_MAX] = "";
	autofree char *old = NULL;
	int r;

	r = db_begin(s->db, DB_NORMAL, &tx, err);
	if (r == 0)
		r = db_get_text(s->db, &old, err, "SELECT layer FROM build_cache WHERE key=?", "t",
				rec->key);
	if (r == -ERR_NOT_FOUND)
		r = 0;
	if (r == 0 && rec->layer.algo != 0) {
		digest_format(&rec->layer, layer);
		r = lease_add(s->db, CACHE_LEASE, REF_LAYER, layer, err);
	}
	if (r == 0)
		r = db_run(
		    s->db, err,
		    "INSERT OR REPLACE INTO build_cache(key, layer, size, text, type, inputs, "
		    "created_ns, used_ns, uses) VALUES(?,?,?,?,?,?,?,?,1)",
		    "ttitttii", rec->key, layer, rec->size, rec->text,
		    rec->type ? rec->type : "regular", rec->inputs, clock_wall_ns(), rec->used_ns);
	/* Made anew, as with --no-cache: the layer of before is not this record's any more. */
	if (r == 0 && !cstr_is_empty(old))
		r = release_unused_layer(s, old, err);
	return r < 0 ? r : db_commit(&tx, err);
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

int cache_last_inputs(struct store *s, const char *text, size_t nth, char **ret_inputs,
		      struct error *err)
{
	char *inputs = NULL;
	int r = db_get_text(s->db, &inputs, err,
			    "SELECT inputs FROM build_cache WHERE text=? AND inputs IS NOT NULL "
			    "ORDER BY created_ns DESC LIMIT 1 OFFSET ?",
			    "ti", text, (int64_t)nth);

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
		       "INSERT INTO build_mount(id, created_ns, used_ns, uses) VALUES(?,?,?,1) "
		       "ON CONFLICT(id) DO UPDATE SET used_ns=excluded.used_ns, uses=uses+1",
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

int cache_drop(struct store *s, const char *key, const char *layer, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	int r = db_begin(s->db, DB_NORMAL, &tx, err);

	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM build_cache WHERE key=?", "t", key);
	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM build_fast WHERE key=?", "t", key);
	if (r == 0 && layer[0] != '\0')
		r = release_unused_layer(s, layer, err);
	return r < 0 ? r : db_commit(&tx, err);
}
