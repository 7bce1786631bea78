/* api/attach.h: what container and exec endpoints share about raw streams. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct attach;
struct call;

/* Content-Type of a raw stream: since 1.42 frames have a type of their own. */
const char *call_raw_type(const struct call *c, bool tty);
/* Send the 101 (or 200) head and give the connection to the engine. */
MUST_CHECK int call_attach(struct call *c, struct attach *take_a, struct error *err);
/* The query keys h and w. */
MUST_CHECK int call_size(struct call *c, uint16_t *ret_rows, uint16_t *ret_cols, struct error *err);
