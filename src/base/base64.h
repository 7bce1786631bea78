/* base/base64.h: RFC 4648, both alphabets. */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

/* Append the encoding to b. url: '-' and '_' and no padding. */
MUST_CHECK int base64_encode(struct buf *b, const void *bytes, size_t len, bool url,
			     struct error *err);
/* Append the bytes to b. Either alphabet, with or without padding; anything
 * else, blanks included, is ERR_INVALID. */
MUST_CHECK int base64_decode(struct buf *b, struct str text, struct error *err);
