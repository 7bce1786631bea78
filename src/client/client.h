/*
 * client/client.h: the Engine API as the CLI and Compose speak it.
 *
 * Hosts: unix://PATH, tcp://HOST:PORT (plain or TLS), fd://N (a connected
 * socket), ssh://[USER@]HOST[:PORT][/SOCKET] (ssh runs `docker system dial-stdio` there).
 *
 * A struct client may be used by several threads; each request in flight has
 * a connection of its own, idle ones are kept for the next.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/cancel.h"
#include "base/error.h"
#include "base/json.h"
#include "base/stream.h"
#include "http/message.h"

#define CLIENT_API_VERSION_MAX "1.51"
#define CLIENT_API_VERSION_MIN "1.24"

struct client;

struct client_config {
	const char *host;                  /* "unix:///run/proa/proa.sock" */
	const char *api_version;           /* DOCKER_API_VERSION; NULL: negotiate */
	const char *user_agent;            /* NULL: "proa/VERSION (linux)" */
	const struct http_header *headers; /* sent with every request (HttpHeaders); copied */
	size_t n_headers;
	/* TLS (DOCKER_TLS_VERIFY, DOCKER_CERT_PATH); all NULL and false: plain. */
	bool tls, tls_verify;
	const char *tls_ca, *tls_cert, *tls_key;
};

/* Parse the host, connect nothing. ERR_INVALID "unable to parse docker host `x`". */
MUST_CHECK int client_new(const struct client_config *config, struct client **ret,
			  struct error *err);
void client_free(struct client *c);

struct client_ping {
	char api_version[16]; /* "" when the server names none (1.24 is taken) */
	char os_type[16];
	char builder_version[8];
	bool experimental;
};
/*
 * HEAD /_ping (GET when HEAD is refused), and settle the version: the smaller
 * of ours and the server's. Done by the first request when not called before.
 * ERR_UNAVAILABLE when nobody answers: "Cannot connect to the Docker daemon at
 * H. Is the docker daemon running?", err->sys holds errno.
 */
MUST_CHECK int client_negotiate(struct client *c, struct client_ping *ret /* may be NULL */,
				struct error *err);
/* "1.51"; after negotiation. */
const char *client_api_version(const struct client *c);

struct client_request {
	const char *method;
	const char *path;  /* encoded, without /vX.Y: "/containers/json" */
	const char *query; /* encoded, without '?'; NULL: none. See client_query */
	bool unversioned;
	const struct http_header *headers;
	size_t n_headers;
	const void *body; /* whole body; NULL: none */
	size_t body_len;
	const char *content_type;   /* NULL with a body: application/json */
	struct reader *body_reader; /* streamed body, chunked */
	/* Passed over the Unix socket (X-Proa-Context-Fd); the first is a build's context. */
	const int *fds;
	size_t n_fds;
	const struct cancel *cancel; /* may be NULL */
};

struct client_response {
	int status;
	const struct http_headers *headers;
	struct reader *body;
};

/*
 * One request. An answer >= 400 is a failure: its kind by the status (400
 * INVALID, 401 UNAUTHORIZED, 403 FORBIDDEN, 404 NOT_FOUND, 409 CONFLICT, 501
 * UNIMPLEMENTED, 503 UNAVAILABLE, others SYSTEM with sys 0), its text the
 * body's {"message"}, without any prefix.
 *
 * *ret  freed with client_response_free, which also ends a stream early
 */
MUST_CHECK int client_do(struct client *c, const struct client_request *req,
			 struct client_response **ret, struct error *err);
void client_response_free(struct client_response *r);
/* First value of a header, NULL when absent. */
const char *client_response_header(const struct client_response *r, const char *name);

/*
 * Request and whole JSON answer.
 *
 * body  JSON text (NUL-terminated) or NULL
 * a     the document lives in it; *ret is NULL for an empty answer. ret may be
 *       NULL: the answer is dropped
 */
MUST_CHECK int client_json(struct client *c, const char *method, const char *path,
			   const char *query, const char *body, struct arena *a,
			   const struct json **ret, struct error *err);

/*
 * Next message of a JSON stream (pull, push, build, load, events, stats):
 * objects one after the other, separated by \n, \r\n or nothing.
 */
struct client_messages {
	struct reader *from; /* borrowed */
	struct buf in;
	size_t at;
	bool ended;
};
void client_messages_init(struct client_messages *m, struct reader *from);
/* As text, valid until the next call; *ret_text is NULL at the end. */
MUST_CHECK int client_messages_next(struct client_messages *m, const char **ret_text,
				    size_t *ret_len, struct error *err);
void client_messages_release(struct client_messages *m);

/* A connection that became a raw stream (attach, exec start). */
struct client_stream {
	int fd;           /* owned; blocking reads and writes are fine on it */
	char *early;      /* bytes that came right behind the head; owned */
	size_t early_len; /* consume these first */
	bool multiplexed; /* Content-Type application/vnd.docker.multiplexed-stream */
};
MUST_CHECK int client_hijack(struct client *c, const struct client_request *req,
			     struct client_stream *ret, struct error *err);
/* stdin is at its end: shutdown(SHUT_WR). */
void client_stream_close_write(struct client_stream *s);
void client_stream_release(struct client_stream *s);

/* Building an encoded query: client_query_add(&q, "all", "1"); then q.data. A NULL
 * value adds nothing. */
void client_query_add(struct buf *q, const char *key, const char *value);
void client_query_add_bool(struct buf *q, const char *key, bool value); /* only when true: "1" */
void client_query_add_int(struct buf *q, const char *key, int64_t value);
/* "/containers/" + escaped name + "/json" in the arena. Slashes and colons in the
 * name stay (image references). */
const char *client_path(struct arena *a, const char *before, const char *name, const char *after);
