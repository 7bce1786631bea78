/*
 * build/directive.h: "# name=value" lines at the top of a Dockerfile.
 * Pure. Peer: BuildKit frontend/dockerfile/parser/directives.go.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"

struct directive {
	const char *name;  /* lower case */
	const char *value; /* trimmed */
	unsigned line;
};

/* Zeroed at the start. Once a line is no directive, no later one is. */
struct directive_parser {
	const char *comment; /* "#" when NULL, or "//" */
	unsigned line;
	bool done;
	const char *seen[32];
	size_t n_seen;
};

/* *ret_found tells whether *ret was written. ERR_INVALID "only one escape
 * parser directive can be used". */
MUST_CHECK int directive_parse_line(struct directive_parser *p, struct arena *a, struct str line,
				    bool *ret_found, struct directive *ret, struct error *err);

/*
 * Look a directive up the way BuildKit detects `syntax`: in '#' comments (after
 * an optional #! line), and when any_format also in '//' comments, then in a
 * JSON object. Only `syntax` is looked up in any format.
 *
 * ret_word  the value up to its first blank
 * ret_line  the whole value
 * Returns false when there is none.
 */
bool directive_find(struct arena *a, struct str source, const char *name, bool any_format,
		    const char **ret_word, const char **ret_line);
