/*
 * api/router.h: from an HTTP request to the engine and back.
 *
 * Paths with and without /vX.Y; versions outside API_VERSION_MIN..MAX are 400
 * with dockerd's words. Every failure is {"message": "..."} by api/status.c.
 * One table of (method, pattern, handler) per resource file.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "http/server.h"

#define API_VERSION_MAX "1.51"
#define API_VERSION_MIN "1.24"

struct api;
struct engine;

struct api_config {
	struct engine *engine; /* borrowed */
	bool experimental;
	/* For GET /info; NULL-terminated, may be NULL, borrowed. */
	const char *const *registry_mirrors;
	const char *const *insecure_registries;
};

struct api *api_new(const struct api_config *config);
void api_free(struct api *a);
/* After a reload. The lists must live as long as a. */
void api_set_registries(struct api *a, const char *const *mirrors, const char *const *insecure);

/* An http_handler; arg is the struct api. */
void api_handle(void *arg, struct http_request *req, struct http_response *res);
