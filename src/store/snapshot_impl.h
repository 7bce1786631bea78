/* store/snapshot_impl.h: what the files of snapshots share. Private to store. */
#pragma once

#include <stdatomic.h>

#include "store/snapshot.h"

struct snapshots {
	struct db *db; /* borrowed */
	char *root;
	int dirfd;
	enum snapshot_driver driver;
	_Atomic int64_t last; /* number given out last */
	char boot[40];
};

/* snapshots/<n>/fs (and work), empty, mode 0755; *ret_fs is owned by the caller. */
MUST_CHECK int snapshot_dir_make(struct snapshots *s, int64_t *ret_number, int *ret_fs,
				 bool with_work, struct error *err);
MUST_CHECK int snapshot_dir_open(struct snapshots *s, int64_t number, int *ret, struct error *err);

/* copy driver: put the layers one over the other into directory `to`,
 * obeying whiteouts and opaque marks. */
MUST_CHECK int snapshot_copy_layers(struct snapshots *s, const struct digest *diff_ids, size_t n,
				    int to, struct error *err);
