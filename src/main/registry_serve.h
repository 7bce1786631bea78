/* main/registry_serve.h: a registry on its sockets. */
#pragma once

#include "base/arena.h"
#include "registry/server.h"

/*
 * Serve until SIGTERM or SIGINT. SIGHUP, and a change of the certificate's
 * file, read the certificate again. All signals of the process are blocked.
 */
MUST_CHECK int registry_serve(struct arena *a, const struct registry_config *c, struct registry *r,
			      struct error *err);
