/*
 * runtime/warning.h: the warnings that the specification wants a runtime to log itself.
 *
 * The one place of this room that logs: whoever called it cannot, for nothing has failed.
 * Spec: runtime-spec v1.2, runtime.md "Warnings".
 */
#pragma once

#include "base/error.h"

/* To --log, or stderr. subject: what it is about; e: why, or NULL. */
void runtime_warn(const char *message, const char *subject, const struct error *e);
