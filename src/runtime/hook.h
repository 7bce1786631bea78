/*
 * runtime/hook.h: programs that the config wants to run around a container.
 *
 * Spec: runtime-spec v1.2, config.md "POSIX-platform Hooks".
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "oci/runtime_config.h"

/* Run the hooks in order with the state on stdin. The first that fails (exit status, time-out)
 * ends it: ERR_SYSTEM names kind, index, status and what it printed. kind: "prestart" ...
 * env: of a hook that names none; NULL: our own. */
MUST_CHECK int hooks_run(const char *kind, const struct spec_hook *hooks, size_t n,
			 const char *state, size_t state_len, const char *const *env,
			 struct error *err);
/* All of them: one that fails is logged as a warning, and the rest run as if it had not. */
void hooks_run_all(const char *kind, const struct spec_hook *hooks, size_t n, const char *state,
		   size_t state_len);
