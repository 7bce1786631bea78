/*
 * runtime/capability.h: capability sets as masks.
 *
 * Inheritable and ambient stay empty unless the config asks for them. What is
 * asked for and not held (a bounding set that lacks CAP_SYS_RESOURCE, as in
 * many virtual machines) is left out and told at debug level.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "oci/runtime_config.h"

struct capability_sets {
	uint64_t bounding, permitted, effective, inheritable, ambient;
};

/* Bit of "CAP_CHOWN", any case, or with the prefix left out. ERR_INVALID when unknown. */
MUST_CHECK int capability_parse(const char *name, uint64_t *ret_bit, struct error *err);
/* Name of bit i, or NULL. */
const char *capability_name(unsigned i);
MUST_CHECK int capability_sets_of(const struct spec_capabilities *c, struct capability_sets *ret,
				  struct error *err);
/* Cut every set to what this process holds. */
MUST_CHECK int capability_limit(struct capability_sets *s, struct error *err);
/* Drop everything else from the bounding set; needs CAP_SETPCAP where there is something to drop.
 */
MUST_CHECK int capability_bound(uint64_t bounding, struct error *err);
/* Set the three sets of the calling thread. */
MUST_CHECK int capability_set(uint64_t effective, uint64_t permitted, uint64_t inheritable,
			      struct error *err);
MUST_CHECK int capability_ambient(uint64_t ambient, struct error *err);
/* What the calling thread is permitted. */
MUST_CHECK int capability_held(uint64_t *ret, struct error *err);
