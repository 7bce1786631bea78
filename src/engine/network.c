#include "engine/network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "engine/network_internal.h"

#define DEFAULT_BRIDGE "proa0"
#define POOL_READY     3U
#define OPTION_PREFIX  "com.docker.network."

static const char *const migrations[] = {
	"CREATE TABLE networks(id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, created INTEGER NOT "
	"NULL,"
	" ifname TEXT NOT NULL, subnet4 TEXT NOT NULL, gateway4 TEXT NOT NULL, subnet6 TEXT NOT "
	"NULL,"
	" gateway6 TEXT NOT NULL, config TEXT NOT NULL);"
	"CREATE TABLE network_attachments(container TEXT PRIMARY KEY, name TEXT NOT NULL,"
	" mode TEXT NOT NULL, sandbox TEXT NOT NULL, shares TEXT NOT NULL, state TEXT NOT NULL);",
	/* Two networks may have one name. */
	"CREATE TABLE networks_2(id TEXT PRIMARY KEY, name TEXT NOT NULL, created INTEGER NOT NULL,"
	" ifname TEXT NOT NULL, subnet4 TEXT NOT NULL, gateway4 TEXT NOT NULL, subnet6 TEXT NOT "
	"NULL,"
	" gateway6 TEXT NOT NULL, config TEXT NOT NULL);"
	"INSERT INTO networks_2 SELECT * FROM networks;"
	"DROP TABLE networks;"
	"ALTER TABLE networks_2 RENAME TO networks;",
};

const char *network_driver(const struct network *n)
{
	return n->kind == NETWORK_BRIDGE ? "bridge" : n->kind == NETWORK_HOST ? "host" : "null";
}

const char *network_option(const struct network *n, const char *key)
{
	return json_str(json_get(n->config, "Options"), key);
}

static bool option_bool(const struct network *n, const char *key, bool def)
{
	const char *text = network_option(n, key);
	bool v = def;

	if (text && parse_bool(str_of(text), &v, NULL) < 0)
		v = def;
	return v;
}

void network_event(struct network_room *r, const char *action, const struct network *n,
		   const char *container)
{
	const struct event_attr attrs[] = { { "container", container },
					    { "name", n->name },
					    { "type", network_driver(n) } };

	event_emit(r->engine, "network", action, n->id, attrs, ARRAY_LEN(attrs));
}

void network_free(struct network *n)
{
	ipam_pool_free(n->v4.pool);
	ipam_pool_free(n->v6.pool);
	free(n->name);
	arena_release(&n->arena);
	free(n);
}

struct network *network_by_name(struct network_room *r, const char *name)
{
	map_for_each (e, &r->by_id) {
		struct network *n = e->value;

		if (strcmp(n->name, name) == 0)
			return n;
	}
	return NULL;
}

/* Id, name, then a unique prefix of an id: dockerd's order. */
struct network *network_get(struct network_room *r, const char *ref, struct error *err)
{
	struct network *found = map_get(&r->by_id, ref);
	unsigned same = 0;

	lock_assert_held(&r->lock);
	if (!found)
		found = network_by_name(r, strcmp(ref, "default") == 0 ? "bridge" : ref);
	map_for_each (e, &r->by_id)
		same += strcmp(((struct network *)e->value)->name, ref) == 0;
	if (found && same > 1 && strcmp(found->id, ref) != 0) {
		error_set(err, ERR_INVALID,
			  "network %s is ambiguous (%u matches found based on name)", ref, same);
		return NULL;
	}
	if (found)
		return found;
	map_for_each (e, &r->by_id) {
		struct network *n = e->value;

		if (!*ref || !cstr_starts(n->id, ref))
			continue;
		if (found) {
			error_set(err, ERR_INVALID,
				  "network %s is ambiguous (2 matches found based on ID prefix)",
				  ref);
			return NULL;
		}
		found = n;
	}
	if (!found)
		error_set(err, ERR_NOT_FOUND, "network %s not found", ref);
	return found;
}

bool network_in_use(struct network_room *r, const struct network *n)
{
	if (n->holds)
		return true;
	map_for_each (e, &r->attachments) {
		struct attachment *a = e->value;

		vec_for_each (m, &a->members)
			if (m->active && m->net == n)
				return true;
	}
	return false;
}

struct overlap {
	struct network_room *room;
	bool host_too;
};

static int overlaps(void *ctx, const struct net_prefix *p, bool *ret, struct error *err)
{
	struct overlap *o = ctx;

	*ret = false;
	map_for_each (e, &o->room->by_id) {
		struct network *n = e->value;

		if (net_prefix_overlaps(&n->v4.subnet, p) ||
		    net_prefix_overlaps(&n->v6.subnet, p)) {
			*ret = true;
			return 0;
		}
	}
	return o->host_too ? net_host_overlaps(o->room->net, p, ret, err) : 0;
}

/* "base=172.80.0.0/16,size=24" */
static bool parse_block(const char *text, struct ipam_block *ret)
{
	struct str rest = str_of(text), word;
	bool base = false, size = false;
	uint64_t v;

	while (str_split(&rest, ',', &word)) {
		if (str_starts(word, "base=")) {
			autofree char *s = str_dup(str_sub(word, 5, word.len));

			base = net_prefix_parse(s, &ret->base, NULL) == 0;
		} else if (str_starts(word, "size=")) {
			size = parse_u64(str_sub(word, 5, word.len), 128, &v, NULL) == 0;
			ret->size = size ? (uint8_t)v : 0;
		} else if (str_find(word, '/') >= 0) {
			autofree char *s = str_dup(word);

			base = net_prefix_parse(s, &ret->base, NULL) == 0;
		}
	}
	return base && size && ret->size >= ret->base.len;
}

static int choose_subnet(struct network_room *r, struct net_prefix *ret, struct error *err)
{
	const char *const *pools = r->engine->cfg.address_pools;
	struct overlap o = { r, true };
	VEC(struct ipam_block) blocks = { 0 };
	int status;

	for (; pools && *pools; pools++) {
		struct ipam_block b;

		if (!parse_block(*pools, &b)) {
			vec_release(&blocks);
			return error_set(err, ERR_INVALID, "invalid default address pool '%s'",
					 *pools);
		}
		if (b.base.addr.family == AF_INET)
			*vec_push(&blocks) = b;
	}
	status = blocks.len ? ipam_choose(blocks.at, blocks.len, overlaps, &o, ret, err)
			    : ipam_choose(ipam_default_blocks, ipam_n_default_blocks, overlaps, &o,
					  ret, err);
	vec_release(&blocks);
	return status;
}

static int parse_gateway(const char *text, const struct net_prefix *subnet, struct net_prefix *ret,
			 struct error *err)
{
	int r;

	*ret = (struct net_prefix){ .len = subnet->len };
	if (cstr_is_empty(text))
		return 0;
	r = net_addr_parse(text, &ret->addr, err);
	if (r == 0 && !net_prefix_contains(subnet, &ret->addr))
		r = error_set(err, ERR_INVALID, "no matching subnet for gateway %s", text);
	return r;
}

static int plan_range(const struct json *c, struct network_pool *p, struct error *err)
{
	const char *text = json_str(c, "IPRange");
	int r;

	if (cstr_is_empty(text))
		return 0;
	r = net_prefix_parse(text, &p->range, err);
	if (r == 0 &&
	    (!net_prefix_contains(&p->subnet, &p->range.addr) || p->range.len < p->subnet.len))
		r = error_set(err, ERR_INVALID, "no matching subnet for range %s", text);
	return r;
}

static int plan_one(struct network_room *r, struct network *n, const struct json *c,
		    struct error *err)
{
	const char *text = json_str(c, "Subnet");
	struct overlap o = { r, false };
	struct network_pool *p;
	struct net_prefix s;
	bool taken;
	int status;

	if (cstr_is_empty(text))
		return 0;
	status = net_prefix_parse(text, &s, err);
	if (status < 0)
		return error_wrap(err, status, "failed to parse pool request");
	s = net_prefix_mask(&s);
	p = s.addr.family == AF_INET ? &n->v4 : &n->v6;
	if (p->subnet.addr.family)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "bridge driver doesn't support multiple subnets");
	status = overlaps(&o, &s, &taken, err);
	if (status < 0)
		return status;
	if (taken)
		return error_set(err, ERR_FORBIDDEN,
				 "Pool overlaps with other one on this address space");
	p->subnet = s;
	p->user_subnet = true;
	status = parse_gateway(json_str(c, "Gateway"), &s, &p->gateway, err);
	return status < 0 ? status : plan_range(c, p, err);
}

/* The pool's bookkeeping: gateway and auxiliary addresses are taken. */
static int open_pool(struct network *n, struct network_pool *p, struct error *err)
{
	int r = 0;

	if (p->subnet.addr.family == 0)
		return 0;
	ipam_pool_free(p->pool);
	p->pool = ipam_pool_new(&p->subnet, &p->range);
	p->gateway.len = p->subnet.len;
	if (p->gateway.addr.family)
		r = ipam_take(p->pool, &p->gateway.addr, err);
	else
		r = ipam_next(p->pool, &p->gateway.addr, err);
	json_for_each_item (c, json_path(n->config, "IPAM.Config"))
		json_for_each_member (aux, json_get(c, "AuxiliaryAddresses")) {
			struct net_addr a;

			if (r == 0 && aux->value->type == JSON_STRING &&
			    net_addr_parse(aux->value->s, &a, NULL) == 0 &&
			    net_prefix_contains(&p->subnet, &a))
				r = ipam_take(p->pool, &a, err);
		}
	return r;
}

int network_plan(struct network_room *r, struct network *n, struct error *err)
{
	int status = 0;

	if (n->kind != NETWORK_BRIDGE)
		return 0;
	json_for_each_item (c, json_path(n->config, "IPAM.Config"))
		if (status == 0)
			status = plan_one(r, n, c, err);
	if (status == 0 && n->v4.subnet.addr.family == 0)
		status = choose_subnet(r, &n->v4.subnet, err);
	if (status == 0 && n->ipv6 && n->v6.subnet.addr.family == 0)
		n->v6.subnet = ipam_ula(r->engine_id, n->id);
	if (status == 0 && !n->ipv6)
		n->v6 = (struct network_pool){ 0 };
	if (status == 0)
		status = open_pool(n, &n->v4, err);
	if (status == 0)
		status = open_pool(n, &n->v6, err);
	return status;
}

static int realize(struct network_room *r, struct network *n, struct error *err)
{
	const struct engine_config *cfg = &r->engine->cfg;
	const char *mtu = network_option(n, OPTION_PREFIX "driver.mtu");
	const char *host_ip = network_option(n, OPTION_PREFIX "bridge.host_binding_ipv4");
	struct net_bridge b = { .id = n->id,
				.name = n->name,
				.ifname = n->ifname,
				.subnet4 = n->v4.subnet,
				.gateway4 = n->v4.gateway,
				.subnet6 = n->v6.subnet,
				.gateway6 = n->v6.gateway,
				.internal = n->internal,
				.mtu = cfg->mtu,
				.dns = !n->is_default };
	uint64_t v;

	if (n->kind != NETWORK_BRIDGE)
		return 0;
	b.icc = option_bool(n, OPTION_PREFIX "bridge.enable_icc", !(n->is_default && cfg->no_icc));
	b.masquerade = option_bool(n, OPTION_PREFIX "bridge.enable_ip_masquerade",
				   !(n->is_default && cfg->no_ip_masq));
	if (mtu && parse_u64(str_of(mtu), 65535, &v, NULL) == 0)
		b.mtu = (unsigned)v;
	if (!host_ip && cfg->default_publish_ip)
		host_ip = cfg->default_publish_ip;
	/* 0.0.0.0 is Docker's word for "any": both families. */
	if (host_ip && net_addr_parse(host_ip, &b.host_binding, NULL) == 0 &&
	    net_addr_is_any(&b.host_binding))
		b.host_binding.family = 0;
	return net_bridge_add(r->net, &b, err);
}

int network_realize(struct network_room *r, struct network *n, struct error *err)
{
	struct error local = { 0 };
	int status;

	if (!n->ipv6 || n->ipv6_asked)
		return realize(r, n, err);
	status = realize(r, n, &local);
	if (status == 0)
		return 0;
	/* Nobody asked for IPv6: without it, then. What else is wrong comes again. */
	log_debug("no IPv6 on a network, continuing", KV("network", n->name), KV_ERR(&local));
	ipam_pool_free(n->v6.pool);
	n->v6 = (struct network_pool){ 0 };
	n->ipv6 = false;
	return realize(r, n, err);
}

int network_store(struct network_room *r, const struct network *n, struct error *err)
{
	char s4[NET_PREFIX_TEXT_MAX], g4[NET_PREFIX_TEXT_MAX], s6[NET_PREFIX_TEXT_MAX],
	    g6[NET_PREFIX_TEXT_MAX];
	auto_(buf) text = BUF_INIT(1 << 20);
	struct jsonw w;
	int status;

	net_prefix_format(&n->v4.subnet, s4);
	net_prefix_format(&n->v4.gateway, g4);
	net_prefix_format(&n->v6.subnet, s6);
	net_prefix_format(&n->v6.gateway, g6);
	jsonw_init(&w, &text);
	jsonw_value(&w, n->config);
	status = jsonw_finish(&w, err);
	if (status < 0)
		return status;
	return db_run(
	    r->engine->store->db, err,
	    "INSERT OR REPLACE INTO networks(id, name, created, ifname, subnet4, gateway4,"
	    " subnet6, gateway6, config) VALUES(?,?,?,?,?,?,?,?,?)",
	    "ttitttttt", n->id, n->name, n->created_ns, n->ifname, s4, g4, s6, g6, text.data);
}

static void read_flags(struct network *n)
{
	const char *driver = json_str(n->config, "Driver");

	n->kind = driver && strcmp(driver, "host") == 0   ? NETWORK_HOST
		  : driver && strcmp(driver, "null") == 0 ? NETWORK_NONE
							  : NETWORK_BRIDGE;
	n->internal = json_bool(n->config, "Internal", false);
	n->attachable = json_bool(n->config, "Attachable", false);
	n->ipv6_asked = json_bool(n->config, "EnableIPv6", false);
	n->ipv6 = n->ipv6_asked || json_bool(n->config, "AutoIPv6", false);
	n->is_default = n->kind == NETWORK_BRIDGE && strcmp(n->name, "bridge") == 0;
}

static int load_one(struct network_room *r, const struct db_stmt *q, struct error *err)
{
	struct network *n = new0(struct network);
	const char *config = db_col_text(q, 8);
	struct net_prefix *out[] = { &n->v4.subnet, &n->v4.gateway, &n->v6.subnet, &n->v6.gateway };
	int status;

	snprintf(n->id, sizeof(n->id), "%s", db_col_text(q, 0));
	n->name = xstrdup(db_col_text(q, 1));
	n->created_ns = db_col_int(q, 2);
	snprintf(n->ifname, sizeof(n->ifname), "%s", db_col_text(q, 3));
	for (int i = 0; i < 4; i++)
		if (net_prefix_parse(db_col_text(q, 4 + i), out[i], NULL) < 0)
			continue;
	status = json_parse(&n->arena, config, strlen(config), &n->config, err);
	if (status == 0) {
		read_flags(n);
		json_for_each_item (c, json_path(n->config, "IPAM.Config")) {
			const char *subnet = json_str(c, "Subnet");
			struct net_prefix s;

			if (subnet && net_prefix_parse(subnet, &s, NULL) == 0) {
				struct network_pool *p = s.addr.family == AF_INET ? &n->v4 : &n->v6;

				p->user_subnet = true;
				(void)!plan_range(c, p, NULL);
			}
		}
		status = open_pool(n, &n->v4, err);
	}
	if (status == 0)
		status = open_pool(n, &n->v6, err);
	if (status < 0) {
		network_free(n);
		return error_wrap(err, status, "stored network");
	}
	map_set(&r->by_id, n->id, n);
	return 0;
}

static int load_all(struct network_room *r, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	bool row = true;
	int status = db_prepare(r->engine->store->db,
				"SELECT id, name, created, ifname, subnet4, gateway4, subnet6,"
				" gateway6, config FROM networks ORDER BY created",
				&q, err);

	while (status == 0) {
		status = db_step(&q, &row, err);
		if (status < 0 || !row)
			break;
		status = load_one(r, &q, err);
	}
	return status;
}

/* The default bridge's config, as dockerd would show it. */
static void default_config(struct network_room *r, struct network *n, const char *driver)
{
	const struct engine_config *cfg = &r->engine->cfg;
	struct json *c = json_new_object(&n->arena), *ipam = json_new_object(&n->arena);
	struct json *list = json_new_array(&n->arena), *options = json_new_object(&n->arena);
	struct net_prefix p;

	json_set(&n->arena, c, "Driver", json_new_string(&n->arena, driver));
	json_set(&n->arena, c, "EnableIPv6",
		 json_new_bool(&n->arena, n->kind == NETWORK_BRIDGE && cfg->ipv6));
	json_set(&n->arena, c, "AutoIPv6",
		 json_new_bool(&n->arena, n->kind == NETWORK_BRIDGE && cfg->ipv6_auto));
	json_set(&n->arena, ipam, "Driver", json_new_string(&n->arena, "default"));
	if (n->kind == NETWORK_BRIDGE && cfg->bip && net_prefix_parse(cfg->bip, &p, NULL) == 0) {
		struct json *one = json_new_object(&n->arena);
		struct net_prefix m = net_prefix_mask(&p);
		char text[NET_PREFIX_TEXT_MAX];

		net_prefix_format(&m, text);
		json_set(&n->arena, one, "Subnet", json_new_string(&n->arena, text));
		net_addr_format(&p.addr, text);
		json_set(&n->arena, one, "Gateway", json_new_string(&n->arena, text));
		if (cfg->fixed_cidr)
			json_set(&n->arena, one, "IPRange",
				 json_new_string(&n->arena, cfg->fixed_cidr));
		json_push(&n->arena, list, one);
	}
	json_set(&n->arena, ipam, "Config", list);
	json_set(&n->arena, c, "IPAM", ipam);
	if (n->kind == NETWORK_BRIDGE) {
		const char *const values[][2] = {
			{ OPTION_PREFIX "bridge.default_bridge", "true" },
			{ OPTION_PREFIX "bridge.enable_icc", cfg->no_icc ? "false" : "true" },
			{ OPTION_PREFIX "bridge.enable_ip_masquerade",
			  cfg->no_ip_masq ? "false" : "true" },
			{ OPTION_PREFIX "bridge.host_binding_ipv4",
			  cfg->default_publish_ip ? cfg->default_publish_ip : "0.0.0.0" },
			{ OPTION_PREFIX "bridge.name", n->ifname },
		};

		for (size_t i = 0; i < ARRAY_LEN(values); i++)
			json_set(&n->arena, options, values[i][0],
				 json_new_string(&n->arena, values[i][1]));
		{
			autofree char *mtu = cstr_format("%u", cfg->mtu ? cfg->mtu : 1500);

			json_set(&n->arena, options, OPTION_PREFIX "driver.mtu",
				 json_new_string(&n->arena, mtu));
		}
	}
	json_set(&n->arena, c, "Options", options);
	json_set(&n->arena, c, "Labels", json_new_object(&n->arena));
	n->config = c;
}

/* bridge, host, none: made once; the default bridge again when its settings changed. */
static int make_default(struct network_room *r, const char *name, const char *driver,
			struct error *err)
{
	const struct engine_config *cfg = &r->engine->cfg;
	struct network *old = network_by_name(r, name), *n = new0(struct network);
	int status;

	n->name = xstrdup(name);
	n->created_ns = old ? old->created_ns : clock_wall_ns();
	if (old)
		memcpy(n->id, old->id, sizeof(n->id));
	else
		random_hex(n->id, 32);
	n->kind = strcmp(driver, "host") == 0   ? NETWORK_HOST
		  : strcmp(driver, "null") == 0 ? NETWORK_NONE
						: NETWORK_BRIDGE;
	if (n->kind == NETWORK_BRIDGE)
		snprintf(n->ifname, sizeof(n->ifname), "%s",
			 cfg->bridge ? cfg->bridge : DEFAULT_BRIDGE);
	default_config(r, n, driver);
	read_flags(n);
	if (old) {
		/* The subnet we chose before, unless --bip now says another. */
		if (!cfg->bip) {
			n->v4.subnet = old->v4.subnet;
			n->v4.gateway = old->v4.gateway;
		}
		map_remove(&r->by_id, old->id);
		network_free(old);
	}
	status = network_plan(r, n, err);
	if (status == 0)
		status = network_store(r, n, err);
	if (status < 0) {
		network_free(n);
		return error_wrap(err, status, "network '%s'", name);
	}
	map_set(&r->by_id, n->id, n);
	return 0;
}

static int open_net(struct network_room *r, struct error *err)
{
	const struct engine_config *cfg = &r->engine->cfg;
	autofree char *dir = cstr_format("%s/netns", cfg->exec_root);
	char instance[16] = "";
	struct net_config c = { .netns_dir = dir,
				.firewall = cfg->firewall_respect ? NET_FIREWALL_RESPECT
								  : NET_FIREWALL_DNAT,
				.pool = POOL_READY,
				.dns = cfg->dns,
				.ipv6 = cfg->ipv6_auto || cfg->ipv6,
				.no_forwarding = cfg->no_ip_forward,
				.no_rules = cfg->no_nat_rules,
				.instance = instance };

	/* The usual engine owns "proa"; one with its own exec root has its own table. */
	if (strcmp(cfg->exec_root, "/run/proa") != 0) {
		uint32_t h = 2166136261U;

		for (const char *p = cfg->exec_root; *p; p++)
			h = (h ^ (uint8_t)*p) * 16777619U;
		snprintf(instance, sizeof(instance), "%08x", h);
	}
	return net_open(&c, &r->net, err);
}

static int make_defaults(struct network_room *r, struct error *err)
{
	const char *bridge = r->engine->cfg.bridge;
	int status = make_default(r, "host", "host", err);

	if (status == 0)
		status = make_default(r, "none", "null", err);
	if (status == 0 && !(bridge && strcmp(bridge, "none") == 0))
		status = make_default(r, "bridge", "bridge", err);
	map_for_each (e, &r->by_id)
		if (status == 0)
			status = network_realize(r, e->value, err);
	return status;
}

int network_room_open(struct engine *e, struct error *err)
{
	struct network_room *r = new0(struct network_room);
	int status;

	r->engine = e;
	r->lock = (struct lock)LOCK_INIT;
	r->provider.join = network_step_join;
	r->provider.leave = network_step_leave;
	snprintf(r->engine_id, sizeof(r->engine_id), "%s", e->id);
	e->networks = r;
	if (e->cfg.ipv6_auto && access("/proc/net/if_inet6", F_OK) < 0) {
		log_debug("no IPv6 on this machine, networks have IPv4 only");
		e->cfg.ipv6_auto = false;
	}
	status = db_migrate(e->store->db, "network", migrations, ARRAY_LEN(migrations), err);
	if (status == 0)
		status = open_net(r, err);
	if (status == 0) {
		LOCKED(&r->lock);
		status = load_all(r, err);
		if (status == 0)
			status = make_defaults(r, err);
		if (status == 0)
			status = attachment_load(r, err);
	}
	if (status < 0)
		network_room_close(e);
	return status;
}

/* With containers still attached all stays as it is, for the next proad; without
 * any, bridges and firewall table go: the next proad makes them again. */
static void close_net(struct network_room *r)
{
	bool used = false;

	map_for_each (e, &r->by_id)
		used |= network_in_use(r, e->value);
	if (used || !r->net) {
		net_close(r->net);
		return;
	}
	map_for_each (e, &r->by_id) {
		struct network *n = e->value;

		if (n->kind == NETWORK_BRIDGE)
			(void)!net_bridge_remove(r->net, n->id, NULL);
	}
	net_close_and_clean(r->net);
}

void network_room_close(struct engine *e)
{
	struct network_room *r = e->networks;

	if (!r)
		return;
	e->networks = NULL;
	close_net(r);
	map_for_each (a, &r->attachments)
		attachment_free(a->value);
	map_for_each (n, &r->by_id)
		network_free(n->value);
	map_release(&r->attachments);
	map_release(&r->by_id);
	free(r);
}
