/*
 * remote/transfer.h: one HTTP request and its answer, over libcurl.
 *
 * The only file that knows libcurl is transfer.c. Nothing is retried, no
 * redirect followed and no credentials chosen here: request.c does that.
 * Channels (a connection cache each) are pooled in struct pool.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/lock.h"
#include "base/map.h"

struct cancel;
struct channel;

enum { POOL_MAX = 16, HEADERS_MAX_BYTES = 65536 };

struct pool {
	struct lock lock;
	struct channel *idle[POOL_MAX];
	unsigned n_idle;
};

void pool_release(struct pool *p);

/* How to reach a host. Strings are borrowed for the call. */
struct transport {
	const char *user_agent;
	const char *proxy, *no_proxy; /* "" = none */
	const char *const *ca_files;  /* NULL-terminated, beside the system's; may be NULL */
	const char *client_cert, *client_key; /* may be NULL */
	bool insecure_tls;                    /* do not verify */
	int connect_timeout_ms, stall_timeout_ms;
};

/* What is sent: memory, or `size` bytes of fd from offset 0 by pread. */
struct upload {
	const void *bytes; /* NULL: fd */
	int fd;
	uint64_t size;
	void (*progress)(void *arg, uint64_t sent); /* may be NULL */
	void *arg;
};

struct request {
	const char *method, *url;
	const char *connect_as; /* URL for the message when nobody answers; NULL: url */
	const char *accept, *content_type, *authorization; /* whole values; NULL: none */
	const char *range;                                 /* "bytes=100-" or NULL */
	const struct upload *body;                         /* NULL: none */
};

/* Why there was no answer. */
enum transfer_failure {
	TRANSFER_CONNECT = 1, /* nobody there */
	TRANSFER_TLS,         /* no such handshake */
	TRANSFER_UNTRUSTED,   /* it speaks TLS, with a certificate that is not good */
	TRANSFER_BROKEN,      /* cut, stalled, malformed */
};

struct transfer;

/*
 * Send the request and read the answer's head. The request may be gone
 * afterwards; *ret is ended with transfer_end.
 * ERR_UNAVAILABLE (*ret_why says more; `Get "url": dial tcp ...: connection
 * refused`), ERR_CANCELED, ERR_INVALID for a bad URL.
 */
MUST_CHECK int transfer_begin(struct pool *p, const struct transport *how, const struct request *q,
			      const struct cancel *cancel, struct transfer **ret,
			      enum transfer_failure *ret_why, struct error *err);
unsigned transfer_status(const struct transfer *t);
/* A header's value by its lower-case name; NULL when absent. Lives as long as t. */
const char *transfer_header(const struct transfer *t, const char *name);
/* The next bytes of the body; *ret_n == 0: its end. */
MUST_CHECK int transfer_read(struct transfer *t, void *out, size_t len, size_t *ret_n,
			     struct error *err);
/* The connection is kept when the body was read to its end. NULL is nothing. */
void transfer_end(struct transfer *t);

/* base resolved against a Location or Link; NULL when that is no URL. Heap. */
char *url_resolve(const char *base, const char *relative);
/* "scheme://host:port" of a URL, the port made explicit; NULL when malformed. Heap. */
char *url_origin(const char *url);
/* %XX of everything that is not unreserved. Heap. */
char *url_escape(const char *text);
