/*
 * engine/volume.h: named and anonymous volumes of the local driver.
 *
 * A volume is the directory <data-root>/volumes/<name>/_data plus one row in
 * meta.db. The row is written last at create and removed first at rm, so a
 * crash leaves at worst a directory nobody names, which volume_room_open
 * removes. Volumes with type/o/device options are mounted on _data while a
 * running container uses them and unmounted after the last.
 *
 * Locks: the room's own lock is the 2nd of engine/engine.h; not held across
 * copying or mounting.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/jsonw.h"

struct engine;

/* Sets e->volumes; uses e->db, e->data_fd, e->cfg.data_root. */
MUST_CHECK int volume_room_open(struct engine *e, struct error *err);
void volume_room_close(struct engine *e);

/* ---- Engine API: /volumes ---- */
/* {"Volumes":[...],"Warnings":null}; filters dangling driver label name. */
MUST_CHECK int volume_list(struct engine *e, const struct json *filters, struct jsonw *w,
			   struct error *err);
/* ERR_NOT_FOUND "get x: no such volume". */
MUST_CHECK int volume_inspect(struct engine *e, const char *name, struct jsonw *w,
			      struct error *err);
/* Idempotent by name; body {"Name","Driver","DriverOpts","Labels"}. Writes the volume. */
MUST_CHECK int volume_create(struct engine *e, const struct json *body, struct jsonw *w,
			     struct error *err);
/* ERR_CONFLICT "remove x: volume is in use - [id, id]". force: absent is fine. */
MUST_CHECK int volume_remove(struct engine *e, const char *name, bool force, struct error *err);
/* {"VolumesDeleted":[...],"SpaceReclaimed":n}; filters label label! all. Anonymous
 * ones only, unless filter all is true or `any` is set (API < 1.42). */
MUST_CHECK int volume_prune(struct engine *e, const struct json *filters, bool any, struct jsonw *w,
			    struct error *err);
/* The "Volumes" array of /system/df, with UsageData. */
MUST_CHECK int volume_df(struct engine *e, struct jsonw *w, struct error *err);

/* ---- for containers ---- */
#define VOLUME_NAME_MAX 256
/* Strings are borrowed for the call. */
struct volume_wish {
	const char *name;   /* NULL or "": an anonymous one (64 hex) */
	const char *driver; /* NULL or "" = local; others are ERR_NOT_FOUND with dockerd's text */
	const struct json *opts, *labels; /* objects of strings (--mount volume-opt) or NULL */
	/* Id of the container that is being created: nobody removes the volume before
	 * volume_unclaim, by when the container's row says that it is used. NULL: none. */
	const char *claimant;
};
/*
 * At container create: the volume of a mount, made when absent.
 *
 * ret_created  may be NULL: whether it was made now (remove it when create fails)
 */
MUST_CHECK int volume_need(struct engine *e, const struct volume_wish *wish,
			   char ret_name[static VOLUME_NAME_MAX], bool *ret_created,
			   struct error *err);
/* The container is in the table, or is not to be. */
void volume_unclaim(struct engine *e, const char *claimant);
/* Absolute path of _data (Mountpoint, Source of inspect), owned by the caller.
 * ERR_NOT_FOUND. */
MUST_CHECK int volume_path(struct engine *e, const char *name, char **ret, struct error *err);
/* Strings are borrowed for the call. */
struct volume_mount_spec {
	const char *name;
	const char *container_id;
	const char *subpath;     /* NULL, "" or relative; resolved inside the volume only */
	const char *destination; /* for the event */
	bool read_only;          /* for the event */
};
/*
 * At container start: mount type/o/device options when first used; open what
 * is to be bound into the container. Emits the event "mount".
 *
 * ret_fd    O_PATH fd of the directory (or file), owned by the caller
 * ret_path  its host path, owned by the caller; may be NULL
 */
MUST_CHECK int volume_mount(struct engine *e, const struct volume_mount_spec *m, int *ret_fd,
			    char **ret_path, struct error *err);
/*
 * Bind what fd is to a place of its own until volume_unmount_all: a path through
 * the volume would be resolved again later, when a container may have put a symlink
 * into it. Also a namespace. *ret_path: the caller's.
 */
MUST_CHECK int volume_pin(struct engine *e, const char *container_id, int fd, char **ret_path,
			  struct error *err);
/* The same for a detached mount of a directory as a whole; mount stays the caller's. */
MUST_CHECK int volume_pin_mount(struct engine *e, const char *container_id, int mount,
				char **ret_path, struct error *err);
/* At container exit: every volume it mounted. Emits "unmount". */
void volume_unmount_all(struct engine *e, const char *container_id);
/* After a restart of proad: a running container uses the volume. No event. */
void volume_adopt(struct engine *e, const char *name, const char *container_id);
/*
 * Before the container's first start: copy what the image holds at `path` into
 * an empty volume (owner, mode, times, xattrs; also of the directory itself).
 * Nothing happens when the volume is not empty or the image has nothing there.
 *
 * rootfd  borrowed; the container's root directory
 */
MUST_CHECK int volume_seed(struct engine *e, const char *name, int rootfd, const char *path,
			   struct error *err);
/* At `rm -v` and `--rm`: remove if anonymous and in use by nobody; errors are logged. */
void volume_drop_anonymous(struct engine *e, const char *name);
