/*
 * build/confine.h: a process gives up everything but its open descriptors and its memory.
 *
 * For one that reads what a stranger wrote and speaks with its parent alone. Afterwards it
 * is nobody (where that id exists), has no capabilities and cannot get any, opens nothing,
 * starts nothing, signals nobody but itself, and cannot make memory executable.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct confine_limits {
	uint64_t memory_bytes; /* address space */
	uint64_t cpu_seconds;  /* of processor time; then SIGXCPU */
};

/*
 * Confine the calling process, which has one thread; death_signal (0: none) is what it gets
 * when its parent ends. A system call that is not allowed ends it with SIGSYS. Under a
 * sanitizer, which needs both, there is no filter and no limit of memory.
 * ERR_SYSTEM: the process must not go on.
 */
MUST_CHECK int confine_self(const struct confine_limits *limits, int death_signal,
			    struct error *err);
