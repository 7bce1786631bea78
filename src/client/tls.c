#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/queue.h"
#include "base/str.h"
#include "client/link_internal.h"

/* From OpenSSL's stable ABI (libssl.so.3). */
#define VERIFY_NONE        0
#define VERIFY_PEER        1
#define FILETYPE_PEM       1
#define ERROR_WANT_READ    2
#define ERROR_WANT_WRITE   3
#define CTRL_SET_HOSTNAME  55
#define NAMETYPE_HOST_NAME 0

struct libssl {
	void *(*client_method)(void);
	void *(*ctx_new)(const void *method);
	void (*ctx_free)(void *ctx);
	int (*ctx_ca)(void *ctx, const char *file, const char *dir);
	int (*ctx_default_ca)(void *ctx);
	int (*ctx_cert)(void *ctx, const char *file);
	int (*ctx_key)(void *ctx, const char *file, int type);
	void (*ctx_verify)(void *ctx, int mode, void *callback);
	void *(*new)(void *ctx);
	void (*free)(void *ssl);
	int (*set_fd)(void *ssl, int fd);
	int (*set_host)(void *ssl, const char *name);
	long (*ctrl)(void *ssl, int cmd, long larg, void *parg);
	int (*connect)(void *ssl);
	int (*read)(void *ssl, void *out, size_t len, size_t *n);
	int (*write)(void *ssl, const void *bytes, size_t len, size_t *n);
	int (*pending)(const void *ssl);
	int (*shutdown)(void *ssl);
	int (*get_error)(const void *ssl, int r);
	unsigned long (*err_get)(void);
	void (*err_text)(unsigned long code, char *out, size_t len);
};

struct pump_buffer {
	char bytes[16 * 1024];
	size_t at, len;
};

struct pump {
	struct libssl lib;
	void *ssl;
	int tls_fd, plain_fd;
	struct pump_buffer in, out; /* from the server, to the server */
};

static int load(struct libssl *lib, struct error *err)
{
	struct {
		void *slot;
		const char *name;
	} symbols[] = {
		{ &lib->client_method, "TLS_client_method" },
		{ &lib->ctx_new, "SSL_CTX_new" },
		{ &lib->ctx_free, "SSL_CTX_free" },
		{ &lib->ctx_ca, "SSL_CTX_load_verify_locations" },
		{ &lib->ctx_default_ca, "SSL_CTX_set_default_verify_paths" },
		{ &lib->ctx_cert, "SSL_CTX_use_certificate_chain_file" },
		{ &lib->ctx_key, "SSL_CTX_use_PrivateKey_file" },
		{ &lib->ctx_verify, "SSL_CTX_set_verify" },
		{ &lib->new, "SSL_new" },
		{ &lib->free, "SSL_free" },
		{ &lib->set_fd, "SSL_set_fd" },
		{ &lib->set_host, "SSL_set1_host" },
		{ &lib->ctrl, "SSL_ctrl" },
		{ &lib->connect, "SSL_connect" },
		{ &lib->read, "SSL_read_ex" },
		{ &lib->write, "SSL_write_ex" },
		{ &lib->pending, "SSL_has_pending" },
		{ &lib->shutdown, "SSL_shutdown" },
		{ &lib->get_error, "SSL_get_error" },
		{ &lib->err_get, "ERR_get_error" },
		{ &lib->err_text, "ERR_error_string_n" },
	};
	void *so = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);

	if (so == NULL)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "TLS needs libssl.so.3, which cannot be loaded: %s", dlerror());
	for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
		void *found = dlsym(so, symbols[i].name);

		if (found == NULL)
			return error_set(err, ERR_UNIMPLEMENTED, "libssl.so.3 lacks %s",
					 symbols[i].name);
		memcpy(symbols[i].slot, &found, sizeof(found));
	}
	return 0;
}

static int tls_error(const struct libssl *lib, const char *what, struct error *err)
{
	unsigned long code = lib->err_get();
	char text[256] = "unknown error";

	if (code != 0)
		lib->err_text(code, text, sizeof(text));
	return error_set(err, ERR_UNAUTHORIZED, "%s: %s", what, text);
}

static int make_context(const struct libssl *lib, const struct host *h, void **ret,
			struct error *err)
{
	void *ctx = lib->ctx_new(lib->client_method());
	int ok = ctx != NULL;

	if (ok && h->tls_verify)
		ok = h->tls_ca ? lib->ctx_ca(ctx, h->tls_ca, NULL) == 1
			       : lib->ctx_default_ca(ctx) == 1;
	if (ok && h->tls_cert)
		ok = lib->ctx_cert(ctx, h->tls_cert) == 1;
	if (ok && h->tls_key)
		ok = lib->ctx_key(ctx, h->tls_key, FILETYPE_PEM) == 1;
	if (!ok) {
		lib->ctx_free(ctx);
		return tls_error(lib, "could not read CA certificate or key pair", err);
	}
	lib->ctx_verify(ctx, h->tls_verify ? VERIFY_PEER : VERIFY_NONE, NULL);
	*ret = ctx;
	return 0;
}

/* Wait for what the last call wanted. False when it did not fail for that. */
static bool wait_for(const struct pump *p, int r, int timeout_ms)
{
	int code = p->lib.get_error(p->ssl, r);
	struct pollfd fd = { .fd = p->tls_fd, .events = POLLIN };

	if (code == ERROR_WANT_WRITE)
		fd.events = POLLOUT;
	else if (code != ERROR_WANT_READ)
		return false;
	return poll(&fd, 1, timeout_ms) > 0;
}

static int shake_hands(struct pump *p, const struct host *h, struct error *err)
{
	autofree char *name = xstrdup(h->name);

	p->lib.ctrl(p->ssl, CTRL_SET_HOSTNAME, NAMETYPE_HOST_NAME, name);
	if (h->tls_verify && p->lib.set_host(p->ssl, name) != 1)
		return tls_error(&p->lib, "TLS", err);
	if (p->lib.set_fd(p->ssl, p->tls_fd) != 1)
		return tls_error(&p->lib, "TLS", err);
	for (;;) {
		int r = p->lib.connect(p->ssl);

		if (r == 1)
			return 0;
		if (!wait_for(p, r, 30 * 1000))
			return tls_error(&p->lib, "error during connect: TLS handshake", err);
	}
}

/* Take from the plain side. False at its end. */
static bool read_plain(struct pump *p)
{
	ssize_t n = recv(p->plain_fd, p->out.bytes, sizeof(p->out.bytes), MSG_DONTWAIT);

	p->out.at = 0;
	p->out.len = n > 0 ? (size_t)n : 0;
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* The four steps below never wait, so that neither direction holds up the other. */
static bool write_plain(struct pump *p)
{
	while (p->in.at < p->in.len) {
		ssize_t n = send(p->plain_fd, p->in.bytes + p->in.at, p->in.len - p->in.at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		p->in.at += (size_t)n;
	}
	return true;
}

static bool is_waiting(const struct pump *p, int r)
{
	int code = p->lib.get_error(p->ssl, r);

	return code == ERROR_WANT_READ || code == ERROR_WANT_WRITE;
}

static bool write_tls(struct pump *p)
{
	while (p->out.at < p->out.len) {
		size_t n = 0;
		int r = p->lib.write(p->ssl, p->out.bytes + p->out.at, p->out.len - p->out.at, &n);

		if (r != 1)
			return is_waiting(p, r);
		p->out.at += n;
	}
	return true;
}

static bool read_tls(struct pump *p)
{
	int r;

	p->in.at = p->in.len = 0;
	r = p->lib.read(p->ssl, p->in.bytes, sizeof(p->in.bytes), &p->in.len);
	return r == 1 || is_waiting(p, r);
}

static void pump_free(struct pump *p)
{
	if (p->ssl)
		p->lib.free(p->ssl);
	if (p->tls_fd >= 0)
		close(p->tls_fd);
	if (p->plain_fd >= 0)
		close(p->plain_fd);
	free(p);
}

static void pump_run(void *arg)
{
	struct pump *p = arg;
	bool open = true;

	for (;;) {
		bool in_empty = p->in.at == p->in.len, out_empty = p->out.at == p->out.len;
		bool more = in_empty && p->lib.pending(p->ssl) != 0;
		struct pollfd fds[] = { { .fd = open || !in_empty ? p->plain_fd : -1 },
					{ .fd = p->tls_fd } };

		fds[0].events =
		    (short)((open && out_empty ? POLLIN : 0) | (in_empty ? 0 : POLLOUT));
		fds[1].events = (short)((in_empty ? POLLIN : 0) | (out_empty ? 0 : POLLOUT));
		if (poll(fds, ARRAY_LEN(fds), more ? 0 : -1) < 0 && errno != EINTR)
			break;
		if (open && out_empty && (fds[0].revents & (POLLIN | POLLHUP)) && !read_plain(p)) {
			/* Half-close: close_notify tells the server that stdin has ended. */
			p->lib.shutdown(p->ssl);
			open = false;
		}
		if (p->out.at < p->out.len && !write_tls(p))
			break;
		if (in_empty && (more || fds[1].revents) && !read_tls(p))
			break;
		if (p->in.at < p->in.len && !write_plain(p))
			break;
	}
	pump_free(p);
}

int link_wrap_tls(const struct host *h, int take_fd, int *ret_fd, struct error *err)
{
	struct pump *p = new0(struct pump);
	void *ctx = NULL;
	int pair[2] = { FD_NONE, FD_NONE };
	int r;

	p->tls_fd = take_fd;
	p->plain_fd = FD_NONE;
	r = load(&p->lib, err);
	if (r == 0)
		r = make_context(&p->lib, h, &ctx, err);
	if (r == 0) {
		p->ssl = p->lib.new(ctx);
		p->lib.ctx_free(ctx);
		r = p->ssl ? shake_hands(p, h, err) : tls_error(&p->lib, "TLS", err);
	}
	if (r == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		r = error_sys(err, errno, "create a socketpair");
	if (r == 0) {
		p->plain_fd = pair[1];
		r = thread_start(pump_run, p, "tls", err);
	}
	if (r < 0) {
		if (pair[0] >= 0)
			close(pair[0]);
		pump_free(p);
		return r;
	}
	*ret_fd = pair[0];
	return 0;
}
