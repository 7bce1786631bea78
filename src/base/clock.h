/* base/clock.h: monotonic time for logic, wall time for display only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define NS_PER_SEC 1000000000LL
#define NS_PER_MS  1000000LL

int64_t clock_mono_ns(void);
int64_t clock_wall_ns(void); /* since 1970, UTC */

#define TIME_TEXT_MAX 40
/* Go's time.RFC3339Nano in UTC, trailing zeros of the fraction cut:
 * "2026-11-23T14:56:50.12Z". TIME_ZERO_TEXT is Go's zero time. */
#define TIME_ZERO_TEXT "0001-01-01T00:00:00Z"
void time_format_rfc3339nano(int64_t wall_ns, char out[static TIME_TEXT_MAX]);
/* Accepts RFC 3339 with any offset and fraction. ERR_INVALID otherwise. */
MUST_CHECK int time_parse_rfc3339(const char *s, int64_t *ret_wall_ns, struct error *err);
/*
 * What Docker's since and until take: seconds since 1970 ("1795412663.459"), a duration back
 * from now ("10m"), RFC 3339, or the beginning of it down to the day, in UTC. ERR_INVALID.
 */
MUST_CHECK int time_parse_query(const char *s, int64_t *ret_wall_ns, struct error *err);
