/*
 * network/ipam.h: which subnet a network gets, which address a container gets.
 *
 * Pure bookkeeping in memory: engine/network.c persists what was given out and
 * tells it again with ipam_take. Not thread-safe: the caller's lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/map.h"
#include "network/addr.h"

struct ipam_pool; /* one subnet of one network */

/*
 * subnet   host bits clear
 * range    where automatic addresses come from; family 0 = the whole subnet
 * Network and broadcast address of IPv4 are never given.
 */
struct ipam_pool *ipam_pool_new(const struct net_prefix *subnet, const struct net_prefix *range);
void ipam_pool_free(struct ipam_pool *p);
/* The next free address after the last one given (so that a freed one rests).
 * ERR_UNAVAILABLE "no available IPv4 addresses on this network's address pools". */
MUST_CHECK int ipam_next(struct ipam_pool *p, struct net_addr *ret, struct error *err);
/* This one. ERR_INVALID outside the subnet; ERR_CONFLICT "Address already in use". */
MUST_CHECK int ipam_take(struct ipam_pool *p, const struct net_addr *a, struct error *err);
void ipam_give_back(struct ipam_pool *p, const struct net_addr *a);

/* Docker's default-address-pools: base cut into blocks of `size` bits. */
struct ipam_block {
	struct net_prefix base;
	uint8_t size;
};
extern const struct ipam_block ipam_default_blocks[];
extern const size_t ipam_n_default_blocks;

typedef int (*ipam_overlap_fn)(void *ctx, const struct net_prefix *p, bool *ret, struct error *err);
/* First block of `blocks` that `overlaps` does not refuse. ERR_UNAVAILABLE
 * "could not find an available, non-overlapping IPv4 address pool among ...". */
MUST_CHECK int ipam_choose(const struct ipam_block *blocks, size_t n, ipam_overlap_fn overlaps,
			   void *ctx, struct net_prefix *ret, struct error *err);
/* The ULA /64 of a network: fd + 40 random bits of the engine + 16 of the
 * network (Spec: RFC 4193). seed: any text that names the network. */
struct net_prefix ipam_ula(const char *engine_id, const char *seed);
