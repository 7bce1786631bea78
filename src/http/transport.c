#include "http/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void keep_passed_fds(struct http_transport *t, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			/* More than that is an attack on our fd table, not a build. */
			if (t->n_passed_fds == HTTP_PASSED_FDS_MAX)
				close(fd);
			else
				t->passed_fds[t->n_passed_fds++] = fd;
		}
	}
}

ssize_t http_transport_recv(struct http_transport *t, void *out, size_t len)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * HTTP_PASSED_FDS_MAX)];
	} control;
	struct iovec iov = { out, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (t->take_fds) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof(control.bytes);
	}
	do
		n = recvmsg(t->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n >= 0 && t->take_fds)
		keep_passed_fds(t, &m);
	return n;
}

static int plain_read(struct http_transport *t, void *out, size_t len, size_t *ret_n,
		      struct error *err)
{
	for (;;) {
		ssize_t n = http_transport_recv(t, out, len);
		int r;

		if (n >= 0) {
			*ret_n = (size_t)n;
			return 0;
		}
		if (errno != EAGAIN)
			return error_sys(err, errno, "read from the connection");
		r = cancel_poll(t->cancel, t->fd, POLLIN, t->read_timeout_ms, err);
		if (r < 0)
			return r;
	}
}

static int plain_write(struct http_transport *t, const void *bytes, size_t len, struct error *err)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t n = send(t->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		int r;

		if (n >= 0) {
			at += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return error_sys(err, errno, "write to the connection");
		r = cancel_poll(t->cancel, t->fd, POLLOUT, t->write_timeout_ms, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int plain_shutdown_write(struct http_transport *t, struct error *err)
{
	if (shutdown(t->fd, SHUT_WR) < 0 && errno != ENOTCONN)
		return error_sys(err, errno, "shut down the connection");
	return 0;
}

static size_t plain_pending(const struct http_transport *t)
{
	(void)t;
	return 0;
}

static void plain_release(struct http_transport *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = FD_NONE;
}

static const struct http_transport_ops plain_ops = {
	.read = plain_read,
	.write = plain_write,
	.shutdown_write = plain_shutdown_write,
	.pending = plain_pending,
	.release = plain_release,
};

void http_transport_init(struct http_transport *t, int take_fd)
{
	int flags = fcntl(take_fd, F_GETFL);

	*t = (struct http_transport){
		.ops = &plain_ops,
		.fd = take_fd,
		.read_timeout_ms = -1,
		.write_timeout_ms = -1,
	};
	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(take_fd, F_SETFL, flags | O_NONBLOCK);
}

void http_transport_drop_fds(struct http_transport *t)
{
	while (t->n_passed_fds > 0)
		close(t->passed_fds[--t->n_passed_fds]);
}

void http_transport_release(struct http_transport *t)
{
	if (t->ops)
		t->ops->release(t);
	http_transport_drop_fds(t);
	*t = (struct http_transport){ .fd = FD_NONE };
}

static void forget_consumed(struct http_source *s)
{
	if (s->at < s->in.len) {
		memmove(s->in.data, s->in.data + s->at, s->in.len - s->at);
		s->in.len -= s->at;
		s->in.data[s->in.len] = 0;
	} else {
		s->in.len = 0;
	}
	s->at = 0;
}

int http_source_read(struct http_source *s, void *out, size_t len, size_t *ret_n, struct error *err)
{
	size_t have = s->in.len - s->at;

	if (have == 0)
		return s->t->ops->read(s->t, out, len, ret_n, err);
	if (have > len)
		have = len;
	memcpy(out, s->in.data + s->at, have);
	s->at += have;
	if (s->at == s->in.len)
		forget_consumed(s);
	*ret_n = have;
	return 0;
}

int http_source_fill(struct http_source *s, size_t *ret_n, struct error *err)
{
	char chunk[4096];
	size_t n = 0;
	int r;

	if (s->at > 0)
		forget_consumed(s);
	r = s->t->ops->read(s->t, chunk, sizeof(chunk), &n, err);
	if (r < 0)
		return r;
	r = buf_add(&s->in, chunk, n, err);
	if (r < 0)
		return r;
	*ret_n = n;
	return 0;
}
