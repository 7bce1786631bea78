/*
 * oci/image_config.h: the configuration of an image: what it runs, and from
 * which layers it was made.
 *
 * Spec: image-spec v1.1, config.md; Docker's own members (Healthcheck, OnBuild,
 * ArgsEscaped, Shell, Hostname, container_config ...) are read and kept.
 * The digest of the bytes is the image's id: a config is never re-made from
 * this to serve an existing image.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "oci/decode.h"
#include "oci/digest.h"
#include "oci/platform.h"

#define IMAGE_CONFIG_MAX (4UL * 1024 * 1024) /* bytes of text */

struct healthcheck {
	struct strings test; /* n == 0: inherit; {"NONE"}; {"CMD", ...}; {"CMD-SHELL", cmd} */
	int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns; /* 0 = default */
	int64_t retries;
};

/* The member "config": what a container of the image starts with. */
struct container_config {
	const char *hostname, *domainname, *user; /* NULL when absent */
	bool attach_stdin, attach_stdout, attach_stderr, tty, open_stdin, stdin_once;
	struct strings exposed_ports, volumes; /* keys */
	struct strings env, cmd, entrypoint;   /* at == NULL: not set (Go's nil) */
	struct healthcheck *healthcheck;       /* NULL when absent */
	bool args_escaped, network_disabled;
	const char *image, *working_dir, *mac_address, *stop_signal;
	struct strings on_build, shell;
	struct pairs labels;
	struct opt_int stop_timeout_s;
	const struct json *document; /* the whole object, NULL when built anew */
};

struct image_history {
	const char *created, *created_by, *author, *comment; /* NULL when absent */
	bool empty_layer;
};

struct image_config {
	const char *created, *author, *comment; /* created: RFC 3339; NULL when absent */
	const char *docker_version, *container, *parent;
	const struct json *container_config; /* NULL when absent; written back as it came */
	struct platform platform;            /* os, architecture, variant, os.version */
	struct strings os_features;
	struct container_config config;
	const struct digest *diff_ids;
	size_t n_diff_ids;
	const struct image_history *history;
	size_t n_history;
	const struct json *document; /* the whole, NULL when built anew */
};

/*
 * Decode; a owns everything in *ret.
 *
 * ERR_INVALID for malformed text (message starts with the member's path) or a
 * rootfs.type that is not "layers". History is for display: it need not agree
 * with the number of layers.
 */
MUST_CHECK int image_config_parse(struct arena *a, const char *text, size_t len,
				  struct image_config *ret, struct error *err);
/*
 * Append the document: members sorted by name as Docker writes them, members
 * of `document` that are not in the struct are kept. ERR_INVALID past b's ceiling.
 */
MUST_CHECK int image_config_format(const struct image_config *c, struct buf *b, struct error *err);

/* The "config" object alone, in Docker's order (image inspect, container
 * inspect, commit). */
void healthcheck_write(struct jsonw *w, const struct healthcheck *h);
void container_config_write(struct jsonw *w, const struct container_config *c);
MUST_CHECK int container_config_decode(struct arena *a, const struct json *j,
				       struct container_config *ret, struct error *err);
