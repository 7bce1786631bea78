/*
 * http/message.h: the head of an HTTP/1.1 message, read strictly.
 *
 * Spec: RFC 9112. Stricter where two readers could disagree about where a
 * message ends (request smuggling): Content-Length together with
 * Transfer-Encoding, differing Content-Length values, any transfer coding but
 * a single `chunked`, obs-fold, blanks before the colon, bare CR, NUL, and
 * HTTP versions other than 1.0 and 1.1 are ERR_INVALID. A bare LF ends a line
 * only together with a CR before it.
 *
 * Heads live in an arena; views point into a copy that the arena owns.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define HTTP_HEAD_MAX    (64 * 1024) /* bytes of start line and headers together */
#define HTTP_HEADERS_MAX 128         /* header lines */

struct http_header {
	const char *name;  /* as sent */
	const char *value; /* without surrounding blanks; no control character but tab */
};

struct http_headers {
	struct http_header *at;
	size_t len;
};

enum http_framing {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,
	HTTP_BODY_CHUNKED,
	HTTP_BODY_UNTIL_CLOSE, /* responses only */
};

struct http_head {
	const char *method; /* request: a token such as "GET" */
	const char *target; /* request: as sent; "/path?query", absolute form, or "*" */
	int status;         /* response: 100..999 */
	const char *reason; /* response: may be "" */
	int minor;          /* HTTP/1.minor: 0 or 1 */
	struct http_headers headers;

	enum http_framing framing;
	uint64_t length;      /* HTTP_BODY_LENGTH */
	bool keep_alive;      /* what version and Connection say together */
	bool expect_continue; /* request: Expect: 100-continue */
	const char *upgrade;  /* value of Upgrade when Connection names it, else NULL */
};

/*
 * Length of the head at the start of data with its empty line, or 0 when the
 * empty line has not arrived. Empty lines before a request line are part of it.
 * Bytes that cannot begin a head count as one, for the parser to refuse.
 *
 * from  bytes that an earlier call has already looked at; 0 is always right
 */
size_t http_head_end(const char *data, size_t len, size_t from);

/*
 * Read one request head.
 *
 * text  exactly the bytes that http_head_end measured
 *
 * ERR_INVALID for anything malformed or ambiguous, ERR_UNIMPLEMENTED for an
 * unknown transfer coding.
 */
MUST_CHECK int http_parse_request(struct arena *a, const char *text, size_t len,
				  struct http_head *ret, struct error *err);

/*
 * Read one response head.
 *
 * method  of the request it answers: HEAD, and 1xx, 204 and 304, have no body
 */
MUST_CHECK int http_parse_response(struct arena *a, const char *text, size_t len,
				   const char *method, struct http_head *ret, struct error *err);

/* First value of `name` (any case), NULL when absent. Lives as long as the head. */
const char *http_headers_get(const struct http_headers *h, const char *name);
/* Whether the comma-separated values of all `name` headers hold `token` (any case). */
bool http_headers_has_token(const struct http_headers *h, const char *name, const char *token);

/* The standard phrase, "Unknown" for a code nobody registered. */
const char *http_status_reason(int status);

/* True for a non-empty string of RFC 9110 token characters. */
bool http_is_token(struct str s);
