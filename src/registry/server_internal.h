/* registry/server_internal.h: what the handlers share. */
#pragma once

#include <stdatomic.h>

#include "base/lock.h"
#include "registry/auth.h"
#include "registry/gc.h"
#include "registry/limit.h"
#include "registry/mirror.h"
#include "registry/name.h"
#include "registry/repo.h"
#include "registry/server.h"
#include "registry/upload.h"

/* Codes of the distribution-spec, "Error Codes", with their status. */
enum code {
	CODE_BLOB_UNKNOWN,
	CODE_BLOB_UPLOAD_INVALID,
	CODE_BLOB_UPLOAD_UNKNOWN,
	CODE_DIGEST_INVALID,
	CODE_MANIFEST_BLOB_UNKNOWN,
	CODE_MANIFEST_INVALID,
	CODE_MANIFEST_UNKNOWN,
	CODE_NAME_INVALID,
	CODE_NAME_UNKNOWN,
	CODE_SIZE_INVALID,
	CODE_URI_TOO_LONG,
	CODE_UNAUTHORIZED,
	CODE_DENIED,
	CODE_UNSUPPORTED,
	CODE_TOOMANYREQUESTS,
	CODE_PAGINATION_NUMBER_INVALID,
	CODE_RANGE_INVALID,
	CODE_NO_SPACE,
	CODE_UPSTREAM,
	CODE_UNKNOWN,
	CODE_COUNT,
};

enum counter {
	COUNT_REQUESTS,
	COUNT_ERRORS_4XX,
	COUNT_ERRORS_5XX,
	COUNT_BLOB_PULLS,
	COUNT_BLOB_PUSHES,
	COUNT_MANIFEST_PULLS,
	COUNT_MANIFEST_PUSHES,
	COUNT_BYTES_OUT,
	COUNT_BYTES_IN,
	COUNT_COLLECTIONS,
	COUNT_COLLECTED,
	COUNT_COUNT,
};

struct registry {
	const struct registry_config *config;
	struct repo_store store;
	struct uploads *uploads;
	struct auth *auth;
	struct limit *limit;
	struct mirror *mirror; /* NULL when none is configured */
	int audit_fd;          /* append-only, or FD_NONE */
	_Atomic uint64_t counters[COUNT_COUNT];
	struct lock gc_lock; /* one collection at a time */
	atomic_bool ready;
};

/* One request on its way. */
struct call {
	struct registry *r;
	struct http_request *req;
	struct http_response *res;
	struct auth_who who;
	const char *repo;
	const char *rest; /* what stands behind the kind: digest, tag, upload id */
	int status;       /* what was answered, for the counters and the audit log */
};

/* Answer with the spec's error body. detail may be NULL. */
void call_fail(struct call *c, enum code code, const char *message);
/* From an error of a lower room: not_found says what ERR_NOT_FOUND means here. */
void call_fail_err(struct call *c, const struct error *err, enum code not_found);
/* Answer without a body. */
void call_empty(struct call *c, int status);
void call_send(struct call *c, int status, const char *type, const void *bytes, size_t len);
/* If-None-Match of the request names this digest: 304. */
bool call_matches(struct call *c, const char *digest);
/* false: refused and answered. */
bool call_allow(struct call *c, unsigned actions);
bool call_allow_on(struct call *c, const char *repo, unsigned actions);
/* Answer 401 and say how to log in, for what. scope may be NULL. */
void call_challenge(struct call *c, const char *scope);
void call_count(struct call *c, enum counter which, uint64_t n);
/* n and last of a paged list. false: refused and answered. max when n is absent. */
bool call_page(struct call *c, const struct storage_listing *all, size_t *ret_from, size_t *ret_to,
	       size_t max);

void handle_blob(struct call *c);
void handle_upload_begin(struct call *c);
void handle_upload(struct call *c);
void handle_manifest(struct call *c);
void handle_tags(struct call *c);
void handle_referrers(struct call *c);
void handle_catalog(struct call *c);
void handle_token(struct call *c);
/* /healthz: the process answers. /readyz: its storage does too. */
void handle_health(struct call *c, bool deep);
void handle_metrics(struct call *c);
/* Maintenance over the local control socket: /_proa/gc, /_proa/retain, /_proa/scrub. */
void handle_admin(struct call *c, const char *what);
