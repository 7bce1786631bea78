/*
 * build/graph.h: what a build has to do, before anything is done.
 *
 * A flat array of nodes; each works on the file system of `base` and perhaps
 * reads those of other nodes, of images and of the context. Instructions that
 * only change the image's configuration have no node. Lives in the build's arena.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "build/instruction.h"
#include "build/vars.h"
#include "oci/digest.h"
#include "oci/image_config.h"

enum node_kind {
	NODE_IMAGE,   /* layers of an image in the store; no layers: scratch */
	NODE_COPY,    /* COPY and ADD */
	NODE_RUN,     /* RUN */
	NODE_WORKDIR, /* a directory */
};

/* Where files are taken from: a node, or else a named context's directory. */
struct source {
	struct node *node;   /* NULL: a context */
	const char *context; /* "" is the main one */
};

struct copy_item {
	enum copy_item_kind {
		COPY_PATH,   /* path in the source, may have wildcards */
		COPY_INLINE, /* text is the content, path the name */
		COPY_URL,    /* path is the URL */
		COPY_GIT,    /* path is the repository */
	} kind;
	const char *path, *text;
	char *file, *name; /* COPY_URL once fetched: in the builder's directory; owned */
};

struct copy_spec {
	struct source from;
	struct copy_item *items;
	size_t n_items;
	const char *dest;                     /* absolute; ends with '/' when it is a directory */
	const char *chown, *chmod, *checksum; /* expanded; "" when absent */
	struct word_array excludes;
	bool link, parents, add;
	enum tristate unpack, keep_git_dir;
};

struct mount_spec {
	struct run_mount mount; /* target absolute */
	struct source from;     /* bind and cache; unused when `has_from` is false */
	bool has_from;
};

struct run_spec {
	struct word_array args;
	struct vars env; /* ENV and ARG, in order */
	const char *user, *cwd;
	struct mount_spec *mounts;
	size_t n_mounts;
	const char *network; /* "default" "none" "host" */
	/* A heredoc that starts with "#!": run as /dev/pipes/<name>. */
	const char *script_name, *script;
};

struct keyer;

enum node_state { NODE_WAITING, NODE_READY, NODE_RUNNING, NODE_DONE, NODE_FAILED };

/* What a step has used, for --profile; -1: not known. */
struct node_cost {
	int64_t cpu_ns;                  /* of its processes and of the engine for it */
	int64_t memory_peak_bytes;       /* of its control group */
	int64_t read_bytes, write_bytes; /* of block devices, likewise */
	int64_t layer_bytes;
};

struct node {
	enum node_kind kind;
	unsigned index;
	struct node *base;    /* NULL for NODE_IMAGE */
	struct node **inputs; /* other nodes that must be done; base is not among them */
	size_t n_inputs;
	const char *stage;      /* its name, or "stage-N", "" when there is one stage */
	unsigned step, n_steps; /* "[stage 2/5]" */
	const char *text;       /* "RUN make" as written (joined) */
	unsigned line;          /* in the Dockerfile, 0 when not from it */
	bool no_cache;
	int64_t epoch_ns; /* files are not newer: SOURCE_DATE_EPOCH, or the base image's age */

	const char *image;    /* NODE_IMAGE: the name as used; "scratch" */
	const char *image_id; /* NODE_IMAGE: "sha256:...", NULL for scratch */
	unsigned image_ref;   /* NODE_IMAGE: plan_image.ref; 0 for scratch */
	struct copy_spec *copy;
	struct run_spec *run;
	const char *path, *user; /* NODE_WORKDIR: the directory, and whose it is */

	/* Filled by the solver. Layers from the lowest; shared with base but for the last. */
	enum node_state state;
	struct digest *layers;
	size_t n_layers;
	bool made_layer; /* the last of layers is this node's own */
	bool cached;
	char key[65];           /* hex SHA-256: what decided about the cache */
	uint8_t def[32];        /* what it is by its definition; see node_define */
	struct keyer *keyer;    /* its key as far as it is known; owned */
	bool tainted;           /* it or one it reads is made anew: def does not find it */
	bool claimed, finished; /* by a worker; under the build's lock */
	/* Of the solver, under the build's lock too. */
	bool defining, defined; /* node_define was begun; is done */
	bool demanded;          /* its result is needed; what nobody demands is not made */
	bool maybe_fast; /* a step of its definition is known: wait for the base, then look */
	bool tried_fast;
	size_t n_users; /* unfinished nodes that may yet demand it */
	bool missed;    /* --plan: it, or something it needs, would run */
	int64_t started_ns, ended_ns;
	struct node_cost cost;
};

/* One line of the classic output: "Step 3/9 : ENV a=b". */
struct step {
	const char *text;
	struct node *node; /* NULL: configuration only */
};

struct history_item {
	const char *created_by, *comment, *created, *author;
	bool empty_layer;
	struct node *node; /* whose layer it is; NULL for what came with the base */
};

struct stage_plan {
	const struct stage *stage;
	unsigned index;
	const char *name;      /* for progress */
	const char *base_name; /* what FROM says after expansion */
	bool planned;
	struct node *tip;
	struct vars env;  /* of expansion and RUN */
	struct vars args; /* declared ARGs with their values */
	struct image_config image;
	struct history_item *history;
	size_t n_history, cap_history;
	struct platform platform;
	bool cmd_set, workdir_set, entrypoint_seen, healthcheck_seen;
	struct step *steps;
	size_t n_steps, cap_steps;
};

struct graph {
	struct arena *arena; /* borrowed */
	struct node **nodes; /* inputs before users */
	size_t n_nodes, cap_nodes;
	struct stage_plan *stages; /* one for each of the Dockerfile */
	size_t n_stages;
	struct stage_plan *target;
	struct vars globals; /* the platform's ARGs and those before the first FROM */
	int64_t epoch_ns;    /* SOURCE_DATE_EPOCH, else 0 */
	bool has_epoch;      /* SOURCE_DATE_EPOCH was given */
};
