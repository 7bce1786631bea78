/* engine/attach_internal.h: an attach between its two steps. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct container;

struct attach {
	struct container *container; /* a reference */
	bool tty, stream, logs;
	unsigned streams;
	char *detach_keys;
	char *exec_id;    /* NULL: the container itself */
	char *start_body; /* of exec start: JSON text */
};

/* A client that waits for the start. */
struct attach_pending {
	int fd;
	unsigned streams;
	bool raw;
	char *detach_keys;
	void *early;
	size_t early_len;
};

struct attach *attach_new(struct container *take_c, bool tty);
/* exec.c: run the exec with this client; failures are told in the stream. */
MUST_CHECK int exec_start_attached(struct attach *a, int take_fd, const void *early,
				   size_t early_len, struct error *err);
