#include "http/client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "http/unix_addr.h"

int http_dial_unix(const char *path, int *ret_fd, struct error *err)
{
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct unix_addr addr;
	int r;

	if (fd < 0)
		return error_sys(err, errno, "create a socket");
	r = unix_addr_set(&addr, path, err);
	if (r < 0)
		return r;
	if (connect(fd, (struct sockaddr *)&addr.un, addr.len) < 0) {
		int sys = errno;

		unix_addr_release(&addr);
		r = error_set(err, ERR_UNAVAILABLE, "dial unix %s: connect: %s", path,
			      strerrordesc_np(sys));
		if (err)
			err->sys = sys;
		return r;
	}
	unix_addr_release(&addr);
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Connect within the time-out; -1 and errno otherwise. */
static int dial_addr(const struct addrinfo *ai, int timeout_ms, int *ret_fd)
{
	autoclose int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int sys = 0, on = 1;
	socklen_t len = sizeof(sys);

	if (fd < 0)
		return -1;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
		if (errno != EINPROGRESS)
			return -1;
		if (poll(&p, 1, timeout_ms) == 0)
			sys = ETIMEDOUT;
		else
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &len);
		if (sys != 0) {
			errno = sys;
			return -1;
		}
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	*ret_fd = steal_fd(&fd);
	return 0;
}

int http_dial_tcp(const char *host, const char *port, int timeout_ms, int *ret_fd,
		  struct error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list;
	int fd = FD_NONE, sys = ENOENT, r;

	r = getaddrinfo(host, port, &hints, &list);
	if (r == EAI_NONAME || r == EAI_ADDRFAMILY) {
		hints.ai_flags = 0;
		r = getaddrinfo(host, port, &hints, &list);
	}
	if (r != 0)
		return error_set(err, ERR_UNAVAILABLE, "dial tcp: lookup %s: %s", host,
				 gai_strerror(r));
	for (struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
		if (dial_addr(ai, timeout_ms, &fd) < 0)
			sys = errno;
	freeaddrinfo(list);
	if (fd < 0) {
		r = error_set(err, ERR_UNAVAILABLE, "dial tcp %s:%s: connect: %s", host, port,
			      strerrordesc_np(sys));
		if (err)
			err->sys = sys;
		return r;
	}
	*ret_fd = fd;
	return 0;
}

void http_conn_init(struct http_conn *c, int take_fd)
{
	http_transport_init(&c->transport, take_fd);
	c->src =
	    (struct http_source){ .t = &c->transport, .in = BUF_INIT(HTTP_HEAD_MAX + 16 * 1024) };
}

void http_conn_release(struct http_conn *c)
{
	http_transport_release(&c->transport);
	buf_release(&c->src.in);
}

static int compose_request(const struct http_call_head *req, struct buf *b, struct error *err)
{
	int r =
	    buf_addf(b, err, "%s %s HTTP/1.1\r\nHost: %s\r\n", req->method, req->target, req->host);

	for (size_t i = 0; i < req->n_headers && r == 0; i++)
		r = buf_addf(b, err, "%s: %s\r\n", req->headers[i].name, req->headers[i].value);
	if (r == 0 && req->n_pass_fds > 0)
		r = buf_addf(b, err, "X-Proa-Context-Fd: 1\r\n");
	if (r == 0 && req->body_reader)
		r = buf_addf(b, err, "Transfer-Encoding: chunked\r\n");
	else if (r == 0 &&
		 (req->body || strcmp(req->method, "POST") == 0 || strcmp(req->method, "PUT") == 0))
		r = buf_addf(b, err, "Content-Length: %zu\r\n", req->body_len);
	if (r == 0 && req->upgrade)
		r = buf_addf(b, err, "Connection: Upgrade\r\nUpgrade: %s\r\n", req->upgrade);
	if (r == 0)
		r = buf_addf(b, err, "\r\n");
	if (r == 0 && req->body && req->body_len <= 16 * 1024)
		r = buf_add(b, req->body, req->body_len, err);
	return r;
}

/* An answer that is already here means the server does not want the rest. */
static bool answer_is_here(struct http_conn *c)
{
	struct pollfd p = { .fd = c->transport.fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLIN | POLLHUP | POLLERR));
}

static int send_chunks(struct http_conn *c, struct reader *from, struct error *err)
{
	static const size_t room = 32 * 1024;
	const struct http_transport_ops *ops = c->transport.ops;
	char chunk[32 * 1024 + 32];
	char size[20];

	for (;;) {
		size_t n = 0;
		int prefix, r;

		/* Room for the size in front and CR LF behind: one write a chunk. */
		r = reader_read(from, chunk + 16, room, &n, err);
		if (r < 0)
			return r;
		if (n == 0)
			return ops->write(&c->transport, "0\r\n\r\n", 5, err);
		prefix = snprintf(size, sizeof(size), "%zx\r\n", n);
		memcpy(chunk + 16 - prefix, size, (size_t)prefix);
		memcpy(chunk + 16 + n, "\r\n", 2);
		if (answer_is_here(c))
			return 0;
		r = ops->write(&c->transport, chunk + 16 - prefix, (size_t)prefix + n + 2, err);
		if (r < 0)
			return r;
	}
}

static int send_request(struct http_conn *c, const struct http_call_head *req, struct error *err)
{
	auto_(buf) head = BUF_INIT(256 * 1024);
	const struct http_transport_ops *ops = c->transport.ops;
	size_t done = 0;
	int r;

	r = compose_request(req, &head, err);
	if (r < 0)
		return r;
	if (req->n_pass_fds > 0) {
		/* The fds travel with the first byte. */
		r = fdpass_send(c->transport.fd, head.data, 1, req->pass_fds, req->n_pass_fds, err);
		if (r < 0)
			return r;
		done = 1;
	}
	r = ops->write(&c->transport, head.data + done, head.len - done, err);
	if (r == 0 && req->body && req->body_len > 16 * 1024)
		r = ops->write(&c->transport, req->body, req->body_len, err);
	if (r == 0 && req->body_reader)
		r = send_chunks(c, req->body_reader, err);
	return r;
}

static int read_head(struct http_conn *c, const char *method, struct http_call *call,
		     struct error *err)
{
	for (;;) {
		struct http_source *s = &c->src;
		size_t have = s->in.len - s->at, n = 0;
		size_t end = have ? http_head_end(s->in.data + s->at, have, 0) : 0;
		int r;

		if (end > 0) {
			r = http_parse_response(&call->arena, s->in.data + s->at, end, method,
						&call->head, err);
			if (r < 0)
				return r;
			s->at += end;
			if (call->head.status >= 200 || call->head.status == 101)
				return 0;
			continue;
		}
		r = http_source_fill(s, &n, err);
		if (r < 0)
			return r;
		if (n == 0)
			return error_set(err, ERR_UNAVAILABLE, have ? "unexpected EOF" : "EOF");
	}
}

int http_call_start(struct http_conn *c, const struct http_call_head *req, struct http_call *ret,
		    struct error *err)
{
	struct http_call call = { .conn = c };
	struct error send_err;
	int sent, r;

	sent = send_request(c, req, &send_err);
	/* A server that refuses early may have closed while we were still sending; its
	 * answer is worth more than our EPIPE. Other failures are final. */
	if (sent < 0 && send_err.sys != EPIPE && send_err.sys != ECONNRESET) {
		if (err)
			*err = send_err;
		return sent;
	}
	r = read_head(c, req->method, &call, err);
	if (r < 0) {
		arena_release(&call.arena);
		if (sent < 0 && err)
			*err = send_err;
		return sent < 0 ? sent : r;
	}
	*ret = call;
	http_body_init(&ret->body, &c->src, call.head.framing, call.head.length);
	return 0;
}

bool http_call_reusable(const struct http_call *call)
{
	return call->body.done && !call->body.failed && call->head.keep_alive &&
	       call->head.status != 101 && call->conn->src.at == call->conn->src.in.len;
}

void http_call_release(struct http_call *call)
{
	arena_release(&call->arena);
	*call = (struct http_call){ 0 };
}
