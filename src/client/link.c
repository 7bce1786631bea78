#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/str.h"
#include "client/link_internal.h"

#define DIAL_TIMEOUT_MS (30 * 1000)

static int bad_host(const char *text, struct error *err)
{
	return error_set(err, ERR_INVALID, "unable to parse docker host `%s`", text);
}

/* "host:port", "host", "[v6]:port" */
static int split_host_port(struct str s, const char *default_port, char **ret_name, char **ret_port)
{
	struct str name = s, port = str_of(default_port);
	ptrdiff_t colon = str_rfind(s, ':');
	uint64_t n;

	if (s.len > 0 && s.at[0] == '[') {
		ptrdiff_t end = str_find(s, ']');

		if (end < 0)
			return -1;
		name = str_sub(s, 1, (size_t)end - 1);
		s = str_sub(s, (size_t)end + 1, s.len);
		if (s.len > 0 && s.at[0] != ':')
			return -1;
		if (s.len > 1)
			port = str_sub(s, 1, s.len);
	} else if (colon >= 0) {
		name = str_sub(s, 0, (size_t)colon);
		if ((size_t)colon + 1 < s.len)
			port = str_sub(s, (size_t)colon + 1, s.len);
	}
	if (port.len > 0 && parse_u64(port, 65535, &n, NULL) < 0)
		return -1;
	*ret_name = name.len > 0 ? str_dup(name) : xstrdup("localhost");
	*ret_port = str_dup(port);
	return 0;
}

static int parse_tcp(struct str rest, struct host *h)
{
	ptrdiff_t slash = str_find(rest, '/');

	if (slash >= 0) {
		struct str base = str_sub(rest, (size_t)slash, rest.len);

		while (base.len > 0 && base.at[base.len - 1] == '/')
			base.len--;
		h->base = str_dup(base);
		rest.len = (size_t)slash;
	}
	h->kind = HOST_TCP;
	return split_host_port(rest, h->tls ? "2376" : "2375", &h->name, &h->port);
}

static int parse_ssh(struct str rest, struct host *h)
{
	ptrdiff_t at = str_rfind(rest, '@');
	ptrdiff_t slash;

	h->kind = HOST_SSH;
	if (at >= 0) {
		h->user = str_dup(str_sub(rest, 0, (size_t)at));
		rest = str_sub(rest, (size_t)at + 1, rest.len);
	}
	slash = str_find(rest, '/');
	if (slash >= 0) {
		/* The socket there; it passes through a shell, so only plain names. */
		struct str path = str_sub(rest, (size_t)slash, rest.len);

		for (size_t i = 0; i < path.len; i++)
			if (!isalnum((unsigned char)path.at[i]) && !strchr("/._-+@", path.at[i]))
				return -1;
		if (path.len > 1)
			h->path = str_dup(path);
		rest.len = (size_t)slash;
	}
	/* A leading dash would be an option to ssh. */
	if (rest.len == 0 || rest.at[0] == '-' || (h->user && h->user[0] == '-'))
		return -1;
	return split_host_port(rest, "", &h->name, &h->port);
}

int host_parse(const char *text, struct host *h, struct error *err)
{
	struct str s = str_of(text);
	uint64_t fd;
	int r = 0;

	h->fd = FD_NONE;
	h->text = xstrdup(text);
	if (str_starts(s, "unix://") && s.len > 7) {
		h->kind = HOST_UNIX;
		h->path = xstrdup(text + 7);
	} else if (str_starts(s, "tcp://") && s.len > 6) {
		r = parse_tcp(str_sub(s, 6, s.len), h);
	} else if (str_starts(s, "http://") && s.len > 7) {
		r = parse_tcp(str_sub(s, 7, s.len), h);
	} else if (str_starts(s, "https://") && s.len > 8) {
		h->tls = true;
		r = parse_tcp(str_sub(s, 8, s.len), h);
	} else if (str_starts(s, "ssh://") && s.len > 6) {
		r = parse_ssh(str_sub(s, 6, s.len), h);
	} else if (str_starts(s, "fd://") &&
		   parse_u64(str_sub(s, 5, s.len), 1 << 20, &fd, NULL) == 0) {
		h->kind = HOST_FD;
		h->fd = (int)fd;
	} else {
		r = -1;
	}
	if (r < 0)
		return bad_host(text, err);
	/* As docker's own client: a socket path is no host name. */
	h->header = h->kind == HOST_TCP ? cstr_format("%s:%s", h->name, h->port)
					: xstrdup("api.moby.localhost");
	if (h->base == NULL)
		h->base = xstrdup("");
	return 0;
}

void host_release(struct host *h)
{
	free(h->text);
	free(h->path);
	free(h->name);
	free(h->port);
	free(h->user);
	free(h->header);
	free(h->base);
	free(h->tls_ca);
	free(h->tls_cert);
	free(h->tls_key);
	*h = (struct host){ .fd = FD_NONE };
}

/* What docker's CLI says when nobody answers. */
static int cannot_connect(const struct host *h, const struct error *why, struct error *err)
{
	int r;

	if (err == NULL)
		return -ERR_UNAVAILABLE;
	if (why->sys == EACCES || why->sys == EPERM)
		r = error_set(err, ERR_UNAVAILABLE,
			      "permission denied while trying to connect to the Docker daemon "
			      "socket at %s: %s",
			      h->text, why->msg);
	else
		r = error_set(err, ERR_UNAVAILABLE,
			      "Cannot connect to the Docker daemon at %s. Is the docker daemon "
			      "running?",
			      h->text);
	err->sys = why->sys;
	return r;
}

static int open_ssh(const struct host *h, struct link *l, int *ret_fd, struct error *err)
{
	const char *argv[16];
	struct proc_spec spec = { .path = "ssh", .argv = argv, .cwd_fd = FD_NONE };
	autofree char *remote = NULL;
	struct proc_fd fds[3];
	size_t n = 0;
	int pair[2], r;

	argv[n++] = "ssh";
	argv[n++] = "-o";
	argv[n++] = "ConnectTimeout=30";
	argv[n++] = "-T";
	if (h->user) {
		argv[n++] = "-l";
		argv[n++] = h->user;
	}
	if (*h->port) {
		argv[n++] = "-p";
		argv[n++] = h->port;
	}
	argv[n++] = "--";
	argv[n++] = h->name;
	argv[n++] = "docker";
	if (h->path) {
		remote = cstr_format("unix://%s", h->path);
		argv[n++] = "--host";
		argv[n++] = remote;
	}
	argv[n++] = "system";
	argv[n++] = "dial-stdio";
	argv[n] = NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "create a socketpair");
	fds[0] = (struct proc_fd){ pair[1], 0 };
	fds[1] = (struct proc_fd){ pair[1], 1 };
	fds[2] = (struct proc_fd){ STDERR_FILENO, 2 };
	spec.fds = fds;
	spec.n_fds = ARRAY_LEN(fds);
	r = proc_spawn(&spec, &l->helper, err);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return error_wrap(err, r, "start ssh for '%s'", h->text);
	}
	l->has_helper = true;
	*ret_fd = pair[0];
	return 0;
}

static int open_fd(const struct host *h, struct link *l, int *ret_fd, struct error *err)
{
	struct error why = { 0 };
	int fd = FD_NONE, r = 0;

	switch (h->kind) {
	case HOST_UNIX:
		r = http_dial_unix(h->path, &fd, &why);
		break;
	case HOST_TCP:
		r = http_dial_tcp(h->name, h->port, DIAL_TIMEOUT_MS, &fd, &why);
		break;
	case HOST_FD:
		fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			r = error_sys(&why, errno, "fd %d", h->fd);
		break;
	case HOST_SSH:
		return open_ssh(h, l, ret_fd, err);
	}
	if (r < 0)
		return cannot_connect(h, &why, err);
	if (!h->tls || h->kind != HOST_TCP) {
		*ret_fd = fd;
		return 0;
	}
	return link_wrap_tls(h, fd, ret_fd, err);
}

int link_open(const struct host *h, struct link **ret, struct error *err)
{
	struct link *l = new0(struct link);
	int fd = FD_NONE;
	int r;

	r = open_fd(h, l, &fd, err);
	if (r < 0) {
		free(l);
		return r;
	}
	http_conn_init(&l->conn, fd);
	*ret = l;
	return 0;
}

void link_close(struct link *l)
{
	if (l == NULL)
		return;
	http_conn_release(&l->conn);
	if (l->has_helper) {
		int status;

		/* ssh ends when its stdin does. */
		if (proc_wait(&l->helper, 500, NULL, &status, NULL) < 0)
			proc_close(&l->helper);
	}
	free(l);
}
