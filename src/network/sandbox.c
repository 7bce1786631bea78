/*
 * network/sandbox.c: network namespaces: made ready ahead by one thread, taken,
 * adopted, removed.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/queue.h"
#include "base/random.h"
#include "base/str.h"
#include "network/net_internal.h"

#define DNS_PORT 53
#define GRACE_US 20000
/* After a start or an end the pool's thread waits so long for the next one. */
#define QUIET_MS    50
#define BURIALS_MAX 32

void sandbox_free(struct sandbox *s)
{
	if (s->ns_fd >= 0)
		close(s->ns_fd);
	nl_close(&s->nl);
	free(s->path);
	free(s);
}

static void remove_path(const char *path)
{
	umount2(path, MNT_DETACH);
	unlink(path);
}

static struct sandbox *sandbox_make(struct net *n, const char *key)
{
	struct sandbox *s = new0(struct sandbox);

	s->ns_fd = s->nl.fd = FD_NONE;
	if (key)
		snprintf(s->key, sizeof(s->key), "%s", key);
	else
		random_hex(s->key, (NET_SANDBOX_KEY_MAX - 1) / 2);
	s->path = cstr_format("%s/%s", n->netns_dir, s->key);
	return s;
}

static int sandbox_create(struct net *n, struct sandbox **ret, struct error *err)
{
	struct sandbox *s = sandbox_make(n, NULL);
	struct helper_netns ns;
	int r;

	/* Known before its file is there: a sweep takes unknown files away. */
	lock_take(&n->lock);
	map_set(&n->sandboxes, s->key, s);
	lock_drop(&n->lock);
	s->made = true;
	s->ipv6 = n->ipv6;
	r = helper_create(&n->helper, s->path, n->ipv6, &ns, err);
	if (r < 0) {
		lock_take(&n->lock);
		(void)map_steal(&n->sandboxes, s->key);
		lock_drop(&n->lock);
		sandbox_free(s);
		return r;
	}
	s->ns_fd = ns.ns_fd;
	nl_init(&s->nl, ns.netlink_fd);
	*ret = s;
	return 0;
}

/*
 * Take away what was retired. A namespace without processes takes its veths
 * along in one go of the kernel's; who deletes them first pays for each (30 ms).
 * One that others still share would keep them: so they are deleted in the end.
 */
static void bury(struct net *n)
{
	auto_(nl_batch) batch = NL_BATCH_INIT;
	VEC(char *) paths = { 0 }, links = { 0 };

	lock_assert_held(&n->lock);
	vec_for_each (p, &n->dead_paths)
		*vec_push(&paths) = *p;
	vec_for_each (l, &n->dead_links)
		*vec_push(&links) = *l;
	n->dead_paths.len = n->dead_links.len = 0;
	lock_drop(&n->lock);
	vec_for_each (p, &paths) {
		remove_path(*p);
		free(*p);
	}
	if (links.len)
		usleep(GRACE_US);
	vec_for_each (l, &links) {
		link_del(&batch, *l);
		free(*l);
	}
	(void)!nl_exchange(&n->route, &batch, NULL, NULL, NULL);
	vec_release(&paths);
	vec_release(&links);
	lock_take(&n->lock);
}

/* A container starts or ends: its processors are wanted for that. n->lock held. */
static void pool_disturbed(struct net *n)
{
	n->pool_quiet_ns = clock_mono_ns() + QUIET_MS * NS_PER_MS;
}

/* How long the thread's work can wait; 0: it is due, -1: there is none. n->lock held. */
static int64_t pool_delay_ns(const struct net *n)
{
	int64_t left = n->pool_quiet_ns - clock_mono_ns();

	if (n->pool.len == n->pool_size && n->dead_paths.len == 0)
		return -1;
	if (n->pool_stop || n->pool.len == 0 || n->dead_paths.len > BURIALS_MAX || left < 0)
		return 0;
	return left;
}

/* n->lock is given up meanwhile. */
static void pool_wait(struct net *n, int64_t delay_ns)
{
	struct timespec until;

	n->lock.held = 0;
	if (delay_ns < 0) {
		pthread_cond_wait(&n->pool_changed, &n->lock.mutex);
	} else {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += (long)delay_ns;
		until.tv_sec += until.tv_nsec / NS_PER_SEC;
		until.tv_nsec %= NS_PER_SEC;
		pthread_cond_timedwait(&n->pool_changed, &n->lock.mutex, &until);
	}
	n->lock.owner = pthread_self();
	n->lock.held = 1;
}

/* Keeps the pool filled. A kernel that refuses is asked again at the next taking. */
static void pool_run(void *arg)
{
	struct net *n = arg;

	lock_take(&n->lock);
	while (!n->pool_stop || n->dead_paths.len) {
		struct sandbox *s = NULL;
		int64_t delay_ns = pool_delay_ns(n);

		if (delay_ns != 0 && !n->pool_stop) {
			pool_wait(n, delay_ns);
			continue;
		}
		if (!n->pool_stop && n->pool.len < n->pool_size) {
			n->pool_making = true;
			lock_drop(&n->lock);
			(void)!sandbox_create(n, &s, NULL);
			lock_take(&n->lock);
			n->pool_making = false;
			pthread_cond_broadcast(&n->pool_changed);
		}
		if (s) {
			(void)map_steal(&n->sandboxes, s->key);
			*vec_push(&n->pool) = s;
			continue;
		}
		if (n->dead_paths.len) {
			bury(n);
			continue;
		}
		/* The stop may have come while the lock was away; else the kernel has refused. */
		if (!n->pool_stop)
			pool_wait(n, -1);
	}
	lock_drop(&n->lock);
}

int pool_start(struct net *n, struct error *err)
{
	int r = thread_start_joinable(pool_run, n, "proa-netns", &n->pool_thread, err);

	n->pool_started = r == 0;
	return r;
}

void pool_stop(struct net *n)
{
	if (n->pool_started) {
		lock_take(&n->lock);
		n->pool_stop = true;
		pthread_cond_broadcast(&n->pool_changed);
		lock_drop(&n->lock);
		pthread_join(n->pool_thread, NULL);
		n->pool_started = false;
	}
	lock_take(&n->lock);
	vec_for_each (s, &n->pool) {
		remove_path((*s)->path);
		sandbox_free(*s);
	}
	vec_release(&n->pool);
	vec_release(&n->dead_paths);
	vec_release(&n->dead_links);
	lock_drop(&n->lock);
}

int net_sandbox_new(struct net *n, struct net_sandbox_info *ret, struct error *err)
{
	struct sandbox *s = NULL;
	int r;

	lock_take(&n->lock);
	if (n->pool.len > 0) {
		s = n->pool.at[--n->pool.len];
		pool_disturbed(n);
		pthread_cond_signal(&n->pool_changed);
	}
	lock_drop(&n->lock);
	if (!s) {
		r = sandbox_create(n, &s, err);
		if (r < 0)
			return r;
	}
	memcpy(ret->key, s->key, sizeof(ret->key));
	ret->path = xstrdup(s->path);
	LOCKED(&n->lock);
	map_set(&n->sandboxes, s->key, s);
	return 0;
}

int net_sandbox_adopt(struct net *n, const char *key, struct error *err)
{
	struct helper_netns ns;
	struct sandbox *s;
	int r;

	if (!fs_is_component(key) || strlen(key) >= NET_SANDBOX_KEY_MAX)
		return error_set(err, ERR_NOT_FOUND, "no such sandbox: %s", key);
	s = sandbox_make(n, key);
	r = helper_enter(&n->helper, s->path, &ns, err);
	if (r < 0) {
		sandbox_free(s);
		return r;
	}
	s->ns_fd = ns.ns_fd;
	nl_init(&s->nl, ns.netlink_fd);
	LOCKED(&n->lock);
	if (map_has(&n->sandboxes, key))
		sandbox_free(s);
	else
		map_set(&n->sandboxes, key, s);
	return 0;
}

int net_sandbox_sysctl(struct net *n, const char *key, const char *name, const char *value,
		       struct error *err)
{
	struct sandbox *s = sandbox_get(n, key, err);

	return s ? helper_sysctl(&n->helper, s->ns_fd, name, value, err) : -(int)ERR_NOT_FOUND;
}

void net_sandbox_remove(struct net *n, const char *key)
{
	VEC(struct endpoint *) endpoints = { 0 };
	struct sandbox *s;

	if (!fs_is_component(key) || strlen(key) >= NET_SANDBOX_KEY_MAX)
		return;
	lock_take(&n->lock);
	map_for_each (entry, &n->endpoints) {
		struct endpoint *e = entry->value;

		if (strcmp(e->sandbox, key) == 0)
			*vec_push(&endpoints) = e;
	}
	vec_for_each (e, &endpoints)
		(void)map_steal(&n->endpoints, (*e)->id);
	s = map_steal(&n->sandboxes, key);
	lock_drop(&n->lock);
	vec_for_each (e, &endpoints)
		endpoint_retire(n, *e);
	dns_sandbox_remove(n->dns, key);
	if (s)
		sandbox_free(s);
	lock_take(&n->lock);
	*vec_push(&n->dead_paths) = cstr_format("%s/%s", n->netns_dir, key);
	vec_for_each (e, &endpoints)
		*vec_push(&n->dead_links) = xstrdup((*e)->host_if);
	pool_disturbed(n);
	pthread_cond_broadcast(&n->pool_changed);
	lock_drop(&n->lock);
	vec_for_each (e, &endpoints)
		endpoint_free(n, *e);
	vec_release(&endpoints);
}

void net_sandbox_sweep(struct net *n)
{
	DIR *dir = opendir(n->netns_dir);
	struct dirent *entry;

	if (!dir)
		return;
	LOCKED(&n->lock);
	while (n->pool_making) {
		n->lock.held = 0;
		pthread_cond_wait(&n->pool_changed, &n->lock.mutex);
		n->lock.owner = pthread_self();
		n->lock.held = 1;
	}
	while ((entry = readdir(dir))) {
		autofree char *path = cstr_format("%s/%s", n->netns_dir, entry->d_name);
		bool known = map_has(&n->sandboxes, entry->d_name);

		/* Files of proxies are named after endpoints, which are longer. */
		if (strlen(entry->d_name) != NET_SANDBOX_KEY_MAX - 1 || known)
			continue;
		vec_for_each (s, &n->pool)
			known |= strcmp((*s)->key, entry->d_name) == 0;
		if (!known)
			remove_path(path);
	}
	closedir(dir);
}

struct sandbox *sandbox_get(struct net *n, const char *key, struct error *err)
{
	struct sandbox *s;

	LOCKED(&n->lock);
	s = map_get(&n->sandboxes, key);
	if (!s)
		error_set(err, ERR_NOT_FOUND, "no such sandbox: %s", key);
	return s;
}

/* 127.0.0.11:53 leads to our sockets, and port 53 of every address of the
 * container stays free for name servers that people run in it. */
static int redirect_dns(const struct helper_dns *h, struct error *err)
{
	static const struct net_prefix server = { { AF_INET, { 127, 0, 0, 11 } }, 32 };
	static const struct nft_hook hook = { "nat", NF_INET_LOCAL_OUT, -100 };
	auto_(nft) b = NFT_INIT;
	struct nl nl;
	int r;

	nl_init(&nl, h->nft);
	nft_begin(&b, "proa_dns");
	nft_table_reset(&b);
	nft_chain(&b, "out", &hook);
	for (int i = 0; i < 2; i++) {
		nft_rule(&b, "out");
		nft_match_prefix(&b, NFT_DESTINATION, &server, true);
		nft_match_l4proto(&b, i == 0 ? NET_UDP : NET_TCP);
		nft_match_dport(&b, DNS_PORT);
		nft_dnat_to(&b, &server.addr, i == 0 ? h->udp_port : h->tcp_port);
		nft_rule_end(&b);
	}
	nft_end(&b);
	r = nl_exchange(&nl, &b.batch, NULL, NULL, err);
	nl_close(&nl);
	return r;
}

int sandbox_serve_dns(struct net *n, struct sandbox *s, struct error *err)
{
	struct helper_dns h;
	int r;

	if (s->serves_dns)
		return 0;
	r = helper_dns(&n->helper, s->ns_fd, n->nat ? 0 : DNS_PORT, &h, err);
	if (r < 0)
		return r;
	if (n->nat && h.nft >= 0)
		r = redirect_dns(&h, err);
	else if (h.nft >= 0)
		close(h.nft);
	if (r < 0) {
		close(h.udp);
		close(h.tcp);
		return error_wrap(err, r, "redirect 127.0.0.11:53");
	}
	r = dns_sandbox_add(n->dns, s->key, h.udp, h.tcp, err);
	s->serves_dns = r == 0;
	return r;
}

void net_sandbox_dns(struct net *n, const char *key, const char *const *servers)
{
	dns_sandbox_servers(n->dns, key, servers);
}

int net_sandbox_stats(struct net *n, const char *key, struct net_stats **ret, size_t *ret_n,
		      struct error *err)
{
	link_counters_list list = { 0 };
	struct sandbox *s = sandbox_get(n, key, err);
	struct net_stats *out;
	int r;

	if (!s)
		return -ERR_NOT_FOUND;
	r = link_stats(&s->nl, &list, err);
	if (r == 0) {
		out = xcalloc(list.len + 1, sizeof(*out));
		for (size_t i = 0; i < list.len; i++) {
			const uint64_t *v = list.at[i].v;

			memcpy(out[i].ifname, list.at[i].name, sizeof(out[i].ifname));
			out[i].rx_packets = v[0];
			out[i].tx_packets = v[1];
			out[i].rx_bytes = v[2];
			out[i].tx_bytes = v[3];
			out[i].rx_errors = v[4];
			out[i].tx_errors = v[5];
			out[i].rx_dropped = v[6];
			out[i].tx_dropped = v[7];
		}
		*ret = out;
		*ret_n = list.len;
	}
	vec_release(&list);
	return r;
}
