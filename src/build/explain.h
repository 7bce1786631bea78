/*
 * build/explain.h: why a step was not in the cache, in words: the file, the argument, the line
 * or the step before it that changed since this instruction was built last.
 */
#pragma once

#include "build/build_internal.h"
#include "build/copied.h"

/* Tell the reason as an event. `inputs` is what node_key gave (may be NULL). copied (may be
 * NULL): what a COPY has just copied, which names files instead of directories. */
void explain_step(struct build *b, struct node *n, const char *inputs, const struct copied *copied);
