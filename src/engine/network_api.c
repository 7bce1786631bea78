/*
 * engine/network_api.c: what the Engine API says about networks.
 */
#include "engine/network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "engine/body_check.h"
#include "engine/network_internal.h"
#include "engine/resource_filter.h"

static const char *const predefined[] = { "bridge", "host", "none", "default" };

static bool is_predefined(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(predefined); i++)
		if (strcmp(predefined[i], name) == 0)
			return true;
	return false;
}

/* ---- writing ---- */

static void write_object(struct jsonw *w, const char *key, const struct json *object)
{
	jsonw_key(w, key);
	if (object && object->type == JSON_OBJECT) {
		jsonw_value(w, object);
		return;
	}
	jsonw_object(w);
	jsonw_end(w);
}

static void write_pool(struct jsonw *w, const struct network_pool *p)
{
	char text[NET_PREFIX_TEXT_MAX];

	if (p->subnet.addr.family == 0)
		return;
	jsonw_object(w);
	net_prefix_format(&p->subnet, text);
	jsonw_kstring(w, "Subnet", text);
	net_addr_format(&p->gateway.addr, text);
	jsonw_kstring(w, "Gateway", text);
	jsonw_end(w);
}

static void write_ipam(struct jsonw *w, const struct network *n)
{
	const struct json *config = json_path(n->config, "IPAM.Config");
	const struct json *options = json_path(n->config, "IPAM.Options");
	bool user4 = false, user6 = false;

	jsonw_kobject(w, "IPAM");
	jsonw_kstring(w, "Driver", "default");
	if (!options)
		jsonw_knull(w, "Options");
	else
		write_object(w, "Options", options);
	jsonw_karray(w, "Config");
	json_for_each_item (c, config) {
		const char *subnet = json_str(c, "Subnet");

		if (cstr_is_empty(subnet))
			continue;
		user4 |= strchr(subnet, ':') == NULL;
		user6 |= strchr(subnet, ':') != NULL;
		jsonw_value(w, c);
	}
	if (!user4)
		write_pool(w, &n->v4);
	/* Peer: docker-compose 1.29 makes a network anew that shows IPv6 it did not ask for. */
	if (!user6 && n->ipv6_asked)
		write_pool(w, &n->v6);
	jsonw_end(w);
	jsonw_end(w);
}

static void write_member(struct jsonw *w, const struct network *n, const struct attachment *a,
			 const struct member *m)
{
	struct net_prefix p4 = { m->ip4, n->v4.subnet.len }, p6 = { m->ip6, n->v6.subnet.len };
	char text[NET_PREFIX_TEXT_MAX];

	jsonw_kobject(w, a->id);
	jsonw_kstring(w, "Name", a->name);
	jsonw_kstring(w, "EndpointID", m->endpoint_id);
	net_mac_format(m->mac, text);
	jsonw_kstring(w, "MacAddress", m->ip4.family || m->ip6.family ? text : "");
	net_prefix_format(&p4, text);
	jsonw_kstring(w, "IPv4Address", text);
	net_prefix_format(&p6, text);
	jsonw_kstring(w, "IPv6Address", text);
	jsonw_end(w);
}

static void write_network(struct network_room *r, const struct network *n, bool containers,
			  struct jsonw *w)
{
	jsonw_object(w);
	jsonw_kstring(w, "Name", n->name);
	jsonw_kstring(w, "Id", n->id);
	jsonw_ktime(w, "Created", n->created_ns);
	jsonw_kstring(w, "Scope", "local");
	jsonw_kstring(w, "Driver", network_driver(n));
	jsonw_kbool(w, "EnableIPv4", true);
	jsonw_kbool(w, "EnableIPv6", n->ipv6_asked);
	write_ipam(w, n);
	jsonw_kbool(w, "Internal", n->internal);
	jsonw_kbool(w, "Attachable", n->attachable);
	jsonw_kbool(w, "Ingress", false);
	jsonw_kobject(w, "ConfigFrom");
	jsonw_kstring(w, "Network", "");
	jsonw_end(w);
	jsonw_kbool(w, "ConfigOnly", false);
	jsonw_kobject(w, "Containers");
	map_for_each (e, &r->attachments) {
		struct attachment *a = e->value;

		vec_for_each (m, &a->members)
			if (containers && m->active && m->net == n)
				write_member(w, n, a, m);
	}
	jsonw_end(w);
	write_object(w, "Options", json_get(n->config, "Options"));
	write_object(w, "Labels", json_get(n->config, "Labels"));
	jsonw_end(w);
}

/* ---- list, inspect ---- */

static bool id_matches(void *ctx, const char *value)
{
	return cstr_starts(((const struct network *)ctx)->id, value);
}

static bool name_matches(void *ctx, const char *value)
{
	return strstr(((const struct network *)ctx)->name, value) != NULL;
}

static bool driver_matches(void *ctx, const char *value)
{
	return strcmp(network_driver(ctx), value) == 0;
}

static bool scope_matches(void *ctx, const char *value)
{
	(void)ctx;
	return strcmp(value, "local") == 0;
}

static bool type_matches(void *ctx, const char *value)
{
	const struct network *n = ctx;

	return strcmp(value, is_predefined(n->name) ? "builtin" : "custom") == 0;
}

static bool is_listed(struct network_room *r, struct network *n, const struct json *filters,
		      bool dangling)
{
	if (!filter_any(filters, "id", id_matches, n) ||
	    !filter_any(filters, "name", name_matches, n) ||
	    !filter_any(filters, "driver", driver_matches, n) ||
	    !filter_any(filters, "scope", scope_matches, n) ||
	    !filter_any(filters, "type", type_matches, n) ||
	    !filter_labels(filters, json_get(n->config, "Labels")))
		return false;
	return !filter_has(filters, "dangling") ||
	       dangling == (!is_predefined(n->name) && !network_in_use(r, n));
}

int network_list(struct engine *e, const struct json *filters, struct jsonw *w, struct error *err)
{
	static const char *const known[] = { "driver", "id",   "label",    "label!", "name",
					     "scope",  "type", "dangling", NULL };
	struct network_room *r = e->networks;
	bool dangling;
	int status = filter_check(filters, known, err);

	if (status == 0)
		status = filter_bool(filters, "dangling", false, &dangling, err);
	if (status < 0)
		return status;
	LOCKED(&r->lock);
	jsonw_array(w);
	map_for_each (entry, &r->by_id)
		if (is_listed(r, entry->value, filters, dangling))
			write_network(r, entry->value, false, w);
	jsonw_end(w);
	return 0;
}

int network_inspect(struct engine *e, const char *ref, bool verbose, const char *scope,
		    struct jsonw *w, struct error *err)
{
	struct network_room *r = e->networks;
	struct network *n;

	(void)verbose; /* adds services of a swarm: there is none */
	if (!cstr_is_empty(scope) && strcmp(scope, "local") != 0)
		return error_set(err, ERR_NOT_FOUND, "network %s not found", ref);
	LOCKED(&r->lock);
	n = network_get(r, ref, err);
	if (!n)
		return err ? -(int)err->kind : -ERR_NOT_FOUND;
	write_network(r, n, true, w);
	return 0;
}

/* ---- create ---- */

static int check_driver(const char *driver, struct error *err)
{
	static const char *const later[] = { "macvlan", "ipvlan", "overlay" };

	if (strcmp(driver, "bridge") == 0)
		return 0;
	if (strcmp(driver, "host") == 0 || strcmp(driver, "null") == 0)
		return error_set(err, ERR_FORBIDDEN,
				 "only one instance of \"%s\" network is allowed", driver);
	for (size_t i = 0; i < ARRAY_LEN(later); i++)
		if (strcmp(driver, later[i]) == 0)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "network driver \"%s\" is not supported yet", driver);
	return error_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", driver);
}

/* Blanks may stand inside: dockerd takes them. */
static bool name_is_valid(const char *name)
{
	size_t len = name ? strlen(name) : 0, i;

	if (len == 0 || len > 255 || name[0] == ' ' || name[len - 1] == ' ')
		return false;
	for (i = 0; i < len; i++)
		if (name[i] == '/' || (unsigned char)name[i] < ' ')
			return false;
	return true;
}

static int check_body(struct network_room *r, const struct json *body, bool duplicates,
		      struct error *err)
{
	const char *name = json_str(body, "Name"), *driver = json_str(body, "Driver");
	const char *ipam = json_str(json_get(body, "IPAM"), "Driver");

	if (!name_is_valid(name))
		return error_set(err, ERR_INVALID, "invalid network name: \"%s\"",
				 name ? name : "");
	if (is_predefined(name))
		return error_set(err, ERR_FORBIDDEN,
				 "operation is not permitted on predefined %s network", name);
	if (network_by_name(r, name) && (!duplicates || json_bool(body, "CheckDuplicate", false)))
		return error_set(err, ERR_CONFLICT, "network with name %s already exists", name);
	if (json_bool(body, "ConfigOnly", false) || json_bool(body, "Ingress", false) ||
	    !cstr_is_empty(json_str(json_get(body, "ConfigFrom"), "Network")))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "config-only and ingress networks are not supported yet");
	if (!cstr_is_empty(ipam) && strcmp(ipam, "default") != 0)
		return error_set(err, ERR_INVALID, "ipam driver \"%s\" not found", ipam);
	if (!json_bool(body, "EnableIPv4", true))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "networks without IPv4 are not supported yet");
	return check_driver(cstr_is_empty(driver) ? "bridge" : driver, err);
}

static void copy_object(struct arena *a, struct json *to, const char *key, const struct json *from)
{
	struct json *copy = json_new_object(a);

	json_for_each_member (m, from)
		json_set(a, copy, m->key,
			 json_new_string(a, m->value->type == JSON_STRING ? m->value->s : ""));
	json_set(a, to, key, copy);
}

/* IPAM as it will be shown: only what was given, under the names of today. */
static void copy_ipam(struct arena *a, struct json *to, const struct json *from)
{
	static const char *const keys[] = { "Subnet", "IPRange", "Gateway" };
	struct json *ipam = json_new_object(a), *list = json_new_array(a);

	json_set(a, ipam, "Driver", json_new_string(a, "default"));
	if (json_get(from, "Options") && json_get(from, "Options")->type == JSON_OBJECT)
		copy_object(a, ipam, "Options", json_get(from, "Options"));
	json_for_each_item (c, json_get(from, "Config")) {
		const struct json *aux = json_get(c, "AuxiliaryAddresses");
		struct json *one = json_new_object(a);

		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			if (!cstr_is_empty(json_str(c, keys[i])))
				json_set(a, one, keys[i], json_new_string(a, json_str(c, keys[i])));
		if (!aux)
			aux = json_get(c, "AuxAddress");
		if (aux && aux->type == JSON_OBJECT && aux->n_members)
			copy_object(a, one, "AuxiliaryAddresses", aux);
		if (one->n_members)
			json_push(a, list, one);
	}
	json_set(a, ipam, "Config", list);
	json_set(a, to, "IPAM", ipam);
}

static struct network *network_from_body(const struct json *body, const struct engine_config *cfg)
{
	struct network *n = new0(struct network);
	struct arena *a = &n->arena;
	struct json *c = json_new_object(a);
	const char *ifname;

	n->name = xstrdup(json_str(body, "Name"));
	random_hex(n->id, 32);
	n->created_ns = clock_wall_ns();
	n->internal = json_bool(body, "Internal", false);
	n->attachable = json_bool(body, "Attachable", false);
	n->ipv6_asked = json_bool(body, "EnableIPv6", cfg->ipv6);
	json_for_each_item (s, json_path(body, "IPAM.Config"))
		n->ipv6_asked |= json_str(s, "Subnet") && strchr(json_str(s, "Subnet"), ':') &&
				 !json_get(body, "EnableIPv6");
	json_set(a, c, "Driver", json_new_string(a, "bridge"));
	json_set(a, c, "Internal", json_new_bool(a, n->internal));
	json_set(a, c, "Attachable", json_new_bool(a, n->attachable));
	n->ipv6 = n->ipv6_asked || json_bool(body, "EnableIPv6", cfg->ipv6_auto);
	json_set(a, c, "EnableIPv6", json_new_bool(a, n->ipv6_asked));
	json_set(a, c, "AutoIPv6", json_new_bool(a, n->ipv6));
	copy_ipam(a, c, json_get(body, "IPAM"));
	copy_object(a, c, "Options", json_get(body, "Options"));
	copy_object(a, c, "Labels", json_get(body, "Labels"));
	n->config = c;
	ifname = network_option(n, "com.docker.network.bridge.name");
	if (cstr_is_empty(ifname))
		snprintf(n->ifname, sizeof(n->ifname), "br-%.12s", n->id);
	else
		snprintf(n->ifname, sizeof(n->ifname), "%.15s", ifname);
	return n;
}

static int check_ifname(struct network_room *r, const struct network *n, struct error *err)
{
	const char *given = network_option(n, "com.docker.network.bridge.name");

	if (given && strlen(given) >= NET_IFNAME_MAX)
		return error_set(err, ERR_INVALID, "bridge name '%s' is too long", given);
	map_for_each (e, &r->by_id) {
		const struct network *other = e->value;

		if (other->kind == NETWORK_BRIDGE && strcmp(other->ifname, n->ifname) == 0)
			return error_set(
			    err, ERR_FORBIDDEN,
			    "cannot create network %s (%s): conflicts with network %s (%s): "
			    "networks have same bridge name",
			    n->id, n->ifname, other->id, other->ifname);
	}
	return 0;
}

/* The row first: a bridge that a crash leaves is somebody's then. */
static int make_stored(struct network_room *r, struct network *n, struct error *err)
{
	bool ipv6 = n->ipv6;
	int status = network_store(r, n, err);

	if (status < 0)
		return status;
	status = network_realize(r, n, err);
	/* It may have done without. */
	if (status == 0 && n->ipv6 != ipv6) {
		status = network_store(r, n, err);
		if (status < 0)
			(void)!net_bridge_remove(r->net, n->id, NULL);
	}
	if (status < 0)
		(void)!db_run(r->engine->store->db, NULL, "DELETE FROM networks WHERE id=?", "t",
			      n->id);
	return status;
}

int network_create(struct engine *e, const struct json *body, bool duplicates, struct jsonw *w,
		   struct error *err)
{
	struct network_room *r = e->networks;
	autofree char *warning = NULL;
	struct network *n, *same;
	int status;

	status = body_check_network(body, err);
	if (status < 0)
		return status;
	lock_take(&r->lock);
	status = check_body(r, body, duplicates, err);
	if (status < 0) {
		lock_drop(&r->lock);
		return status;
	}
	n = network_from_body(body, &e->cfg);
	status = check_ifname(r, n, err);
	if (status == 0)
		status = network_plan(r, n, err);
	if (status == 0)
		status = make_stored(r, n, err);
	if (status < 0) {
		lock_drop(&r->lock);
		network_free(n);
		return status;
	}
	same = network_by_name(r, n->name);
	if (same)
		warning =
		    cstr_format("Network with name %s (id : %s) already exists", n->name, same->id);
	map_set(&r->by_id, n->id, n);
	jsonw_object(w);
	jsonw_kstring(w, "Id", n->id);
	jsonw_kstring(w, "Warning", warning ? warning : "");
	jsonw_end(w);
	network_event(r, "create", n, NULL);
	lock_drop(&r->lock);
	return 0;
}

/* ---- remove, prune ---- */

static int remove_locked(struct network_room *r, struct network *n, struct error *err)
{
	int status;

	if (is_predefined(n->name))
		return error_set(err, ERR_FORBIDDEN,
				 "%s is a pre-defined network and cannot be removed", n->name);
	if (network_in_use(r, n))
		return error_set(
		    err, ERR_FORBIDDEN,
		    "error while removing network: network %s id %s has active endpoints", n->name,
		    n->id);
	/* The row last: what a crash leaves in between has its bridge again at the next start. */
	status = net_bridge_remove(r->net, n->id, err);
	if (status < 0)
		return status;
	status = db_run(r->engine->store->db, err, "DELETE FROM networks WHERE id=?", "t", n->id);
	if (status < 0) {
		(void)!network_realize(r, n, NULL);
		return status;
	}
	network_event(r, "destroy", n, NULL);
	map_remove(&r->by_id, n->id);
	network_free(n);
	return 0;
}

int network_remove(struct engine *e, const char *ref, struct error *err)
{
	struct network_room *r = e->networks;
	struct error local;
	struct network *n;

	err = err ? err : &local;
	LOCKED(&r->lock);
	n = network_get(r, ref, err);
	return n ? remove_locked(r, n, err) : -(int)err->kind;
}

int network_prune(struct engine *e, const struct json *filters, struct jsonw *w, struct error *err)
{
	static const char *const known[] = { "label", "label!", "until", NULL };
	struct network_room *r = e->networks;
	VEC(struct network *) gone = { 0 };
	int status = filter_check(filters, known, err);

	if (status < 0)
		return status;
	LOCKED(&r->lock);
	map_for_each (entry, &r->by_id) {
		struct network *n = entry->value;
		bool old;

		status = filter_until(filters, n->created_ns, &old, err);
		if (status < 0) {
			vec_release(&gone);
			return status;
		}
		if (old && !is_predefined(n->name) && !network_in_use(r, n) &&
		    filter_labels(filters, json_get(n->config, "Labels")))
			*vec_push(&gone) = n;
	}
	jsonw_object(w);
	if (gone.len == 0)
		jsonw_knull(w, "NetworksDeleted");
	else
		jsonw_karray(w, "NetworksDeleted");
	vec_for_each (n, &gone) {
		autofree char *name = xstrdup((*n)->name);

		if (remove_locked(r, *n, NULL) == 0)
			jsonw_string(w, name);
	}
	if (gone.len)
		jsonw_end(w);
	jsonw_end(w);
	vec_release(&gone);
	return 0;
}

/* ---- connect, disconnect ---- */

static bool is_member(const struct network *n, const struct attachment *a)
{
	for (size_t i = 0; i < a->members.len; i++) {
		const char *of = a->members.at[i].network;

		if (strcmp(of, n->id) == 0 || strcmp(of, n->name) == 0)
			return true;
	}
	return false;
}

static int connect_check(const struct network *n, const struct attachment *a, struct error *err)
{
	if (cstr_starts(a->mode, "container:"))
		return error_set(err, ERR_FORBIDDEN,
				 "container sharing network namespace with another container or "
				 "host cannot be connected to any other network");
	if (strcmp(a->mode, "host") == 0)
		return error_set(err, ERR_FORBIDDEN,
				 "container cannot be connected to host network or disconnected "
				 "from it");
	if (n->kind == NETWORK_HOST)
		return error_set(err, ERR_FORBIDDEN,
				 "container cannot be disconnected from host "
				 "network or connected to host network");
	if (strcmp(a->mode, "none") == 0 || n->kind == NETWORK_NONE)
		return error_set(err, ERR_FORBIDDEN,
				 "container cannot be connected to multiple networks with one of "
				 "the networks in private (none) mode");
	return 0;
}

static struct attachment *need_attachment(struct network_room *r, const char *id, struct error *err)
{
	struct attachment *a = attachment_get(r, id);

	if (!a)
		error_set(err, ERR_NOT_FOUND, "No such container: %s", id);
	return a;
}

static void network_let_go(struct network_room *r, struct network *n)
{
	LOCKED(&r->lock);
	n->holds--;
}

int network_connect(struct engine *e, const char *ref, const struct json *body, struct error *err)
{
	const char *container = json_str(body, "Container");
	const struct json *settings = json_get(body, "EndpointConfig");
	struct network_room *r = e->networks;
	autoptr(container) c = NULL;
	struct error local;
	struct attachment *a;
	struct network *n;
	bool live, there;
	int status;

	err = err ? err : &local;
	status = body_check_connect(body, err);
	if (status < 0)
		return status;
	if (cstr_is_empty(container))
		return error_set(err, ERR_INVALID, "container name or ID is required");
	status = container_find(e, container, &c, err);
	if (status < 0)
		return status;
	LOCKED(&c->op);
	lock_take(&r->lock);
	n = network_get(r, ref, err);
	a = n ? need_attachment(r, c->id, err) : NULL;
	live = container_is_running(c);
	status = !a ? -(int)err->kind : connect_check(n, a, err);
	there = status == 0 && is_member(n, a);
	if (there && live)
		status = error_set(err, ERR_FORBIDDEN,
				   "endpoint with name %s already exists in network %s", a->name,
				   n->name);
	if (status == 0)
		status = member_check(n, settings, err);
	/* Once more to a container that does not run changes nothing. Peer: dockerd 20.10. */
	if (status < 0 || there) {
		lock_drop(&r->lock);
		return status;
	}
	n->holds++;
	lock_drop(&r->lock);
	status = member_connect(r, c, a, n, settings, live, err);
	network_let_go(r, n);
	return status;
}

int network_disconnect(struct engine *e, const char *ref, const struct json *body,
		       struct error *err)
{
	const char *container = json_str(body, "Container");
	bool force = json_bool(body, "Force", false);
	struct network_room *r = e->networks;
	autoptr(container) c = NULL;
	struct attachment *a = NULL;
	struct error local;
	struct network *n;
	size_t at = 0;
	int status;

	err = err ? err : &local;
	status = body_check_connect(body, err);
	if (status == 0)
		status = container_find(e, container ? container : "", &c, err);
	if (status < 0)
		return status;
	LOCKED(&c->op);
	lock_take(&r->lock);
	n = network_get(r, ref, err);
	a = n ? need_attachment(r, c->id, err) : NULL;
	if (a && n->kind == NETWORK_HOST)
		status =
		    error_set(err, ERR_FORBIDDEN,
			      "container cannot be disconnected from host network or connected "
			      "to host network");
	while (status == 0 && a && at < a->members.len &&
	       strcmp(a->members.at[at].network, n->id) != 0 &&
	       strcmp(a->members.at[at].network, n->name) != 0)
		at++;
	if (!a)
		status = -(int)err->kind;
	else if (status == 0 && at == a->members.len)
		status = error_set(err, force ? ERR_NOT_FOUND : ERR_FORBIDDEN,
				   "container %s is not connected to network %s", c->id, n->name);
	if (status < 0) {
		lock_drop(&r->lock);
		return status;
	}
	n->holds++;
	lock_drop(&r->lock);
	status = member_disconnect(r, c, a, at, err);
	network_let_go(r, n);
	return status;
}
