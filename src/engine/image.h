/*
 * engine/image.h: images: the engine's half of /images/..., /auth,
 * /distribution and of the images' part of /system/df.
 *
 * Speaks as engine/engine.h says. Progress streams (pull, push, load, import)
 * write one JSON object a message, with no separator: the caller adds "\r\n".
 * An error before the first message is the return value; later ones are both a
 * last message {"errorDetail":{"message":..},"error":..} and the return value,
 * so that a caller who has sent a head already just ends the stream.
 *
 * auth is the decoded X-Registry-Auth document ({"username":..}), NULL or {} =
 * anonymous.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/stream.h"

struct engine;
struct remote_repo;

/* Called by engine_open and engine_close. Opens e->images; e->store is open. */
struct image_room;
MUST_CHECK int image_room_open(struct engine *e, struct error *err);
void image_room_close(struct engine *e);

struct engine_image_list {
	bool all, digests, shared_size;
	bool virtual_size; /* API < 1.44 */
	const struct json *filters;
};
MUST_CHECK int engine_image_list(struct engine *e, const struct engine_image_list *o,
				 struct jsonw *out, struct error *err);
/* ERR_NOT_FOUND "No such image: x:latest". api: as image_inspect's. */
MUST_CHECK int engine_image_inspect(struct engine *e, const char *name, unsigned api,
				    struct jsonw *out, struct error *err);
MUST_CHECK int engine_image_history(struct engine *e, const char *name, struct jsonw *out,
				    struct error *err);
/* proa's own: GET /images/{n}/blame?path=, see image_blame. */
MUST_CHECK int engine_image_blame(struct engine *e, const char *name, const char *path,
				  struct jsonw *out, struct error *err);
MUST_CHECK int engine_image_tag(struct engine *e, const char *name, const char *repo,
				const char *tag, struct error *err);
MUST_CHECK int engine_image_delete(struct engine *e, const char *name, bool force, bool no_prune,
				   struct jsonw *out, struct error *err);
MUST_CHECK int engine_image_prune(struct engine *e, const struct json *filters, struct jsonw *out,
				  struct error *err);

struct engine_image_pull {
	const char *from_image; /* "busybox", "repo@sha256:..." */
	const char *tag;        /* tag or digest; NULL or "": all tags of from_image, unless that
				   has one (docker's rule) */
	const char *platform;   /* "linux/arm64"; NULL or "": this machine */
	const struct json *auth;
};
/* POST /images/create?fromImage. ERR_NOT_FOUND "manifest for x:1 not found: manifest unknown: ...".
 */
MUST_CHECK int engine_image_pull(struct engine *e, const struct engine_image_pull *p,
				 struct writer *out, const struct cancel *cancel,
				 struct error *err);
/* For builds and `create --pull`: pull one image without telling anybody unless
 * out is given; *ret_id owned. */
MUST_CHECK int engine_image_fetch(struct engine *e, const char *name, const char *platform,
				  const struct json *auth, struct writer *out /* may be NULL */,
				  const struct cancel *cancel, char **ret_id, struct error *err);

struct engine_image_import {
	const char *from;       /* "-": `in`; else an http or https URL, as "host/path" too */
	const char *repo, *tag; /* NULL or "": no name */
	const char *message;
	const char *const *changes; /* Dockerfile instructions; NULL-terminated, may be NULL */
	const char *platform;
};
/* POST /images/create?fromSrc=: the tar comes through `in` or from a URL, any compression. */
MUST_CHECK int engine_image_import(struct engine *e, const struct engine_image_import *i,
				   struct reader *in, struct writer *out,
				   const struct cancel *cancel, struct error *err);

/* POST /images/{name}/push. tag NULL or "": all tags. */
MUST_CHECK int engine_image_push(struct engine *e, const char *name, const char *tag,
				 const struct json *auth, struct writer *out,
				 const struct cancel *cancel, struct error *err);

/* GET /images/get: a tar (bytes, not messages). All names are looked up first. */
MUST_CHECK int engine_image_save(struct engine *e, const char *const *names, size_t n_names,
				 struct writer *out, const struct cancel *cancel,
				 struct error *err);
MUST_CHECK int engine_image_load(struct engine *e, struct reader *in, bool quiet,
				 struct writer *out, const struct cancel *cancel,
				 struct error *err);

/* GET /images/search: an array. filters: is-official, is-automated, stars. */
MUST_CHECK int engine_image_search(struct engine *e, const char *term, int64_t limit,
				   const struct json *filters, const struct json *auth,
				   const struct cancel *cancel, struct jsonw *out,
				   struct error *err);
/* GET /distribution/{name}/json: {"Descriptor":..,"Platforms":[..]}. */
MUST_CHECK int engine_distribution(struct engine *e, const char *name, const struct json *auth,
				   const struct cancel *cancel, struct jsonw *out,
				   struct error *err);
/* Tags of a repository, proa's own: GET /images/{name}/remote-tags: {"Name":..,"Tags":[..]}. */
MUST_CHECK int engine_image_remote_tags(struct engine *e, const char *name, const struct json *auth,
					const struct cancel *cancel, struct jsonw *out,
					struct error *err);
/* Name a repository of a registry for the builder: *ret is remote_close's. auth: as
 * X-Registry-Auth's document, or NULL. ERR_INVALID for a bad name. */
MUST_CHECK int engine_image_repo(struct engine *e, const char *name, const struct json *auth,
				 bool push, const struct cancel *cancel, struct remote_repo **ret,
				 struct error *err);
/* POST /auth: {"Status":"Login Succeeded","IdentityToken":""}. */
MUST_CHECK int engine_auth(struct engine *e, const struct json *body, const struct cancel *cancel,
			   struct jsonw *out, struct error *err);

/* GET /system/df: the value of "Images"; *ret_layers_bytes is "LayersSize". */
MUST_CHECK int engine_image_df(struct engine *e, struct jsonw *out, int64_t *ret_layers_bytes,
			       struct error *err);

/* `proa store check`: {"Problems":[{"Text":..,"Repaired":..}],"Blobs":..,...}. */
MUST_CHECK int engine_store_check(struct engine *e, bool repair, const struct cancel *cancel,
				  struct jsonw *out, struct error *err);
/* Mirrors, insecure registries and limits after a reload of the configuration. */
MUST_CHECK int engine_image_reload(struct engine *e, struct error *err);
