/* The server over HTTP, on a storage that fails: each answer has the spec's shape, what was
 * acknowledged is there, and nothing is half visible. */
#include "registry/server.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "http/client.h"
#include "registry/server_internal.h"
#include "tests/tap.h"

#define IMAGES 12

static struct registry *registry;
static struct http_server *server;
static char sock[64];
static int malformed; /* answers that are neither success nor the spec's error */

static void *serve(void *arg)
{
	struct error err;

	if (http_server_run(server, &err) < 0)
		printf("# %s\n", err.msg);
	return arg;
}

static bool is_error_body(const struct buf *b)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *j, *list;
	const char *code;

	if (json_parse(&a, b->data ? b->data : "", b->len, &j, NULL) < 0)
		return false;
	list = json_get(j, "errors");
	if (list == NULL || list->type != JSON_ARRAY || list->n_items != 1)
		return false;
	json_for_each_item (e, list) {
		code = json_str(e, "code");
		if (code == NULL || json_str(e, "message") == NULL)
			return false;
	}
	return true;
}

/* One request on a connection of its own; the status, 0 when the connection broke. */
static int ask(const char *method, const char *target, const char *type, const char *body,
	       struct buf *ret)
{
	struct http_header headers[] = { { "Content-Type", type } };
	struct http_call_head head = { .method = method,
				       .target = target,
				       .host = "test",
				       .headers = headers,
				       .n_headers = type != NULL,
				       .body = body,
				       .body_len = body ? strlen(body) : 0 };
	struct http_conn conn;
	struct http_call call;
	int fd, status = 0;

	ret->len = 0;
	if (http_dial_unix(sock, &fd, NULL) < 0)
		return 0;
	http_conn_init(&conn, fd);
	if (http_call_start(&conn, &head, &call, NULL) == 0) {
		if (reader_read_all(&call.body.reader, ret, NULL) == 0)
			status = call.head.status;
		http_call_release(&call);
	}
	http_conn_release(&conn);
	if (status >= 400 && strcmp(method, "HEAD") != 0 && !is_error_body(ret))
		malformed++;
	return status;
}

static void digest_text(const char *bytes, char out[static DIGEST_TEXT_MAX])
{
	struct digest d = { .algo = DIGEST_SHA256 };

	hash_sha256(bytes, strlen(bytes), d.bytes);
	digest_format(&d, out);
}

static bool push_blob(const char *text, struct buf *b)
{
	char d[DIGEST_TEXT_MAX], target[256];

	digest_text(text, d);
	snprintf(target, sizeof(target), "/v2/f/blobs/uploads/?digest=%s", d);
	return ask("POST", target, "application/octet-stream", text, b) == 201;
}

static void manifest_text(int i, char *out, size_t size)
{
	char config[32], layer[32], c[DIGEST_TEXT_MAX], l[DIGEST_TEXT_MAX];

	snprintf(config, sizeof(config), "config %d", i);
	snprintf(layer, sizeof(layer), "layer %d", i);
	digest_text(config, c);
	digest_text(layer, l);
	snprintf(
	    out, size,
	    "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"%s\","
	    "\"size\":%zu},\"layers\":[{\"mediaType\":\"a/c\",\"digest\":\"%s\",\"size\":%zu}]}",
	    c, strlen(config), l, strlen(layer));
}

static bool push_image(int i, struct buf *b)
{
	char text[64], manifest[512], target[64];

	snprintf(text, sizeof(text), "config %d", i);
	if (!push_blob(text, b))
		return false;
	snprintf(text, sizeof(text), "layer %d", i);
	if (!push_blob(text, b))
		return false;
	manifest_text(i, manifest, sizeof(manifest));
	snprintf(target, sizeof(target), "/v2/f/manifests/t%d", i);
	return ask("PUT", target, "application/vnd.oci.image.manifest.v1+json", manifest, b) == 201;
}

/* 1 whole, 0 not there, -1 half there. */
static int look_at(int i, struct buf *b)
{
	char want[512], target[256], text[64], d[DIGEST_TEXT_MAX];

	snprintf(target, sizeof(target), "/v2/f/manifests/t%d", i);
	if (ask("GET", target, NULL, NULL, b) == 404)
		return 0;
	manifest_text(i, want, sizeof(want));
	if (b->len != strlen(want) || memcmp(b->data, want, b->len) != 0)
		return -1;
	for (int k = 0; k < 2; k++) {
		snprintf(text, sizeof(text), k ? "layer %d" : "config %d", i);
		digest_text(text, d);
		snprintf(target, sizeof(target), "/v2/f/blobs/%s", d);
		if (ask("GET", target, NULL, NULL, b) != 200 || b->len != strlen(text))
			return -1;
	}
	return 1;
}

static void test_every(unsigned every)
{
	auto_(buf) b = BUF_INIT(1 << 20);
	bool acknowledged[IMAGES] = { false };
	int first = (int)every * 100, failures = 0, lost = 0, half = 0;
	static const char *const others[] = { "/v2/f/tags/list", "/v2/_catalog",
					      "/v2/f/manifests/t0" };

	storage_fault_every(registry->store.storage, every);
	for (int i = 0; i < IMAGES; i++) {
		for (int tries = 0; tries < 12 && !acknowledged[i]; tries++) {
			acknowledged[i] = push_image(first + i, &b);
			failures += !acknowledged[i];
		}
		for (size_t k = 0; k < ARRAY_LEN(others); k++)
			(void)ask("GET", others[k], NULL, NULL, &b);
	}
	{
		struct registry_task gc = { .what = "gc", .grace = "0s" };
		auto_(buf) report = BUF_INIT(4096);
		struct error err;

		(void)!registry_maintain(registry, &gc, NULL, &report, &err);
	}
	storage_fault_every(registry->store.storage, 0);
	for (int i = 0; i < IMAGES; i++) {
		int is = look_at(first + i, &b);

		lost += acknowledged[i] && is != 1;
		half += is < 0;
	}
	printf("# every call number %u fails: %d pushes failed\n", every, failures);
	ok(failures > 0, "pushes fail");
	is_int(lost, 0, "what was acknowledged is there");
	is_int(half, 0, "nothing is half there");
	for (int i = 0; i < IMAGES; i++)
		if (!push_image(first + i, &b))
			lost++;
	is_int(lost, 0, "and a push does what a failed one did not");
}

int main(void)
{
	static const unsigned rates[] = { 2, 3, 5, 7, 11, 17, 31, 47 };
	char dir[] = "/tmp/proa-server-test-XXXXXX";
	struct http_server_config sc = { 0 };
	struct registry_config c;
	pthread_t thread;
	struct error err;
	int tmp;

	log_setup(STDERR_FILENO, LOG_FATAL, LOG_TEXT); /* each of the failures */
	ok(mkdtemp(dir) != NULL, "temporary directory");
	registry_config_init(&c);
	c.data = dir;
	is_int(registry_open(&c, &registry, &err), 0, "open");
	registry->store.storage = storage_fault_new(registry->store.storage);
	snprintf(sock, sizeof(sock), "%s/sock", dir);
	is_int(http_server_new(&sc, registry_handle, registry, &server, &err), 0, "a server");
	is_int(http_server_listen_unix(server, sock, 0600, (gid_t)-1, &err), 0, "listens");
	is_int(pthread_create(&thread, NULL, serve, NULL), 0, "and runs");
	for (size_t i = 0; i < ARRAY_LEN(rates); i++)
		test_every(rates[i]);
	is_int(malformed, 0, "each refusal was the spec's error");
	http_server_stop(server);
	pthread_join(thread, NULL);
	http_server_free(server);
	registry_close(registry);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_int(fs_remove_tree(tmp, dir + strlen("/tmp/"), &err), 0, "clean up");
	close(tmp);
	return tap_done();
}
