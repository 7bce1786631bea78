/*
 * network/nft.h: nf_tables requests: a table, its chains, sets, elements and
 * rules, as messages of one transaction. No I/O: what is built is sent by
 * nl_exchange, whole or not at all.
 *
 *     nft_begin(&b, "proa");
 *     nft_table_reset(&b);
 *     nft_chain(&b, "post", &(struct nft_hook){ "nat", NF_INET_POST_ROUTING, 100 });
 *     nft_rule(&b, "post");  nft_match_...(&b); nft_masquerade(&b);  nft_rule_end(&b);
 *     nft_end(&b);
 *
 * Spec: linux/netfilter/nf_tables.h; values in registers are in network order
 * except for what the kernel itself makes (meta marks, ct state, fib type).
 */
#pragma once

#include "network/addr.h"
#include "network/netlink.h"

#define NFT_NAME_MAX 64

struct nft {
	struct nl_batch batch;
	char table[NFT_NAME_MAX];
	struct nlmsghdr *msg;   /* of the rule or element list under construction */
	struct nlattr *list;    /* its expressions or elements */
	char set[NFT_NAME_MAX]; /* of the element list */
	uint16_t element_type;  /* NFT_MSG_NEWSETELEM or DEL */
	uint16_t element_flags;
	uint32_t set_id;
};

#define NFT_INIT \
	{ \
		.batch = {.raw = true } \
	}
void nft_begin(struct nft *b, const char *table);
void nft_end(struct nft *b);
void nft_release(struct nft *b);
DEFINE_AUTO(nft, nft_release);

/* Make the table empty, whether it existed or not. */
void nft_table_reset(struct nft *b);
void nft_table_delete(struct nft *b);

struct nft_hook {
	const char *type; /* "filter", "nat" */
	uint32_t hook;    /* NF_INET_* */
	int32_t priority;
};
/* hook NULL: a chain to jump to. Policy accept. */
void nft_chain(struct nft *b, const char *name, const struct nft_hook *hook);

/* Datatype numbers of the nft program, so that `nft list` can print our sets. */
enum nft_type {
	NFT_TYPE_IP4 = 7,
	NFT_TYPE_IP6 = 8,
	NFT_TYPE_PROTO = 12,
	NFT_TYPE_SERVICE = 13,
	NFT_TYPE_IFNAME = 41,
};
#define NFT_CONCAT(a, b) ((uint32_t)(a) << 6 | (uint32_t)(b))
/* data_type 0: a plain set; else a map. Lengths in bytes, members padded to 4. */
struct nft_set_spec {
	const char *name;
	uint32_t key_type, key_len, data_type, data_len;
};
void nft_set(struct nft *b, const struct nft_set_spec *spec);
/* Elements of one set, in as many messages as it takes. remove: take away; a
 * missing one fails the whole transaction with ERR_NOT_FOUND. */
void nft_elements(struct nft *b, const char *set, bool remove);
void nft_element(struct nft *b, const void *key, size_t key_len, const void *data, size_t data_len);
void nft_elements_end(struct nft *b);

/* A rule: matches in order, then what to do. */
void nft_rule(struct nft *b, const char *chain);
void nft_rule_end(struct nft *b);
enum nft_dir { NFT_SOURCE, NFT_DESTINATION };
enum nft_iface { NFT_IIF, NFT_OIF };
void nft_match_family(struct nft *b, int family); /* AF_INET, AF_INET6 */
/* With the family's check in front. */
void nft_match_prefix(struct nft *b, enum nft_dir dir, const struct net_prefix *p, bool equal);
void nft_match_iface(struct nft *b, enum nft_iface which, const char *name, bool equal);
void nft_match_iface_set(struct nft *b, enum nft_iface which, const char *set);
void nft_match_iface_pair(struct nft *b, const char *set); /* iifname . oifname */
void nft_match_l4proto(struct nft *b, uint8_t proto);
void nft_match_dport(struct nft *b, uint16_t port);
void nft_match_ct_state(struct nft *b, uint32_t bits); /* any of */
void nft_match_ct_dnat(struct nft *b);                 /* the connection was DNATed */
void nft_match_local_daddr(struct nft *b);             /* fib daddr type local */
void nft_accept(struct nft *b);
void nft_drop(struct nft *b);
void nft_jump(struct nft *b, const char *chain);
void nft_masquerade(struct nft *b);
/* dnat to what the map says for proto [. daddr] . dport; no entry: the rule ends. */
void nft_dnat_map(struct nft *b, int family, bool with_address, const char *map);
void nft_dnat_to(struct nft *b, const struct net_addr *to, uint16_t port);

/* The keys and values of the port maps. out: at least 24 bytes; returns the length. */
size_t nft_port_key(uint8_t proto, const struct net_addr *host_ip, uint16_t port, uint8_t *out);
size_t nft_port_value(const struct net_addr *to, uint16_t port, uint8_t *out);

/* What a message of the group NFNLGRP_NFTABLES says. */
struct nft_event {
	bool generation;          /* end of a transaction */
	bool removal;             /* something was taken away */
	uint32_t port;            /* of a removal: netlink port of the socket that asked for it */
	char table[NFT_NAME_MAX]; /* "" = none */
};
MUST_CHECK int nft_event_parse(const struct nlmsghdr *msg, struct nft_event *ret,
			       struct error *err);
