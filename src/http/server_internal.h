/*
 * http/server_internal.h: what the waiter, the workers and the answers share.
 *
 * Who may touch a connection follows from its state, which is guarded by
 * server->lock: CONN_HEAD belongs to the waiter, CONN_BUSY to one worker (the
 * waiter may then only fire its cancel), CONN_DEAD waits to be freed by the
 * waiter, the only thread that frees while the server runs: its batch of epoll
 * events may still name the connection.
 */
#pragma once

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/lock.h"
#include "base/vec.h"
#include "http/body.h"
#include "http/server.h"
#include "http/transport.h"

enum watch_kind { WATCH_WAKE, WATCH_LISTENER, WATCH_CONN };

/* First member of everything that epoll's data pointer names. */
struct watch {
	enum watch_kind kind;
};

enum conn_state { CONN_HEAD, CONN_BUSY, CONN_DEAD };

struct server_conn {
	struct watch watch;
	struct http_server *server;
	struct server_conn *next, *prev; /* server->conns */
	struct server_conn *next_ready;  /* server->ready or server->dead */
	enum conn_state state;
	int64_t deadline_ns; /* CONN_HEAD: close then; 0: never */
	bool head_begun; /* deadline_ns is that of a head (or handshake), not of the idle time */
	short wants;     /* POLLIN or POLLOUT: a handshake goes on then */
	size_t scanned;  /* bytes of src.in that http_head_end has seen */
	struct http_transport transport;
	struct http_source src;
	struct http_tls *tls; /* handshake still to come; a reference */
	bool local, is_tls, peer_known;
	pid_t peer_pid;
	uid_t peer_uid;
	char tls_subject[128];
	struct sockaddr_storage addr;
	bool gone;             /* guarded by server->lock: CONN_BUSY and its peer has left */
	atomic_bool body_open; /* the request body has not been read to its end */
	bool has_cancel;       /* guarded by server->lock, as the firing of it */
	struct cancel cancel;  /* CONN_BUSY: fd is the worker's, borrowed */
};

struct listener {
	struct watch watch;
	int fd;
	bool local;
	struct http_tls *tls; /* a reference, or NULL */
	char *path;           /* Unix: unlinked at the end when still ours */
	dev_t dev;
	ino_t ino;
};

struct http_server {
	struct http_server_config config;
	char *name;
	http_handler handler;
	void *arg;

	struct watch wake_watch;
	int epoll_fd, wake_fd;
	atomic_bool stopping;
	bool quiet_told; /* the waiter's: on_quiet was called since the last event */
	VEC(struct listener *) listeners;

	struct lock lock; /* everything below, and the state of every connection */
	pthread_cond_t work;
	struct server_conn *conns;
	unsigned n_conns, n_busy, n_workers, n_waiting, n_ready;
	struct server_conn *ready, **ready_tail;
	struct server_conn *dead;
	int64_t last_ns;
};

struct http_response {
	struct writer writer;
	struct server_conn *conn;
	struct http_request *req;
	struct arena *arena;
	int status;
	VEC(struct http_header) headers;
	struct buf head; /* composed, not yet on the wire */
	enum http_framing framing;
	uint64_t left; /* HTTP_BODY_LENGTH */
	bool head_only, started, hijacked, failed, keep_alive;
	struct reader stream_reader;
	struct writer stream_writer;
	int pump_fd; /* our end of a detached TLS connection, or FD_NONE */
};

/* serve.c: the life of a worker thread. arg is the server. */
void server_worker(void *arg);

/* server.c, for the workers. */
void server_watch_hangup(struct server_conn *c, bool half_close_too);
/* From its first byte a head has header_timeout_ms, however it drips. */
void server_head_begins(struct server_conn *c, int64_t now_ns);

/* response.c */
void response_init(struct http_response *res, struct server_conn *c, struct http_request *req,
		   bool keep_alive);
/* Complete what the handler left open. */
void response_finish(struct http_response *res);
