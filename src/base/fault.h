/*
 * base/fault.h: fail on purpose.
 *
 * With PROA_FAIL_AT=n in the environment the n-th fallible call of base (open,
 * write, fsync, rename, link, mount, spawn) fails with PROA_FAIL_ERRNO (default
 * EIO). Torture tests loop n until the operation succeeds. Compiled in always;
 * costs one load when off.
 */
#pragma once

#include <stdbool.h>

/* True when this call is the one: errno is set, the caller takes its error path. */
bool fault_hit(const char *what);
/* For tests inside one process: count down from n (0 = off). */
void fault_arm(long n, int sys);
/* Calls counted since the last fault_arm. */
long fault_count(void);
