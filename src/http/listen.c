#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "http/server_internal.h"
#include "http/unix_addr.h"

#define BACKLOG 1024

static int add_listener(struct http_server *s, int take_fd, bool local, struct http_tls *tls,
			struct listener **ret, struct error *err)
{
	struct listener *l = new0(struct listener);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = l };

	l->watch.kind = WATCH_LISTENER;
	l->fd = take_fd;
	l->local = local;
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, take_fd, &ev) < 0) {
		int sys = errno;

		close(take_fd);
		free(l);
		return error_sys(err, sys, "watch the listening socket");
	}
	l->tls = tls ? http_tls_ref(tls) : NULL;
	*vec_push(&s->listeners) = l;
	if (ret)
		*ret = l;
	return 0;
}

/* A socket file of that name exists: is somebody behind it? */
static int clear_stale(const char *path, const struct sockaddr_un *addr, socklen_t len,
		       struct error *err)
{
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return error_sys(err, errno, "create a socket");
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_sys(err, errno, "look at '%s'", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, ERR_CONFLICT, "'%s' exists and is not a socket", path);
	if (connect(fd, (const struct sockaddr *)addr, len) == 0 || errno != ECONNREFUSED)
		return error_set(err, ERR_CONFLICT, "'%s' is in use by another process", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_sys(err, errno, "remove the stale socket '%s'", path);
	return 0;
}

static int bind_unix(int fd, const char *path, mode_t mode, gid_t gid, struct error *err)
{
	struct unix_addr addr;
	int r;

	r = unix_addr_set(&addr, path, err);
	if (r < 0)
		return r;
	/* The file is born with the socket inode's mode less the umask: never wider
	 * than asked for, not even for an instant. */
	if (fchmod(fd, mode) < 0)
		r = error_sys(err, errno, "set the mode of a socket");
	else if (bind(fd, (struct sockaddr *)&addr.un, addr.len) < 0) {
		if (errno != EADDRINUSE)
			r = error_sys(err, errno, "bind '%s'", path);
		else
			r = clear_stale(path, &addr.un, addr.len, err);
		if (r == 0 && bind(fd, (struct sockaddr *)&addr.un, addr.len) < 0)
			r = error_sys(err, errno, "bind '%s'", path);
	}
	unix_addr_release(&addr);
	if (r < 0)
		return r;
	if (gid != (gid_t)-1 && chown(path, (uid_t)-1, gid) < 0)
		return error_sys(err, errno, "set the group of '%s'", path);
	if (chmod(path, mode) < 0)
		return error_sys(err, errno, "set the mode of '%s'", path);
	return 0;
}

int http_server_listen_unix(struct http_server *s, const char *path, mode_t mode, gid_t gid,
			    struct error *err)
{
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct listener *l;
	struct stat st;
	int r;

	if (fd < 0)
		return error_sys(err, errno, "create a socket");
	r = bind_unix(fd, path, mode, gid, err);
	if (r < 0)
		return r;
	if (listen(fd, BACKLOG) < 0 || stat(path, &st) < 0)
		return error_sys(err, errno, "listen on '%s'", path);
	r = add_listener(s, steal_fd(&fd), true, NULL, &l, err);
	if (r < 0)
		return r;
	l->path = xstrdup(path);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

static int listen_addr(const struct addrinfo *ai, int *ret_fd)
{
	autoclose int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, off = 0;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return -1;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return 0;
	if (addr.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&addr)->sin6_port);
	return ntohs(((struct sockaddr_in *)&addr)->sin_port);
}

int http_server_listen_tcp(struct http_server *s, const char *host, uint16_t port,
			   struct http_tls *tls, uint16_t *ret_port, struct error *err)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	const char *shown = cstr_is_empty(host) ? "*" : host;
	struct addrinfo *list, *six = NULL;
	char service[8];
	int fd = FD_NONE, r, sys;

	snprintf(service, sizeof(service), "%u", (unsigned)port);
	r = getaddrinfo(cstr_is_empty(host) ? NULL : host, service, &hints, &list);
	if (r != 0)
		return error_set(err, ERR_INVALID, "listen on '%s': %s", shown, gai_strerror(r));
	/* For all addresses one IPv6 socket takes IPv4 too; without IPv6, IPv4 only. */
	for (struct addrinfo *ai = list; ai && cstr_is_empty(host); ai = ai->ai_next)
		if (ai->ai_family == AF_INET6)
			six = ai;
	if (six == NULL || listen_addr(six, &fd) < 0)
		for (struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
			if (listen_addr(ai, &fd) < 0)
				continue;
	sys = errno;
	freeaddrinfo(list);
	if (fd < 0)
		return error_sys(err, sys, "listen on '%s' port %u", shown, (unsigned)port);
	if (ret_port)
		*ret_port = bound_port(fd);
	return add_listener(s, fd, false, tls, NULL, err);
}

int http_server_listen_fd(struct http_server *s, int take_fd, struct http_tls *tls,
			  struct error *err)
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	int on = 0;
	socklen_t on_len = sizeof(on);

	if (getsockname(take_fd, (struct sockaddr *)&addr, &len) < 0 ||
	    getsockopt(take_fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &on_len) < 0 || !on) {
		close(take_fd);
		return error_set(err, ERR_INVALID, "fd %d is not a listening socket", take_fd);
	}
	fcntl(take_fd, F_SETFL, fcntl(take_fd, F_GETFL) | O_NONBLOCK);
	fcntl(take_fd, F_SETFD, FD_CLOEXEC);
	return add_listener(s, take_fd, addr.ss_family == AF_UNIX, tls, NULL, err);
}
