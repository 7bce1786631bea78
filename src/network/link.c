#include "network/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>

static size_t addr_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

void link_add_bridge(struct nl_batch *b, const char *name, const uint8_t mac[static 6],
		     unsigned mtu)
{
	struct nlmsghdr *h;
	struct nlattr *info;

	nl_message_with(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "create bridge", 0,
			sizeof(struct ifinfomsg), &h);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	mnl_attr_put(h, IFLA_ADDRESS, 6, mac);
	if (mtu)
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(h, info);
}

void link_add_veth(struct nl_batch *b, const struct link_veth *v)
{
	struct nlattr *info, *data, *peer;
	struct ifinfomsg *ifi;
	struct nlmsghdr *h;

	ifi = nl_message_with(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "create veth", 0,
			      sizeof(*ifi), &h);
	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	mnl_attr_put_strz(h, IFLA_IFNAME, v->name);
	mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)v->master);
	if (v->mtu)
		mnl_attr_put_u32(h, IFLA_MTU, v->mtu);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
	(void)mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	mnl_attr_put_strz(h, IFLA_IFNAME, v->peer);
	mnl_attr_put(h, IFLA_ADDRESS, 6, v->mac);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)v->netns_fd);
	if (v->mtu)
		mnl_attr_put_u32(h, IFLA_MTU, v->mtu);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
}

void link_del(struct nl_batch *b, const char *name)
{
	struct nlmsghdr *h;

	nl_message_with(b, RTM_DELLINK, 0, "delete link", ENODEV, sizeof(struct ifinfomsg), &h);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
}

void link_up(struct nl_batch *b, int index)
{
	struct nlmsghdr *h;
	struct ifinfomsg *ifi =
	    nl_message_with(b, RTM_NEWLINK, 0, "set link up", 0, sizeof(*ifi), &h);

	ifi->ifi_index = index;
	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
}

void link_hairpin(struct nl_batch *b, int index)
{
	struct nlattr *info;
	struct nlmsghdr *h;
	struct ifinfomsg *ifi =
	    nl_message_with(b, RTM_SETLINK, 0, "set hairpin mode", 0, sizeof(*ifi), &h);

	ifi->ifi_family = AF_BRIDGE;
	ifi->ifi_index = index;
	info = mnl_attr_nest_start(h, IFLA_PROTINFO);
	mnl_attr_put_u8(h, IFLA_BRPORT_MODE, 1);
	mnl_attr_nest_end(h, info);
}

void link_alias(struct nl_batch *b, int index, const char *alias)
{
	struct nlmsghdr *h;
	struct ifinfomsg *ifi =
	    nl_message_with(b, RTM_NEWLINK, 0, "set link alias", 0, sizeof(*ifi), &h);

	ifi->ifi_index = index;
	mnl_attr_put_strz(h, IFLA_IFALIAS, alias);
}

static struct nlmsghdr *address_message(struct nl_batch *b, uint16_t type, uint16_t flags,
					int index, const struct net_prefix *p)
{
	struct nlmsghdr *h;
	struct ifaddrmsg *ifa;

	ifa = nl_message_with(b, type, flags, type == RTM_NEWADDR ? "add address" : "del address",
			      type == RTM_NEWADDR ? EEXIST : EADDRNOTAVAIL, sizeof(*ifa), &h);
	ifa->ifa_family = (uint8_t)p->addr.family;
	ifa->ifa_prefixlen = p->len;
	/* Addresses come from our own bookkeeping: waiting for a duplicate costs a second. */
	ifa->ifa_flags = p->addr.family == AF_INET6 ? IFA_F_NODAD : 0;
	ifa->ifa_index = (uint32_t)index;
	mnl_attr_put(h, IFA_LOCAL, addr_size(p->addr.family), p->addr.b);
	mnl_attr_put(h, IFA_ADDRESS, addr_size(p->addr.family), p->addr.b);
	return h;
}

void link_add_address(struct nl_batch *b, int index, const struct net_prefix *p)
{
	struct net_addr last = net_prefix_last(p);
	struct nlmsghdr *h = address_message(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, p);

	if (p->addr.family == AF_INET && p->len < 31)
		mnl_attr_put(h, IFA_BROADCAST, 4, last.b);
}

static void default_route(struct nl_batch *b, uint16_t type, uint16_t flags, int index,
			  const struct net_addr *gateway)
{
	struct nlmsghdr *h;
	struct rtmsg *rt;

	rt = nl_message_with(b, type, flags,
			     type == RTM_NEWROUTE ? "add default route" : "delete default route",
			     type == RTM_NEWROUTE ? 0 : ESRCH, sizeof(*rt), &h);
	rt->rtm_family = (uint8_t)gateway->family;
	rt->rtm_table = RT_TABLE_MAIN;
	if (type == RTM_NEWROUTE) {
		rt->rtm_protocol = RTPROT_BOOT;
		rt->rtm_scope = RT_SCOPE_UNIVERSE;
		rt->rtm_type = RTN_UNICAST;
	}
	mnl_attr_put(h, RTA_GATEWAY, addr_size(gateway->family), gateway->b);
	mnl_attr_put_u32(h, RTA_OIF, (uint32_t)index);
}

void link_add_default_route(struct nl_batch *b, int index, const struct net_addr *gateway)
{
	default_route(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, index, gateway);
}

static int parse_link(void *ctx, const struct nlmsghdr *msg, struct error *err)
{
	const struct nlattr *tb[IFLA_IFALIAS + 1], *info[IFLA_INFO_KIND + 1];
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(msg);
	struct link_info *f = ctx;
	const char *text;
	int r;

	if (msg->nlmsg_type != RTM_NEWLINK)
		return 0;
	r = nl_attrs(msg, sizeof(*ifi), tb, IFLA_IFALIAS, err);
	if (r < 0)
		return r;
	f->index = ifi->ifi_index;
	f->mtu = nl_u32(tb[IFLA_MTU]);
	f->master = tb[IFLA_MASTER] ? (int)nl_u32(tb[IFLA_MASTER]) : 0;
	text = nl_text(tb[IFLA_IFNAME]);
	if (text)
		memcpy(f->name, text, strnlen(text, sizeof(f->name) - 1));
	text = nl_text(tb[IFLA_IFALIAS]);
	if (text)
		memcpy(f->alias, text, strnlen(text, sizeof(f->alias) - 1));
	if (!tb[IFLA_LINKINFO])
		return 0;
	r = nl_nested(tb[IFLA_LINKINFO], info, IFLA_INFO_KIND, err);
	if (r < 0)
		return r;
	text = nl_text(info[IFLA_INFO_KIND]);
	if (text && strlen(text) < sizeof(f->kind))
		memcpy(f->kind, text, strlen(text) + 1);
	return 0;
}

static int parse_listed(void *ctx, const struct nlmsghdr *msg, struct error *err)
{
	struct link_info f = { 0 };
	link_list *out = ctx;
	int r = parse_link(&f, msg, err);

	if (r == 0 && f.index > 0)
		*vec_push(out) = f;
	return r;
}

int link_all(struct nl *s, link_list *out, struct error *err)
{
	auto_(nl_batch) b = NL_BATCH_INIT;
	struct nlmsghdr *h;

	nl_message_with(&b, RTM_GETLINK, NLM_F_DUMP, "list links", 0, sizeof(struct ifinfomsg), &h);
	return nl_dump(s, &b, parse_listed, out, err);
}

int link_find(struct nl *s, const char *name, struct link_info *ret, struct error *err)
{
	auto_(nl_batch) b = NL_BATCH_INIT;
	struct link_info f = { 0 };
	struct nlmsghdr *h;
	int r;

	if (strlen(name) >= IF_NAMESIZE)
		return error_set(err, ERR_NOT_FOUND, "find link '%s'", name);
	nl_message_with(&b, RTM_GETLINK, 0, "find link", 0, sizeof(struct ifinfomsg), &h);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	r = nl_exchange(s, &b, parse_link, &f, err);
	if (r < 0)
		return error_wrap(err, r, "'%s'", name);
	*ret = f;
	return 0;
}

int link_index(struct nl *s, const char *name, int *ret, struct error *err)
{
	struct link_info info;
	int r = link_find(s, name, &info, err);

	if (r == 0)
		*ret = info.index;
	return r;
}

static int parse_stats(void *ctx, const struct nlmsghdr *msg, struct error *err)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(msg);
	const struct nlattr *tb[IFLA_STATS64 + 1];
	link_counters_list *out = ctx;
	struct link_counters *c;
	const char *name;
	int r;

	if (msg->nlmsg_type != RTM_NEWLINK)
		return 0;
	r = nl_attrs(msg, sizeof(*ifi), tb, IFLA_STATS64, err);
	if (r < 0)
		return r;
	name = nl_text(tb[IFLA_IFNAME]);
	if (!name || strlen(name) >= sizeof(c->name) || (ifi->ifi_flags & IFF_LOOPBACK) ||
	    !tb[IFLA_STATS64] || mnl_attr_get_payload_len(tb[IFLA_STATS64]) < sizeof(c->v))
		return 0;
	c = vec_push(out);
	memcpy(c->name, name, strlen(name) + 1);
	/* The first eight members of struct rtnl_link_stats64, in this order. */
	memcpy(c->v, mnl_attr_get_payload(tb[IFLA_STATS64]), sizeof(c->v));
	return 0;
}

int link_stats(struct nl *s, link_counters_list *out, struct error *err)
{
	auto_(nl_batch) b = NL_BATCH_INIT;
	struct nlmsghdr *h;

	nl_message_with(&b, RTM_GETLINK, NLM_F_DUMP, "list links", 0, sizeof(struct ifinfomsg), &h);
	return nl_dump(s, &b, parse_stats, out, err);
}

static bool copy_addr(const struct nlattr *attr, int family, struct net_addr *ret)
{
	if (!attr || (family != AF_INET && family != AF_INET6) ||
	    mnl_attr_get_payload_len(attr) != addr_size(family))
		return false;
	*ret = (struct net_addr){ .family = family };
	memcpy(ret->b, mnl_attr_get_payload(attr), addr_size(family));
	return true;
}

static int parse_address(void *ctx, const struct nlmsghdr *msg, struct error *err)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(msg);
	const struct nlattr *tb[IFA_LOCAL + 1];
	link_address_list *out = ctx;
	struct link_address a = { 0 };
	int r;

	if (msg->nlmsg_type != RTM_NEWADDR)
		return 0;
	r = nl_attrs(msg, sizeof(*ifa), tb, IFA_LOCAL, err);
	if (r < 0)
		return r;
	if (!copy_addr(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS], ifa->ifa_family,
		       &a.prefix.addr))
		return 0;
	if (ifa->ifa_prefixlen > addr_size(ifa->ifa_family) * 8)
		return error_set(err, ERR_CORRUPT, "prefix length %u", ifa->ifa_prefixlen);
	a.prefix.len = ifa->ifa_prefixlen;
	a.index = (int)ifa->ifa_index;
	*vec_push(out) = a;
	return 0;
}

int link_addresses(struct nl *s, link_address_list *out, struct error *err)
{
	auto_(nl_batch) b = NL_BATCH_INIT;
	struct nlmsghdr *h;

	nl_message_with(&b, RTM_GETADDR, NLM_F_DUMP, "list addresses", 0, sizeof(struct ifaddrmsg),
			&h);
	return nl_dump(s, &b, parse_address, out, err);
}

static int parse_route(void *ctx, const struct nlmsghdr *msg, struct error *err)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(msg);
	const struct nlattr *tb[RTA_OIF + 1];
	link_address_list *out = ctx;
	struct link_address a = { 0 };
	int r;

	if (msg->nlmsg_type != RTM_NEWROUTE)
		return 0;
	r = nl_attrs(msg, sizeof(*rt), tb, RTA_OIF, err);
	if (r < 0)
		return r;
	if (rt->rtm_table != RT_TABLE_MAIN || rt->rtm_dst_len == 0 ||
	    !copy_addr(tb[RTA_DST], rt->rtm_family, &a.prefix.addr))
		return 0;
	if (rt->rtm_dst_len > addr_size(rt->rtm_family) * 8)
		return error_set(err, ERR_CORRUPT, "prefix length %u", rt->rtm_dst_len);
	a.prefix.len = rt->rtm_dst_len;
	a.index = (int)nl_u32(tb[RTA_OIF]);
	*vec_push(out) = a;
	return 0;
}

int link_routes(struct nl *s, link_address_list *out, struct error *err)
{
	auto_(nl_batch) b = NL_BATCH_INIT;
	struct nlmsghdr *h;

	nl_message_with(&b, RTM_GETROUTE, NLM_F_DUMP, "list routes", 0, sizeof(struct rtmsg), &h);
	return nl_dump(s, &b, parse_route, out, err);
}

int link_parse_any(void *ctx, const struct nlmsghdr *msg, struct error *err)
{
	link_counters_list counters = { 0 };
	link_address_list addresses = { 0 };
	link_list links = { 0 };
	struct link_info f = { 0 };
	int r = parse_link(&f, msg, err);

	(void)ctx;
	if (r == 0)
		r = parse_listed(&links, msg, err);
	if (r == 0)
		r = parse_stats(&counters, msg, err);
	if (r == 0)
		r = parse_address(&addresses, msg, err);
	if (r == 0)
		r = parse_route(&addresses, msg, err);
	vec_release(&links);
	vec_release(&counters);
	vec_release(&addresses);
	return r;
}
