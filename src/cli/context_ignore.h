/*
 * cli/context_ignore.h: .dockerignore for contexts that are sent as a tar.
 *
 * Peer: moby/patternmatcher: '*' and '?' stop at '/', "**" crosses it, '!'
 * re-includes, the last pattern that matches decides, a pattern that matches a
 * directory covers all below it. (An engine on this machine gets the directory
 * itself and filters on its own.)
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

struct context_ignore {
	struct context_pattern {
		const char *text;
		bool include; /* '!' */
	} * at;
	size_t len;
	bool has_includes;
};

/* ERR_INVALID `illegal exclusion pattern: "!"`. */
MUST_CHECK int context_ignore_parse(struct arena *a, struct str text, struct context_ignore *ret,
				    struct error *err);
/* path: relative, '/' between names. */
bool context_ignore_matches(const struct context_ignore *ig, const char *path);
