/* store/images.c: rows of images. See images.h; names and manifests: image_names.c. */
#include "store/images.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/vec.h"
#include "store/content.h"
#include "store/lease.h"
#include "store/schema.h"
#include "store/store.h"

void image_row_release(struct image_row *r)
{
	free(r->id);
	free(r->parent);
	free(r->os);
	free(r->arch);
	free(r->variant);
	free(r->labels);
	*r = (struct image_row){ 0 };
}

static void owner_of(const char *id, char out[static REF_OWNER_MAX])
{
	snprintf(out, REF_OWNER_MAX, "image:%s", id);
}

static int add_ref(struct db *db, const char *owner, enum ref_kind kind, const struct digest *d,
		   struct error *err)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	return db_run(db, err, "INSERT OR IGNORE INTO refs VALUES(?,?,?)", "tit", owner,
		      (int64_t)kind, text);
}

static int write_blob_row(struct db *db, const struct layer_blob *b, struct error *err)
{
	char blob[DIGEST_TEXT_MAX], diff_id[DIGEST_TEXT_MAX];

	digest_format(&b->digest, blob);
	digest_format(&b->diff_id, diff_id);
	return db_run(db, err, "INSERT OR REPLACE INTO layer_blobs VALUES(?,?,?,?)", "ttti", blob,
		      diff_id, b->media_type, (int64_t)b->size);
}

static int put_blob_row(struct db *db, const char *owner, const struct layer_blob *b,
			struct error *err)
{
	int r = write_blob_row(db, b, err);

	return r < 0 ? r : add_ref(db, owner, REF_BLOB, &b->digest, err);
}

static int put_layers(struct store *s, const char *owner, const char *id,
		      const struct image_put *put, int64_t *ret_size, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	struct layer_info info;
	int64_t size = 0;
	int r = db_run(s->db, err, "DELETE FROM image_layers WHERE id=?", "t", id);

	for (size_t i = 0; r == 0 && i < put->n_layers; i++) {
		digest_format(&put->diff_ids[i], text);
		r = snapshot_layer_get(s->snapshots, &put->diff_ids[i], &info, err);
		if (r == 0)
			r = add_ref(s->db, owner, REF_LAYER, &put->diff_ids[i], err);
		if (r == 0)
			r = db_run(s->db, err, "INSERT INTO image_layers VALUES(?,?,?)", "tit", id,
				   (int64_t)i, text);
		size += (int64_t)info.size;
	}
	if (r == 0)
		*ret_size = size;
	return r;
}

static int put_manifest(struct store *s, const char *owner, const char *id,
			const struct image_put *put, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	int r = 0;

	if (put->manifest) {
		digest_format(put->manifest, text);
		r = add_ref(s->db, owner, REF_BLOB, put->manifest, err);
		if (r == 0)
			r = db_run(s->db, err,
				   "INSERT OR IGNORE INTO manifests(digest,id,media_type) "
				   "VALUES(?,?,?)",
				   "ttt", text, id, put->manifest_media_type);
	}
	if (r == 0 && put->index)
		r = add_ref(s->db, owner, REF_BLOB, put->index, err);
	for (size_t i = 0; r == 0 && i < put->n_blobs; i++)
		r = put_blob_row(s->db, owner, &put->blobs[i], err);
	return r;
}

static const char *text_or_empty(const char *s)
{
	return s ? s : "";
}

static int put_rows(struct store *s, const char *id, const struct image_put *put, struct error *err)
{
	char owner[REF_OWNER_MAX];
	int64_t size = 0;
	int r;

	owner_of(id, owner);
	r = put_layers(s, owner, id, put, &size, err);
	if (r == 0)
		r = add_ref(s->db, owner, REF_BLOB, &put->id, err);
	if (r == 0)
		r = put_manifest(s, owner, id, put, err);
	if (r < 0)
		return r;
	return db_run(s->db, err,
		      "INSERT INTO images VALUES(?1,?2,?3,?4,?5,?6,?7,0,?8,?9) ON CONFLICT(id) DO "
		      "UPDATE SET parent=CASE WHEN ?2='' THEN parent ELSE ?2 END, size=?4",
		      "ttiittt"
		      "ti",
		      id, text_or_empty(put->parent), put->created_ns, size, text_or_empty(put->os),
		      text_or_empty(put->arch), text_or_empty(put->variant), put->labels,
		      clock_wall_ns());
}

static bool is_synced(struct store *s, const struct digest *diff_id)
{
	char text[DIGEST_TEXT_MAX];
	int64_t synced = 0;

	digest_format(diff_id, text);
	return db_get_int(s->db, &synced, NULL, "SELECT synced FROM layers WHERE diff_id=?", "t",
			  text) == 0 &&
	       synced != 0;
}

static bool has_blob(struct store *s, const struct image_put *put, const struct digest *diff_id)
{
	for (size_t i = 0; i < put->n_blobs; i++)
		if (digest_same(&put->blobs[i].diff_id, diff_id) &&
		    content_stat(s->content, &put->blobs[i].digest, NULL, NULL) == 0)
			return true;
	return false;
}

/* Each layer can be made again from what this image keeps: its files need not be on disk yet. */
static bool may_sync_later(struct store *s, const struct image_put *put)
{
	if (!s->sync_later)
		return false;
	for (size_t i = 0; i < put->n_layers; i++)
		if (!is_synced(s, &put->diff_ids[i]) && !has_blob(s, put, &put->diff_ids[i]))
			return false;
	return true;
}

static int put_names(struct store *s, const char *id, const struct image_put *put,
		     const char *const *tags, size_t n_tags, const char *repo_digest, char **old,
		     struct error *err)
{
	char manifest[DIGEST_TEXT_MAX];
	int r = 0;

	if (put->manifest)
		digest_format(put->index ? put->index : put->manifest, manifest);
	for (size_t i = 0; r == 0 && i < n_tags; i++)
		r = tags_set(s, tags[i], id, put->manifest ? manifest : NULL, &old[i], err);
	if (r == 0 && repo_digest)
		r = repo_digests_set(s, repo_digest, id, err);
	return r;
}

static void free_texts(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

int images_put(struct store *s, const struct image_put *put, const char *const *tags, size_t n_tags,
	       const char *repo_digest, char **ret_old, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	char id[DIGEST_TEXT_MAX];
	char **old;
	bool later = may_sync_later(s, put);
	int r = later ? 0 : snapshots_sync(s->snapshots, err);

	if (r == 0)
		r = db_begin(s->db, DB_FULL, &tx, err);
	if (r < 0)
		return r;
	old = xcalloc(n_tags + 1, sizeof(*old));
	digest_format(&put->id, id);
	r = put_rows(s, id, put, err);
	if (r == 0)
		r = put_names(s, id, put, tags, n_tags, repo_digest, old, err);
	if (r == 0)
		r = db_commit(&tx, err);
	for (size_t i = 0; r == 0 && ret_old && i < n_tags; i++)
		ret_old[i] = steal_ptr(old[i]);
	free_texts(old, n_tags);
	if (r == 0 && later)
		store_sync_later(s);
	return r;
}

#define COLUMNS "id,parent,created,size,os,arch,variant,tagged,labels,pulled"

static char *copy_text(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static void read_row(const struct db_stmt *q, struct image_row *ret)
{
	*ret = (struct image_row){
		.id = copy_text(db_col_text(q, 0)),
		.parent = copy_text(db_col_text(q, 1)),
		.created_ns = db_col_int(q, 2),
		.size = db_col_int(q, 3),
		.os = copy_text(db_col_text(q, 4)),
		.arch = copy_text(db_col_text(q, 5)),
		.variant = copy_text(db_col_text(q, 6)),
		.tagged_ns = db_col_int(q, 7),
		.labels = copy_text(db_col_text(q, 8)),
		.pulled_ns = db_col_int(q, 9),
	};
}

int images_get(struct store *s, const char *id, struct image_row *ret, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	bool row = false;
	int r = db_prepare(s->db, "SELECT " COLUMNS " FROM images WHERE id=?", &q, err);

	if (r < 0)
		return r;
	db_bind_text(&q, 1, id);
	r = db_step(&q, &row, err);
	if (r < 0)
		return r;
	if (!row)
		return error_set(err, ERR_NOT_FOUND, "No such image: %s", id);
	read_row(&q, ret);
	return 0;
}

int images_by_prefix(struct store *s, const char *hex, char **out, size_t max, size_t *ret_n,
		     struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	char from[96], to[96];
	bool row = true;
	size_t n = 0;
	int r = db_prepare(s->db, "SELECT id FROM images WHERE id>=? AND id<? ORDER BY id LIMIT ?",
			   &q, err);

	if (r < 0)
		return r;
	snprintf(from, sizeof(from), "sha256:%.64s", hex);
	snprintf(to, sizeof(to), "sha256:%.64s~", hex);
	db_bind_text(&q, 1, from);
	db_bind_text(&q, 2, to);
	db_bind_int(&q, 3, (int64_t)max);
	while (r == 0 && row && n < max) {
		r = db_step(&q, &row, err);
		if (r == 0 && row)
			out[n++] = xstrdup(db_col_text(&q, 0));
	}
	if (r < 0) {
		while (n > 0)
			free(out[--n]);
		return r;
	}
	*ret_n = n;
	return 0;
}

int images_layers(struct store *s, const char *id, struct digest **ret, size_t *ret_n,
		  struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	int r =
	    db_prepare(s->db, "SELECT diff_id FROM image_layers WHERE id=? ORDER BY pos", &q, err);

	if (r < 0)
		return r;
	db_bind_text(&q, 1, id);
	return db_read_digests(&q, ret, ret_n, err);
}

static int check_untagged(struct store *s, const char *id, struct error *err)
{
	int64_t n;
	int r = db_get_int(s->db, &n, err, "SELECT count(*) FROM tags WHERE id=?", "t", id);

	return r == 0 && n > 0 ? error_set(err, ERR_CONFLICT, "image %s has a tag", id) : r;
}

static int delete_image(struct store *s, const char *id, bool tagged_too, struct error *err)
{
	static const char *const clean[] = {
		"DELETE FROM image_layers WHERE id=?",        "DELETE FROM tags WHERE id=?",
		"DELETE FROM repo_digests WHERE id=?",        "DELETE FROM manifests WHERE id=?",
		"UPDATE images SET parent='' WHERE parent=?", "DELETE FROM images WHERE id=?",
	};
	auto_(db_tx) tx = DB_TX_INIT;
	char owner[REF_OWNER_MAX];
	int r = db_begin(s->db, DB_FULL, &tx, err);

	owner_of(id, owner);
	if (r == 0 && !tagged_too)
		r = check_untagged(s, id, err);
	/* A lease on the image goes on with what the image kept. */
	if (r == 0)
		r = db_run(s->db, err,
			   "INSERT OR IGNORE INTO refs SELECT l.owner, i.kind, i.ref FROM refs i, "
			   "refs l WHERE i.owner=?1 AND l.ref=?2 AND l.kind=3",
			   "tt", owner, id);
	if (r == 0)
		r = db_run(s->db, err, "DELETE FROM refs WHERE owner=?", "t", owner);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(clean); i++)
		r = db_run(s->db, err, clean[i], "t", id);
	return r < 0 ? r : db_commit(&tx, err);
}

int images_delete(struct store *s, const char *id, struct error *err)
{
	return delete_image(s, id, true, err);
}

int images_delete_untagged(struct store *s, const char *id, struct error *err)
{
	return delete_image(s, id, false, err);
}

int images_each(struct store *s,
		int (*fn)(void *arg, const struct image_row *row, struct error *err), void *arg,
		struct error *err)
{
	VEC(struct image_row) rows = { 0 };
	bool row = true;
	int r;

	/* Rows first, calls after: fn may take its time and change the tables. */
	{
		auto_(db_stmt) q = DB_STMT_INIT;

		r = db_prepare(s->db, "SELECT " COLUMNS " FROM images ORDER BY created DESC, id",
			       &q, err);
		while (r == 0 && row) {
			r = db_step(&q, &row, err);
			if (r == 0 && row)
				read_row(&q, vec_push(&rows));
		}
	}
	vec_for_each (i, &rows) {
		if (r == 0)
			r = fn(arg, i, err);
		image_row_release(i);
	}
	vec_release(&rows);
	return r;
}

int images_count_children(struct store *s, const char *id, int64_t *ret, struct error *err)
{
	return db_get_int(s->db, ret, err, "SELECT count(*) FROM images WHERE parent=?", "t", id);
}

/* What is recorded for an image that was deleted meanwhile would never be found again, and kept. */
static int check_here(struct store *s, const char *id, struct error *err)
{
	struct image_row row = { 0 };
	int r = images_get(s, id, &row, err);

	image_row_release(&row);
	return r;
}

int layer_blobs_add(struct store *s, const char *id, const struct layer_blob *blob,
		    struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	char owner[REF_OWNER_MAX];
	int r = db_begin(s->db, DB_FULL, &tx, err);

	owner_of(id, owner);
	if (r == 0)
		r = check_here(s, id, err);
	if (r == 0)
		r = put_blob_row(s->db, owner, blob, err);
	return r < 0 ? r : db_commit(&tx, err);
}

int layer_blobs_lease(struct store *s, const char *lease_id, const struct layer_blob *blob,
		      struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	int r = db_begin(s->db, DB_NORMAL, &tx, err);

	if (r == 0)
		r = write_blob_row(s->db, blob, err);
	if (r == 0)
		r = lease_add_digest(s->db, lease_id, REF_BLOB, &blob->digest, err);
	return r < 0 ? r : db_commit(&tx, err);
}

int manifests_add(struct store *s, const char *id, const void *bytes, size_t len,
		  const char *media_type, struct digest *ret, struct error *err)
{
	auto_(lease) lease = LEASE_INIT;
	auto_(db_tx) tx = DB_TX_INIT;
	char owner[REF_OWNER_MAX], text[DIGEST_TEXT_MAX];
	struct digest d = { .algo = DIGEST_SHA256 };
	int r = lease_open(s->db, "manifest", &lease, err);

	owner_of(id, owner);
	hash_sha256(bytes, len, d.bytes);
	digest_format(&d, text);
	/* Named before it is added: gc never sees it unreferenced. */
	if (r == 0)
		r = lease_add_digest(s->db, lease.id, REF_BLOB, &d, err);
	if (r == 0)
		r = content_add(s->content, bytes, len, &d, err);
	if (r == 0)
		r = db_begin(s->db, DB_FULL, &tx, err);
	if (r == 0)
		r = check_here(s, id, err);
	if (r == 0)
		r = add_ref(s->db, owner, REF_BLOB, &d, err);
	if (r == 0)
		r = db_run(s->db, err,
			   "INSERT OR IGNORE INTO manifests(digest,id,media_type) VALUES(?,?,?)",
			   "ttt", text, id, media_type);
	if (r == 0)
		r = db_commit(&tx, err);
	if (r == 0)
		*ret = d;
	return r;
}
