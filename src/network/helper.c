#include "network/helper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "network/net_internal.h"

#define HELPER_WORD "--network-helper"
#define HELPER_FD   3
#define IDLE_MS     20000

enum helper_op { OP_CREATE = 1, OP_ENTER, OP_DNS, OP_SYSCTL };

struct request {
	uint32_t op;
	uint16_t port;  /* of dns; create: IPv6 on later links */
	char path[512]; /* or the sysctl's name */
	char value[64];
};

struct answer {
	int status;
	uint16_t ports[2];
	bool has_nft;
	struct error err;
};

/* ---- inside the helper ---- */

static int write_sysctl(const char *name, const char *value, struct error *err)
{
	char path[600];
	autoclose int fd = FD_NONE;
	int r;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	r = fs_open(path, O_WRONLY, 0, &fd, err);
	if (r < 0)
		return r;
	return fs_write_all(fd, value, strlen(value), err);
}

/* disable_ipv6: what interfaces that come in later begin with. */
static void prepare_sysctls(const char *disable_ipv6)
{
	const char *const values[][2] = {
		{ "ipv6/conf/default/disable_ipv6", disable_ipv6 },
		{ "ipv6/conf/default/accept_dad", "0" },
		{ "ipv6/conf/default/accept_ra", "0" },
		{ "ipv6/conf/all/accept_ra", "0" },
		{ "ipv6/conf/default/autoconf", "0" },
		{ "ipv4/conf/default/arp_notify", "1" },
	};

	/* A kernel without IPv6 has none of the files, and then needs none. */
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		if (write_sysctl(values[i][0], values[i][1], NULL) < 0)
			continue;
}

static int loopback_up(struct error *err)
{
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &req) < 0)
		return error_sys(err, errno, "set lo up");
	return 0;
}

static int open_handles(const char *path, int fds[static 2], struct error *err)
{
	int r = fs_open(path, O_RDONLY, 0, &fds[0], err);

	if (r < 0)
		return r;
	fds[1] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fds[1] >= 0)
		return 0;
	r = error_sys(err, errno, "open netlink socket");
	close(fds[0]);
	return r;
}

static int do_create(const char *path, const char *disable_ipv6, int fds[static 2],
		     struct error *err)
{
	autoclose int file = FD_NONE;
	int r = fs_open(path, O_RDONLY | O_CREAT | O_EXCL, 0444, &file, err);

	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNET) < 0) {
		r = error_sys(err, errno, "create network namespace");
		unlink(path);
		return r;
	}
	prepare_sysctls(disable_ipv6);
	r = loopback_up(err);
	if (r == 0 && mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) < 0)
		r = error_sys(err, errno, "keep network namespace at '%s'", path);
	if (r == 0)
		r = open_handles(path, fds, err);
	if (r < 0) {
		umount2(path, MNT_DETACH);
		unlink(path);
	}
	return r;
}

static int do_enter(const char *path, int fds[static 2], struct error *err)
{
	autoclose int fd = FD_NONE;
	struct statfs st;
	int r = fs_open(path, O_RDONLY, 0, &fd, err);

	if (r < 0)
		return r;
	if (fstatfs(fd, &st) < 0 || st.f_type != NSFS_MAGIC)
		return error_set(err, ERR_NOT_FOUND, "'%s' is no network namespace", path);
	if (setns(fd, CLONE_NEWNET) < 0)
		return error_sys(err, errno, "enter '%s'", path);
	return open_handles(path, fds, err);
}

static int bind_dns(int type, uint16_t port, int *ret_fd, uint16_t *ret_port, struct error *err)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	autoclose int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(sa);
	int size = 8 << 20, one = 1;

	sa.sin_addr.s_addr = htonl(0x7f00000b);
	if (fd < 0)
		return error_sys(err, errno, "open name-server socket");
	/* Thousands of look-ups at once must wait here, not be dropped. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		if (errno == EADDRINUSE)
			return error_set(err, ERR_CONFLICT, "127.0.0.11:%u is in use", port);
		return error_sys(err, errno, "bind 127.0.0.11:%u", port);
	}
	if (type == SOCK_STREAM && listen(fd, 1024) < 0)
		return error_sys(err, errno, "listen on 127.0.0.11:%u", port);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return error_sys(err, errno, "name of the name-server socket");
	*ret_port = ntohs(sa.sin_port);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static int do_dns(int ns_fd, uint16_t port, int fds[static 3], struct answer *a, struct error *err)
{
	autoclose int udp = FD_NONE;
	int r;

	if (setns(ns_fd, CLONE_NEWNET) < 0)
		return error_sys(err, errno, "enter network namespace");
	r = bind_dns(SOCK_DGRAM, port, &udp, &a->ports[0], err);
	if (r < 0)
		return r;
	r = bind_dns(SOCK_STREAM, port, &fds[1], &a->ports[1], err);
	if (r < 0)
		return r;
	fds[0] = steal_fd(&udp);
	fds[2] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	a->has_nft = fds[2] >= 0;
	return 0;
}

static int do_sysctl(int ns_fd, const char *name, const char *value, struct error *err)
{
	if (setns(ns_fd, CLONE_NEWNET) < 0)
		return error_sys(err, errno, "enter network namespace");
	return write_sysctl(name, value, err);
}

static int serve_one(const struct request *q, int given, int *fds, size_t *ret_n_fds,
		     struct answer *a)
{
	int r;

	*ret_n_fds = 0;
	switch ((enum helper_op)q->op) {
	case OP_CREATE:
		r = do_create(q->path, q->port ? "0" : "1", fds, &a->err);
		*ret_n_fds = r < 0 ? 0 : 2;
		return r;
	case OP_ENTER:
		r = do_enter(q->path, fds, &a->err);
		*ret_n_fds = r < 0 ? 0 : 2;
		return r;
	case OP_DNS:
		r = do_dns(given, q->port, fds, a, &a->err);
		*ret_n_fds = r < 0 ? 0 : a->has_nft ? 3 : 2;
		return r;
	case OP_SYSCTL:
		return do_sysctl(given, q->path, q->value, &a->err);
	default:
		return error_set(&a->err, ERR_INVALID, "unknown request %u", q->op);
	}
}

static int serve(int sock, int home, struct error *err)
{
	for (;;) {
		struct answer a = { 0 };
		int given[1] = { FD_NONE }, fds[3];
		size_t len, n_given, n_fds;
		struct pollfd p = { .fd = sock, .events = POLLIN };
		struct request q;
		int r;

		/* Nobody needs a process that waits: it is started again when there is work. */
		if (poll(&p, 1, IDLE_MS) == 0)
			return 0;
		r = fdpass_recv(sock, &q, sizeof(q), &len, given, 1, &n_given, err);

		if (r < 0 || len == 0)
			return r;
		if (len != sizeof(q) || !memchr(q.path, 0, sizeof(q.path)) ||
		    !memchr(q.value, 0, sizeof(q.value)))
			return error_set(err, ERR_INVALID, "bad request");
		a.status = serve_one(&q, given[0], fds, &n_fds, &a);
		if (setns(home, CLONE_NEWNET) < 0)
			return error_sys(err, errno, "return to the host's namespace");
		r = fdpass_send(sock, &a, sizeof(a), fds, n_fds, err);
		for (size_t i = 0; i < n_fds; i++)
			close(fds[i]);
		if (n_given > 0)
			close(given[0]);
		if (r < 0)
			return r;
	}
}

void net_helper_main(int argc, char **argv)
{
	struct error err = { 0 };
	int home, r;

	proxy_main(argc, argv);
	if (argc != 2 || strcmp(argv[1], HELPER_WORD) != 0)
		return;
	/* Nobody's child, so that it may leave by itself without being waited for. */
	if (fork() != 0)
		_exit(0);
	(void)prctl(PR_SET_NAME, "proad-netns");
	r = fs_open("/proc/self/ns/net", O_RDONLY, 0, &home, &err);
	if (r == 0)
		r = serve(HELPER_FD, home, &err);
	/* An engine that was killed waits for nothing more: nobody need hear of that. */
	if (r < 0 && err.sys != EPIPE && err.sys != ECONNRESET)
		fprintf(stderr, "network helper: %s\n", err.msg);
	_exit(r < 0);
}

/* ---- proad's side ---- */

static int start(struct helper *h, struct error *err)
{
	const char *argv[] = { "proad", HELPER_WORD, NULL };
	struct proc_fd map[] = { { FD_NONE, HELPER_FD }, { STDERR_FILENO, STDERR_FILENO } };
	struct proc_spec spec = { .path = h->program,
				  .argv = argv,
				  .fds = map,
				  .n_fds = ARRAY_LEN(map),
				  .cwd_fd = FD_NONE,
				  .new_session = true };
	autoclose int theirs = FD_NONE;
	int pair[2], status, r;
	struct proc proc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "make a socket pair");
	theirs = pair[1];
	map[0].parent = theirs;
	r = proc_spawn(&spec, &proc, err);
	if (r == 0)
		r = proc_wait(&proc, 10000, NULL, &status, err);
	if (r < 0) {
		close(pair[0]);
		return error_wrap(err, r, "start network helper");
	}
	h->sock = pair[0];
	return 0;
}

/* It ends when it reads the end. */
static void stop(struct helper *h)
{
	if (h->sock >= 0)
		close(steal_fd(&h->sock));
}

int helper_open(struct helper *h, const char *program, struct error *err)
{
	*h = (struct helper){ .program = xstrdup(program), .lock = LOCK_INIT, .sock = FD_NONE };
	return start(h, err);
}

void helper_close(struct helper *h)
{
	stop(h);
	free(h->program);
	h->program = NULL;
}

/* given: fd for the helper, or FD_NONE. *n_fds: in the most wanted, out what came. */
static int call(struct helper *h, const struct request *q, int given, struct answer *a, int *fds,
		size_t *n_fds, struct error *err)
{
	size_t len = 0, max = *n_fds;
	int r = 0;

	LOCKED(&h->lock);
	/* A helper that was killed is started again, once. */
	for (int try = 0; try < 2; try++) {
		if (h->sock < 0) {
			r = start(h, err);
			if (r < 0)
				return r;
		}
		r = fdpass_send(h->sock, q, sizeof(*q), &given, given >= 0 ? 1 : 0, err);
		if (r == 0)
			r = fdpass_recv(h->sock, a, sizeof(*a), &len, fds, max, n_fds, err);
		if (r == 0 && len == sizeof(*a))
			break;
		stop(h);
		r = r < 0 ? r : error_set(err, ERR_SYSTEM, "the network helper ended");
	}
	if (r < 0)
		return r;
	if (a->status < 0) {
		if (err)
			*err = a->err;
		return a->status;
	}
	return 0;
}

static int call_path(struct helper *h, enum helper_op op, const char *path, uint16_t flag,
		     struct helper_netns *ret, struct error *err)
{
	struct request q = { .op = op, .port = flag };
	struct answer a;
	size_t n = 2;
	int fds[2], r;

	if (strlen(path) >= sizeof(q.path))
		return error_set(err, ERR_INVALID, "path of network namespace is too long: '%s'",
				 path);
	memcpy(q.path, path, strlen(path) + 1);
	r = call(h, &q, FD_NONE, &a, fds, &n, err);
	if (r < 0)
		return r;
	ret->ns_fd = fds[0];
	ret->netlink_fd = fds[1];
	return 0;
}

int helper_create(struct helper *h, const char *path, bool ipv6, struct helper_netns *ret,
		  struct error *err)
{
	return call_path(h, OP_CREATE, path, ipv6, ret, err);
}

int helper_enter(struct helper *h, const char *path, struct helper_netns *ret, struct error *err)
{
	return call_path(h, OP_ENTER, path, 0, ret, err);
}

int helper_dns(struct helper *h, int ns_fd, uint16_t port, struct helper_dns *ret,
	       struct error *err)
{
	struct request q = { .op = OP_DNS, .port = port };
	struct answer a;
	size_t n = 3;
	int fds[3], r;

	r = call(h, &q, ns_fd, &a, fds, &n, err);
	if (r < 0)
		return r;
	*ret = (struct helper_dns){ fds[0], fds[1], n == 3 ? fds[2] : FD_NONE, a.ports[0],
				    a.ports[1] };
	return 0;
}

int helper_sysctl(struct helper *h, int ns_fd, const char *name, const char *value,
		  struct error *err)
{
	struct request q = { .op = OP_SYSCTL };
	struct answer a;
	size_t n = 0;

	if (strlen(name) >= sizeof(q.path) || strlen(value) >= sizeof(q.value))
		return error_set(err, ERR_INVALID, "sysctl '%s' is too long", name);
	memcpy(q.path, name, strlen(name) + 1);
	memcpy(q.value, value, strlen(value) + 1);
	return call(h, &q, ns_fd, &a, NULL, &n, err);
}
