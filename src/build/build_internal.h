/* build/build_internal.h: what the files of one running build share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "base/map.h"
#include "base/vec.h"
#include "build/build.h"
#include "build/cache.h"
#include "build/cache_policy.h"
#include "build/graph.h"
#include "build/planning.h"
#include "build/stat_cache.h"
#include "build/tree.h"
#include "build/user.h"
#include "store/lease.h"
#include "store/store.h"

struct builder {
	struct arena arena; /* strings of cfg */
	struct builder_config cfg;
	int dir_fd;
	int planner_fd;   /* of cfg.planner as it was at the start, or FD_NONE */
	struct lock lock; /* guards `flying` */
	pthread_cond_t landed;
	struct map flying; /* keys of steps that run now, in any build */
	struct lock mounts_lock;
	pthread_cond_t mounts_free;
	struct map mounts_busy; /* ids of locked and private cache mounts in use */
	struct map mounts_used; /* ids of all cache mounts in use, counted */
	struct cache_rules rules;
	bool net_host;       /* the configuration lets a client --allow network.host */
	struct lock gc_lock; /* see cache_gc.h */
	pthread_t gc_thread;
	bool gc_started, gc_due, gc_stop; /* under `lock`, told by `landed` */
	atomic_size_t running;
};

/* A file of an unpacked context that is a layer's, and the time that the client's has. */
struct lent_file {
	ino_t ino;
	int64_t mtime_ns;
};

/* A context, opened. */
struct opened_context {
	const char *name;
	const char *image; /* it is an image, of this name or id; else NULL */
	char *loaded;      /* id of an image that is in the store only for this build; owned */
	int fd;            /* directory; owned when `unpacked` */
	bool unpacked;
	bool single;      /* as in struct tree */
	char dirname[72]; /* in the builder's directory, "" when not ours */
	char *origin;     /* what makes the next build's context the same one; owned */
	struct ignore ignore;
	const char *const *patterns; /* what ignore was made of; n_patterns of them */
	size_t n_patterns;
	struct stat_cache *cache;
	VEC(struct lent_file) lent;
	struct tree tree;
};

struct progress;
struct keyer;
struct cache_imports;

struct build {
	struct builder *builder;
	const struct build_request *q;
	const struct cancel *cancel;
	char id[33];
	int64_t started_ns; /* wall clock */
	struct arena arena; /* planning only: one thread */
	struct graph graph;
	struct str source; /* the Dockerfile's text */
	struct lint lint;  /* what the planner has found */
	struct planning planning;
	struct opened_context *contexts;
	size_t n_contexts;
	struct lease lease; /* keeps what this build has made or found */
	struct progress *progress;
	struct cache_imports *imports; /* NULL: none were given */
	struct lock lock;              /* guards node states and what follows */
	int exit_code;                 /* of the RUN that failed */
	const struct node *failed;
	struct error error; /* the first */
	bool stop;
	bool image_was_here; /* before this build made it */
	bool shell_given;    /* the first failure took the client's terminal */
	pthread_cond_t changed;
};

/* ---- contexts (context.c) ---- */
MUST_CHECK int contexts_open(struct build *b, struct error *err);
void contexts_close(struct build *b);
/* Bring an image of a layout into the store, leased. *ret_id owned. */
MUST_CHECK int layout_image(struct build *b, const struct build_context *c, char **ret_id,
			    bool *ret_was_here, struct error *err);
/* After planning: contexts that a step mounts have their own times, and keep them (lent.c). */
MUST_CHECK int contexts_own_times(struct build *b, struct error *err);
/* NULL when there is none of that name. */
struct opened_context *context_find(struct build *b, const char *name);

/* ---- root file systems of steps (rootfs.c) ---- */

/* A writable state above a node's base, mounted where nobody sees it. */
struct rootfs {
	struct build *build;
	char key[128]; /* of the snapshot, "" when none */
	int fd;        /* the mounted root, or FD_NONE */
	int upper_fd;
	int lower_fd; /* what is below, read-only; FD_NONE until rootfs_lower */
	bool dated;   /* all but directories have their times already */
};
#define ROOTFS_INIT \
	{ \
		.fd = FD_NONE, .upper_fd = FD_NONE, .lower_fd = FD_NONE \
	}
MUST_CHECK int rootfs_open(struct build *b, const struct node *n, struct rootfs *ret,
			   struct error *err);
void rootfs_close(struct rootfs *r); /* throws the state away */
DEFINE_AUTO(rootfs, rootfs_close);
/* Read-only tree of a node's result; *ret_fd owned. Empty ones give an empty directory. */
MUST_CHECK int rootfs_view(struct build *b, const struct node *n, int *ret_fd, struct error *err);
/* Open lower_fd, a view of n's base, when it is not. */
MUST_CHECK int rootfs_lower(struct rootfs *r, const struct node *n, struct error *err);
/* Mount anew: the upper directory was changed beside the mount. */
MUST_CHECK int rootfs_refresh(struct rootfs *r, struct error *err);
/*
 * The upper directory becomes a layer: unchanged directories go, times are
 * clamped, the tar is measured. r is closed. ret->algo is 0 when nothing changed.
 */
MUST_CHECK int rootfs_seal(struct rootfs *r, const struct node *n, struct digest *ret,
			   int64_t *ret_size, struct error *err);

/* ---- steps ---- */
/* `copied` (may be NULL) knows what this step copied the last time. */
struct copied;
MUST_CHECK int step_copy(struct build *b, struct node *n, struct rootfs *root,
			 struct copied *copied, struct error *err);
MUST_CHECK int step_workdir(struct build *b, struct node *n, int rootfd, struct error *err);
MUST_CHECK int step_run(struct build *b, struct node *n, struct rootfs *root, struct error *err);

/* ---- keys (key.c) ---- */
/*
 * What a step is by its definition: its words, what it takes from contexts, and
 * the definitions of the steps it builds upon. Those are defined already. Fills n->def.
 */
MUST_CHECK int node_define(struct build *b, struct node *n, struct error *err);
/* Of a defined node whose base is done: hex of its definition upon that base. */
void node_fast_key(const struct node *n, char out[static 65]);
/* Fill n->key: like the definition, but of other steps it is the content that counts.
 * Once, when base and inputs are done. *ret_inputs: JSON for --explain, owned, or NULL. */
MUST_CHECK int node_key(struct build *b, struct node *n, char **ret_inputs, struct error *err);

void keyer_free(struct keyer *k);

/* Download an ADD URL into the builder's directory, once; checks --checksum. */
MUST_CHECK int url_fetch(struct build *b, const struct node *n, struct copy_item *item,
			 uint8_t sum[static SHA256_SIZE], struct error *err);

/* Check an ADD repository out into the builder's directory, once; *ret_fd owned. */
MUST_CHECK int git_fetch(struct build *b, const struct node *n, struct copy_item *item, int *ret_fd,
			 struct error *err);
/* Is this file an archive that ADD unpacks? Recognised by content; the offset is 0 after. */
bool archive_is(int fd);

/* The tree of a source: borrowed context, or a view that the caller closes. */
struct source_tree {
	struct tree tree;
	int view_fd; /* owned, FD_NONE for contexts */
};
MUST_CHECK int source_open(struct build *b, const struct source *s, struct source_tree *ret,
			   struct error *err);
static inline void source_close(struct source_tree *s)
{
	if (s->view_fd >= 0)
		close(s->view_fd);
	s->view_fd = FD_NONE;
}
DEFINE_AUTO(source_tree, source_close);
#define SOURCE_TREE_INIT \
	{ \
		.view_fd = FD_NONE \
	}
/*
 * The paths that one source word means, as tree_glob gives them. With --parents, of
 * "a/./b" only what stands after the pivot is kept: *ret_above components are not.
 */
MUST_CHECK int copy_sources(const struct tree *t, struct arena *a, const struct copy_spec *c,
			    const char *path, const char ***ret, size_t *ret_n, size_t *ret_above,
			    struct error *err);
/* A path without its first `above` components. */
const char *path_below(const char *path, size_t above);

/* ---- solver, export ---- */
MUST_CHECK int solve(struct build *b, struct error *err);
/* Config and history of the target, as an image of the store. *ret_id owned. */
MUST_CHECK int export_image(struct build *b, char **ret_id, struct error *err);
bool image_is_here(struct store *s, const char *id);
/* An image that was wanted for a while: gone unless somebody has named it. */
void image_forget(struct store *s, const char *id);
