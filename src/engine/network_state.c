/*
 * engine/network_state.c: attachments as records: in memory and in meta.db.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "engine/network_internal.h"

struct attachment *attachment_get(struct network_room *r, const char *container_id)
{
	lock_assert_held(&r->lock);
	return map_get(&r->attachments, container_id);
}

void attachment_free(struct attachment *a)
{
	vec_for_each (m, &a->members)
		free(m->network);
	vec_release(&a->members);
	vec_release(&a->ports);
	free(a->name);
	free(a->mode);
	arena_release(&a->arena);
	free(a);
}

/* ---- persistence ---- */

static void write_member_state(struct jsonw *w, const struct member *m)
{
	char text[NET_ADDR_TEXT_MAX];

	jsonw_object(w);
	jsonw_kstring(w, "Network", m->network);
	jsonw_kvalue(w, "Settings", m->settings);
	jsonw_kbool(w, "Active", m->active);
	jsonw_kbool(w, "Gateway", m->gateway);
	jsonw_kstring(w, "Endpoint", m->endpoint_id);
	jsonw_kstring(w, "Interface", m->ifname);
	net_addr_format(&m->ip4, text);
	jsonw_kstring(w, "Ip4", text);
	net_addr_format(&m->ip6, text);
	jsonw_kstring(w, "Ip6", text);
	net_mac_format(m->mac, text);
	jsonw_kstring(w, "Mac", text);
	jsonw_end(w);
}

static void write_port_state(struct jsonw *w, const struct net_port *p)
{
	char text[NET_ADDR_TEXT_MAX];

	jsonw_object(w);
	jsonw_kint(w, "Proto", p->proto);
	jsonw_kint(w, "Port", p->container_port);
	jsonw_kint(w, "HostPort", p->host_port);
	net_addr_format(&p->host_ip, text);
	jsonw_kstring(w, "HostIp", text);
	jsonw_end(w);
}

int attachment_store(struct network_room *r, const struct attachment *a, struct error *err)
{
	auto_(buf) text = BUF_INIT(1 << 20);
	struct jsonw w;
	int status;

	jsonw_init(&w, &text);
	jsonw_object(&w);
	jsonw_karray(&w, "Members");
	vec_for_each (m, &a->members)
		write_member_state(&w, m);
	jsonw_end(&w);
	jsonw_karray(&w, "Ports");
	vec_for_each (p, &a->ports)
		write_port_state(&w, p);
	jsonw_end(&w);
	jsonw_end(&w);
	status = jsonw_finish(&w, err);
	if (status < 0)
		return status;
	return db_run(r->engine->store->db, err,
		      "INSERT OR REPLACE INTO network_attachments(container, name, mode, sandbox,"
		      " shares, state) VALUES(?,?,?,?,?,?)",
		      "tttttt", a->id, a->name, a->mode, a->key, a->shares, text.data);
}

static void read_addr(const struct json *j, const char *key, struct net_addr *ret)
{
	const char *text = json_str(j, key);

	if (!cstr_is_empty(text) && net_addr_parse(text, ret, NULL) < 0)
		ret->family = 0;
}

static void copy_text(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text ? text : "");
}

static void read_member(struct network_room *r, struct attachment *a, const struct json *j)
{
	struct member *m = vec_push(&a->members);
	const char *mac = json_str(j, "Mac"), *network = json_str(j, "Network");

	m->network = xstrdup(network ? network : "");
	m->settings = json_get(j, "Settings");
	m->gateway = json_bool(j, "Gateway", false);
	copy_text(m->endpoint_id, sizeof(m->endpoint_id), json_str(j, "Endpoint"));
	copy_text(m->ifname, sizeof(m->ifname), json_str(j, "Interface"));
	read_addr(j, "Ip4", &m->ip4);
	read_addr(j, "Ip6", &m->ip6);
	if (mac && net_mac_parse(mac, m->mac, NULL) < 0)
		memset(m->mac, 0, sizeof(m->mac));
	m->net = json_bool(j, "Active", false) ? map_get(&r->by_id, m->network) : NULL;
	m->active = m->net != NULL;
	/* Nobody else may be given the address while this one may still run. */
	if (m->active && m->net->v4.pool && m->ip4.family)
		(void)!ipam_take(m->net->v4.pool, &m->ip4, NULL);
	if (m->active && m->net->v6.pool && m->ip6.family)
		(void)!ipam_take(m->net->v6.pool, &m->ip6, NULL);
}

static int read_attachment(struct network_room *r, const struct db_stmt *q, struct error *err)
{
	struct attachment *a = new0(struct attachment);
	const char *state = db_col_text(q, 5);
	const struct json *j;
	int status;

	copy_text(a->id, sizeof(a->id), db_col_text(q, 0));
	a->name = xstrdup(db_col_text(q, 1));
	a->mode = xstrdup(db_col_text(q, 2));
	copy_text(a->key, sizeof(a->key), db_col_text(q, 3));
	copy_text(a->shares, sizeof(a->shares), db_col_text(q, 4));
	status = json_parse(&a->arena, state, strlen(state), &j, err);
	if (status < 0) {
		attachment_free(a);
		return error_wrap(err, status, "stored attachment");
	}
	json_for_each_item (m, json_get(j, "Members"))
		read_member(r, a, m);
	json_for_each_item (p, json_get(j, "Ports")) {
		struct net_port *port = vec_push(&a->ports);

		port->proto = (enum net_proto)json_int(p, "Proto", NET_TCP);
		port->container_port = (uint16_t)json_int(p, "Port", 0);
		port->host_port = (uint16_t)json_int(p, "HostPort", 0);
		read_addr(p, "HostIp", &port->host_ip);
	}
	map_set(&r->attachments, a->id, a);
	return 0;
}

int attachment_load(struct network_room *r, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	bool row = true;
	int status = db_prepare(r->engine->store->db,
				"SELECT container, name, mode, sandbox, shares, state"
				" FROM network_attachments",
				&q, err);

	while (status == 0) {
		status = db_step(&q, &row, err);
		if (status < 0 || !row)
			break;
		status = read_attachment(r, &q, err);
	}
	return status;
}

void attachment_record(struct network_room *r, const struct attachment *a)
{
	struct error err;

	if (attachment_store(r, a, &err) < 0)
		log_warn("network state not recorded, continuing", KV("container", a->id),
			 KV_ERR(&err));
}

/* A copy of what the client asked for; NULL stays NULL. */
static const struct json *keep(struct attachment *a, const struct json *j)
{
	auto_(buf) text = BUF_INIT(1 << 20);
	const struct json *copy = NULL;
	struct jsonw w;

	if (!j || j->type != JSON_OBJECT)
		return NULL;
	jsonw_init(&w, &text);
	jsonw_value(&w, j);
	if (jsonw_finish(&w, NULL) < 0 ||
	    json_parse(&a->arena, text.data, text.len, &copy, NULL) < 0)
		return NULL;
	return copy;
}

struct member *attachment_add_member(struct attachment *a, const char *network,
				     const struct json *settings)
{
	struct member *m = vec_push(&a->members);

	m->network = xstrdup(network);
	m->settings = keep(a, settings);
	return m;
}

static void give_addresses_back(struct member *m)
{
	if (m->net && m->net->v4.pool && m->ip4.family)
		ipam_give_back(m->net->v4.pool, &m->ip4);
	if (m->net && m->net->v6.pool && m->ip6.family)
		ipam_give_back(m->net->v6.pool, &m->ip6);
	m->ip4.family = m->ip6.family = 0;
}

void member_clear(struct member *m)
{
	give_addresses_back(m);
	m->active = m->gateway = false;
	m->net = NULL;
	m->endpoint_id[0] = m->ifname[0] = '\0';
}

/* NULL-terminated; short_id must outlive it. Freed by the caller (the array). */
const char **member_names(struct container *c, const struct member *m, const char *short_id)
{
	const struct json *aliases = json_get(m->settings, "Aliases");
	const char *hostname = json_str(c->config, "Hostname");
	size_t n = 0, max = aliases && aliases->type == JSON_ARRAY ? aliases->n_items : 0;
	const char **names = xcalloc(max + 3, sizeof(*names));

	json_for_each_item (s, aliases)
		if (s->type == JSON_STRING && s->s[0])
			names[n++] = s->s;
	names[n++] = short_id;
	if (!cstr_is_empty(hostname))
		names[n++] = hostname;
	return names;
}

const char **member_links(const struct member *m)
{
	const struct json *links = json_get(m->settings, "Links");
	size_t n = 0, max = links && links->type == JSON_ARRAY ? links->n_items : 0;
	const char **out = xcalloc(max + 1, sizeof(*out));

	json_for_each_item (l, links)
		if (l->type == JSON_STRING && strchr(l->s, ':'))
			out[n++] = l->s;
	return out;
}

/* The member whose bridge is the way out: priority, then the network's name. */
struct member *attachment_gateway(struct attachment *a)
{
	struct member *best = NULL;

	vec_for_each (m, &a->members) {
		int64_t mine, other;

		if (!m->active || m->net->kind != NETWORK_BRIDGE || m->net->internal)
			continue;
		mine = json_int(m->settings, "GwPriority", 0);
		other = best ? json_int(best->settings, "GwPriority", 0) : 0;
		if (!best || mine > other ||
		    (mine == other && strcmp(m->net->name, best->net->name) < 0))
			best = m;
	}
	return best;
}
