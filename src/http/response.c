#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "base/clock.h"
#include "http/server_internal.h"

/* Below this, head and body (or a chunk and its frame) go out in one write. */
#define JOIN_MAX     (16 * 1024)
#define HEAD_OUT_MAX (64 * 1024 + JOIN_MAX)

/* How long a client may take to read the head of a detached connection. */
#define HEAD_READ_MS 1000

const char *http_request_header(const struct http_request *req, const char *name)
{
	return http_headers_get(&req->headers, name);
}

int http_request_read(struct http_request *req, struct buf *b, struct error *err)
{
	if (req->content_length > 0 && (uint64_t)req->content_length > b->max)
		return error_set(err, ERR_INVALID, "request body is larger than %zu bytes", b->max);
	return reader_read_all(req->body, b, err);
}

static int raw_write(struct http_response *res, const void *bytes, size_t len, struct error *err)
{
	struct http_transport *t = &res->conn->transport;
	struct error why;
	int r;

	if (res->failed)
		return error_set(err, ERR_CANCELED, "the client has gone");
	r = t->ops->write(t, bytes, len, &why);
	if (r == 0)
		return 0;
	res->failed = true;
	if (why.sys == EPIPE || why.sys == ECONNRESET)
		return error_set(err, ERR_CANCELED, "the client has gone");
	if (err)
		*err = why;
	return r;
}

static int writer_fn(struct writer *w, const void *bytes, size_t len, struct error *err);
static const struct writer_ops writer_ops_body = { .write = writer_fn };

void response_init(struct http_response *res, struct server_conn *c, struct http_request *req,
		   bool keep_alive)
{
	*res = (struct http_response){
		.writer.ops = &writer_ops_body,
		.conn = c,
		.req = req,
		.arena = req->arena,
		.status = 200,
		.head = BUF_INIT(HEAD_OUT_MAX),
		.head_only = strcmp(req->method, "HEAD") == 0,
		.keep_alive = keep_alive,
		.pump_fd = FD_NONE,
	};
}

void http_response_set_status(struct http_response *res, int status)
{
	res->status = status;
}

void http_response_add_header(struct http_response *res, const char *name, const char *value)
{
	struct http_header *h = vec_push(&res->headers);
	char *clean = arena_strdup(res->arena, value);

	/* A value from a peer must not start a header of its own. */
	for (char *p = clean; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	h->name = arena_strdup(res->arena, name);
	h->value = clean;
}

void http_response_set_header(struct http_response *res, const char *name, const char *value)
{
	size_t kept = 0;

	for (size_t i = 0; i < res->headers.len; i++)
		if (strcasecmp(res->headers.at[i].name, name) != 0)
			res->headers.at[kept++] = res->headers.at[i];
	res->headers.len = kept;
	http_response_add_header(res, name, value);
}

void http_response_set_headerf(struct http_response *res, const char *name, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	http_response_set_header(res, name, text);
}

bool http_response_started(const struct http_response *res)
{
	return res->started;
}

static int add_date(struct buf *b, struct error *err)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	return buf_addf(b, err, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday],
			tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
			tm.tm_sec);
}

static bool has_body(const struct http_response *res)
{
	return res->status >= 200 && res->status != 204 && res->status != 304;
}

/* Status line and headers into res->head. */
static int compose(struct http_response *res, int64_t length, struct error *err)
{
	struct buf *b = &res->head;
	int r;

	if (res->started)
		return error_set(err, ERR_CONFLICT, "the answer has started already");
	res->started = true;
	if (length < 0 && res->req->minor == 0)
		res->keep_alive = false;
	r = buf_addf(b, err, "HTTP/1.1 %d %s\r\n", res->status, http_status_reason(res->status));
	for (size_t i = 0; i < res->headers.len && r == 0; i++)
		r = buf_addf(b, err, "%s: %s\r\n", res->headers.at[i].name,
			     res->headers.at[i].value);
	if (r == 0 && res->conn->server->name)
		r = buf_addf(b, err, "Server: %s\r\n", res->conn->server->name);
	if (r == 0)
		r = add_date(b, err);
	res->framing = HTTP_BODY_NONE;
	if (r == 0 && has_body(res) && length >= 0) {
		res->framing = HTTP_BODY_LENGTH;
		res->left = (uint64_t)length;
		r = buf_addf(b, err, "Content-Length: %lld\r\n", (long long)length);
	} else if (r == 0 && has_body(res) && res->req->minor == 1) {
		res->framing = HTTP_BODY_CHUNKED;
		r = buf_addf(b, err, "Transfer-Encoding: chunked\r\n");
	} else if (r == 0 && has_body(res)) {
		res->framing = HTTP_BODY_UNTIL_CLOSE;
	}
	if (r == 0 && !res->keep_alive && res->req->minor == 1)
		r = buf_addf(b, err, "Connection: close\r\n");
	else if (r == 0 && res->keep_alive && res->req->minor == 0)
		r = buf_addf(b, err, "Connection: keep-alive\r\n");
	if (r == 0)
		r = buf_addf(b, err, "\r\n");
	if (r < 0)
		res->failed = true;
	return r;
}

int http_response_flush(struct http_response *res, struct error *err)
{
	int r;

	if (res->head.len == 0)
		return 0;
	r = raw_write(res, res->head.data, res->head.len, err);
	res->head.len = 0;
	return r;
}

/* Bytes behind whatever of the head is still here, in one write when small. */
static int write_joined(struct http_response *res, const void *bytes, size_t len, struct error *err)
{
	int r;

	if (res->head.len == 0)
		return len > 0 ? raw_write(res, bytes, len, err) : 0;
	if (len <= JOIN_MAX) {
		r = buf_add(&res->head, bytes, len, err);
		if (r < 0)
			return r;
		return http_response_flush(res, err);
	}
	r = http_response_flush(res, err);
	if (r < 0)
		return r;
	return raw_write(res, bytes, len, err);
}

static int write_chunk(struct http_response *res, const void *bytes, size_t len, struct error *err)
{
	char size[20];
	int n = snprintf(size, sizeof(size), "%zx\r\n", len);
	int r;

	if (len <= JOIN_MAX - 64) {
		r = buf_add(&res->head, size, (size_t)n, err);
		if (r == 0)
			r = buf_add(&res->head, bytes, len, err);
		if (r == 0)
			r = buf_add(&res->head, "\r\n", 2, err);
		if (r < 0)
			return r;
		return http_response_flush(res, err);
	}
	r = write_joined(res, size, (size_t)n, err);
	if (r < 0)
		return r;
	r = raw_write(res, bytes, len, err);
	if (r < 0)
		return r;
	return raw_write(res, "\r\n", 2, err);
}

static int writer_fn(struct writer *w, const void *bytes, size_t len, struct error *err)
{
	struct http_response *res = container_of(w, struct http_response, writer);

	if (len == 0 || res->head_only || res->framing == HTTP_BODY_NONE)
		return http_response_flush(res, err);
	if (res->framing == HTTP_BODY_CHUNKED)
		return write_chunk(res, bytes, len, err);
	if (res->framing == HTTP_BODY_LENGTH) {
		if (len > res->left) {
			res->failed = true;
			return error_set(err, ERR_INVALID, "more bytes than Content-Length says");
		}
		res->left -= len;
	}
	return write_joined(res, bytes, len, err);
}

int http_response_send(struct http_response *res, const void *bytes, size_t len, struct error *err)
{
	struct writer *w;
	int r;

	r = http_response_begin(res, (int64_t)len, &w, err);
	if (r < 0)
		return r;
	return writer_write(w, bytes, len, err);
}

int http_response_begin(struct http_response *res, int64_t length, struct writer **ret_writer,
			struct error *err)
{
	int r = compose(res, length, err);

	if (r < 0)
		return r;
	*ret_writer = &res->writer;
	return 0;
}

/* The plain way, for TLS and files that sendfile refuses. */
static int copy_file(struct http_response *res, int fd, uint64_t offset, uint64_t len,
		     struct error *err)
{
	char chunk[32 * 1024];

	while (len > 0) {
		size_t want = len < sizeof(chunk) ? (size_t)len : sizeof(chunk);
		ssize_t n = pread(fd, chunk, want, (off_t)offset);
		int r;

		if (n <= 0) {
			res->failed = true;
			return error_sys(err, n < 0 ? errno : ENODATA, "read the file to send");
		}
		r = raw_write(res, chunk, (size_t)n, err);
		if (r < 0)
			return r;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

int http_response_send_file(struct http_response *res, int fd, uint64_t offset, uint64_t len,
			    struct error *err)
{
	struct http_transport *t = &res->conn->transport;
	off_t at = (off_t)offset;
	int r;

	r = compose(res, (int64_t)len, err);
	if (r == 0)
		r = http_response_flush(res, err);
	if (r < 0 || res->head_only)
		return r;
	res->left = 0;
	while (len > 0 && t->tls == NULL) {
		size_t want = len < (1U << 30) ? (size_t)len : 1U << 30;
		ssize_t n = sendfile(t->fd, fd, &at, want);

		if (n > 0) {
			len -= (uint64_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EINVAL || errno == ENOSYS))
			break;
		if (n < 0 && errno == EAGAIN) {
			r = cancel_poll(t->cancel, t->fd, POLLOUT, t->write_timeout_ms, err);
			if (r == 0)
				continue;
			res->failed = true;
			return r;
		}
		res->failed = true;
		return error_sys(err, n < 0 ? errno : ENODATA, "send a file");
	}
	return copy_file(res, fd, (uint64_t)at, len, err);
}

static int stream_read(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct http_response *res = container_of(r, struct http_response, stream_reader);

	return http_source_read(&res->conn->src, out, len, ret_n, err);
}

static int stream_write(struct writer *w, const void *bytes, size_t len, struct error *err)
{
	struct http_response *res = container_of(w, struct http_response, stream_writer);

	return raw_write(res, bytes, len, err);
}

static const struct reader_ops stream_reader_ops = { .read = stream_read };
static const struct writer_ops stream_writer_ops = { .write = stream_write };

/* The head that ends HTTP on this connection. */
static int send_hijack_head(struct http_response *res, const char *upgrade, struct error *err)
{
	struct buf *b = &res->head;
	const char *wanted = res->req->upgrade;
	int r;

	if (res->started)
		return error_set(err, ERR_CONFLICT, "the answer has started already");
	res->started = true;
	res->hijacked = true;
	res->keep_alive = false;
	if (wanted && upgrade == NULL)
		upgrade = arena_strdup(res->arena, wanted);
	if (wanted)
		r = buf_addf(b, err, "HTTP/1.1 101 UPGRADED\r\n");
	else
		r = buf_addf(b, err, "HTTP/1.1 200 OK\r\n");
	for (size_t i = 0; i < res->headers.len && r == 0; i++)
		r = buf_addf(b, err, "%s: %s\r\n", res->headers.at[i].name,
			     res->headers.at[i].value);
	if (r == 0 && wanted)
		r = buf_addf(b, err, "Connection: Upgrade\r\nUpgrade: %s\r\n", upgrade);
	if (r == 0)
		r = buf_addf(b, err, "\r\n");
	if (r == 0)
		r = http_response_flush(res, err);
	return r;
}

int http_response_hijack(struct http_response *res, const char *upgrade, struct http_stream *ret,
			 struct error *err)
{
	struct server_conn *c = res->conn;
	int r;

	r = send_hijack_head(res, upgrade, err);
	if (r < 0)
		return r;
	c->transport.read_timeout_ms = -1;
	server_watch_hangup(c, false);
	res->stream_reader.ops = &stream_reader_ops;
	res->stream_writer.ops = &stream_writer_ops;
	*ret = (struct http_stream){
		.reader = &res->stream_reader,
		.writer = &res->stream_writer,
		.fd = c->transport.fd,
		.tls = c->is_tls,
	};
	return 0;
}

/*
 * Wait until the client has read the head. docker-py 5 reads the head through a buffer and the
 * stream from the socket below it: what came in the same read as the head is lost to it. Tells
 * of a Unix socket only; of TCP the kernel knows no more than that the bytes have arrived.
 */
static void wait_head_read(int fd)
{
	int64_t end = clock_mono_ns() + HEAD_READ_MS * NS_PER_MS;
	long nap_ns = 20 * 1000;
	int unread = 0;

	while (ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0 && clock_mono_ns() < end) {
		struct timespec nap = { .tv_nsec = nap_ns };

		nanosleep(&nap, NULL);
		if (nap_ns < NS_PER_MS)
			nap_ns *= 2;
	}
}

int http_response_detach(struct http_response *res, const char *upgrade, int *ret_fd,
			 const void **ret_early, size_t *ret_early_len, struct error *err)
{
	struct server_conn *c = res->conn;
	size_t early = c->src.in.len - c->src.at;
	void *copy;
	int pair[2], r;

	if (c->is_tls && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "create a socketpair");
	r = send_hijack_head(res, upgrade, err);
	if (r < 0 && c->is_tls) {
		close(pair[0]);
		close(pair[1]);
	}
	if (r < 0)
		return r;
	copy = arena_alloc(res->arena, early + 1);
	if (early > 0)
		memcpy(copy, c->src.in.data + c->src.at, early);
	c->src.at = c->src.in.len;
	*ret_early = copy;
	*ret_early_len = early;
	if (c->is_tls) {
		server_watch_hangup(c, false);
		res->pump_fd = pair[0];
		*ret_fd = pair[1];
		return 0;
	}
	wait_head_read(c->transport.fd);
	epoll_ctl(c->server->epoll_fd, EPOLL_CTL_DEL, c->transport.fd, NULL);
	*ret_fd = steal_fd(&c->transport.fd);
	return 0;
}

/* What the client sent and the other end has not taken yet. */
struct pump_buffer {
	char bytes[16 * 1024];
	size_t at, len;
};

/* One step from the socketpair to the client. False at its end. */
static bool pump_out(struct http_response *res)
{
	char chunk[16 * 1024];
	ssize_t n = recv(res->pump_fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	return n > 0 && raw_write(res, chunk, (size_t)n, NULL) == 0;
}

/* Read what the client sent. False at its half-close. */
static bool pump_fill(struct http_response *res, struct pump_buffer *b)
{
	b->at = b->len = 0;
	return http_source_read(&res->conn->src, b->bytes, sizeof(b->bytes), &b->len, NULL) == 0 &&
	       b->len > 0;
}

/* Never waits: a process that writes before it reads must still be drained. */
static bool pump_in(struct http_response *res, struct pump_buffer *b)
{
	while (b->at < b->len) {
		ssize_t n = send(res->pump_fd, b->bytes + b->at, b->len - b->at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		b->at += (size_t)n;
	}
	return true;
}

static void pump(struct http_response *res)
{
	struct http_transport *t = &res->conn->transport;
	struct pump_buffer in = { .len = 0 };
	struct pollfd fds[] = {
		{ .fd = res->pump_fd },
		{ .fd = t->fd },
		{ .fd = res->conn->cancel.fd, .events = POLLIN },
	};
	bool open = true;

	t->read_timeout_ms = -1;
	for (;;) {
		bool empty = in.at == in.len;
		bool more = open && empty && t->ops->pending(t) > 0;

		fds[0].events = empty ? POLLIN : POLLIN | POLLOUT;
		fds[1].fd = open && empty ? t->fd : -1;
		fds[1].events = POLLIN;
		if (poll(fds, ARRAY_LEN(fds), more ? 0 : -1) < 0 && errno != EINTR)
			break;
		if (fds[2].revents)
			break;
		if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) && !pump_out(res))
			break;
		if (more || (fds[1].fd >= 0 && fds[1].revents))
			open = pump_fill(res, &in);
		/* The other end reads no more: its output still counts. */
		if (in.at < in.len && !pump_in(res, &in))
			in.at = in.len;
		if (!open && in.at == in.len)
			shutdown(res->pump_fd, SHUT_WR);
	}
	close(res->pump_fd);
	res->pump_fd = FD_NONE;
}

void http_response_abort(struct http_response *res)
{
	res->failed = true;
}

void response_finish(struct http_response *res)
{
	if (res->pump_fd >= 0)
		pump(res);
	if (res->hijacked || res->failed)
		return;
	if (!res->started) {
		res->status = 500;
		(void)!http_response_send(res, "", 0, NULL);
		return;
	}
	if (http_response_flush(res, NULL) < 0 || res->head_only)
		return;
	if (res->framing == HTTP_BODY_CHUNKED && raw_write(res, "0\r\n\r\n", 5, NULL) < 0)
		return;
	if (res->framing == HTTP_BODY_LENGTH && res->left > 0)
		res->failed = true;
	if (res->framing == HTTP_BODY_UNTIL_CLOSE)
		res->keep_alive = false;
}
