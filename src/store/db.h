/*
 * store/db.h: the one metadata database of a store (SQLite, WAL).
 *
 * Several rooms keep tables in the same file; each has its own schema version
 * (db_migrate). One connection with one recursive lock: a transaction or an
 * open statement holds it, so that keep both short, and never wait for a
 * socket or for layer data in between. Lock order: the db lock is the innermost
 * of the program: nothing else is taken while it is held.
 *
 * Fallible calls count for base/fault.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/error.h"
#include "oci/digest.h"

struct db;

/* Open or create the database at the operator's own `path` (":memory:" too).
 * ERR_CORRUPT when it is not a database, ERR_SYSTEM otherwise. */
MUST_CHECK int db_open(const char *path, struct db **ret, struct error *err);
void db_close(struct db *db); /* NULL is nothing */

/*
 * Bring the tables of `room` to version n_steps: steps[i] is SQL (several
 * statements) that leads from version i to i+1. One FULL transaction. A
 * database from a newer proa is ERR_CONFLICT.
 */
MUST_CHECK int db_migrate(struct db *db, const char *room, const char *const *steps, size_t n_steps,
			  struct error *err);

/* Give back the write-ahead log's bytes (up to 4 MiB) and, when more than half of the database is
 * empty, those; within a transaction nothing. */
MUST_CHECK int db_trim(struct db *db, struct error *err);

enum db_durability {
	DB_NORMAL, /* survives a crash of the process; the last ones may be lost in a power cut */
	DB_FULL,   /* on disk when db_commit returns */
};

/*
 * A transaction: `auto_(db_tx) tx = DB_TX_INIT; db_begin(); ...; db_commit();`
 * The auto word rolls back what was not committed. Nested ones are savepoints;
 * DB_FULL must be asked by the outermost.
 */
struct db_tx {
	struct db *db;
	unsigned depth;
};
#define DB_TX_INIT \
	{ \
		0 \
	}
MUST_CHECK int db_begin(struct db *db, enum db_durability durability, struct db_tx *ret,
			struct error *err);
MUST_CHECK int db_commit(struct db_tx *tx, struct error *err);
void db_rollback(struct db_tx *tx); /* ended ones: nothing */
DEFINE_AUTO(db_tx, db_rollback);

/*
 * A prepared statement, cached per text (so give literal SQL). Holds the db
 * lock from db_prepare to db_finish (the auto word).
 * Parameters count from 1, columns from 0. Text of columns is borrowed until
 * the next step.
 */
struct db_stmt {
	struct db *db;
	void *stmt;
	void *kept; /* private: its place in the cache */
};
#define DB_STMT_INIT \
	{ \
		0 \
	}
MUST_CHECK int db_prepare(struct db *db, const char *sql, struct db_stmt *ret, struct error *err);
void db_bind_text(struct db_stmt *s, int i, const char *text); /* NULL = SQL NULL; copied */
void db_bind_int(struct db_stmt *s, int i, int64_t v);
void db_bind_blob(struct db_stmt *s, int i, const void *bytes, size_t len);
/* *ret_row (may be NULL) tells whether there is a row. ERR_CONFLICT for a
 * violated constraint, ERR_CORRUPT, ERR_SYSTEM (full disk, I/O). */
MUST_CHECK int db_step(struct db_stmt *s, bool *ret_row, struct error *err);
const char *db_col_text(const struct db_stmt *s, int i); /* NULL for SQL NULL */
int64_t db_col_int(const struct db_stmt *s, int i);
const void *db_col_blob(const struct db_stmt *s, int i, size_t *ret_len);
bool db_col_is_null(const struct db_stmt *s, int i);
void db_finish(struct db_stmt *s);
DEFINE_AUTO(db_stmt, db_finish);

/*
 * Run one statement to its end. `types` has a letter per parameter:
 * 't' const char *, 'i' int64_t (cast it), 'b' const void * then size_t.
 *
 *     db_run(db, err, "DELETE FROM tags WHERE name=?", "t", name);
 */
MUST_CHECK int db_run(struct db *db, struct error *err, const char *sql, const char *types, ...);
/* First column of the first row; ERR_NOT_FOUND without one. */
MUST_CHECK int db_get_int(struct db *db, int64_t *ret, struct error *err, const char *sql,
			  const char *types, ...);
/* Same for text, owned by the caller; SQL NULL gives NULL. */
MUST_CHECK int db_get_text(struct db *db, char **ret, struct error *err, const char *sql,
			   const char *types, ...);
/* Column 0 of all rows that are left, digests; heap. */
MUST_CHECK int db_read_digests(struct db_stmt *s, struct digest **ret, size_t *ret_n,
			       struct error *err);
int64_t db_changes(struct db *db); /* rows touched by the last db_run of this thread's lock */

/* Hold the database still across several calls (recursive). */
void db_lock(struct db *db);
void db_unlock(struct db *db);
