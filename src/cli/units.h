/* cli/units.h: sizes, durations and times as the docker CLI shows them. */
#pragma once

#include <stdint.h>

#include "base/arena.h"

/* Base 1000 with `digits` significant digits: "1.98MB" (3), "1.982MB" (4). */
const char *human_size(struct arena *a, double bytes, int digits);
/* Base 1024, four significant digits: "23.54GiB". */
const char *human_bytes(struct arena *a, double bytes);
/* "Less than a second", "About a minute", "3 weeks". */
const char *human_duration(struct arena *a, int64_t seconds);
/* "3 weeks ago" from a time in Unix seconds; "" for 0. */
const char *human_since(struct arena *a, int64_t unix_seconds);
/* Go's time.Time.String() in the local zone: "2026-11-23 15:33:04 +0000 UTC";
 * ns > 0 adds the fraction. */
const char *go_time(struct arena *a, int64_t unix_seconds, int64_t ns);
/* Runes, an ellipsis as the last when it is longer than max. */
const char *ellipsis(struct arena *a, const char *s, size_t max);
/* 12 hex digits of an id, without "sha256:". */
const char *short_id(struct arena *a, const char *id);
/*
 * A moment given by a user: Unix seconds with fraction, RFC 3339 (also without
 * zone or time of day), or a Go duration before now. The result is the text
 * for the API ("1136073600.000000000"). ERR_INVALID: docker's text.
 */
int moment_parse(struct arena *a, const char *text, const char **ret, struct error *err);
