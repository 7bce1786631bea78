/* api/build.h: what a request to build says. */
#pragma once

#include "api/call.h"
#include "engine/build.h"

/*
 * Query, headers and, when the context came as an fd, the body of POST /build. Everything lives
 * in the request's arena; fds are the request's. ERR_INVALID names what is wrong.
 */
MUST_CHECK int api_build_read(struct call *c, struct engine_build *b, struct error *err);
