/*
 * build/glob.h: the three pattern languages of Dockerfiles.
 *
 * 1. parameter patterns of ${v#p} ${v%p} ${v/p/r}: '*' '?' and '\'
 * 2. .dockerignore and --exclude patterns: also '**' and [classes]
 * 3. wildcards of COPY sources: Go's path.Match
 * All match code points, never crash on bytes that are not UTF-8, and take
 * time polynomial in pattern and text. Pure.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

/* One step of a compiled pattern. */
struct glob_op {
	enum glob_kind {
		GLOB_CHAR,      /* exactly c */
		GLOB_ANY,       /* one code point but '\n' */
		GLOB_NOT_SLASH, /* one code point but '/' */
		GLOB_CLASS,     /* one of ranges */
		GLOB_STAR,      /* any number of ANY */
		GLOB_STAR_NAME, /* any number of NOT_SLASH */
		GLOB_STAR_DIRS, /* nothing, or anything that ends in '/' */
		GLOB_BEGIN,     /* only at the start of the text */
	} kind;
	bool lazy; /* STAR: the shortest first */
	uint32_t c;
	bool negated;
	struct glob_range {
		uint32_t lo, hi;
	} * ranges;
	size_t n_ranges;
};

#define GLOB_OPS_MAX   4096      /* a longer pattern is refused */
#define GLOB_STARS_MAX 128       /* likewise; bounds the stack */
#define GLOB_TEXT_MAX  (1 << 20) /* a longer text never matches */

struct glob {
	struct glob_op *ops;
	size_t n_ops, n_stars;
	bool anchored_end; /* must reach the end of the text */
};

/* One text being searched; remembers what cannot match. */
struct glob_search {
	const struct glob *glob;
	struct str text;
	unsigned char *dead; /* one bit for each star and position */
};

void glob_search_begin(struct glob_search *s, const struct glob *g, struct str text);
/*
 * Find the end of the preferred match that starts at text[from].
 * Greedy stars prefer long, lazy stars short, the leftmost star decides first.
 * false when there is none.
 */
bool glob_search_at(struct glob_search *s, size_t from, size_t *ret_end);
void glob_search_end(struct glob_search *s);

/* Append an op. ERR_INVALID past the two ceilings. */
MUST_CHECK int glob_add(struct arena *a, struct glob *g, struct glob_op op, struct error *err);

/* Syntax of Go's path/filepath.Match. ERR_INVALID "syntax error in pattern". */
MUST_CHECK int glob_check_path(struct str pattern, struct error *err);
/* Compile a path.Match pattern ('*' and '?' do not match '/'). Same error. */
MUST_CHECK int glob_compile_path(struct arena *a, struct str pattern, struct glob *ret,
				 struct error *err);
bool glob_matches(const struct glob *g, struct str text); /* the whole text */
/* True when the text holds one of * ? [ that no backslash stands before: else it is no pattern. */
bool glob_has_magic(const char *pattern);
