/*
 * engine/network_files.c: /etc/hosts and /etc/resolv.conf of a container.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "engine/network_internal.h"
#include "network/resolv.h"

#define HOSTS_MAX (1U << 20)

static const char hosts_head[] = "127.0.0.1\tlocalhost\n"
				 "::1\tlocalhost ip6-localhost ip6-loopback\n"
				 "fe00::0\tip6-localnet\n"
				 "ff00::0\tip6-mcastprefix\n"
				 "ff02::1\tip6-allnodes\n"
				 "ff02::2\tip6-allrouters\n";

/* Text past the ceiling is left out: a hosts file of a megabyte is nobody's need. */
static void add(struct buf *b, const char *text)
{
	if (buf_add(b, text, strlen(text), NULL) < 0)
		return;
}

static void add_line(struct buf *b, const struct net_addr *a, const char *names)
{
	char text[NET_ADDR_TEXT_MAX];

	if (a->family == 0)
		return;
	net_addr_format(a, text);
	add(b, text);
	add(b, "\t");
	add(b, names);
	add(b, "\n");
}

static const char *host_gateway(struct network_room *r, char out[static NET_ADDR_TEXT_MAX])
{
	struct network *n = network_by_name(r, "bridge");

	if (r->engine->cfg.host_gateway_ip)
		return r->engine->cfg.host_gateway_ip;
	out[0] = '\0';
	if (n)
		net_addr_format(&n->v4.gateway.addr, out);
	return out;
}

static void add_extra_hosts(struct network_room *r, struct container *c, struct buf *b)
{
	char gateway[NET_ADDR_TEXT_MAX];

	json_for_each_item (h, json_get(c->host_config, "ExtraHosts")) {
		const char *colon = h->type == JSON_STRING ? strchr(h->s, ':') : NULL;
		const char *ip;
		size_t len;

		if (!colon)
			continue;
		ip = strcmp(colon + 1, "host-gateway") == 0 ? host_gateway(r, gateway) : colon + 1;
		len = strlen(ip);
		if (len > 2 && ip[0] == '[' && ip[len - 1] == ']') {
			autofree char *bare = str_dup((struct str){ ip + 1, len - 2 });

			add(b, bare);
		} else {
			add(b, ip);
		}
		add(b, "\t");
		if (buf_add(b, h->s, (size_t)(colon - h->s), NULL) == 0)
			add(b, "\n");
	}
}

bool network_bridge_address(struct container *c, char out[static NET_ADDR_TEXT_MAX])
{
	struct network_room *r = c->engine->networks;
	struct attachment *a;

	LOCKED(&r->lock);
	a = attachment_get(r, c->id);
	if (!a)
		return false;
	vec_for_each (m, &a->members) {
		if (!m->active || !m->net || !m->net->is_default || m->ip4.family == 0)
			continue;
		net_addr_format(&m->ip4, out);
		return true;
	}
	return false;
}

int network_sysctl(struct container *c, const char *name, const char *value, struct error *err)
{
	struct network_room *r = c->engine->networks;
	autofree char *path = xstrdup(name + strlen("net."));
	char key[NET_SANDBOX_KEY_MAX];
	struct attachment *a;

	for (char *p = path; *p; p++)
		*p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
	/* The helper writes as the machine's root: never beside /proc/sys/net. */
	if (strstr(path, ".."))
		return error_set(err, ERR_INVALID, "bad name of a setting: '%s'", name);
	{
		LOCKED(&r->lock);
		a = attachment_get(r, c->id);
		snprintf(key, sizeof(key), "%s", a ? a->key : "");
	}
	return net_sandbox_sysctl(r->net, key, path, value, err);
}

/* "name:alias" or "name": the linked container's address on the default bridge. */
static void add_link(struct network_room *r, struct attachment *a, const char *link, struct buf *b)
{
	const char *colon = strchr(link, ':');
	autofree char *name =
	    str_dup((struct str){ link, colon ? (size_t)(colon - link) : strlen(link) });
	const char *alias = colon ? colon + 1 : name;

	map_for_each (e, &r->attachments) {
		struct attachment *other = e->value;
		autofree char *names = NULL;

		if (strcmp(other->name, name) != 0 && !cstr_starts(other->id, name))
			continue;
		names = strcmp(alias, other->name) == 0
			    ? cstr_format("%s %.12s", alias, other->id)
			    : cstr_format("%s %.12s %s", alias, other->id, other->name);
		vec_for_each (m, &other->members)
			vec_for_each (own, &a->members)
				if (m->active && own->active && m->net == own->net &&
				    m->net->is_default)
					add_line(b, &m->ip4, names);
	}
}

/* Links of other networks are the name server's. */
static void add_links(struct network_room *r, struct container *c, struct attachment *a,
		      struct buf *b)
{
	json_for_each_item (l, json_get(c->host_config, "Links"))
		if (l->type == JSON_STRING)
			add_link(r, a, l->s[0] == '/' ? l->s + 1 : l->s, b);
}

char *network_hosts_text(struct network_room *r, struct container *c, struct attachment *a)
{
	const char *hostname = json_str(c->config, "Hostname");
	const char *domain = json_str(c->config, "Domainname");
	auto_(buf) b = BUF_INIT(HOSTS_MAX);
	autofree char *names = NULL;

	if (strcmp(a->mode, "host") == 0)
		return NULL;
	if (cstr_is_empty(hostname))
		names = cstr_format("%.12s", c->id);
	else if (cstr_is_empty(domain))
		names = xstrdup(hostname);
	else
		names = cstr_format("%s.%s %s", hostname, domain, hostname);
	add(&b, hosts_head);
	add_extra_hosts(r, c, &b);
	vec_for_each (m, &a->members) {
		add_line(&b, &m->ip4, names);
		add_line(&b, &m->ip6, names);
	}
	add_links(r, c, a, &b);
	return buf_detach(&b, NULL);
}

/* ---- resolv.conf ---- */

static void read_resolv(const char *path, struct resolv *ret)
{
	auto_(buf) text = BUF_INIT(RESOLV_SIZE_MAX);

	if (fs_read_file(path, &text, NULL) < 0)
		text.len = 0;
	resolv_release(ret);
	resolv_parse(text.data ? text.data : "", text.len, ret);
}

static void add_server(struct resolv *rc, const char *text)
{
	if (rc->n_servers < RESOLV_SERVERS_MAX &&
	    net_addr_parse(text, &rc->servers[rc->n_servers], NULL) == 0)
		rc->n_servers++;
}

/* Servers that a container can reach: not the host's loopback, no IPv6 without IPv6. */
static void drop_unreachable(struct resolv *rc, bool ipv6)
{
	size_t kept = 0;

	for (size_t i = 0; i < rc->n_servers; i++)
		if (!net_addr_is_loopback(&rc->servers[i]) &&
		    (ipv6 || rc->servers[i].family == AF_INET))
			rc->servers[kept++] = rc->servers[i];
	rc->n_servers = kept;
}

static void host_servers(struct resolv *rc, bool ipv6)
{
	read_resolv("/etc/resolv.conf", rc);
	drop_unreachable(rc, ipv6);
	if (rc->n_servers == 0) {
		/* A stub resolver on the loopback: ask what it asks. */
		auto_(resolv) real = RESOLV_INIT;

		read_resolv("/run/systemd/resolve/resolv.conf", &real);
		drop_unreachable(&real, ipv6);
		memcpy(rc->servers, real.servers, sizeof(rc->servers));
		rc->n_servers = real.n_servers;
	}
	if (rc->n_servers == 0) {
		add_server(rc, "8.8.8.8");
		add_server(rc, "8.8.4.4");
	}
}

static void replace_search(struct resolv *rc, const struct json *words, const char *const *defaults)
{
	bool given = words && words->type == JSON_ARRAY && words->n_items;

	if (!given && !defaults)
		return;
	vec_for_each (s, &rc->search)
		free(*s);
	rc->search.len = 0;
	json_for_each_item (s, given ? words : NULL)
		if (s->type == JSON_STRING && strcmp(s->s, ".") != 0)
			*vec_push(&rc->search) = xstrdup(s->s);
	for (; !given && *defaults; defaults++)
		*vec_push(&rc->search) = xstrdup(*defaults);
}

static void replace_options(struct resolv *rc, const struct json *words,
			    const char *const *defaults)
{
	bool given = words && words->type == JSON_ARRAY && words->n_items;

	if (!given && !defaults)
		return;
	vec_for_each (s, &rc->options)
		free(*s);
	rc->options.len = 0;
	json_for_each_item (s, given ? words : NULL)
		if (s->type == JSON_STRING)
			*vec_push(&rc->options) = xstrdup(s->s);
	for (; !given && *defaults; defaults++)
		*vec_push(&rc->options) = xstrdup(*defaults);
}

const char **network_dns_servers(struct network_room *r, struct container *c)
{
	const struct json *dns = json_get(c->host_config, "Dns");
	const char *const *common = r->engine->cfg.dns;
	size_t n = 0;
	const char **list;

	if (dns && dns->type == JSON_ARRAY && dns->n_items) {
		list = xcalloc(dns->n_items + 1, sizeof(*list));
		json_for_each_item (s, dns)
			if (s->type == JSON_STRING)
				list[n++] = s->s;
		return list;
	}
	while (common && common[n])
		n++;
	if (n == 0)
		return NULL;
	list = xcalloc(n + 1, sizeof(*list));
	memcpy(list, common, n * sizeof(*list));
	return list;
}

char *network_resolv_text(struct network_room *r, struct container *c, struct attachment *a)
{
	autofree const char **servers = network_dns_servers(r, c);
	auto_(buf) b = BUF_INIT(RESOLV_SIZE_MAX);
	auto_(resolv) rc = RESOLV_INIT;
	bool embedded = false, ipv6 = false, host = strcmp(a->mode, "host") == 0;
	bool has_ndots = false;

	vec_for_each (m, &a->members) {
		embedded |=
		    m->active && m->net && m->net->kind == NETWORK_BRIDGE && !m->net->is_default;
		ipv6 |= m->ip6.family != 0;
	}
	if (host || embedded)
		read_resolv("/etc/resolv.conf", &rc);
	else
		host_servers(&rc, ipv6);
	replace_search(&rc, json_get(c->host_config, "DnsSearch"), r->engine->cfg.dns_search);
	replace_options(&rc, json_get(c->host_config, "DnsOptions"), r->engine->cfg.dns_opts);
	if (embedded || servers)
		rc.n_servers = 0;
	if (embedded)
		add_server(&rc, "127.0.0.11");
	for (const char **s = servers; s && *s && !embedded; s++)
		add_server(&rc, *s);
	vec_for_each (o, &rc.options)
		has_ndots |= cstr_starts(*o, "ndots:");
	if (embedded && !has_ndots)
		*vec_push(&rc.options) = xstrdup("ndots:0");
	if (resolv_format(&rc, &b, NULL) < 0 || !b.data)
		return xstrdup("");
	return buf_detach(&b, NULL);
}

/* In place: the file is bind-mounted into the container, a new inode would not show. */
static void rewrite(struct container *c, const char *name, const char *text)
{
	autofree char *path = container_file_path(c, name);
	autoclose int fd = FD_NONE;
	struct error err;
	int r = fs_open(path, O_WRONLY, 0, &fd, &err);

	if (r == 0)
		r = fs_write_all(fd, text, strlen(text), &err);
	if (r == 0 && ftruncate(fd, (off_t)strlen(text)) < 0)
		r = error_sys(&err, errno, "truncate '%s'", path);
	if (r < 0)
		log_warn("container file not updated, continuing", KV("container", c->id),
			 KV("file", name), KV_ERR(&err));
}

void network_files_update(struct network_room *r, struct container *c, struct attachment *a)
{
	autofree char *hosts = NULL, *resolv = NULL;

	lock_take(&r->lock);
	hosts = network_hosts_text(r, c, a);
	resolv = network_resolv_text(r, c, a);
	lock_drop(&r->lock);
	if (hosts)
		rewrite(c, "hosts", hosts);
	if (resolv)
		rewrite(c, "resolv.conf", resolv);
}
