/*
 * network/net_internal.h: what the files behind network/network.h share.
 *
 * Locks: net->lock guards the maps, the pool and the rules; it may be held
 * across netlink exchanges, never across a call of the helper. An endpoint and
 * a sandbox are changed by one caller at a time (the container's own lock).
 */
#pragma once

#include <pthread.h>

#include "base/lock.h"
#include "base/map.h"
#include "base/vec.h"
#include "network/dns.h"
#include "network/helper.h"
#include "network/link.h"
#include "network/network.h"
#include "network/rules.h"

struct bridge {
	char *id, *name;
	char ifname[NET_IFNAME_MAX];
	int index;
	struct net_prefix subnet4, gateway4, subnet6, gateway6;
	bool internal, dns;
	unsigned mtu;
	struct net_addr host_binding;
};

struct sandbox {
	char key[NET_SANDBOX_KEY_MAX];
	char *path;
	int ns_fd;
	struct nl nl; /* inside */
	bool serves_dns;
	bool ipv6; /* interfaces begin with IPv6 on; only in a namespace that we made */
	bool made;
};

struct held_port {
	int fd;
	enum net_proto proto;
	uint16_t port;
};

struct endpoint {
	char *id, *bridge_id;
	char sandbox[NET_SANDBOX_KEY_MAX];
	char host_if[NET_IFNAME_MAX], ifname[NET_IFNAME_MAX];
	struct net_addr ip4, ip6;
	VEC(int) reserved; /* bound sockets that keep others off the host ports */
	VEC(struct rules_port) rules;
	bool proxied;
};

struct net {
	char *netns_dir, *helper_path, *resolv_conf;
	char instance[32];
	enum net_firewall firewall;
	bool nat, ready, v6_forwarding, no_forwarding, ipv6;
	struct helper helper;
	struct dns *dns;
	struct nl route, nft, monitor;
	uint32_t nft_port; /* netlink port of nft: whose changes are ours */
	bool removal_seen; /* by the monitor, in the transaction being read */

	struct lock lock;
	struct rules rules;
	VEC(struct held_port)
	held; /* all endpoints' reserved sockets, before they are published too */
	struct map bridges, sandboxes, endpoints;
	link_list old_links; /* that were there before we made any; until the sweep */

	/* What the pool's thread takes away, so that nobody waits for it. */
	VEC(char *) dead_paths, dead_links;
	unsigned pool_size;
	VEC(struct sandbox *) pool;
	pthread_cond_t pool_changed;
	bool pool_started, pool_stop; /* started: `pool_thread` is to be joined */
	pthread_t pool_thread;
	int64_t pool_quiet_ns; /* monotonic: from then on the thread's work is in nobody's way */
	bool pool_making;      /* a namespace has its file and is not in the pool yet */
};

/* net.c */
MUST_CHECK int net_sysctl(const char *name, const char *value, struct error *err);
/* Write the whole table again; n->lock is held. */
MUST_CHECK int net_rules_write(struct net *n, struct error *err);
/* Somebody deleted the link: make it again. *ret_made false: it is there. */
MUST_CHECK int net_bridge_again(struct net *n, struct bridge *b, bool *ret_made, struct error *err);
struct bridge *net_bridge_get(struct net *n, const char *id, struct error *err);

/* sandbox.c */
void sandbox_free(struct sandbox *s);
struct sandbox *sandbox_get(struct net *n, const char *key, struct error *err);
MUST_CHECK int pool_start(struct net *n, struct error *err);
void pool_stop(struct net *n);
/* Open the name server's sockets when not yet open. */
MUST_CHECK int sandbox_serve_dns(struct net *n, struct sandbox *s, struct error *err);

/* endpoint.c */
void endpoint_free(struct net *n, struct endpoint *e);
/* Everything but the veth: names and ports are gone when it returns. */
void endpoint_retire(struct net *n, struct endpoint *e);
/* The host's side of no endpoint, though its name has the form of one. n->lock is held. */
bool endpoint_is_unknown(struct net *n, const char *host_if);

/* port.c */
/*
 * Choose and reserve the host port of p, by binding it. Sockets are appended to
 * e->reserved, rules to e->rules; p's outputs are filled.
 * exact: after a restart; what cannot be bound is taken as ours all the same.
 */
MUST_CHECK int port_reserve(struct net *n, struct endpoint *e, struct net_port *p, bool exact,
			    struct error *err);
void port_release_all(struct net *n, struct endpoint *e);
const char *port_proto_name(enum net_proto p); /* "tcp" */

/* proxy.c */
/* Start the proxy of an endpoint's ports; it lives until its file goes. */
MUST_CHECK int proxy_start(struct net *n, const struct endpoint *e, struct error *err);
void proxy_stop(struct net *n, const struct endpoint *e);
/* True while one runs. */
bool proxy_is_running(struct net *n, const struct endpoint *e);
void proxy_main(int argc, char **argv); /* returns when argv is not its own */
