/* shim/usage.h: what a control group has used, on v1, v2 and mixtures. */
#pragma once

#include <stdint.h>

/* -1: not known. */
struct usage {
	int64_t cpu_ns;                  /* user and system */
	int64_t memory_peak_bytes;       /* v1: since the group was made; page cache counts */
	int64_t read_bytes, write_bytes; /* of block devices */
};

/* `cgroup`: absolute path below the mount points ("/docker/x"). */
void usage_read(const char *cgroup, struct usage *ret);
