/*
 * http/url.h: request targets: paths and queries.
 *
 * Spec: RFC 3986 percent-encoding, and application/x-www-form-urlencoded for
 * queries ('+' is a blank), as Go's net/url reads them. A malformed escape and
 * an encoded NUL are ERR_INVALID. Unknown keys are kept; who asks, finds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define HTTP_QUERY_MAX 1024 /* parameters in one query */

struct http_param {
	const char *key, *value; /* decoded; value "" for a bare key */
};

struct http_query {
	struct http_param *at; /* in the order sent, repeated keys kept */
	size_t len;
};

/* "a=1&b=%20x&a=2" without the '?'. */
MUST_CHECK int http_query_parse(struct arena *a, struct str text, struct http_query *ret,
				struct error *err);

/*
 * Split a request target into its decoded path and its query. Origin form
 * ("/p?q"), absolute form ("http://host/p?q") and "*" are taken; a fragment is
 * cut off.
 */
MUST_CHECK int http_target_parse(struct arena *a, const char *target, const char **ret_path,
				 struct http_query *ret_query, struct error *err);

/* First value of key, NULL when absent. */
const char *http_query_get(const struct http_query *q, const char *key);
/* The i-th value of a repeated key, counted from 0; NULL past the last. */
const char *http_query_nth(const struct http_query *q, const char *key, size_t i);
/* As the Engine API reads booleans: anything but absent, "", "0", "no", "false",
 * "none" (any case, blanks around ignored) is true. */
bool http_query_bool(const struct http_query *q, const char *key, bool def);
/* Decimal, may be negative. def when absent or ""; ERR_INVALID names key and value. */
MUST_CHECK int http_query_int(const struct http_query *q, const char *key, int64_t def,
			      int64_t *ret, struct error *err);

/* Percent-decoded copy in the arena; plus_is_blank for queries. */
MUST_CHECK int http_decode(struct arena *a, struct str s, bool plus_is_blank, const char **ret,
			   struct error *err);

/* Append s so that a server decodes it back: unreserved characters stay, '/' too
 * when keep_slash (paths), everything else becomes %XX. */
MUST_CHECK int http_encode_path(struct buf *b, const char *s, bool keep_slash, struct error *err);
/* Append "key=value" with '&' in front unless b is empty or ends with '?'. */
MUST_CHECK int http_encode_param(struct buf *b, const char *key, const char *value,
				 struct error *err);
