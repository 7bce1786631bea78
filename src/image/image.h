/*
 * image/image.h: images as users name them: look-up, tags, lists, history,
 * inspect, deletion, shared sizes. Knows no registry and no HTTP; answers go
 * out through struct jsonw in the form of the Engine API.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "oci/platform.h"
#include "store/images.h"
#include "store/store.h"

struct jsonw;
struct cancel;

/*
 * Find an image by "busybox", "repo:tag", "repo@sha256:...", "sha256:<hex>",
 * a full or short hex id. *ret_id owned: "sha256:<hex>".
 * ERR_NOT_FOUND "No such image: busybox:latest" (docker's text and its default tag),
 * ERR_INVALID for an ambiguous prefix or a bad reference.
 */
MUST_CHECK int image_resolve(struct store *s, const char *name, char **ret_id, struct error *err);

/* An image, opened: row, config and layers. Release with image_release. */
struct image {
	struct image_row row;
	struct digest id;
	struct digest *diff_ids;
	size_t n_layers;
	struct arena arena;
	char *config_text; /* the blob's bytes, NUL-terminated */
	size_t config_len;
	const struct json *json;   /* the whole config document */
	const struct json *config; /* its "config" member, may be NULL */
};
void image_release(struct image *i);
DEFINE_AUTO(image, image_release);
MUST_CHECK int image_open(struct store *s, const char *name, struct image *ret, struct error *err);
/* What its configuration says it is for; empty where that says nothing. */
void image_platform_of(const struct image *i, struct platform *ret);

/* Canonical tag text ("busybox" -> "docker.io/library/busybox:latest") and back
 * to docker's short form. ERR_INVALID with docker's words. Result owned. */
MUST_CHECK int image_name_canonical(const char *name, char **ret, struct error *err);
char *image_name_familiar(const char *canonical);

/* docker tag. ERR_INVALID, ERR_NOT_FOUND. The event attributes' names go to
 * *ret_id and *ret_familiar (owned; may be NULL). */
MUST_CHECK int image_tag(struct store *s, const char *source, const char *target, char **ret_id,
			 char **ret_familiar, struct error *err);

/* Which containers use an image: the engine knows, image/ asks. */
struct image_users {
	/* Number of containers (running only, when `running`) made of image id;
	 * *ret_one (may be left NULL): short id of one of them, owned. */
	int64_t (*count)(void *arg, const char *id, bool running, char **ret_one);
	void *arg;
};

struct image_filter {
	bool all; /* intermediate images too */
	bool digests, shared_size;
	const struct json
	    *filters; /* {"dangling":{"true":true}} or {"label":["a=1"]}; may be NULL */
	const struct image_users *users; /* may be NULL: Containers -1 */
	bool virtual_size;               /* API < 1.44: VirtualSize too */
};
/* GET /images/json: writes the array. ERR_INVALID "invalid filter 'x'". */
MUST_CHECK int image_list(struct store *s, const struct image_filter *f, struct jsonw *w,
			  struct error *err);
/* GET /images/{n}/json and /history. api: the minor version, by which members come and go. */
MUST_CHECK int image_inspect(struct store *s, const char *name, unsigned api, struct jsonw *w,
			     struct error *err);
MUST_CHECK int image_history(struct store *s, const char *name, struct jsonw *w, struct error *err);
/*
 * Which instructions made, changed and deleted the file at `path`: an array, the newest first,
 * of {"Path","State","Layer","Number","CreatedBy","Created","Type","Mode","Uid","Gid","Size"}.
 * State: "added", "changed", "below" (of a directory: only what it holds), "deleted".
 * Symlinks before the last component are followed. ERR_NOT_FOUND when no layer has it.
 */
MUST_CHECK int image_blame(struct store *s, const char *name, const char *path, struct jsonw *w,
			   struct error *err);

/* Told about each step of a deletion, for events ("untag", "delete"). */
struct image_delete_options {
	bool force, no_prune;
	const struct image_users *users;
	void (*event)(void *arg, const char *action, const char *id, const char *name);
	void *event_arg;
};
/* DELETE /images/{n}: writes [{"Untagged":..},{"Deleted":..}]; ERR_CONFLICT with
 * docker's words when in use. Frees the space at once (gc). */
MUST_CHECK int image_delete(struct store *s, const char *name, const struct image_delete_options *o,
			    struct jsonw *w, struct error *err);
/* POST /images/prune: writes {"ImagesDeleted":..,"SpaceReclaimed":..}. An unknown filter is
 * ERR_INVALID. */
MUST_CHECK int image_prune(struct store *s, const struct json *filters,
			   const struct image_delete_options *o, struct jsonw *w,
			   struct error *err);
/* Bytes of its layers that another image has too. */
MUST_CHECK int image_shared_size(struct store *s, const char *id, int64_t *ret_bytes,
				 struct error *err);

/* ---- making images ---- */

/*
 * Record an image whose layers are already in the snapshots, from its config
 * bytes (kept as they are). rootfs.diff_ids of the config is the truth about layers.
 * tags: canonical names, n may be 0. *ret_id owned (may be NULL).
 */
struct image_create {
	const void *config;
	size_t config_len;
	const char *parent; /* id or NULL */
	const char *const *tags;
	size_t n_tags;
	/* The manifest it came with, bytes as they arrived, or NULL. */
	const void *manifest;
	size_t manifest_len;
	const char *manifest_media_type;
	const struct layer_blob *blobs;
	size_t n_blobs;
	const struct digest *index;
	const char *repo_digest; /* "docker.io/library/x@sha256:...", or NULL */
	/* Replaced ids (a tag moved): told through this; may be NULL. */
	void (*untagged)(void *arg, const char *tag, const char *old_id);
	void *arg;
};
MUST_CHECK int image_create(struct store *s, const struct image_create *c, char **ret_id,
			    struct error *err);

/* Decode rootfs.diff_ids of a config document. Array owned. */
MUST_CHECK int image_config_diff_ids(const struct json *config, struct digest **ret, size_t *ret_n,
				     struct error *err);
