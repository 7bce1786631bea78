/*
 * engine/network_ports.c: published ports: from what HostConfig says to what
 * the network room does, and back into JSON.
 */
#include <arpa/inet.h>
#include <string.h>

#include "engine/network_internal.h"

const char *network_proto_name(enum net_proto p)
{
	return p == NET_TCP ? "tcp" : p == NET_UDP ? "udp" : "sctp";
}

int network_port_parse(const char *s, uint16_t *ret_port, enum net_proto *ret_proto,
		       struct error *err)
{
	const char *slash = strchr(s, '/');
	enum net_proto proto = NET_TCP;
	uint64_t port;

	if (slash && strcmp(slash + 1, "udp") == 0)
		proto = NET_UDP;
	else if (slash && strcmp(slash + 1, "sctp") == 0)
		proto = NET_SCTP;
	else if (slash && strcmp(slash + 1, "tcp") != 0)
		return error_set(err, ERR_INVALID, "invalid proto: %s", slash + 1);
	if (parse_u64((struct str){ s, slash ? (size_t)(slash - s) : strlen(s) }, 65535, &port,
		      NULL) < 0 ||
	    port == 0)
		return error_set(err, ERR_INVALID, "invalid port specification: \"%s\"", s);
	*ret_port = (uint16_t)port;
	*ret_proto = proto;
	return 0;
}

static int parse_host_port(const char *text, struct net_port *p, struct error *err)
{
	struct str rest = str_of(text), first, last;
	uint64_t a, b;

	if (cstr_is_empty(text))
		return 0;
	(void)str_split(&rest, '-', &first);
	if (parse_u64(first, 65535, &a, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid port specification: \"%s\"", text);
	b = a;
	if (str_split(&rest, '-', &last) && parse_u64(last, 65535, &b, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid port specification: \"%s\"", text);
	if (b < a)
		return error_set(err, ERR_INVALID, "invalid port specification: \"%s\"", text);
	p->host_port = (uint16_t)a;
	p->host_port_end = (uint16_t)(b > a ? b : 0);
	return 0;
}

static int add_bindings(const char *key, const struct json *list, port_list *out, struct error *err)
{
	struct net_port base = { 0 };
	int r = network_port_parse(key, &base.container_port, &base.proto, err);

	if (r < 0)
		return r;
	if (!list || list->type != JSON_ARRAY || list->n_items == 0) {
		*vec_push(out) = base;
		return 0;
	}
	json_for_each_item (b, list) {
		const char *ip = json_str(b, "HostIp");
		struct net_port p = base;

		if (!cstr_is_empty(ip))
			r = net_addr_parse(ip, &p.host_ip, err);
		if (r == 0)
			r = parse_host_port(json_str(b, "HostPort"), &p, err);
		if (r < 0)
			return r;
		*vec_push(out) = p;
	}
	return 0;
}

int network_ports_wanted(struct container *c, port_list *out, struct error *err)
{
	const struct json *bindings = json_get(c->host_config, "PortBindings");
	const struct json *exposed = json_get(c->config, "ExposedPorts");
	int r = 0;

	json_for_each_member (m, bindings)
		if (r == 0)
			r = add_bindings(m->key, m->value, out, err);
	if (r < 0 || !json_bool(c->host_config, "PublishAllPorts", false))
		return r;
	json_for_each_member (m, exposed)
		if (r == 0 && !json_get(bindings, m->key))
			r = add_bindings(m->key, NULL, out, err);
	return r;
}

/* ---- JSON ---- */

static bool is_port(const struct net_port *p, const char *key)
{
	enum net_proto proto;
	uint16_t port;

	return network_port_parse(key, &port, &proto, NULL) == 0 && proto == p->proto &&
	       port == p->container_port;
}

static void write_bound(struct jsonw *w, const struct net_port *p)
{
	for (unsigned i = 0; i < p->n_bound; i++) {
		autofree char *port = cstr_format("%u", p->host_port);
		char ip[NET_ADDR_TEXT_MAX];

		net_addr_format(&p->bound[i], ip);
		jsonw_object(w);
		jsonw_kstring(w, "HostIp", ip);
		jsonw_kstring(w, "HostPort", port);
		jsonw_end(w);
	}
}

/* What is published, then what is only exposed, as null. */
void network_ports_map_write(struct container *c, const struct attachment *a, struct jsonw *w)
{
	jsonw_kobject(w, "Ports");
	for (size_t i = 0; a && i < a->ports.len; i++) {
		const struct net_port *p = &a->ports.at[i];
		autofree char *key =
		    cstr_format("%u/%s", p->container_port, network_proto_name(p->proto));
		bool first = true;

		for (size_t j = 0; j < i; j++)
			first &= !is_port(&a->ports.at[j], key);
		if (!first)
			continue;
		jsonw_karray(w, key);
		for (size_t j = i; j < a->ports.len; j++)
			if (is_port(&a->ports.at[j], key))
				write_bound(w, &a->ports.at[j]);
		jsonw_end(w);
	}
	json_for_each_member (m, json_get(c->config, "ExposedPorts")) {
		bool published = false;

		if (!a || !a->key[0])
			break;
		for (size_t i = 0; i < a->ports.len; i++)
			published |= is_port(&a->ports.at[i], m->key);
		if (!published)
			jsonw_knull(w, m->key);
	}
	jsonw_end(w);
}

static void write_port(struct jsonw *w, const char *ip, unsigned private_port, unsigned public_port,
		       enum net_proto proto)
{
	jsonw_object(w);
	if (ip)
		jsonw_kstring(w, "IP", ip);
	jsonw_kint(w, "PrivatePort", private_port);
	if (public_port)
		jsonw_kint(w, "PublicPort", public_port);
	jsonw_kstring(w, "Type", network_proto_name(proto));
	jsonw_end(w);
}

void network_ports_write(struct container *c, struct jsonw *w)
{
	struct network_room *r = c->engine->networks;
	struct attachment *a;

	LOCKED(&r->lock);
	a = attachment_get(r, c->id);
	jsonw_array(w);
	for (size_t i = 0; a && i < a->ports.len; i++) {
		const struct net_port *p = &a->ports.at[i];

		for (unsigned k = 0; k < p->n_bound; k++) {
			char ip[NET_ADDR_TEXT_MAX];

			net_addr_format(&p->bound[k], ip);
			write_port(w, ip, p->container_port, p->host_port, p->proto);
		}
	}
	json_for_each_member (m, json_get(c->config, "ExposedPorts")) {
		enum net_proto proto;
		bool published = false;
		uint16_t port;

		if (!a || !a->key[0] || network_port_parse(m->key, &port, &proto, NULL) < 0)
			continue;
		for (size_t i = 0; i < a->ports.len; i++)
			published |= is_port(&a->ports.at[i], m->key);
		if (!published)
			write_port(w, NULL, port, 0, proto);
	}
	jsonw_end(w);
}

int network_port_matches(struct container *c, const char *filter, bool published, bool *ret,
			 struct error *err)
{
	struct network_room *r = c->engine->networks;
	const char *slash = strchr(filter, '/');
	struct net_port range = { 0 };
	enum net_proto proto = NET_TCP;
	uint16_t ignored;
	autofree char *digits =
	    str_dup((struct str){ filter, slash ? (size_t)(slash - filter) : strlen(filter) });
	autofree char *probe = cstr_format("1/%s", slash ? slash + 1 : "tcp");
	struct attachment *a;
	bool hit = false;
	int status = network_port_parse(probe, &ignored, &proto, err);

	if (status == 0)
		status = parse_host_port(digits, &range, err);
	if (status < 0)
		return status;
	if (range.host_port_end == 0)
		range.host_port_end = range.host_port;
	LOCKED(&r->lock);
	a = attachment_get(r, c->id);
	for (size_t i = 0; a && i < a->ports.len; i++) {
		const struct net_port *p = &a->ports.at[i];
		unsigned port = published ? p->host_port : p->container_port;

		hit |= p->proto == proto && port >= range.host_port && port <= range.host_port_end;
	}
	json_for_each_member (m, json_get(c->config, "ExposedPorts")) {
		enum net_proto have;
		uint16_t port;

		hit |= !published && network_port_parse(m->key, &port, &have, NULL) == 0 &&
		       have == proto && port >= range.host_port && port <= range.host_port_end;
	}
	*ret = hit;
	return 0;
}
