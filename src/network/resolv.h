/*
 * network/resolv.h: resolv.conf: reading the host's, writing a container's.
 * No I/O. Spec: resolv.conf(5).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/vec.h"
#include "network/addr.h"

#define RESOLV_SERVERS_MAX 16
#define RESOLV_WORD_MAX    256
#define RESOLV_SIZE_MAX    65536 /* of the file */

struct resolv {
	struct net_addr servers[RESOLV_SERVERS_MAX];
	size_t n_servers;
	VEC(char *) search;           /* owned */
	VEC(char *) options;          /* owned, as written */
	unsigned timeout_s, attempts; /* from the options; 0 = not given */
	bool rotate;
};

#define RESOLV_INIT \
	{ \
		0 \
	}
/* Never fails: lines that are not understood are skipped, as libc does. IPv6
 * zones are cut off; servers past the ceiling are ignored. */
void resolv_parse(const char *text, size_t len, struct resolv *ret);
void resolv_release(struct resolv *r);
DEFINE_AUTO(resolv, resolv_release);
/* nameserver, search and options lines. ERR_INVALID past b's ceiling. */
MUST_CHECK int resolv_format(const struct resolv *r, struct buf *b, struct error *err);
