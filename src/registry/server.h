/*
 * registry/server.h: the distribution-spec server.
 *
 * Spec: OCI distribution-spec v1.1, all end-points (end-1 to end-13), plus
 * /v2/_catalog, /v2/token, /metrics, /healthz and /readyz.
 */
#pragma once

#include "base/cancel.h"
#include "base/error.h"
#include "http/server.h"
#include "registry/config.h"

struct registry;

/* config is borrowed and outlives the registry. ERR_CONFLICT when the data is served already. */
MUST_CHECK int registry_open(const struct registry_config *config, struct registry **ret,
			     struct error *err);
void registry_close(struct registry *r);
/* An http_handler; arg is the struct registry. */
void registry_handle(void *arg, struct http_request *req, struct http_response *res);

/* What the commands of proa-registry do, on an open registry. */
struct registry_task {
	const char *what;  /* "gc", "retain" or "scrub" */
	const char *grace; /* gc: a duration, or NULL: as configured */
	bool dry_run, untagged;
};
/*
 * Run it and append what it did, for people, to report.
 * ERR_NOT_FOUND for another name; ERR_INVALID for a bad duration.
 */
MUST_CHECK int registry_maintain(struct registry *r, const struct registry_task *t,
				 const struct cancel *cancel, struct buf *report,
				 struct error *err);
