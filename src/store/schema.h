/* store/schema.h: the tables of this room. Private to store. */
#pragma once

#include "base/error.h"

struct db;

/* Bring them up to date. History: 1 = first; 2 = layers.disk. */
MUST_CHECK int store_migrate(struct db *db, struct error *err);

/* Owners in refs: "lease:<id>" and "image:<id>". */
#define REF_OWNER_MAX 160
