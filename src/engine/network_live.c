/*
 * engine/network_live.c: networks of running containers change, and proad comes
 * back to running containers.
 */
#include <arpa/inet.h>
#include <string.h>

#include "base/log.h"
#include "engine/network_internal.h"

/* ---- live changes ---- */

int member_connect(struct network_room *r, struct container *c, struct attachment *a,
		   struct network *n, const struct json *settings, bool live, struct error *err)
{
	port_list ports = { 0 };
	struct member *m;
	int status = live ? network_ports_wanted(c, &ports, err) : 0;

	if (status < 0)
		return status;
	lock_take(&r->lock);
	attachment_add_member(a, n->id, settings);
	m = &a->members.at[a->members.len - 1];
	if (live && a->key[0]) {
		bool had = false;

		status = member_plan(r, c, a, m, err);
		vec_for_each (other, &a->members)
			had |= other->gateway;
		if (status == 0)
			m->gateway = !had && attachment_gateway(a) == m;
	}
	lock_drop(&r->lock);
	if (status == 0 && m->active)
		status = member_plug(r, c, a, m, &ports, err);
	lock_take(&r->lock);
	if (status == 0 && m->gateway)
		for (size_t i = 0; i < ports.len; i++)
			*vec_push(&a->ports) = ports.at[i];
	if (status == 0)
		status = attachment_store(r, a, err);
	if (status < 0) {
		member_clear(m);
		free(m->network);
		a->members.len--;
	} else if (live) {
		network_event(r, "connect", n, a->id);
	}
	lock_drop(&r->lock);
	vec_release(&ports);
	if (status == 0 && live)
		network_files_update(r, c, a);
	return status;
}

/* The way out and the published ports move to the next member. */
static void move_gateway(struct network_room *r, struct attachment *a)
{
	struct error err;
	struct member *next;
	int status = 0;

	lock_take(&r->lock);
	next = attachment_gateway(a);
	if (next)
		next->gateway = true;
	lock_drop(&r->lock);
	if (next)
		status = net_endpoint_default_route(r->net, a->key, next->endpoint_id, &err);
	if (next && status == 0 && a->ports.len)
		status = net_endpoint_publish(r->net, next->endpoint_id, a->ports.at, a->ports.len,
					      &err);
	if (status < 0)
		log_warn("default route or ports not moved, continuing", KV("container", a->id),
			 KV_ERR(&err));
	if (!next)
		a->ports.len = 0;
}

/* Out of the list and of the record; on failure it is in both, as it was. */
static int take_member(struct network_room *r, struct attachment *a, size_t i, struct member *ret,
		       struct error *err)
{
	struct member *at = a->members.at;
	int status;

	LOCKED(&r->lock);
	*ret = at[i];
	a->members.len--;
	memmove(&at[i], &at[i + 1], (a->members.len - i) * sizeof(*at));
	status = attachment_store(r, a, err);
	if (status == 0)
		return 0;
	memmove(&at[i + 1], &at[i], (a->members.len - i) * sizeof(*at));
	at[i] = *ret;
	a->members.len++;
	return status;
}

int member_disconnect(struct network_room *r, struct container *c, struct attachment *a, size_t i,
		      struct error *err)
{
	struct error late;
	struct member m;
	struct network *n;
	bool live;
	int status = take_member(r, a, i, &m, err);

	if (status < 0)
		return status;
	live = m.active;
	if (live && m.net->kind == NETWORK_BRIDGE)
		net_endpoint_remove(r->net, a->key, m.endpoint_id);
	if (m.gateway)
		move_gateway(r, a);
	lock_take(&r->lock);
	if (m.gateway && attachment_store(r, a, &late) < 0)
		log_warn("moved gateway not recorded, continuing", KV("container", a->id),
			 KV_ERR(&late));
	n = network_get(r, m.network, NULL);
	member_clear(&m);
	free(m.network);
	if (n && live)
		network_event(r, "disconnect", n, a->id);
	lock_drop(&r->lock);
	if (live)
		network_files_update(r, c, a);
	return 0;
}

/* ---- after a restart of proad ---- */

static void adopt_member(struct network_room *r, struct container *c, struct attachment *a,
			 struct member *m)
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
	struct error err;

	if (m->gateway) {
		ep.ports = a->ports.at;
		ep.n_ports = a->ports.len;
	}
	if (net_endpoint_adopt(r->net, a->key, &ep, m->ifname, &err) < 0)
		log_warn("endpoint not adopted, continuing", KV("container", a->id),
			 KV("network", m->net->name), KV_ERR(&err));
}

static void restore_one(struct network_room *r, struct attachment *a)
{
	autoptr(container) c = NULL;
	struct error err;

	if (container_find(r->engine, a->id, &c, NULL) < 0 || !container_is_running(c) ||
	    (a->key[0] && net_sandbox_adopt(r->net, a->key, &err) < 0)) {
		if (a->key[0] || a->shares[0])
			attachment_detach(r, a, false);
		return;
	}
	if (a->key[0]) {
		autofree const char **servers = network_dns_servers(r, c);

		if (servers)
			net_sandbox_dns(r->net, a->key, servers);
	}
	vec_for_each (m, &a->members)
		if (m->active && m->net->kind == NETWORK_BRIDGE)
			adopt_member(r, c, a, m);
}

int network_room_restore(struct engine *e, struct error *err)
{
	struct network_room *r = e->networks;
	VEC(struct attachment *) all = { 0 };
	char chain[128];

	lock_take(&r->lock);
	map_for_each (entry, &r->attachments)
		*vec_push(&all) = entry->value;
	lock_drop(&r->lock);
	vec_for_each (a, &all) {
		autoptr(container) c = NULL;

		restore_one(r, *a);
		if (container_find(e, (*a)->id, &c, NULL) == 0)
			continue;
		/* Half-made: its container was never recorded, or is gone. */
		LOCKED(&r->lock);
		(void)!db_run(e->store->db, NULL,
			      "DELETE FROM network_attachments WHERE container=?", "t", (*a)->id);
		(void)map_steal(&r->attachments, (*a)->id);
		attachment_free(*a);
	}
	vec_release(&all);
	net_link_sweep(r->net);
	net_sandbox_sweep(r->net);
	if (net_forward_blocker(r->net, chain, sizeof(chain)))
		log_warn("another program's firewall drops what containers send, continuing",
			 KV("chain", chain));
	return net_ready(r->net, err);
}
