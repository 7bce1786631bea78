#include "network/dns_internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/random.h"

#define TIMEOUT_DEFAULT_MS 2000
#define RESOLV_CHECK_NS    NS_PER_SEC

/* Sockets to servers that may be gone; what waits on them is sent again when late. */
static void drop_upstreams(struct dns *d)
{
	for (struct pending *p = d->first; p; p = p->next)
		if (p->upstream && p->upstream->kind == SOURCE_UPSTREAM)
			p->upstream = NULL;
	vec_for_each (u, &d->upstreams)
		dns_source_kill(d, *u);
	vec_release(&d->upstreams);
}

/* The host's resolv.conf may be replaced at any time (DHCP, VPN): look once a second. */
static void refresh_servers(struct dns *d)
{
	int64_t now = clock_mono_ns();
	auto_(buf) text = BUF_INIT(RESOLV_SIZE_MAX);
	struct stat st;
	int64_t mtime;

	if (d->resolv_checked_ns && now - d->resolv_checked_ns < RESOLV_CHECK_NS)
		return;
	d->resolv_checked_ns = now;
	if (stat(d->resolv_conf, &st) < 0)
		return;
	mtime = st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec;
	if (mtime == d->resolv_mtime_ns && st.st_ino == d->resolv_ino &&
	    (uint64_t)st.st_size == d->resolv_size)
		return;
	if (fs_read_file(d->resolv_conf, &text, NULL) < 0)
		return;
	d->resolv_mtime_ns = mtime;
	d->resolv_ino = st.st_ino;
	d->resolv_size = (uint64_t)st.st_size;
	drop_upstreams(d);
	resolv_release(&d->resolv);
	resolv_parse(text.data ? text.data : "", text.len, &d->resolv);
}

static size_t servers_of(struct dns *d, const struct dns_sandbox *s, const struct net_addr **ret)
{
	if (s && s->n_servers) {
		*ret = s->servers;
		return s->n_servers;
	}
	if (d->n_fixed) {
		*ret = d->fixed;
		return d->n_fixed;
	}
	*ret = d->resolv.servers;
	return d->resolv.n_servers;
}

static socklen_t server_address(const struct net_addr *a, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof(*ss));
	if (a->family == AF_INET) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(53);
		memcpy(&v4->sin_addr, a->b, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(53);
	memcpy(&v6->sin6_addr, a->b, 16);
	return sizeof(*v6);
}

static int connect_server(const struct net_addr *server, int type)
{
	autoclose int fd = socket(server->family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_storage ss;
	socklen_t len = server_address(server, &ss);
	int size = 4 << 20;

	if (fd < 0)
		return FD_NONE;
	if (type == SOCK_DGRAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		return FD_NONE;
	return steal_fd(&fd);
}

/* One of a few connected sockets (each its own source port) to this server. */
static struct source *upstream_get(struct dns *d, const struct net_addr *server)
{
	struct source *mine[SOCKETS_PER_SERVER];
	struct source *s;
	unsigned n = 0;
	int fd;

	vec_for_each (u, &d->upstreams)
		if (n < SOCKETS_PER_SERVER && net_addr_eq(&(*u)->server, server))
			mine[n++] = *u;
	if (n == SOCKETS_PER_SERVER)
		return mine[d->turn++ % SOCKETS_PER_SERVER];
	fd = connect_server(server, SOCK_DGRAM);
	if (fd < 0)
		return n ? mine[0] : NULL;
	s = dns_source_add(d, SOURCE_UPSTREAM, fd, EPOLLIN);
	if (!s)
		return n ? mine[0] : NULL;
	s->server = *server;
	*vec_push(&d->upstreams) = s;
	return s;
}

static void unlink_pending(struct dns *d, struct pending *p)
{
	*(p->prev ? &p->prev->next : &d->first) = p->next;
	*(p->next ? &p->next->prev : &d->last) = p->prev;
	p->next = p->prev = NULL;
}

static void link_pending(struct dns *d, struct pending *p, int64_t timeout_ms)
{
	struct pending *after = d->last;

	p->deadline_ns = clock_mono_ns() + timeout_ms * NS_PER_MS;
	while (after && after->deadline_ns > p->deadline_ns)
		after = after->prev;
	p->prev = after;
	p->next = after ? after->next : d->first;
	*(p->prev ? &p->prev->next : &d->first) = p;
	*(p->next ? &p->next->prev : &d->last) = p;
}

static void free_pending(struct dns *d, struct pending *p)
{
	unlink_pending(d, p);
	if (p->client)
		p->client->waiting--;
	if (p->sandbox)
		p->sandbox->pending--;
	if (p->upstream && p->upstream->kind == SOURCE_UPSTREAM_TCP) {
		p->upstream->pending = NULL;
		dns_source_kill(d, p->upstream);
	}
	d->by_id[p->id] = NULL;
	d->n_pending--;
	free(p->query);
	free(p);
}

static void deliver(struct dns *d, struct pending *p, uint8_t *bytes, size_t len)
{
	dns_set_id(bytes, p->client_id);
	if (p->client)
		dns_reply_tcp(d, p->client, bytes, len);
	else if (p->sandbox)
		dns_reply_udp(p->sandbox, &p->from, bytes,
			      len > p->udp_size ? dns_truncate(bytes, p->question_end) : len);
	free_pending(d, p);
}

static void fail(struct dns *d, struct pending *p)
{
	struct dns_query q = { .question_end = p->question_end };
	uint8_t out[DNS_UDP_SIZE_MIN];
	struct dns_answer a;

	dns_answer_begin(&a, out, sizeof(out), p->query, &q, DNS_SERVFAIL);
	deliver(d, p, out, a.len);
}

static bool send_tcp(struct dns *d, struct pending *p, const struct net_addr *server)
{
	int fd = connect_server(server, SOCK_STREAM);
	struct source *s =
	    fd < 0 ? NULL : dns_source_add(d, SOURCE_UPSTREAM_TCP, fd, EPOLLIN | EPOLLOUT);

	if (!s)
		return false;
	s->pending = p;
	s->out = xcalloc(1, p->len + 2);
	s->out[0] = (uint8_t)(p->len >> 8);
	s->out[1] = (uint8_t)p->len;
	memcpy(s->out + 2, p->query, p->len);
	dns_set_id(s->out + 2, p->id);
	s->out_len = p->len + 2;
	p->upstream = s;
	return true;
}

/* Send to the next server in turn, or give up. */
static void send_next(struct dns *d, struct pending *p)
{
	unsigned attempts = d->resolv.attempts ? d->resolv.attempts : 2;
	int64_t timeout_ms = d->resolv.timeout_s ? d->resolv.timeout_s * 1000 : TIMEOUT_DEFAULT_MS;
	const struct net_addr *servers;
	size_t n = servers_of(d, p->sandbox, &servers);
	unsigned start = d->resolv.rotate ? p->id : 0;

	if (p->upstream && p->upstream->kind == SOURCE_UPSTREAM_TCP) {
		p->upstream->pending = NULL;
		dns_source_kill(d, p->upstream);
	}
	p->upstream = NULL;
	unlink_pending(d, p);
	while (n > 0 && p->try < attempts * n) {
		const struct net_addr *server = &servers[(start + p->try++) % n];
		struct source *u;

		if (p->client) {
			if (send_tcp(d, p, server))
				break;
			continue;
		}
		u = upstream_get(d, server);
		if (!u)
			continue;
		dns_set_id(p->query, p->id);
		p->upstream = u;
		/* A full socket buffer or an unreachable server shows as a late answer. */
		if (send(u->fd, p->query, p->len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
		    errno == EAGAIN || errno == ENOBUFS)
			break;
		p->upstream = NULL;
	}
	link_pending(d, p, timeout_ms);
	if (!p->upstream)
		fail(d, p);
}

/* An id nobody can guess and nobody else uses at this time. */
static uint16_t free_id(struct dns *d)
{
	uint16_t id;

	do
		random_bytes(&id, sizeof(id));
	while (d->by_id[id]);
	return id;
}

void dns_forward(struct dns *d, const struct dns_request *rq)
{
	struct pending *p;

	refresh_servers(d);
	if (d->n_pending >= PENDING_MAX ||
	    rq->sandbox->pending >= (rq->client ? SANDBOX_PENDING_TCP : SANDBOX_PENDING))
		return;
	p = new0(struct pending);
	p->sandbox = rq->sandbox;
	p->client = rq->client;
	p->from = rq->from;
	p->query = xcalloc(1, rq->len);
	memcpy(p->query, rq->bytes, rq->len);
	p->len = rq->len;
	p->question_end = rq->query->question_end;
	p->udp_size = rq->query->udp_size;
	p->client_id = rq->query->id;
	p->id = free_id(d);
	d->by_id[p->id] = p;
	d->n_pending++;
	p->sandbox->pending++;
	if (p->client)
		p->client->waiting++;
	link_pending(d, p, 0);
	send_next(d, p);
}

static void answer_came(struct dns *d, struct pending *p, uint8_t *bytes, size_t len)
{
	enum dns_rcode rcode = dns_response_rcode(bytes);
	const struct net_addr *servers;
	size_t n = servers_of(d, p->sandbox, &servers);

	/* A broken server is no answer while there is another to ask. */
	if ((rcode == DNS_SERVFAIL || rcode == DNS_REFUSED) && p->try < n) {
		send_next(d, p);
		return;
	}
	deliver(d, p, bytes, len);
}

void dns_upstream_readable(struct dns *d, struct source *s)
{
	uint8_t bytes[DNS_MESSAGE_MAX];

	for (int i = 0; i < 256; i++) {
		ssize_t n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		struct pending *p;

		if (n < 0 && errno == ECONNREFUSED)
			continue; /* the retry goes elsewhere */
		if (n < 0)
			return;
		if (n < DNS_HEADER_SIZE)
			continue;
		p = d->by_id[dns_id(bytes)];
		if (p && p->upstream == s &&
		    dns_response_matches(bytes, (size_t)n, p->query, p->len))
			answer_came(d, p, bytes, (size_t)n);
	}
}

static void tcp_read(struct dns *d, struct source *s)
{
	struct pending *p = s->pending;
	size_t want, have;
	ssize_t n;

	if (!s->in)
		s->in = xcalloc(1, DNS_MESSAGE_MAX + 2);
	n = recv(s->fd, s->in + s->in_len, DNS_MESSAGE_MAX + 2 - s->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		send_next(d, p);
		return;
	}
	s->in_len += (size_t)n;
	want = s->in_len < 2 ? 2 : 2 + (size_t)dns_id(s->in);
	have = s->in_len;
	if (have < want || want < 2 + DNS_HEADER_SIZE)
		return;
	if (dns_id(s->in + 2) == p->id &&
	    dns_response_matches(s->in + 2, want - 2, p->query, p->len))
		answer_came(d, p, s->in + 2, want - 2);
	else
		send_next(d, p);
}

void dns_upstream_tcp_event(struct dns *d, struct source *s, uint32_t events)
{
	if (!s->pending)
		return;
	if (s->out_sent < s->out_len && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
		ssize_t n = send(s->fd, s->out + s->out_sent, s->out_len - s->out_sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN) {
			send_next(d, s->pending);
			return;
		}
		s->out_sent += n > 0 ? (size_t)n : 0;
		if (s->out_sent == s->out_len)
			dns_source_events(d, s, EPOLLIN);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		tcp_read(d, s);
}

int dns_forward_tick(struct dns *d)
{
	int64_t now = clock_mono_ns();

	while (d->first && d->first->deadline_ns <= now)
		send_next(d, d->first);
	if (!d->first)
		return -1;
	return (int)((d->first->deadline_ns - now) / NS_PER_MS + 1);
}

void dns_forward_forget(struct dns *d, const struct source *client,
			const struct dns_sandbox *sandbox)
{
	struct pending *next;

	for (struct pending *p = d->first; p; p = next) {
		next = p->next;
		if ((client && p->client == client) || (sandbox && p->sandbox == sandbox))
			free_pending(d, p);
	}
}

void dns_forward_release(struct dns *d)
{
	while (d->first)
		free_pending(d, d->first);
	vec_release(&d->upstreams);
	resolv_release(&d->resolv);
}
