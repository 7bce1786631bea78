/* store/lease.c: see lease.h. */
#include "store/lease.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "store/schema.h"

static int owner_of(const char *id, char out[static REF_OWNER_MAX], struct error *err)
{
	if (strlen(id) >= LEASE_ID_MAX)
		return error_set(err, ERR_INVALID, "lease id '%.32s...' is too long", id);
	snprintf(out, REF_OWNER_MAX, "lease:%s", id);
	return 0;
}

int lease_make(struct db *db, const char *id, bool kept, struct error *err)
{
	char owner[REF_OWNER_MAX];
	int r = owner_of(id, owner, err);

	if (r < 0)
		return r;
	return db_run(db, err,
		      "INSERT INTO leases VALUES(?1,?2) ON CONFLICT(id) DO UPDATE SET kept=?2",
		      "ti", id, (int64_t)kept);
}

int lease_make_temp(struct db *db, const char *prefix, char out[static LEASE_ID_MAX],
		    struct error *err)
{
	char hex[33], id[LEASE_ID_MAX];
	int r;

	random_hex(hex, 16);
	snprintf(id, sizeof(id), "%.64s/%s", prefix, hex);
	r = lease_make(db, id, false, err);
	if (r < 0)
		return r;
	memcpy(out, id, sizeof(id));
	return 0;
}

int lease_add(struct db *db, const char *id, enum ref_kind kind, const char *ref, struct error *err)
{
	char owner[REF_OWNER_MAX];
	int r = owner_of(id, owner, err);

	if (r < 0)
		return r;
	r = db_run(db, err,
		   "INSERT OR IGNORE INTO refs SELECT ?1,?2,?3 WHERE EXISTS"
		   "(SELECT 1 FROM leases WHERE id=?4)",
		   "titt", owner, (int64_t)kind, ref, id);
	return r;
}

int lease_add_digest(struct db *db, const char *id, enum ref_kind kind, const struct digest *d,
		     struct error *err)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	return lease_add(db, id, kind, text, err);
}

int lease_remove(struct db *db, const char *id, enum ref_kind kind, const char *ref,
		 struct error *err)
{
	char owner[REF_OWNER_MAX];
	int r = owner_of(id, owner, err);

	if (r < 0)
		return r;
	return db_run(db, err, "DELETE FROM refs WHERE owner=? AND kind=? AND ref=?", "tit", owner,
		      (int64_t)kind, ref);
}

int lease_drop(struct db *db, const char *id, struct error *err)
{
	auto_(db_tx) tx = DB_TX_INIT;
	char owner[REF_OWNER_MAX];
	int r = owner_of(id, owner, err);

	if (r == 0)
		r = db_begin(db, DB_NORMAL, &tx, err);
	if (r == 0)
		r = db_run(db, err, "DELETE FROM refs WHERE owner=?", "t", owner);
	if (r == 0)
		r = db_run(db, err, "DELETE FROM leases WHERE id=?", "t", id);
	return r < 0 ? r : db_commit(&tx, err);
}

int lease_open(struct db *db, const char *prefix, struct lease *ret, struct error *err)
{
	int r = lease_make_temp(db, prefix, ret->id, err);

	if (r == 0)
		ret->db = db;
	return r;
}

void lease_close(struct lease *l)
{
	/* A lease that cannot be dropped now goes when the store is opened next. */
	if (l->db)
		(void)lease_drop(l->db, l->id, NULL);
	l->db = NULL;
}
