/*
 * network/link.h: network devices, addresses, routes, as requests that are
 * appended to a netlink batch (link_add_*), and the few questions.
 */
#pragma once

#include "network/addr.h"
#include "network/netlink.h"

/* A bridge with this MAC; ERR_CONFLICT when a link of that name exists. */
void link_add_bridge(struct nl_batch *b, const char *name, const uint8_t mac[static 6],
		     unsigned mtu);
/*
 * A veth pair: `name` here, up and a port of master; `peer` in the namespace
 * of netns_fd, down, with this MAC.
 */
struct link_veth {
	const char *name;
	int master; /* ifindex of the bridge */
	int netns_fd;
	const char *peer;
	uint8_t mac[6];
	unsigned mtu; /* 0 = default */
};
void link_add_veth(struct nl_batch *b, const struct link_veth *v);
void link_del(struct nl_batch *b, const char *name);
void link_up(struct nl_batch *b, int index);
/* A port of a bridge may send back out of the port that a frame came from. */
void link_hairpin(struct nl_batch *b, int index);
/* A text for people, and for us to know our own by. */
void link_alias(struct nl_batch *b, int index, const char *alias);
/* Existing is fine. */
void link_add_address(struct nl_batch *b, int index, const struct net_prefix *p);
/* Default route via gateway; replaces an existing one of the same family. */
void link_add_default_route(struct nl_batch *b, int index, const struct net_addr *gateway);

#define LINK_ALIAS_MAX 256 /* IFALIASZ of linux/if.h, which does not go with net/if.h */
struct link_info {
	int index, master; /* of what it is a port; 0 = of nothing */
	char name[16];
	unsigned mtu;
	char kind[16]; /* "bridge"; "" = none */
	char alias[LINK_ALIAS_MAX];
};
/* ERR_NOT_FOUND. */
MUST_CHECK int link_find(struct nl *s, const char *name, struct link_info *ret, struct error *err);
typedef VEC(struct link_info) link_list;
/* Of the namespace of the socket. */
MUST_CHECK int link_all(struct nl *s, link_list *out, struct error *err);
MUST_CHECK int link_index(struct nl *s, const char *name, int *ret, struct error *err);

struct link_counters {
	char name[16];
	uint64_t v[8]; /* rx, tx packets; rx, tx bytes; rx, tx errors; rx, tx dropped */
};
typedef VEC(struct link_counters) link_counters_list;
/* All devices but lo. */
MUST_CHECK int link_stats(struct nl *s, link_counters_list *out, struct error *err);

struct link_address {
	int index;
	struct net_prefix prefix;
};
typedef VEC(struct link_address) link_address_list;
MUST_CHECK int link_addresses(struct nl *s, link_address_list *out, struct error *err);
/* Destinations of the main table, except default routes. */
MUST_CHECK int link_routes(struct nl *s, link_address_list *out, struct error *err);

/* The parts above for bytes from anywhere: used by the fuzz target too. */
int link_parse_any(void *ctx, const struct nlmsghdr *msg, struct error *err);
