/* store/schema.c: the tables of this room, one step a version. */
#include "store/schema.h"

#include "store/db.h"

static const char version_1[] =
    "CREATE TABLE leases(id TEXT PRIMARY KEY, kept INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE refs(owner TEXT NOT NULL, kind INTEGER NOT NULL, ref TEXT NOT NULL,"
    " PRIMARY KEY(owner, kind, ref)) WITHOUT ROWID;"
    "CREATE INDEX refs_by_ref ON refs(ref, kind);"
    "CREATE TABLE layers(diff_id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE,"
    " size INTEGER NOT NULL, tar_size INTEGER NOT NULL, synced INTEGER NOT NULL,"
    " boot TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX layers_unsynced ON layers(synced) WHERE synced=0;"
    "CREATE TABLE snapshots(serial INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,"
    " number INTEGER NOT NULL UNIQUE);"
    "CREATE TABLE snapshot_layers(key TEXT NOT NULL, pos INTEGER NOT NULL,"
    " diff_id TEXT NOT NULL, PRIMARY KEY(key, pos)) WITHOUT ROWID;"
    "CREATE INDEX snapshot_layers_by_layer ON snapshot_layers(diff_id);"
    "CREATE TABLE images(id TEXT PRIMARY KEY, parent TEXT NOT NULL, created INTEGER NOT NULL,"
    " size INTEGER NOT NULL, os TEXT NOT NULL, arch TEXT NOT NULL, variant TEXT NOT NULL,"
    " tagged INTEGER NOT NULL, labels TEXT, pulled INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX images_by_created ON images(created);"
    "CREATE INDEX images_by_parent ON images(parent);"
    "CREATE TABLE image_layers(id TEXT NOT NULL, pos INTEGER NOT NULL, diff_id TEXT NOT NULL,"
    " PRIMARY KEY(id, pos)) WITHOUT ROWID;"
    "CREATE INDEX image_layers_by_layer ON image_layers(diff_id);"
    "CREATE TABLE tags(name TEXT PRIMARY KEY, id TEXT NOT NULL, manifest TEXT) WITHOUT ROWID;"
    "CREATE INDEX tags_by_id ON tags(id);"
    "CREATE TABLE repo_digests(name TEXT PRIMARY KEY, id TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX repo_digests_by_id ON repo_digests(id);"
    "CREATE TABLE manifests(serial INTEGER PRIMARY KEY, digest TEXT NOT NULL,"
    " id TEXT NOT NULL, media_type TEXT NOT NULL, UNIQUE(digest, id));"
    "CREATE INDEX manifests_by_id ON manifests(id);"
    "CREATE TABLE layer_blobs(digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL,"
    " media_type TEXT NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX layer_blobs_by_layer ON layer_blobs(diff_id);";

/* What a layer takes on disk: known once it is synced. */
static const char version_2[] = "ALTER TABLE layers ADD COLUMN disk INTEGER NOT NULL DEFAULT 0";

int store_migrate(struct db *db, struct error *err)
{
	static const char *const steps[] = { version_1, version_2 };

	return db_migrate(db, "store", steps, ARRAY_LEN(steps), err);
}
