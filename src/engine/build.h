/*
 * engine/build.h: POST /build, build cache.
 *
 * Conventions in engine/engine.h. What the builder itself does is in build/.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "base/stream.h"
#include "engine/engine.h"

/* How what was built leaves the engine, besides becoming an image; and where caches come
 * from and go to. */
struct engine_build_place {
	const char *type;                /* "image" "docker" "oci" "tar" "local" "registry" ... */
	const struct engine_pair *attrs; /* "name" -> ... */
	size_t n_attrs;
	int fd; /* borrowed: the file (docker, oci, tar) or directory (local); else FD_NONE */
};

struct engine_build_secret {
	const char *id;
	struct str value; /* bytes; never logged, never in a layer */
};

/* A terminal for a shell in the file system of a step that failed. */
struct engine_build_shell {
	int fd, size_fd;  /* borrowed sockets: its bytes, and lines "ROWS COLUMNS" */
	const char *term; /* TERM in it; may be NULL */
};

struct engine_build_context {
	const char *name;  /* --build-context NAME=value */
	const char *value; /* "docker-image://x", a path (only with fd), ... */
	int fd;            /* directory, or FD_NONE */
};

/* Query keys of the API in its words; lists end with NULL; NULL, 0 and false
 * are "not given". All borrowed for the call. */
struct engine_build {
	const char *const *tags; /* t */
	const char *dockerfile;  /* path in the context; "Dockerfile" */
	const char *target;
	const struct engine_pair *build_args; /* value NULL: given without value */
	size_t n_build_args;
	const struct engine_pair *labels;
	size_t n_labels;
	bool no_cache, pull, quiet, squash;
	bool named_caches_only;   /* with cache_from: no cache when none of these images is here */
	const char *network_mode; /* "default" "none" "host" or a network */
	const char *platform;
	const char *const *cache_from;  /* cachefrom: names of images */
	const char *const *extra_hosts; /* "name:ip" */
	int64_t shm_bytes, memory_bytes, memory_swap_bytes;
	int64_t cpu_shares, cpu_period_us, cpu_quota_us;
	const char *cpuset_cpus, *cpuset_mems, *cgroup_parent;
	const struct json *ulimits;       /* [{"Name","Soft","Hard"}] */
	const struct json *registry_auth; /* X-Registry-Config decoded */

	/* The context: exactly one of these. */
	const char *remote;     /* a URL of a git repository, a tar or a Dockerfile */
	struct reader *context; /* a tar, plain or compressed */
	int context_fd;         /* the directory itself (local client); FD_NONE = none */
	/* The Dockerfile's text when it is not in the context ("-f -"); else NULL. */
	const struct str *dockerfile_text;
	const struct str *ignore_text; /* likewise for its .dockerignore */

	/* What the stock API does not have (own query keys and headers). */
	const struct engine_build_secret *secrets;
	size_t n_secrets;
	const struct engine_build_context *named_contexts;
	size_t n_named_contexts;
	const struct engine_build_place *outputs;
	size_t n_outputs;
	const struct engine_build_place *caches_from, *caches_to; /* --cache-from, --cache-to */
	size_t n_caches_from, n_caches_to;
	const char *const *entitlements;    /* "network.host" "security.insecure" */
	const char *const *no_cache_filter; /* stages that are never taken from the cache */
	const char *call; /* "check" "outline" "targets": only tell; NULL: build */
	bool plan;        /* predict hits, run nothing */
	bool explain;     /* say why each step ran */
	bool real_times;  /* keep wall-clock times: not reproducible */
	bool profile;     /* say what each step has used */
	const struct engine_build_shell *shell; /* NULL: a step that fails just fails */
	bool metadata; /* tell digests and names at the end: {"proa":{"metadata":{..}}} */
	bool events;   /* stream objects {"proa":{...}} as well (BuildKit-like progress) */
};

/*
 * Build. Everything that the client can be told with a status (a context that
 * is none, a Dockerfile that does not parse: ERR_INVALID, ERR_NOT_FOUND) is
 * returned before the first write. After it the stream tells: objects {"stream"},
 * {"aux":{"ID"}}, {"error","errorDetail":{"code","message"}}, each followed by CR LF in one
 * write; the call then returns 0 also when the build failed.
 *
 * With `events`, instead of {"stream"}: {"proa":{"vertex":{...}}} and so on, see
 * docs/build-events.md.
 *
 * ret_id  owned "sha256:<hex>", NULL when the build failed or made no image; may be NULL
 */
MUST_CHECK int engine_build(struct engine *e, const struct engine_build *b, struct writer *out,
			    const struct cancel *cancel, char **ret_id, struct error *err);

/* What POST /build/prune leaves; bytes, 0: no such limit. */
struct engine_build_limits {
	bool all;
	int64_t reserved_bytes, max_used_bytes, min_free_bytes;
};
/* POST /build/prune: {"CachesDeleted":[...],"SpaceReclaimed":n}. filters: "until", "unused-for",
 * "id", "type", "inuse", "shared", "private", "description"; an unknown one is ERR_INVALID. */
MUST_CHECK int engine_build_prune(struct engine *e, const struct json *filters,
				  const struct engine_build_limits *limits, struct jsonw *out,
				  struct error *err);
/* The array of BuildCache records in GET /system/df, and their size. */
MUST_CHECK int engine_build_usage(struct engine *e, struct jsonw *out, int64_t *ret_bytes,
				  struct error *err);
/* A cache mount as a tar, by its id: out of the engine and into it. proa's own:
 * GET and PUT /build/mounts?id=. See builder_mount_export. */
MUST_CHECK int engine_build_mount_get(struct engine *e, const char *id, struct writer *out,
				      const struct cancel *cancel, struct error *err);
MUST_CHECK int engine_build_mount_put(struct engine *e, const char *id, struct reader *in,
				      const struct cancel *cancel, struct error *err);
/* Builds that run now. */
size_t engine_build_running(struct engine *e);

/* engine_open and engine_close call these. */
MUST_CHECK int build_room_open(struct engine *e, struct error *err);
void build_room_close(struct engine *e);
