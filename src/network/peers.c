/*
 * network/peers.c: what other programs' firewall does to us. Nothing of theirs
 * is changed; it is told, with the way out.
 */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

#include "network/net_internal.h"

struct search {
	const char *own;
	char *out;
	size_t max;
};

static int see_chain(void *ctx, const struct nlmsghdr *msg, struct error *err)
{
	const struct nlattr *tb[NFTA_CHAIN_POLICY + 1], *hook[NFTA_HOOK_PRIORITY + 1];
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(msg);
	struct search *s = ctx;
	const char *table, *name;
	int r = nl_attrs(msg, sizeof(*nfg), tb, NFTA_CHAIN_POLICY, err);

	if (r < 0)
		return r;
	table = nl_text(tb[NFTA_CHAIN_TABLE]);
	name = nl_text(tb[NFTA_CHAIN_NAME]);
	if (!table || !name || !tb[NFTA_CHAIN_HOOK] || !tb[NFTA_CHAIN_POLICY] || s->out[0] ||
	    strcmp(table, s->own) == 0 ||
	    (nfg->nfgen_family != NFPROTO_IPV4 && nfg->nfgen_family != NFPROTO_INET))
		return 0;
	r = nl_nested(tb[NFTA_CHAIN_HOOK], hook, NFTA_HOOK_PRIORITY, err);
	if (r < 0)
		return r;
	if (ntohl(nl_u32(hook[NFTA_HOOK_HOOKNUM])) == NF_INET_FORWARD &&
	    ntohl(nl_u32(tb[NFTA_CHAIN_POLICY])) == NF_DROP)
		snprintf(s->out, s->max, "%s %s %s",
			 nfg->nfgen_family == NFPROTO_IPV4 ? "ip" : "inet", table, name);
	return 0;
}

bool net_forward_blocker(struct net *n, char *out, size_t max)
{
	struct search s = { .own = n->rules.table, .out = out, .max = max };
	auto_(nl_batch) b = NL_BATCH_INIT;
	struct nlmsghdr *h;

	out[0] = '\0';
	if (n->nft.fd < 0)
		return false;
	nl_message_with(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP, "list chains",
			0, sizeof(struct nfgenmsg), &h);
	return nl_dump(&n->nft, &b, see_chain, &s, NULL) == 0 && out[0];
}
