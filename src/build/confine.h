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

/* This program has a sanitizer in it. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CONFINE_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONFINE_SANITIZED 1
#endif
#ifndef CONFINE_SANITIZED
#define CONFINE_SANITIZED 0
#endif

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
