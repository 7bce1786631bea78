/*
 * base/stream.h: bytes that flow, in both directions, one interface.
 *
 * Every room that moves content (http bodies, layers, tars, blobs) speaks
 * these two, so that a pull is a chain of small objects and no temporary copy.
 * An implementation embeds the struct first and documents who frees it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct reader;
struct writer;

struct reader_ops {
	/* Up to `len` bytes into `out`; *ret_n == 0 means the end, for good.
	 * Blocks until at least one byte or the end. */
	int (*read)(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err);
};
struct reader {
	const struct reader_ops *ops;
};

struct writer_ops {
	/* All of the bytes, or an error. */
	int (*write)(struct writer *w, const void *bytes, size_t len, struct error *err);
};
struct writer {
	const struct writer_ops *ops;
};

MUST_CHECK static inline int reader_read(struct reader *r, void *out, size_t len, size_t *ret_n,
					 struct error *err)
{
	return r->ops->read(r, out, len, ret_n, err);
}

MUST_CHECK static inline int writer_write(struct writer *w, const void *bytes, size_t len,
					  struct error *err)
{
	return w->ops->write(w, bytes, len, err);
}

/* Append everything up to the end to b; ERR_INVALID past b's ceiling. */
MUST_CHECK int reader_read_all(struct reader *r, struct buf *b, struct error *err);
/* Everything from r to w through one 64 KiB buffer; at most max_bytes or ERR_INVALID. */
MUST_CHECK int stream_copy(struct reader *r, struct writer *w, uint64_t max_bytes,
			   uint64_t *ret_n /* may be NULL */, struct error *err);

/* Ready-made ends. The fd is borrowed. */
struct fd_reader {
	struct reader reader;
	int fd;
	const struct cancel *cancel; /* may be NULL; checked by poll before each read */
};
struct fd_writer {
	struct writer writer;
	int fd;
	const struct cancel *cancel;
};
struct mem_reader {
	struct reader reader;
	const char *at;
	size_t len;
};
struct buf_writer {
	struct writer writer;
	struct buf *buf; /* borrowed; its ceiling is the limit */
};
void fd_reader_init(struct fd_reader *r, int fd, const struct cancel *cancel);
void fd_writer_init(struct fd_writer *w, int fd, const struct cancel *cancel);
void mem_reader_init(struct mem_reader *r, const void *bytes, size_t len);
void buf_writer_init(struct buf_writer *w, struct buf *b);
