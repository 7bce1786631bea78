/* Bytes as if received from a netlink socket: no parser reads past them. */
#include <stdlib.h>
#include <string.h>

#include "network/link.h"
#include "network/nft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int one(void *ctx, const struct nlmsghdr *msg, struct error *err)
{
	struct nft_event ev;
	int r = link_parse_any(ctx, msg, err);

	if (nft_event_parse(msg, &ev, err) == 0 && !memchr(ev.table, '\0', sizeof(ev.table)))
		abort();
	return r == -ERR_CORRUPT ? 0 : r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* On the heap and aligned as recv() leaves it, so that the sanitizer sees the end. */
	void *copy = malloc(size ? size : 1);
	int r;

	memcpy(copy, data, size);
	r = nl_walk(copy, size, one, NULL, NULL);
	free(copy);
	if (r < 0 && r != -ERR_CORRUPT)
		abort();
	return 0;
}
