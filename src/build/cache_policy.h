/*
 * build/cache_policy.h: how much of the build cache is kept.
 *
 * A rule says which records it is about, and how much of them may stay. Rules of
 * the configuration (dockerd's builder.gc) are applied after builds, in their order;
 * a prune is one rule.
 *
 * What a rule may take goes, the least recently used first, until
 *   max_used_bytes   no more than that is left, and
 *   min_free_bytes   so much of the disk is free,
 * but never below reserved_bytes. With none of the three all of it goes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

enum cache_type { CACHE_REGULAR = 1, CACHE_MOUNT = 2 };

struct cache_rule {
	bool all;           /* also what images share */
	unsigned types;     /* of enum cache_type; 0: all */
	bool none;          /* a filter that nothing here can meet */
	const char *id;     /* prefix; NULL: any */
	const char *text;   /* description, whole; NULL: any */
	int in_use, shared; /* -1: any */
	int64_t unused_ns;  /* not used for so long; 0: any */
	int64_t before_ns;  /* last used before this time; 0: any */
	int64_t reserved_bytes, max_used_bytes, min_free_bytes;
};
#define CACHE_RULE_INIT \
	{ \
		.in_use = -1, .shared = -1 \
	}

/* One filter of a prune or a policy. ERR_INVALID "invalid filter 'x'". */
MUST_CHECK int cache_rule_filter(struct cache_rule *r, const char *name, const char *value,
				 struct error *err);

/* Does it take everything that is not in use? */
bool cache_rule_is_all(const struct cache_rule *r);

struct cache_rules {
	const struct cache_rule *at;
	size_t n;
};

/*
 * The configuration's "builder" object, {"gc":{"enabled","defaultKeepStorage","policy":[...]}};
 * NULL: the defaults. Strings live in the arena or in j.
 *
 * disk_bytes  size of the disk that the cache lies on, for defaults and percentages
 * ret->n      0 when collection is switched off
 *
 * ERR_INVALID with the path of the member that is wrong.
 * Peer: dockerd 28, "builder": {"gc": ...} of daemon.json.
 */
MUST_CHECK int cache_rules_read(struct arena *a, const struct json *j, int64_t disk_bytes,
				struct cache_rules *ret, struct error *err);
