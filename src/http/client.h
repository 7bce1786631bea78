/*
 * http/client.h: one HTTP/1.1 request over a connected socket, and its answer.
 *
 * Plain sockets only, no OpenSSL. One struct http_call is one exchange; a
 * connection whose answer was read to its end may carry the next one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/stream.h"
#include "http/body.h"
#include "http/message.h"
#include "http/transport.h"

/* Connect to a Unix socket; ERR_UNAVAILABLE with errno in err->sys when nobody listens. */
MUST_CHECK int http_dial_unix(const char *path, int *ret_fd, struct error *err);
/* host: name or address; tries every address. */
MUST_CHECK int http_dial_tcp(const char *host, const char *port, int timeout_ms, int *ret_fd,
			     struct error *err);

struct http_call_head {
	const char *method, *target; /* target: encoded, starts with '/' */
	const char *host;            /* Host header */
	const struct http_header *headers;
	size_t n_headers;
	const void *body; /* whole body, or NULL */
	size_t body_len;
	struct reader *body_reader; /* sent chunked; NULL when there is none */
	const char *upgrade;        /* "tcp": ask for a hijack */
	const int *pass_fds;        /* sent by SCM_RIGHTS (Unix sockets only) */
	size_t n_pass_fds;
};

struct http_conn {
	struct http_transport transport;
	struct http_source src;
};

struct http_call {
	struct http_conn *conn; /* borrowed */
	struct arena arena;
	struct http_head head;
	struct http_body body; /* body.reader gives the answer's bytes */
};

void http_conn_init(struct http_conn *c, int take_fd);
void http_conn_release(struct http_conn *c);

/*
 * Send the request and read the answer's head (1xx but 101 are skipped). When
 * the server answers before the whole body is sent, sending stops there.
 * *ret->body is ready to be read; release with http_call_release.
 */
MUST_CHECK int http_call_start(struct http_conn *c, const struct http_call_head *req,
			       struct http_call *ret, struct error *err);
/* True when the answer was read to its end and the connection can be used again. */
bool http_call_reusable(const struct http_call *call);
void http_call_release(struct http_call *call);
