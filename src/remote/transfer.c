#include "remote/transfer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/str.h"
#include "remote/libcurl.h"

enum { HOLD_MAX = 48 * 1024 /* received bytes nobody has asked for yet */ };

struct channel {
	CURLM *multi; /* has the connections */
	CURL *easy;
};

struct transfer {
	struct pool *pool;
	struct channel *ch;
	const struct cancel *cancel;
	struct curl_slist *lines;
	char *what;    /* `Get "url"` */
	char *dial_as; /* the same for when nobody answers */
	char *url;
	char reason[CURL_ERROR_SIZE];
	char dialled[INET6_ADDRSTRLEN + 9]; /* "address:port" of the last attempt; a proxy's, too */
	const char *proxy;                  /* borrowed for the first answer */
	int stall_timeout_ms;
	int64_t progress_ns; /* when the last byte moved */

	struct upload body;
	bool has_body;
	uint64_t sent;

	unsigned status;
	struct map headers;
	size_t header_bytes;
	bool head_done, done, paused;
	CURLcode result;
	char *out; /* the reader's buffer while it waits */
	size_t out_len, out_n;
	struct buf held;
	size_t held_at;
	const char *const *ca_files;
};

static void channel_free(struct channel *c)
{
	curl_easy_cleanup(c->easy);
	curl_multi_cleanup(c->multi);
	free(c);
}

static struct channel *channel_get(struct pool *p)
{
	struct channel *c;

	{
		LOCKED(&p->lock);
		if (p->n_idle > 0)
			return p->idle[--p->n_idle];
	}
	c = new0(struct channel);
	c->multi = curl_multi_init();
	c->easy = curl_easy_init();
	if (c->multi == NULL || c->easy == NULL)
		abort();
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 4L);
	return c;
}

static void channel_put(struct pool *p, struct channel *c)
{
	{
		LOCKED(&p->lock);
		if (p->n_idle < POOL_MAX) {
			p->idle[p->n_idle++] = c;
			return;
		}
	}
	channel_free(c);
}

void pool_release(struct pool *p)
{
	while (p->n_idle > 0)
		channel_free(p->idle[--p->n_idle]);
}

static void touch(struct transfer *t)
{
	t->progress_ns = clock_mono_ns();
}

static void keep_header(struct transfer *t, struct str line)
{
	ptrdiff_t colon = str_find(line, ':');
	autofree char *name = NULL;
	const char *old;
	struct str value;
	char *text;

	if (colon <= 0)
		return;
	name = str_dup(str_trim(str_sub(line, 0, (size_t)colon)));
	for (char *p = name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 0x20);
	value = str_trim(str_sub(line, (size_t)colon + 1, line.len));
	old = map_get(&t->headers, name);
	/* Challenges and links may come in several lines. */
	if (old != NULL)
		text = cstr_format("%s, %.*s", old, STR_ARG(value));
	else
		text = str_dup(value);
	map_set(&t->headers, name, text);
}

static size_t on_header(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	struct str line = { bytes, size * n };

	touch(t);
	t->header_bytes += line.len;
	if (t->header_bytes > HEADERS_MAX_BYTES)
		return 0;
	if (str_starts(line, "HTTP/")) {
		map_release(&t->headers);
		return line.len;
	}
	if (str_trim(line).len == 0) {
		long code = 0;

		curl_easy_getinfo(t->ch->easy, CURLINFO_RESPONSE_CODE, &code);
		t->status = (unsigned)code;
		t->head_done = code >= 200;
		return line.len;
	}
	keep_header(t, line);
	return line.len;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n, direct = 0;
	int r;

	touch(t);
	if (t->held.len == t->held_at) {
		direct = len < t->out_len - t->out_n ? len : t->out_len - t->out_n;
		if (direct > 0)
			memcpy(t->out + t->out_n, bytes, direct);
		t->out_n += direct;
	} else if (t->held.len - t->held_at >= HOLD_MAX) {
		t->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	r = buf_add(&t->held, bytes + direct, len - direct, NULL);
	return r < 0 ? 0 : len;
}

static size_t on_send(char *out, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	uint64_t left = t->body.size - t->sent;
	size_t len = size * n < left ? size * n : (size_t)left;

	touch(t);
	if (len == 0)
		return 0;
	if (t->body.bytes != NULL) {
		memcpy(out, (const char *)t->body.bytes + t->sent, len);
	} else {
		ssize_t got = pread(t->body.fd, out, len, (off_t)t->sent);

		if (got <= 0)
			return CURL_READFUNC_ABORT;
		len = (size_t)got;
	}
	t->sent += len;
	if (t->body.progress != NULL)
		t->body.progress(t->body.arg, t->sent);
	return len;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct transfer *t = arg;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->body.size)
		return CURL_SEEKFUNC_CANTSEEK;
	t->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static CURLcode on_tls(CURL *easy, void *ctx, void *arg)
{
	const struct transfer *t = arg;

	(void)easy;
	for (const char *const *f = t->ca_files; f != NULL && *f != NULL; f++)
		if (SSL_CTX_load_verify_locations(ctx, *f, NULL) != 1)
			return CURLE_SSL_CACERT_BADFILE;
	return CURLE_OK;
}

static void add_line(struct transfer *t, const char *name, const char *value)
{
	autofree char *line = NULL;

	if (value == NULL)
		return;
	line = cstr_format("%s: %s", name, value);
	t->lines = curl_slist_append(t->lines, line);
}

static curl_socket_t on_dial(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct transfer *t = arg;
	char ip[INET6_ADDRSTRLEN];

	(void)purpose;
	if (to->family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)&to->addr;

		snprintf(t->dialled, sizeof(t->dialled), "[%s]:%u",
			 inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip)),
			 ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const void *)&to->addr;

		snprintf(t->dialled, sizeof(t->dialled), "%s:%u",
			 inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip)), ntohs(in->sin_port));
	}
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static void set_how(struct transfer *t, const struct transport *how)
{
	CURL *e = t->ch->easy;

	curl_easy_setopt(e, CURLOPT_USERAGENT, how->user_agent);
	t->proxy = how->proxy;
	curl_easy_setopt(e, CURLOPT_PROXY, how->proxy);
	curl_easy_setopt(e, CURLOPT_NOPROXY, how->no_proxy);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_dial);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)how->connect_timeout_ms);
	if (how->insecure_tls) {
		curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (how->client_cert != NULL)
		curl_easy_setopt(e, CURLOPT_SSLCERT, how->client_cert);
	if (how->client_key != NULL)
		curl_easy_setopt(e, CURLOPT_SSLKEY, how->client_key);
	if (how->ca_files != NULL) {
		curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_tls);
		curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, t);
	}
}

static void set_body(struct transfer *t, const struct request *q)
{
	CURL *e = t->ch->easy;

	if (q->body != NULL) {
		t->body = *q->body;
		t->has_body = true;
		curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body->size);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, on_send);
		curl_easy_setopt(e, CURLOPT_READDATA, t);
		curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
	} else if (strcmp(q->method, "HEAD") == 0) {
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	} else if (strcmp(q->method, "GET") != 0) {
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, "");
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, 0L);
	}
	if (strcmp(q->method, "HEAD") != 0)
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, q->method);
}

static void set_request(struct transfer *t, const struct request *q)
{
	CURL *e = t->ch->easy;

	curl_easy_setopt(e, CURLOPT_URL, q->url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 131072L);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->reason);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	/* A blob is its bytes: nobody on the way may pack them. */
	add_line(t, "Accept-Encoding", "identity");
	add_line(t, "Accept", q->accept);
	add_line(t, "Content-Type", q->content_type);
	add_line(t, "Authorization", q->authorization);
	add_line(t, "Range", q->range);
	t->lines = curl_slist_append(t->lines, "Expect:");
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->lines);
	set_body(t, q);
}

/* Let curl work until `enough` of the state is there. Stalls are measured here. */
static int step(struct transfer *t, struct error *err)
{
	struct curl_waitfd extra = { t->cancel ? t->cancel->fd : -1, CURL_WAIT_POLLIN, 0 };
	int running = 0, left, n;
	CURLMsg *m;

	if (cancel_fired(t->cancel))
		return error_set(err, ERR_CANCELED, "canceled");
	if (curl_multi_perform(t->ch->multi, &running) != CURLM_OK)
		return error_set(err, ERR_UNAVAILABLE, "%s: transfer failed", t->what);
	while ((m = curl_multi_info_read(t->ch->multi, &left)) != NULL) {
		if (m->msg == CURLMSG_DONE) {
			t->done = true;
			t->result = m->data.result;
		}
	}
	if (t->done || t->paused || (t->out_n > 0))
		return 0;
	/* A registry may have a large upload to hash before it answers. */
	if (clock_mono_ns() - t->progress_ns >
	    t->stall_timeout_ms * (t->has_body ? 4 : 1) * NS_PER_MS)
		return error_set(err, ERR_UNAVAILABLE, "%s: no data for %d s", t->what,
				 t->stall_timeout_ms / 1000);
	curl_multi_poll(t->ch->multi, &extra, t->cancel != NULL, 500, &n);
	return 0;
}

/* Why a certificate is not trusted, as Go says it where it does. */
static const char *distrust(const struct transfer *t, const char *reason)
{
	long verdict = X509_V_OK;

	curl_easy_getinfo(t->ch->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
	switch (verdict) {
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return "certificate signed by unknown authority";
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "certificate has expired or is not yet valid";
	default:
		return reason; /* a name that does not match has no code */
	}
}

/* The user and the password before it are nobody's to read. */
static const char *proxy_host(const char *proxy)
{
	const char *at = strrchr(proxy, '@');

	return at ? at + 1 : proxy;
}

/* What connect() said, in Go's spelling; NULL: curl has more to say. */
static const char *connect_word(long sys)
{
	switch (sys) {
	case ECONNREFUSED:
		return "connection refused";
	case EHOSTUNREACH:
		return "no route to host";
	case ENETUNREACH:
		return "network is unreachable";
	case ETIMEDOUT:
		return "connection timed out";
	default:
		return NULL;
	}
}

/* curl's verdict in the words that Docker's users know. */
static int explain(const struct transfer *t, enum transfer_failure *ret_why, struct error *err)
{
	autofree char *origin = url_origin(t->url);
	const char *host = origin && strstr(origin, "://") ? strstr(origin, "://") + 3 : t->url;
	const char *what = t->dial_as;
	const char *reason = t->reason[0] ? t->reason : curl_easy_strerror(t->result);
	const char *word;
	long sys = 0;

	curl_easy_getinfo(t->ch->easy, CURLINFO_OS_ERRNO, &sys);
	switch ((int)t->result) {
	case CURLE_URL_MALFORMAT:
		return error_set(err, ERR_INVALID, "%s: malformed URL", t->what);
	case CURLE_COULDNT_RESOLVE_PROXY:
		*ret_why = TRANSFER_CONNECT;
		return error_set(err, ERR_UNAVAILABLE,
				 "%s: proxyconnect tcp: dial tcp: lookup '%s': no such host", what,
				 proxy_host(t->proxy));
	case CURLE_COULDNT_RESOLVE_HOST:
		*ret_why = TRANSFER_CONNECT;
		return error_set(err, ERR_UNAVAILABLE, "%s: dial tcp: lookup %.*s: no such host",
				 what, (int)strcspn(host, ":"), host);
	case CURLE_COULDNT_CONNECT:
		*ret_why = TRANSFER_CONNECT;
		word = connect_word(sys);
		return error_set(err, ERR_UNAVAILABLE, "%s: dial tcp %s: %s%s", what,
				 t->dialled[0] ? t->dialled : host, word ? "connect: " : "",
				 word ? word : reason);
	case CURLE_OPERATION_TIMEDOUT:
		*ret_why = TRANSFER_CONNECT;
		return error_set(err, ERR_UNAVAILABLE, "%s: dial tcp %s: i/o timeout", what, host);
	case CURLE_SSL_CONNECT_ERROR:
		*ret_why = TRANSFER_TLS;
		/* OpenSSL met "HTTP/1.1 400" where a record should be; there is no code for it. */
		if (strstr(reason, "wrong version number"))
			return error_set(err, ERR_UNAVAILABLE,
					 "%s: http: server gave HTTP response to HTTPS client",
					 what);
		return error_set(err, ERR_UNAVAILABLE, "%s: tls: %s", what, reason);
	case CURLE_PEER_FAILED_VERIFICATION:
		*ret_why = TRANSFER_UNTRUSTED;
		return error_set(err, ERR_UNAVAILABLE, "%s: x509: %s", what, distrust(t, reason));
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
		*ret_why = TRANSFER_UNTRUSTED;
		return error_set(err, ERR_UNAVAILABLE, "%s: tls: %s", what, reason);
	default:
		*ret_why = TRANSFER_BROKEN;
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", t->what, reason);
	}
}

int transfer_begin(struct pool *p, const struct transport *how, const struct request *q,
		   const struct cancel *cancel, struct transfer **ret,
		   enum transfer_failure *ret_why, struct error *err)
{
	struct transfer *t;
	int r = libcurl_load(err);

	*ret_why = TRANSFER_BROKEN;
	if (r < 0)
		return r;
	t = new0(struct transfer);
	t->pool = p;
	t->ch = channel_get(p);
	t->cancel = cancel;
	t->url = xstrdup(q->url);
	t->what = cstr_format("%c%s \"%s\"", q->method[0], q->method + 1, q->url);
	for (char *c = t->what + 1; *c != ' '; c++)
		*c = (char)(*c | 0x20);
	t->dial_as = q->connect_as ? cstr_format("Get \"%s\"", q->connect_as) : xstrdup(t->what);
	t->stall_timeout_ms = how->stall_timeout_ms;
	t->headers.free_value = free;
	t->held.max = HOLD_MAX + 2 * CURL_MAX_WRITE_SIZE + 131072;
	t->ca_files = how->ca_files;
	touch(t);
	curl_easy_reset(t->ch->easy);
	set_how(t, how);
	set_request(t, q);
	curl_multi_add_handle(t->ch->multi, t->ch->easy);
	while (r == 0 && !t->head_done && !t->done)
		r = step(t, err);
	if (r == 0 && !t->head_done)
		r = t->result != CURLE_OK
			? explain(t, ret_why, err)
			: error_set(err, ERR_UNAVAILABLE, "%s: empty answer", t->what);
	t->ca_files = NULL; /* the handshake is over, and they are the caller's */
	if (r < 0) {
		transfer_end(t);
		return r;
	}
	*ret = t;
	return 0;
}

unsigned transfer_status(const struct transfer *t)
{
	return t->status;
}

const char *transfer_header(const struct transfer *t, const char *name)
{
	return map_get(&t->headers, name);
}

static size_t take_held(struct transfer *t, char *out, size_t len)
{
	size_t n = t->held.len - t->held_at;

	if (n > len)
		n = len;
	if (n > 0)
		memcpy(out, t->held.data + t->held_at, n);
	t->held_at += n;
	if (t->held_at == t->held.len)
		t->held.len = t->held_at = 0;
	return n;
}

int transfer_read(struct transfer *t, void *out, size_t len, size_t *ret_n, struct error *err)
{
	enum transfer_failure why;
	size_t n = take_held(t, out, len);
	int r = 0;

	if (n > 0 || len == 0) {
		*ret_n = n;
		return 0;
	}
	t->out = out;
	t->out_len = len;
	t->out_n = 0;
	touch(t);
	while (r == 0 && t->out_n == 0 && !t->done) {
		if (t->paused) {
			t->paused = false;
			curl_easy_pause(t->ch->easy, CURLPAUSE_CONT);
		}
		r = step(t, err);
	}
	n = t->out_n;
	t->out = NULL;
	t->out_len = t->out_n = 0;
	/* What has come is given first; the failure is found again by the next call. */
	if (n == 0 && r == 0)
		n = take_held(t, out, len);
	if (n == 0 && r < 0)
		return r;
	if (n == 0 && t->result != CURLE_OK)
		return explain(t, &why, err);
	*ret_n = n;
	return 0;
}

void transfer_end(struct transfer *t)
{
	if (t == NULL)
		return;
	curl_multi_remove_handle(t->ch->multi, t->ch->easy);
	channel_put(t->pool, t->ch);
	curl_slist_free_all(t->lines);
	map_release(&t->headers);
	buf_release(&t->held);
	free(t->what);
	free(t->dial_as);
	free(t->url);
	free(t);
}

static char *url_get(CURLU *u, CURLUPart part, unsigned flags)
{
	char *text = NULL, *copy;

	if (curl_url_get(u, part, &text, flags) != CURLUE_OK)
		return NULL;
	copy = xstrdup(text);
	curl_free(text);
	return copy;
}

char *url_resolve(const char *base, const char *relative)
{
	CURLU *u = libcurl_load(NULL) == 0 ? curl_url() : NULL;
	char *out = NULL;

	if (u == NULL)
		return NULL;
	if (curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
	    curl_url_set(u, CURLUPART_URL, relative, 0) == CURLUE_OK)
		out = url_get(u, CURLUPART_URL, 0);
	curl_url_cleanup(u);
	return out;
}

char *url_origin(const char *url)
{
	CURLU *u = libcurl_load(NULL) == 0 ? curl_url() : NULL;
	autofree char *scheme = NULL;
	autofree char *host = NULL;
	autofree char *port = NULL;
	char *out = NULL;

	if (u == NULL)
		return NULL;
	if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK) {
		scheme = url_get(u, CURLUPART_SCHEME, 0);
		host = url_get(u, CURLUPART_HOST, 0);
		port = url_get(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	}
	curl_url_cleanup(u);
	if (scheme != NULL && host != NULL && port != NULL)
		out = cstr_format("%s://%s:%s", scheme, host, port);
	return out;
}

char *url_escape(const char *text)
{
	char *escaped, *copy;

	if (libcurl_load(NULL) < 0)
		return xstrdup("");
	escaped = curl_easy_escape(NULL, text, 0);
	copy = xstrdup(escaped ? escaped : "");
	curl_free(escaped);
	return copy;
}
