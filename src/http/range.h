/*
 * http/range.h: Range and Content-Range.
 *
 * Spec: RFC 9110, 14. One range only: a request for several is answered with
 * the whole content, which the RFC allows.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct http_range {
	uint64_t first, len; /* len >= 1 */
};

/*
 * Value of a Range header against content of `size` bytes.
 *
 * *ret_partial  false: serve all of it (another unit, several ranges, or a
 *               malformed value, which the RFC says to ignore)
 *
 * ERR_INVALID when the range cannot be satisfied, or ends before it begins (416).
 */
MUST_CHECK int http_range_parse(const char *value, uint64_t size, bool *ret_partial,
				struct http_range *ret, struct error *err);

/*
 * Value of Content-Range as upload clients send it: "0-99", "bytes 0-99/200",
 * "bytes 0-99/" + "*". *ret_total is -1 when not given. ERR_INVALID otherwise.
 */
MUST_CHECK int http_content_range_parse(const char *value, struct http_range *ret,
					int64_t *ret_total, struct error *err);
