/*
 * build/ignore.h: .dockerignore.
 *
 * Pure. Peer: moby/patternmatcher v0.6 and its ignorefile.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "build/glob.h"

struct ignore_pattern {
	const char *text; /* cleaned, without '!' */
	bool exclusion;   /* '!': re-includes */
	unsigned line;    /* in its file, 0 when not from one */
	enum ignore_kind {
		IGNORE_EXACT,
		IGNORE_PREFIX, /* "x**" */
		IGNORE_SUFFIX, /* "**x" */
		IGNORE_GLOB,
		IGNORE_NEVER, /* compiles to nothing that could match */
	} kind;
	struct glob glob;
};

struct ignore {
	struct ignore_pattern *at;
	size_t len;
	bool exclusions;
};

/* Lines of a .dockerignore, comments and blanks dropped, paths cleaned; NULL
 * ended. *ret_lines (may be NULL) gets each one's line number. */
const char **ignore_read(struct arena *a, struct str source, size_t *ret_n, unsigned **ret_lines);

/* ERR_INVALID: `illegal exclusion pattern: "!"`, "syntax error in pattern". */
MUST_CHECK int ignore_compile(struct arena *a, const char *const *patterns, size_t n,
			      const unsigned *lines, struct ignore *ret, struct error *err);

/* Does `path` (relative, '/' separated), or a directory above it, match?
 * *ret_by (may be NULL): the pattern that decided, or NULL. */
bool ignore_matches(const struct ignore *ig, const char *path,
		    const struct ignore_pattern **ret_by);
/* Could something below directory `path` still be wanted although the directory
 * itself matches? */
bool ignore_may_reinclude(const struct ignore *ig, const char *path);
