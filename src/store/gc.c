/*
 * store/gc.c: see gc.h. The references stand in one table (refs), with an
 * index by what is referenced: whether a thing is reachable is one look-up, so
 * that there is no mark phase to race with. A removal looks again under the
 * database lock, and who wants to use a thing names it in that table first.
 */
#include "store/gc.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/fs_walk.h"
#include "base/vec.h"
#include "store/lease.h"
#include "store/store.h"

#define PARTIAL_MAX_AGE_NS (7LL * 24 * 3600 * NS_PER_SEC)

struct sweep {
	struct store *store;
	const struct gc_options *options;
	struct gc_stats stats;
	VEC(struct digest) dead_blobs, dead_layers;
};

static int is_referenced(struct db *db, const char *text, enum ref_kind kind, bool *ret,
			 struct error *err)
{
	int64_t n;
	int r = db_get_int(db, &n, err, "SELECT EXISTS(SELECT 1 FROM refs WHERE ref=? AND kind=?)",
			   "ti", text, (int64_t)kind);

	if (r == 0)
		*ret = n != 0;
	return r;
}

static int check_cancel(const struct sweep *s, struct error *err)
{
	return cancel_check(s->options ? s->options->cancel : NULL, err);
}

static int note_blob(void *arg, const struct digest *d, uint64_t size, struct error *err)
{
	struct sweep *s = arg;
	char text[DIGEST_TEXT_MAX];
	bool used = true;
	int r;

	(void)size;
	digest_format(d, text);
	r = is_referenced(s->store->db, text, REF_BLOB, &used, err);
	if (r == 0 && !used)
		*vec_push(&s->dead_blobs) = *d;
	return r;
}

static int remove_blob(struct sweep *s, const struct digest *d, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	char text[DIGEST_TEXT_MAX];
	uint64_t size = 0;
	bool used = true;
	int r = db_begin(s->store->db, DB_NORMAL, &tx, err);

	digest_format(d, text);
	if (r == 0)
		r = is_referenced(s->store->db, text, REF_BLOB, &used, err);
	if (r < 0 || used)
		return r;
	if (content_stat(s->store->content, d, &size, NULL) < 0)
		size = 0;
	r = db_run(s->store->db, err, "DELETE FROM layer_blobs WHERE digest=?", "t", text);
	if (r == 0)
		r = content_remove(s->store->content, d, err);
	if (r == 0)
		r = db_commit(&tx, err);
	if (r == 0) {
		s->stats.blobs++;
		s->stats.blob_bytes += size;
	}
	return r;
}

/* Until a layer is flushed its blob stands for it, also when only a container has it. */
static int flush_layer_of(struct sweep *s, const struct digest *blob, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	int64_t unsynced = 0;
	int r;

	digest_format(blob, text);
	r = db_get_int(s->store->db, &unsynced, err,
		       "SELECT EXISTS(SELECT 1 FROM layer_blobs JOIN layers USING(diff_id) "
		       "WHERE digest=? AND synced=0)",
		       "t", text);
	return r < 0 || unsynced == 0 ? r : snapshots_sync(s->store->snapshots, err);
}

static int sweep_blobs(struct sweep *s, struct error *err)
{
	int r = content_list(s->store->content, note_blob, s, err);

	vec_for_each (d, &s->dead_blobs) {
		if (r == 0)
			r = check_cancel(s, err);
		if (r == 0)
			r = flush_layer_of(s, d, err);
		if (r == 0)
			r = remove_blob(s, d, err);
	}
	return r;
}

#define LAYER_DEAD \
	"NOT EXISTS(SELECT 1 FROM refs WHERE ref=diff_id AND kind=2) AND " \
	"NOT EXISTS(SELECT 1 FROM snapshot_layers s WHERE s.diff_id=layers.diff_id)"

static int dead_layers(struct sweep *s, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	bool row = true;
	int r = db_prepare(s->store->db, "SELECT diff_id FROM layers WHERE " LAYER_DEAD, &q, err);

	while (r == 0 && row) {
		r = db_step(&q, &row, err);
		if (r == 0 && row)
			r = digest_from_text(db_col_text(&q, 0), vec_push(&s->dead_layers), err);
	}
	return r;
}

/* The row goes under the lock, the directory after. */
static int remove_layer(struct sweep *s, const struct digest *d, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	struct layer_info info;
	bool gone;
	int r;

	digest_format(d, text);
	db_lock(s->store->db);
	r = snapshot_layer_get(s->store->snapshots, d, &info, err);
	if (r == 0)
		r = db_run(s->store->db, err, "DELETE FROM layers WHERE diff_id=? AND " LAYER_DEAD,
			   "t", text);
	gone = r == 0 && db_changes(s->store->db) > 0;
	db_unlock(s->store->db);
	if (r == -ERR_NOT_FOUND || (r == 0 && !gone))
		return 0;
	if (r == 0)
		r = snapshots_remove_number(s->store->snapshots, info.number, err);
	if (r < 0)
		return r;
	s->stats.layers++;
	s->stats.layer_bytes += info.size;
	if (s->options && s->options->removed_layer)
		s->options->removed_layer(s->options->arg, d);
	return 0;
}

static int sweep_layers(struct sweep *s, struct error *err)
{
	int r = dead_layers(s, err);

	vec_for_each (d, &s->dead_layers) {
		if (r == 0)
			r = check_cancel(s, err);
		if (r == 0)
			r = remove_layer(s, d, err);
	}
	return r;
}

/* A partial download that nobody writes and nobody came back for. */
static int sweep_partial(int dirfd, const char *name, int64_t max_age_ns, struct error *err)
{
	autoclose int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "look at ingest/%s", name);
	if (clock_wall_ns() - (int64_t)st.st_mtim.tv_sec * NS_PER_SEC < max_age_ns ||
	    flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
		return error_sys(err, errno, "remove ingest/%s", name);
	return 0;
}

static int sweep_partials(struct sweep *s, struct error *err)
{
	int64_t max_age = s->options && s->options->partial_max_age_ns
			      ? s->options->partial_max_age_ns
			      : PARTIAL_MAX_AGE_NS;
	auto_(fs_names) names = { 0 };
	autoclose int fd = FD_NONE;
	int r;

	r = fs_open_beneath(s->store->dirfd, "content/ingest", O_RDONLY | O_DIRECTORY, 0, &fd, err);
	if (r == 0)
		r = fs_read_names(fd, &names, err);
	for (size_t i = 0; r == 0 && i < names.len; i++)
		r = sweep_partial(fd, names.at[i], max_age, err);
	return r;
}

int gc_run(struct store *s, const struct gc_options *options, struct gc_stats *ret,
	   struct error *err)
{
	struct sweep sweep = { .store = s, .options = options };
	int r = sweep_layers(&sweep, err);

	if (r == 0)
		r = sweep_blobs(&sweep, err);
	if (r == 0)
		r = sweep_partials(&sweep, err);
	vec_release(&sweep.dead_blobs);
	vec_release(&sweep.dead_layers);
	if (r < 0)
		return error_wrap(err, r, "gc");
	if (ret)
		*ret = sweep.stats;
	return 0;
}
