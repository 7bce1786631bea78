/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pipe_body.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void *body_main(void *arg)
{
	struct pipe_body *b = arg;

	b->r = b->write(b->data, &b->out.writer, &b->err);
	close(b->out.fd);
	return NULL;
}

int pipe_body_start(struct pipe_body *b,
		    int (*write)(void *data, struct writer *to, struct error *err), void *data,
		    struct error *err)
{
	int fds[2], r;

	memset(b, 0, sizeof(*b));
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_sys(err, errno, "pipe");
	fd_reader_init(&b->in, fds[0], NULL);
	fd_writer_init(&b->out, fds[1], NULL);
	b->reader = &b->in.reader;
	b->write = write;
	b->data = data;
	r = pthread_create(&b->thread, NULL, body_main, b);
	if (r != 0) {
		close(fds[0]);
		close(fds[1]);
		return error_sys(err, r, "start a thread");
	}
	return 0;
}

int pipe_body_finish(struct pipe_body *b, struct error *err)
{
	close(b->in.fd);
	pthread_join(b->thread, NULL);
	if (b->r < 0 && b->err.sys == EPIPE)
		return 0;
	if (b->r < 0 && err)
		*err = b->err;
	return b->r;
}
