/*
 * engine/network_attach.c: a container's networking through its life.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/random.h"
#include "engine/network_internal.h"

/* ---- checks ---- */

static bool is_user_network(const struct network *n)
{
	return n->kind == NETWORK_BRIDGE && !n->is_default;
}

static int check_ip(const struct network *n, const struct network_pool *p, const char *text,
		    struct error *err)
{
	struct net_addr a;
	int r;

	if (cstr_is_empty(text))
		return 0;
	r = net_addr_parse(text, &a, NULL);
	if (r < 0)
		return error_set(err, ERR_INVALID, "invalid IPv4 address: %s", text);
	if (!is_user_network(n))
		return error_set(err, ERR_INVALID,
				 "user specified IP address is supported on user "
				 "defined networks only");
	if (!p->user_subnet)
		return error_set(err, ERR_INVALID,
				 "user specified IP address is supported only when connecting to "
				 "networks with user configured subnets");
	if (!net_prefix_contains(&p->subnet, &a))
		return error_set(err, ERR_INVALID,
				 "Invalid address %s: It does not belong to any "
				 "of this network's subnets",
				 text);
	return 0;
}

int member_check(const struct network *n, const struct json *settings, struct error *err)
{
	const struct json *ipam = json_get(settings, "IPAMConfig");
	const struct json *aliases = json_get(settings, "Aliases");
	const char *mac = json_str(settings, "MacAddress");
	uint8_t bytes[6];
	int r = check_ip(n, &n->v4, json_str(ipam, "IPv4Address"), err);

	if (r == 0)
		r = check_ip(n, &n->v6, json_str(ipam, "IPv6Address"), err);
	if (r == 0 && aliases && aliases->type == JSON_ARRAY && aliases->n_items &&
	    !is_user_network(n))
		r = error_set(err, ERR_INVALID,
			      "network-scoped alias is supported only for "
			      "containers in user defined networks");
	if (r == 0 && !cstr_is_empty(mac))
		r = net_mac_parse(mac, bytes, err);
	return r;
}

static bool list_given(const struct json *list)
{
	return list && ((list->type == JSON_ARRAY && list->n_items) ||
			(list->type == JSON_OBJECT && list->n_members));
}

/* Spec: dockerd runconfig, the options that make no sense together. */
static int check_mode(struct container *c, const char *mode, struct error *err)
{
	const struct json *h = c->host_config;
	bool shares = cstr_starts(mode, "container:"), host = strcmp(mode, "host") == 0;

	if ((shares || host) && list_given(json_get(h, "Links")))
		return error_set(
		    err, ERR_INVALID,
		    "conflicting options: %s type networking can't be used with links. "
		    "This would result in undefined behavior",
		    shares ? "container" : "host");
	if (!shares)
		return 0;
	if (list_given(json_get(h, "Dns")))
		return error_set(err, ERR_INVALID, "conflicting options: dns and the network mode");
	if (list_given(json_get(h, "ExtraHosts")))
		return error_set(err, ERR_INVALID,
				 "conflicting options: custom host-to-IP mapping "
				 "and the network mode");
	if (!cstr_is_empty(json_str(c->config, "MacAddress")))
		return error_set(err, ERR_INVALID,
				 "conflicting options: mac-address and the network mode");
	if (list_given(json_get(h, "PortBindings")) || json_bool(h, "PublishAllPorts", false))
		return error_set(err, ERR_INVALID,
				 "conflicting options: port publishing and the "
				 "container type network mode");
	return 0;
}

/* ---- create, rename, forget ---- */

static bool is_mode_network(const char *key, const char *mode)
{
	return strcmp(key, mode) == 0 ||
	       (strcmp(mode, "bridge") == 0 && strcmp(key, "default") == 0);
}

static int fill_members(struct network_room *r, struct container *c, struct attachment *a,
			struct error *err)
{
	const struct json *asked = c->networking;
	const struct json *first = json_get(asked, a->mode);
	int status = 0;

	if (!first && strcmp(a->mode, "bridge") == 0)
		first = json_get(asked, "default");
	if (!cstr_starts(a->mode, "container:"))
		attachment_add_member(a, a->mode, first);
	json_for_each_member (m, asked)
		if (!cstr_starts(a->mode, "container:") && !is_mode_network(m->key, a->mode))
			attachment_add_member(a, m->key, m->value);
	vec_for_each (m, &a->members) {
		struct network *n = network_get(r, m->network, NULL);

		if (status == 0 && n)
			status = member_check(n, m->settings, err);
	}
	return status;
}

int network_container_create(struct container *c, struct error *err)
{
	struct network_room *r = c->engine->networks;
	const char *mode = json_str(c->host_config, "NetworkMode");
	const char *mac = json_str(c->config, "MacAddress");
	struct attachment *a;
	port_list ports = { 0 };
	uint8_t bytes[6];
	int status;

	if (cstr_is_empty(mode) || strcmp(mode, "default") == 0)
		mode = "bridge";
	status = check_mode(c, mode, err);
	if (status == 0)
		status = network_ports_wanted(c, &ports, err);
	vec_release(&ports);
	if (status == 0 && !cstr_is_empty(mac))
		status = net_mac_parse(mac, bytes, err);
	if (status < 0)
		return status;
	a = new0(struct attachment);
	snprintf(a->id, sizeof(a->id), "%s", c->id);
	a->name = xstrdup(c->name ? c->name : "");
	a->mode = xstrdup(mode);
	LOCKED(&r->lock);
	status = fill_members(r, c, a, err);
	if (status == 0)
		status = attachment_store(r, a, err);
	if (status < 0) {
		attachment_free(a);
		return status;
	}
	map_set(&r->attachments, a->id, a);
	return 0;
}

void network_forget(struct container *c)
{
	struct network_room *r = c->engine->networks;
	struct attachment *a;
	struct error err;

	network_detach(c);
	LOCKED(&r->lock);
	a = map_steal(&r->attachments, c->id);
	if (!a)
		return;
	attachment_free(a);
	if (db_run(r->engine->store->db, &err, "DELETE FROM network_attachments WHERE container=?",
		   "t", c->id) < 0)
		log_warn("network settings not removed, continuing", KV("container", c->id),
			 KV_ERR(&err));
}

/* ---- names of an endpoint ---- */

void network_renamed(struct container *c)
{
	struct network_room *r = c->engine->networks;
	autofree char *short_id = cstr_format("%.12s", c->id);
	struct attachment *a;

	LOCKED(&r->lock);
	a = attachment_get(r, c->id);
	if (!a)
		return;
	free(a->name);
	a->name = xstrdup(c->name);
	vec_for_each (m, &a->members) {
		autofree const char **names = member_names(c, m, short_id);

		if (m->active)
			net_endpoint_rename(r->net, m->endpoint_id, c->name, names);
	}
	if (attachment_store(r, a, NULL) < 0)
		log_warn("new name not recorded by the network, continuing",
			 KV("container", c->id));
}

/* ---- plugging ---- */

static int take_address(struct network_pool *p, const char *asked, struct net_addr *ret,
			struct error *err)
{
	int r;

	ret->family = 0;
	if (!p->pool)
		return 0;
	if (cstr_is_empty(asked))
		return ipam_next(p->pool, ret, err);
	r = net_addr_parse(asked, ret, err);
	if (r == 0)
		r = ipam_take(p->pool, ret, err);
	if (r < 0)
		ret->family = 0;
	if (r == -ERR_CONFLICT && err)
		err->kind = ERR_FORBIDDEN;
	return r < 0 && err ? -(int)err->kind : r;
}

/* Network, addresses, MAC, endpoint id: under the lock, before the kernel is asked. */
int member_plan(struct network_room *r, struct container *c, struct attachment *a, struct member *m,
		struct error *err)
{
	const struct json *ipam = json_get(m->settings, "IPAMConfig");
	const char *mac = json_str(m->settings, "MacAddress");
	struct network *n = network_get(r, m->network, err);
	int status;

	if (!n)
		return err ? -(int)err->kind : -ERR_NOT_FOUND;
	status = member_check(n, m->settings, err);
	if (status < 0)
		return status;
	free(m->network);
	m->network = xstrdup(n->id);
	m->net = n;
	random_hex(m->endpoint_id, 32);
	m->active = true;
	if (n->kind != NETWORK_BRIDGE)
		return 0;
	status = take_address(&n->v4, json_str(ipam, "IPv4Address"), &m->ip4, err);
	if (status == 0)
		status = take_address(&n->v6, json_str(ipam, "IPv6Address"), &m->ip6, err);
	if (status < 0) {
		member_clear(m);
		return status;
	}
	if (cstr_is_empty(mac) && (strcmp(a->mode, n->name) == 0 || strcmp(a->mode, n->id) == 0))
		mac = json_str(c->config, "MacAddress");
	if (cstr_is_empty(mac) || net_mac_parse(mac, m->mac, NULL) < 0)
		net_mac_of_ip4(&m->ip4, m->mac);
	return 0;
}

static int external_error(struct error *err, int r, const struct attachment *a,
			  const struct member *m)
{
	if (r != -ERR_CONFLICT)
		return r;
	r = error_wrap(err, r,
		       "driver failed programming external connectivity on endpoint %s (%s)",
		       a->name, m->endpoint_id);
	if (err)
		err->kind = ERR_SYSTEM;
	return err ? -ERR_SYSTEM : r;
}

/* The kernel's part of one member. ports: only for the gateway. */
int member_plug(struct network_room *r, struct container *c, struct attachment *a, struct member *m,
		port_list *ports, struct error *err)
{
	autofree char *short_id = cstr_format("%.12s", c->id);
	autofree const char **names = member_names(c, m, short_id);
	autofree const char **links = member_links(m);
	struct net_endpoint ep = { .bridge_id = m->net->id,
				   .id = m->endpoint_id,
				   .ip4 = m->ip4,
				   .ip6 = m->ip6,
				   .default_route = m->gateway,
				   .names = names,
				   .links = links,
				   .container_name = a->name };
	int status;

	memcpy(ep.mac, m->mac, sizeof(ep.mac));
	if (m->gateway) {
		ep.ports = ports->at;
		ep.n_ports = ports->len;
	}
	status = net_endpoint_add(r->net, a->key, &ep, m->ifname, err);
	return status < 0 ? external_error(err, status, a, m) : 0;
}

/* Everything out of the kernel; events only for what was in. */
void attachment_detach(struct network_room *r, struct attachment *a, bool events)
{
	char key[NET_SANDBOX_KEY_MAX];

	/* An address asked for by number may be used again at once: its device goes now. */
	vec_for_each (m, &a->members)
		if (m->active && m->net->kind == NETWORK_BRIDGE &&
		    json_get(m->settings, "IPAMConfig"))
			net_endpoint_remove(r->net, a->key, m->endpoint_id);
	memcpy(key, a->key, sizeof(key));
	if (key[0])
		net_sandbox_remove(r->net, key);
	lock_take(&r->lock);
	vec_for_each (m, &a->members) {
		struct network *n = m->active ? m->net : NULL;

		if (n && events)
			network_event(r, "disconnect", n, a->id);
		member_clear(m);
	}
	a->key[0] = a->shares[0] = '\0';
	a->ports.len = 0;
	attachment_record(r, a);
	lock_drop(&r->lock);
}

void network_detach(struct container *c)
{
	struct network_room *r = c->engine->networks;
	struct attachment *a;
	bool any = false;

	lock_take(&r->lock);
	a = attachment_get(r, c->id);
	if (a) {
		any = a->key[0] || a->shares[0];
		vec_for_each (m, &a->members)
			any |= m->active;
	}
	lock_drop(&r->lock);
	if (any)
		attachment_detach(r, a, true);
}

/* ---- attach ---- */

static int attach_shared(struct network_room *r, struct attachment *a, const char *ref,
			 struct network_sandbox *ret, struct error *err)
{
	autoptr(container) other = NULL;
	struct attachment *theirs;
	bool running;
	int status = container_find(r->engine, ref, &other, err);

	if (status < 0)
		return status;
	lock_take(&other->lock);
	running = container_is_running(other);
	lock_drop(&other->lock);
	LOCKED(&r->lock);
	theirs = attachment_get(r, other->id);
	if (!theirs || !running)
		return error_set(err, ERR_CONFLICT,
				 "cannot join network of a non running container: %s", other->id);
	ret->host = strcmp(theirs->mode, "host") == 0;
	if (theirs->shares[0])
		theirs = attachment_get(r, theirs->shares);
	if (!ret->host && (!theirs || !theirs->key[0]))
		return error_set(err, ERR_CONFLICT,
				 "cannot join network of a non running container: %s", other->id);
	if (!ret->host)
		snprintf(ret->netns_path, sizeof(ret->netns_path), "%s/netns/%s",
			 r->engine->cfg.exec_root, theirs->key);
	memcpy(a->shares, other->id, sizeof(a->shares));
	attachment_record(r, a);
	return 0;
}

static int plan_all(struct network_room *r, struct container *c, struct attachment *a,
		    struct error *err)
{
	struct member *gateway;
	int status = 0;

	LOCKED(&r->lock);
	vec_for_each (m, &a->members)
		if (status == 0)
			status = member_plan(r, c, a, m, err);
	gateway = status == 0 ? attachment_gateway(a) : NULL;
	if (gateway)
		gateway->gateway = true;
	return status;
}

static int plug_all(struct network_room *r, struct container *c, struct attachment *a,
		    port_list *ports, struct error *err)
{
	autofree const char **servers = network_dns_servers(r, c);
	struct net_sandbox_info sandbox;
	bool published = false;
	int status = net_sandbox_new(r->net, &sandbox, err);

	if (status < 0)
		return status;
	free(sandbox.path);
	lock_take(&r->lock);
	memcpy(a->key, sandbox.key, sizeof(a->key));
	status = attachment_store(r, a, err);
	lock_drop(&r->lock);
	if (status == 0 && servers)
		net_sandbox_dns(r->net, a->key, servers);
	vec_for_each (m, &a->members) {
		if (status == 0 && m->net->kind == NETWORK_BRIDGE)
			status = member_plug(r, c, a, m, ports, err);
		published |= m->gateway;
	}
	if (status < 0)
		return status;
	LOCKED(&r->lock);
	a->ports.len = 0;
	for (size_t i = 0; published && i < ports->len; i++)
		*vec_push(&a->ports) = ports->at[i];
	status = attachment_store(r, a, err);
	vec_for_each (m, &a->members)
		if (status == 0)
			network_event(r, "connect", m->net, a->id);
	return status;
}

int network_attach(struct container *c, struct network_sandbox *ret, struct error *err)
{
	struct network_room *r = c->engine->networks;
	struct network_sandbox out = { 0 };
	port_list ports = { 0 };
	struct attachment *a;
	int status;

	network_detach(c);
	lock_take(&r->lock);
	a = attachment_get(r, c->id);
	lock_drop(&r->lock);
	if (!a)
		return error_set(err, ERR_NOT_FOUND, "No such container: %s", c->id);
	if (cstr_starts(a->mode, "container:")) {
		status = attach_shared(r, a, a->mode + strlen("container:"), &out, err);
		if (status == 0)
			*ret = out;
		return status;
	}
	out.host = strcmp(a->mode, "host") == 0;
	status = network_ports_wanted(c, &ports, err);
	if (status == 0)
		status = plan_all(r, c, a, err);
	if (status == 0 && !out.host)
		status = plug_all(r, c, a, &ports, err);
	vec_release(&ports);
	if (status < 0) {
		attachment_detach(r, a, false);
		return status;
	}
	LOCKED(&r->lock);
	if (!out.host)
		snprintf(out.netns_path, sizeof(out.netns_path), "%s/netns/%s",
			 r->engine->cfg.exec_root, a->key);
	else
		attachment_record(r, a);
	out.hosts = network_hosts_text(r, c, a);
	out.resolv_conf = network_resolv_text(r, c, a);
	*ret = out;
	return 0;
}
