/*
 * build/call.h: what a Dockerfile offers, without building it: its stages, the
 * arguments and secrets of one, or what the build checks find.
 * Peer: BuildKit frontend/subrequests/{targets,outline,lint}; the documents are theirs,
 * without "definition", which is of BuildKit's inside.
 */
#pragma once

#include "base/jsonw.h"
#include "build/graph.h"
#include "build/lint.h"

/* {"targets":[{"name","default","description","base","platform","location"}],"sources"} */
void call_targets(struct jsonw *w, const struct dockerfile *d, struct str source);
/* {"name","description","args":[..],"secrets":[..],"cache":[..],"sources"} of a planned target. */
void call_outline(struct jsonw *w, const struct dockerfile *d, const struct graph *g,
		  struct str source);

struct call_check {
	const struct lint *lint;
	const char *file; /* the Dockerfile's name */
	struct str source;
	const char *error; /* why it cannot be built, NULL when it can */
	struct ast_location where;
};

/* {"warnings":[{"ruleName","description","url","detail","location"}],"sources","buildError"} */
void call_check(struct jsonw *w, const struct call_check *c);
