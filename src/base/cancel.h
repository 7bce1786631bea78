/*
 * base/cancel.h: one bit that wakes whoever waits.
 *
 * Blocking code polls {its fd, cancel_fd}. Firing is idempotent, lock-free and
 * async-signal-safe; it cannot be undone.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/auto.h"
#include "base/error.h"

struct cancel {
	atomic_bool fired;
	int fd; /* eventfd, readable once fired */
};

MUST_CHECK int cancel_init(struct cancel *c, struct error *err);
void cancel_release(struct cancel *c);
void cancel_fire(struct cancel *c);
bool cancel_fired(const struct cancel *c); /* NULL: false */
/* ERR_CANCELED "canceled" when fired; c may be NULL. */
MUST_CHECK int cancel_check(const struct cancel *c, struct error *err);
/*
 * Wait until fd has one of `events` (poll(2) bits), the deadline passes or c
 * fires. timeout_ms < 0: no deadline. c may be NULL.
 * 0 when ready; ERR_CANCELED; ERR_UNAVAILABLE "timed out after N ms".
 */
MUST_CHECK int cancel_poll(const struct cancel *c, int fd, short events, int timeout_ms,
			   struct error *err);

DEFINE_AUTO(cancel, cancel_release);
