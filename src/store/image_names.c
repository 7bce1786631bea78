/* store/image_names.c: tags, repo digests, manifests and layer blobs. See images.h. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/vec.h"
#include "store/content.h"
#include "store/images.h"
#include "store/store.h"

int tags_get(struct store *s, const char *name, char **ret_id, char **ret_manifest,
	     struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	bool row = false;
	int r = db_prepare(s->db, "SELECT id,manifest FROM tags WHERE name=?", &q, err);

	if (r < 0)
		return r;
	db_bind_text(&q, 1, name);
	r = db_step(&q, &row, err);
	if (r < 0)
		return r;
	if (!row)
		return error_set(err, ERR_NOT_FOUND, "tag '%s' not found", name);
	*ret_id = xstrdup(db_col_text(&q, 0));
	if (ret_manifest)
		*ret_manifest = db_col_is_null(&q, 1) ? NULL : xstrdup(db_col_text(&q, 1));
	return 0;
}

/* The last statement found the image: it was not deleted since its id was learnt. */
static int check_changed(struct store *s, const char *id, struct error *err)
{
	return db_changes(s->db) > 0 ? 0 : error_set(err, ERR_NOT_FOUND, "No such image: %s", id);
}

int tags_set(struct store *s, const char *name, const char *id, const char *manifest,
	     char **ret_old, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	autofree char *old = NULL;
	int r = db_begin(s->db, DB_FULL, &tx, err);

	if (r < 0)
		return r;
	r = tags_get(s, name, &old, NULL, err);
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	/* Tagging the same image again keeps the manifest it is known by. */
	r = db_run(s->db, err,
		   "INSERT INTO tags VALUES(?1,?2,?3) ON CONFLICT(name) DO UPDATE SET "
		   "manifest=CASE WHEN ?3 IS NULL AND id=?2 THEN manifest ELSE ?3 END, id=?2",
		   "ttt", name, id, manifest);
	if (r == 0)
		r = db_run(s->db, err, "UPDATE images SET tagged=? WHERE id=?", "it",
			   clock_wall_ns(), id);
	if (r == 0)
		r = check_changed(s, id, err);
	if (r == 0)
		r = db_commit(&tx, err);
	if (r < 0)
		return r;
	if (ret_old)
		*ret_old = old && strcmp(old, id) != 0 ? steal_ptr(old) : NULL;
	return 0;
}

int tags_remove(struct store *s, const char *name, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	int r = db_begin(s->db, DB_FULL, &tx, err);

	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM tags WHERE name=?", "t", name);
	return r < 0 ? r : db_commit(&tx, err);
}

struct pair {
	char *name, *id;
};

static int each(struct store *s, const char *sql, const char *id,
		int (*fn)(void *arg, const char *name, const char *id, struct error *err),
		void *arg, struct error *err)
{
	VEC(struct pair) pairs = { 0 };
	bool row = true;
	int r;

	{
		auto_(db_stmt) q = DB_STMT_INIT;

		r = db_prepare(s->db, sql, &q, err);
		if (r == 0 && id)
			db_bind_text(&q, 1, id);
		while (r == 0 && row) {
			r = db_step(&q, &row, err);
			if (r == 0 && row)
				*vec_push(&pairs) = (struct pair){ xstrdup(db_col_text(&q, 0)),
								   xstrdup(db_col_text(&q, 1)) };
		}
	}
	vec_for_each (p, &pairs) {
		if (r == 0)
			r = fn(arg, p->name, p->id, err);
		free(p->name);
		free(p->id);
	}
	vec_release(&pairs);
	return r;
}

int tags_each(struct store *s, const char *id,
	      int (*fn)(void *arg, const char *name, const char *id, struct error *err), void *arg,
	      struct error *err)
{
	return each(s,
		    id ? "SELECT name,id FROM tags WHERE id=? ORDER BY name"
		       : "SELECT name,id FROM tags ORDER BY name",
		    id, fn, arg, err);
}

int repo_digests_set(struct store *s, const char *name, const char *id, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	int r = db_begin(s->db, DB_FULL, &tx, err);

	if (r == 0)
		r = db_run(s->db, err,
			   "INSERT OR REPLACE INTO repo_digests SELECT ?1,?2 WHERE EXISTS"
			   "(SELECT 1 FROM images WHERE id=?2)",
			   "tt", name, id);
	if (r == 0)
		r = check_changed(s, id, err);
	return r < 0 ? r : db_commit(&tx, err);
}

int repo_digests_get(struct store *s, const char *name, char **ret_id, struct error *err)
{
	int r =
	    db_get_text(s->db, ret_id, err, "SELECT id FROM repo_digests WHERE name=?", "t", name);

	return r == -ERR_NOT_FOUND ? error_set(err, ERR_NOT_FOUND, "No such image: %s", name) : r;
}

int repo_digests_remove(struct store *s, const char *name, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	int r = db_begin(s->db, DB_FULL, &tx, err);

	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM repo_digests WHERE name=?", "t", name);
	return r < 0 ? r : db_commit(&tx, err);
}

int repo_digests_each(struct store *s, const char *id,
		      int (*fn)(void *arg, const char *name, const char *id, struct error *err),
		      void *arg, struct error *err)
{
	return each(s,
		    id ? "SELECT name,id FROM repo_digests WHERE id=? ORDER BY name"
		       : "SELECT name,id FROM repo_digests ORDER BY name",
		    id, fn, arg, err);
}

void manifest_rows_free(struct manifest_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(rows[i].media_type);
	free(rows);
}

int manifests_of(struct store *s, const char *id, struct manifest_row **ret, size_t *ret_n,
		 struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	VEC(struct manifest_row) rows = { 0 };
	struct manifest_row *m;
	bool row = true;
	int r = db_prepare(
	    s->db, "SELECT digest,media_type FROM manifests WHERE id=? ORDER BY serial", &q, err);

	if (r < 0)
		return r;
	db_bind_text(&q, 1, id);
	while (r == 0 && row) {
		r = db_step(&q, &row, err);
		if (r < 0 || !row)
			break;
		m = vec_push(&rows);
		m->media_type = xstrdup(db_col_text(&q, 1));
		r = digest_from_text(db_col_text(&q, 0), &m->digest, err);
	}
	if (r < 0) {
		manifest_rows_free(rows.at, rows.len);
		return r;
	}
	*ret = rows.at;
	*ret_n = rows.len;
	return 0;
}

int layer_blobs_find(struct store *s, const struct digest *diff_id, struct digest *ret_digest,
		     uint64_t *ret_size, char **ret_media_type, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	char text[DIGEST_TEXT_MAX];
	struct digest d;
	bool row = true;
	int r = db_prepare(s->db, "SELECT digest,size,media_type FROM layer_blobs WHERE diff_id=?",
			   &q, err);

	if (r < 0)
		return r;
	digest_format(diff_id, text);
	db_bind_text(&q, 1, text);
	for (;;) {
		r = db_step(&q, &row, err);
		if (r < 0)
			return r;
		if (!row)
			return error_set(err, ERR_NOT_FOUND, "no blob of layer %s", text);
		r = digest_from_text(db_col_text(&q, 0), &d, err);
		if (r < 0)
			return r;
		/* A power cut may leave a row whose blob gc had removed. */
		if (content_stat(s->content, &d, NULL, NULL) == 0)
			break;
	}
	*ret_digest = d;
	*ret_size = (uint64_t)db_col_int(&q, 1);
	*ret_media_type = xstrdup(db_col_text(&q, 2));
	return 0;
}

int layer_blobs_diff_id(struct store *s, const struct digest *blob, struct digest *ret_diff_id,
			struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	autofree char *diff_id = NULL;
	int r;

	digest_format(blob, text);
	r = db_get_text(s->db, &diff_id, err, "SELECT diff_id FROM layer_blobs WHERE digest=?", "t",
			text);
	return r < 0 ? r : digest_from_text(diff_id, ret_diff_id, err);
}
