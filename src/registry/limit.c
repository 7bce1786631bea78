#include "registry/limit.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/map.h"

#define PEERS_MAX 65536 /* then everybody starts anew: a flood cannot fill memory */
#define HOST_MAX  64

struct bucket {
	double tokens;
	int64_t at_ns;
};

struct limit {
	double per_second, burst;
	struct lock lock; /* guards peers */
	struct map peers;
};

struct limit *limit_new(double per_second, unsigned burst)
{
	struct limit *l = new0(struct limit);

	l->per_second = per_second;
	l->burst = burst > 0 ? burst : 1;
	l->lock = (struct lock)LOCK_INIT;
	l->peers.free_value = free;
	return l;
}

void limit_free(struct limit *l)
{
	if (l == NULL)
		return;
	map_release(&l->peers);
	free(l);
}

/* An IPv4 address, or the /64 of an IPv6 one: a subscriber has that whole. */
static void sender(const char *peer, char out[static HOST_MAX])
{
	const char *port = strrchr(peer, ':');
	size_t len = port ? (size_t)(port - peer) : strlen(peer);
	struct in6_addr a;

	snprintf(out, HOST_MAX, "%.*s", (int)len, peer);
	if (out[0] != '[')
		return;
	out[strcspn(out, "]")] = '\0';
	if (inet_pton(AF_INET6, out + 1, &a) != 1 || IN6_IS_ADDR_V4MAPPED(&a))
		return;
	memset(a.s6_addr + 8, 0, 8);
	inet_ntop(AF_INET6, &a, out, HOST_MAX);
}

bool limit_pass(struct limit *l, const char *peer)
{
	int64_t now = clock_mono_ns();
	struct bucket *b;
	char host[HOST_MAX];

	if (l->per_second <= 0)
		return true;
	sender(peer, host);
	LOCKED(&l->lock);
	b = map_get(&l->peers, host);
	if (b == NULL) {
		if (l->peers.len >= PEERS_MAX) {
			map_release(&l->peers);
			l->peers.free_value = free;
		}
		b = new0(struct bucket);
		*b = (struct bucket){ l->burst, now };
		map_set(&l->peers, host, b);
	}
	b->tokens += (double)(now - b->at_ns) / (double)NS_PER_SEC * l->per_second;
	b->tokens = b->tokens > l->burst ? l->burst : b->tokens;
	b->at_ns = now;
	if (b->tokens < 1)
		return false;
	b->tokens -= 1;
	return true;
}
