/*
 * build/plan.h: from typed instructions to a graph.
 *
 * Expands variables, follows ARG scopes, resolves names of stages, images and
 * named contexts, prunes to the target, makes each stage's image configuration
 * and history. Touches no file system; asks for images through `ops`.
 * Peer: BuildKit frontend/dockerfile/dockerfile2llb.
 */
#pragma once

#include "base/str.h"
#include "build/graph.h"
#include "build/ignore.h"

struct plan_image {
	struct image_config config; /* in the arena */
	const struct digest *layers;
	size_t n_layers;
	const char *id; /* "sha256:..." */
	unsigned ref;   /* whoever gave it knows it by this number */
};

struct plan_ops {
	/* Find (or pull) an image. Strings go to the arena. */
	int (*image)(void *arg, struct arena *a, const char *name, const struct platform *platform,
		     struct plan_image *ret, struct error *err);
	void *arg;
};

struct plan_pair {
	const char *key, *value; /* value NULL: named without value */
};

/* A --build-context: what stands for a stage or image of that name. */
struct plan_context {
	const char *name;
	const char *image; /* "docker-image://x": the x; NULL: a directory context */
};

struct plan_options {
	const char *target; /* NULL or "": the last stage */
	const struct plan_pair *build_args;
	size_t n_build_args;
	const struct plan_pair *labels;
	size_t n_labels;
	const struct plan_context *contexts;
	size_t n_contexts;
	struct platform build_platform, target_platform;
	const char *const *no_cache_stages; /* NULL-terminated or NULL */
	bool no_cache, net_host, insecure;  /* entitlements */
	bool all_stages;                    /* also those that the target does not need */
	const char *network;                /* default of RUN: NULL = "default" */
	const struct ignore *ignore;        /* for CopyIgnoredFile; may be NULL */
};

/*
 * Plan a build. lint collects what the build checks find. *ret_where says which
 * instruction failed. ERR_INVALID, ERR_NOT_FOUND ("target stage \"x\" could not be
 * found", images), ERR_UNIMPLEMENTED for what proa does not do yet.
 */
MUST_CHECK int plan_build(struct arena *a, const struct dockerfile *d, const struct plan_options *o,
			  const struct plan_ops *ops, struct lint *lint, struct graph *ret,
			  struct ast_location *ret_where, struct error *err);
