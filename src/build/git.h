/*
 * build/git.h: a git repository as files, through the git program.
 *
 * Nothing of the repository is executed: no hooks, no filters, no prompts.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/cancel.h"
#include "base/error.h"

/* "https://x/y.git#ref:dir", "git@x:y", "git://", "ssh://", "github.com/x/y", "file://x.git". */
bool git_is_url(const char *text);

/* One place in one repository. Strings are the arena's, "" when not said. */
struct git_url {
	const char *remote;   /* what git is asked for */
	const char *ref;      /* "HEAD" when not said */
	const char *subdir;   /* inside the checkout */
	const char *checksum; /* the commit, or how it begins */
	int keep_git_dir;     /* -1: not said */
	bool skip_submodules;
};

/*
 * "URL#ref:subdir", "URL?branch=x&subdir=y". ERR_INVALID for an unknown or contradicting query.
 * Peer: BuildKit frontend/dockerfile/dfgitutil/git_ref.go.
 */
MUST_CHECK int git_url_parse(struct arena *a, const char *text, struct git_url *ret,
			     struct error *err);

/*
 * Check out one commit, and its submodules, into dir_path/name, which must not exist.
 *
 * own_keys  ssh may use the keys of the engine's user, and file:// names this machine's files:
 *           for what the client says, never for what a Dockerfile says
 * ret_fd    owned: the subdir (or the top), a directory; resolved inside the checkout
 *
 * ERR_UNAVAILABLE with git's own words, ERR_NOT_FOUND for the subdir or without git,
 * ERR_CORRUPT for another commit than the checksum says, ERR_CANCELED. What was made
 * stays: the caller removes dir_path/name.
 */
MUST_CHECK int git_checkout(const char *dir_path, const char *name, const struct git_url *url,
			    bool own_keys, bool keep_git_dir, const struct cancel *cancel,
			    int *ret_fd, struct error *err);
