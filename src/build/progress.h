/*
 * build/progress.h: what a build tells its client.
 *
 * Two forms of one event log: the classic stream of POST /build, in the order
 * of the Dockerfile however parallel the build is, and events for `proa build`
 * (docs/build-events.md). A client that has gone makes the build's cancel its business: the
 * first failed write is remembered and later ones are dropped.
 */
#pragma once

#include "base/stream.h"
#include "build/graph.h"
#include "build/lint.h"

struct progress;

struct progress *progress_new(struct writer *out, bool events, bool quiet);
void progress_free(struct progress *p);
/* Once the graph is known; borrowed until the end. */
void progress_graph(struct progress *p, const struct graph *g);
void progress_lint(struct progress *p, const struct lint *l, const char *dockerfile,
		   struct str source);
void progress_start(struct progress *p, struct node *n);
/* Output of a step: stream 1 or 2. */
void progress_log(struct progress *p, struct node *n, int stream, const char *bytes, size_t len);
void progress_done(struct progress *p, struct node *n, const struct error *err /* NULL: fine */);
/* What it has used. Only with events. */
void progress_cost(struct progress *p, const struct node *n);
/* From here on the client's terminal is the shell's: what runs in it. Only with events. */
void progress_shell(struct progress *p, const struct node *n, const char *command);
/* Why a step ran. */
void progress_reason(struct progress *p, struct node *n, const char *reason);
/* A text of its own, before or after the steps ("Successfully built ..."). */
void progress_text(struct progress *p, const char *fmt, ...) PRINTF(2, 3);
/* Likewise, but not in a quiet build, whose only text is the id. */
void progress_note(struct progress *p, const char *fmt, ...) PRINTF(2, 3);
void progress_image_id(struct progress *p, const char *id);
/* The end: {"error","errorDetail"}. code: exit status of a RUN, or 0. `source` is the
 * text of file `where`. */
void progress_error(struct progress *p, const struct error *err, int code, const char *where,
		    unsigned line, struct str source);
/* Something else as a whole JSON value under "proa". Only with events. */
void progress_object(struct progress *p, const char *key, const char *json, size_t len);
bool progress_broken(struct progress *p);

/* What a build does beside the Dockerfile's steps: shown as a step of its own, only with events. */
struct progress_task {
	unsigned id;
	int64_t started_ns;
	char name[256];
};
void progress_task_begin(struct progress *p, struct progress_task *t, const char *fmt, ...)
    PRINTF(3, 4);
/* r: 0, or the failure that err tells. Returns r. */
int progress_task_end(struct progress *p, const struct progress_task *t, int r,
		      const struct error *err);
/* The text that names a step: "[stage 2/3] RUN make". In a static per-thread buffer. */
void progress_name(const struct node *n, char *out, size_t size);
