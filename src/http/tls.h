/*
 * http/tls.h: TLS for listeners (OpenSSL), with client certificates.
 *
 * A file of its own in the archive: programs that only speak plain HTTP do not
 * link OpenSSL.
 */
#pragma once

#include "base/error.h"
#include "http/transport.h"

struct http_tls;

struct http_tls_config {
	const char *cert_path; /* PEM chain */
	const char *key_path;  /* PEM */
	const char *ca_path;   /* PEM; needed when verify_client */
	bool verify_client;    /* refuse peers without a certificate of this CA */
};

/* TLS 1.2 and up. ERR_INVALID names the file that cannot be used. */
MUST_CHECK int http_tls_new(const struct http_tls_config *config, struct http_tls **ret,
			    struct error *err);
/*
 * Take certificate and key (and CA) from the files again, for connections from
 * now on. On failure the old ones stay; ERR_INVALID names the file.
 *
 * config  the paths that http_tls_new was given, or others
 */
MUST_CHECK int http_tls_reload(struct http_tls *t, const struct http_tls_config *config,
			       struct error *err);
/* Counted: each listener and connection holds one. unref(NULL) is nothing. */
struct http_tls *http_tls_ref(struct http_tls *t);
struct http_tls *http_tls_unref(struct http_tls *t);

/* TLS from here on, on an initialised plain transport: it carries nothing before the
 * handshake is done. ERR_SYSTEM. */
MUST_CHECK int http_tls_begin(struct http_tls *tls, struct http_transport *t, struct error *err);
/*
 * Shake hands as far as the peer lets. Never waits: a peer that stalls costs no thread.
 *
 * ret_wants  0: done. POLLIN or POLLOUT: call again when the socket is ready for it
 *
 * ERR_UNAUTHORIZED when the peer's certificate is missing or refused, or it has closed.
 */
MUST_CHECK int http_tls_handshake(struct http_transport *t, short *ret_wants, struct error *err);

/* Common name of the peer's verified certificate into out; "" when it has none. */
void http_tls_peer_name(const struct http_transport *t, char *out, size_t len);
