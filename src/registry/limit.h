/* registry/limit.h: a token bucket per peer address. */
#pragma once

#include <stdbool.h>

struct limit;

/* per_second 0: everything passes. */
struct limit *limit_new(double per_second, unsigned burst);
void limit_free(struct limit *l);
/* peer "10.0.0.7:41234", "[2001:db8::7]:41234": the port does not count, nor what comes after the
 * /64 of an IPv6 address. Any thread. */
bool limit_pass(struct limit *l, const char *peer);
