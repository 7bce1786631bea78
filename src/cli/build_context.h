/*
 * cli/build_context.h: what a build reads: a directory, a tar on stdin, a URL.
 */
#pragma once

#include "base/stream.h"
#include "cli/cli.h"
#include "cli/context_ignore.h"

/* Name of a Dockerfile from elsewhere in a tar: it hides no file of the context. */
#define BUILD_CONTEXT_SENT ".dockerfile.proa" /* beside a context that has its own */

struct build_context {
	const char *remote;          /* a URL that the engine fetches */
	int dir_fd;                  /* a directory of ours; FD_NONE: stdin or remote */
	bool from_stdin;             /* a tar comes on stdin */
	const char *dockerfile;      /* path in the context */
	const char *dockerfile_text; /* it is not in the context: -f - or -f ../x, or '-' was
				      * a Dockerfile */
	struct context_ignore ignore;
	struct buf head; /* bytes of stdin already read */
};
#define BUILD_CONTEXT_INIT \
	{ \
		.dir_fd = FD_NONE, .head = BUF_INIT(16 << 20) \
	}
void build_context_release(struct build_context *c);

/*
 * where  PATH, URL or "-"; file  of --file, "" for the default
 * ERR_INVALID "unable to prepare context: ..." with docker's texts.
 */
MUST_CHECK int build_context_open(struct cli *cli, const char *where, const char *file,
				  struct build_context *ret, struct error *err);
/* The context as a tar: for pipe_body; data is the context. */
int build_context_write(void *data, struct writer *to, struct error *err);
