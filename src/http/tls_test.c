/* The server's TLS from a client's side: certificates made here, an OpenSSL client, real sockets.
 */
#include "http/tls.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "http/client.h"
#include "http/server.h"
#include "tests/tap.h"

#define BIG (3U << 20)

static char dir[] = "/tmp/proa-tls-XXXXXX";
static int file_fd;
static uint16_t port;

/* ---- certificates ---- */

static const char *in_dir(const char *name)
{
	static char paths[16][96]; /* more than any caller holds at a time */
	static unsigned turn;
	char *path = paths[turn++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

/* name.crt and name.key; signed by `ca`, or by itself when that is NULL. */
static void make_cert(const char *name, const char *ca)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *ca_key = NULL;
	X509 *cert = X509_new(), *issuer = NULL;
	char file[64];
	FILE *f;

	if (ca) {
		snprintf(file, sizeof(file), "%s.crt", ca);
		f = fopen(in_dir(file), "re");
		issuer = PEM_read_X509(f, NULL, NULL, NULL);
		fclose(f);
		snprintf(file, sizeof(file), "%s.key", ca);
		f = fopen(in_dir(file), "re");
		ca_key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
		fclose(f);
	}
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ca ? 2 : 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert));
	X509_set_pubkey(cert, key);
	if (!ca) {
		X509_EXTENSION *e =
		    X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");

		X509_add_ext(cert, e, -1);
		X509_EXTENSION_free(e);
	}
	X509_sign(cert, ca_key ? ca_key : key, EVP_sha256());
	snprintf(file, sizeof(file), "%s.crt", name);
	f = fopen(in_dir(file), "we");
	PEM_write_X509(f, cert);
	fclose(f);
	snprintf(file, sizeof(file), "%s.key", name);
	f = fopen(in_dir(file), "we");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(cert);
	X509_free(issuer);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
}

/* ---- the server ---- */

static void handler(void *arg, struct http_request *req, struct http_response *res)
{
	auto_(buf) body = BUF_INIT(2 * BIG);
	const void *early;
	size_t n;
	int fd;

	(void)arg;
	if (strcmp(req->path, "/who") == 0) {
		const char *who = req->tls_subject ? req->tls_subject : "nobody";

		(void)!http_response_send(res, who, strlen(who), NULL);
	} else if (strcmp(req->path, "/echo") == 0) {
		if (http_request_read(req, &body, NULL) == 0)
			(void)!http_response_send(res, body.data, body.len, NULL);
	} else if (strcmp(req->path, "/file") == 0) {
		(void)!http_response_send_file(res, file_fd, 1, 3, NULL);
	} else if (strcmp(req->path, "/hijack") == 0) {
		struct http_stream s;
		char chunk[4096];

		if (http_response_hijack(res, NULL, &s, NULL) < 0)
			return;
		while (reader_read(s.reader, chunk, sizeof(chunk), &n, NULL) == 0 && n > 0)
			if (writer_write(s.writer, chunk, n, NULL) < 0)
				return;
		(void)!writer_write(s.writer, "bye", 3, NULL);
	} else if (strcmp(req->path, "/detach") == 0) {
		if (http_response_detach(res, NULL, &fd, &early, &n, NULL) < 0)
			return;
		(void)!write(fd, early, n);
		(void)!write(fd, "!", 1);
		close(fd);
	}
}

static void *run(void *arg)
{
	struct error err;

	if (http_server_run(arg, &err) < 0)
		printf("# %s\n", err.msg);
	return NULL;
}

/* ---- the client ---- */

struct client {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};

static int dial(void)
{
	struct timeval tv = { .tv_sec = 10 };
	char text[8];
	int fd = FD_NONE;

	snprintf(text, sizeof(text), "%u", (unsigned)port);
	if (http_dial_tcp("127.0.0.1", text, 5000, &fd, NULL) < 0)
		abort();
	fcntl(fd, F_SETFL, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd;
}

static void hang_up(struct client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
	ERR_clear_error();
}

/* Trusts `ca`, shows `cert` (or NULL); false when the handshake or a first byte fails. */
static bool call(struct client *c, const char *ca, const char *cert, int max_version)
{
	char file[64];

	c->fd = dial();
	c->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(c->ctx, max_version);
	if (max_version && max_version < TLS1_2_VERSION)
		SSL_CTX_set_security_level(c->ctx, 0);
	snprintf(file, sizeof(file), "%s.crt", ca);
	SSL_CTX_load_verify_locations(c->ctx, in_dir(file), NULL);
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	if (cert) {
		snprintf(file, sizeof(file), "%s.crt", cert);
		SSL_CTX_use_certificate_file(c->ctx, in_dir(file), SSL_FILETYPE_PEM);
		snprintf(file, sizeof(file), "%s.key", cert);
		SSL_CTX_use_PrivateKey_file(c->ctx, in_dir(file), SSL_FILETYPE_PEM);
	}
	c->ssl = SSL_new(c->ctx);
	SSL_set_fd(c->ssl, c->fd);
	return SSL_connect(c->ssl) == 1;
}

static size_t read_all(struct client *c, char *out, size_t max)
{
	size_t len = 0, n;

	while (len < max && SSL_read_ex(c->ssl, out + len, max - len, &n) == 1)
		len += n;
	out[len] = 0;
	return len;
}

/* The answer's body, or "" when there was none. */
static const char *ask(const char *request, const char *ca, const char *cert)
{
	static char out[8192];
	struct client c;
	size_t n;
	const char *body;

	out[0] = 0;
	if (call(&c, ca, cert, 0) && SSL_write_ex(c.ssl, request, strlen(request), &n) == 1)
		read_all(&c, out, sizeof(out) - 1);
	hang_up(&c);
	body = strstr(out, "\r\n\r\n");
	return body ? body + 4 : "";
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#define UPGRADE(path) \
	"POST " path " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"

static void test_answers(void)
{
	is_str(ask(GET("/who"), "server", NULL), "nobody", "a request over TLS");
	is_str(ask(GET("/file"), "server", NULL), "ile", "a piece of a file, without sendfile");
	is_str(ask(GET("/none"), "server", NULL), "", "a handler that sends nothing");
	is_str(ask(UPGRADE("/detach") "early", "server", NULL), "early!",
	       "a detached connection is pumped");
	is_str(ask(GET("/who"), "client", NULL), "", "a client that does not trust us leaves");
	is_str(ask(GET("/who"), "server", NULL), "nobody", "and others are served");
}

static void test_hijack(void)
{
	struct client c;
	char out[512];
	size_t n;

	ok(call(&c, "server", NULL, 0), "connect");
	SSL_write_ex(c.ssl, UPGRADE("/hijack"), strlen(UPGRADE("/hijack")), &n);
	SSL_write_ex(c.ssl, "abc", 3, &n);
	SSL_shutdown(c.ssl); /* our end only: what is under way still comes */
	read_all(&c, out, sizeof(out) - 1);
	hang_up(&c);
	ok(strstr(out, "HTTP/1.1 101 UPGRADED") && strstr(out, "\r\n\r\nabcbye"),
	   "a hijacked stream survives the client's half-close");
}

static void test_big(void)
{
	char head[128], *body = xcalloc(1, BIG), *out = xcalloc(1, BIG + 1024), *at;
	struct client c;
	size_t n, got = 0;

	for (size_t i = 0; i < BIG; i++)
		body[i] = (char)(i * 7 >> 3);
	snprintf(
	    head, sizeof(head),
	    "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %u\r\n\r\n",
	    BIG);
	if (call(&c, "server", NULL, 0) && SSL_write_ex(c.ssl, head, strlen(head), &n) == 1 &&
	    SSL_write_ex(c.ssl, body, BIG, &n) == 1)
		got = read_all(&c, out, BIG + 1023);
	hang_up(&c);
	at = got ? strstr(out, "\r\n\r\n") : NULL;
	ok(at && got - (size_t)(at + 4 - out) == BIG && memcmp(at + 4, body, BIG) == 0,
	   "3 MiB there and back, the same");
	free(body);
	free(out);
}

static void test_bad_peers(void)
{
	struct client c;
	char out[256];
	int fd;

	ok(!call(&c, "server", NULL, TLS1_1_VERSION), "TLS 1.1 is refused");
	hang_up(&c);
	ok(call(&c, "server", NULL, TLS1_2_VERSION), "TLS 1.2 is not");
	hang_up(&c);
	fd = dial();
	(void)!write(fd, GET("/who"), strlen(GET("/who")));
	while (read(fd, out, sizeof(out)) > 0)
		;
	close(fd);
	ok(true, "plain HTTP on the TLS port is closed");
	fd = dial();
	(void)!write(fd, "\x16\x03\x01", 3);
	is_int(read(fd, out, sizeof(out)), 0, "half a handshake is closed in time");
	close(fd);
	is_str(ask(GET("/who"), "server", NULL), "nobody", "the server goes on");
}

/* Beside this one and the waiter. */
static int workers(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = -4;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* Half a hello and half a head: neither may hold a thread while it waits for the rest. */
static void test_stalled_peers(void)
{
	struct client half[40], *last = &half[ARRAY_LEN(half) - 1];
	int hello[ARRAY_LEN(half)], closed = 0, connected = 0;
	char out[16];
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(half); i++) {
		hello[i] = dial();
		(void)!write(hello[i], "\x16\x03\x01\x02\x00\x01\x00", 7);
		connected += call(&half[i], "server", NULL, 0) &&
			     SSL_write_ex(half[i].ssl, "GET /who HT", 11, &n) == 1;
	}
	is_int(connected, ARRAY_LEN(half), "as many stall in a head as in a handshake");
	SSL_write_ex(last->ssl, "TP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 39, &n);
	ok(SSL_read_ex(last->ssl, out, 12, &n) == 1 && memcmp(out, "HTTP/1.1 200", 12) == 0,
	   "half a head may be completed");
	is_str(ask(GET("/who"), "server", NULL), "nobody", "another is served meanwhile");
	ok(workers() < (int)ARRAY_LEN(half), "they hold no threads");
	for (size_t i = 0; i < ARRAY_LEN(half); i++) {
		closed += read(hello[i], out, sizeof(out)) == 0;
		close(hello[i]);
		hang_up(&half[i]);
	}
	is_int(closed, ARRAY_LEN(half), "the stalled handshakes are closed in time");
}

static void test_client_certificates(struct http_tls *tls)
{
	struct http_tls_config mutual = { in_dir("server.crt"), in_dir("server.key"),
					  in_dir("ca.crt"), true };
	struct http_tls_config gone = { in_dir("none.crt"), in_dir("server.key"), NULL, false };
	struct http_tls_config renewed = { in_dir("other.crt"), in_dir("other.key"), NULL, false };
	struct error err;

	is_int(http_tls_reload(tls, &mutual, &err), 0, "from now on with client certificates");
	is_str(ask(GET("/who"), "server", "client"), "client", "the peer's name is its subject");
	is_str(ask(GET("/who"), "server", NULL), "", "no certificate, no answer");
	is_str(ask(GET("/who"), "server", "other"), "", "nor with another authority's");
	is_int(http_tls_reload(tls, &gone, &err), -ERR_INVALID, "a file that is not there");
	ok(strstr(err.msg, "none.crt"), "is named");
	is_str(ask(GET("/who"), "server", "client"), "client", "and what was goes on");
	is_int(http_tls_reload(tls, &renewed, &err), 0, "a renewed certificate");
	is_str(ask(GET("/who"), "other", NULL), "nobody", "is shown");
	is_str(ask(GET("/who"), "server", NULL), "", "the old one is not");
}

static void test_config(void)
{
	static const struct {
		const char *name, *cert, *key, *ca, *says;
		bool verify;
	} cases[] = {
		{ "no certificate", "none", "server.key", NULL, "none", false },
		{ "no key", "server.crt", "none", NULL, "none", false },
		{ "another's key", "server.crt", "other.key", NULL, "other.key", false },
		{ "a key as certificate", "server.key", "server.key", NULL, "server.key", false },
		{ "no authority", "server.crt", "server.key", NULL, "CA certificate", true },
		{ "a wrong authority", "server.crt", "server.key", "server.key", "server.key",
		  true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_tls_config c = { in_dir(cases[i].cert), in_dir(cases[i].key),
					     cases[i].ca ? in_dir(cases[i].ca) : NULL,
					     cases[i].verify };
		struct http_tls *t = NULL;
		struct error err = { 0 };

		is_int(http_tls_new(&c, &t, &err), -ERR_INVALID, cases[i].name);
		ok(strstr(err.msg, cases[i].says), "names the file");
	}
}

static int remove_dir(struct error *err)
{
	autoclose int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fs_remove_tree(tmp, dir + strlen("/tmp/"), err);
}

int main(void)
{
	struct http_server_config config = { .header_timeout_ms = 2000 };
	struct http_tls_config files;
	struct http_server *s;
	struct http_tls *tls;
	struct error err;
	pthread_t thread;

	if (!mkdtemp(dir))
		return 1;
	make_cert("server", NULL);
	make_cert("other", NULL);
	make_cert("ca", NULL);
	make_cert("client", "ca");
	file_fd = open(in_dir("f"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	(void)!write(file_fd, "file", 4);
	test_config();
	files = (struct http_tls_config){ in_dir("server.crt"), in_dir("server.key"), NULL, false };
	if (http_tls_new(&files, &tls, &err) < 0 ||
	    http_server_new(&config, handler, NULL, &s, &err) < 0 ||
	    http_server_listen_tcp(s, "127.0.0.1", 0, tls, &port, &err) < 0) {
		printf("Bail out! %s\n", err.msg);
		return 1;
	}
	pthread_create(&thread, NULL, run, s);
	test_answers();
	test_hijack();
	test_big();
	test_bad_peers();
	test_stalled_peers();
	test_client_certificates(tls);
	http_server_stop(s);
	pthread_join(thread, NULL);
	http_server_free(s);
	http_tls_unref(tls);
	close(file_fd);
	is_int(remove_dir(&err), 0, "the directory goes");
	return tap_done();
}
