#include "network/dns.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/queue.h"
#include "base/str.h"
#include "network/dns_internal.h"

#define EVENTS_MAX     64
#define UDP_ROUND_MAX  512 /* datagrams of one socket before the others have their turn */
#define CLIENTS_MAX    256U
#define CLIENT_IDLE_NS (10 * NS_PER_SEC)
#define CLIENT_OUT_MAX (256U << 10)
#define QUERY_MAX      4096U /* no question is longer; the rest would be kept until it is answered */
#define ANSWER_TTL_S   600   /* as Docker's; an address that rests is not reused soon */
#define ANSWERS_MAX    64

typedef VEC(struct dns_endpoint *) endpoint_list;

/* ---- sources ---- */

struct source *dns_source_add(struct dns *d, enum source_kind kind, int take_fd, uint32_t events)
{
	struct source *s = new0(struct source);
	struct epoll_event ev = { .events = events, .data.ptr = s };

	s->kind = kind;
	s->fd = take_fd;
	if (epoll_ctl(d->epoll, EPOLL_CTL_ADD, take_fd, &ev) < 0) {
		if (kind != SOURCE_WATCH)
			close(take_fd);
		free(s);
		return NULL;
	}
	s->next = d->sources;
	d->sources = s;
	return s;
}

void dns_source_events(struct dns *d, struct source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	(void)epoll_ctl(d->epoll, EPOLL_CTL_MOD, s->fd, &ev);
}

void dns_source_kill(struct dns *d, struct source *s)
{
	if (s->dead)
		return;
	s->dead = true;
	if (s->kind == SOURCE_CLIENT) {
		s->sandbox->clients--;
		dns_forward_forget(d, s, NULL);
	}
	(void)epoll_ctl(d->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	if (s->kind != SOURCE_WATCH)
		close(s->fd);
	for (struct source **p = &d->sources; *p; p = &(*p)->next) {
		if (*p != s)
			continue;
		*p = s->next;
		break;
	}
	s->next = d->graveyard;
	d->graveyard = s;
}

static void bury(struct dns *d)
{
	while (d->graveyard) {
		struct source *s = d->graveyard;

		d->graveyard = s->next;
		free(s->in);
		free(s->out);
		free(s);
	}
}

/* ---- names ---- */

static char *lower_key(const char *network, const char *name)
{
	char *key = cstr_format("%s\n%s", network, name);

	for (char *p = key + strlen(network); *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	return key;
}

static void name_add(struct dns *d, struct dns_endpoint *e, const char *name)
{
	autofree char *key = lower_key(e->network, name);
	endpoint_list *list = map_get(&d->names, key);

	if (!list) {
		list = xcalloc(1, sizeof(*list));
		map_set(&d->names, key, list);
	}
	vec_for_each (other, list)
		if (*other == e)
			return;
	*vec_push(list) = e;
}

static void name_remove(struct dns *d, struct dns_endpoint *e, const char *name)
{
	autofree char *key = lower_key(e->network, name);
	endpoint_list *list = map_get(&d->names, key);
	size_t kept = 0;

	if (!list)
		return;
	for (size_t i = 0; i < list->len; i++)
		if (list->at[i] != e)
			list->at[kept++] = list->at[i];
	list->len = kept;
	if (kept == 0) {
		vec_release(list);
		free(list);
		map_remove(&d->names, key);
	}
}

static void address_index(struct dns *d, struct dns_endpoint *e, const struct net_addr *a, bool add)
{
	char text[NET_ADDR_TEXT_MAX];
	autofree char *key = NULL;

	if (a->family == 0)
		return;
	net_addr_format(a, text);
	key = cstr_format("%s\n%s", e->network, text);
	if (add)
		map_set(&d->addresses, key, e);
	else if (map_get(&d->addresses, key) == e)
		map_remove(&d->addresses, key);
}

static void names_set(struct dns *d, struct dns_endpoint *e, const char *container_name,
		      const char *const *names)
{
	size_t n = 0;

	while (names && names[n])
		n++;
	e->container_name = xstrdup(container_name);
	e->names = xcalloc(n + 1, sizeof(char *));
	name_add(d, e, container_name);
	for (size_t i = 0; i < n; i++) {
		e->names[i] = xstrdup(names[i]);
		name_add(d, e, names[i]);
	}
}

static void names_drop(struct dns *d, struct dns_endpoint *e)
{
	name_remove(d, e, e->container_name);
	for (char **n = e->names; *n; n++) {
		name_remove(d, e, *n);
		free(*n);
	}
	free(e->names);
	free(e->container_name);
}

static void endpoint_drop(struct dns *d, const char *id)
{
	struct dns_endpoint *e = map_steal(&d->endpoints, id);

	if (!e)
		return;
	names_drop(d, e);
	address_index(d, e, &e->ip4, false);
	address_index(d, e, &e->ip6, false);
	free(e->id);
	free(e->sandbox);
	free(e->network);
	free(e->network_name);
	for (char **l = e->links; *l; l++)
		free(*l);
	free(e->links);
	free(e);
}

static char **copy_list(const char *const *from)
{
	size_t n = 0;
	char **out;

	while (from && from[n])
		n++;
	out = xcalloc(n + 1, sizeof(*out));
	for (size_t i = 0; i < n; i++)
		out[i] = xstrdup(from[i]);
	return out;
}

void dns_endpoint_set(struct dns *d, const struct dns_endpoint_spec *spec)
{
	struct dns_endpoint *e = new0(struct dns_endpoint);

	LOCKED(&d->lock);
	endpoint_drop(d, spec->id);
	e->id = xstrdup(spec->id);
	e->sandbox = xstrdup(spec->sandbox);
	e->network = xstrdup(spec->network);
	e->network_name = xstrdup(spec->network_name);
	e->links = copy_list(spec->links);
	e->internal = spec->internal;
	e->ip4 = spec->ip4;
	e->ip6 = spec->ip6;
	map_set(&d->endpoints, e->id, e);
	names_set(d, e, spec->container_name, spec->names);
	address_index(d, e, &e->ip4, true);
	address_index(d, e, &e->ip6, true);
}

void dns_endpoint_remove(struct dns *d, const char *id)
{
	LOCKED(&d->lock);
	endpoint_drop(d, id);
}

void dns_endpoint_rename(struct dns *d, const char *id, const char *container_name,
			 const char *const *names)
{
	struct dns_endpoint *e;

	LOCKED(&d->lock);
	e = map_get(&d->endpoints, id);
	if (!e)
		return;
	names_drop(d, e);
	names_set(d, e, container_name, names);
}

/* ---- answers ---- */

struct found {
	struct dns_endpoint *at[ANSWERS_MAX];
	size_t n;
};

/* The name behind an alias that only this endpoint knows; else the name itself. Owned. */
static char *unlink_name(const struct dns_endpoint *own, const char *name)
{
	for (char **l = own->links; *l; l++) {
		const char *colon = strchr(*l, ':');

		if (colon && str_eq_nocase(str_of(colon + 1), str_of(name)))
			return str_dup((struct str){ *l, (size_t)(colon - *l) });
	}
	return xstrdup(name);
}

static void find_in_network(struct dns *d, const struct dns_endpoint *own, const char *asked,
			    struct found *f)
{
	autofree char *name = unlink_name(own, asked);
	size_t len = strlen(name), suffix = strlen(own->network_name);
	autofree char *key = lower_key(own->network, name), *shorter = NULL;
	endpoint_list *list = map_get(&d->names, key);

	/* "db.mynet" is "db" on mynet; a name with that very text comes first. */
	if (!list && len > suffix + 1 && name[len - suffix - 1] == '.' &&
	    str_eq_nocase(str_of(name + len - suffix), str_of(own->network_name))) {
		shorter = cstr_format("%.*s", (int)(len - suffix - 1), name);
		free(key);
		key = lower_key(own->network, shorter);
		list = map_get(&d->names, key);
	}
	for (size_t i = 0; list && i < list->len && f->n < ANSWERS_MAX; i++)
		f->at[f->n++] = list->at[i];
}

/* Answer from our own names. *ret_forward: not ours, and it may be asked outside. */
static bool answer_own(struct dns *d, struct dns_sandbox *s, const struct dns_query *q,
		       struct dns_answer *a, const uint8_t *query, bool *ret_forward)
{
	struct found f = { .n = 0 };
	struct net_addr address;
	bool reverse = q->type == DNS_PTR && dns_reverse_name_parse(q->name, &address);
	struct dns_endpoint *ptr = NULL;
	char text[NET_ADDR_TEXT_MAX];
	unsigned turn = d->turn++;

	*ret_forward = false;
	if (reverse)
		net_addr_format(&address, text);
	map_for_each (entry, &d->endpoints) {
		struct dns_endpoint *own = entry->value;

		if (strcmp(own->sandbox, s->key) != 0)
			continue;
		*ret_forward |= !own->internal;
		if (reverse && !ptr) {
			autofree char *key = cstr_format("%s\n%s", own->network, text);

			ptr = map_get(&d->addresses, key);
		} else if (!reverse) {
			find_in_network(d, own, q->name, &f);
		}
	}
	if (!ptr && f.n == 0)
		return false;
	dns_answer_begin(a, a->out, a->max, query, q, DNS_NOERROR);
	if (ptr) {
		autofree char *name = cstr_format("%s.%s", ptr->container_name, ptr->network_name);

		dns_answer_ptr(a, name, ANSWER_TTL_S);
	}
	for (size_t i = 0; i < f.n; i++) {
		struct dns_endpoint *e = f.at[(i + turn) % f.n];

		if (q->type == DNS_A || q->type == DNS_ANY)
			dns_answer_address(a, &e->ip4, ANSWER_TTL_S);
		if (q->type == DNS_AAAA || q->type == DNS_ANY)
			dns_answer_address(a, &e->ip6, ANSWER_TTL_S);
	}
	return true;
}

void dns_reply_udp(struct dns_sandbox *s, const struct sockaddr_in *to, const uint8_t *bytes,
		   size_t len)
{
	if (s->udp)
		(void)!sendto(s->udp->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL,
			      (const struct sockaddr *)to, sizeof(*to));
}

static void client_flush(struct dns *d, struct source *c)
{
	ssize_t n = c->out_len > c->out_sent
			? send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent,
			       MSG_DONTWAIT | MSG_NOSIGNAL)
			: 0;

	if (n < 0 && errno != EAGAIN) {
		dns_source_kill(d, c);
		return;
	}
	c->out_sent += n > 0 ? (size_t)n : 0;
	if (c->out_sent == c->out_len)
		c->out_sent = c->out_len = 0;
	/* Who does not read its answers is not read from either. */
	dns_source_events(d, c, c->out_len ? EPOLLOUT : EPOLLIN);
}

void dns_reply_tcp(struct dns *d, struct source *c, const uint8_t *bytes, size_t len)
{
	if (c->dead || len > DNS_MESSAGE_MAX || c->out_len + len + 2 > CLIENT_OUT_MAX)
		return;
	c->out = xrealloc(c->out, c->out_len + len + 2);
	c->out[c->out_len] = (uint8_t)(len >> 8);
	c->out[c->out_len + 1] = (uint8_t)len;
	memcpy(c->out + c->out_len + 2, bytes, len);
	c->out_len += len + 2;
	client_flush(d, c);
}

static void reply(struct dns *d, const struct dns_request *rq, const uint8_t *bytes, size_t len)
{
	if (rq->client)
		dns_reply_tcp(d, rq->client, bytes, len);
	else
		dns_reply_udp(rq->sandbox, &rq->from, bytes, len);
}

static void serve_query(struct dns *d, struct dns_request *rq)
{
	uint8_t out[4096];
	struct dns_answer a = { .out = out };
	struct dns_query q;
	bool forward;
	int r = dns_query_parse(rq->bytes, rq->len, &q, NULL);

	if (r == -ERR_INVALID)
		return;
	if (r < 0) {
		reply(d, rq, out,
		      dns_answer_error(out, rq->bytes,
				       r == -ERR_UNIMPLEMENTED ? DNS_NOTIMP : DNS_FORMERR));
		return;
	}
	rq->query = &q;
	a.max = rq->client || q.udp_size > sizeof(out) ? sizeof(out) : q.udp_size;
	if (q.class == 1 && answer_own(d, rq->sandbox, &q, &a, rq->bytes, &forward)) {
		reply(d, rq, out, a.len);
		return;
	}
	if (q.class == 1 && forward && rq->len <= QUERY_MAX) {
		dns_forward(d, rq);
		return;
	}
	dns_answer_begin(&a, out, sizeof(out), rq->bytes, &q,
			 q.class != 1 ? DNS_REFUSED
			 : forward    ? DNS_FORMERR
				      : DNS_NXDOMAIN);
	reply(d, rq, out, a.len);
}

static void udp_readable(struct dns *d, struct source *s)
{
	uint8_t bytes[DNS_MESSAGE_MAX];

	for (int i = 0; i < UDP_ROUND_MAX; i++) {
		struct dns_request rq = { .sandbox = s->sandbox, .bytes = bytes };
		socklen_t len = sizeof(rq.from);
		ssize_t n = recvfrom(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT,
				     (struct sockaddr *)&rq.from, &len);

		if (n < 0)
			return;
		rq.len = (size_t)n;
		serve_query(d, &rq);
	}
}

static void accept_client(struct dns *d, struct source *listen)
{
	int fd = accept4(listen->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct source *c;

	if (fd < 0)
		return;
	if (listen->sandbox->clients >= CLIENTS_MAX) {
		close(fd);
		return;
	}
	c = dns_source_add(d, SOURCE_CLIENT, fd, EPOLLIN);
	if (!c)
		return;
	c->sandbox = listen->sandbox;
	c->sandbox->clients++;
	c->deadline_ns = clock_mono_ns() + CLIENT_IDLE_NS;
}

static void client_readable(struct dns *d, struct source *c)
{
	ssize_t n;

	if (!c->in)
		c->in = xcalloc(1, DNS_MESSAGE_MAX + 2);
	n = recv(c->fd, c->in + c->in_len, DNS_MESSAGE_MAX + 2 - c->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A half-closed client still wants what it asked for. */
	if (n == 0 && (c->waiting || c->out_len)) {
		dns_source_events(d, c, c->out_len ? EPOLLOUT : 0);
		return;
	}
	if (n <= 0) {
		dns_source_kill(d, c);
		return;
	}
	c->in_len += (size_t)n;
	c->deadline_ns = clock_mono_ns() + CLIENT_IDLE_NS;
	while (!c->dead && c->in_len >= 2) {
		size_t len = dns_id(c->in);
		struct dns_request rq = {
			.sandbox = c->sandbox, .client = c, .bytes = c->in + 2, .len = len
		};

		if (c->in_len < len + 2)
			break;
		serve_query(d, &rq);
		memmove(c->in, c->in + len + 2, c->in_len - len - 2);
		c->in_len -= len + 2;
	}
}

/* ---- the thread ---- */

static void handle(struct dns *d, struct source *s, uint32_t events)
{
	switch (s->kind) {
	case SOURCE_UDP:
		udp_readable(d, s);
		break;
	case SOURCE_LISTEN:
		accept_client(d, s);
		break;
	case SOURCE_CLIENT:
		if (events & EPOLLOUT)
			client_flush(d, s);
		if (!s->dead && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
			client_readable(d, s);
		break;
	case SOURCE_UPSTREAM:
		dns_upstream_readable(d, s);
		break;
	case SOURCE_UPSTREAM_TCP:
		dns_upstream_tcp_event(d, s, events);
		break;
	case SOURCE_WATCH:
	case SOURCE_WAKE:
		break;
	}
}

/* Close clients that are silent; they are few, and looked at once a round at most. */
static int idle_tick(struct dns *d)
{
	int64_t now = clock_mono_ns();
	struct source *next;
	bool any = false;

	for (struct source *s = d->sources; s; s = next) {
		next = s->next;
		if (s->kind != SOURCE_CLIENT)
			continue;
		any = true;
		if (s->deadline_ns < now && s->waiting == 0)
			dns_source_kill(d, s);
	}
	return any ? 1000 : -1;
}

static int min_timeout(int a, int b)
{
	if (a < 0)
		return b;
	return b < 0 || a < b ? a : b;
}

/* One event of the round. A watcher may call us: it runs without the lock, and dies with the
 * thread. */
static void dispatch(struct dns *d, struct source *s, uint32_t events)
{
	void (*watcher)(void *ctx) = NULL;
	void *ctx = NULL;
	uint64_t count;

	{
		LOCKED(&d->lock);
		if (s->kind == SOURCE_WATCH) {
			watcher = s->fn;
			ctx = s->ctx;
		} else if (s->kind == SOURCE_WAKE) {
			(void)!read(s->fd, &count, sizeof(count));
		} else if (!s->dead) {
			handle(d, s, events);
		}
	}
	if (watcher)
		watcher(ctx);
}

static void run(void *arg)
{
	struct epoll_event events[EVENTS_MAX];
	struct dns *d = arg;

	for (;;) {
		int timeout_ms, n;

		{
			LOCKED(&d->lock);
			bury(d);
			if (d->stop)
				return;
			timeout_ms = min_timeout(dns_forward_tick(d), idle_tick(d));
		}
		n = epoll_wait(d->epoll, events, EVENTS_MAX, timeout_ms);
		for (int i = 0; i < n; i++)
			dispatch(d, events[i].data.ptr, events[i].events);
	}
}

static void wake(struct dns *d)
{
	uint64_t one = 1;

	(void)!write(d->wake, &one, sizeof(one));
}

static size_t parse_servers(const char *const *servers, struct net_addr *out)
{
	size_t n = 0;

	for (; servers && *servers && n < RESOLV_SERVERS_MAX; servers++)
		if (net_addr_parse(*servers, &out[n], NULL) == 0)
			n++;
	return n;
}

int dns_open(const char *resolv_conf, const char *const *servers, struct dns **ret,
	     struct error *err)
{
	struct dns *d = new0(struct dns);
	int r = 0;

	d->lock = (struct lock)LOCK_INIT;
	d->resolv_conf = xstrdup(resolv_conf);
	d->by_id = xcalloc(65536, sizeof(*d->by_id));
	d->n_fixed = parse_servers(servers, d->fixed);
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->epoll < 0 || d->wake < 0 || !dns_source_add(d, SOURCE_WAKE, d->wake, EPOLLIN))
		r = error_sys(err, errno, "start name server");
	if (r == 0)
		r = thread_start_joinable(run, d, "proa-dns", &d->thread, err);
	d->started = r == 0;
	if (r < 0) {
		dns_close(d);
		return r;
	}
	*ret = d;
	return 0;
}

void dns_close(struct dns *d)
{
	if (!d)
		return;
	if (d->started) {
		lock_take(&d->lock);
		d->stop = true;
		lock_drop(&d->lock);
		wake(d);
		pthread_join(d->thread, NULL);
	}
	dns_forward_release(d);
	map_for_each (entry, &d->endpoints) {
		struct dns_endpoint *e = entry->value;

		endpoint_drop(d, e->id);
	}
	while (d->sources)
		dns_source_kill(d, d->sources);
	bury(d);
	map_for_each (e, &d->sandboxes) {
		struct dns_sandbox *s = e->value;

		free(s->key);
		free(s);
	}
	map_release(&d->sandboxes);
	map_release(&d->endpoints);
	map_release(&d->names);
	map_release(&d->addresses);
	if (d->epoll >= 0)
		close(d->epoll);
	free(d->by_id);
	free(d->resolv_conf);
	free(d);
}

int dns_watch(struct dns *d, int fd, void (*fn)(void *ctx), void *ctx, struct error *err)
{
	struct source *s;

	LOCKED(&d->lock);
	s = dns_source_add(d, SOURCE_WATCH, fd, 0);
	if (!s)
		return error_sys(err, errno, "watch a socket");
	s->fn = fn;
	s->ctx = ctx;
	dns_source_events(d, s, EPOLLIN);
	return 0;
}

static struct dns_sandbox *sandbox_get(struct dns *d, const char *key)
{
	struct dns_sandbox *s = map_get(&d->sandboxes, key);

	if (s)
		return s;
	s = new0(struct dns_sandbox);
	s->key = xstrdup(key);
	map_set(&d->sandboxes, key, s);
	return s;
}

static void sandbox_sockets_drop(struct dns *d, struct dns_sandbox *s)
{
	struct source *next;

	for (struct source *c = d->sources; c; c = next) {
		next = c->next;
		if (c->sandbox == s)
			dns_source_kill(d, c);
	}
	s->udp = s->listen = NULL;
}

int dns_sandbox_add(struct dns *d, const char *key, int take_udp, int take_tcp, struct error *err)
{
	struct dns_sandbox *s;

	LOCKED(&d->lock);
	s = sandbox_get(d, key);
	sandbox_sockets_drop(d, s);
	s->udp = dns_source_add(d, SOURCE_UDP, take_udp, 0);
	s->listen = dns_source_add(d, SOURCE_LISTEN, take_tcp, 0);
	if (!s->udp || !s->listen) {
		if (s->udp)
			dns_source_kill(d, s->udp);
		if (s->listen)
			dns_source_kill(d, s->listen);
		s->udp = s->listen = NULL;
		return error_sys(err, errno, "serve names of a sandbox");
	}
	s->udp->sandbox = s->listen->sandbox = s;
	dns_source_events(d, s->udp, EPOLLIN);
	dns_source_events(d, s->listen, EPOLLIN);
	return 0;
}

void dns_sandbox_remove(struct dns *d, const char *key)
{
	struct dns_sandbox *s;

	LOCKED(&d->lock);
	s = map_steal(&d->sandboxes, key);
	if (!s)
		return;
	dns_forward_forget(d, NULL, s);
	sandbox_sockets_drop(d, s);
	free(s->key);
	free(s);
}

void dns_sandbox_servers(struct dns *d, const char *key, const char *const *servers)
{
	struct dns_sandbox *s;

	LOCKED(&d->lock);
	s = sandbox_get(d, key);
	s->n_servers = parse_servers(servers, s->servers);
}
