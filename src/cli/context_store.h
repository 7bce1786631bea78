/*
 * cli/context_store.h: where contexts live: contexts/meta/ID/meta.json and
 * contexts/tls/ID/docker/{ca,cert,key}.pem below the configuration's directory.
 *
 * The layout is the docker CLI's. Everything returned lives in cli->arena.
 */
#pragma once

#include "base/json.h"
#include "base/vec.h"
#include "cli/cli.h"

#define CONTEXT_FILE_MAX (1 << 20) /* bytes of meta.json, or of one TLS file */

struct context_file {
	const char *name; /* "ca.pem" */
	const char *data;
	size_t len;
};
/* The TLS files of the endpoint "docker". */
struct context_tls {
	VEC(struct context_file) files;
};
void context_tls_release(struct context_tls *t);
DEFINE_AUTO(context_tls, context_tls_release);
/* Put a file in, or another in the place of the one of this name. */
void context_tls_set(struct context_tls *t, const char *name, const char *data, size_t len);

/* May a context have this name? `own`: and be written, as "default" may not. ERR_INVALID. */
MUST_CHECK int context_name_check(const char *name, bool own, struct error *err);
bool context_exists(struct cli *cli, const char *name);
const char *context_meta_dir(struct cli *cli, const char *name);
const char *context_tls_dir(struct cli *cli, const char *name);

/* The document of meta.json. metadata NULL: none; endpoint: Host, SkipTLSVerify. */
struct json *context_meta(struct arena *a, const char *name, const struct json *metadata,
			  struct json *endpoint);
/* Write meta.json whole, and the TLS files beside those that are there. */
MUST_CHECK int context_write(struct cli *cli, const char *name, const struct json *meta,
			     const struct context_tls *tls, struct error *err);
/* The TLS files that a context has; none is no failure. */
MUST_CHECK int context_tls_read(struct cli *cli, const char *name, struct context_tls *ret,
				struct error *err);
