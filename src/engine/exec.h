/*
 * engine/exec.h: exec instances. They live in memory and in the shim, and are
 * forgotten five minutes after their end.
 *
 * ERR_NOT_FOUND "No such exec instance: ID".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/container.h"

/* POST /containers/{ref}/exec: {Id}. ERR_CONFLICT "Container X is not running"
 * or "... is paused, unpause the container before exec"; ERR_INVALID "No exec command specified".
 */
MUST_CHECK int exec_create(struct engine *e, const char *ref, const struct json *body,
			   struct jsonw *out, struct error *err);
/* POST /exec/{id}/start with Detach false, first step (see container.h);
 * body: {Detach,Tty,ConsoleSize}. ERR_CONFLICT when it has run already. */
MUST_CHECK int exec_start_begin(struct engine *e, const char *id, const struct json *body,
				struct attach **ret, struct error *err);
/* With Detach true: returns when the process runs. */
MUST_CHECK int exec_start_detached(struct engine *e, const char *id, const struct json *body,
				   struct error *err);
MUST_CHECK int exec_inspect(struct engine *e, const char *id, struct jsonw *out, struct error *err);
MUST_CHECK int exec_resize(struct engine *e, const char *id, uint16_t rows, uint16_t cols,
			   struct error *err);
