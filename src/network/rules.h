/*
 * network/rules.h: what the firewall table of an engine holds, as a model, and
 * its writing as nftables messages.
 *
 * The table is proa's own ("inet proa..."); nothing outside it is touched. It
 * is written whole when networks change, and by single elements when ports do.
 * A drop in another table still wins: that is how nftables combine.
 *
 *   raw    (prerouting, before connection tracking): containers' addresses are
 *          reachable through their bridge only; 127/8 through lo only, though
 *          bridges have route_localnet for publishes on 127.0.0.1
 *   pre, out (nat): published ports, looked up in maps
 *   fwd    (forward): internal networks closed, networks apart, published open
 *   post   (nat): masquerade outbound, hairpin and loopback sources
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "network/addr.h"
#include "network/nft.h"

struct rules_bridge {
	char ifname[16];
	struct net_prefix subnet4, subnet6; /* family 0 = none */
	struct net_addr gateway4, gateway6;
	bool internal, icc, masquerade;
};

struct rules_port {
	uint8_t proto;
	struct net_addr host_ip; /* family 0 = any local address of to's family */
	uint16_t host_port;
	struct net_addr to;
	uint16_t port;
};

struct rules {
	char table[NFT_NAME_MAX];
	bool nat;
	VEC(struct rules_bridge) bridges;
	VEC(struct rules_port) ports;
};

void rules_release(struct rules *r);
/* The whole table, from nothing. */
void rules_write(const struct rules *r, struct nft *b);
/* Only these elements. */
void rules_write_ports(const struct rules *r, struct nft *b, const struct rules_port *ports,
		       size_t n, bool remove);
/* By ifname; true when it was there. */
bool rules_bridge_remove(struct rules *r, const char *ifname);
void rules_port_remove(struct rules *r, const struct rules_port *port);
