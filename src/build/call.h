/*
 * build/call.h: what a Dockerfile offers, without building it: its stages, or the
 * arguments and secrets of one.
 * Peer: BuildKit frontend/subrequests/targets and outline; the documents are theirs.
 */
#pragma once

#include "base/jsonw.h"
#include "build/graph.h"

/* {"targets":[{"name","default","description","base","platform"}]} */
void call_targets(struct jsonw *w, const struct dockerfile *d);
/* {"name","description","args":[..],"secrets":[..],"cache":[..]} of a planned target. */
void call_outline(struct jsonw *w, const struct dockerfile *d, const struct graph *g);
