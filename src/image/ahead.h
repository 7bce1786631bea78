/*
 * image/ahead.h: read ahead in a thread of its own, so that inflating and
 * hashing go on while files are written. Private to image. Memory: 4 MiB.
 */
#pragma once

#include "base/error.h"
#include "base/stream.h"

struct ahead;

/* from: borrowed, and used by the thread alone until ahead_stop. */
MUST_CHECK int ahead_start(struct reader *from, struct ahead **ret, struct error *err);
struct reader *ahead_reader(struct ahead *a);
/* Wait for the thread (at most for the read it is in); frees. After it the state
 * behind `from` may be looked at. NULL is nothing. */
void ahead_stop(struct ahead *a);
