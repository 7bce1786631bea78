#include "network/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

/* Elements of one message stay well below NL_MESSAGE_MAX. */
#define ELEMENTS_BYTES_MAX 12000U

static struct nlmsghdr *message(struct nft *b, uint16_t type, uint16_t flags, const char *what)
{
	struct nfgenmsg *nfg;
	struct nlmsghdr *h;

	nfg = nl_message_with(&b->batch, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, what,
			      0, sizeof(*nfg), &h);
	nfg->nfgen_family = NFPROTO_INET;
	nfg->version = NFNETLINK_V0;
	return h;
}

static void batch_mark(struct nft *b, uint16_t type)
{
	struct nfgenmsg *nfg;
	struct nlmsghdr *h;

	nfg = nl_message_with(&b->batch, type, 0, "nftables transaction", 0, sizeof(*nfg), &h);
	nfg->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

void nft_begin(struct nft *b, const char *table)
{
	snprintf(b->table, sizeof(b->table), "%s", table);
	batch_mark(b, NFNL_MSG_BATCH_BEGIN);
}

void nft_end(struct nft *b)
{
	struct nlmsghdr *last;

	/* One acknowledgement for the whole: that of its last change. */
	nl_message_end(&b->batch);
	last = (struct nlmsghdr *)(void *)(b->batch.data +
					   b->batch.notes.at[b->batch.notes.len - 1].offset);
	last->nlmsg_flags |= NLM_F_ACK;
	batch_mark(b, NFNL_MSG_BATCH_END);
}

void nft_release(struct nft *b)
{
	nl_batch_release(&b->batch);
}

static void put_be32(struct nlmsghdr *h, uint16_t type, uint32_t v)
{
	mnl_attr_put_u32(h, type, htonl(v));
}

void nft_table_reset(struct nft *b)
{
	struct nlmsghdr *h;

	/* Create, delete, create: the delete cannot fail for want of a table. */
	h = message(b, NFT_MSG_NEWTABLE, NLM_F_CREATE, "create firewall table");
	mnl_attr_put_strz(h, NFTA_TABLE_NAME, b->table);
	nft_table_delete(b);
	h = message(b, NFT_MSG_NEWTABLE, NLM_F_CREATE, "create firewall table");
	mnl_attr_put_strz(h, NFTA_TABLE_NAME, b->table);
}

void nft_table_delete(struct nft *b)
{
	struct nlmsghdr *h = message(b, NFT_MSG_DELTABLE, 0, "delete firewall table");

	mnl_attr_put_strz(h, NFTA_TABLE_NAME, b->table);
}

void nft_chain(struct nft *b, const char *name, const struct nft_hook *hook)
{
	struct nlmsghdr *h = message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, "create firewall chain");
	struct nlattr *nest;

	mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, b->table);
	mnl_attr_put_strz(h, NFTA_CHAIN_NAME, name);
	if (!hook)
		return;
	nest = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
	put_be32(h, NFTA_HOOK_HOOKNUM, hook->hook);
	put_be32(h, NFTA_HOOK_PRIORITY, (uint32_t)hook->priority);
	mnl_attr_nest_end(h, nest);
	mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, hook->type);
	put_be32(h, NFTA_CHAIN_POLICY, NF_ACCEPT);
}

void nft_set(struct nft *b, const struct nft_set_spec *spec)
{
	/* For the nft program only: type 0 (byte order of the key), length 4, host. */
	static const uint8_t host_order[] = { 0, 4, 1, 0, 0, 0 };
	struct nlmsghdr *h = message(b, NFT_MSG_NEWSET, NLM_F_CREATE, "create firewall set");

	mnl_attr_put_strz(h, NFTA_SET_TABLE, b->table);
	mnl_attr_put_strz(h, NFTA_SET_NAME, spec->name);
	put_be32(h, NFTA_SET_ID, ++b->set_id);
	put_be32(h, NFTA_SET_KEY_TYPE, spec->key_type);
	put_be32(h, NFTA_SET_KEY_LEN, spec->key_len);
	put_be32(h, NFTA_SET_FLAGS, spec->data_type ? NFT_SET_MAP : 0);
	if (spec->key_type == NFT_TYPE_IFNAME)
		mnl_attr_put(h, NFTA_SET_USERDATA, sizeof(host_order), host_order);
	if (spec->data_type) {
		put_be32(h, NFTA_SET_DATA_TYPE, spec->data_type);
		put_be32(h, NFTA_SET_DATA_LEN, spec->data_len);
	}
}

static void elements_open(struct nft *b)
{
	b->msg = message(b, b->element_type, b->element_flags, "change firewall elements");
	mnl_attr_put_strz(b->msg, NFTA_SET_ELEM_LIST_TABLE, b->table);
	mnl_attr_put_strz(b->msg, NFTA_SET_ELEM_LIST_SET, b->set);
	b->list = mnl_attr_nest_start(b->msg, NFTA_SET_ELEM_LIST_ELEMENTS);
}

void nft_elements(struct nft *b, const char *set, bool remove)
{
	snprintf(b->set, sizeof(b->set), "%s", set);
	b->element_type = remove ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM;
	b->element_flags = remove ? 0 : NLM_F_CREATE;
	b->msg = NULL;
}

static void put_value(struct nlmsghdr *h, uint16_t type, const void *bytes, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(h, type);

	mnl_attr_put(h, NFTA_DATA_VALUE, len, bytes);
	mnl_attr_nest_end(h, nest);
}

void nft_element(struct nft *b, const void *key, size_t key_len, const void *data, size_t data_len)
{
	struct nlattr *nest;

	if (b->msg && b->msg->nlmsg_len > ELEMENTS_BYTES_MAX)
		nft_elements_end(b);
	if (!b->msg)
		elements_open(b);
	nest = mnl_attr_nest_start(b->msg, NFTA_LIST_ELEM);
	put_value(b->msg, NFTA_SET_ELEM_KEY, key, key_len);
	if (data_len && b->element_type == NFT_MSG_NEWSETELEM)
		put_value(b->msg, NFTA_SET_ELEM_DATA, data, data_len);
	mnl_attr_nest_end(b->msg, nest);
}

void nft_elements_end(struct nft *b)
{
	if (b->msg)
		mnl_attr_nest_end(b->msg, b->list);
	b->msg = NULL;
}

void nft_rule(struct nft *b, const char *chain)
{
	b->msg = message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "add firewall rule");
	mnl_attr_put_strz(b->msg, NFTA_RULE_TABLE, b->table);
	mnl_attr_put_strz(b->msg, NFTA_RULE_CHAIN, chain);
	b->list = mnl_attr_nest_start(b->msg, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(struct nft *b)
{
	mnl_attr_nest_end(b->msg, b->list);
	b->msg = NULL;
}

/* The two nests around every expression. */
struct expr {
	struct nlattr *elem, *data;
};

static struct expr expr_begin(struct nft *b, const char *name)
{
	struct expr e;

	e.elem = mnl_attr_nest_start(b->msg, NFTA_LIST_ELEM);
	mnl_attr_put_strz(b->msg, NFTA_EXPR_NAME, name);
	e.data = mnl_attr_nest_start(b->msg, NFTA_EXPR_DATA);
	return e;
}

static void expr_end(struct nft *b, struct expr e)
{
	mnl_attr_nest_end(b->msg, e.data);
	mnl_attr_nest_end(b->msg, e.elem);
}

static void meta(struct nft *b, uint32_t key, uint32_t reg)
{
	struct expr e = expr_begin(b, "meta");

	put_be32(b->msg, NFTA_META_DREG, reg);
	put_be32(b->msg, NFTA_META_KEY, key);
	expr_end(b, e);
}

static void payload(struct nft *b, uint32_t base, uint32_t offset, uint32_t len, uint32_t reg)
{
	struct expr e = expr_begin(b, "payload");

	put_be32(b->msg, NFTA_PAYLOAD_DREG, reg);
	put_be32(b->msg, NFTA_PAYLOAD_BASE, base);
	put_be32(b->msg, NFTA_PAYLOAD_OFFSET, offset);
	put_be32(b->msg, NFTA_PAYLOAD_LEN, len);
	expr_end(b, e);
}

static void compare(struct nft *b, bool equal, const void *bytes, size_t len)
{
	struct expr e = expr_begin(b, "cmp");

	put_be32(b->msg, NFTA_CMP_SREG, NFT_REG_1);
	put_be32(b->msg, NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
	put_value(b->msg, NFTA_CMP_DATA, bytes, len);
	expr_end(b, e);
}

static void mask(struct nft *b, const void *bits, uint32_t len)
{
	static const uint8_t zero[16];
	struct expr e = expr_begin(b, "bitwise");

	put_be32(b->msg, NFTA_BITWISE_SREG, NFT_REG_1);
	put_be32(b->msg, NFTA_BITWISE_DREG, NFT_REG_1);
	put_be32(b->msg, NFTA_BITWISE_LEN, len);
	put_value(b->msg, NFTA_BITWISE_MASK, bits, len);
	put_value(b->msg, NFTA_BITWISE_XOR, zero, len);
	expr_end(b, e);
}

/* dreg 0: a match, else the value of a map. */
static void lookup(struct nft *b, const char *set, uint32_t sreg, uint32_t dreg)
{
	struct expr e = expr_begin(b, "lookup");

	mnl_attr_put_strz(b->msg, NFTA_LOOKUP_SET, set);
	put_be32(b->msg, NFTA_LOOKUP_SREG, sreg);
	if (dreg)
		put_be32(b->msg, NFTA_LOOKUP_DREG, dreg);
	expr_end(b, e);
}

void nft_match_family(struct nft *b, int family)
{
	uint8_t proto = family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;

	meta(b, NFT_META_NFPROTO, NFT_REG_1);
	compare(b, true, &proto, 1);
}

void nft_match_prefix(struct nft *b, enum nft_dir dir, const struct net_prefix *p, bool equal)
{
	bool v4 = p->addr.family == AF_INET;
	uint32_t len = v4 ? 4 : 16, offset = v4 ? 12 : 8;
	struct net_prefix network = net_prefix_mask(p), ones = *p;

	nft_match_family(b, p->addr.family);
	if (dir == NFT_DESTINATION)
		offset += len;
	payload(b, NFT_PAYLOAD_NETWORK_HEADER, offset, len, NFT_REG_1);
	if (p->len < len * 8) {
		memset(ones.addr.b, 0xff, sizeof(ones.addr.b));
		ones = net_prefix_mask(&ones);
		mask(b, ones.addr.b, len);
	}
	compare(b, equal, network.addr.b, len);
}

void nft_match_iface(struct nft *b, enum nft_iface which, const char *name, bool equal)
{
	char text[IF_NAMESIZE] = { 0 };

	snprintf(text, sizeof(text), "%s", name);
	meta(b, which == NFT_IIF ? NFT_META_IIFNAME : NFT_META_OIFNAME, NFT_REG_1);
	compare(b, equal, text, sizeof(text));
}

void nft_match_iface_set(struct nft *b, enum nft_iface which, const char *set)
{
	meta(b, which == NFT_IIF ? NFT_META_IIFNAME : NFT_META_OIFNAME, NFT_REG_1);
	lookup(b, set, NFT_REG_1, 0);
}

void nft_match_iface_pair(struct nft *b, const char *set)
{
	meta(b, NFT_META_IIFNAME, NFT_REG_1);
	meta(b, NFT_META_OIFNAME, NFT_REG_2);
	lookup(b, set, NFT_REG_1, 0);
}

void nft_match_l4proto(struct nft *b, uint8_t proto)
{
	meta(b, NFT_META_L4PROTO, NFT_REG_1);
	compare(b, true, &proto, 1);
}

void nft_match_dport(struct nft *b, uint16_t port)
{
	uint16_t be = htons(port);

	payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, NFT_REG_1);
	compare(b, true, &be, 2);
}

static void ct_bits(struct nft *b, uint32_t key, uint32_t bits)
{
	struct expr e = expr_begin(b, "ct");
	uint32_t none = 0;

	put_be32(b->msg, NFTA_CT_DREG, NFT_REG_1);
	put_be32(b->msg, NFTA_CT_KEY, key);
	expr_end(b, e);
	mask(b, &bits, sizeof(bits));
	compare(b, false, &none, sizeof(none));
}

void nft_match_ct_state(struct nft *b, uint32_t bits)
{
	ct_bits(b, NFT_CT_STATE, bits);
}

void nft_match_ct_dnat(struct nft *b)
{
	ct_bits(b, NFT_CT_STATUS, IPS_DST_NAT);
}

void nft_match_local_daddr(struct nft *b)
{
	uint32_t type = RTN_LOCAL;
	struct expr e = expr_begin(b, "fib");

	put_be32(b->msg, NFTA_FIB_DREG, NFT_REG_1);
	put_be32(b->msg, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	put_be32(b->msg, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
	expr_end(b, e);
	compare(b, true, &type, sizeof(type));
}

static void verdict(struct nft *b, uint32_t code, const char *chain)
{
	struct expr e = expr_begin(b, "immediate");
	struct nlattr *data, *nest;

	put_be32(b->msg, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = mnl_attr_nest_start(b->msg, NFTA_IMMEDIATE_DATA);
	nest = mnl_attr_nest_start(b->msg, NFTA_DATA_VERDICT);
	put_be32(b->msg, NFTA_VERDICT_CODE, code);
	if (chain)
		mnl_attr_put_strz(b->msg, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(b->msg, nest);
	mnl_attr_nest_end(b->msg, data);
	expr_end(b, e);
}

void nft_accept(struct nft *b)
{
	verdict(b, NF_ACCEPT, NULL);
}

void nft_drop(struct nft *b)
{
	verdict(b, NF_DROP, NULL);
}

void nft_jump(struct nft *b, const char *chain)
{
	verdict(b, (uint32_t)NFT_JUMP, chain);
}

void nft_masquerade(struct nft *b)
{
	expr_end(b, expr_begin(b, "masq"));
}

static void dnat(struct nft *b, int family, uint32_t addr_reg, uint32_t port_reg)
{
	struct expr e = expr_begin(b, "nat");

	put_be32(b->msg, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	put_be32(b->msg, NFTA_NAT_FAMILY, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
	put_be32(b->msg, NFTA_NAT_REG_ADDR_MIN, addr_reg);
	put_be32(b->msg, NFTA_NAT_REG_PROTO_MIN, port_reg);
	expr_end(b, e);
}

void nft_dnat_map(struct nft *b, int family, bool with_address, const char *map)
{
	bool v4 = family == AF_INET;
	uint32_t len = v4 ? 4 : 16, words = len / 4;
	uint32_t port_at = NFT_REG32_01 + (with_address ? words : 0);

	nft_match_family(b, family);
	meta(b, NFT_META_L4PROTO, NFT_REG32_00);
	if (with_address)
		payload(b, NFT_PAYLOAD_NETWORK_HEADER, v4 ? 16 : 24, len, NFT_REG32_01);
	payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, port_at);
	lookup(b, map, NFT_REG32_00, NFT_REG32_00);
	dnat(b, family, NFT_REG32_00, NFT_REG32_00 + words);
}

static void immediate(struct nft *b, uint32_t reg, const void *bytes, size_t len)
{
	struct expr e = expr_begin(b, "immediate");

	put_be32(b->msg, NFTA_IMMEDIATE_DREG, reg);
	put_value(b->msg, NFTA_IMMEDIATE_DATA, bytes, len);
	expr_end(b, e);
}

void nft_dnat_to(struct nft *b, const struct net_addr *to, uint16_t port)
{
	uint16_t be = htons(port);

	immediate(b, NFT_REG_1, to->b, to->family == AF_INET ? 4 : 16);
	immediate(b, NFT_REG_2, &be, 2);
	dnat(b, to->family, NFT_REG_1, NFT_REG_2);
}

size_t nft_port_key(uint8_t proto, const struct net_addr *host_ip, uint16_t port, uint8_t *out)
{
	size_t len = host_ip->family == 0 ? 0 : host_ip->family == AF_INET ? 4 : 16;
	uint16_t be = htons(port);

	memset(out, 0, len + 8);
	out[0] = proto;
	memcpy(out + 4, host_ip->b, len);
	memcpy(out + 4 + len, &be, 2);
	return len + 8;
}

size_t nft_port_value(const struct net_addr *to, uint16_t port, uint8_t *out)
{
	size_t len = to->family == AF_INET ? 4 : 16;
	uint16_t be = htons(port);

	memcpy(out, to->b, len);
	memset(out + len, 0, 4);
	memcpy(out + len, &be, 2);
	return len + 4;
}

/* The attribute that names the table has the same number in all of them. */
_Static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
		   NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1,
	       "nft_event_parse reads the table's name by one number");

int nft_event_parse(const struct nlmsghdr *msg, struct nft_event *ret, struct error *err)
{
	const struct nlattr *tb[NFTA_TABLE_NAME + 1];
	struct nft_event ev = { 0 };
	const char *table;
	int r;

	*ret = ev;
	if (msg->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
		return 0;
	r = nl_attrs(msg, sizeof(struct nfgenmsg), tb, NFTA_TABLE_NAME, err);
	if (r < 0)
		return r;
	switch (msg->nlmsg_type & 0xff) {
	case NFT_MSG_NEWGEN:
		ev.generation = true;
		break;
	case NFT_MSG_DELTABLE:
	case NFT_MSG_DELCHAIN:
	case NFT_MSG_DELRULE:
	case NFT_MSG_DELSET:
	case NFT_MSG_DELSETELEM:
		ev.removal = true;
		ev.port = msg->nlmsg_pid;
		table = nl_text(tb[NFTA_TABLE_NAME]);
		if (table && strlen(table) < sizeof(ev.table))
			memcpy(ev.table, table, strlen(table) + 1);
		break;
	default:
		break;
	}
	*ret = ev;
	return 0;
}
