/*
 * build/git.h: a git repository as files, through the git program.
 *
 * Nothing of the repository is executed: no hooks, no filters, no prompts.
 */
#pragma once

#include <stdbool.h>

#include "base/cancel.h"
#include "base/error.h"

/* "https://x/y.git#ref:dir", "git@x:y", "git://", "ssh://", "github.com/x/y", "file://x.git". */
bool git_is_url(const char *text);

/*
 * Check out one commit into dir_path/name, which must not exist.
 *
 * url     with an optional "#ref:subdir"
 * ret_fd  owned: the subdir (or the top), a directory; resolved inside the checkout
 *
 * ERR_UNAVAILABLE with git's own words, ERR_NOT_FOUND for the subdir or without git,
 * ERR_CANCELED. What was made stays: the caller removes dir_path/name.
 */
MUST_CHECK int git_checkout(const char *dir_path, const char *name, const char *url,
			    bool keep_git_dir, const struct cancel *cancel, int *ret_fd,
			    struct error *err);
