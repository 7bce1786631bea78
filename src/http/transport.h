/*
 * http/transport.h: a connected byte pipe, plain or TLS, with deadlines.
 *
 * Blocking from the caller's view; underneath the socket is non-blocking and
 * every wait is a poll of {socket, cancel} with a time-out, so that a stalled
 * peer cannot hold a thread for ever.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/error.h"
#include "base/stream.h"

struct http_transport;

struct http_transport_ops {
	/* Up to len bytes; *ret_n == 0 is the peer's end (or its half-close). Blocks. */
	int (*read)(struct http_transport *t, void *out, size_t len, size_t *ret_n,
		    struct error *err);
	/* All bytes. */
	int (*write)(struct http_transport *t, const void *bytes, size_t len, struct error *err);
	/* No more bytes from us; the other direction stays open. */
	int (*shutdown_write)(struct http_transport *t, struct error *err);
	/* Bytes that can be read without the socket becoming readable. */
	size_t (*pending)(const struct http_transport *t);
	/* Close the socket and free what the transport holds (not t itself). */
	void (*release)(struct http_transport *t);
};

#define HTTP_PASSED_FDS_MAX 8

struct http_transport {
	const struct http_transport_ops *ops;
	int fd;                              /* owned, non-blocking */
	int read_timeout_ms;                 /* < 0: none; each wait starts anew */
	int write_timeout_ms;                /* < 0: none */
	const struct cancel *cancel;         /* wakes reads and writes; may be NULL */
	void *tls;                           /* SSL of http/tls.c */
	int passed_fds[HTTP_PASSED_FDS_MAX]; /* received by SCM_RIGHTS; owned */
	size_t n_passed_fds;
	bool take_fds; /* a Unix socket on which fds are welcome */
};

/* Plain socket. take_fd becomes non-blocking and owned. */
void http_transport_init(struct http_transport *t, int take_fd);
void http_transport_release(struct http_transport *t);
/* Close what was received by SCM_RIGHTS. */
void http_transport_drop_fds(struct http_transport *t);
/* One recvmsg that never waits; errno as it left it. For the waiter of server.c. */
ssize_t http_transport_recv(struct http_transport *t, void *out, size_t len);

/* A transport with the bytes that were read ahead of their use. */
struct http_source {
	struct http_transport *t; /* borrowed */
	struct buf in;            /* [at..in.len) is unread */
	size_t at;
};

/* Buffered bytes first, then the transport. */
MUST_CHECK int http_source_read(struct http_source *s, void *out, size_t len, size_t *ret_n,
				struct error *err);
/* Read more into the buffer; *ret_n == 0 is the end. ERR_INVALID past the ceiling. */
MUST_CHECK int http_source_fill(struct http_source *s, size_t *ret_n, struct error *err);
