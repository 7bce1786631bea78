#include "client/client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "http/server.h"
#include "tests/tap.h"

static void send_text(struct http_response *res, int status, const char *text)
{
	http_response_set_status(res, status);
	http_response_set_header(res, "Api-Version", "1.41");
	(void)!http_response_send(res, text, strlen(text), NULL);
}

static void stream(struct http_response *res)
{
	static const char *const parts[] = { "{\"a\":1}\r\n{\"b\":\"}", "\\\"\"}{\"c\"",
					     ":[2]}\n" };
	struct writer *w;

	if (http_response_begin(res, -1, &w, NULL) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (writer_write(w, parts[i], strlen(parts[i]), NULL) < 0)
			return;
}

static void handler(void *arg, struct http_request *req, struct http_response *res)
{
	struct http_stream s;

	(void)arg;
	if (strcmp(req->path, "/_ping") == 0) {
		send_text(res, 200, "OK");
	} else if (strcmp(req->path, "/v1.41/containers/a b/json") == 0) {
		send_text(res, 200, "{\"Id\":\"x\"}");
	} else if (strcmp(req->path, "/v1.41/stream") == 0) {
		stream(res);
	} else if (strcmp(req->path, "/v1.41/attach") == 0) {
		if (http_response_hijack(res, NULL, &s, NULL) == 0)
			(void)!writer_write(s.writer, "hello", 5, NULL);
	} else {
		send_text(res, 404, "{\"message\":\"No such container: y\"}");
	}
}

static void *run(void *arg)
{
	(void)!http_server_run(arg, NULL);
	return NULL;
}

static void test_json(struct client *c)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *j = NULL;
	struct error err = { 0 };

	is_int(client_json(c, "GET", client_path(&a, "/containers/", "a b", "/json"), NULL, NULL,
			   &a, &j, &err),
	       0, "a JSON answer");
	is_str(json_str(j, "Id"), "x", "its content");
	is_str(client_api_version(c), "1.41", "the version is the server's, which is older");
	is_int(client_json(c, "GET", "/containers/y/json", NULL, NULL, &a, &j, &err),
	       -ERR_NOT_FOUND, "a 404 is not-found");
	is_str(err.msg, "No such container: y", "with the server's words");
}

static const struct json *next_message(struct client_messages *m, struct arena *a)
{
	const struct json *j = NULL;
	const char *text;
	size_t len;

	is_int(client_messages_next(m, &text, &len, NULL), 0, "next message");
	if (text != NULL)
		is_int(json_parse(a, text, len, &j, NULL), 0, "which is a document");
	return j;
}

static void test_messages(struct client *c)
{
	struct client_request req = { .method = "GET", .path = "/stream" };
	auto_(arena) a = ARENA_INIT;
	struct client_response *res;
	struct client_messages m;

	is_int(client_do(c, &req, &res, NULL), 0, "a stream starts");
	client_messages_init(&m, res->body);
	is_int(json_int(next_message(&m, &a), "a", 0), 1, "is an object");
	is_str(json_str(next_message(&m, &a), "b"), "}\"", "brackets in strings do not end it");
	ok(json_get(next_message(&m, &a), "c") != NULL, "one without a separator is whole");
	ok(next_message(&m, &a) == NULL, "the end is NULL");
	client_messages_release(&m);
	client_response_free(res);
}

static void test_hijack(struct client *c)
{
	struct client_request req = { .method = "POST", .path = "/attach" };
	struct client_stream s;
	char got[16] = "";
	size_t len;
	ssize_t n;

	is_int(client_hijack(c, &req, &s, NULL), 0, "a hijacked stream");
	len = s.early_len;
	if (len > 0 && len < sizeof(got))
		memcpy(got, s.early, len);
	while (len < 5 && (n = read(s.fd, got + len, sizeof(got) - 1 - len)) > 0)
		len += (size_t)n;
	is_str(got, "hello", "gives its bytes, early ones included");
	client_stream_release(&s);
}

static void test_hosts(void)
{
	static const struct {
		const char *host;
		int want;
	} cases[] = {
		{ "unix:///run/x.sock", 0 },
		{ "tcp://h:2375", 0 },
		{ "tcp://[::1]:2375", 0 },
		{ "tcp://h", 0 },
		{ "tcp://h:99999", -ERR_INVALID },
		{ "ssh://u@h:22", 0 },
		{ "ssh://-oProxyCommand=x", -ERR_INVALID },
		{ "ssh://h/run/x.sock", 0 },
		{ "ssh://h/run/$(id)", -ERR_INVALID },
		{ "fd://3", 0 },
		{ "fd://x", -ERR_INVALID },
		{ "/run/x.sock", -ERR_INVALID },
		{ "unix://", -ERR_INVALID },
		{ "", -ERR_INVALID },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct client_config config = { .host = cases[i].host };
		struct client *c = NULL;

		is_int(client_new(&config, &c, NULL), cases[i].want, cases[i].host);
		client_free(c);
	}
}

static void test_nobody(void)
{
	struct client_config config = { .host = "unix:///tmp/nobody-is-here.sock" };
	struct error err = { 0 };
	struct client *c;

	is_int(client_new(&config, &c, &err), 0, "a client of nobody");
	is_int(client_negotiate(c, NULL, &err), -ERR_UNAVAILABLE, "cannot connect");
	is_str(err.msg,
	       "Cannot connect to the Docker daemon at unix:///tmp/nobody-is-here.sock. "
	       "Is the docker daemon running?",
	       "in docker's words");
	client_free(c);
}

static void test_query(void)
{
	auto_(buf) q = BUF_INIT(1024);

	client_query_add(&q, "a", "1 2");
	client_query_add(&q, "b", NULL);
	client_query_add_bool(&q, "c", true);
	client_query_add_bool(&q, "d", false);
	client_query_add_int(&q, "e", -1);
	is_str(q.data, "a=1%202&c=1&e=-1", "queries are encoded");
}

int main(void)
{
	struct http_server_config server_config = { 0 };
	char dir[] = "/tmp/client_test_XXXXXX", path[64], host[80];
	struct client_config config = { .host = host };
	struct http_server *s;
	struct client *c;
	pthread_t thread;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/s.sock", dir);
	snprintf(host, sizeof(host), "unix://%s", path);
	if (http_server_new(&server_config, handler, NULL, &s, NULL) < 0 ||
	    http_server_listen_unix(s, path, 0600, (gid_t)-1, NULL) < 0 ||
	    pthread_create(&thread, NULL, run, s) != 0 || client_new(&config, &c, NULL) < 0)
		return 1;
	test_json(c);
	test_messages(c);
	test_hijack(c);
	test_hosts();
	test_nobody();
	test_query();
	client_free(c);
	http_server_stop(s);
	pthread_join(thread, NULL);
	http_server_free(s);
	rmdir(dir);
	return tap_done();
}
