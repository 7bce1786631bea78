/*
 * runtime/mempolicy.h: linux.memoryPolicy, the NUMA policy that every process of a container starts
 * with and keeps over execve.
 *
 * Spec: runtime-spec v1.3, config-linux.md "Memory Policy"; set_mempolicy(2).
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "oci/runtime_config.h"

struct memory_policy {
	int mode;          /* MPOL_* | MPOL_F_* */
	const char *nodes; /* "0-3,7"; "" none */
};

/* What the words of s mean; NULL gives NULL. ERR_INVALID names the member. */
MUST_CHECK int memory_policy_parse(const struct spec_memory_policy *s, struct arena *a,
				   const struct memory_policy **ret, struct error *err);
/* For the calling process, in the container's cgroup: its cpuset bounds the nodes. NULL: as it is.
 */
MUST_CHECK int memory_policy_apply(const struct memory_policy *p, struct error *err);
