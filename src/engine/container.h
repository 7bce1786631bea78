/*
 * engine/container.h: containers, as the API sees them.
 *
 * Conventions in engine/engine.h. Every function: ERR_NOT_FOUND "No such
 * container: REF" (ERR_INVALID when a prefix is ambiguous), further kinds as noted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/stream.h"

struct engine;

/* POST /containers/create: {Id,Warnings}. name, platform: NULL = not given.
 * ERR_NOT_FOUND "No such image: X", ERR_CONFLICT for the name, ERR_INVALID. */
MUST_CHECK int container_create(struct engine *e, const char *name, const char *platform,
				const struct json *body, struct jsonw *out, struct error *err);
/* *ret_changed false: it was already so (304). */
MUST_CHECK int container_start(struct engine *e, const char *ref, const char *detach_keys,
			       bool *ret_changed, struct error *err);
#define CONTAINER_TIMEOUT_DEFAULT INT32_MIN /* the container's own, else 10 s */
/* timeout_s: -1 waits for ever. signal NULL: the container's StopSignal. */
MUST_CHECK int container_stop(struct engine *e, const char *ref, const char *signal,
			      int32_t timeout_s, bool *ret_changed, struct error *err);
MUST_CHECK int container_restart(struct engine *e, const char *ref, const char *signal,
				 int32_t timeout_s, struct error *err);
/* signal NULL or "": KILL. ERR_CONFLICT when not running. */
MUST_CHECK int container_kill(struct engine *e, const char *ref, const char *signal,
			      struct error *err);
MUST_CHECK int container_pause(struct engine *e, const char *ref, struct error *err);
MUST_CHECK int container_unpause(struct engine *e, const char *ref, struct error *err);
MUST_CHECK int container_rename(struct engine *e, const char *ref, const char *name,
				struct error *err);
/* {Warnings:null} */
MUST_CHECK int container_update(struct engine *e, const char *ref, const struct json *body,
				struct jsonw *out, struct error *err);
/* ERR_CONFLICT when running without force. */
MUST_CHECK int container_remove(struct engine *e, const char *ref, bool force, bool volumes,
				bool link, struct error *err);
MUST_CHECK int container_resize(struct engine *e, const char *ref, uint16_t rows, uint16_t cols,
				struct error *err);

enum container_wait_condition { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED };
/* "" and NULL: not-running. ERR_INVALID for another word. */
MUST_CHECK int container_wait_condition_parse(const char *s, enum container_wait_condition *ret,
					      struct error *err);
/* The head (a write of length 0) goes out as soon as the wait is registered; the
 * object {"Error":null,"StatusCode":n} follows. On cancel the object has the error. */
MUST_CHECK int container_wait(struct engine *e, const char *ref,
			      enum container_wait_condition condition, struct writer *out,
			      const struct cancel *cancel, struct error *err);

MUST_CHECK int container_inspect(struct engine *e, const char *ref, bool size, struct jsonw *out,
				 struct error *err);
/* limit <= 0: no limit. */
MUST_CHECK int container_list(struct engine *e, bool all, int64_t limit, bool size,
			      const struct json *filters, struct jsonw *out, struct error *err);
/* {ContainersDeleted,SpaceReclaimed}; an unknown filter is ERR_INVALID. */
MUST_CHECK int container_prune(struct engine *e, const struct json *filters, struct jsonw *out,
			       struct error *err);
/* {Titles,Processes}; ps_args NULL = "-ef". ERR_CONFLICT when not running. */
MUST_CHECK int container_top(struct engine *e, const char *ref, const char *ps_args,
			     struct jsonw *out, struct error *err);
/* [{Path,Kind}] or null. */
MUST_CHECK int container_changes(struct engine *e, const char *ref, struct jsonw *out,
				 struct error *err);
/* The whole root file system as a tar. */
MUST_CHECK int container_export(struct engine *e, const char *ref, struct writer *out,
				const struct cancel *cancel, struct error *err);

/* What X-Docker-Container-Path-Stat says. Members of one object. */
MUST_CHECK int container_archive_stat(struct engine *e, const char *ref, const char *path,
				      struct jsonw *out, struct error *err);
/* *stat gets the same object before the first byte goes to `out`. */
MUST_CHECK int container_archive_get(struct engine *e, const char *ref, const char *path,
				     struct jsonw *stat, struct writer *out,
				     const struct cancel *cancel, struct error *err);
struct container_archive_put_options {
	bool no_overwrite_dir_non_dir;
	bool copy_uid_gid;
};
/* `in` is a tar, plain or compressed with gzip, zstd, bzip2 or xz. */
MUST_CHECK int container_archive_put(struct engine *e, const char *ref, const char *path,
				     const struct container_archive_put_options *o,
				     struct reader *in, struct error *err);

struct container_commit_options {
	const char *repo, *tag, *comment, *author; /* NULL = not given */
	bool no_pause;
	const char *const *changes; /* Dockerfile instructions; NULL-terminated, may be NULL */
};
/* {Id}. body: Config to override, may be NULL. */
MUST_CHECK int container_commit(struct engine *e, const char *ref,
				const struct container_commit_options *o, const struct json *body,
				struct jsonw *out, struct error *err);

struct container_logs_options {
	bool follow, stdout, stderr, timestamps, details;
	const char *since, *until; /* Docker's forms; NULL or "0" = not given */
	const char *tail;          /* number, "all", "-1"; NULL = all */
};
/* Framed unless the container has a tty. ERR_INVALID "Bad parameters: you must
 * choose at least one stream". One write may hold many frames. */
MUST_CHECK int container_logs(struct engine *e, const char *ref,
			      const struct container_logs_options *o, struct writer *out,
			      const struct cancel *cancel, struct error *err);
MUST_CHECK int container_is_tty(struct engine *e, const char *ref, bool *ret, struct error *err);

/*
 * Attach in two steps: attach_begin makes all checks (its error is the answer);
 * then the api sends its 101 or 200 head; then attach_commit gives the
 * connection away. The shim owns it from then on and it outlives this process:
 * the caller forgets the socket. A TLS or websocket connection is represented
 * by one end of a socketpair which the caller pumps.
 */
struct attach;
struct container_attach_options {
	bool stream, stdin, stdout, stderr, logs;
	const char *detach_keys; /* NULL = default of none on the server's side */
};
MUST_CHECK int container_attach_begin(struct engine *e, const char *ref,
				      const struct container_attach_options *o, struct attach **ret,
				      struct error *err);
/* Raw bytes instead of frames. */
bool attach_is_tty(const struct attach *a);
/*
 * take_a is freed, take_fd (a connected stream socket, any blocking mode) is
 * taken, both also on failure. early: bytes the client sent behind its request
 * head. For an exec this starts the process, and a failure of that is told to
 * the client in the stream; it is then not an error here.
 */
MUST_CHECK int attach_commit(struct attach *take_a, int take_fd, const void *early,
			     size_t early_len, struct error *err);
void attach_abort(struct attach *take_a);
