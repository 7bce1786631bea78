/*
 * build/build.h: a Dockerfile and a context become an image.
 *
 * The room below engine/build.h: it knows stores, tasks and networks, but
 * neither the engine nor who asks. One struct builder for a process, one
 * build_run for a build; any number at once.
 *
 * Locks: builder->lock (in-flight keys) before build->lock (one build's graph)
 * before progress->lock before the store's. None is held across a step.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/cancel.h"
#include "base/error.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "base/stream.h"
#include "build/plan.h"

#include "remote/remote.h"

struct store;
struct task_host;
struct network_provider;
struct builder;

/* An image that a Dockerfile names. */
struct builder_ask {
	const char *name;
	const struct platform *platform;
	bool pull; /* ask the registry although it is here */
	const struct json *registry_auth;
	struct writer *log; /* progress of a pull, one line a write */
	const struct cancel *cancel;
};

struct builder_config {
	struct store *store;
	struct task_host *tasks;
	struct network_provider *network; /* NULL: RUN gets no network but "none" and "host" */
	const char *dir;                  /* <data root>/build, absolute; made when absent */
	const char *run_dir; /* <exec root>/build: on tmpfs, because secrets lie there for a step */
	const char *planner; /* proa-runtime, see planner.h; NULL: nothing is built */
	const char *oci_runtime;
	const char *const *oci_runtime_args;
	const char *oci_root;
	const char *cgroup_parent; /* "/docker" */
	bool systemd_cgroup;       /* it is a slice, and systemd makes the groups */
	/* PEM file of the host that RUN steps get read-only, with the variables that
	 * name it to the usual tools; in no layer, history or cache key. NULL: none. */
	const char *ca_certificates;
	/* Find an image, pulling it when it is not here. *ret_id owned. */
	int (*image)(void *arg, const struct builder_ask *ask, char **ret_id, struct error *err);
	/* Name a repository of a registry, with the credentials for it; NULL: there are none.
	 * *ret is remote_close's. */
	int (*repo)(void *arg, const char *name, const struct json *registry_auth,
		    enum remote_action action, const struct cancel *cancel,
		    struct remote_repo **ret, struct error *err);
	/* "builder" of the configuration (see cache_policy.h); NULL: the defaults. Read once. */
	const struct json *cache_config;
	/* The cache could not be collected; may be NULL. */
	void (*gc_failed)(void *arg, const struct error *err);
	/* Told of each new image and each moved tag; may be NULL. */
	void (*tagged)(void *arg, const char *id, const char *tag);
	void *arg;
};

MUST_CHECK int builder_new(const struct builder_config *c, struct builder **ret, struct error *err);
void builder_free(struct builder *b); /* after every build has returned */

/*
 * "entitlements" of the configuration's "builder": what clients may ask for, network.host
 * if nothing is said. ERR_INVALID, ERR_UNIMPLEMENTED for security-insecure.
 * Peer: dockerd, builder-next/controller.go.
 */
MUST_CHECK int builder_entitlements(const struct json *config, bool *ret_net_host,
				    struct error *err);

size_t builder_running(const struct builder *b);

struct build_secret {
	const char *id;
	struct str value;
};

/* A directory by file descriptor, or a tar stream, or nothing. */
struct build_context {
	const char *name; /* "" for the main one */
	int fd;           /* borrowed directory, or FD_NONE */
	struct reader *tar;
	const char *image; /* "docker-image://x": x */
	bool layout;       /* fd is an OCI layout: the image of this tag or digest in it */
	const char *layout_tag, *layout_digest; /* or NULL */
	const char *remote; /* a git repository, or the URL of a tar or of a Dockerfile */
};

struct build_ulimit {
	const char *name; /* "nofile" */
	int64_t soft, hard;
};

struct build_resources {
	int64_t memory_bytes, memory_swap_bytes, cpu_shares, cpu_period_us, cpu_quota_us;
	int64_t shm_bytes;
	const char *cpuset_cpus, *cpuset_mems, *cgroup_parent;
	const struct build_ulimit *ulimits;
	size_t n_ulimits;
};

/* "type=...,key=value": where a result goes, or a cache goes or comes from. */
struct build_place {
	const char *type;
	const struct plan_pair *attrs;
	size_t n_attrs;
	int fd; /* borrowed: a file or directory of the client's, or FD_NONE */
};

/* A client's terminal for a shell where a step has failed. */
struct build_shell {
	int fd;      /* borrowed socket: its bytes */
	int size_fd; /* borrowed socket: lines "ROWS COLUMNS" */
	const char *term;
};

struct build_request {
	const char *const *tags; /* canonical; NULL-terminated */
	const char *dockerfile;
	const struct str *dockerfile_text, *ignore_text;
	const struct build_context *contexts; /* [0] is the main one */
	size_t n_contexts;
	const char *target, *platform, *network;
	const struct plan_pair *build_args, *labels;
	size_t n_build_args, n_labels;
	const struct build_secret *secrets;
	size_t n_secrets;
	const char *const *extra_hosts;
	const struct build_place *cache_from, *cache_to;
	size_t n_cache_from, n_cache_to;
	const char *const *no_cache_stages;
	struct build_resources resources;
	const struct json *registry_auth;
	const struct build_place *outputs;
	size_t n_outputs;
	const char
	    *call; /* "check", "outline", "targets": tell that and build nothing; NULL: build */
	bool no_cache, pull, quiet, net_host, insecure;
	bool plan, explain, real_times, events, squash, metadata;
	bool profile;                    /* say what each step has used */
	const struct build_shell *shell; /* --on-fail=shell; NULL: none */
};

/* See engine_build. q->dockerfile is never NULL. */
MUST_CHECK int build_run(struct builder *b, const struct build_request *q, struct writer *out,
			 const struct cancel *cancel, char **ret_id, struct error *err);
