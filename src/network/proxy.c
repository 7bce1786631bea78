/*
 * network/proxy.c: published ports without NAT: a small process of its own per
 * endpoint accepts on the host and relays to the container. Its packets pass
 * the host's INPUT rules like those of any server.
 *
 * It lives as long as its file in netns_dir: so it survives proad, and needs no
 * pid to be ended.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "network/net_internal.h"

#define PROXY_WORD     "--network-proxy"
#define PROXY_READY_FD 3
#define RELAY_SIZE     16384U
#define UDP_IDLE_NS    (90 * NS_PER_SEC)
#define UDP_PEERS_MAX  4096U

enum end_kind { END_LISTEN, END_UDP, END_UDP_PEER, END_STREAM, END_FILE };

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* One socket of the proxy. */
struct end {
	enum end_kind kind;
	int fd;
	uint8_t proto;
	union address to;     /* END_LISTEN, END_UDP: the container */
	struct end *other;    /* END_STREAM: the partner; END_UDP_PEER: the listener */
	union address client; /* END_UDP_PEER */
	int64_t used_ns;      /* END_UDP_PEER */
	uint8_t *data;        /* END_STREAM: read here, not yet written to other */
	size_t len, sent;
	bool eof, dead;
	struct end *next; /* of the list */
};

struct proxy {
	int epoll;
	struct end *ends, *graveyard;
	size_t n_peers;
};

static socklen_t address_len(const union address *a)
{
	return a->sa.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

static void address_set(union address *u, const struct net_addr *a, uint16_t port)
{
	memset(u, 0, sizeof(*u));
	u->sa.sa_family = (sa_family_t)a->family;
	if (a->family == AF_INET) {
		memcpy(&u->v4.sin_addr, a->b, 4);
		u->v4.sin_port = htons(port);
	} else {
		memcpy(&u->v6.sin6_addr, a->b, 16);
		u->v6.sin6_port = htons(port);
	}
}

static void interest(struct proxy *p, struct end *e, uint32_t events, int op)
{
	struct epoll_event ev = { .events = events, .data.ptr = e };

	(void)epoll_ctl(p->epoll, op, e->fd, &ev);
}

static struct end *end_add(struct proxy *p, enum end_kind kind, int take_fd, uint32_t events)
{
	struct end *e = new0(struct end);

	e->kind = kind;
	e->fd = take_fd;
	e->next = p->ends;
	p->ends = e;
	interest(p, e, events, EPOLL_CTL_ADD);
	return e;
}

static void end_kill(struct proxy *p, struct end *e)
{
	if (!e || e->dead)
		return;
	e->dead = true;
	close(e->fd);
	if (e->kind == END_UDP_PEER)
		p->n_peers--;
	for (struct end **at = &p->ends; *at; at = &(*at)->next) {
		if (*at != e)
			continue;
		*at = e->next;
		break;
	}
	e->next = p->graveyard;
	p->graveyard = e;
	if (e->kind == END_STREAM)
		end_kill(p, e->other);
}

static void bury(struct proxy *p)
{
	while (p->graveyard) {
		struct end *e = p->graveyard;

		p->graveyard = e->next;
		free(e->data);
		free(e);
	}
}

/* What each side of a stream waits for now. */
static void stream_interest(struct proxy *p, struct end *e)
{
	uint32_t events = e->len == 0 && !e->eof ? EPOLLIN : 0;

	if (e->other->len > 0)
		events |= EPOLLOUT;
	interest(p, e, events, EPOLL_CTL_MOD);
}

/* Write what `from` read to its partner. */
static bool stream_flush(struct end *from)
{
	while (from->sent < from->len) {
		ssize_t n = send(from->other->fd, from->data + from->sent, from->len - from->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		from->sent += (size_t)n;
	}
	from->len = from->sent = 0;
	if (from->eof)
		shutdown(from->other->fd, SHUT_WR);
	return true;
}

static bool stream_read(struct end *e)
{
	ssize_t n;

	if (!e->data)
		e->data = xcalloc(1, RELAY_SIZE);
	n = recv(e->fd, e->data, RELAY_SIZE, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	e->len = (size_t)n;
	e->sent = 0;
	e->eof = n == 0;
	return stream_flush(e);
}

static void stream_event(struct proxy *p, struct end *e, uint32_t events)
{
	bool good = true;

	if (events & EPOLLOUT)
		good = stream_flush(e->other);
	if (good && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && e->len == 0 && !e->eof)
		good = stream_read(e);
	if ((events & EPOLLERR) || !good ||
	    (e->eof && e->other->eof && e->len == 0 && e->other->len == 0)) {
		end_kill(p, e);
		return;
	}
	stream_interest(p, e);
	stream_interest(p, e->other);
}

static void accept_stream(struct proxy *p, struct end *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int to = fd < 0 ? FD_NONE
			: socket(l->to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
				 l->proto);
	struct end *a, *b;

	if (to < 0 || (connect(to, &l->to.sa, address_len(&l->to)) < 0 && errno != EINPROGRESS)) {
		if (to >= 0)
			close(to);
		if (fd >= 0)
			close(fd);
		return;
	}
	a = end_add(p, END_STREAM, fd, 0);
	b = end_add(p, END_STREAM, to, 0);
	a->other = b;
	b->other = a;
	interest(p, a, EPOLLIN, EPOLL_CTL_MOD);
	interest(p, b, EPOLLIN, EPOLL_CTL_MOD);
}

static struct end *udp_peer(struct proxy *p, struct end *l, const union address *client)
{
	struct end *e;
	int fd;

	for (e = p->ends; e; e = e->next)
		if (e->kind == END_UDP_PEER && e->other == l &&
		    memcmp(&e->client, client, address_len(client)) == 0)
			return e;
	if (p->n_peers >= UDP_PEERS_MAX)
		return NULL;
	fd = socket(l->to.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, &l->to.sa, address_len(&l->to)) < 0) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	e = end_add(p, END_UDP_PEER, fd, EPOLLIN);
	e->other = l;
	e->client = *client;
	p->n_peers++;
	return e;
}

static void udp_event(struct proxy *p, struct end *e)
{
	uint8_t bytes[65536];
	union address from = { 0 };
	socklen_t len = sizeof(from);
	ssize_t n;

	if (e->kind == END_UDP_PEER) {
		n = recv(e->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n >= 0)
			(void)!sendto(e->other->fd, bytes, (size_t)n, MSG_DONTWAIT, &e->client.sa,
				      address_len(&e->client));
		e->used_ns = clock_mono_ns();
		return;
	}
	n = recvfrom(e->fd, bytes, sizeof(bytes), MSG_DONTWAIT, &from.sa, &len);
	if (n < 0)
		return;
	e = udp_peer(p, e, &from);
	if (!e)
		return;
	e->used_ns = clock_mono_ns();
	(void)!send(e->fd, bytes, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void drop_idle(struct proxy *p)
{
	int64_t oldest = clock_mono_ns() - UDP_IDLE_NS;
	struct end *next;

	for (struct end *e = p->ends; e; e = next) {
		next = e->next;
		if (e->kind == END_UDP_PEER && e->used_ns < oldest)
			end_kill(p, e);
	}
}

static void serve(struct proxy *p, const char *file)
{
	struct epoll_event events[64];

	while (access(file, F_OK) == 0) {
		int n = epoll_wait(p->epoll, events, 64, p->n_peers ? 10000 : -1);

		for (int i = 0; i < n; i++) {
			struct end *e = events[i].data.ptr;

			if (e->dead)
				continue;
			if (e->kind == END_LISTEN)
				accept_stream(p, e);
			else if (e->kind == END_STREAM)
				stream_event(p, e, events[i].events);
			else if (e->kind != END_FILE)
				udp_event(p, e);
		}
		drop_idle(p);
		bury(p);
	}
}

static int open_listener(struct proxy *p, const struct rules_port *r, struct error *err)
{
	struct net_addr host = r->host_ip;
	bool udp = r->proto == NET_UDP;
	autoclose int fd = FD_NONE;
	char text[NET_ADDR_TEXT_MAX];
	union address at;
	struct end *e;
	int one = 1;

	if (host.family == 0)
		host.family = r->to.family;
	net_addr_format(&host, text);
	address_set(&at, &host, r->host_port);
	fd = socket(host.family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    r->proto);
	if (fd >= 0 && !udp)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && host.family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (fd < 0 || bind(fd, &at.sa, address_len(&at)) < 0 || (!udp && listen(fd, 1024) < 0)) {
		if (errno == EADDRINUSE)
			return error_set(err, ERR_CONFLICT,
					 "Bind for %s:%u failed: port is already allocated", text,
					 r->host_port);
		return error_sys(err, errno, "failed to bind host port for %s:%u/%s", text,
				 r->host_port, port_proto_name((enum net_proto)r->proto));
	}
	e = end_add(p, udp ? END_UDP : END_LISTEN, steal_fd(&fd), EPOLLIN);
	e->proto = r->proto;
	address_set(&e->to, &r->to, r->port);
	return 0;
}

/* "6,<host ip or *>,8080,172.17.0.2,80" */
static int parse_port(const char *arg, struct rules_port *ret, struct error *err)
{
	struct str rest = str_of(arg), word[5];
	uint64_t v[3];

	for (int i = 0; i < 5; i++)
		if (!str_split(&rest, ',', &word[i]))
			return error_set(err, ERR_INVALID, "bad port '%s'", arg);
	for (int i = 0; i < 2; i++) {
		autofree char *text = str_dup(word[i == 0 ? 1 : 3]);
		struct net_addr *to = i == 0 ? &ret->host_ip : &ret->to;
		int r = strcmp(text, "*") == 0 ? 0 : net_addr_parse(text, to, err);

		if (r < 0)
			return r;
	}
	for (int i = 0; i < 3; i++) {
		int r = parse_u64(word[i * 2], i == 0 ? 255 : 65535, &v[i], err);

		if (r < 0)
			return r;
	}
	ret->proto = (uint8_t)v[0];
	ret->host_port = (uint16_t)v[1];
	ret->port = (uint16_t)v[2];
	return 0;
}

void proxy_main(int argc, char **argv)
{
	struct proxy p = { .epoll = epoll_create1(EPOLL_CLOEXEC) };
	struct error err = { 0 };
	int watch, file, r = 0;

	if (argc < 3 || strcmp(argv[1], PROXY_WORD) != 0) {
		close(p.epoll);
		return;
	}
	/* Nobody's child: proad may come and go. */
	if (fork() != 0)
		_exit(0);
	(void)prctl(PR_SET_NAME, "proad-port");
	file = open(argv[2], O_RDONLY | O_CLOEXEC);
	watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (p.epoll < 0 || watch < 0 || file < 0 || flock(file, LOCK_EX | LOCK_NB) < 0 ||
	    inotify_add_watch(watch, argv[2], IN_ATTRIB) < 0)
		r = error_sys(&err, errno, "watch '%s'", argv[2]);
	for (int i = 3; r == 0 && i < argc; i++) {
		struct rules_port port = { 0 };

		r = parse_port(argv[i], &port, &err);
		if (r == 0)
			r = open_listener(&p, &port, &err);
	}
	err.kind = r < 0 ? (enum error_kind) - r : ERR_NONE;
	if (write(PROXY_READY_FD, &err, sizeof(err)) != sizeof(err) || r < 0)
		_exit(1);
	close(PROXY_READY_FD);
	end_add(&p, END_FILE, watch, EPOLLIN);
	serve(&p, argv[2]);
	_exit(0);
}

static char *file_of(struct net *n, const struct endpoint *e)
{
	return cstr_format("%s/proxy-%.32s", n->netns_dir, e->id);
}

bool proxy_is_running(struct net *n, const struct endpoint *e)
{
	autofree char *file = file_of(n, e);
	autoclose int fd = FD_NONE;

	/* The proxy holds a lock on its file. */
	return fs_open(file, O_RDONLY, 0, &fd, NULL) == 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
}

void proxy_stop(struct net *n, const struct endpoint *e)
{
	autofree char *file = file_of(n, e);

	unlink(file);
}

static char *port_argument(const struct rules_port *r)
{
	char host[NET_ADDR_TEXT_MAX], to[NET_ADDR_TEXT_MAX];

	net_addr_format(&r->host_ip, host);
	net_addr_format(&r->to, to);
	return cstr_format("%u,%s,%u,%s,%u", r->proto, host[0] ? host : "*", r->host_port, to,
			   r->port);
}

static int wait_ready(int fd, struct error *err)
{
	struct error told;
	ssize_t n;

	do
		n = read(fd, &told, sizeof(told));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(told))
		return error_set(err, ERR_SYSTEM, "the port proxy ended");
	if (told.kind == ERR_NONE)
		return 0;
	if (err)
		*err = told;
	return -(int)told.kind;
}

int proxy_start(struct net *n, const struct endpoint *e, struct error *err)
{
	autofree char *file = file_of(n, e);
	autofree char **argv = xcalloc(e->rules.len + 4, sizeof(char *));
	struct proc_fd map = { FD_NONE, PROXY_READY_FD };
	struct proc_spec spec = { .path = n->helper_path,
				  .fds = &map,
				  .n_fds = 1,
				  .cwd_fd = FD_NONE,
				  .new_session = true };
	autoclose int mark = FD_NONE;
	struct proc proc;
	int ready[2], status, r;

	r = fs_open(file, O_WRONLY | O_CREAT, 0600, &mark, err);
	if (r < 0)
		return r;
	if (pipe2(ready, O_CLOEXEC) < 0)
		return error_sys(err, errno, "pipe");
	argv[0] = xstrdup("proad");
	argv[1] = xstrdup(PROXY_WORD);
	argv[2] = xstrdup(file);
	for (size_t i = 0; i < e->rules.len; i++)
		argv[i + 3] = port_argument(&e->rules.at[i]);
	map.parent = ready[1];
	spec.argv = (const char *const *)argv;
	r = proc_spawn(&spec, &proc, err);
	close(ready[1]);
	if (r == 0) {
		r = proc_wait(&proc, 10000, NULL, &status, err);
		if (r == 0)
			r = wait_ready(ready[0], err);
	}
	close(ready[0]);
	if (r < 0)
		unlink(file);
	for (size_t i = 0; argv[i]; i++)
		free(argv[i]);
	return r;
}
