/*
 * http/server.h: the HTTP/1.1 server of proad and proa-registry.
 *
 * One waiter thread (http_server_run) holds every idle connection in one epoll
 * set and collects request heads; a request whose head is complete gets a
 * thread of its own (256 KiB stack, reused) which runs the handler with plain
 * blocking calls. While a handler runs, the waiter watches the connection and
 * fires request->cancel when the client goes away or the server stops.
 *
 * A half-sent head is closed after header_timeout_ms and costs no thread; a
 * malformed one is answered 400 (431 when too large) and closed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/stream.h"
#include "http/message.h"
#include "http/tls.h"
#include "http/url.h"

struct http_server;
struct http_response;

struct http_server_config {
	const char *name;         /* value of the Server header; NULL: none. Borrowed. */
	unsigned max_connections; /* all together; 0: 4096. More are closed at accept */
	unsigned max_per_peer;    /* per remote IPv4 address or IPv6 /64; 0: 256 */
	int header_timeout_ms;    /* 0: 10 s for the whole head, and for the TLS handshake */
	int idle_timeout_ms;      /* keep-alive over TCP without a request; 0: 300 s */
	int read_timeout_ms;      /* longest pause within a request body; 0: none */
	int write_timeout_ms;     /* longest wait for a client that does not read; 0: none */
	unsigned min_body_rate;   /* bytes a second that a body must average after its first
				   * minute; 0: none */
	bool accept_context_fd;   /* see http_request.context_fd */
	int quiet_after_ms;       /* with on_quiet: no request and no connection's event so long */
	void (*on_quiet)(void);   /* once in each quiet time, on the waiter's thread; NULL: none */
	void (*on_tick)(void);    /* there, too: about once a second, but not in a quiet time */
};

/* One request. Everything in it lives until the handler returns. */
struct http_request {
	struct arena *arena;
	const char *method;
	const char *target; /* as sent */
	const char *path;   /* decoded, starts with '/' */
	struct http_query query;
	struct http_headers headers;
	int minor; /* HTTP/1.minor */

	struct reader *body;    /* never NULL; at its end at once when there is none */
	int64_t content_length; /* -1: chunked; 0: no body */
	const char *upgrade;    /* protocol the client wants to switch to, or NULL */

	struct cancel *cancel; /* client gone, or the server stops */

	bool local;       /* a Unix socket */
	pid_t peer_pid;   /* local only, else 0 */
	uid_t peer_uid;   /* local only, else (uid_t)-1 */
	const char *peer; /* "10.0.0.7:41234", "[::1]:5", or "@" for local ones */
	bool tls;
	const char *tls_subject; /* common name of a verified client certificate, or NULL */
	/*
	 * Descriptors that came with the request by SCM_RIGHTS when it carries the
	 * header X-Proa-Context-Fd; borrowed: they live as the request. context_fd is
	 * the first one (a build context's directory) or FD_NONE.
	 */
	int passed_fds[HTTP_PASSED_FDS_MAX];
	size_t n_passed_fds;
	int context_fd;
};

/*
 * Answers one request. Runs on the request's own thread; may block. When it
 * returns without having sent anything, 500 is sent. When it returns in the
 * middle of a fixed body, the connection is closed; a chunked body is ended.
 */
typedef void (*http_handler)(void *arg, struct http_request *req, struct http_response *res);

MUST_CHECK int http_server_new(const struct http_server_config *config, http_handler handler,
			       void *arg, struct http_server **ret, struct error *err);

/*
 * Listen on a Unix socket. A socket file that nobody listens on is replaced;
 * one that answers is ERR_CONFLICT. The file is removed by http_server_free.
 *
 * mode, gid  of the socket file; gid (gid_t)-1 leaves the group alone
 */
MUST_CHECK int http_server_listen_unix(struct http_server *s, const char *path, mode_t mode,
				       gid_t gid, struct error *err);
/* host "" or NULL: all addresses. port 0: any, see *ret_port (may be NULL).
 * tls NULL: plain; a reference is taken. */
MUST_CHECK int http_server_listen_tcp(struct http_server *s, const char *host, uint16_t port,
				      struct http_tls *tls, uint16_t *ret_port, struct error *err);
/* A socket that listens already (systemd). */
MUST_CHECK int http_server_listen_fd(struct http_server *s, int take_fd, struct http_tls *tls,
				     struct error *err);

/* Serve until http_server_stop; returns after busy requests ended or 10 s. */
MUST_CHECK int http_server_run(struct http_server *s, struct error *err);
/* From any thread or signal handler: stop accepting, cancel every request. */
void http_server_stop(struct http_server *s);
void http_server_free(struct http_server *s);

struct http_server_stats {
	unsigned connections; /* open now, busy ones included */
	unsigned busy;        /* requests being answered now, hijacked ones included */
	int64_t last_ns;      /* monotonic: end of the last request, or the start */
};
void http_server_get_stats(struct http_server *s, struct http_server_stats *ret);

/* First value of a request header, NULL when absent. */
const char *http_request_header(const struct http_request *req, const char *name);
/* The whole body, at most b's ceiling: ERR_INVALID past it, ERR_CORRUPT when cut. */
MUST_CHECK int http_request_read(struct http_request *req, struct buf *b, struct error *err);

/* ---- Answers. Status and headers first, then exactly one of send / begin /
 * send_file / hijack. Setting a header again replaces it. ---- */

void http_response_set_status(struct http_response *res, int status);
void http_response_set_header(struct http_response *res, const char *name, const char *value);
void http_response_add_header(struct http_response *res, const char *name, const char *value);
void http_response_set_headerf(struct http_response *res, const char *name, const char *fmt, ...)
    PRINTF(3, 4);
/* True once the head is on its way: the status cannot change any more. */
bool http_response_started(const struct http_response *res);

/* Whole answer with Content-Length. HEAD requests get the head only. */
MUST_CHECK int http_response_send(struct http_response *res, const void *bytes, size_t len,
				  struct error *err);
/*
 * Start a streamed answer. The head goes out with the first write or by
 * http_response_flush; each write is on the wire when it returns.
 *
 * length      bytes that will follow, or -1: chunked (until close for HTTP/1.0)
 * ret_writer  borrowed, lives as long as the request
 */
MUST_CHECK int http_response_begin(struct http_response *res, int64_t length,
				   struct writer **ret_writer, struct error *err);
/* Put the head on the wire now (wait, events, logs -f). */
MUST_CHECK int http_response_flush(struct http_response *res, struct error *err);
/* Content-Length bytes of a regular file from offset, by sendfile where it can be. */
MUST_CHECK int http_response_send_file(struct http_response *res, int fd, uint64_t offset,
				       uint64_t len, struct error *err);

/* A connection that stopped being HTTP. Lives until the handler returns. */
struct http_stream {
	struct reader *reader; /* ends at the client's half-close */
	struct writer *writer;
	int fd; /* the socket for poll, sendfile or a plain splice; with tls, only for poll */
	bool tls;
};
/*
 * Take the connection over. With an Upgrade header in the request the answer is
 * 101 with that protocol (upgrade: name it, NULL = the client's own word);
 * without one it is `200 OK` and raw bytes until close. The Content-Type set
 * before is sent. The client's half-close does not fire request->cancel from
 * here on; its full close does, as far as the kernel tells.
 */
MUST_CHECK int http_response_hijack(struct http_response *res, const char *upgrade,
				    struct http_stream *ret, struct error *err);
/*
 * Take the connection over and give its socket away: the server forgets it. Returns when a
 * client on a Unix socket has read the head, after a second at the latest: what is written
 * now reaches it in a read of its own.
 *
 * ret_fd     owned by the caller; one end of a socketpair that the server pumps
 *            after the handler returned when the connection is TLS
 * ret_early  bytes the client sent behind its head; lives as the request
 */
MUST_CHECK int http_response_detach(struct http_response *res, const char *upgrade, int *ret_fd,
				    const void **ret_early, size_t *ret_early_len,
				    struct error *err);
/* The answer cannot be completed: the connection is cut, so that the client sees
 * a truncated body instead of a whole one. Returns nothing; just return after it. */
void http_response_abort(struct http_response *res);
