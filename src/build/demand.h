/*
 * build/demand.h: which nodes of a graph somebody needs the result of.
 *
 * Nothing here recurses: a chain may be as long as a plan may have steps. All with the build's
 * lock.
 */
#pragma once

#include "build/graph.h"

/* A use is an unfinished node that may yet demand another: begin with who uses whom. */
void demand_count_uses(struct graph *g);
/* The result of n is needed, and of what it builds upon; of what it reads when it is defined and
 * nothing is known of its definition. */
void demand(struct node *n);
/* The same for what n reads. */
void demand_inputs(struct node *n);
/* n is finished. What nobody is going to ask for any more is cached and finished, with all that
 * only it needs; `dropped` is told of each. */
void demand_drop(struct node *n, void (*dropped)(void *arg, struct node *n), void *arg);
