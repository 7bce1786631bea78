/* runtime/resource.h: linux.resources of config.json, in the cgroup room's words. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "cgroup/cgroup.h"
#include "oci/runtime_config.h"

/* Convert; lists in the arena. devices: fill the device rules too. */
MUST_CHECK int limits_of(const struct spec_resources *r, bool devices, struct arena *a,
			 struct cgroup_limits *ret, struct error *err);
/* All of a new container's, with the devices that every container has. */
MUST_CHECK int limits_from_config(const struct runtime_config *c, struct arena *a,
				  struct cgroup_limits *ret, struct error *err);
/*
 * Write the limits of a new container: config's resources, and the devices that
 * every container has. lenient: without privileges what cannot be limited is
 * left alone unless it was asked for.
 */
MUST_CHECK int limits_apply(const struct cgroup *cg, const struct runtime_config *c,
			    struct arena *a, bool lenient, struct error *err);
