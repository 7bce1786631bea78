/*
 * engine/links.c: --link of the default bridge, as dockerd keeps it: HostConfig
 * says "<id>:<alias>" from create on, so that a rename breaks nothing; inspect
 * shows "/child:/parent/alias", the child lists "/parent/alias" among its names,
 * and the parent's processes get variables of the child's ports and environment.
 * Links of other networks belong to their endpoint: network/dns.c answers them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/str.h"
#include "engine/container_internal.h"
#include "engine/network.h"

static bool on_default_bridge(const struct json *hc)
{
	const char *mode = json_str(hc, "NetworkMode");

	return strcmp(mode, "default") == 0 || strcmp(mode, "bridge") == 0;
}

/* "name:alias" or "name"; the alias is then the name. */
static const char *split(const char *link, char **ret_name)
{
	const char *colon = strchr(link, ':');
	const char *alias = colon ? strrchr(link, ':') + 1 : link;

	*ret_name = str_dup((struct str){ link, colon ? (size_t)(colon - link) : strlen(link) });
	return alias[0] == '/' ? strrchr(alias, '/') + 1 : alias;
}

int links_resolve(struct container *c, struct json *hc, struct error *err)
{
	const struct json *links = json_get(hc, "Links");
	struct json *out = json_new_array(&c->arena);

	if (links == NULL || links->type != JSON_ARRAY || links->n_items == 0 ||
	    !on_default_bridge(hc))
		return 0;
	json_for_each_item (l, links) {
		autoptr(container) child = NULL;
		autofree char *name = NULL;
		const char *alias = split(l->type == JSON_STRING ? l->s : "", &name);

		if (name[0] == '\0' || alias[0] == '\0')
			return error_set(err, ERR_INVALID, "bad format for links: %s",
					 l->type == JSON_STRING ? l->s : "");
		if (container_find(c->engine, name, &child, NULL) < 0)
			return error_set(err, ERR_INVALID, "could not get container for %s: %s",
					 name, "No such container");
		if (strcmp(json_str(child->host_config, "NetworkMode"), "host") == 0)
			return error_set(
			    err, ERR_INVALID,
			    "conflicting options: host type networking can't be used with links. "
			    "This would result in undefined behavior");
		json_push(
		    &c->arena, out,
		    json_new_string(&c->arena, arena_format(&c->arena, "%s:%s", child->id, alias)));
	}
	json_set(&c->arena, hc, "Links", out);
	return 0;
}

/* Is this link, "<id>:<alias>", one to the container? */
static const char *alias_if_to(const struct json *l, const char *id)
{
	return l->type == JSON_STRING && strlen(l->s) > 65 && l->s[64] == ':' &&
		       strncmp(l->s, id, 64) == 0
		   ? l->s + 65
		   : NULL;
}

static char *name_of(struct container *c)
{
	LOCKED(&c->lock);
	return xstrdup(c->name);
}

const struct json *links_shown(struct container *c, struct arena *a, const struct json *hc)
{
	const struct json *links = json_get(hc, "Links");
	autofree char *mine = NULL;
	struct json *out, *shown;

	if (links == NULL || links->type != JSON_ARRAY ||
	    (links->n_items > 0 && !on_default_bridge(hc)))
		return hc;
	mine = name_of(c);
	shown = json_new_array(a);
	json_for_each_item (l, links) {
		autoptr(container) child = NULL;
		autofree char *name = NULL, *id = NULL;
		const char *alias = split(l->type == JSON_STRING ? l->s : "", &id);

		if (container_find(c->engine, id, &child, NULL) < 0)
			continue;
		name = name_of(child);
		json_push(a, shown,
			  json_new_string(a, arena_format(a, "/%s:/%s/%s", name, mine, alias)));
	}
	out = json_clone(a, hc);
	json_set(a, out, "Links", shown->n_items ? shown : json_new_null(a));
	return out;
}

struct container **links_parents(struct container *const *all, size_t n)
{
	struct container **out = xcalloc(n + 1, sizeof(struct container *));
	size_t i, k = 0;

	for (i = 0; i < n; i++) {
		const struct json *links;

		LOCKED(&all[i]->lock);
		links = json_get(all[i]->host_config, "Links");
		if (links && links->type == JSON_ARRAY && links->n_items > 0)
			out[k++] = all[i];
	}
	return out;
}

void links_names_write(struct container *c, struct container *const *parents, struct jsonw *w)
{
	for (; *parents; parents++) {
		struct container *p = *parents;
		const struct json *hc;
		autofree char *name = NULL;

		{
			LOCKED(&p->lock);
			hc = p->host_config;
		}
		json_for_each_item (l, json_get(hc, "Links")) {
			const char *alias = alias_if_to(l, c->id);
			autofree char *text = NULL;

			if (alias == NULL)
				continue;
			if (name == NULL)
				name = name_of(p);
			text = cstr_format("/%s/%s", name, alias);
			jsonw_string(w, text);
		}
	}
}

int links_remove(struct engine *e, const char *ref, struct error *err)
{
	const char *slash = strchr(ref[0] == '/' ? ref + 1 : ref, '/');
	autofree char *parent = NULL;
	autoptr(container) c = NULL;
	struct json *hc, *left;
	bool found = false;
	int r;

	if (slash == NULL)
		return error_set(err, ERR_INVALID,
				 "Conflict, cannot remove the default link name of the container");
	parent = str_dup((struct str){ ref, (size_t)(slash - ref) });
	r = container_find(e, parent, &c, err);
	if (r < 0)
		return error_set(err, ERR_NOT_FOUND, "No such container: %s", ref);
	LOCKED(&c->op);
	r = container_still_there(c, ref, err);
	if (r < 0)
		return r;
	hc = json_clone(&c->arena, c->host_config);
	left = json_new_array(&c->arena);
	json_for_each_item (l, json_get(hc, "Links")) {
		const char *colon = l->type == JSON_STRING ? strchr(l->s, ':') : NULL;

		if (colon && strcmp(colon + 1, slash + 1) == 0)
			found = true;
		else
			json_push(&c->arena, left, json_clone(&c->arena, l));
	}
	if (!found)
		return error_set(err, ERR_NOT_FOUND, "No such link: %s", ref);
	json_set(&c->arena, hc, "Links", left->n_items ? left : json_new_null(&c->arena));
	{
		LOCKED(&c->lock);
		c->host_config = hc;
	}
	return container_save_doc(c, err);
}

/* ---- variables ---- */

static char *upper_alias(const char *alias)
{
	char *out = xstrdup(alias);

	for (char *p = out; *p; p++)
		*p = *p == '-' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 0x20) : *p;
	return out;
}

struct port {
	int number;
	const char *proto; /* behind the slash */
};

static int by_port(const void *a, const void *b)
{
	const struct port *x = a, *y = b;
	bool x_tcp = strcmp(x->proto, "tcp") == 0, y_tcp = strcmp(y->proto, "tcp") == 0;

	if (x->number != y->number)
		return x->number - y->number;
	return x_tcp != y_tcp ? y_tcp - x_tcp : strcmp(x->proto, y->proto);
}

static void add(struct json *env, struct arena *a, char *text)
{
	json_push(a, env, json_new_string(a, arena_strdup(a, text)));
	free(text);
}

/* Peer: dockerd's nextContiguous, which counts 80/tcp and 80/udp as two steps. */
static size_t last_of_range(const struct port *ports, size_t n, size_t from)
{
	int value = ports[from].number;

	for (size_t i = from + 1; i < n; i++, value++)
		if (ports[i].number > value + 1)
			return i - 1;
	return n - 1;
}

/* Three ports in a row and more have a start and an end, beside the variables of each. */
static void ranges_env(struct json *env, struct arena *a, const struct port *ports, size_t n,
		       const char *alias, const char *ip)
{
	size_t last;

	for (size_t i = 0; i < n; i = last + 1) {
		const struct port *p = &ports[i], *q;
		autofree char *upper = upper_alias(p->proto), *stem = NULL, *end = NULL;

		last = last_of_range(ports, n, i);
		if (last <= i + 1) {
			last = i;
			continue;
		}
		q = &ports[last];
		stem = cstr_format("%s_PORT_%d_%s", alias, p->number, upper);
		add(env, a, cstr_format("%s_START=%s://%s:%d", stem, p->proto, ip, p->number));
		add(env, a, cstr_format("%s_ADDR=%s", stem, ip));
		add(env, a, cstr_format("%s_PROTO=%s", stem, p->proto));
		add(env, a, cstr_format("%s_PORT_START=%d", stem, p->number));
		end = upper_alias(q->proto);
		free(stem);
		stem = cstr_format("%s_PORT_%d_%s", alias, p->number, end);
		add(env, a, cstr_format("%s_END=%s://%s:%d", stem, q->proto, ip, q->number));
		add(env, a, cstr_format("%s_PORT_END=%d", stem, q->number));
	}
}

static void ports_env(struct json *env, struct arena *a, const struct json *exposed,
		      const char *alias, const char *ip)
{
	size_t n = 0, max = exposed ? exposed->n_members : 0;
	struct port *ports = arena_array(a, max + 1, sizeof(*ports));

	json_for_each_member (m, exposed) {
		const char *slash = strchr(m->key, '/');
		uint64_t v;

		if (slash && parse_u64((struct str){ m->key, (size_t)(slash - m->key) }, 65535, &v,
				       NULL) == 0)
			ports[n++] = (struct port){ (int)v, slash + 1 };
	}
	qsort(ports, n, sizeof(*ports), by_port);
	if (n > 0)
		add(env, a,
		    cstr_format("%s_PORT=%s://%s:%d", alias, ports[0].proto, ip, ports[0].number));
	ranges_env(env, a, ports, n, alias, ip);
	for (size_t i = 0; i < n; i++) {
		const struct port *p = &ports[i];
		autofree char *upper = upper_alias(p->proto);
		autofree char *stem = cstr_format("%s_PORT_%d_%s", alias, p->number, upper);

		add(env, a, cstr_format("%s=%s://%s:%d", stem, p->proto, ip, p->number));
		add(env, a, cstr_format("%s_ADDR=%s", stem, ip));
		add(env, a, cstr_format("%s_PORT=%d", stem, p->number));
		add(env, a, cstr_format("%s_PROTO=%s", stem, p->proto));
	}
}

static int link_env(struct container *c, const struct json *l, struct arena *a, struct json *env,
		    struct error *err)
{
	char ip[NET_ADDR_TEXT_MAX];
	autoptr(container) child = NULL;
	autofree char *id = NULL, *upper = NULL, *mine = name_of(c), *theirs = NULL;
	const char *alias = split(l->s, &id);
	bool running;
	int r;

	r = container_find(c->engine, id, &child, NULL);
	if (r < 0)
		return 0; /* removed: the link is gone with it */
	theirs = name_of(child);
	{
		LOCKED(&child->lock);
		running = container_is_running(child);
	}
	if (!running || !network_bridge_address(child, ip))
		return error_set(err, ERR_INVALID,
				 "Cannot link to a non running container: /%s AS /%s/%s", theirs,
				 mine, alias);
	upper = upper_alias(alias);
	ports_env(env, a, json_get(child->config, "ExposedPorts"), upper, ip);
	add(env, a, cstr_format("%s_NAME=/%s/%s", upper, mine, alias));
	json_for_each_item (v, json_get(child->config, "Env")) {
		if (v->type != JSON_STRING || !strchr(v->s, '=') || cstr_starts(v->s, "HOME=") ||
		    cstr_starts(v->s, "PATH="))
			continue;
		add(env, a, cstr_format("%s_ENV_%s", upper, v->s));
	}
	return 0;
}

int links_env(struct container *c, const struct json *hc, struct arena *a, const struct json **ret,
	      struct error *err)
{
	struct json *env = json_new_array(a);
	int r = 0;

	*ret = env;
	if (!on_default_bridge(hc))
		return 0;
	json_for_each_item (l, json_get(hc, "Links"))
		if (r == 0 && l->type == JSON_STRING)
			r = link_env(c, l, a, env, err);
	return r;
}
