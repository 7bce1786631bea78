/*
 * store/snapshot.h: root file systems.
 *
 * A *layer* is one directory snapshots/<n>/fs in overlay form (whiteout =
 * character device 0:0, opaque = xattr), keyed by its diffID. Layers do not
 * depend on each other, so they are unpacked in parallel and shared by every
 * image. A *snapshot* is a container's or a build step's writable state
 * snapshots/<n>/{fs,work} over a list of layers, under a key of its owner.
 *
 * Nothing here mounts: mounts are returned as values; store/mount.h or the
 * runtime applies them. Where overlay is refused the `copy` driver returns one
 * plain directory that holds a whole copy.
 *
 * Crash safety: a directory without a row is removed at the next start; a
 * layer's row is marked unsynced with the boot id until snapshots_sync() has
 * flushed the file system. After a power cut such a layer is dropped, or, when
 * its blob is kept, unsure: it must be made again (snapshots_unsure).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/error.h"
#include "oci/digest.h"
#include "store/db.h"

struct snapshots;

enum snapshot_driver { SNAPSHOT_OVERLAY, SNAPSHOT_COPY };
const char *snapshot_driver_name(enum snapshot_driver d); /* "overlay2", "vfs" as docker says */

/* Borrow db and root (absolute path of <data root>/snapshots, made when absent). */
MUST_CHECK int snapshots_open(struct db *db, const char *root, enum snapshot_driver driver,
			      struct snapshots **ret, struct error *err);
void snapshots_close(struct snapshots *s);
enum snapshot_driver snapshots_driver(const struct snapshots *s);
/* Whether an overlay can be mounted with its upper directory below root. */
bool snapshots_overlay_works(const char *root);

/* In a user namespace trusted.* attributes cannot be set: overlays then keep
 * their marks in user.overlay.* and are mounted with userxattr. */
bool snapshots_need_userxattr(void);

/* How to assemble a root file system. Owned strings; release with mounts_release. */
struct mounts {
	char *root;   /* copy driver, or a single layer: bind this directory; else NULL */
	char **lower; /* overlay: absolute paths, topmost first */
	size_t n_lower;
	char *upper, *work; /* NULL: read-only */
	bool userxattr;     /* rootless: mount with the option userxattr */
	/* The caller's: an overlay whose fsync and unmount leave the disk alone, for what nobody
	 * needs after a power cut and for what is synced before it gets a name. Without it each
	 * unmount writes back the whole file system that holds the snapshots. */
	bool no_sync;
};
void mounts_release(struct mounts *m);
DEFINE_AUTO(mounts, mounts_release);

/* ---- layers ---- */

struct layer_info {
	struct digest diff_id;
	uint64_t size;     /* sum of the file sizes: what docker shows */
	uint64_t tar_size; /* bytes of the uncompressed tar */
	int64_t number;    /* snapshots/<n> */
};

/* A layer being filled. Ends with snapshot_layer_commit or snapshot_layer_abort. */
struct layer_draft {
	int fd;         /* snapshots/<n>/fs, owned by the draft */
	int64_t number; /* 0: none */
};
#define LAYER_DRAFT_INIT \
	{ \
		.fd = FD_NONE \
	}
MUST_CHECK int snapshot_layer_begin(struct snapshots *s, struct layer_draft *ret,
				    struct error *err);
/*
 * Make it visible under info->diff_id (info->number is ignored); ends the
 * draft also on failure. When that layer exists already, the draft is dropped
 * and that is success. Not yet durable: see snapshots_sync.
 * The caller holds a lease on the diffID (REF_LAYER), or gc may take it.
 */
MUST_CHECK int snapshot_layer_commit(struct snapshots *s, struct layer_draft *d,
				     const struct layer_info *info, struct error *err);
void snapshot_layer_abort(struct snapshots *s, struct layer_draft *d);

/* ERR_NOT_FOUND "layer sha256:... not found". */
MUST_CHECK int snapshot_layer_get(struct snapshots *s, const struct digest *diff_id,
				  struct layer_info *ret, struct error *err);
/* Directory fd of the layer's tree, owned by the caller. */
MUST_CHECK int snapshot_layer_open(struct snapshots *s, const struct digest *diff_id, int *ret_fd,
				   struct error *err);
/* Directory fd of snapshots/<n> itself: notes of a room above may lie there beside the tree
 * and go with the layer. Owned by the caller. */
MUST_CHECK int snapshot_layer_dir(struct snapshots *s, const struct digest *diff_id, int *ret_fd,
				  struct error *err);
/*
 * Layers whose files may not all be there, because power went, or because their engine died and
 * nothing says that the file system has not been mounted anew since. Layers that a snapshot uses
 * are sure while this boot lasts. *ret owned. To be called before anything is taken from a layer.
 */
MUST_CHECK int snapshots_unsure(struct snapshots *s, struct digest **ret, size_t *ret_n,
				struct error *err);
/* The draft takes the place of the layer's directory. As snapshot_layer_commit otherwise. */
MUST_CHECK int snapshot_layer_renew(struct snapshots *s, struct layer_draft *d,
				    const struct layer_info *info, struct error *err);
/* It cannot be made again: rows of the layer, and of snapshots over it, go. */
MUST_CHECK int snapshot_layer_lost(struct snapshots *s, const struct digest *diff_id,
				   struct error *err);
/* Flush everything written so far (syncfs) and mark all layers durable
 * (DB_FULL). Before an image or a commit is acknowledged. */
MUST_CHECK int snapshots_sync(struct snapshots *s, struct error *err);

/* ---- snapshots of containers and build steps ---- */

/*
 * Make a writable snapshot `key` (unique, e.g. "container/<id>") over layers,
 * diff_ids[0] being the lowest. ERR_CONFLICT when the key exists,
 * ERR_NOT_FOUND when a layer is missing. The layers are referenced by the
 * snapshot itself until snapshot_remove. ret may be NULL.
 */
MUST_CHECK int snapshot_prepare(struct snapshots *s, const char *key, const struct digest *diff_ids,
				size_t n_layers, struct mounts *ret, struct error *err);
/* The same value again. ERR_NOT_FOUND. */
MUST_CHECK int snapshot_mounts(struct snapshots *s, const char *key, struct mounts *ret,
			       struct error *err);
/* Read-only view of layers; no state is made (copy driver: ERR_UNIMPLEMENTED
 * for more than one layer; prepare a snapshot instead). Lease them meanwhile. */
MUST_CHECK int snapshot_view(struct snapshots *s, const struct digest *diff_ids, size_t n_layers,
			     struct mounts *ret, struct error *err);
/* The directory that takes the writes (overlay: upper; copy: the whole root). */
MUST_CHECK int snapshot_open_upper(struct snapshots *s, const char *key, int *ret_fd,
				   struct error *err);
/* Layers below, lowest first; array owned by the caller. */
MUST_CHECK int snapshot_layers(struct snapshots *s, const char *key, struct digest **ret,
			       size_t *ret_n, struct error *err);
/* Disk bytes of the writable part without its directories (docker's SizeRw). */
MUST_CHECK int snapshot_usage(struct snapshots *s, const char *key, uint64_t *ret_bytes,
			      struct error *err);
/*
 * The writable directory *becomes* the layer info->diff_id: a rename of names
 * in the database, no copy. The snapshot is gone afterwards; nothing may be
 * mounted or written on it any more. Existing layer: as snapshot_layer_commit.
 * Overlay only (ERR_UNIMPLEMENTED for copy: draft a layer from its diff).
 */
MUST_CHECK int snapshot_commit(struct snapshots *s, const char *key, const struct layer_info *info,
			       struct error *err);
/*
 * Forget a snapshot: its layers are free. *ret_number: its directory, which snapshot_dir_remove
 * takes away; 0 when there is no such snapshot. A directory whose turn never comes is swept by
 * the garbage collection.
 */
MUST_CHECK int snapshot_forget(struct snapshots *s, const char *key, int64_t *ret_number,
			       struct error *err);
int snapshot_dir_remove(struct snapshots *s, int64_t number, struct error *err);
/* Both at once; absent is fine. */
int snapshot_remove(struct snapshots *s, const char *key, struct error *err);
/* Every key, in order of creation. */
MUST_CHECK int snapshot_list(struct snapshots *s,
			     int (*fn)(void *arg, const char *key, struct error *err), void *arg,
			     struct error *err);
/* Remove directories that no row names (left by a crash). Called at open. */
MUST_CHECK int snapshots_sweep(struct snapshots *s, struct error *err);
/* Remove directory snapshots/<number>, whose row is gone. For gc. */
MUST_CHECK int snapshots_remove_number(struct snapshots *s, int64_t number, struct error *err);
