#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/lock.h"
#include "base/str.h"
#include "client/link_internal.h"
#include "http/url.h"

#define HEADERS_MAX    64
#define ERROR_BODY_MAX (1024 * 1024)
#define JSON_BODY_MAX  (256 * 1024 * 1024)
#define IDLE_LINKS_MAX 4
#define TARGET_MAX     (1024 * 1024)

struct client {
	struct host host;
	char *user_agent;
	struct http_header headers[HEADERS_MAX];
	size_t n_headers;

	struct lock lock; /* below */
	struct link *idle;
	unsigned n_idle;
	bool settled; /* version is final */
	char version[16];
};

/* What a caller sees, and what carries it. */
struct client_answer {
	struct client_response response;
	struct client *client;
	struct link *link;
	struct http_call call;
	struct reader empty;
};

int client_new(const struct client_config *config, struct client **ret, struct error *err)
{
	struct client *c;
	int r;

	if (config->n_headers > HEADERS_MAX - 8)
		return error_set(err, ERR_INVALID, "more than %d HTTP headers configured",
				 HEADERS_MAX - 8);
	c = new0(struct client);
	c->lock = (struct lock)LOCK_INIT;
	c->host.tls = config->tls;
	r = host_parse(config->host, &c->host, err);
	if (r < 0) {
		client_free(c);
		return r;
	}
	c->host.tls_verify = config->tls_verify;
	c->host.tls_ca = config->tls_ca ? xstrdup(config->tls_ca) : NULL;
	c->host.tls_cert = config->tls_cert ? xstrdup(config->tls_cert) : NULL;
	c->host.tls_key = config->tls_key ? xstrdup(config->tls_key) : NULL;
	c->user_agent =
	    xstrdup(config->user_agent ? config->user_agent : "proa/" PROA_VERSION " (linux)");
	for (size_t i = 0; i < config->n_headers; i++) {
		c->headers[i].name = xstrdup(config->headers[i].name);
		c->headers[i].value = xstrdup(config->headers[i].value);
	}
	c->n_headers = config->n_headers;
	if (!cstr_is_empty(config->api_version)) {
		const char *v = config->api_version;

		snprintf(c->version, sizeof(c->version), "%s", v[0] == 'v' ? v + 1 : v);
		c->settled = true;
	}
	*ret = c;
	return 0;
}

void client_free(struct client *c)
{
	if (c == NULL)
		return;
	while (c->idle) {
		struct link *l = c->idle;

		c->idle = l->next;
		link_close(l);
	}
	for (size_t i = 0; i < c->n_headers; i++) {
		free((void *)(uintptr_t)c->headers[i].name);
		free((void *)(uintptr_t)c->headers[i].value);
	}
	host_release(&c->host);
	free(c->user_agent);
	free(c);
}

const char *client_api_version(const struct client *c)
{
	return c->version[0] ? c->version : CLIENT_API_VERSION_MAX;
}

static struct link *take_idle(struct client *c)
{
	struct link *l;
	LOCKED(&c->lock);

	l = c->idle;
	if (l) {
		c->idle = l->next;
		c->n_idle--;
		l->reused = true;
	}
	return l;
}

static void give_back(struct client *c, struct link *l)
{
	{
		LOCKED(&c->lock);
		if (c->n_idle < IDLE_LINKS_MAX && c->host.kind != HOST_FD) {
			l->conn.transport.cancel = NULL;
			l->next = c->idle;
			c->idle = l;
			c->n_idle++;
			return;
		}
	}
	link_close(l);
}

/* Everything that goes out, in terms of http/client.h. */
struct outgoing {
	struct arena arena;
	struct http_call_head head;
	struct http_header headers[HEADERS_MAX];
};

static void add_header(struct outgoing *o, const char *name, const char *value)
{
	if (o->head.n_headers < HEADERS_MAX)
		o->headers[o->head.n_headers++] = (struct http_header){ name, value };
}

static void compose(struct client *c, const struct client_request *req, const char *upgrade,
		    struct outgoing *o)
{
	const char *query = cstr_is_empty(req->query) ? "" : req->query;

	o->head = (struct http_call_head){
		.method = req->method,
		.host = c->host.header,
		.headers = o->headers,
		.body = req->body,
		.body_len = req->body_len,
		.body_reader = req->body_reader,
		.upgrade = upgrade,
		.pass_fds = req->fds,
		.n_pass_fds = req->n_fds,
	};
	if (req->unversioned)
		o->head.target = arena_format(&o->arena, "%s%s%s%s", c->host.base, req->path,
					      query[0] ? "?" : "", query);
	else
		o->head.target =
		    arena_format(&o->arena, "%s/v%s%s%s%s", c->host.base, client_api_version(c),
				 req->path, query[0] ? "?" : "", query);
	add_header(o, "User-Agent", c->user_agent);
	if (req->content_type)
		add_header(o, "Content-Type", req->content_type);
	else if (req->body)
		add_header(o, "Content-Type", "application/json");
	for (size_t i = 0; i < c->n_headers; i++)
		add_header(o, c->headers[i].name, c->headers[i].value);
	for (size_t i = 0; i < req->n_headers && i < HEADERS_MAX - 8; i++)
		add_header(o, req->headers[i].name, req->headers[i].value);
}

/* An idle connection that the server has closed meanwhile is not an error. */
static bool may_retry(const struct link *l, const struct client_request *req,
		      const struct error *err)
{
	return l->reused && req->body_reader == NULL && l->conn.src.in.len == 0 &&
	       (err->sys == EPIPE || err->sys == ECONNRESET ||
		(err->kind == ERR_UNAVAILABLE && err->sys == 0));
}

static int exchange(struct client *c, const struct client_request *req, const char *upgrade,
		    struct link **ret_link, struct http_call *ret_call, struct error *err)
{
	struct outgoing o = { .arena = ARENA_INIT };
	struct error why = { 0 };
	int r;

	compose(c, req, upgrade, &o);
	for (;;) {
		struct link *l = take_idle(c);

		if (l == NULL) {
			r = link_open(&c->host, &l, err);
			if (r < 0)
				break;
		}
		l->conn.transport.cancel = req->cancel;
		why = (struct error){ 0 };
		r = http_call_start(&l->conn, &o.head, ret_call, &why);
		if (r == 0) {
			*ret_link = l;
			break;
		}
		if (!may_retry(l, req, &why)) {
			link_close(l);
			if (err)
				*err = why;
			if (r != -ERR_CANCELED)
				r = error_wrap(err, r, "error during connect: %s %s", req->method,
					       req->path);
			break;
		}
		link_close(l);
	}
	arena_release(&o.arena);
	return r;
}

static enum error_kind kind_of_status(int status)
{
	switch (status) {
	case 400:
		return ERR_INVALID;
	case 401:
		return ERR_UNAUTHORIZED;
	case 403:
		return ERR_FORBIDDEN;
	case 404:
		return ERR_NOT_FOUND;
	case 409:
		return ERR_CONFLICT;
	case 501:
		return ERR_UNIMPLEMENTED;
	case 503:
		return ERR_UNAVAILABLE;
	default:
		return ERR_SYSTEM;
	}
}

/* The server's refusal as our error; ends the exchange. */
static int refused(struct client *c, const char *path, struct link *l, struct http_call *call,
		   struct error *err)
{
	auto_(buf) text = BUF_INIT(ERROR_BODY_MAX);
	auto_(arena) a = ARENA_INIT;
	enum error_kind kind = kind_of_status(call->head.status);
	const struct json *j = NULL;
	const char *message;
	struct str plain;
	int r;

	if (reader_read_all(&call->body.reader, &text, NULL) < 0)
		text.len = 0;
	if (text.len > 0 && json_parse(&a, text.data, text.len, &j, NULL) < 0)
		j = NULL;
	message = json_str(j, "message");
	plain = str_trim((struct str){ text.data ? text.data : "", text.len });
	if (!cstr_is_empty(message))
		r = error_set(err, kind, "%s", message);
	else if (j == NULL && plain.len > 0)
		r = error_set(err, kind, "%.*s", (int)(plain.len < 900 ? plain.len : 900),
			      plain.at);
	else
		r = error_set(err, kind,
			      "request returned %s for API route and version %s%s, check if the "
			      "server supports the requested API version",
			      http_status_reason(call->head.status), c->host.text, path);
	if (http_call_reusable(call)) {
		http_call_release(call);
		give_back(c, l);
	} else {
		http_call_release(call);
		link_close(l);
	}
	return r;
}

static int nothing(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err)
{
	(void)r;
	(void)out;
	(void)len;
	(void)err;
	*ret_n = 0;
	return 0;
}

static const struct reader_ops empty_ops = { .read = nothing };

static int do_request(struct client *c, const struct client_request *req,
		      struct client_response **ret, struct error *err)
{
	struct client_answer *a;
	struct http_call call;
	struct link *l;
	int r;

	r = exchange(c, req, NULL, &l, &call, err);
	if (r < 0)
		return r;
	if (call.head.status >= 400)
		return refused(c, req->path, l, &call, err);
	a = new0(struct client_answer);
	a->client = c;
	a->link = l;
	a->call = call;
	a->empty.ops = &empty_ops;
	a->response.status = call.head.status;
	a->response.headers = &a->call.head.headers;
	a->response.body = call.head.status == 101 ? &a->empty : &a->call.body.reader;
	*ret = &a->response;
	return 0;
}

void client_response_free(struct client_response *r)
{
	struct client_answer *a;

	if (r == NULL)
		return;
	a = container_of(r, struct client_answer, response);
	/* What is left of a finished answer is its end mark. */
	if (!a->call.body.done && a->call.body.framing == HTTP_BODY_CHUNKED &&
	    a->link->conn.src.at < a->link->conn.src.in.len)
		(void)!http_body_drain(&a->call.body, 1, NULL);
	if (http_call_reusable(&a->call)) {
		http_call_release(&a->call);
		give_back(a->client, a->link);
	} else {
		http_call_release(&a->call);
		link_close(a->link);
	}
	free(a);
}

const char *client_response_header(const struct client_response *r, const char *name)
{
	return http_headers_get(r->headers, name);
}

/* "1.41" -> 41; -1 for anything else. */
static int minor_of(const char *version)
{
	uint64_t minor;

	if (!cstr_starts(version, "1.") || parse_u64(str_of(version + 2), 9999, &minor, NULL) < 0)
		return -1;
	return (int)minor;
}

static void settle(struct client *c, const char *server)
{
	int ours = minor_of(CLIENT_API_VERSION_MAX);
	int theirs = cstr_is_empty(server) ? minor_of(CLIENT_API_VERSION_MIN) : minor_of(server);
	LOCKED(&c->lock);

	if (c->settled)
		return;
	if (theirs >= 0 && theirs < ours)
		snprintf(c->version, sizeof(c->version), "1.%d", theirs);
	else
		snprintf(c->version, sizeof(c->version), "%s", CLIENT_API_VERSION_MAX);
	c->settled = true;
}

static bool is_settled(struct client *c)
{
	LOCKED(&c->lock);

	return c->settled;
}

static void copy_header(const struct client_response *r, const char *name, char *out, size_t len)
{
	const char *value = client_response_header(r, name);

	snprintf(out, len, "%s", value ? value : "");
}

int client_negotiate(struct client *c, struct client_ping *ret, struct error *err)
{
	struct client_request req = { .method = "HEAD", .path = "/_ping", .unversioned = true };
	struct client_response *res;
	struct client_ping ping = { 0 };
	const char *experimental;
	int r;

	r = do_request(c, &req, &res, err);
	if (r < 0 && (err == NULL || err->sys == 0) && r != -ERR_CANCELED) {
		req.method = "GET";
		r = do_request(c, &req, &res, err);
	}
	if (r < 0)
		return r;
	copy_header(res, "Api-Version", ping.api_version, sizeof(ping.api_version));
	copy_header(res, "Ostype", ping.os_type, sizeof(ping.os_type));
	copy_header(res, "Builder-Version", ping.builder_version, sizeof(ping.builder_version));
	experimental = client_response_header(res, "Docker-Experimental");
	ping.experimental = experimental && strcmp(experimental, "true") == 0;
	client_response_free(res);
	settle(c, ping.api_version);
	if (ret)
		*ret = ping;
	return 0;
}

int client_do(struct client *c, const struct client_request *req, struct client_response **ret,
	      struct error *err)
{
	if (!req->unversioned && !is_settled(c)) {
		int r = client_negotiate(c, NULL, err);

		if (r < 0)
			return r;
	}
	return do_request(c, req, ret, err);
}

int client_json(struct client *c, const char *method, const char *path, const char *query,
		const char *body, struct arena *a, const struct json **ret, struct error *err)
{
	struct client_request req = { .method = method,
				      .path = path,
				      .query = query,
				      .body = body,
				      .body_len = body ? strlen(body) : 0 };
	auto_(buf) text = BUF_INIT(JSON_BODY_MAX);
	struct client_response *res;
	int r;

	r = client_do(c, &req, &res, err);
	if (r < 0)
		return r;
	r = reader_read_all(res->body, &text, err);
	client_response_free(res);
	if (r < 0)
		return error_wrap(err, r, "read the answer to %s %s", method, path);
	if (ret == NULL)
		return 0;
	if (text.len == 0) {
		*ret = NULL;
		return 0;
	}
	r = json_parse(a, text.data, text.len, ret, err);
	return r < 0 ? error_wrap(err, r, "answer to %s %s", method, path) : 0;
}

int client_hijack(struct client *c, const struct client_request *req, struct client_stream *ret,
		  struct error *err)
{
	struct http_source *src;
	struct http_call call;
	struct link *l;
	const char *type;
	int r;

	if (!is_settled(c)) {
		r = client_negotiate(c, NULL, err);
		if (r < 0)
			return r;
	}
	r = exchange(c, req, "tcp", &l, &call, err);
	if (r < 0)
		return r;
	if (call.head.status >= 400)
		return refused(c, req->path, l, &call, err);
	if (call.head.status != 101 && call.head.status != 200) {
		r = error_set(err, ERR_SYSTEM, "unable to upgrade to tcp, received %d",
			      call.head.status);
		http_call_release(&call);
		link_close(l);
		return r;
	}
	type = http_headers_get(&call.head.headers, "Content-Type");
	src = &l->conn.src;
	*ret = (struct client_stream){
		.fd = steal_fd(&l->conn.transport.fd),
		.early_len = src->in.len - src->at,
		.multiplexed =
		    type && strcmp(type, "application/vnd.docker.multiplexed-stream") == 0,
	};
	if (ret->early_len > 0) {
		ret->early = xcalloc(1, ret->early_len + 1);
		memcpy(ret->early, src->in.data + src->at, ret->early_len);
	}
	fcntl(ret->fd, F_SETFL, fcntl(ret->fd, F_GETFL) & ~O_NONBLOCK);
	http_call_release(&call);
	/* The helper of an ssh link lives as long as the stream's socket. */
	if (l->has_helper)
		proc_close(&l->helper);
	l->has_helper = false;
	link_close(l);
	return 0;
}
