/*
 * build/planning.h: the engine's end of a planner (planner.h).
 *
 * One for a build. The engine gives the Dockerfile's text and what the client said, finds
 * the images that are asked for, and takes the graph when it is one (plan_wire.h). However
 * the other end goes wrong, this is an error of this build and of nothing else.
 */
#pragma once

#include "base/cancel.h"
#include "base/proc.h"
#include "build/plan_wire.h"

struct planning {
	struct proc proc;
	int fd; /* owned; FD_NONE: none was started, or it has ended */
	const struct cancel *cancel;
};

#define PLANNING_INIT \
	{ \
		.fd = FD_NONE, .proc.pidfd = FD_NONE \
	}

/* Who finds images. */
struct planning_ops {
	/* ret->name is set already. *ret and *ret_config live in the arena; *ret_none: there is
	 * no such image, and that does not matter. Errors but ERR_CANCELED go to the planner. */
	int (*image)(void *arg, const struct plan_ask *ask, struct plan_image_known *ret,
		     struct str *ret_config, bool *ret_none, struct error *err);
	void *arg;
};

/*
 * Start a planner; it is ready while the caller does something else. It dies with the
 * calling thread.
 *
 * program_fd  proa-runtime as it was when the engine started (O_PATH), or FD_NONE
 * program     where it is, when there is no program_fd
 */
MUST_CHECK int planning_start(int program_fd, const char *program, const struct cancel *cancel,
			      struct planning *ret, struct error *err);
/*
 * Give the request and wait for the verdict about the form of the Dockerfile: 0, or its
 * error, with *ret_where. ERR_INVALID too when it takes too much memory or time,
 * ERR_SYSTEM when the planner has crashed, ERR_CORRUPT when it speaks nonsense.
 */
MUST_CHECK int planning_parse(struct planning *p, const struct plan_request *q,
			      struct ast_location *ret_where, struct error *err);
/*
 * After that: serve its questions until it answers. The answer lies in the arena, its
 * verdict may be an error of the Dockerfile; `images` of the terms are filled here. Errors
 * are those of planning_parse.
 */
MUST_CHECK int planning_plan(struct planning *p, struct arena *a, const struct planning_ops *ops,
			     const struct plan_terms *terms, struct plan_answer *ret,
			     struct error *err);
/* The process is over afterwards. Does nothing when there is none. */
void planning_end(struct planning *p);
