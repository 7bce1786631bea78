/*
 * build/cache.h: which step made which layer.
 *
 * A record says: the step with this key (what it does, on which layers, with
 * which contents) made that layer (or nothing). It lives in meta.db; a kept
 * lease holds its layer against gc. Losing records costs time, never truth.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "oci/digest.h"
#include "store/store.h"

struct layer_blob;

#define CACHE_LEASE "build/cache" /* keeps the layers of records, and their blobs */

struct cache_record {
	char key[65];        /* hex SHA-256 */
	struct digest layer; /* algo 0: the step changed nothing */
	int64_t size;        /* bytes of the layer */
	int64_t used_ns;     /* see cache_get */
	const char *text;    /* the instruction */
	const char *type;    /* "regular", "exec.cachemount", "source.local" */
	const char *inputs;  /* JSON object of what the key was made of, for --explain */
};

/* Make or migrate the tables. */
MUST_CHECK int cache_open(struct store *s, struct error *err);
/* ERR_NOT_FOUND when there is no record or its layer is gone. Counts as a use at used_ns:
 * of one build, later steps a little before those that they stand on, which so outlive them. */
MUST_CHECK int cache_get(struct store *s, const char *key, int64_t used_ns,
			 struct cache_record *ret, struct error *err);
MUST_CHECK int cache_put(struct store *s, const struct cache_record *r, struct error *err);

/*
 * A step that reads other steps is found by its definition too, without their
 * results: "fast" is its definition upon its base's layers (node_fast_key), "def" the
 * definition alone. All three are 64 hex digits.
 */
MUST_CHECK int cache_fast_put(struct store *s, const char *fast, const char *def, const char *key,
			      struct error *err);
/* ERR_NOT_FOUND. That the record is still there is another question. */
MUST_CHECK int cache_fast_get(struct store *s, const char *fast, char ret_key[static 65],
			      struct error *err);
/* Was a step of this definition ever made? */
bool cache_fast_known(struct store *s, const char *def);

/* Keep the compressed form of a layer as long as there are records of it. */
MUST_CHECK int cache_keep_blob(struct store *s, const struct layer_blob *blob, struct error *err);

/* Inputs of the nth newest record (0, 1, ...) of the same instruction text: *ret_inputs is
 * owned (JSON), NULL when there are no more. For --explain. */
MUST_CHECK int cache_last_inputs(struct store *s, const char *text, size_t nth, char **ret_inputs,
				 struct error *err);

/*
 * Directory of a cache mount: <data root>/build/mounts/<n>/fs, made when new.
 * *ret_fresh: it was made now. *ret_path owned.
 */
MUST_CHECK int cache_mount_dir(struct store *s, const char *id, const char *dir_path,
			       char **ret_path, bool *ret_fresh, struct error *err);

/* Forget a record; its layer (text, "" for none) is let go when no other record has it. */
MUST_CHECK int cache_drop(struct store *s, const char *key, const char *layer, struct error *err);
