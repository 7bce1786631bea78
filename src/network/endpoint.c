/*
 * network/endpoint.c: one container's plug in one bridge: veth, addresses,
 * routes, published ports, names.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "network/net_internal.h"

/* The smallest ethN that no endpoint of the sandbox has. */
static void choose_ifname(struct net *n, const char *sandbox, char out[static NET_IFNAME_MAX])
{
	LOCKED(&n->lock);
	for (unsigned i = 0;; i++) {
		bool used = false;

		snprintf(out, NET_IFNAME_MAX, "eth%u", i);
		map_for_each (entry, &n->endpoints) {
			const struct endpoint *e = entry->value;

			used |= strcmp(e->sandbox, sandbox) == 0 && strcmp(e->ifname, out) == 0;
		}
		if (!used)
			return;
	}
}

static int configure_inside(struct net *n, struct sandbox *s, const struct bridge *b,
			    const struct net_endpoint *spec, const char *ifname, struct error *err)
{
	auto_(nl_batch) batch = NL_BATCH_INIT;
	struct net_prefix p4 = { spec->ip4, b->subnet4.len }, p6 = { spec->ip6, b->subnet6.len };
	int index, r;

	/* A round trip to the helper, which most endpoints are spared. */
	if (!s->made || s->ipv6 != (spec->ip6.family != 0)) {
		autofree char *name = cstr_format("ipv6/conf/%s/disable_ipv6", ifname);

		r = helper_sysctl(&n->helper, s->ns_fd, name, spec->ip6.family ? "0" : "1", err);
		/* A kernel without IPv6 need not be told to leave it. */
		if (r < 0 && spec->ip6.family)
			return r;
	}
	r = link_index(&s->nl, ifname, &index, err);
	if (r < 0)
		return r;
	if (spec->ip4.family)
		link_add_address(&batch, index, &p4);
	if (spec->ip6.family)
		link_add_address(&batch, index, &p6);
	link_up(&batch, index);
	if (spec->default_route && !b->internal) {
		if (spec->ip4.family && b->gateway4.addr.family)
			link_add_default_route(&batch, index, &b->gateway4.addr);
		if (spec->ip6.family && b->gateway6.addr.family)
			link_add_default_route(&batch, index, &b->gateway6.addr);
	}
	return nl_exchange(&s->nl, &batch, NULL, NULL, err);
}

/* A container that uses its own published port: with bridge netfilter on, the
 * frame is redirected within the bridge, to the port it came from. */
static int set_hairpin(struct net *n, const struct endpoint *e, struct error *err)
{
	auto_(nl_batch) batch = NL_BATCH_INIT;
	int index, r = link_index(&n->route, e->host_if, &index, err);

	if (r < 0)
		return r;
	link_hairpin(&batch, index);
	return nl_exchange(&n->route, &batch, NULL, NULL, err);
}

static int add_veth(struct net *n, const struct sandbox *s, const struct bridge *b,
		    const struct endpoint *e, const struct net_endpoint *spec, struct error *err)
{
	auto_(nl_batch) batch = NL_BATCH_INIT;
	struct link_veth v = {
		.name = e->host_if, .netns_fd = s->ns_fd, .peer = e->ifname, .mtu = b->mtu
	};

	lock_take(&n->lock);
	v.master = b->index;
	lock_drop(&n->lock);
	memcpy(v.mac, spec->mac, sizeof(v.mac));
	link_add_veth(&batch, &v);
	return nl_exchange(&n->route, &batch, NULL, NULL, err);
}

static int plug(struct net *n, struct sandbox *s, struct bridge *b, struct endpoint *e,
		const struct net_endpoint *spec, struct error *err)
{
	auto_(nl_batch) batch = NL_BATCH_INIT;
	int r = add_veth(n, s, b, e, spec, err);

	if (r < 0) {
		struct error why = { 0 };
		bool made;
		int again = net_bridge_again(n, b, &made, &why);

		if (again < 0 && err)
			*err = why;
		r = again < 0 ? again : made ? add_veth(n, s, b, e, spec, err) : r;
	}
	if (r < 0)
		return r;
	r = configure_inside(n, s, b, spec, e->ifname, err);
	if (r == 0 && spec->n_ports > 0)
		r = set_hairpin(n, e, err);
	if (r < 0) {
		nl_batch_release(&batch);
		link_del(&batch, e->host_if);
		(void)!nl_exchange(&n->route, &batch, NULL, NULL, NULL);
	}
	return r;
}

static void unplug(struct net *n, const struct endpoint *e)
{
	auto_(nl_batch) batch = NL_BATCH_INIT;

	link_del(&batch, e->host_if);
	(void)!nl_exchange(&n->route, &batch, NULL, NULL, NULL);
}

/* Enter the ports into the model and, when the table is live, into the kernel. */
static int publish(struct net *n, struct endpoint *e, struct error *err)
{
	auto_(nft) b = NFT_INIT;
	int r = 0;

	if (e->rules.len == 0)
		return 0;
	if (e->proxied)
		return proxy_is_running(n, e) ? 0 : proxy_start(n, e, err);
	LOCKED(&n->lock);
	vec_for_each (p, &e->rules)
		*vec_push(&n->rules.ports) = *p;
	if (!n->ready)
		return 0;
	rules_write_ports(&n->rules, &b, e->rules.at, e->rules.len, false);
	r = nl_exchange(&n->nft, &b.batch, NULL, NULL, err);
	if (r == -ERR_NOT_FOUND)
		r = net_rules_write(n, err);
	if (r < 0)
		vec_for_each (p, &e->rules)
			rules_port_remove(&n->rules, p);
	return r;
}

static void unpublish(struct net *n, struct endpoint *e)
{
	auto_(nft) b = NFT_INIT;

	if (e->rules.len == 0)
		return;
	if (e->proxied) {
		proxy_stop(n, e);
		return;
	}
	LOCKED(&n->lock);
	vec_for_each (p, &e->rules)
		rules_port_remove(&n->rules, p);
	if (!n->ready)
		return;
	rules_write_ports(&n->rules, &b, e->rules.at, e->rules.len, true);
	if (nl_exchange(&n->nft, &b.batch, NULL, NULL, NULL) < 0)
		(void)!net_rules_write(n, NULL);
}

static struct endpoint *endpoint_make(const char *sandbox_key, const struct net_endpoint *spec)
{
	struct endpoint *e = new0(struct endpoint);

	e->id = xstrdup(spec->id);
	e->bridge_id = xstrdup(spec->bridge_id);
	snprintf(e->sandbox, sizeof(e->sandbox), "%s", sandbox_key);
	snprintf(e->host_if, sizeof(e->host_if), "veth%.7s", spec->id);
	e->ip4 = spec->ip4;
	e->ip6 = spec->ip6;
	return e;
}

void endpoint_free(struct net *n, struct endpoint *e)
{
	port_release_all(n, e);
	vec_release(&e->reserved);
	vec_release(&e->rules);
	free(e->id);
	free(e->bridge_id);
	free(e);
}

static void serve_names(struct net *n, const struct bridge *b, const struct endpoint *e,
			const struct net_endpoint *spec)
{
	struct dns_endpoint_spec d = { .id = e->id,
				       .sandbox = e->sandbox,
				       .network = b->id,
				       .network_name = b->name,
				       .internal = b->internal,
				       .ip4 = e->ip4,
				       .ip6 = e->ip6,
				       .container_name = spec->container_name,
				       .names = spec->names,
				       .links = spec->links };

	if (b->dns)
		dns_endpoint_set(n->dns, &d);
}

static int endpoint_join(struct net *n, const char *sandbox_key, struct net_endpoint *spec,
			 bool exists, struct endpoint *e, struct error *err)
{
	struct bridge *b = net_bridge_get(n, spec->bridge_id, err);
	struct sandbox *s = b ? sandbox_get(n, sandbox_key, err) : NULL;
	int r = 0;

	if (!s)
		return -ERR_NOT_FOUND;
	e->proxied = !n->nat || n->firewall == NET_FIREWALL_RESPECT;
	for (size_t i = 0; r == 0 && i < spec->n_ports; i++) {
		if (spec->ports[i].host_ip.family == 0)
			spec->ports[i].host_ip = b->host_binding;
		r = port_reserve(n, e, &spec->ports[i], exists, err);
	}
	if (r == 0 && !exists)
		r = plug(n, s, b, e, spec, err);
	if (r < 0)
		return r;
	r = publish(n, e, err);
	if (r == 0 && b->dns) {
		r = sandbox_serve_dns(n, s, err);
		if (r < 0)
			unpublish(n, e);
	}
	if (r < 0) {
		if (!exists)
			unplug(n, e);
		return r;
	}
	serve_names(n, b, e, spec);
	return 0;
}

int net_endpoint_add(struct net *n, const char *sandbox_key, struct net_endpoint *spec,
		     char ret_ifname[static NET_IFNAME_MAX], struct error *err)
{
	struct endpoint *e = endpoint_make(sandbox_key, spec);
	int r;

	choose_ifname(n, sandbox_key, e->ifname);
	r = endpoint_join(n, sandbox_key, spec, false, e, err);
	if (r < 0) {
		endpoint_free(n, e);
		return r;
	}
	memcpy(ret_ifname, e->ifname, NET_IFNAME_MAX);
	LOCKED(&n->lock);
	map_set(&n->endpoints, e->id, e);
	return 0;
}

int net_endpoint_adopt(struct net *n, const char *sandbox_key, struct net_endpoint *spec,
		       const char *ifname, struct error *err)
{
	struct endpoint *e = endpoint_make(sandbox_key, spec);
	int r;

	snprintf(e->ifname, sizeof(e->ifname), "%s", ifname);
	r = endpoint_join(n, sandbox_key, spec, true, e, err);
	if (r < 0) {
		endpoint_free(n, e);
		return r;
	}
	LOCKED(&n->lock);
	map_set(&n->endpoints, e->id, e);
	return 0;
}

/* Of the form that endpoint_make gives. */
static bool is_host_if(const char *name)
{
	return cstr_starts(name, "veth") && strlen(name) == strlen("veth") + 7 &&
	       strspn(name + strlen("veth"), "0123456789abcdef") == 7;
}

bool endpoint_is_unknown(struct net *n, const char *host_if)
{
	lock_assert_held(&n->lock);
	map_for_each (entry, &n->endpoints)
		if (strcmp(((struct endpoint *)entry->value)->host_if, host_if) == 0)
			return false;
	return is_host_if(host_if);
}

void endpoint_retire(struct net *n, struct endpoint *e)
{
	dns_endpoint_remove(n->dns, e->id);
	unpublish(n, e);
}

void net_endpoint_remove(struct net *n, const char *sandbox_key, const char *endpoint_id)
{
	struct endpoint *e;

	(void)sandbox_key;
	lock_take(&n->lock);
	e = map_steal(&n->endpoints, endpoint_id);
	lock_drop(&n->lock);
	if (!e)
		return;
	endpoint_retire(n, e);
	unplug(n, e);
	endpoint_free(n, e);
}

int net_endpoint_publish(struct net *n, const char *endpoint_id, struct net_port *ports,
			 size_t n_ports, struct error *err)
{
	struct endpoint *e;
	struct bridge *b;
	int r = 0;

	lock_take(&n->lock);
	e = map_get(&n->endpoints, endpoint_id);
	b = e ? map_get(&n->bridges, e->bridge_id) : NULL;
	lock_drop(&n->lock);
	if (!b)
		return error_set(err, ERR_NOT_FOUND, "no such endpoint: %s", endpoint_id);
	for (size_t i = 0; r == 0 && i < n_ports; i++) {
		if (ports[i].host_ip.family == 0)
			ports[i].host_ip = b->host_binding;
		r = port_reserve(n, e, &ports[i], false, err);
	}
	if (r == 0)
		r = set_hairpin(n, e, err);
	if (r == 0)
		r = publish(n, e, err);
	if (r < 0) {
		port_release_all(n, e);
		e->rules.len = 0;
	}
	return r;
}

void net_endpoint_rename(struct net *n, const char *endpoint_id, const char *container_name,
			 const char *const *names)
{
	dns_endpoint_rename(n->dns, endpoint_id, container_name, names);
}

int net_endpoint_default_route(struct net *n, const char *sandbox_key, const char *endpoint_id,
			       struct error *err)
{
	auto_(nl_batch) batch = NL_BATCH_INIT;
	struct sandbox *s = sandbox_get(n, sandbox_key, err);
	struct endpoint *e;
	struct bridge *b;
	int index, r;

	lock_take(&n->lock);
	e = map_get(&n->endpoints, endpoint_id);
	b = e ? map_get(&n->bridges, e->bridge_id) : NULL;
	lock_drop(&n->lock);
	if (!s)
		return -ERR_NOT_FOUND;
	if (!b)
		return error_set(err, ERR_NOT_FOUND, "no such endpoint: %s", endpoint_id);
	if (b->internal)
		return 0;
	r = link_index(&s->nl, e->ifname, &index, err);
	if (r < 0)
		return r;
	if (e->ip4.family && b->gateway4.addr.family)
		link_add_default_route(&batch, index, &b->gateway4.addr);
	if (e->ip6.family && b->gateway6.addr.family)
		link_add_default_route(&batch, index, &b->gateway6.addr);
	return nl_exchange(&s->nl, &batch, NULL, NULL, err);
}
