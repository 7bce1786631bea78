#include "network/rules.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "tests/tap.h"

/* What is written can be walked, and only ever names our own table. */
struct seen {
	unsigned messages, begins, ends, rules, sets, element_lists, acks, foreign;
	unsigned last_type;
	size_t largest;
};

static int see(void *ctx, const struct nlmsghdr *msg, struct error *err)
{
	const struct nlattr *tb[2];
	struct seen *s = ctx;
	unsigned type = msg->nlmsg_type & 0xff;

	s->messages++;
	if (msg->nlmsg_len > s->largest)
		s->largest = msg->nlmsg_len;
	if (msg->nlmsg_flags & NLM_F_ACK) {
		s->acks++;
		s->last_type = type;
	}
	if (msg->nlmsg_type == NFNL_MSG_BATCH_BEGIN || msg->nlmsg_type == NFNL_MSG_BATCH_END) {
		*(msg->nlmsg_type == NFNL_MSG_BATCH_END ? &s->ends : &s->begins) += 1;
		return 0;
	}
	s->rules += type == NFT_MSG_NEWRULE;
	s->sets += type == NFT_MSG_NEWSET;
	s->element_lists += type == NFT_MSG_NEWSETELEM;
	if (nl_attrs(msg, sizeof(struct nfgenmsg), tb, 1, err) < 0 || !nl_text(tb[1]) ||
	    strcmp(nl_text(tb[1]), "proa_test") != 0)
		s->foreign++;
	return 0;
}

static struct seen walk(struct nft *b)
{
	struct seen s = { 0 };

	nl_message_end(&b->batch);
	is_int(nl_walk(b->batch.data, b->batch.len, see, &s, NULL), 0, "well-formed");
	return s;
}

static void add_bridge(struct rules *r, const char *ifname, const char *subnet, bool internal)
{
	struct rules_bridge *b = vec_push(&r->bridges);

	snprintf(b->ifname, sizeof(b->ifname), "%s", ifname);
	if (net_prefix_parse(subnet, &b->subnet4, NULL) < 0)
		printf("Bail out! %s\n", subnet);
	b->gateway4 = net_addr_add(&b->subnet4.addr, 1);
	b->icc = b->masquerade = true;
	b->internal = internal;
}

int main(void)
{
	struct rules r = { .table = "proa_test", .nat = true };
	struct rules_port p = {
		.proto = 6, .host_port = 80, .to = { AF_INET, { 10, 0, 0, 2 } }, .port = 8080
	};
	auto_(nft) b = NFT_INIT;
	unsigned one;
	struct seen s;

	rules_write(&r, &b);
	s = walk(&b);
	ok(s.begins == 1 && s.ends == 1 && s.acks == 1, "one transaction, one answer");
	is_int(s.foreign, 0, "nothing but our table");
	is_int(s.sets, 7, "three sets, four maps");
	is_int(s.element_lists, 0, "no elements yet");
	one = s.rules;
	nft_release(&b);

	add_bridge(&r, "proa0", "172.17.0.0/16", false);
	add_bridge(&r, "br-in", "10.0.0.0/24", true);
	b = (struct nft)NFT_INIT;
	rules_write(&r, &b);
	s = walk(&b);
	is_int(s.rules - one, 2 + 2 + 1,
	       "per network: raw, hairpin, and masquerade where it goes out");
	nft_release(&b);

	for (unsigned i = 0; i < 5000; i++) {
		p.host_port = (uint16_t)(10000 + i);
		*vec_push(&r.ports) = p;
	}
	b = (struct nft)NFT_INIT;
	rules_write(&r, &b);
	s = walk(&b);
	ok(s.element_lists > 10 && s.largest < NL_MESSAGE_MAX,
	   "thousands of ports go in several messages");
	nft_release(&b);

	b = (struct nft)NFT_INIT;
	rules_write_ports(&r, &b, &p, 1, false);
	s = walk(&b);
	is_int(s.messages, 3, "one port is one element between begin and end");
	is_int(s.last_type, NFT_MSG_NEWSETELEM, "which is answered");
	rules_port_remove(&r, &p);
	is_int((long long)r.ports.len, 4999, "a port is forgotten");
	ok(rules_bridge_remove(&r, "br-in") && !rules_bridge_remove(&r, "br-in"),
	   "a bridge too, once");
	rules_release(&r);
	return tap_done();
}
