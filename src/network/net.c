#include "network/network.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/random.h"
#include "base/str.h"
#include "network/net_internal.h"

/* The alias of a bridge that we made; with an instance the directory that its engine has follows.
 */
#define BRIDGE_ALIAS "proa network"

int net_sysctl(const char *name, const char *value, struct error *err)
{
	autofree char *path = cstr_format("/proc/sys/net/%s", name);
	autoclose int fd = FD_NONE;
	int r = fs_open(path, O_WRONLY, 0, &fd, err);

	return r < 0 ? r : fs_write_all(fd, value, strlen(value), err);
}

static int interface_sysctl(int family, const char *ifname, const char *name, const char *value,
			    struct error *err)
{
	autofree char *path =
	    cstr_format("%s/conf/%s/%s", family == AF_INET ? "ipv4" : "ipv6", ifname, name);

	return net_sysctl(path, value, err);
}

static bool have_ipv6(void)
{
	return access("/proc/sys/net/ipv6", F_OK) == 0;
}

/* Forwarding makes Linux ignore router advertisements on interfaces whose
 * accept_ra is 1: the host's own addresses must not be lost by that. */
static void keep_host_ra(void)
{
	DIR *dir = opendir("/proc/sys/net/ipv6/conf");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		autofree char *path =
		    cstr_format("/proc/sys/net/ipv6/conf/%s/accept_ra", entry->d_name);
		auto_(buf) text = BUF_INIT(16);

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "all") == 0 ||
		    fs_read_file(path, &text, NULL) < 0 || text.len == 0 || text.data[0] != '1')
			continue;
		(void)!interface_sysctl(AF_INET6, entry->d_name, "accept_ra", "2", NULL);
	}
	if (dir)
		closedir(dir);
}

static int forward_ipv6(struct net *n, struct error *err)
{
	if (n->v6_forwarding || n->no_forwarding)
		return 0;
	keep_host_ra();
	n->v6_forwarding = true;
	return net_sysctl("ipv6/conf/all/forwarding", "1", err);
}

int net_rules_write(struct net *n, struct error *err)
{
	auto_(nft) b = NFT_INIT;

	lock_assert_held(&n->lock);
	rules_write(&n->rules, &b);
	return nl_exchange(&n->nft, &b.batch, NULL, NULL, err);
}

/* Does the kernel take a NAT chain? Tried in a table of its own, in one go with
 * its removal, so that nothing is ever active. */
static bool probe_nat(struct net *n)
{
	struct rules probe = { .nat = true };
	auto_(nft) b = NFT_INIT;

	snprintf(probe.table, sizeof(probe.table), "proa_probe_%s", n->instance);
	rules_write(&probe, &b);
	if (nl_exchange(&n->nft, &b.batch, NULL, NULL, NULL) < 0)
		return false;
	nft_release(&b);
	b = (struct nft)NFT_INIT;
	nft_begin(&b, probe.table);
	nft_table_delete(&b);
	nft_end(&b);
	return nl_exchange(&n->nft, &b.batch, NULL, NULL, NULL) == 0;
}

static int monitor_one(void *ctx, const struct nlmsghdr *msg, struct error *err)
{
	struct net *n = ctx;
	struct nft_event ev;
	int r = nft_event_parse(msg, &ev, err);

	if (r < 0)
		return r;
	if (ev.removal && ev.port != n->nft_port && strcmp(ev.table, n->rules.table) == 0)
		n->removal_seen = true;
	if (!ev.generation)
		return 0;
	if (n->removal_seen) {
		LOCKED(&n->lock);
		r = n->ready ? net_rules_write(n, err) : 0;
	}
	n->removal_seen = false;
	return r;
}

/* Somebody changed nftables: if it was our table that lost something, write it again. */
static void monitor_readable(void *ctx)
{
	_Alignas(struct nlmsghdr) char bytes[32768];
	struct net *n = ctx;

	for (;;) {
		ssize_t len = recv(n->monitor.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (len < 0 && errno == ENOBUFS) {
			/* Events were lost, perhaps ours. */
			LOCKED(&n->lock);
			(void)!(n->ready ? net_rules_write(n, NULL) : 0);
			continue;
		}
		if (len <= 0)
			return;
		(void)!nl_walk(bytes, (size_t)len, monitor_one, n, NULL);
	}
}

/* The table of an earlier run, when rules are no longer wanted: what it maps is out of date. */
static void drop_table(const struct net *n)
{
	struct nl nft = { .fd = FD_NONE };
	auto_(nft) b = NFT_INIT;

	if (nl_open(NETLINK_NETFILTER, &nft, NULL) < 0)
		return;
	nft_begin(&b, n->rules.table);
	nft_table_delete(&b);
	nft_end(&b);
	(void)!nl_exchange(&nft, &b.batch, NULL, NULL, NULL);
	nl_close(&nft);
}

static int open_sockets(struct net *n, const struct net_config *c, struct error *err)
{
	int group = NFNLGRP_NFTABLES;
	int r = nl_open(NETLINK_ROUTE, &n->route, err);

	/* Without the list nothing is swept. */
	if (r == 0 && link_all(&n->route, &n->old_links, NULL) < 0)
		n->old_links.len = 0;
	if (c->no_rules)
		drop_table(n);
	if (r == 0 && (c->no_rules || nl_open(NETLINK_NETFILTER, &n->nft, NULL) < 0))
		r = 1;
	if (r == 0) {
		struct sockaddr_nl sa = { .nl_family = AF_NETLINK }, own = { 0 };
		socklen_t len = sizeof(own);

		n->nat = probe_nat(n);
		if (getsockname(n->nft.fd, (struct sockaddr *)&own, &len) == 0)
			n->nft_port = own.nl_pid;
		r = nl_open(NETLINK_NETFILTER, &n->monitor, err);
		if (r == 0 && (bind(n->monitor.fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
			       setsockopt(n->monitor.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP,
					  &group, sizeof(group)) < 0))
			r = error_sys(err, errno, "watch the firewall");
	}
	return r < 0 ? r : 0;
}

static int open_parts(struct net *n, const struct net_config *c, struct error *err)
{
	int r = fs_mkdir_all(n->netns_dir, 0711, err);

	if (r == 0)
		r = open_sockets(n, c, err);
	if (r == 0)
		r = helper_open(&n->helper, n->helper_path, err);
	if (r == 0)
		r = dns_open(n->resolv_conf, c->dns, &n->dns, err);
	if (r == 0 && n->monitor.fd >= 0)
		r = dns_watch(n->dns, n->monitor.fd, monitor_readable, n, err);
	if (r == 0 && !c->no_forwarding)
		r = net_sysctl("ipv4/ip_forward", "1", err);
	if (r == 0)
		r = pool_start(n, err);
	return r;
}

int net_open(const struct net_config *c, struct net **ret, struct error *err)
{
	struct net *n = new0(struct net);
	int r;

	for (const char *p = c->instance ? c->instance : ""; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_')) {
			free(n);
			return error_set(err, ERR_INVALID, "bad instance name '%s'", c->instance);
		}
	n->lock = (struct lock)LOCK_INIT;
	pthread_cond_init(&n->pool_changed, NULL);
	n->route.fd = n->nft.fd = n->monitor.fd = n->helper.sock = FD_NONE;
	n->netns_dir = xstrdup(c->netns_dir);
	n->helper_path = xstrdup(c->helper ? c->helper : "/proc/self/exe");
	n->resolv_conf = xstrdup(c->resolv_conf ? c->resolv_conf : "/etc/resolv.conf");
	n->firewall = c->firewall;
	n->no_forwarding = c->no_forwarding;
	n->ipv6 = c->ipv6;
	n->pool_size = c->pool;
	snprintf(n->instance, sizeof(n->instance), "%s", c->instance ? c->instance : "");
	snprintf(n->rules.table, sizeof(n->rules.table), "proa%s%s", *n->instance ? "_" : "",
		 n->instance);
	r = open_parts(n, c, err);
	if (r < 0) {
		net_close(n);
		return error_wrap(err, r, "network");
	}
	n->rules.nat = n->nat;
	*ret = n;
	return 0;
}

static void bridge_free(struct bridge *b)
{
	free(b->id);
	free(b->name);
	free(b);
}

void net_close(struct net *n)
{
	if (!n)
		return;
	pool_stop(n);
	dns_close(n->dns);
	if (n->helper.program)
		helper_close(&n->helper);
	map_for_each (e, &n->endpoints)
		endpoint_free(n, e->value);
	map_for_each (s, &n->sandboxes)
		sandbox_free(s->value);
	map_for_each (b, &n->bridges)
		bridge_free(b->value);
	map_release(&n->endpoints);
	map_release(&n->sandboxes);
	map_release(&n->bridges);
	rules_release(&n->rules);
	vec_release(&n->held);
	vec_release(&n->old_links);
	nl_close(&n->route);
	nl_close(&n->nft);
	nl_close(&n->monitor);
	pthread_cond_destroy(&n->pool_changed);
	free(n->netns_dir);
	free(n->helper_path);
	free(n->resolv_conf);
	free(n);
}

void net_close_and_clean(struct net *n)
{
	if (!n)
		return;
	if (n->nft.fd >= 0) {
		auto_(nft) b = NFT_INIT;

		lock_take(&n->lock);
		n->ready = false;
		lock_drop(&n->lock);
		nft_begin(&b, n->rules.table);
		nft_table_delete(&b);
		nft_end(&b);
		(void)!nl_exchange(&n->nft, &b.batch, NULL, NULL, NULL);
	}
	net_close(n);
}

bool net_has_nat(const struct net *n)
{
	return n->nat;
}

int net_ready(struct net *n, struct error *err)
{
	LOCKED(&n->lock);
	n->ready = true;
	return n->nft.fd >= 0 ? net_rules_write(n, err) : 0;
}

struct bridge *net_bridge_get(struct net *n, const char *id, struct error *err)
{
	struct bridge *b;

	LOCKED(&n->lock);
	b = map_get(&n->bridges, id);
	if (!b)
		error_set(err, ERR_NOT_FOUND, "network %s has no bridge", id);
	return b;
}

static void bridge_sysctls(const struct net_bridge *b)
{
	bool v6 = b->subnet6.addr.family != 0;

	/* Best effort: a read-only /proc/sys leaves what the administrator chose. */
	(void)!interface_sysctl(AF_INET, b->ifname, "route_localnet", "1", NULL);
	if (!have_ipv6())
		return;
	(void)!interface_sysctl(AF_INET6, b->ifname, "accept_ra", "0", NULL);
	/* All MACs are ours: a second of waiting for duplicates only loses packets. */
	(void)!interface_sysctl(AF_INET6, b->ifname, "accept_dad", "0", NULL);
	(void)!interface_sysctl(AF_INET6, b->ifname, "disable_ipv6", v6 ? "0" : "1", NULL);
}

static void alias_format(const struct net *n, char out[static LINK_ALIAS_MAX])
{
	const char *end = strrchr(n->netns_dir, '/');
	int len = end ? (int)(end - n->netns_dir) : 0;

	if (*n->instance)
		snprintf(out, LINK_ALIAS_MAX, "%s of %.*s", BRIDGE_ALIAS, len, n->netns_dir);
	else
		snprintf(out, LINK_ALIAS_MAX, "%s", BRIDGE_ALIAS);
}

/* Two engines on one bridge would give its addresses twice, and the first to end would take it
 * from the other. */
static int check_owner(const struct net *n, const struct link_info *info, const char *ifname,
		       struct error *err)
{
	char own[LINK_ALIAS_MAX];
	const char *whose = info->alias + strlen(BRIDGE_ALIAS " of ");

	alias_format(n, own);
	if (!cstr_starts(info->alias, BRIDGE_ALIAS) || strcmp(info->alias, own) == 0)
		return 0;
	if (!cstr_starts(info->alias, BRIDGE_ALIAS " of "))
		whose = "/run/proa";
	return error_set(err, ERR_CONFLICT,
			 "it belongs to the engine with the exec root '%s': choose another name, "
			 "or, where that engine is gone, `ip link del %s`",
			 whose, ifname);
}

static int bridge_link(struct net *n, const struct net_bridge *b, int *ret_index, struct error *err)
{
	auto_(nl_batch) batch = NL_BATCH_INIT;
	uint8_t mac[6] = { 0x02, 0x42 };
	struct link_info info;
	bool made;
	int r;

	/* Its own MAC: else a bridge takes over that of its ports, which come and go. */
	random_bytes(mac + 2, 4);
	link_add_bridge(&batch, b->ifname, mac, b->mtu);
	r = nl_exchange(&n->route, &batch, NULL, NULL, err);
	made = r == 0;
	if (made || r == -ERR_CONFLICT)
		r = link_find(&n->route, b->ifname, &info, err);
	if (r < 0)
		return error_wrap(err, r, "bridge '%s'", b->ifname);
	*ret_index = info.index;
	if (strcmp(info.kind, "bridge") != 0)
		return error_set(err, ERR_CONFLICT, "bridge '%s': a link of that name exists",
				 b->ifname);
	r = made ? 0 : check_owner(n, &info, b->ifname, err);
	if (r < 0)
		return error_wrap(err, r, "bridge '%s'", b->ifname);
	bridge_sysctls(b);
	nl_batch_release(&batch);
	if (b->gateway4.addr.family)
		link_add_address(&batch, *ret_index, &b->gateway4);
	if (b->gateway6.addr.family)
		link_add_address(&batch, *ret_index, &b->gateway6);
	link_up(&batch, *ret_index);
	if (made) {
		char alias[LINK_ALIAS_MAX];

		alias_format(n, alias);
		link_alias(&batch, *ret_index, alias);
	}
	r = nl_exchange(&n->route, &batch, NULL, NULL, err);
	return r < 0 ? error_wrap(err, r, "bridge '%s'", b->ifname) : 0;
}

int net_bridge_add(struct net *n, const struct net_bridge *spec, struct error *err)
{
	struct rules_bridge rule = { .subnet4 = spec->subnet4,
				     .subnet6 = spec->subnet6,
				     .gateway4 = spec->gateway4.addr,
				     .gateway6 = spec->gateway6.addr,
				     .internal = spec->internal,
				     .icc = spec->icc,
				     .masquerade = spec->masquerade };
	struct bridge *b, *old;
	int index = 0, r;

	if (strlen(spec->ifname) >= NET_IFNAME_MAX || !fs_is_component(spec->ifname))
		return error_set(err, ERR_INVALID, "invalid bridge name '%s'", spec->ifname);
	r = bridge_link(n, spec, &index, err);
	if (r == 0 && spec->subnet6.addr.family)
		r = forward_ipv6(n, err);
	if (r < 0)
		return r;
	b = new0(struct bridge);
	b->id = xstrdup(spec->id);
	b->name = xstrdup(spec->name);
	snprintf(b->ifname, sizeof(b->ifname), "%s", spec->ifname);
	b->index = index;
	b->subnet4 = spec->subnet4;
	b->gateway4 = spec->gateway4;
	b->subnet6 = spec->subnet6;
	b->gateway6 = spec->gateway6;
	b->internal = spec->internal;
	b->dns = spec->dns;
	b->mtu = spec->mtu;
	b->host_binding = spec->host_binding;
	memcpy(rule.ifname, b->ifname, sizeof(rule.ifname));

	LOCKED(&n->lock);
	old = map_steal(&n->bridges, b->id);
	if (old)
		bridge_free(old);
	map_set(&n->bridges, b->id, b);
	rules_bridge_remove(&n->rules, b->ifname);
	*vec_push(&n->rules.bridges) = rule;
	return n->ready && n->nft.fd >= 0 ? net_rules_write(n, err) : 0;
}

int net_bridge_again(struct net *n, struct bridge *b, bool *ret_made, struct error *err)
{
	struct net_bridge spec = { .gateway4 = b->gateway4,
				   .subnet6 = b->subnet6,
				   .gateway6 = b->gateway6,
				   .mtu = b->mtu,
				   .ifname = b->ifname };
	struct link_info info;
	int r;

	LOCKED(&n->lock);
	*ret_made = false;
	r = link_find(&n->route, b->ifname, &info, NULL);
	if (r != -ERR_NOT_FOUND && (r < 0 || info.index == b->index))
		return 0;
	*ret_made = true;
	return bridge_link(n, &spec, &b->index, err);
}

int net_bridge_remove(struct net *n, const char *id, struct error *err)
{
	auto_(nl_batch) batch = NL_BATCH_INIT;
	char alias[LINK_ALIAS_MAX];
	struct link_info info;
	struct bridge *b;
	int r;

	LOCKED(&n->lock);
	b = map_get(&n->bridges, id);
	if (!b)
		return 0;
	r = link_find(&n->route, b->ifname, &info, err);
	/* A bridge that the administrator made stays. */
	alias_format(n, alias);
	if (r == 0 && strcmp(info.alias, alias) == 0) {
		link_del(&batch, b->ifname);
		r = nl_exchange(&n->route, &batch, NULL, NULL, err);
	}
	if (r < 0 && r != -ERR_NOT_FOUND)
		return error_wrap(err, r, "bridge '%s'", b->ifname);
	rules_bridge_remove(&n->rules, b->ifname);
	map_remove(&n->bridges, id);
	bridge_free(b);
	return n->ready && n->nft.fd >= 0 ? net_rules_write(n, err) : 0;
}

/* n->lock is held for what follows. */
static bool is_network(struct net *n, const struct link_info *l)
{
	bool is = false;

	map_for_each (entry, &n->bridges)
		is |= ((struct bridge *)entry->value)->index == l->index;
	return is;
}

/* Made by this engine, not by the administrator or another. */
static bool is_own_bridge(struct net *n, int index)
{
	char own[LINK_ALIAS_MAX];

	alias_format(n, own);
	vec_for_each (l, &n->old_links)
		if (l->index == index)
			return strcmp(l->kind, "bridge") == 0 && strcmp(l->alias, own) == 0;
	return false;
}

static bool is_leftover_port(struct net *n, const struct link_info *l)
{
	return strcmp(l->kind, "veth") == 0 && is_own_bridge(n, l->master) &&
	       endpoint_is_unknown(n, l->name);
}

static bool is_leftover_bridge(struct net *n, const struct link_info *l)
{
	if (!is_own_bridge(n, l->index) || is_network(n, l))
		return false;
	vec_for_each (port, &n->old_links)
		if (port->master == l->index && !is_leftover_port(n, port))
			return false;
	return true;
}

void net_link_sweep(struct net *n)
{
	auto_(nl_batch) batch = NL_BATCH_INIT;

	{
		LOCKED(&n->lock);
		vec_for_each (l, &n->old_links)
			if (is_leftover_port(n, l) || is_leftover_bridge(n, l))
				link_del(&batch, l->name);
		n->old_links.len = 0;
	}
	(void)!nl_exchange(&n->route, &batch, NULL, NULL, NULL);
}

int net_host_overlaps(struct net *n, const struct net_prefix *p, bool *ret, struct error *err)
{
	link_address_list list = { 0 };
	bool overlaps = false;
	int r = link_addresses(&n->route, &list, err);

	if (r == 0)
		r = link_routes(&n->route, &list, err);
	vec_for_each (a, &list)
		overlaps |= net_prefix_overlaps(&a->prefix, p);
	vec_release(&list);
	if (r == 0)
		*ret = overlaps;
	return r;
}
