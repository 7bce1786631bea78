/*
 * store/store.h: one data root, opened.
 *
 *     <root>/version  meta.db  content/{blobs,ingest}  snapshots/<n>/{fs,work}  reserve
 *
 * Version history of the layout: 1 = the above.
 * One process has a store open at a time (flock on <root>/lock); others get
 * ERR_UNAVAILABLE.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/error.h"
#include "base/lock.h"
#include "base/queue.h"
#include "store/content.h"
#include "store/db.h"
#include "store/snapshot.h"

struct store {
	char *root; /* absolute */
	int dirfd;  /* of root */
	struct db *db;
	struct content_store *content;
	struct snapshots *snapshots;
	int lock_fd; /* private */
	/* Private: the sync that follows images_put (store_sync_later). */
	bool sync_later;
	struct lock sync_lock; /* guards the two below; a leaf */
	bool sync_wanted, syncing;
	struct workers workers;
};

struct store_options {
	/* NULL: overlay when it works, else copy. "overlay2", "overlay", "vfs", "copy". */
	const char *driver;
	/* Layers whose blobs are durable are flushed behind the answer that names them: who opens
	 * the store then calls image/unpack.h: unpack_unsure, which makes them anew after a crash.
	 */
	bool sync_later;
};

/* Open or make the store at `root` (mode 0710). Drops temporary leases, removes
 * leftovers of a crash. options may be NULL. */
MUST_CHECK int store_open(const char *root, const struct store_options *options, struct store **ret,
			  struct error *err);
void store_close(struct store *s); /* NULL is nothing */

/*
 * Room for removals. To delete a row needs a page or two, which a full disk does not have:
 * <root>/reserve has 1 MiB that is given up when less than that is free, before something is
 * removed, and is taken again when there is plenty. Best effort; who opens the store has given and
 * taken already.
 */
void store_reserve_give(struct store *s);
void store_reserve_keep(struct store *s);

/* snapshots_sync on a thread of its own; store_close waits for it. */
void store_sync_later(struct store *s);

/* Disk usage for `docker system df`, from rows and a look at the blobs. */
struct store_usage {
	uint64_t n_blobs;
	uint64_t layer_bytes, n_layers; /* unpacked: sum of the file sizes */
	uint64_t image_disk_bytes;      /* what the layers of images take on disk */
	uint64_t content_bytes;         /* blobs and partial downloads, with their directories */
	uint64_t meta_bytes;            /* database files */
};
MUST_CHECK int store_usage(struct store *s, struct store_usage *ret, struct error *err);
