/*
 * store/store.h: one data root, opened.
 *
 *     <root>/version  meta.db  content/{blobs,ingest}  snapshots/<n>/{fs,work}
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
};

struct store_options {
	/* NULL: overlay when it works, else copy. "overlay2", "overlay", "vfs", "copy". */
	const char *driver;
};

/* Open or make the store at `root` (mode 0710). Drops temporary leases, removes
 * leftovers of a crash. options may be NULL. */
MUST_CHECK int store_open(const char *root, const struct store_options *options, struct store **ret,
			  struct error *err);
void store_close(struct store *s); /* NULL is nothing */

/* Disk usage for `docker system df`, from rows and a look at the blobs. */
struct store_usage {
	uint64_t n_blobs;
	uint64_t layer_bytes, n_layers; /* unpacked: sum of the file sizes */
	uint64_t image_disk_bytes;      /* what the layers of images take on disk */
	uint64_t content_bytes;         /* blobs and partial downloads, with their directories */
	uint64_t meta_bytes;            /* database files */
};
MUST_CHECK int store_usage(struct store *s, struct store_usage *ret, struct error *err);
