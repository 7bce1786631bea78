/*
 * engine/network_write.c: NetworkSettings of a container as JSON, its stats,
 * and what the builder gets.
 */
#include <arpa/inet.h>
#include <string.h>

#include "engine/network_internal.h"

static const struct network *network_of(struct network_room *r, const struct member *m)
{
	return m->net ? m->net : network_get(r, m->network, NULL);
}

static void write_aliases(struct jsonw *w, const struct attachment *a, const struct network *n,
			  const struct member *m)
{
	const struct json *aliases = json_get(m->settings, "Aliases");
	autofree char *short_id = cstr_format("%.12s", a->id);
	bool given = false;

	/* Peer: the short id comes with the first attachment. docker-compose 1.29 takes it for the
	 * sign that it has connected the network itself, with links. */
	if (!n || n->kind != NETWORK_BRIDGE || n->is_default || strcmp(m->network, n->id) != 0) {
		jsonw_kvalue(w, "Aliases", aliases);
		return;
	}
	jsonw_karray(w, "Aliases");
	json_for_each_item (s, aliases)
		if (s->type == JSON_STRING) {
			jsonw_string(w, s->s);
			given |= strcmp(s->s, short_id) == 0;
		}
	if (!given)
		jsonw_string(w, short_id);
	jsonw_end(w);
}

static void write_addresses(struct jsonw *w, const struct network *n, const struct member *m)
{
	char text[NET_ADDR_TEXT_MAX] = "";
	bool v4 = n && m->active && m->ip4.family, v6 = n && m->active && m->ip6.family;

	if (v4 && !n->internal)
		net_addr_format(&n->v4.gateway.addr, text);
	jsonw_kstring(w, "Gateway", text);
	net_addr_format(&m->ip4, text);
	jsonw_kstring(w, "IPAddress", v4 ? text : "");
	jsonw_kint(w, "IPPrefixLen", v4 ? n->v4.subnet.len : 0);
	text[0] = '\0';
	if (v6 && !n->internal)
		net_addr_format(&n->v6.gateway.addr, text);
	jsonw_kstring(w, "IPv6Gateway", text);
	net_addr_format(&m->ip6, text);
	jsonw_kstring(w, "GlobalIPv6Address", v6 ? text : "");
	jsonw_kint(w, "GlobalIPv6PrefixLen", v6 ? n->v6.subnet.len : 0);
	net_mac_format(m->mac, text);
	jsonw_kstring(w, "MacAddress", v4 || v6 ? text : "");
}

/* Network names of the endpoint: what DNS answers to. */
static void write_dns_names(struct jsonw *w, struct container *c, const struct attachment *a,
			    const struct network *n, const struct member *m)
{
	const char *hostname = json_str(c->config, "Hostname");
	autofree char *short_id = cstr_format("%.12s", a->id);

	if (!n || n->kind != NETWORK_BRIDGE || n->is_default) {
		jsonw_knull(w, "DNSNames");
		return;
	}
	jsonw_karray(w, "DNSNames");
	jsonw_string(w, a->name);
	json_for_each_item (s, json_get(m->settings, "Aliases"))
		if (s->type == JSON_STRING)
			jsonw_string(w, s->s);
	jsonw_string(w, short_id);
	if (!cstr_is_empty(hostname) && strcmp(hostname, short_id) != 0)
		jsonw_string(w, hostname);
	jsonw_end(w);
}

static void write_member(struct network_room *r, struct container *c, struct jsonw *w,
			 const struct attachment *a, const struct member *m)
{
	const struct network *n = network_of(r, m);

	jsonw_kobject(w, n ? n->name : m->network);
	jsonw_kvalue(w, "IPAMConfig", json_get(m->settings, "IPAMConfig"));
	jsonw_kvalue(w, "Links", json_get(m->settings, "Links"));
	write_aliases(w, a, n, m);
	jsonw_kstring(w, "NetworkID", n && strcmp(m->network, n->id) == 0 ? n->id : "");
	jsonw_kstring(w, "EndpointID", m->active ? m->endpoint_id : "");
	write_addresses(w, n, m);
	jsonw_kvalue(w, "DriverOpts", json_get(m->settings, "DriverOpts"));
	jsonw_kint(w, "GwPriority", json_int(m->settings, "GwPriority", 0));
	write_dns_names(w, c, a, n, m);
	jsonw_end(w);
}

static void write_networks(struct network_room *r, struct container *c, struct jsonw *w,
			   const struct attachment *a)
{
	jsonw_kobject(w, "Networks");
	if (a)
		vec_for_each (m, &a->members)
			write_member(r, c, w, a, m);
	jsonw_end(w);
}

/* The fields of API 1.20 that repeat the default bridge's endpoint. */
static void write_legacy(struct jsonw *w, const struct attachment *a)
{
	const struct member none = { 0 }, *m = &none;
	char text[NET_ADDR_TEXT_MAX] = "";

	if (a)
		vec_for_each (each, &a->members)
			if (each->active && each->net->is_default)
				m = each;
	jsonw_kstring(w, "EndpointID", m->endpoint_id);
	if (m->net)
		net_addr_format(&m->net->v4.gateway.addr, text);
	jsonw_kstring(w, "Gateway", text);
	net_addr_format(&m->ip6, text);
	jsonw_kstring(w, "GlobalIPv6Address", text);
	jsonw_kint(w, "GlobalIPv6PrefixLen", m->ip6.family ? m->net->v6.subnet.len : 0);
	net_addr_format(&m->ip4, text);
	jsonw_kstring(w, "IPAddress", text);
	jsonw_kint(w, "IPPrefixLen", m->ip4.family ? m->net->v4.subnet.len : 0);
	text[0] = '\0';
	if (m->ip6.family)
		net_addr_format(&m->net->v6.gateway.addr, text);
	jsonw_kstring(w, "IPv6Gateway", text);
	net_mac_format(m->mac, text);
	jsonw_kstring(w, "MacAddress", m->ip4.family ? text : "");
}

/* 64 hex, as dockerd's: the key and the container's id behind it. */
static char *sandbox_id(const struct attachment *a)
{
	return a && a->key[0] ? cstr_format("%s%.52s", a->key, a->id) : xstrdup("");
}

void network_settings_write(struct container *c, struct jsonw *w)
{
	struct network_room *r = c->engine->networks;
	autofree char *id = NULL, *key = NULL;
	struct attachment *a;

	LOCKED(&r->lock);
	a = attachment_get(r, c->id);
	id = sandbox_id(a);
	if (a && a->key[0])
		key = cstr_format("%s/netns/%s", r->engine->cfg.exec_root, a->key);
	else if (a && strcmp(a->mode, "host") == 0 && a->members.len && a->members.at[0].active)
		key = cstr_format("%s/netns/default", r->engine->cfg.exec_root);
	else
		key = xstrdup("");
	jsonw_object(w);
	jsonw_kstring(w, "Bridge", "");
	jsonw_kstring(w, "SandboxID", id);
	jsonw_kbool(w, "HairpinMode", false);
	jsonw_kstring(w, "LinkLocalIPv6Address", "");
	jsonw_kint(w, "LinkLocalIPv6PrefixLen", 0);
	network_ports_map_write(c, a, w);
	jsonw_kstring(w, "SandboxKey", key);
	jsonw_knull(w, "SecondaryIPAddresses");
	jsonw_knull(w, "SecondaryIPv6Addresses");
	write_legacy(w, a);
	write_networks(r, c, w, a);
	jsonw_end(w);
}

void network_summary_write(struct container *c, struct jsonw *w)
{
	struct network_room *r = c->engine->networks;

	LOCKED(&r->lock);
	jsonw_object(w);
	write_networks(r, c, w, attachment_get(r, c->id));
	jsonw_end(w);
}

bool network_container_uses(struct container *c, const char *ref)
{
	struct network_room *r = c->engine->networks;
	struct attachment *a;

	LOCKED(&r->lock);
	a = attachment_get(r, c->id);
	for (size_t i = 0; a && i < a->members.len; i++) {
		const struct network *n = network_of(r, &a->members.at[i]);

		if (n && (strcmp(n->name, ref) == 0 || (*ref && cstr_starts(n->id, ref))))
			return true;
	}
	return false;
}

int network_stats(struct container *c, struct net_stats **ret, size_t *ret_n, struct error *err)
{
	struct network_room *r = c->engine->networks;
	char key[NET_SANDBOX_KEY_MAX] = "";
	struct attachment *a;

	lock_take(&r->lock);
	a = attachment_get(r, c->id);
	if (a)
		memcpy(key, a->key, sizeof(key));
	lock_drop(&r->lock);
	if (key[0])
		return net_sandbox_stats(r->net, key, ret, ret_n, err);
	*ret = NULL;
	*ret_n = 0;
	return 0;
}

char *network_warning(struct engine *e)
{
	struct network_room *r = e->networks;
	char chain[128];

	if (!net_has_nat(r->net))
		return xstrdup("WARNING: no NAT: ports are published by a proxy, containers have "
			       "no way out (kernel without nf_tables NAT, or --iptables=false)");
	if (!net_forward_blocker(r->net, chain, sizeof(chain)))
		return NULL;
	return cstr_format("WARNING: the policy of '%s' is drop: containers reach neither each "
			   "other nor the outside until it lets their bridges through",
			   chain);
}

struct network_provider *network_provider_get(struct engine *e)
{
	return &e->networks->provider;
}
