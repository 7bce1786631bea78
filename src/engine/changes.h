/* engine/changes.h: Dockerfile instructions applied to an image's config (commit and import
 * --change). */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

/*
 * Apply instructions ("ENV A=b", "CMD [\"ls\"]") to the Config object `config`,
 * which lives in `a` and is changed. changes: NULL-terminated, may be NULL.
 * ERR_INVALID: a text that does not parse, or an instruction that changes files.
 */
MUST_CHECK int changes_apply(struct arena *a, struct json *config, const char *const *changes,
			     struct error *err);
