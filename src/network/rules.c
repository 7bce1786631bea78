#include "network/rules.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <stdio.h>
#include <string.h>

#define PRIORITY_RAW    (-300)
#define PRIORITY_DNAT   (-100)
#define PRIORITY_FILTER 0
#define PRIORITY_SNAT   100

#define CT_ESTABLISHED (1U << (IP_CT_ESTABLISHED + 1))
#define CT_RELATED     (1U << (IP_CT_RELATED + 1))

static const struct nft_set_spec sets[] = {
	{ "bridges", NFT_TYPE_IFNAME, 16, 0, 0 },
	{ "internal", NFT_TYPE_IFNAME, 16, 0, 0 },
	{ "icc", NFT_CONCAT(NFT_TYPE_IFNAME, NFT_TYPE_IFNAME), 32, 0, 0 },
};

static const struct nft_set_spec maps[] = {
	{ "ports4", NFT_CONCAT(NFT_TYPE_PROTO, NFT_TYPE_SERVICE), 8,
	  NFT_CONCAT(NFT_TYPE_IP4, NFT_TYPE_SERVICE), 8 },
	{ "ports4_at", NFT_CONCAT(NFT_CONCAT(NFT_TYPE_PROTO, NFT_TYPE_IP4), NFT_TYPE_SERVICE), 12,
	  NFT_CONCAT(NFT_TYPE_IP4, NFT_TYPE_SERVICE), 8 },
	{ "ports6", NFT_CONCAT(NFT_TYPE_PROTO, NFT_TYPE_SERVICE), 8,
	  NFT_CONCAT(NFT_TYPE_IP6, NFT_TYPE_SERVICE), 20 },
	{ "ports6_at", NFT_CONCAT(NFT_CONCAT(NFT_TYPE_PROTO, NFT_TYPE_IP6), NFT_TYPE_SERVICE), 24,
	  NFT_CONCAT(NFT_TYPE_IP6, NFT_TYPE_SERVICE), 20 },
};

static const char *map_of(const struct rules_port *p)
{
	if (p->to.family == AF_INET)
		return p->host_ip.family ? "ports4_at" : "ports4";
	return p->host_ip.family ? "ports6_at" : "ports6";
}

void rules_release(struct rules *r)
{
	vec_release(&r->bridges);
	vec_release(&r->ports);
}

static void write_sets(const struct rules *r, struct nft *b)
{
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		nft_set(b, &sets[i]);
	for (size_t i = 0; r->nat && i < sizeof(maps) / sizeof(maps[0]); i++)
		nft_set(b, &maps[i]);
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		nft_elements(b, sets[i].name, false);
		vec_for_each (br, &r->bridges) {
			char pair[32] = { 0 };

			if ((i == 1 && !br->internal) || (i == 2 && !br->icc))
				continue;
			memcpy(pair, br->ifname, 16);
			memcpy(pair + 16, br->ifname, 16);
			nft_element(b, pair, sets[i].key_len, NULL, 0);
		}
		nft_elements_end(b);
	}
}

static void write_raw_bridge(struct nft *b, const struct rules_bridge *br,
			     const struct net_prefix *subnet, const struct net_addr *gateway)
{
	struct net_prefix own = { *gateway, subnet->addr.family == AF_INET ? 32 : 128 };

	if (subnet->addr.family == 0)
		return;
	nft_rule(b, "raw");
	nft_match_iface(b, NFT_IIF, br->ifname, false);
	nft_match_prefix(b, NFT_DESTINATION, subnet, true);
	/* The bridge's own address is the host: INPUT's business. */
	if (gateway->family != 0)
		nft_match_prefix(b, NFT_DESTINATION, &own, false);
	nft_drop(b);
	nft_rule_end(b);
}

static void write_raw(const struct rules *r, struct nft *b)
{
	static const struct net_prefix loopback = { { AF_INET, { 127 } }, 8 };

	nft_chain(b, "raw", &(struct nft_hook){ "filter", NF_INET_PRE_ROUTING, PRIORITY_RAW });
	/* route_localnet is on for bridges: their peers must not reach the host's loopback. */
	nft_rule(b, "raw");
	nft_match_iface(b, NFT_IIF, "lo", false);
	nft_match_prefix(b, NFT_DESTINATION, &loopback, true);
	nft_drop(b);
	nft_rule_end(b);
	vec_for_each (br, &r->bridges) {
		write_raw_bridge(b, br, &br->subnet4, &br->gateway4);
		write_raw_bridge(b, br, &br->subnet6, &br->gateway6);
	}
}

static void write_forward(struct nft *b)
{
	nft_chain(b, "fwd", &(struct nft_hook){ "filter", NF_INET_FORWARD, PRIORITY_FILTER });
	nft_rule(b, "fwd");
	nft_match_iface_pair(b, "icc");
	nft_accept(b);
	nft_rule_end(b);
	/* Before "established": a network that is made internal is closed at once. */
	nft_rule(b, "fwd");
	nft_match_iface_set(b, NFT_IIF, "internal");
	nft_drop(b);
	nft_rule_end(b);
	nft_rule(b, "fwd");
	nft_match_iface_set(b, NFT_OIF, "internal");
	nft_drop(b);
	nft_rule_end(b);
	nft_rule(b, "fwd");
	nft_match_ct_state(b, CT_ESTABLISHED | CT_RELATED);
	nft_accept(b);
	nft_rule_end(b);
	nft_rule(b, "fwd");
	nft_match_iface_set(b, NFT_OIF, "bridges");
	nft_match_ct_dnat(b);
	nft_accept(b);
	nft_rule_end(b);
	/* From another network of ours or from outside: only what is published. */
	nft_rule(b, "fwd");
	nft_match_iface_set(b, NFT_OIF, "bridges");
	nft_drop(b);
	nft_rule_end(b);
}

static void write_masquerade(struct nft *b, const struct rules_bridge *br,
			     const struct net_prefix *subnet)
{
	if (subnet->addr.family == 0)
		return;
	if (br->masquerade && !br->internal) {
		nft_rule(b, "post");
		nft_match_prefix(b, NFT_SOURCE, subnet, true);
		nft_match_iface(b, NFT_OIF, br->ifname, false);
		nft_masquerade(b);
		nft_rule_end(b);
	}
	/* A published port used from its own network: the answer must come back here. */
	nft_rule(b, "post");
	nft_match_prefix(b, NFT_SOURCE, subnet, true);
	nft_match_iface(b, NFT_OIF, br->ifname, true);
	nft_match_ct_dnat(b);
	nft_masquerade(b);
	nft_rule_end(b);
}

static void write_ports_chain(struct nft *b)
{
	static const struct net_prefix loopback6 = { { AF_INET6, { [15] = 1 } }, 128 };
	static const struct {
		const char *name;
		uint32_t hook;
	} from[] = { { "pre", NF_INET_PRE_ROUTING }, { "out", NF_INET_LOCAL_OUT } };

	nft_chain(b, "ports", NULL);
	nft_rule(b, "ports");
	nft_dnat_map(b, AF_INET, true, "ports4_at");
	nft_rule_end(b);
	nft_rule(b, "ports");
	nft_dnat_map(b, AF_INET, false, "ports4");
	nft_rule_end(b);
	/* The kernel routes nothing from ::1 to a bridge: refused at once, not lost. */
	nft_rule(b, "ports");
	nft_match_prefix(b, NFT_DESTINATION, &loopback6, false);
	nft_dnat_map(b, AF_INET6, true, "ports6_at");
	nft_rule_end(b);
	nft_rule(b, "ports");
	nft_match_prefix(b, NFT_DESTINATION, &loopback6, false);
	nft_dnat_map(b, AF_INET6, false, "ports6");
	nft_rule_end(b);
	for (size_t i = 0; i < 2; i++) {
		nft_chain(b, from[i].name,
			  &(struct nft_hook){ "nat", from[i].hook, PRIORITY_DNAT });
		nft_rule(b, from[i].name);
		nft_match_local_daddr(b);
		nft_jump(b, "ports");
		nft_rule_end(b);
	}
}

static void write_nat(const struct rules *r, struct nft *b)
{
	static const struct net_prefix loopback = { { AF_INET, { 127 } }, 8 };

	write_ports_chain(b);
	nft_chain(b, "post", &(struct nft_hook){ "nat", NF_INET_POST_ROUTING, PRIORITY_SNAT });
	nft_rule(b, "post");
	nft_match_iface_set(b, NFT_OIF, "bridges");
	nft_match_prefix(b, NFT_SOURCE, &loopback, true);
	nft_masquerade(b);
	nft_rule_end(b);
	vec_for_each (br, &r->bridges) {
		write_masquerade(b, br, &br->subnet4);
		write_masquerade(b, br, &br->subnet6);
	}
}

void rules_write(const struct rules *r, struct nft *b)
{
	nft_begin(b, r->table);
	nft_table_reset(b);
	write_sets(r, b);
	write_raw(r, b);
	write_forward(b);
	if (r->nat) {
		write_nat(r, b);
		for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
			nft_elements(b, maps[i].name, false);
			vec_for_each (p, &r->ports) {
				uint8_t key[24], value[20];
				size_t key_len, value_len;

				if (strcmp(map_of(p), maps[i].name) != 0)
					continue;
				key_len = nft_port_key(p->proto, &p->host_ip, p->host_port, key);
				value_len = nft_port_value(&p->to, p->port, value);
				nft_element(b, key, key_len, value, value_len);
			}
			nft_elements_end(b);
		}
	}
	nft_end(b);
}

void rules_write_ports(const struct rules *r, struct nft *b, const struct rules_port *ports,
		       size_t n, bool remove)
{
	nft_begin(b, r->table);
	for (size_t i = 0; i < n; i++) {
		uint8_t key[24], value[20];
		size_t key_len =
		    nft_port_key(ports[i].proto, &ports[i].host_ip, ports[i].host_port, key);
		size_t value_len = nft_port_value(&ports[i].to, ports[i].port, value);

		nft_elements(b, map_of(&ports[i]), remove);
		nft_element(b, key, key_len, value, value_len);
		nft_elements_end(b);
	}
	nft_end(b);
}

bool rules_bridge_remove(struct rules *r, const char *ifname)
{
	for (size_t i = 0; i < r->bridges.len; i++) {
		if (strcmp(r->bridges.at[i].ifname, ifname) != 0)
			continue;
		r->bridges.at[i] = r->bridges.at[--r->bridges.len];
		return true;
	}
	return false;
}

void rules_port_remove(struct rules *r, const struct rules_port *port)
{
	for (size_t i = 0; i < r->ports.len; i++) {
		struct rules_port *p = &r->ports.at[i];

		if (p->proto != port->proto || p->host_port != port->host_port ||
		    p->to.family != port->to.family || !net_addr_eq(&p->host_ip, &port->host_ip))
			continue;
		*p = r->ports.at[--r->ports.len];
		return;
	}
}
