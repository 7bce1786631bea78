/*
 * build/step_mounts.h: what a RUN step sees besides its root.
 *
 * Each source is made a mount of its own below the builder's run directory and
 * gone when the step is. The empty files and directories that the runtime makes to mount
 * upon are removed from the layer afterwards, and nothing else is.
 */
#pragma once

#include "base/vec.h"
#include "build/build_internal.h"
#include "task/bundle.h"

struct step_mounts {
	struct build *build;
	struct arena arena;
	struct bundle_mount *at;
	size_t len, cap;
	struct var *env; /* secrets asked for as variables */
	size_t n_env;
	char dir[48]; /* in the run directory, "" when none */
	unsigned n_attached;
	const char **stubs; /* paths that did not exist, outermost first */
	size_t n_stubs, cap_stubs;
	const char **locked; /* cache mounts held */
	size_t n_locked;
	VEC(const char *) used; /* cache mounts that are not to be removed meanwhile */
	char **snapshots;       /* writable views to throw away */
	size_t n_snapshots;
};

/* Where builder_config.ca_certificates stands in a step. */
#define STEP_CA_PATH "/run/proa-ca-certificates.crt"

/* hosts, resolv: texts of the two files, NULL: leave the image's. */
MUST_CHECK int step_mounts_open(struct build *b, struct node *n, struct rootfs *root,
				const char *hosts, const char *resolv, const struct user_ids *user,
				struct step_mounts *ret, struct error *err);
/* Also after a failed open. */
void step_mounts_close(struct step_mounts *m, int upper_fd);
/* Undo a mount that a step of a dead engine left at `path`. */
void step_mounts_detach(const char *path);
