#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/queue.h"
#include "http/server_internal.h"

#define EVENTS_PER_WAIT 64
#define TICK_MS         1000
#define STOP_GRACE_NS   (10 * NS_PER_SEC)
/* To a reader on this machine: what it has not taken stays in the processor's cache. The
 * kernel's own buffer of megabytes doubled the reader's CPU time for a blob of 100 MB. */
#define NEAR_SEND_BYTES (128 * 1024)

int http_server_new(const struct http_server_config *config, http_handler handler, void *arg,
		    struct http_server **ret, struct error *err)
{
	struct http_server *s = new0(struct http_server);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &s->wake_watch };

	s->config = *config;
	s->name = config->name ? xstrdup(config->name) : NULL;
	s->config.name = s->name;
	if (s->config.max_connections == 0)
		s->config.max_connections = 4096;
	if (s->config.max_per_peer == 0)
		s->config.max_per_peer = 256;
	if (s->config.header_timeout_ms == 0)
		s->config.header_timeout_ms = 10 * 1000;
	if (s->config.idle_timeout_ms == 0)
		s->config.idle_timeout_ms = 300 * 1000;
	s->handler = handler;
	s->arg = arg;
	s->wake_watch.kind = WATCH_WAKE;
	s->lock = (struct lock)LOCK_INIT;
	pthread_cond_init(&s->work, NULL);
	s->ready_tail = &s->ready;
	s->last_ns = clock_mono_ns();
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->wake_fd < 0 ||
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &ev) < 0) {
		int sys = errno;

		http_server_free(s);
		return error_sys(err, sys, "set up the server's waiter");
	}
	*ret = s;
	return 0;
}

static void wake(struct http_server *s)
{
	uint64_t one = 1;
	ssize_t n = write(s->wake_fd, &one, sizeof(one));

	(void)n;
}

void http_server_stop(struct http_server *s)
{
	atomic_store(&s->stopping, true);
	wake(s);
}

/* events 0 still reports EPOLLHUP and EPOLLERR. */
static void watch(struct server_conn *c, uint32_t events)
{
	struct epoll_event ev = { .events = events | EPOLLONESHOT, .data.ptr = c };

	epoll_ctl(c->server->epoll_fd, EPOLL_CTL_MOD, c->transport.fd, &ev);
}

void server_watch_hangup(struct server_conn *c, bool half_close_too)
{
	watch(c, half_close_too ? EPOLLRDHUP : 0);
}

void server_head_begins(struct server_conn *c, int64_t now_ns)
{
	if (c->head_begun)
		return;
	c->head_begun = true;
	c->deadline_ns = now_ns + c->server->config.header_timeout_ms * NS_PER_MS;
}

/* Unlink and free; the caller holds no other pointer to it. */
static void conn_free(struct server_conn *c)
{
	struct http_server *s = c->server;

	{
		LOCKED(&s->lock);
		if (c->prev)
			c->prev->next = c->next;
		else
			s->conns = c->next;
		if (c->next)
			c->next->prev = c->prev;
		s->n_conns--;
	}
	/* To close is not enough: a process being spawned has a copy until its exec, and the
	 * set of what is watched knows the socket, not our descriptor. */
	if (c->transport.fd >= 0)
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->transport.fd, NULL);
	http_transport_release(&c->transport);
	buf_release(&c->src.in);
	http_tls_unref(c->tls);
	free(c);
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET6)
		return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
			      &((const struct sockaddr_in6 *)b)->sin6_addr,
			      sizeof(struct in6_addr)) == 0;
	return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
	       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

/* Who has one IPv6 address has its /64. */
static bool same_subscriber(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct in6_addr *x = &((const struct sockaddr_in6 *)a)->sin6_addr;
	const struct in6_addr *y = &((const struct sockaddr_in6 *)b)->sin6_addr;

	if (a->ss_family != AF_INET6 || b->ss_family != AF_INET6 || IN6_IS_ADDR_V4MAPPED(x))
		return same_host(a, b);
	return memcmp(x, y, 8) == 0;
}

static bool within_limits(struct http_server *s, bool local, const struct sockaddr_storage *addr)
{
	unsigned n = 0;
	LOCKED(&s->lock);

	if (s->n_conns >= s->config.max_connections)
		return false;
	if (local)
		return true;
	for (const struct server_conn *c = s->conns; c; c = c->next)
		n += !c->local && same_subscriber(&c->addr, addr);
	return n < s->config.max_per_peer;
}

static void tune_tcp(int fd, const struct sockaddr_storage *peer)
{
	struct sockaddr_storage own = { 0 };
	socklen_t len = sizeof(own);
	int on = 1, bytes = NEAR_SEND_BYTES;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (getsockname(fd, (struct sockaddr *)&own, &len) == 0 && same_host(&own, peer))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static void conn_new(struct http_server *s, const struct listener *l, int take_fd,
		     const struct sockaddr_storage *addr)
{
	struct server_conn *c = new0(struct server_conn);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = c };

	c->watch.kind = WATCH_CONN;
	c->server = s;
	c->addr = *addr;
	c->local = l->local;
	c->tls = l->tls ? http_tls_ref(l->tls) : NULL;
	c->is_tls = l->tls != NULL;
	c->peer_uid = (uid_t)-1;
	http_transport_init(&c->transport, take_fd);
	c->transport.write_timeout_ms =
	    s->config.write_timeout_ms ? s->config.write_timeout_ms : -1;
	c->transport.take_fds = l->local && s->config.accept_context_fd;
	c->src =
	    (struct http_source){ .t = &c->transport, .in = BUF_INIT(HTTP_HEAD_MAX + 16 * 1024) };
	c->cancel.fd = FD_NONE;
	if (!l->local) {
		/* The first head, and the TLS handshake before it, are due at once. */
		server_head_begins(c, clock_mono_ns());
		tune_tcp(take_fd, addr);
	}
	{
		LOCKED(&s->lock);
		c->next = s->conns;
		if (s->conns)
			s->conns->prev = c;
		s->conns = c;
		s->n_conns++;
	}
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, take_fd, &ev) < 0)
		conn_free(c);
}

static void accept_all(struct http_server *s, const struct listener *l)
{
	for (;;) {
		struct sockaddr_storage addr = { 0 };
		socklen_t len = sizeof(addr);
		int fd =
		    accept4(l->fd, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			/* Out of descriptors: the listener stays readable; do not spin on it. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
				usleep(20 * 1000);
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			return;
		}
		if (!within_limits(s, l->local, &addr))
			close(fd);
		else
			conn_new(s, l, fd, &addr);
	}
}

/* Give the connection to a worker; a new one when all are at work. */
static void dispatch(struct server_conn *c)
{
	struct http_server *s = c->server;
	bool need_worker;

	atomic_store(&c->body_open, true);
	/* Before a worker can have it: a quick one arms the connection for its next
	 * request, which must not be overwritten. */
	server_watch_hangup(c, !c->local);
	{
		LOCKED(&s->lock);
		c->state = CONN_BUSY;
		c->next_ready = NULL;
		*s->ready_tail = c;
		s->ready_tail = &c->next_ready;
		s->n_busy++;
		s->n_ready++;
		need_worker = s->n_ready > s->n_waiting;
		if (need_worker)
			s->n_workers++;
	}
	/* Outside the lock: the one that wakes would only run into it. */
	pthread_cond_signal(&s->work);
	if (need_worker && thread_start(server_worker, s, "http", NULL) < 0) {
		/* Out of threads: some other worker takes it when it is done. */
		LOCKED(&s->lock);
		s->n_workers--;
	}
}

/* Refuse without a worker: the head is too large. */
static void refuse_head(struct server_conn *c)
{
	static const char answer[] = "HTTP/1.1 431 Request Header Fields Too Large\r\n"
				     "Connection: close\r\nContent-Length: 0\r\n\r\n";
	ssize_t n = send(c->transport.fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void)n;
	conn_free(c);
}

/* Read what is there. Never blocks. */
static void read_head(struct server_conn *c)
{
	struct buf *in = &c->src.in;
	char chunk[8192];

	for (;;) {
		ssize_t n = http_transport_recv(&c->transport, chunk, sizeof(chunk));

		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			conn_free(c);
			return;
		}
		server_head_begins(c, clock_mono_ns());
		if (buf_add(in, chunk, (size_t)n, NULL) < 0) {
			refuse_head(c);
			return;
		}
		if (http_head_end(in->data, in->len, c->scanned) > 0) {
			dispatch(c);
			return;
		}
		c->scanned = in->len;
		if (in->len > HTTP_HEAD_MAX) {
			refuse_head(c);
			return;
		}
	}
	watch(c, EPOLLIN | EPOLLRDHUP);
}

static void conn_event(struct server_conn *c, uint32_t events)
{
	enum conn_state state;

	{
		LOCKED(&c->server->lock);
		state = c->state;
		/* A half-close before the body's end is how some clients end the body. */
		if (state == CONN_BUSY &&
		    ((events & (EPOLLHUP | EPOLLERR)) ||
		     ((events & EPOLLRDHUP) && !atomic_load(&c->body_open)))) {
			c->gone = true;
			if (c->has_cancel)
				cancel_fire(&c->cancel);
		}
	}
	if (state != CONN_HEAD)
		return;
	if (c->is_tls)
		dispatch(c);
	else
		read_head(c);
}

static void free_dead(struct http_server *s)
{
	struct server_conn *c;

	{
		LOCKED(&s->lock);
		c = s->dead;
		s->dead = NULL;
	}
	while (c) {
		struct server_conn *next = c->next_ready;

		conn_free(c);
		c = next;
	}
}

static void close_expired(struct http_server *s, int64_t now_ns)
{
	struct server_conn *c = s->conns;

	while (c) {
		struct server_conn *next;
		bool expired;

		{
			LOCKED(&s->lock);
			next = c->next;
			expired =
			    c->state == CONN_HEAD && c->deadline_ns > 0 && c->deadline_ns <= now_ns;
		}
		if (expired)
			conn_free(c);
		c = next;
	}
}

static int wait_once(struct http_server *s, int timeout_ms, struct error *err)
{
	struct epoll_event events[EVENTS_PER_WAIT];
	int n = epoll_wait(s->epoll_fd, events, EVENTS_PER_WAIT, timeout_ms);

	if (n < 0 && errno != EINTR)
		return error_sys(err, errno, "wait for connections");
	if (n > 0)
		s->quiet_told = false;
	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;
		uint64_t drop;
		ssize_t got;

		if (w->kind == WATCH_LISTENER) {
			accept_all(s, (const struct listener *)w);
		} else if (w->kind == WATCH_CONN) {
			conn_event((struct server_conn *)w, events[i].events);
		} else {
			got = read(s->wake_fd, &drop, sizeof(drop));
			(void)got;
		}
	}
	free_dead(s);
	return 0;
}

static void listener_free(struct listener *l)
{
	struct stat st;

	if (l->fd >= 0)
		close(l->fd);
	if (l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	free(l->path);
	http_tls_unref(l->tls);
	free(l);
}

static void close_listeners(struct http_server *s)
{
	vec_for_each (l, &s->listeners)
		listener_free(*l);
	vec_release(&s->listeners);
}

static void cancel_busy(struct http_server *s)
{
	LOCKED(&s->lock);

	for (struct server_conn *c = s->conns; c; c = c->next)
		if (c->state == CONN_BUSY && c->has_cancel)
			cancel_fire(&c->cancel);
}

static bool is_quiet(struct http_server *s)
{
	LOCKED(&s->lock);

	return s->n_busy == 0;
}

static void tell_quiet(struct http_server *s, int64_t now_ns)
{
	if (s->config.on_quiet == NULL || s->quiet_told)
		return;
	if (s->config.on_tick)
		s->config.on_tick();
	{
		LOCKED(&s->lock);
		if (s->n_busy > 0 || now_ns - s->last_ns < s->config.quiet_after_ms * NS_PER_MS)
			return;
	}
	s->config.on_quiet();
	s->quiet_told = true;
}

/* -1 when nothing becomes due with time. */
static int tick_ms(const struct http_server *s)
{
	return s->conns || (s->config.on_quiet && !s->quiet_told) ? TICK_MS : -1;
}

int http_server_run(struct http_server *s, struct error *err)
{
	int64_t next_scan_ns = 0, stop_ns;
	int r;

	while (!atomic_load(&s->stopping)) {
		int64_t now_ns;

		r = wait_once(s, tick_ms(s), err);
		if (r < 0)
			return r;
		now_ns = clock_mono_ns();
		if (now_ns >= next_scan_ns) {
			close_expired(s, now_ns);
			tell_quiet(s, now_ns);
			next_scan_ns = now_ns + TICK_MS * NS_PER_MS / 2;
		}
	}
	close_listeners(s);
	stop_ns = clock_mono_ns() + STOP_GRACE_NS;
	while (!is_quiet(s) && clock_mono_ns() < stop_ns) {
		cancel_busy(s);
		r = wait_once(s, 50, err);
		if (r < 0)
			return r;
	}
	return 0;
}

void http_server_free(struct http_server *s)
{
	bool quiet = false;

	if (s == NULL)
		return;
	atomic_store(&s->stopping, true);
	close_listeners(s);
	for (int i = 0; i < 1000 && !quiet; i++) {
		{
			LOCKED(&s->lock);
			pthread_cond_broadcast(&s->work);
			quiet = s->n_busy == 0 && s->n_workers == 0;
		}
		if (!quiet)
			usleep(1000);
	}
	/* A handler that ignores its cancel still uses the server: leave it the memory. */
	if (!quiet)
		return;
	while (s->conns)
		conn_free(s->conns);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	pthread_cond_destroy(&s->work);
	free(s->name);
	free(s);
}

void http_server_get_stats(struct http_server *s, struct http_server_stats *ret)
{
	LOCKED(&s->lock);

	*ret = (struct http_server_stats){
		.connections = s->n_conns,
		.busy = s->n_busy,
		.last_ns = s->last_ns,
	};
}
