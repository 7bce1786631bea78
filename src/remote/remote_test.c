/* remote/remote_test.c: against registries that cut, lie, stall and redirect. */
#include "remote/remote.h"

#include <poll.h>
#include <stdatomic.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/queue.h"
#include "base/random.h"
#include "base/str.h"
#include "oci/media_type.h"
#include "remote/testserver.h"
#include "tests/tap.h"

enum { BLOB_SIZE = 1000 * 1000, CUT = 100 * 1000 };

static struct testserver origin, other;
static char *blob;
static struct descriptor blob_d;
static char manifest[2048], manifest_digest[DIGEST_TEXT_MAX], blob_digest[DIGEST_TEXT_MAX];
static unsigned fails_left;

static const struct remote_auth user = { .username = "u", .password = "p" };
static const struct remote_auth identity = { .username = "u", .identity_token = "secret" };

static bool is_repo(const struct served *q, const char *name)
{
	autofree char *prefix = cstr_format("/v2/%s/", name);

	return cstr_starts(q->path, prefix);
}

/* Blob bytes from `from`, but only `count` of them, whatever the head says. */
static void send_blob(struct served *q, size_t from, size_t count)
{
	if (from > 0)
		serve(q,
		      "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Length: %zu\r\n"
		      "Content-Range: bytes %zu-%d/%d\r\n\r\n",
		      BLOB_SIZE - from, from, BLOB_SIZE - 1, BLOB_SIZE);
	else
		serve(q, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
		      BLOB_SIZE);
	serve_bytes(q, blob + from, count < BLOB_SIZE - from ? count : BLOB_SIZE - from);
}

static size_t range_of(const struct served *q)
{
	uint64_t from = 0;
	struct str s = str_of(served_header(q, "\r\nRange"));

	if (str_starts(s, "bytes=") &&
	    parse_u64(str_sub(s, 6, s.len - 7), BLOB_SIZE, &from, NULL) < 0)
		return 0;
	return (size_t)from;
}

static void answer_blob(struct served *q)
{
	if (is_repo(q, "cut")) {
		send_blob(q, range_of(q), CUT);
	} else if (is_repo(q, "norange")) {
		send_blob(q, 0, fails_left > 0 && fails_left-- ? CUT : BLOB_SIZE);
	} else if (is_repo(q, "endless")) {
		serve(q, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		for (int i = 0; i < 2000; i++) {
			serve(q, "4e20\r\n");
			serve_bytes(q, blob, 20000);
			serve(q, "\r\n");
		}
	} else if (is_repo(q, "size")) {
		serve_answer(q, "200 OK", "", blob, BLOB_SIZE - 1);
	} else if (is_repo(q, "otherrange")) {
		serve(q, "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Length: "
			 "999000\r\nContent-Range: bytes 0-999/1000000\r\n\r\n");
	} else if (is_repo(q, "stall")) {
		send_blob(q, 0, CUT);
		poll(NULL, 0, 3000);
	} else if (is_repo(q, "redirect")) {
		autofree char *to = cstr_format("Location: http://%s/elsewhere\r\n", other.host);

		serve_answer(q, "307 Temporary Redirect", to, "", 0);
	} else if (is_repo(q, "lost")) {
		serve_answer(q, "404 Not Found", "", "", 0);
	} else {
		send_blob(q, range_of(q), BLOB_SIZE);
	}
}

static void challenge(struct served *q, const char *scheme)
{
	autofree char *head = cstr_format("WWW-Authenticate: %s\r\n", scheme);
	static const char body[] =
	    "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication required\"}]}";

	serve_answer(q, "401 Unauthorized", head, body, sizeof(body) - 1);
}

static void answer_manifest(struct testserver *s, struct served *q)
{
	static const char limit[] = "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"You "
				    "have reached your pull rate limit.\"}]}";
	static const char denied[] = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"requested "
				     "access to the resource is denied\"}]}";
	static const char head[] = "Content-Type: " MEDIA_OCI_MANIFEST "\r\n";
	static const char lines[] = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"one\\ntwo"
				    "\\u001b[2J\"}]}";
	const char *realm = is_repo(q, "moved") ? "moved" : is_repo(q, "loop") ? "loop" : "token";
	autofree char *bearer = cstr_format(
	    "Bearer realm=\"http://%s/%s\",service=\"test\",scope=\"repository:x:pull\"", s->host,
	    realm);
	const char *auth = served_header(q, "\r\nAuthorization");

	if (is_repo(q, "limited"))
		serve_answer(q, "429 Too Many Requests", "Retry-After: 900\r\n", limit,
			     sizeof(limit) - 1);
	else if (is_repo(q, "denied"))
		serve_answer(q, "403 Forbidden", "", denied, sizeof(denied) - 1);
	else if (is_repo(q, "lines"))
		serve_answer(q, "403 Forbidden", "", lines, sizeof(lines) - 1);
	else if (is_repo(q, "flaky") && fails_left > 0 && fails_left--)
		serve_answer(q, "503 Service Unavailable", "", "", 0);
	else if ((is_repo(q, "token") || is_repo(q, "moved") || is_repo(q, "loop")) &&
		 strcmp(auth, "Bearer good") != 0)
		challenge(q, bearer);
	else if (is_repo(q, "basic") && strcmp(auth, "Basic dTpw") != 0)
		challenge(q, "Basic realm=\"x\"");
	else if (is_repo(q, "corrupt"))
		serve_answer(q, "200 OK",
			     "Content-Type: " MEDIA_OCI_MANIFEST
			     "\r\nDocker-Content-Digest: sha256:"
			     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n",
			     manifest, strlen(manifest));
	else
		serve_answer(q, "200 OK", head, manifest, strlen(manifest));
}

static void handle_origin(struct testserver *s, struct served *q)
{
	autofree char *moved = cstr_format("Location: http://%s/token\r\n", other.host);

	if (cstr_starts(q->path, "/moved")) {
		serve_answer(q, "307 Temporary Redirect", moved, "", 0);
	} else if (cstr_starts(q->path, "/loop")) {
		serve_answer(q, "302 Found", "Location: /loop\r\n", "", 0);
	} else if (cstr_starts(q->path, "/token")) {
		bool good = strstr(q->path, "service=test") != NULL ||
			    strstr(q->body, "refresh_token=secret") != NULL;
		const char *body = good ? "{\"token\":\"good\",\"expires_in\":300}" : "{}";

		serve_answer(q, "200 OK", "", body, strlen(body));
	} else if (strstr(q->path, "/blobs/") != NULL) {
		answer_blob(q);
	} else if (strstr(q->path, "/manifests/") != NULL) {
		answer_manifest(s, q);
	} else {
		serve_answer(q, "404 Not Found", "", "", 0);
	}
}

static void handle_other(struct testserver *s, struct served *q)
{
	static const char token[] = "{\"token\":\"good\"}";

	(void)s;
	if (cstr_starts(q->path, "/elsewhere"))
		send_blob(q, range_of(q), BLOB_SIZE);
	else if (strcmp(q->path, "/token") == 0)
		serve_answer(q, "200 OK", "", token, sizeof(token) - 1);
	else if (cstr_starts(q->path, "/v2/dir/mirrored/manifests/") ||
		 cstr_starts(q->path, "http://registry.test/v2/"))
		serve_answer(q, "200 OK", "", manifest, strlen(manifest));
	else
		serve_answer(q, "404 Not Found", "", "", 0);
}

static struct remote_repo *open_repo(struct remote *r, const char *name,
				     const struct remote_auth *auth, const struct cancel *cancel)
{
	autofree char *text = cstr_format("%s/%s", origin.host, name);
	struct remote_repo *p = NULL;
	struct reference ref;
	struct error err = { 0 };

	if (reference_parse_tagged(text, &ref, &err) < 0 ||
	    remote_open(r, &ref, auth, REMOTE_PULL, cancel, &p, &err) < 0)
		printf("# %s\n", err.msg);
	return p;
}

static int read_blob(struct remote_repo *p, uint64_t offset, struct buf *b, uint64_t *wire,
		     struct error *err)
{
	struct remote_blob *from = NULL;
	int r;

	b->len = 0;
	r = remote_get_blob(p, &blob_d, offset, &from, err);
	if (r == 0)
		r = reader_read_all(&from->reader, b, err);
	*wire = from ? from->wire_bytes : 0;
	remote_blob_close(from);
	return r;
}

static const struct {
	const char *what, *repo;
	int want;
	uint64_t offset, wire_max;
} blobs[] = {
	{ "a blob", "plain", 0, 0, BLOB_SIZE },
	{ "from the middle", "plain", 0, 500000, 500000 },
	{ "its last byte", "plain", 0, BLOB_SIZE - 1, 1 },
	{ "nothing of it", "plain", 0, BLOB_SIZE, 0 },
	{ "cut every 100,000 bytes", "cut", 0, 0, BLOB_SIZE },
	{ "cut once, where there is no Range", "norange", 0, 0, BLOB_SIZE + CUT },
	{ "longer than its descriptor", "endless", -ERR_CORRUPT, 0, BLOB_SIZE },
	{ "of another size", "size", -ERR_CORRUPT, 0, 0 },
	{ "another range than asked for", "otherrange", -ERR_INVALID, 1000, 0 },
	{ "behind a redirect", "redirect", 0, 0, BLOB_SIZE },
};

static void test_blobs(struct remote *r)
{
	auto_(buf) b = BUF_INIT(2UL * BLOB_SIZE);
	uint64_t wire;
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(blobs); i++) {
		struct remote_repo *p = open_repo(r, blobs[i].repo, NULL, NULL);
		int got;

		fails_left = 1;
		got = read_blob(p, blobs[i].offset, &b, &wire, &err);
		is_int(got, blobs[i].want, blobs[i].what);
		if (got == 0)
			ok(b.len == BLOB_SIZE - blobs[i].offset &&
			       (b.len == 0 || memcmp(b.data, blob + blobs[i].offset, b.len) == 0),
			   "the right bytes");
		else
			printf("# %s\n", err.msg);
		ok(wire <= blobs[i].wire_max, "no more on the wire than must be");
		remote_close(p);
	}
}

struct parallel {
	struct remote_repo *p;
	atomic_int good;
};

static int read_one(void *arg, bool cancelled, struct error *err)
{
	struct parallel *all = arg;
	auto_(buf) b = BUF_INIT(2UL * BLOB_SIZE);
	uint64_t wire;
	int r = cancelled ? 0 : read_blob(all->p, 0, &b, &wire, err);

	if (r == 0 && b.len == BLOB_SIZE && memcmp(b.data, blob, BLOB_SIZE) == 0)
		all->good++;
	return r;
}

static void test_parallel(struct remote *r)
{
	struct parallel all = { .p = open_repo(r, "redirect", &user, NULL) };
	struct queue *q = NULL;
	struct error err = { 0 };

	is_int(queue_new(6, 6, &q, &err), 0, "six threads");
	for (int i = 0; i < 24; i++)
		queue_push(q, read_one, &all);
	is_int(queue_finish(q, &err), 0, "read one blob from one repository");
	is_int(all.good, 24, "each gets its bytes");
	remote_close(all.p);
}

static void test_stall(struct remote *r)
{
	struct remote_repo *p = open_repo(r, "stall", NULL, NULL);
	auto_(buf) b = BUF_INIT(2UL * BLOB_SIZE);
	int64_t before = clock_mono_ns();
	struct error err = { 0 };
	uint64_t wire;

	/* Two tries of 700 ms each. */
	is_int(read_blob(p, 0, &b, &wire, &err), -ERR_UNAVAILABLE, "a stalled blob is given up");
	ok(strstr(err.msg, "no data for") != NULL, "and the message says why");
	ok(clock_mono_ns() - before < 20 * NS_PER_SEC, "in time");
	remote_close(p);
}

/* Many tries are for what fails at once: silence is borne three times. */
static void test_patience(void)
{
	static const struct remote_config config = { .retries = 100, .stall_timeout_ms = 300 };
	auto_(buf) b = BUF_INIT(2UL * BLOB_SIZE);
	int64_t before = clock_mono_ns();
	struct remote *r = NULL;
	struct remote_repo *p;
	struct error err = { 0 };
	uint64_t wire;

	is_int(remote_new(&config, &r, &err), 0, "a patient remote");
	p = open_repo(r, "stall", NULL, NULL);
	is_int(read_blob(p, 0, &b, &wire, &err), -ERR_UNAVAILABLE,
	       "a blob that stalls for good is given up");
	ok(clock_mono_ns() - before < 8 * NS_PER_SEC, "soon, however many retries are allowed");
	remote_close(p);
	remote_free(r);
}

static int fire_soon(void *arg, bool cancelled, struct error *err)
{
	(void)cancelled;
	(void)err;
	poll(NULL, 0, 200);
	cancel_fire(arg);
	return 0;
}

static void test_cancel(struct remote *r)
{
	auto_(buf) b = BUF_INIT(2UL * BLOB_SIZE);
	int64_t before = clock_mono_ns();
	struct queue *q = NULL;
	struct remote_repo *p;
	struct error err = { 0 };
	struct cancel c;
	uint64_t wire;

	is_int(cancel_init(&c, &err), 0, "a cancel");
	p = open_repo(r, "stall", NULL, &c);
	is_int(queue_new(1, 1, &q, &err), 0, "a thread");
	queue_push(q, fire_soon, &c);
	is_int(read_blob(p, 0, &b, &wire, &err), -ERR_CANCELED, "ends a transfer");
	ok(clock_mono_ns() - before < 2 * NS_PER_SEC, "at once");
	remote_close(p);
	is_int(queue_finish(q, &err), 0, "it has fired");
	cancel_release(&c);
}

static const struct {
	const char *what, *repo;
	const struct remote_auth *auth;
	int want;
	const char *message; /* part of it */
	const char *log;     /* what the registry must have seen */
} manifests[] = {
	{ "a manifest", "plain", NULL, 0, NULL, "GET /v2/plain/manifests/latest\n" },
	{ "credentials are not sent unasked", "plain2", &user, 0, NULL,
	  "GET /v2/plain2/manifests/latest\n" },
	{ "an anonymous token", "token", NULL, 0, NULL,
	  "GET /v2/token/manifests/latest\n"
	  "GET /token?service=test&scope=repository%3Atoken%3Apull\n"
	  "GET /v2/token/manifests/latest +auth\n" },
	{ "the token is kept", "token", NULL, 0, NULL, "GET /v2/token/manifests/latest +auth\n" },
	{ "a user's token", "token", &user, 0, NULL, "&account=u +auth\n" },
	{ "an identity token", "token", &identity, 0, NULL, "POST /token\n" },
	{ "basic", "basic", &user, 0, NULL, "GET /v2/basic/manifests/latest +auth\n" },
	{ "basic without credentials", "basic", NULL, -ERR_SYSTEM, "no basic auth credentials",
	  "" },
	{ "a digest that does not match", "corrupt", NULL, -ERR_CORRUPT,
	  "manifest verification failed for digest sha256:e3b0", "" },
	{ "a rate limit", "limited", NULL, -ERR_UNAVAILABLE,
	  "toomanyrequests: You have reached your pull rate limit. (try again in 900 s)", "" },
	{ "denied", "denied", NULL, -ERR_NOT_FOUND,
	  "repository does not exist or may require 'docker login': denied: requested access to "
	  "the resource is denied",
	  "" },
	{ "a reason of several lines that would clear the screen", "lines", NULL, -ERR_NOT_FOUND,
	  "denied: one two?[2J", "" },
	{ "a token server that sends round in circles", "loop", NULL, -ERR_INVALID,
	  "/loop: too many redirects", "" },
	{ "an error of the server, then none", "flaky", NULL, 0, NULL, "" },
};

static void test_manifests(struct remote *r)
{
	for (size_t i = 0; i < ARRAY_LEN(manifests); i++) {
		struct remote_repo *p = open_repo(r, manifests[i].repo, manifests[i].auth, NULL);
		auto_(arena) a = ARENA_INIT;
		struct remote_image image;
		struct error err = { 0 };

		fails_left = 1;
		origin.log[0] = '\0';
		is_int(remote_resolve(p, &a, NULL, &image, &err), manifests[i].want,
		       manifests[i].what);
		if (manifests[i].message != NULL)
			ok(strstr(err.msg, manifests[i].message) != NULL, err.msg);
		if (!ok(strstr(origin.log, manifests[i].log) != NULL, "what the registry saw"))
			printf("# %s\n", origin.log);
		remote_close(p);
	}
}

static void test_lost_blob(struct remote *r)
{
	struct remote_repo *p = open_repo(r, "lost", NULL, NULL);
	auto_(buf) b = BUF_INIT(2UL * BLOB_SIZE);
	struct error err = { 0 };
	uint64_t wire;

	is_int(read_blob(p, 0, &b, &wire, &err), -ERR_NOT_FOUND, "a blob that is not there");
	ok(strstr(err.msg, ": blob unknown to the registry") != NULL, err.msg);
	remote_close(p);
}

static void test_redirect_auth(struct remote *r)
{
	struct remote_repo *p = open_repo(r, "redirect", &user, NULL);
	auto_(buf) b = BUF_INIT(2UL * BLOB_SIZE);
	struct error err = { 0 };
	uint64_t wire;

	other.log[0] = '\0';
	is_int(read_blob(p, 0, &b, &wire, &err), 0, "a blob on another host");
	is_str(other.log, "GET /elsewhere\n", "which gets no credentials");
	remote_close(p);
}

/* Peer: dockerd 20.10 follows; Go's client takes the credentials away. */
static void test_token_redirect(struct remote *r)
{
	struct remote_repo *p = open_repo(r, "moved", &user, NULL);
	auto_(arena) a = ARENA_INIT;
	struct remote_image image;
	struct error err = { 0 };

	origin.log[0] = other.log[0] = '\0';
	is_int(remote_resolve(p, &a, NULL, &image, &err), 0, "a token server that has moved");
	ok(strstr(origin.log, "&account=u +auth\n") != NULL, "is asked with credentials");
	is_str(other.log, "GET /token\n", "and without them where it is now");
	remote_close(p);
}

static void test_mirrors(void)
{
	autofree char *prefix = cstr_format("%s/team", origin.host);
	autofree char *at = cstr_format("http://%s/dir", other.host);
	const struct remote_mirror mirrors[] = { { prefix, at, false } };
	const struct remote_config config = { .mirrors = mirrors, .n_mirrors = 1, .retries = -1 };
	static const struct {
		const char *name, *seen_at_mirror, *seen_at_origin;
	} cases[] = {
		{ "team/mirrored:1", "GET /v2/dir/mirrored/manifests/1\n", "" },
		{ "team/plain:1", "GET /v2/dir/plain/manifests/1\n",
		  "GET /v2/team/plain/manifests/1\n" },
		{ "teamwork:1", "", "GET /v2/teamwork/manifests/1\n" },
	};
	struct remote *r = NULL;
	struct error err = { 0 };

	is_int(remote_new(&config, &r, &err), 0, "a remote with a mirror");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct remote_repo *p = open_repo(r, cases[i].name, &user, NULL);
		auto_(arena) a = ARENA_INIT;
		struct remote_manifest m;

		other.log[0] = origin.log[0] = '\0';
		is_int(remote_get_manifest(p, &a, NULL, &m, &err), 0, cases[i].name);
		is_str(other.log, cases[i].seen_at_mirror, "what the mirror saw");
		is_str(origin.log, cases[i].seen_at_origin, "what the origin saw");
		remote_close(p);
	}
	remote_free(r);
}

static void test_proxy(void)
{
	static const char *const insecure[] = { "registry.test", NULL };
	autofree char *proxy = cstr_format("http://%s", other.host);
	const struct remote_config config = { .insecure = insecure,
					      .http_proxy = proxy,
					      .https_proxy = proxy,
					      .no_proxy = "",
					      .retries = -1 };
	auto_(arena) a = ARENA_INIT;
	struct remote_repo *p = NULL;
	struct remote *r = NULL;
	struct remote_manifest m;
	struct reference ref;
	struct error err = { 0 };

	other.log[0] = '\0';
	is_int(remote_new(&config, &r, &err), 0, "a remote with a proxy");
	is_int(reference_parse_tagged("registry.test/x/y:1", &ref, &err), 0, "a registry");
	is_int(remote_open(r, &ref, NULL, REMOTE_PULL, NULL, &p, &err), 0, "open");
	is_int(remote_get_manifest(p, &a, NULL, &m, &err), 0, "a manifest by the proxy");
	is_str(other.log,
	       "CONNECT registry.test:443\nGET http://registry.test/v2/x/y/manifests/1\n",
	       "which was asked for TLS first");
	remote_close(p);
	remote_free(r);
}

/* A proxy that is away is named, and its password is not. */
static void test_lost_proxy(const char *proxy, const char *want)
{
	struct remote_config config = {
		.http_proxy = proxy, .https_proxy = proxy, .no_proxy = "", .retries = -1
	};
	auto_(arena) a = ARENA_INIT;
	struct remote_repo *p = NULL;
	struct remote *r = NULL;
	struct remote_image image;
	struct reference ref;
	struct error err = { 0 };

	is_int(remote_new(&config, &r, &err), 0, "a remote with a proxy");
	is_int(reference_parse_tagged("registry.test/x/y:1", &ref, &err), 0, "a registry");
	is_int(remote_open(r, &ref, NULL, REMOTE_PULL, NULL, &p, &err), 0, "open");
	is_int(remote_resolve(p, &a, NULL, &image, &err), -ERR_UNAVAILABLE, "no proxy");
	is_str(err.msg, want, "the message is about the proxy");
	remote_close(p);
	remote_free(r);
}

static void test_refused(struct remote *r)
{
	static const char want[] =
	    "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused";
	struct remote_repo *p = NULL;
	auto_(arena) a = ARENA_INIT;
	struct remote_image image;
	struct reference ref;
	struct error err = { 0 };

	is_int(reference_parse_tagged("127.0.0.1:1/x/y", &ref, &err), 0, "nobody's port");
	is_int(remote_open(r, &ref, NULL, REMOTE_PULL, NULL, &p, &err), 0, "open");
	is_int(remote_resolve(p, &a, NULL, &image, &err), -ERR_UNAVAILABLE, "refused");
	is_str(err.msg, want, "in Docker's words");
	remote_close(p);
}

static void make_content(void)
{
	static const char config[] = "{}";
	struct descriptor c = { .media_type = MEDIA_OCI_CONFIG,
				.size = 2,
				.digest.algo = DIGEST_SHA256 };
	struct manifest m = { .media_type = MEDIA_OCI_MANIFEST, .layers = &blob_d, .n_layers = 1 };
	struct digest d = { .algo = DIGEST_SHA256 };
	auto_(buf) b = BUF_INIT(sizeof(manifest) - 1);

	blob = malloc(BLOB_SIZE);
	random_bytes(blob, BLOB_SIZE);
	blob_d = (struct descriptor){ .media_type = MEDIA_OCI_LAYER,
				      .size = BLOB_SIZE,
				      .digest.algo = DIGEST_SHA256 };
	hash_sha256(blob, BLOB_SIZE, blob_d.digest.bytes);
	hash_sha256(config, 2, c.digest.bytes);
	m.config = c;
	ok(manifest_format(&m, &b, NULL) == 0, "content to serve");
	memcpy(manifest, b.data, b.len + 1);
	hash_sha256(manifest, b.len, d.bytes);
	digest_format(&d, manifest_digest);
	digest_format(&blob_d.digest, blob_digest);
}

int main(void)
{
	static const struct remote_config config = { .retries = 1, .stall_timeout_ms = 700 };
	struct remote *r = NULL;
	struct error err = { 0 };

	make_content();
	ok(testserver_start(&origin, handle_origin) == 0 &&
	       testserver_start(&other, handle_other) == 0,
	   "two registries");
	is_int(remote_new(&config, &r, &err), 0, "a remote");
	test_parallel(r);
	test_blobs(r);
	test_stall(r);
	test_patience();
	test_cancel(r);
	test_manifests(r);
	test_redirect_auth(r);
	test_token_redirect(r);
	test_lost_blob(r);
	test_mirrors();
	test_proxy();
	test_lost_proxy("http://127.0.0.1:1", "Get \"https://registry.test/v2/\": dial tcp "
					      "127.0.0.1:1: connect: connection refused");
	test_lost_proxy("http://me:secret@proxy.invalid:3128",
			"Get \"https://registry.test/v2/\": proxyconnect tcp: dial tcp: lookup "
			"'proxy.invalid:3128': no such host");
	test_refused(r);
	remote_free(r);
	testserver_stop(&origin);
	testserver_stop(&other);
	free(blob);
	return tap_done();
}
