#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/server_internal.h"

/* An idle worker waits this long for another request before it ends. */
#define WORKER_IDLE_S 5
/* Body that a handler did not read: less than this is read for it, so that the
 * connection can be kept. */
#define DRAIN_MAX     (256 * 1024)
#define LINGER_MAX    (64 * 1024 * 1024)
#define LINGER_MS     2000
#define PAUSE_MS      1
#define PACE_GRACE_S  60
#define PEER_TEXT_MAX (INET6_ADDRSTRLEN + 16)

static void format_peer(const struct server_conn *c, char out[static PEER_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "";

	if (c->local) {
		snprintf(out, PEER_TEXT_MAX, "@");
	} else if (c->addr.ss_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&c->addr;

		inet_ntop(AF_INET6, &a->sin6_addr, host, sizeof(host));
		snprintf(out, PEER_TEXT_MAX, "[%s]:%u", host, (unsigned)ntohs(a->sin6_port));
	} else {
		const struct sockaddr_in *a = (const struct sockaddr_in *)&c->addr;

		inet_ntop(AF_INET, &a->sin_addr, host, sizeof(host));
		snprintf(out, PEER_TEXT_MAX, "%s:%u", host, (unsigned)ntohs(a->sin_port));
	}
}

static void learn_peer(struct server_conn *c)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (c->peer_known)
		return;
	c->peer_known = true;
	if (c->local && getsockopt(c->transport.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
		c->peer_pid = cred.pid;
		c->peer_uid = cred.uid;
	}
}

/* The request's body, which tells the waiter when it has been read. */
struct serve_body {
	struct reader reader;
	struct http_body body;
	struct server_conn *conn;
	struct http_response *res;
	int64_t start_ns; /* of the first read */
	uint64_t total;
};

/* A body that comes by drops holds a thread as well as one that does not come. */
static int check_pace(struct serve_body *b, size_t n, struct error *err)
{
	unsigned rate = b->conn->server->config.min_body_rate;
	int64_t passed_s;

	b->total += n;
	if (rate == 0 || b->body.done)
		return 0;
	passed_s = (clock_mono_ns() - b->start_ns) / NS_PER_SEC;
	if (passed_s > PACE_GRACE_S && b->total / (uint64_t)passed_s < rate)
		return error_set(err, ERR_CORRUPT, "the body comes too slowly");
	return 0;
}

static int serve_body_read(struct reader *reader, void *out, size_t len, size_t *ret_n,
			   struct error *err)
{
	struct serve_body *b = container_of(reader, struct serve_body, reader);
	int r;

	if (b->start_ns == 0)
		b->start_ns = clock_mono_ns();
	r = reader_read(&b->body.reader, out, len, ret_n, err);
	if (b->body.done)
		atomic_store(&b->conn->body_open, false);
	return r < 0 ? r : check_pace(b, *ret_n, err);
}

static const struct reader_ops serve_body_ops = { .read = serve_body_read };

static int send_continue(void *arg, struct error *err)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct serve_body *b = arg;

	if (b->res->started)
		return 0;
	return b->conn->transport.ops->write(&b->conn->transport, text, sizeof(text) - 1, err);
}

/*
 * Close without losing the answer: a close with unread bytes makes the kernel
 * reset the connection, and the client may then never see what was sent.
 */
static void linger(struct server_conn *c)
{
	int64_t end_ns = clock_mono_ns() + LINGER_MS * NS_PER_MS;
	char drop[8192];
	size_t total = 0;

	if (c->is_tls || c->transport.ops->shutdown_write(&c->transport, NULL) < 0)
		return;
	c->transport.read_timeout_ms = LINGER_MS / 4;
	while (total < LINGER_MAX && clock_mono_ns() < end_ns) {
		size_t n = 0;

		if (c->transport.ops->read(&c->transport, drop, sizeof(drop), &n, NULL) < 0 ||
		    n == 0)
			return;
		total += n;
	}
}

/* Read what a handler left of a small body. False when it is too much or too slow. */
static bool drain(struct server_conn *c, struct http_body *b)
{
	int64_t end_ns = clock_mono_ns() + LINGER_MS * NS_PER_MS;
	char drop[8192];
	size_t total = 0;

	c->transport.read_timeout_ms = LINGER_MS / 4;
	while (!b->done) {
		size_t n;

		if (total > DRAIN_MAX || clock_mono_ns() > end_ns ||
		    reader_read(&b->reader, drop, sizeof(drop), &n, NULL) < 0)
			return false;
		total += n;
	}
	return true;
}

static void answer_bad_head(struct server_conn *c, const struct error *why)
{
	char text[ERROR_MSG_MAX + 256];
	int status = why->kind == ERR_UNIMPLEMENTED ? 501 : 400;
	const char *reason = http_status_reason(status);
	int n = snprintf(text, sizeof(text),
			 "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
			 "Connection: close\r\nContent-Length: %zu\r\n\r\n%d %s: %s",
			 status, reason, strlen(reason) + 6 + strlen(why->msg), status, reason,
			 why->msg);

	if (c->transport.ops->write(&c->transport, text, (size_t)n, NULL) == 0)
		linger(c);
}

/* Everything a handler sees. */
static int make_request(struct server_conn *c, struct arena *a, const struct http_head *head,
			struct serve_body *body, struct http_request *ret, struct error *err)
{
	char *peer = arena_alloc(a, PEER_TEXT_MAX);
	int r;

	*ret = (struct http_request){
		.arena = a,
		.method = head->method,
		.target = head->target,
		.headers = head->headers,
		.minor = head->minor,
		.body = &body->reader,
		.content_length = head->framing == HTTP_BODY_CHUNKED ? -1 : (int64_t)head->length,
		.upgrade = head->upgrade,
		.cancel = &c->cancel,
		.local = c->local,
		.peer_pid = c->peer_pid,
		.peer_uid = c->peer_uid,
		.peer = peer,
		.tls = c->is_tls,
		.tls_subject = c->tls_subject[0] ? c->tls_subject : NULL,
		.context_fd = FD_NONE,
	};
	r = http_target_parse(a, head->target, &ret->path, &ret->query, err);
	if (r < 0)
		return r;
	format_peer(c, peer);
	if (c->transport.n_passed_fds > 0 &&
	    http_headers_get(&head->headers, "X-Proa-Context-Fd") != NULL) {
		memcpy(ret->passed_fds, c->transport.passed_fds, sizeof(ret->passed_fds));
		ret->n_passed_fds = c->transport.n_passed_fds;
		ret->context_fd = ret->passed_fds[0];
	}
	return 0;
}

/*
 * Answer the request whose head is the first head_len bytes of the buffer.
 * True when the connection can carry another one.
 */
static bool serve_request(struct server_conn *c, size_t head_len)
{
	struct http_server *s = c->server;
	auto_(arena) arena = ARENA_INIT;
	struct http_response res;
	struct http_request req;
	struct serve_body body = { .reader.ops = &serve_body_ops, .conn = c, .res = &res };
	struct http_head head;
	struct error err;
	bool keep;

	if (http_parse_request(&arena, c->src.in.data + c->src.at, head_len, &head, &err) < 0) {
		answer_bad_head(c, &err);
		return false;
	}
	c->src.at += head_len;
	http_body_init(&body.body, &c->src, head.framing, head.length);
	if (head.expect_continue) {
		body.body.before = send_continue;
		body.body.before_arg = &body;
	}
	atomic_store(&c->body_open, !body.body.done);
	if (make_request(c, &arena, &head, &body, &req, &err) < 0) {
		answer_bad_head(c, &err);
		return false;
	}
	c->transport.read_timeout_ms = s->config.read_timeout_ms ? s->config.read_timeout_ms : -1;
	c->transport.cancel = &c->cancel;
	response_init(&res, c, &req, head.keep_alive);
	s->handler(s->arg, &req, &res);
	response_finish(&res);
	keep = res.keep_alive && !res.failed && !res.hijacked && !atomic_load(&s->stopping);
	vec_release(&res.headers);
	buf_release(&res.head);
	http_transport_drop_fds(&c->transport);
	if (res.hijacked)
		return false;
	if (!body.body.done && keep && !body.body.before) {
		keep = drain(c, &body.body);
	} else if (!body.body.done) {
		keep = false;
	}
	if (!keep && !body.body.done && !res.failed)
		linger(c);
	return keep;
}

/*
 * Read what has come until a head is whole. Never waits: half a head goes back to the
 * waiter. False: the peer is gone, or was sent away.
 *
 * ret_end  length of the head; 0 when it is not whole
 */
static bool next_head(struct server_conn *c, size_t *ret_end)
{
	struct buf *in = &c->src.in;

	for (;;) {
		size_t have = in->len - c->src.at, n = 0;
		struct error err;
		int r;

		*ret_end = have ? http_head_end(in->data + c->src.at, have, 0) : 0;
		if (*ret_end > 0)
			return true;
		if (have > HTTP_HEAD_MAX) {
			(void)error_set(&err, ERR_INVALID, "HTTP head is larger than %d bytes",
					HTTP_HEAD_MAX);
			answer_bad_head(c, &err);
			return false;
		}
		if (!c->is_tls) /* the waiter has read all there was */
			return true;
		c->transport.read_timeout_ms = 0;
		r = http_source_fill(&c->src, &n, &err);
		if (r == -ERR_UNAVAILABLE)
			return true;
		if (r < 0 || n == 0)
			return false;
	}
}

/* False: refused, or the peer is gone. c->wants is what it waits for, 0 when it is done. */
static bool shake_hands(struct server_conn *c)
{
	struct error err;
	int r = 0;

	c->wants = 0;
	if (c->tls == NULL)
		return true;
	if (c->transport.tls == NULL)
		r = http_tls_begin(c->tls, &c->transport, &err);
	if (r == 0)
		r = http_tls_handshake(&c->transport, &c->wants, &err);
	if (r < 0) {
		log_debug("TLS handshake failed", KV_ERR(&err));
		return false;
	}
	if (c->wants == 0) {
		c->tls = http_tls_unref(c->tls);
		http_tls_peer_name(&c->transport, c->tls_subject, sizeof(c->tls_subject));
	}
	return true;
}

/* The next head has idle_timeout_ms to begin. */
static void rest(struct server_conn *c)
{
	struct http_server *s = c->server;

	c->head_begun = false;
	c->deadline_ns = c->local ? 0 : clock_mono_ns() + s->config.idle_timeout_ms * NS_PER_MS;
	if (c->src.at == c->src.in.len) {
		buf_release(&c->src.in);
		c->src.at = 0;
	}
}

/*
 * The next request often comes within a moment of the last answer: who waits for it here is two
 * changes of threads faster than by way of the waiter.
 */
static bool comes_at_once(struct server_conn *c)
{
	struct pollfd p = { .fd = c->transport.fd, .events = POLLIN };

	if (c->is_tls || atomic_load(&c->server->stopping) || poll(&p, 1, PAUSE_MS) != 1)
		return false;
	/* The last request may have used up the waiter's eye on the client. */
	server_watch_hangup(c, !c->local);
	return true;
}

/* Requests of one connection until it waits for its peer (true) or is over (false). */
static bool serve_conn(struct server_conn *c)
{
	if (c->cancel.fd < 0 || !shake_hands(c))
		return false;
	if (c->wants != 0)
		return true;
	learn_peer(c);
	for (;;) {
		size_t end, n = 0;

		if (!next_head(c, &end))
			return false;
		if (end == 0)
			return true;
		if (!serve_request(c, end) || cancel_fired(&c->cancel))
			return false;
		rest(c);
		if (c->src.in.len == c->src.at && c->transport.ops->pending(&c->transport) == 0) {
			if (!comes_at_once(c))
				return true;
			if (http_source_fill(&c->src, &n, NULL) < 0 || n == 0)
				return false;
		}
		atomic_store(&c->body_open, true);
	}
}

/*
 * Back to the waiter. The worker's cancel stays here; true when it was fired and must be
 * taken back before another connection gets it.
 */
static bool park(struct server_conn *c, bool alive)
{
	struct http_server *s = c->server;
	struct epoll_event ev = { .events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = c };
	size_t have = c->src.in.len - c->src.at;
	uint64_t one = 1;
	bool fired;
	ssize_t n;
	LOCKED(&s->lock);

	s->n_busy--;
	s->last_ns = clock_mono_ns();
	c->has_cancel = c->gone = false;
	fired = cancel_fired(&c->cancel);
	if (alive) {
		/* What is left in the buffer is the start of a head. */
		if (c->src.at > 0 && have > 0)
			memmove(c->src.in.data, c->src.in.data + c->src.at, have);
		c->src.in.len = have;
		c->src.at = 0;
		c->scanned = have;
		if (have > 0)
			server_head_begins(c, s->last_ns);
		c->state = CONN_HEAD;
		ev.events |= c->wants == POLLOUT ? EPOLLOUT : EPOLLIN;
		epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->transport.fd, &ev);
		return fired;
	}
	c->state = CONN_DEAD;
	c->next_ready = s->dead;
	s->dead = c;
	n = write(s->wake_fd, &one, sizeof(one));
	(void)n;
	return fired;
}

/* False after WORKER_IDLE_S without work, or when the server stops. */
static bool wait_for_work(struct http_server *s)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WORKER_IDLE_S;
	s->n_waiting++;
	while (s->ready == NULL && r == 0 && !atomic_load(&s->stopping)) {
		s->lock.held = 0;
		r = pthread_cond_timedwait(&s->work, &s->lock.mutex, &until);
		s->lock.owner = pthread_self();
		s->lock.held = 1;
	}
	s->n_waiting--;
	return s->ready != NULL;
}

/* The next connection to serve, with the worker's cancel; NULL ends the worker. */
static struct server_conn *take_work(struct http_server *s, const struct cancel *own)
{
	struct server_conn *c;
	LOCKED(&s->lock);

	if (!wait_for_work(s)) {
		s->n_workers--;
		return NULL;
	}
	c = s->ready;
	s->ready = c->next_ready;
	s->n_ready--;
	if (s->ready == NULL)
		s->ready_tail = &s->ready;
	c->cancel.fd = own->fd;
	atomic_store(&c->cancel.fired, false);
	c->has_cancel = own->fd >= 0;
	if (c->gone && c->has_cancel) /* while it waited for a worker */
		cancel_fire(&c->cancel);
	return c;
}

void server_worker(void *arg)
{
	struct http_server *s = arg;
	struct cancel own = { .fd = FD_NONE };
	struct server_conn *c;
	uint64_t drop;
	ssize_t n;

	for (;;) {
		/* Out of descriptors: the connection is closed, the next one may do. */
		if (own.fd < 0 && cancel_init(&own, NULL) < 0)
			own.fd = FD_NONE;
		c = take_work(s, &own);
		if (c == NULL)
			break;
		if (park(c, serve_conn(c))) {
			n = read(own.fd, &drop, sizeof(drop));
			(void)n;
		}
	}
	cancel_release(&own);
}
