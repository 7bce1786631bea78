/*
 * http/body.h: message bodies, both ways.
 *
 * Spec: RFC 9112, 6 and 7. Reading: chunk sizes are bounded to 2^62, chunk
 * extensions and trailers are skipped up to a limit and never interpreted.
 * A peer that ends before the body is complete is ERR_CORRUPT "unexpected end
 * of data", never a silent end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/stream.h"
#include "http/message.h"
#include "http/transport.h"

struct http_body {
	struct reader reader;
	struct http_source *src; /* borrowed */
	enum http_framing framing;
	uint64_t left;   /* of the length, or of the current chunk */
	int state;       /* chunked: private */
	size_t overhead; /* bytes of extensions and trailers so far */
	bool done;       /* the end has been reached */
	bool failed;     /* broken: the connection cannot be used again */
	/* Called once before the first read (100-continue); may be NULL. */
	int (*before)(void *arg, struct error *err);
	void *before_arg;
};

void http_body_init(struct http_body *b, struct http_source *src, enum http_framing framing,
		    uint64_t length);
/* Read and drop what is left, at most max bytes. 0 when the end was reached. */
MUST_CHECK int http_body_drain(struct http_body *b, uint64_t max, struct error *err);
