/* store/check.c: see check.h. */
#include "store/check.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cancel.h"
#include "base/vec.h"
#include "store/images.h"
#include "store/lease.h"
#include "store/store.h"

struct check {
	struct store *store;
	bool repair;
	void (*fn)(void *arg, const char *problem, bool repaired);
	void *arg;
	const struct cancel *cancel;
	struct check_stats stats;
};

static void PRINTF(3, 4) report(struct check *c, bool repaired, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->stats.problems++;
	c->stats.repaired += repaired;
	if (c->fn)
		c->fn(c->arg, text, repaired);
}

static int check_blob(void *arg, const struct digest *d, uint64_t size, struct error *err)
{
	struct check *c = arg;
	struct error why;
	bool repaired = false;
	int r = cancel_check(c->cancel, err);

	if (r < 0)
		return r;
	c->stats.blobs++;
	c->stats.blob_bytes += size;
	r = content_verify(c->store->content, d, &why);
	/* Not found: gc took it since it was listed. */
	if (r == 0 || r == -ERR_NOT_FOUND)
		return 0;
	if (c->repair && r == -ERR_CORRUPT)
		repaired = content_remove(c->store->content, d, NULL) == 0;
	report(c, repaired, "%s", why.msg);
	return 0;
}

/* Texts of the first two columns of a query, collected first so that the
 * database is free while each is looked at. */
struct pair {
	char *a, *b;
};
typedef int each_fn(struct check *c, const char *a, const char *b, struct error *err);

static int each_row(struct check *c, const char *sql, each_fn *fn, struct error *err)
{
	VEC(struct pair) rows = { 0 };
	bool row = true;
	int r;

	{
		auto_(db_stmt) q = DB_STMT_INIT;

		r = db_prepare(c->store->db, sql, &q, err);
		while (r == 0 && row) {
			r = db_step(&q, &row, err);
			if (r == 0 && row)
				*vec_push(&rows) = (struct pair){ xstrdup(db_col_text(&q, 0)),
								  xstrdup(db_col_text(&q, 1)) };
		}
	}
	vec_for_each (p, &rows) {
		if (r == 0)
			r = cancel_check(c->cancel, err);
		if (r == 0)
			r = fn(c, p->a, p->b, err);
		free(p->a);
		free(p->b);
	}
	vec_release(&rows);
	return r;
}

static int check_layer(struct check *c, const char *diff_id, const char *number, struct error *err)
{
	autoclose int fd = FD_NONE;
	struct digest d;
	bool repaired = false;

	c->stats.layers++;
	if (digest_from_text(diff_id, &d, NULL) == 0 &&
	    snapshot_layer_open(c->store->snapshots, &d, &fd, NULL) == 0)
		return 0;
	if (c->repair) {
		int r =
		    db_run(c->store->db, err, "DELETE FROM layers WHERE diff_id=?", "t", diff_id);

		if (r < 0)
			return r;
		repaired = true;
	}
	report(c, repaired, "layer %s: its directory snapshots/%s/fs is missing", diff_id, number);
	return 0;
}

static bool blob_exists(struct check *c, const char *text)
{
	struct digest d;

	return digest_from_text(text, &d, NULL) == 0 &&
	       content_stat(c->store->content, &d, NULL, NULL) == 0;
}

static int check_blob_ref(struct check *c, const char *owner, const char *ref, struct error *err)
{
	bool repaired = false;

	/* A lease may name what is still to come. */
	if (strncmp(owner, "image:", 6) != 0 || blob_exists(c, ref))
		return 0;
	if (c->repair) {
		int r =
		    db_run(c->store->db, err, "DELETE FROM refs WHERE owner=? AND kind=1 AND ref=?",
			   "tt", owner, ref);

		if (r == 0)
			r = db_run(c->store->db, err,
				   "DELETE FROM manifests WHERE id=substr(?,7) AND digest=?", "tt",
				   owner, ref);
		if (r == 0)
			r = db_run(c->store->db, err, "DELETE FROM layer_blobs WHERE digest=?", "t",
				   ref);
		if (r < 0)
			return r;
		repaired = true;
	}
	report(c, repaired, "image %s: blob %s is missing", owner + 6, ref);
	return 0;
}

static int check_missing_layer(struct check *c, const char *what, const char *diff_id,
			       struct error *err)
{
	(void)err;
	report(c, false, "%s: layer %s is missing", what, diff_id);
	return 0;
}

/* Without its config or a layer nobody can run it: it goes, a new pull heals. */
static int check_image(struct check *c, const char *id, const char *missing, struct error *err)
{
	bool repaired = false;

	c->stats.images++;
	if (blob_exists(c, id) && strcmp(missing, "0") == 0)
		return 0;
	if (c->repair) {
		int r = images_delete(c->store, id, err);

		if (r < 0)
			return r;
		repaired = true;
	}
	report(c, repaired, "image %s: %s", id,
	       blob_exists(c, id) ? "a layer is missing" : "its config is missing");
	return 0;
}

static int check_dangling(struct check *c, const char *table, const char *name, struct error *err)
{
	bool repaired = false;
	int r = 0;

	if (c->repair) {
		r = strcmp(table, "tag") == 0
			? db_run(c->store->db, err, "DELETE FROM tags WHERE name=?", "t", name)
			: db_run(c->store->db, err, "DELETE FROM repo_digests WHERE name=?", "t",
				 name);
		repaired = r == 0;
	}
	if (r == 0)
		report(c, repaired, "%s %s: its image is missing", table, name);
	return r;
}

static int check_owner(struct check *c, const char *owner, const char *ref, struct error *err)
{
	bool repaired = false;

	if (c->repair) {
		int r = db_run(c->store->db, err, "DELETE FROM refs WHERE owner=? AND ref=?", "tt",
			       owner, ref);

		if (r < 0)
			return r;
		repaired = true;
	}
	report(c, repaired, "reference of %s to %s: its owner is missing", owner, ref);
	return 0;
}

static int check_snapshot(struct check *c, const char *key, const char *number, struct error *err)
{
	autoclose int fd = FD_NONE;

	(void)err;
	c->stats.snapshots++;
	if (snapshot_open_upper(c->store->snapshots, key, &fd, NULL) < 0)
		report(c, false, "snapshot %s: its directory snapshots/%s/fs is missing", key,
		       number);
	return 0;
}

int store_check(struct store *s, bool repair,
		void (*fn)(void *arg, const char *problem, bool repaired), void *arg,
		const struct cancel *cancel, struct check_stats *ret, struct error *err)
{
	static const struct {
		const char *sql;
		each_fn *fn;
	} steps[] = {
		{ "SELECT diff_id, number FROM layers", check_layer },
		{ "SELECT key, number FROM snapshots", check_snapshot },
		{ "SELECT 'snapshot '||key, diff_id FROM snapshot_layers s WHERE NOT EXISTS"
		  "(SELECT 1 FROM layers l WHERE l.diff_id=s.diff_id)",
		  check_missing_layer },
		{ "SELECT id, (SELECT count(*) FROM image_layers i WHERE i.id=images.id AND NOT "
		  "EXISTS(SELECT 1 FROM layers l WHERE l.diff_id=i.diff_id)) FROM images",
		  check_image },
		{ "SELECT owner, ref FROM refs WHERE kind=1", check_blob_ref },
		{ "SELECT 'tag', name FROM tags t WHERE NOT EXISTS"
		  "(SELECT 1 FROM images i WHERE i.id=t.id)",
		  check_dangling },
		{ "SELECT 'digest', name FROM repo_digests t WHERE NOT EXISTS"
		  "(SELECT 1 FROM images i WHERE i.id=t.id)",
		  check_dangling },
		{ "SELECT owner, ref FROM refs WHERE (owner LIKE 'image:%' AND substr(owner,7) NOT "
		  "IN (SELECT id FROM images)) OR (owner LIKE 'lease:%' AND substr(owner,7) NOT IN "
		  "(SELECT id FROM leases))",
		  check_owner },
	};
	struct check c = { .store = s, .repair = repair, .fn = fn, .arg = arg, .cancel = cancel };
	int r = content_list(s->content, check_blob, &c, err);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(steps); i++)
		r = each_row(&c, steps[i].sql, steps[i].fn, err);
	if (r == 0 && repair)
		r = snapshots_sweep(s->snapshots, err);
	if (r < 0)
		return error_wrap(err, r, "check store");
	if (ret)
		*ret = c.stats;
	return 0;
}
