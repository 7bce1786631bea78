#include "base/stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cancel.h"

int reader_read_all(struct reader *r, struct buf *b, struct error *err)
{
	autofree char *chunk = xcalloc(1, 16384);

	for (;;) {
		size_t n;
		int e = reader_read(r, chunk, 16384, &n, err);

		if (e < 0 || n == 0)
			return e;
		e = buf_add(b, chunk, n, err);
		if (e < 0)
			return e;
	}
}

int stream_copy(struct reader *r, struct writer *w, uint64_t max_bytes, uint64_t *ret_n,
		struct error *err)
{
	enum { SIZE = 65536 };
	autofree char *chunk = xcalloc(1, SIZE);
	uint64_t total = 0;

	for (;;) {
		size_t n;
		int e = reader_read(r, chunk, SIZE, &n, err);

		if (e < 0)
			return e;
		if (n == 0)
			break;
		if (n > max_bytes - total)
			return error_set(err, ERR_INVALID, "longer than %llu bytes",
					 (unsigned long long)max_bytes);
		e = writer_write(w, chunk, n, err);
		if (e < 0)
			return e;
		total += n;
	}
	if (ret_n != NULL)
		*ret_n = total;
	return 0;
}

static int fd_read(struct reader *reader, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct fd_reader *r = container_of(reader, struct fd_reader, reader);
	bool wait = r->cancel != NULL;

	for (;;) {
		ssize_t n;

		if (wait) {
			int e = cancel_poll(r->cancel, r->fd, POLLIN, -1, err);

			if (e < 0)
				return e;
		}
		n = read(r->fd, out, len);
		if (n >= 0) {
			*ret_n = (size_t)n;
			return 0;
		}
		if (errno == EAGAIN)
			wait = true;
		else if (errno != EINTR)
			return error_sys(err, errno, "read");
	}
}

static int fd_write(struct writer *writer, const void *bytes, size_t len, struct error *err)
{
	struct fd_writer *w = container_of(writer, struct fd_writer, writer);
	bool wait = w->cancel != NULL;
	const char *p = bytes;

	while (len > 0) {
		ssize_t n;

		if (wait) {
			int e = cancel_poll(w->cancel, w->fd, POLLOUT, -1, err);

			if (e < 0)
				return e;
		}
		n = write(w->fd, p, len);
		if (n >= 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			wait = true;
		} else if (errno != EINTR) {
			return error_sys(err, errno, "write");
		}
	}
	return 0;
}

static int mem_read(struct reader *reader, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct mem_reader *r = container_of(reader, struct mem_reader, reader);
	size_t n = len < r->len ? len : r->len;

	(void)err;
	if (n > 0)
		memcpy(out, r->at, n);
	r->at += n;
	r->len -= n;
	*ret_n = n;
	return 0;
}

static int buf_write(struct writer *writer, const void *bytes, size_t len, struct error *err)
{
	struct buf_writer *w = container_of(writer, struct buf_writer, writer);

	return buf_add(w->buf, bytes, len, err);
}

static const struct reader_ops fd_reader_ops = { fd_read };
static const struct writer_ops fd_writer_ops = { fd_write };
static const struct reader_ops mem_reader_ops = { mem_read };
static const struct writer_ops buf_writer_ops = { buf_write };

void fd_reader_init(struct fd_reader *r, int fd, const struct cancel *cancel)
{
	*r = (struct fd_reader){ { &fd_reader_ops }, fd, cancel };
}

void fd_writer_init(struct fd_writer *w, int fd, const struct cancel *cancel)
{
	*w = (struct fd_writer){ { &fd_writer_ops }, fd, cancel };
}

void mem_reader_init(struct mem_reader *r, const void *bytes, size_t len)
{
	*r = (struct mem_reader){ { &mem_reader_ops }, bytes, len };
}

void buf_writer_init(struct buf_writer *w, struct buf *b)
{
	*w = (struct buf_writer){ { &buf_writer_ops }, b };
}
