/*
 * store/db.c: the wrapper around SQLite. See db.h.
 *
 * One connection, one recursive mutex. WAL: readers of other processes
 * (backups, sqlite3 the tool) never block the engine.
 */
#include "store/db.h"

#include <assert.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/map.h"
#include "base/vec.h"
#include "store/content.h"

#define FREE_PAGES_MIN 64 /* 256 KiB: less is not worth writing a database anew */

struct db {
	sqlite3 *handle;
	pthread_mutex_t mutex;
	struct map statements; /* text -> struct kept */
	unsigned depth;        /* of open transactions */
};

struct kept {
	sqlite3_stmt *stmt;
	bool busy;
};

static void kept_free(void *p)
{
	struct kept *k = p;

	sqlite3_finalize(k->stmt);
	free(k);
}

static int db_error(struct db *db, int rc, const char *what, struct error *err)
{
	const char *text = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc);

	switch (rc & 0xff) {
	case SQLITE_CONSTRAINT:
		return error_set(err, ERR_CONFLICT, "database: %s: %s", what, text);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return error_set(err, ERR_CORRUPT, "database: %s: %s", what, text);
	case SQLITE_FULL:
		return error_sys(err, ENOSPC, "database: %s", what);
	default:
		return error_sys(err, EIO, "database: %s: %s", what, text);
	}
}

static int exec(struct db *db, const char *sql, struct error *err)
{
	int rc;

	if (fault_hit("db"))
		return error_sys(err, errno, "database: %.40s", sql);
	rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return db_error(db, rc, sql, err);
	return 0;
}

int db_open(const char *path, struct db **ret, struct error *err)
{
	static const char *const setup[] = { "PRAGMA journal_mode=WAL",
					     "PRAGMA synchronous=NORMAL",
					     "PRAGMA temp_store=MEMORY",
					     "PRAGMA cache_size=-4096",
					     "PRAGMA wal_autocheckpoint=1000",
					     ("CREATE TABLE IF NOT EXISTS schema_versions("
					      "room TEXT PRIMARY KEY, version INTEGER NOT NULL)") };
	struct db *db = new0(struct db);
	pthread_mutexattr_t attr;
	int r, rc;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&db->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	db->statements.free_value = kept_free;
	rc =
	    sqlite3_open_v2(path, &db->handle,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	r = rc == SQLITE_OK ? 0 : db_error(db, rc, path, err);
	if (r == 0)
		sqlite3_busy_timeout(db->handle, 10000);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(setup); i++)
		r = exec(db, setup[i], err);
	if (r < 0) {
		db_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

void db_close(struct db *db)
{
	if (!db)
		return;
	map_release(&db->statements);
	sqlite3_close(db->handle);
	pthread_mutex_destroy(&db->mutex);
	free(db);
}

void db_lock(struct db *db)
{
	int r = pthread_mutex_lock(&db->mutex);

	assert(r == 0);
	(void)r;
}

void db_unlock(struct db *db)
{
	pthread_mutex_unlock(&db->mutex);
}

static int migrate_step(struct db *db, const char *room, size_t version, const char *sql,
			struct error *err)
{
	int r = exec(db, sql, err);

	if (r < 0)
		return error_wrap(err, r, "schema of %s, step %zu", room, version);
	return db_run(db, err, "INSERT OR REPLACE INTO schema_versions VALUES(?,?)", "ti", room,
		      (int64_t)version);
}

int db_migrate(struct db *db, const char *room, const char *const *steps, size_t n_steps,
	       struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	int64_t version = 0;
	int r = db_begin(db, DB_FULL, &tx, err);

	if (r < 0)
		return r;
	r = db_get_int(db, &version, NULL, "SELECT version FROM schema_versions WHERE room=?", "t",
		       room);
	if (r < 0 && r != -ERR_NOT_FOUND)
		return error_set(err, (enum error_kind) - r, "database: schema version of %s",
				 room);
	if (version > (int64_t)n_steps)
		return error_set(
		    err, ERR_CONFLICT,
		    "the %s tables have version %lld, this proa knows %zu: it is older "
		    "than the one that wrote them",
		    room, (long long)version, n_steps);
	for (size_t i = (size_t)version; i < n_steps; i++) {
		r = migrate_step(db, room, i + 1, steps[i], err);
		if (r < 0)
			return r;
	}
	return db_commit(&tx, err);
}

/* Deleted rows leave their pages to later ones. */
static bool is_half_empty(struct db *db)
{
	int64_t n_free = 0, n = 0;

	return db_get_int(db, &n_free, NULL, "PRAGMA freelist_count", "") == 0 &&
	       db_get_int(db, &n, NULL, "PRAGMA page_count", "") == 0 && n_free >= FREE_PAGES_MIN &&
	       n_free > n / 2;
}

int db_trim(struct db *db, struct error *err)
{
	int r = 0;

	db_lock(db);
	/* It writes what is left anew: on a full disk that may not be possible. */
	if (db->depth == 0 && is_half_empty(db))
		(void)!exec(db, "VACUUM", NULL);
	if (db->depth == 0)
		r = exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", err);
	db_unlock(db);
	return r;
}

int db_begin(struct db *db, enum db_durability durability, struct db_tx *ret, struct error *err)
{
	char sql[64];
	int r = 0;

	db_lock(db);
	if (db->depth == 0) {
		r = exec(db,
			 durability == DB_FULL ? "PRAGMA synchronous=FULL"
					       : "PRAGMA synchronous=NORMAL",
			 err);
		if (r == 0)
			r = exec(db, "BEGIN IMMEDIATE", err);
	} else {
		snprintf(sql, sizeof(sql), "SAVEPOINT s%u", db->depth);
		r = exec(db, sql, err);
	}
	if (r < 0) {
		db_unlock(db);
		return r;
	}
	*ret = (struct db_tx){ .db = db, .depth = ++db->depth };
	return 0;
}

static void end(struct db_tx *tx)
{
	struct db *db = tx->db;

	assert(tx->depth == db->depth);
	db->depth--;
	tx->db = NULL;
	db_unlock(db);
}

int db_commit(struct db_tx *tx, struct error *err)
{
	char sql[64] = "COMMIT";
	int r;

	if (tx->depth > 1)
		snprintf(sql, sizeof(sql), "RELEASE s%u", tx->depth - 1);
	r = exec(tx->db, sql, err);
	if (r < 0) {
		db_rollback(tx);
		return r;
	}
	end(tx);
	return 0;
}

void db_rollback(struct db_tx *tx)
{
	char sql[64] = "ROLLBACK";

	if (!tx->db)
		return;
	if (tx->depth > 1)
		snprintf(sql, sizeof(sql), "ROLLBACK TO s%u; RELEASE s%u", tx->depth - 1,
			 tx->depth - 1);
	/* SQLite may have rolled back by itself (full disk): then this has nothing to do. */
	sqlite3_exec(tx->db->handle, sql, NULL, NULL, NULL);
	end(tx);
}

int db_prepare(struct db *db, const char *sql, struct db_stmt *ret, struct error *err)
{
	sqlite3_stmt *stmt;
	struct kept *k;
	int rc;

	if (fault_hit("db"))
		return error_sys(err, errno, "database: %.40s", sql);
	db_lock(db);
	k = map_get(&db->statements, sql);
	if (k && !k->busy) {
		k->busy = true;
		*ret = (struct db_stmt){ .db = db, .stmt = k->stmt, .kept = k };
		return 0;
	}
	rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
	if (rc != SQLITE_OK) {
		int r = db_error(db, rc, sql, err);

		db_unlock(db);
		return r;
	}
	*ret = (struct db_stmt){ .db = db, .stmt = stmt };
	/* A second use of the same text at once is not kept; nor are texts that
	 * somebody builds at run time in masses. */
	if (!k && db->statements.len < 200) {
		k = new0(struct kept);
		*k = (struct kept){ .stmt = stmt, .busy = true };
		map_set(&db->statements, sql, k);
		ret->kept = k;
	}
	return 0;
}

void db_bind_text(struct db_stmt *s, int i, const char *text)
{
	if (text)
		sqlite3_bind_text(s->stmt, i, text, -1, SQLITE_TRANSIENT);
	else
		sqlite3_bind_null(s->stmt, i);
}

void db_bind_int(struct db_stmt *s, int i, int64_t v)
{
	sqlite3_bind_int64(s->stmt, i, v);
}

void db_bind_blob(struct db_stmt *s, int i, const void *bytes, size_t len)
{
	sqlite3_bind_blob64(s->stmt, i, bytes, len, SQLITE_TRANSIENT);
}

int db_step(struct db_stmt *s, bool *ret_row, struct error *err)
{
	int rc = sqlite3_step(s->stmt);

	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return db_error(s->db, rc, sqlite3_sql(s->stmt), err);
	if (ret_row)
		*ret_row = rc == SQLITE_ROW;
	return 0;
}

const char *db_col_text(const struct db_stmt *s, int i)
{
	return (const char *)sqlite3_column_text(s->stmt, i);
}

int64_t db_col_int(const struct db_stmt *s, int i)
{
	return sqlite3_column_int64(s->stmt, i);
}

const void *db_col_blob(const struct db_stmt *s, int i, size_t *ret_len)
{
	const void *bytes = sqlite3_column_blob(s->stmt, i);

	*ret_len = (size_t)sqlite3_column_bytes(s->stmt, i);
	return bytes;
}

bool db_col_is_null(const struct db_stmt *s, int i)
{
	return sqlite3_column_type(s->stmt, i) == SQLITE_NULL;
}

void db_finish(struct db_stmt *s)
{
	struct db *db = s->db;
	struct kept *k = s->kept;

	if (!db)
		return;
	if (k) {
		sqlite3_reset(s->stmt);
		sqlite3_clear_bindings(s->stmt);
		k->busy = false;
	} else {
		sqlite3_finalize(s->stmt);
	}
	*s = (struct db_stmt)DB_STMT_INIT;
	db_unlock(db);
}

static void bind_all(struct db_stmt *s, const char *types, va_list ap)
{
	for (int i = 1; *types; types++, i++) {
		switch (*types) {
		case 't':
			db_bind_text(s, i, va_arg(ap, const char *));
			break;
		case 'i':
			db_bind_int(s, i, va_arg(ap, int64_t));
			break;
		case 'b': {
			const void *bytes = va_arg(ap, const void *);

			db_bind_blob(s, i, bytes, va_arg(ap, size_t));
			break;
		}
		default:
			assert(false && "letter of types");
		}
	}
}

int db_run(struct db *db, struct error *err, const char *sql, const char *types, ...)
{
	auto_(db_stmt) s = DB_STMT_INIT;
	bool row = true;
	va_list ap;
	int r = db_prepare(db, sql, &s, err);

	if (r < 0)
		return r;
	va_start(ap, types);
	bind_all(&s, types, ap);
	va_end(ap);
	while (row) {
		r = db_step(&s, &row, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int first_row(struct db_stmt *s, const char *types, va_list ap, struct error *err)
{
	bool row = false;
	int r;

	bind_all(s, types, ap);
	r = db_step(s, &row, err);
	if (r < 0)
		return r;
	if (!row)
		return error_set(err, ERR_NOT_FOUND, "no such row");
	return 0;
}

int db_get_int(struct db *db, int64_t *ret, struct error *err, const char *sql, const char *types,
	       ...)
{
	auto_(db_stmt) s = DB_STMT_INIT;
	va_list ap;
	int r = db_prepare(db, sql, &s, err);

	if (r < 0)
		return r;
	va_start(ap, types);
	r = first_row(&s, types, ap, err);
	va_end(ap);
	if (r < 0)
		return r;
	*ret = db_col_int(&s, 0);
	return 0;
}

int db_get_text(struct db *db, char **ret, struct error *err, const char *sql, const char *types,
		...)
{
	auto_(db_stmt) s = DB_STMT_INIT;
	const char *text;
	va_list ap;
	int r = db_prepare(db, sql, &s, err);

	if (r < 0)
		return r;
	va_start(ap, types);
	r = first_row(&s, types, ap, err);
	va_end(ap);
	if (r < 0)
		return r;
	text = db_col_text(&s, 0);
	*ret = text ? xstrdup(text) : NULL;
	return 0;
}

int db_read_digests(struct db_stmt *s, struct digest **ret, size_t *ret_n, struct error *err)
{
	VEC(struct digest) found = { 0 };
	bool row = true;
	int r = 0;

	while (r == 0 && row) {
		r = db_step(s, &row, err);
		if (r == 0 && row)
			r = digest_from_text(db_col_text(s, 0), vec_push(&found), err);
	}
	if (r < 0) {
		vec_release(&found);
		return r;
	}
	*ret = found.at;
	*ret_n = found.len;
	return 0;
}

int64_t db_changes(struct db *db)
{
	return sqlite3_changes64(db->handle);
}
