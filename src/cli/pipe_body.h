/*
 * cli/pipe_body.h: a request body that a thread writes while it is sent.
 */
#pragma once

#include <pthread.h>

#include "base/stream.h"

struct pipe_body {
	struct reader *reader; /* the body */
	/* private */
	struct fd_reader in;
	struct fd_writer out;
	int (*write)(void *data, struct writer *to, struct error *err);
	void *data;
	pthread_t thread;
	struct error err;
	int r;
};

/* Start `write` on a thread; `b` must stay where it is until pipe_body_finish. */
MUST_CHECK int pipe_body_start(struct pipe_body *b,
			       int (*write)(void *data, struct writer *to, struct error *err),
			       void *data, struct error *err);
/* Close our end, join. The thread's failure, unless the reader went away first. */
MUST_CHECK int pipe_body_finish(struct pipe_body *b, struct error *err);
