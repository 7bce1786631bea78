/*
 * build/chmod.h: --chmod values: "755", "u=rwX,go=rX", "+x", "g=u". Pure.
 * Spec: POSIX.1-2017, chmod, "Extended Description".
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* The mode that `text` makes of `mode` (with type bits, which stay). ERR_INVALID
 * "invalid chmod parameter: 'x'. it should be octal string and between 0 and 07777". */
MUST_CHECK int chmod_apply(const char *text, mode_t mode, mode_t *ret, struct error *err);
/* Is it a number (that may be out of range)? */
bool chmod_is_octal(const char *text);
