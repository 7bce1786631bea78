/* cli/ports.h: published ports as text. */
#pragma once

#include "base/arena.h"
#include "base/json.h"

/* The Ports of a listed container: "0.0.0.0:8088->80/tcp, 443/tcp"; runs of
 * ports that are the same inside and outside are joined ("80-82/tcp"). */
const char *ports_text(struct arena *a, const struct json *ports);
/* "1.2.3.4:80", "[::1]:80" */
const char *host_port(struct arena *a, const char *host, const char *port);
