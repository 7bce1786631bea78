#include "http/tls.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/alloc.h"
#include "base/lock.h"

struct http_tls {
	atomic_uint refs;
	struct lock lock; /* guards ctx: a reload exchanges it */
	SSL_CTX *ctx;
};

/* One connection. The two directions of a hijacked stream run on two threads,
 * and OpenSSL allows one call at a time: calls never block, waits are outside. */
struct tls_conn {
	struct lock lock;
	SSL *ssl;
};

static int ssl_error(struct error *err, enum error_kind kind, const char *what)
{
	unsigned long code = ERR_get_error();
	char text[256] = "unknown error";

	if (code != 0)
		ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return error_set(err, kind, "%s: %s", what, text);
}

static int make_context(const struct http_tls_config *config, SSL_CTX **ret, struct error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	const char *what = NULL;
	int r;

	if (ctx == NULL)
		return ssl_error(err, ERR_SYSTEM, "set up TLS");
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_use_certificate_chain_file(ctx, config->cert_path) != 1)
		what = config->cert_path;
	else if (SSL_CTX_use_PrivateKey_file(ctx, config->key_path, SSL_FILETYPE_PEM) != 1 ||
		 SSL_CTX_check_private_key(ctx) != 1)
		what = config->key_path;
	else if (config->verify_client &&
		 (config->ca_path == NULL ||
		  SSL_CTX_load_verify_locations(ctx, config->ca_path, NULL) != 1))
		what = config->ca_path ? config->ca_path : "CA certificate";
	if (what != NULL) {
		char prefix[PATH_MAX + 64];

		snprintf(prefix, sizeof(prefix), "cannot use TLS file '%s'", what);
		r = ssl_error(err, ERR_INVALID, prefix);
		SSL_CTX_free(ctx);
		return r;
	}
	if (config->verify_client) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(config->ca_path));
	}
	*ret = ctx;
	return 0;
}

int http_tls_new(const struct http_tls_config *config, struct http_tls **ret, struct error *err)
{
	struct http_tls *t;
	SSL_CTX *ctx;
	int r = make_context(config, &ctx, err);

	if (r < 0)
		return r;
	t = new0(struct http_tls);
	t->lock = (struct lock)LOCK_INIT;
	t->ctx = ctx;
	atomic_init(&t->refs, 1);
	*ret = t;
	return 0;
}

int http_tls_reload(struct http_tls *t, const struct http_tls_config *config, struct error *err)
{
	SSL_CTX *fresh, *old;
	int r = make_context(config, &fresh, err);

	if (r < 0)
		return r;
	{
		LOCKED(&t->lock);
		old = t->ctx;
		t->ctx = fresh;
	}
	SSL_CTX_free(old); /* connections that use it hold references of their own */
	return 0;
}

struct http_tls *http_tls_ref(struct http_tls *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

struct http_tls *http_tls_unref(struct http_tls *t)
{
	if (t && atomic_fetch_sub(&t->refs, 1) == 1) {
		SSL_CTX_free(t->ctx);
		free(t);
	}
	return NULL;
}

static SSL *connection_new(struct http_tls *t)
{
	LOCKED(&t->lock);
	return SSL_new(t->ctx);
}

/* After a call that did not succeed: wait for what it wants. 1 = try again,
 * 0 = the peer's orderly end, negative = error. */
static int tls_wait(struct http_transport *t, int code, int timeout_ms, const char *what,
		    struct error *err)
{
	int sys = errno;
	int r;

	if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) {
		r = cancel_poll(t->cancel, t->fd, code == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT,
				timeout_ms, err);
		return r < 0 ? r : 1;
	}
	if (code == SSL_ERROR_ZERO_RETURN)
		return 0;
	if (code == SSL_ERROR_SYSCALL && sys != 0)
		return error_sys(err, sys, "%s", what);
	return ssl_error(err, ERR_CORRUPT, what);
}

static int tls_read(struct http_transport *t, void *out, size_t len, size_t *ret_n,
		    struct error *err)
{
	struct tls_conn *c = t->tls;

	for (;;) {
		size_t n = 0;
		int code = SSL_ERROR_NONE, r;

		{
			LOCKED(&c->lock);
			ERR_clear_error();
			errno = 0;
			r = SSL_read_ex(c->ssl, out, len, &n);
			if (r != 1)
				code = SSL_get_error(c->ssl, r);
		}
		if (r == 1) {
			*ret_n = n;
			return 0;
		}
		r = tls_wait(t, code, t->read_timeout_ms, "read from the TLS connection", err);
		if (r < 0)
			return r;
		if (r == 0) {
			*ret_n = 0;
			return 0;
		}
	}
}

static int tls_write(struct http_transport *t, const void *bytes, size_t len, struct error *err)
{
	struct tls_conn *c = t->tls;
	const char *at = bytes;

	while (len > 0) {
		size_t n = 0;
		int code = SSL_ERROR_NONE, r;

		{
			LOCKED(&c->lock);
			ERR_clear_error();
			errno = 0;
			r = SSL_write_ex(c->ssl, at, len, &n);
			if (r != 1)
				code = SSL_get_error(c->ssl, r);
		}
		if (r == 1) {
			at += n;
			len -= n;
			continue;
		}
		r = tls_wait(t, code, t->write_timeout_ms, "write to the TLS connection", err);
		if (r < 0)
			return r;
		if (r == 0)
			return error_sys(err, EPIPE, "write to the TLS connection");
	}
	return 0;
}

static int tls_shutdown_write(struct http_transport *t, struct error *err)
{
	struct tls_conn *c = t->tls;
	LOCKED(&c->lock);

	if (SSL_shutdown(c->ssl) < 0) {
		ERR_clear_error();
		return error_set(err, ERR_SYSTEM, "shut down the TLS connection");
	}
	return 0;
}

static size_t tls_pending(const struct http_transport *t)
{
	struct tls_conn *c = t->tls;
	LOCKED(&c->lock);

	return SSL_has_pending(c->ssl) ? 1 : 0;
}

static void tls_release(struct http_transport *t)
{
	struct tls_conn *c = t->tls;

	SSL_shutdown(c->ssl);
	ERR_clear_error();
	SSL_free(c->ssl);
	free(c);
	if (t->fd >= 0)
		close(t->fd);
}

static const struct http_transport_ops tls_ops = {
	.read = tls_read,
	.write = tls_write,
	.shutdown_write = tls_shutdown_write,
	.pending = tls_pending,
	.release = tls_release,
};

int http_tls_begin(struct http_tls *tls, struct http_transport *t, struct error *err)
{
	SSL *ssl = connection_new(tls);
	struct tls_conn *c;

	if (ssl == NULL || SSL_set_fd(ssl, t->fd) != 1) {
		SSL_free(ssl);
		return ssl_error(err, ERR_SYSTEM, "set up a TLS connection");
	}
	c = new0(struct tls_conn);
	c->lock = (struct lock)LOCK_INIT;
	c->ssl = ssl;
	t->tls = c;
	t->ops = &tls_ops;
	return 0;
}

int http_tls_handshake(struct http_transport *t, short *ret_wants, struct error *err)
{
	struct tls_conn *c = t->tls;
	int r, code, sys;

	ERR_clear_error();
	errno = 0;
	r = SSL_accept(c->ssl);
	sys = errno;
	code = r == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, r);
	switch (code) {
	case SSL_ERROR_NONE:
		*ret_wants = 0;
		return 0;
	case SSL_ERROR_WANT_READ:
		*ret_wants = POLLIN;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		*ret_wants = POLLOUT;
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return error_set(err, ERR_UNAUTHORIZED, "TLS handshake: peer has closed");
	case SSL_ERROR_SYSCALL:
		if (sys != 0)
			return error_sys(err, sys, "TLS handshake");
		return error_set(err, ERR_UNAUTHORIZED, "TLS handshake: peer has closed");
	default:
		return ssl_error(err, ERR_UNAUTHORIZED, "TLS handshake");
	}
}

void http_tls_peer_name(const struct http_transport *t, char *out, size_t len)
{
	const struct tls_conn *c = t->tls;
	X509 *cert = c ? SSL_get1_peer_certificate(c->ssl) : NULL;

	out[0] = 0;
	if (cert == NULL)
		return;
	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, out, (int)len);
	X509_free(cert);
}
