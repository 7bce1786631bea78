#include "build/stat_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/lock.h"

#define ENTRIES_MAX (4U << 20)
#define BYTES_MAX   (64 << 20) /* of all directories */
#define TOUCH_NS    (3600 * NS_PER_SEC)
#define RACY_NS     (10 * NS_PER_MS) /* coarser than any file system's clock we meet */

struct entry {
	uint64_t dev, ino, size;
	int64_t mtime_ns, ctime_ns;
	uint8_t hash[SHA256_SIZE];
};

struct slot {
	struct entry e;
	bool used, seen;
};

struct stat_cache {
	struct db *db;     /* NULL: of a directory of our own */
	uint64_t dev, ino; /* of the directory */
	struct lock lock;
	struct slot *slots; /* open addressing, a power of two */
	size_t n_slots, n_used;
	bool dirty;
	int64_t used_ns; /* as it is kept; 0: it is not */
};

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

static struct entry entry_of(const struct stat *st)
{
	return (struct entry){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = ns_of(st->st_mtim),
		.ctime_ns = ns_of(st->st_ctim),
	};
}

static struct slot *find(struct stat_cache *c, uint64_t dev, uint64_t ino)
{
	size_t at = (size_t)((ino ^ dev * 31) * 0x9E3779B97F4A7C15ULL) & (c->n_slots - 1);

	while (c->slots[at].used && (c->slots[at].e.ino != ino || c->slots[at].e.dev != dev))
		at = (at + 1) & (c->n_slots - 1);
	return &c->slots[at];
}

static void grow(struct stat_cache *c, size_t n_slots)
{
	struct slot *old = c->slots;
	size_t n_old = c->n_slots;

	c->slots = xcalloc(n_slots, sizeof(*c->slots));
	c->n_slots = n_slots;
	for (size_t i = 0; i < n_old; i++) {
		if (old[i].used)
			*find(c, old[i].e.dev, old[i].e.ino) = old[i];
	}
	free(old);
}

static void insert(struct stat_cache *c, const struct entry *e, bool seen)
{
	struct slot *s;

	if (c->n_used * 2 >= c->n_slots)
		grow(c, c->n_slots * 2);
	s = find(c, e->dev, e->ino);
	c->n_used += !s->used;
	*s = (struct slot){ *e, true, seen };
}

struct stat_cache *stat_cache_new(void)
{
	struct stat_cache *c = new0(struct stat_cache);

	*c = (struct stat_cache){ .lock = LOCK_INIT };
	grow(c, 1024);
	return c;
}

struct stat_cache *stat_cache_load(struct db *db, int fd)
{
	struct stat_cache *c = new0(struct stat_cache);
	auto_(db_stmt) q = DB_STMT_INIT;
	struct stat st = { 0 };
	const struct entry *at;
	size_t len = 0;
	bool row = false;

	(void)fstat(fd, &st);
	*c = (struct stat_cache){ .db = db, .dev = st.st_dev, .ino = st.st_ino, .lock = LOCK_INIT };
	grow(c, 1024);
	if (db_prepare(db, "SELECT entries, used_ns FROM build_stat WHERE dev=? AND ino=?", &q,
		       NULL) < 0)
		return c;
	db_bind_int(&q, 1, (int64_t)c->dev);
	db_bind_int(&q, 2, (int64_t)c->ino);
	if (db_step(&q, &row, NULL) < 0 || !row)
		return c;
	at = db_col_blob(&q, 0, &len);
	c->used_ns = db_col_int(&q, 1);
	for (size_t i = 0; i < len / sizeof(*at); i++) {
		struct entry e;

		memcpy(&e, &at[i], sizeof(e));
		insert(c, &e, false);
	}
	return c;
}

bool stat_cache_get(struct stat_cache *c, const struct stat *st, uint8_t out[static SHA256_SIZE])
{
	struct entry want = entry_of(st);
	struct slot *s;
	LOCKED(&c->lock);

	s = find(c, want.dev, want.ino);
	if (!s->used || s->e.size != want.size || s->e.mtime_ns != want.mtime_ns ||
	    s->e.ctime_ns != want.ctime_ns)
		return false;
	s->seen = true;
	memcpy(out, s->e.hash, SHA256_SIZE);
	return true;
}

void stat_cache_put(struct stat_cache *c, const struct stat *st,
		    const uint8_t hash[static SHA256_SIZE])
{
	struct entry e = entry_of(st);
	int64_t now = clock_wall_ns();
	LOCKED(&c->lock);

	if (c->n_used >= ENTRIES_MAX ||
	    (c->db != NULL && (e.ctime_ns > now - RACY_NS || e.mtime_ns > now - RACY_NS)))
		return;
	memcpy(e.hash, hash, SHA256_SIZE);
	insert(c, &e, true);
	c->dirty = true;
}

int stat_cache_limit(struct db *db, int64_t max_bytes, struct error *err)
{
	return db_run(db, err,
		      "DELETE FROM build_stat WHERE (dev, ino) IN (SELECT dev, ino FROM (SELECT "
		      "dev, ino, sum(length(entries)) OVER (ORDER BY used_ns DESC) AS bytes FROM "
		      "build_stat) WHERE bytes > ?)",
		      "i", max_bytes);
}

/* Nothing was new. */
static int touch(struct stat_cache *c, struct error *err)
{
	int64_t now = clock_wall_ns();

	if (c->used_ns == 0 || now - c->used_ns < TOUCH_NS)
		return 0;
	c->used_ns = now;
	return db_run(c->db, err, "UPDATE build_stat SET used_ns=? WHERE dev=? AND ino=?", "iii",
		      now, (int64_t)c->dev, (int64_t)c->ino);
}

int stat_cache_save(struct stat_cache *c, struct error *err)
{
	autofree struct entry *all = NULL;
	size_t n = 0;
	int r;
	LOCKED(&c->lock);

	if (c->db == NULL)
		return 0;
	if (!c->dirty)
		return touch(c, err);
	all = xcalloc(c->n_used + 1, sizeof(*all));
	for (size_t i = 0; i < c->n_slots; i++) {
		if (c->slots[i].used && c->slots[i].seen)
			all[n++] = c->slots[i].e;
	}
	c->dirty = false;
	r = db_run(c->db, err,
		   "INSERT OR REPLACE INTO build_stat(dev, ino, entries, used_ns) "
		   "VALUES(?, ?, ?, ?)",
		   "iibi", (int64_t)c->dev, (int64_t)c->ino, (const void *)all, n * sizeof(*all),
		   clock_wall_ns());
	return r < 0 ? r : stat_cache_limit(c->db, BYTES_MAX, err);
}

void stat_cache_free(struct stat_cache *c)
{
	if (c == NULL)
		return;
	free(c->slots);
	free(c);
}
