#include "base/fdpass.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int fdpass_send(int sock, const void *bytes, size_t len, const int *fds, size_t n_fds,
		struct error *err)
{
	union {
		char bytes[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (len == 0 || n_fds > FDPASS_MAX)
		return error_set(err, ERR_INVALID, "message of %zu bytes and %zu fds", len, n_fds);
	if (n_fds > 0) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(err, errno, "send file descriptors");
	if ((size_t)n != len)
		return error_set(err, ERR_UNAVAILABLE, "message of %zu bytes was cut at %zd", len,
				 n);
	return 0;
}

/* Collect what came; more than max_fds are counted and closed. */
static size_t take_fds(struct msghdr *msg, int *fds, size_t max_fds)
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (count < max_fds)
				fds[count] = fd;
			else
				close(fd);
			count++;
		}
	}
	return count;
}

int fdpass_recv(int sock, void *out, size_t len, size_t *ret_len, int *fds, size_t max_fds,
		size_t *ret_n_fds, struct error *err)
{
	union {
		char bytes[CMSG_SPACE((FDPASS_MAX + 1) * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { out, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	size_t n_fds;
	ssize_t n;

	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_sys(err, errno, "receive file descriptors");
	n_fds = take_fds(&msg, fds, max_fds);
	if (n_fds > max_fds || (msg.msg_flags & MSG_CTRUNC)) {
		for (size_t i = 0; i < n_fds && i < max_fds; i++)
			close(fds[i]);
		return error_set(err, ERR_INVALID, "more than %zu file descriptors", max_fds);
	}
	*ret_len = (size_t)n;
	*ret_n_fds = n_fds;
	return 0;
}
