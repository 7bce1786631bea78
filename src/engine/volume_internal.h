/*
 * engine/volume_internal.h: what volume.c (the table, the API) and
 * volume_mount.c (use by containers) share. Guarded by room->lock.
 */
#pragma once

#include "base/alloc.h"
#include "base/auto.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"
#include "engine/internal.h"
#include "engine/volume.h"
#include "store/store.h"

struct volume {
	char *name;
	int64_t created_ns;
	bool anonymous;
	struct arena arena;
	const struct json *labels, *options; /* objects of strings */
	struct map users;                    /* ids of running containers -> the volume */
	struct map claims;                   /* ids of containers that are being created */
	unsigned claimed;                    /* how often it was claimed, ever */
	bool mounting;                       /* somebody mounts or unmounts _data now */
};

struct volume_room {
	struct engine *engine;
	char *root; /* absolute */
	int dirfd;
	struct lock lock;
	struct map by_name; /* -> volume */
};

/* volume.c */
struct volume *volume_find(struct volume_room *r, const char *name); /* NULL when absent */
struct volume *volume_get(struct volume_room *r, const char *name, struct error *err);
char *volume_data_path(struct volume_room *r, const char *name); /* owned by the caller */

/* volume_mount.c */
const char *volume_first_user(const struct volume *v); /* or claimant; "" when none */
