/*
 * network/port.c: host ports: choosing one, and keeping others off it by really
 * binding it. The socket never listens: connections are DNATed before they
 * could reach it, and what is not DNATed is refused as if nobody were there.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "network/net_internal.h"

#define RANDOM_TRIES 64

const char *port_proto_name(enum net_proto p)
{
	return p == NET_TCP ? "tcp" : p == NET_UDP ? "udp" : "sctp";
}

/* -errno, or a bound socket; *port 0 takes the kernel's choice. */
static int bind_port(enum net_proto proto, const struct net_addr *a, uint16_t *port)
{
	int type = proto == NET_UDP ? SOCK_DGRAM : SOCK_STREAM, one = 1;
	autoclose int fd = socket(a->family, type | SOCK_CLOEXEC, (int)proto);
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} u = { 0 };
	socklen_t len = a->family == AF_INET ? sizeof(u.v4) : sizeof(u.v6);

	if (fd < 0)
		return -errno;
	u.sa.sa_family = (sa_family_t)a->family;
	if (a->family == AF_INET) {
		memcpy(&u.v4.sin_addr, a->b, 4);
		u.v4.sin_port = htons(*port);
	} else {
		memcpy(&u.v6.sin6_addr, a->b, 16);
		u.v6.sin6_port = htons(*port);
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	}
	if (bind(fd, &u.sa, len) < 0 || getsockname(fd, &u.sa, &len) < 0)
		return -errno;
	*port = ntohs(a->family == AF_INET ? u.v4.sin_port : u.v6.sin6_port);
	return steal_fd(&fd);
}

/* No such protocol or family in this kernel: nobody else can use it either. */
static bool is_absent(int e)
{
	return e == -EAFNOSUPPORT || e == -EPROTONOSUPPORT || e == -ESOCKTNOSUPPORT ||
	       e == -EADDRNOTAVAIL;
}

static bool is_held(struct net *n, const struct net_port *p, uint16_t port)
{
	lock_assert_held(&n->lock);
	vec_for_each (h, &n->held)
		if (h->proto == p->proto && h->port == port)
			return true;
	return false;
}

/* SCTP may be unknown to the kernel's sockets: our own table still knows. */
static bool is_published(struct net *n, const struct net_port *p, uint16_t port)
{
	lock_assert_held(&n->lock);
	vec_for_each (r, &n->rules.ports)
		if (r->proto == p->proto && r->host_port == port &&
		    (r->host_ip.family == 0 || p->host_ip.family == 0 ||
		     net_addr_eq(&r->host_ip, &p->host_ip)))
			return true;
	return false;
}

/*
 * Bind one port on both families (or the one given). 0, or -errno; with -EADDRINUSE *ret_ours
 * tells whether it is one of our containers that has it. Looked at, bound and noted at once: a
 * moment later that container may have given it back.
 */
static int try_port(struct net *n, struct endpoint *e, const struct net_port *p, uint16_t *port,
		    bool adopted, bool *ret_ours)
{
	static const struct net_addr any[2] = { { .family = AF_INET }, { .family = AF_INET6 } };
	bool both = p->host_ip.family == 0;
	int fds[2] = { FD_NONE, FD_NONE };

	LOCKED(&n->lock);
	*ret_ours = *port != 0 && is_published(n, p, *port);
	if (*ret_ours && !adopted)
		return -EADDRINUSE;
	for (int i = 0; i < (both ? 2 : 1); i++) {
		fds[i] = bind_port(p->proto, both ? &any[i] : &p->host_ip, port);
		if (fds[i] >= 0 || ((both || p->proto == NET_SCTP) && is_absent(fds[i])))
			continue;
		if (i == 1 && fds[0] >= 0)
			close(fds[0]);
		*ret_ours = is_held(n, p, *port);
		return fds[i];
	}
	for (int i = 0; i < 2; i++) {
		if (fds[i] < 0)
			continue;
		*vec_push(&e->reserved) = fds[i];
		*vec_push(&n->held) = (struct held_port){ fds[i], p->proto, *port };
	}
	return 0;
}

static int taken(const struct net_port *p, int e, bool ours, struct error *err)
{
	char text[NET_ADDR_TEXT_MAX] = "0.0.0.0";

	if (p->host_ip.family)
		net_addr_format(&p->host_ip, text);
	if (e == -EADDRINUSE && ours)
		return error_set(err, ERR_CONFLICT,
				 "Bind for %s:%u failed: port is already allocated", text,
				 p->host_port);
	if (e == -EADDRINUSE)
		return error_set(err, ERR_CONFLICT,
				 "failed to bind host port for %s:%u/%s: address already in use",
				 text, p->host_port, port_proto_name(p->proto));
	return error_sys(err, -e, "failed to bind host port for %s:%u/%s", text, p->host_port,
			 port_proto_name(p->proto));
}

static int choose_port(struct net *n, struct endpoint *e, struct net_port *p, struct error *err)
{
	unsigned last = p->host_port_end > p->host_port ? p->host_port_end : p->host_port;
	bool ours = false, any_ours = false;
	int r = -EADDRINUSE;

	if (p->host_port == 0) {
		for (int i = 0; i < RANDOM_TRIES && r == -EADDRINUSE; i++) {
			uint16_t port = 0;

			r = try_port(n, e, p, &port, false, &ours);
			if (r == 0)
				p->host_port = port;
		}
		return r < 0 ? taken(p, r, ours, err) : 0;
	}
	for (unsigned i = p->host_port; i <= last; i++) {
		uint16_t port = (uint16_t)i;

		r = try_port(n, e, p, &port, false, &ours);
		/* The message names the first of a range. */
		any_ours |= ours && i == p->host_port;
		if (r == -EADDRINUSE)
			continue;
		p->host_port = r == 0 ? port : p->host_port;
		break;
	}
	return r < 0 ? taken(p, r, any_ours, err) : 0;
}

static void add_rule(struct endpoint *e, const struct net_port *p, const struct net_addr *to)
{
	*vec_push(&e->rules) = (struct rules_port){ .proto = (uint8_t)p->proto,
						    .host_ip = p->host_ip,
						    .host_port = p->host_port,
						    .to = *to,
						    .port = p->container_port };
}

int port_reserve(struct net *n, struct endpoint *e, struct net_port *p, bool exact,
		 struct error *err)
{
	static const struct net_addr any4 = { .family = AF_INET }, any6 = { .family = AF_INET6 };
	uint16_t port = p->host_port;
	int family, r = 0;
	bool ours;

	if (!e->proxied) {
		if (exact)
			(void)!try_port(n, e, p, &port, true, &ours);
		else
			r = choose_port(n, e, p, err);
	} else if (p->host_port == 0) {
		/* The proxy binds it itself, a moment later. */
		r = choose_port(n, e, p, err);
		port_release_all(n, e);
	}
	if (r < 0)
		return r;
	family = p->host_ip.family;
	p->n_bound = 0;
	if (family)
		p->bound[p->n_bound++] = p->host_ip;
	else
		p->bound[p->n_bound++] = any4;
	if (!family && e->ip6.family)
		p->bound[p->n_bound++] = any6;
	if (net_addr_is_any(&p->host_ip)) {
		struct net_port wild = *p;

		wild.host_ip.family = 0;
		add_rule(e, &wild, family == AF_INET ? &e->ip4 : &e->ip6);
		return 0;
	}
	if (family != AF_INET6 && e->ip4.family)
		add_rule(e, p, &e->ip4);
	if (family != AF_INET && e->ip6.family)
		add_rule(e, p, &e->ip6);
	return 0;
}

static void forget_held(struct net *n, int fd)
{
	for (size_t i = 0; i < n->held.len; i++) {
		if (n->held.at[i].fd != fd)
			continue;
		n->held.at[i] = n->held.at[--n->held.len];
		return;
	}
}

void port_release_all(struct net *n, struct endpoint *e)
{
	LOCKED(&n->lock);
	vec_for_each (fd, &e->reserved) {
		forget_held(n, *fd);
		close(*fd);
	}
	e->reserved.len = 0;
}
