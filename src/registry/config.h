/*
 * registry/config.h: the registry's configuration file (JSON).
 *
 * Every member has a default; `proa-registry serve --data DIR` needs no file.
 * docs/registry.md describes the members. Unknown members are refused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "registry/gc.h"

struct config_mirror {
	const char *prefix;   /* repositories "prefix/..." come from there; "" = all */
	const char *upstream; /* registry host, e.g. "docker.io" or "127.0.0.1:5001" */
	const char *username, *password;
	bool insecure;
	int64_t tag_ttl_ns; /* how long a tag is not asked for again; 0: each time */
};

struct registry_config {
	const char *data;
	const char **listen; /* "host:port" or "unix:///path" */
	size_t n_listen;
	const char *tls_cert, *tls_key, *tls_client_ca;
	const char *external_url; /* scheme://host of the token endpoint; NULL: from the request */
	const struct json *auth;
	uint64_t max_blob_bytes;
	unsigned max_connections, max_per_peer;
	double requests_per_second; /* per peer address, 0 = no limit */
	unsigned burst;
	bool read_only, allow_delete, metrics;
	bool sparse_manifests; /* manifests may name content that is not here */
	const char *audit_path;
	int64_t gc_interval_ns; /* 0 = only on demand */
	struct gc_options gc;
	struct retain_rule *retain;
	size_t n_retain;
	struct config_mirror *mirrors;
	size_t n_mirrors;
};

/* Defaults, everything in the arena. */
void registry_config_init(struct registry_config *c);
/* One address of `listen`. */
struct config_address {
	const char *socket; /* path of a Unix socket, or NULL: then TCP */
	char host[256];     /* "" for all addresses */
	uint16_t port;
};
/* "host:port", "[v6]:port", ":port" or "unix:///path". ERR_INVALID. */
MUST_CHECK int config_address_parse(const char *text, struct config_address *ret,
				    struct error *err);
/*
 * What reading alone does not show: addresses and URLs are well-formed, the files
 * that are named can be used. ERR_INVALID or the file's error, with the member's name.
 */
MUST_CHECK int registry_config_check(const struct registry_config *c, struct error *err);
/* text NULL: defaults. ERR_INVALID names the member. */
MUST_CHECK int registry_config_read(struct arena *a, const char *text, size_t len,
				    struct registry_config *ret, struct error *err);
