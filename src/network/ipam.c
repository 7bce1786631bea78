#include "network/ipam.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

struct ipam_pool {
	struct net_prefix subnet;
	struct net_addr first, last; /* of the automatic range, both usable */
	struct net_addr next;        /* where the search goes on */
	struct map used;             /* text of the address -> itself */
};

#define V4(a, b_, c, d) \
	{ \
		.family = AF_INET, .b = { a, b_, c, d } \
	}

/* Docker's local scope: 172.17-31/16, then 192.168.0.0/16 in /20 pieces. */
const struct ipam_block ipam_default_blocks[] = {
	{ { V4(172, 17, 0, 0), 16 }, 16 },  { { V4(172, 18, 0, 0), 16 }, 16 },
	{ { V4(172, 19, 0, 0), 16 }, 16 },  { { V4(172, 20, 0, 0), 14 }, 16 },
	{ { V4(172, 24, 0, 0), 14 }, 16 },  { { V4(172, 28, 0, 0), 14 }, 16 },
	{ { V4(192, 168, 0, 0), 16 }, 20 },
};
const size_t ipam_n_default_blocks = sizeof(ipam_default_blocks) / sizeof(ipam_default_blocks[0]);

struct ipam_pool *ipam_pool_new(const struct net_prefix *subnet, const struct net_prefix *range)
{
	struct ipam_pool *p = new0(struct ipam_pool);
	bool whole = !range || range->addr.family == 0;
	struct net_prefix r = net_prefix_mask(whole ? subnet : range);
	struct net_addr end = net_prefix_last(subnet);
	unsigned width = subnet->addr.family == AF_INET ? 32 : 128;

	p->subnet = net_prefix_mask(subnet);
	p->first = r.addr;
	p->last = net_prefix_last(&r);
	/* /31 and /32 (/127, /128) have no addresses of their own to spare. */
	if (width - subnet->len >= 2) {
		if (net_addr_eq(&p->first, &p->subnet.addr))
			p->first = net_addr_add(&p->first, 1);
		if (subnet->addr.family == AF_INET && net_addr_eq(&p->last, &end))
			p->last.b[3]--;
	}
	p->next = p->first;
	return p;
}

void ipam_pool_free(struct ipam_pool *p)
{
	if (!p)
		return;
	map_release(&p->used);
	free(p);
}

int ipam_next(struct ipam_pool *p, struct net_addr *ret, struct error *err)
{
	struct net_addr a = p->next;
	char text[NET_ADDR_TEXT_MAX];

	/* With n addresses used, one of n + 1 consecutive ones is free, or the range is full. */
	for (size_t i = 0; i <= p->used.len; i++) {
		struct net_addr given = a;

		net_addr_format(&a, text);
		a = net_addr_eq(&a, &p->last) ? p->first : net_addr_add(&a, 1);
		if (map_has(&p->used, text)) {
			if (net_addr_eq(&a, &p->next))
				break;
			continue;
		}
		map_set(&p->used, text, p);
		p->next = a;
		*ret = given;
		return 0;
	}
	return error_set(err, ERR_UNAVAILABLE,
			 "no available %s addresses on this network's address pools",
			 p->subnet.addr.family == AF_INET ? "IPv4" : "IPv6");
}

int ipam_take(struct ipam_pool *p, const struct net_addr *a, struct error *err)
{
	char text[NET_ADDR_TEXT_MAX];

	if (!net_prefix_contains(&p->subnet, a))
		return error_set(err, ERR_INVALID, "Requested address is out of range");
	net_addr_format(a, text);
	if (map_has(&p->used, text))
		return error_set(err, ERR_CONFLICT, "Address already in use");
	map_set(&p->used, text, p);
	return 0;
}

void ipam_give_back(struct ipam_pool *p, const struct net_addr *a)
{
	char text[NET_ADDR_TEXT_MAX];

	net_addr_format(a, text);
	map_remove(&p->used, text);
}

int ipam_choose(const struct ipam_block *blocks, size_t n, ipam_overlap_fn overlaps, void *ctx,
		struct net_prefix *ret, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		struct net_prefix p = net_prefix_mask(&blocks[i].base);
		struct net_addr end = net_prefix_last(&p);

		p.len = blocks[i].size;
		for (;;) {
			struct net_addr last = net_prefix_last(&p);
			bool taken = false;
			int r = overlaps(ctx, &p, &taken, err);

			if (r < 0)
				return r;
			if (!taken) {
				*ret = p;
				return 0;
			}
			if (net_addr_eq(&last, &end))
				break;
			p.addr = net_addr_add(&last, 1);
		}
	}
	return error_set(err, ERR_UNAVAILABLE,
			 "could not find an available, non-overlapping IPv4 address pool among the "
			 "defaults to assign to the network");
}

struct net_prefix ipam_ula(const char *engine_id, const char *seed)
{
	struct net_prefix p = { .addr = { .family = AF_INET6 }, .len = 64 };
	uint8_t engine[SHA256_SIZE], net[SHA256_SIZE];

	hash_sha256(engine_id, strlen(engine_id), engine);
	hash_sha256(seed, strlen(seed), net);
	p.addr.b[0] = 0xfd;
	memcpy(p.addr.b + 1, engine, 5);
	memcpy(p.addr.b + 6, net, 2);
	return p;
}
