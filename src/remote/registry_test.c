/* remote/registry_test.c: against the distribution's own registry, when it is installed. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/proc.h"
#include "base/random.h"
#include "base/str.h"
#include "oci/media_type.h"
#include "remote/remote.h"
#include "tests/tap.h"

enum { LAYER_SIZE = 3 * 1024 * 1024 + 17 };

static char dir[] = "/tmp/proa-remote-XXXXXX";
static char host[64];
static char *layer;

/* A port that nobody has; it stays ours closely enough for a test. */
static int free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return -1;
	close(fd);
	return ntohs(a.sin_port);
}

static bool start_registry_at(struct proc *ret, int port, const char *tls)
{
	static const char *const argv[] = { "docker-registry", "serve", "config.yml", NULL };
	struct proc_spec spec = { .path = "docker-registry", .argv = argv };
	auto_(buf) b = BUF_INIT(4096);
	struct error err;
	int r;

	snprintf(host, sizeof(host), "127.0.0.1:%d", port);
	spec.cwd_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = buf_addf(
	    &b, &err,
	    "version: 0.1\nlog:\n  level: error\nstorage:\n  delete:\n    enabled: true\n  "
	    "filesystem:\n    rootdirectory: %s/data\nhttp:\n  addr: %s\n%s",
	    dir, host, tls);
	if (r == 0)
		r = fs_replace(spec.cwd_fd, "config.yml", 0600, b.data, b.len, &err);
	if (r == 0)
		r = proc_spawn(&spec, ret, &err);
	close(spec.cwd_fd);
	for (int i = 0; r == 0 && i < 200; i++) {
		struct sockaddr_in a = { .sin_family = AF_INET,
					 .sin_port = htons((uint16_t)port),
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		bool up = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

		close(fd);
		if (up)
			return true;
		poll(NULL, 0, 50);
	}
	return false;
}

static struct descriptor describe(const char *type, const void *bytes, size_t len)
{
	struct descriptor d = { .media_type = type,
				.size = (int64_t)len,
				.digest.algo = DIGEST_SHA256 };

	hash_sha256(bytes, len, d.digest.bytes);
	return d;
}

static int file_of(const void *bytes, size_t len)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fs_write_all(fd, bytes, len, NULL) < 0 ? -1 : fd;
}

static struct remote_repo *open_repo(struct remote *r, const char *name, enum remote_action action)
{
	autofree char *text = cstr_format("%s/%s", host, name);
	struct remote_repo *p = NULL;
	struct reference ref;
	struct error err;

	if (reference_parse_tagged(text, &ref, &err) < 0 ||
	    remote_open(r, &ref, NULL, action, NULL, &p, &err) < 0)
		printf("# %s\n", err.msg);
	return p;
}

static const char config[] =
    "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":"
    "[]}}";

static uint64_t last_sent;

static void progress(void *arg, uint64_t sent)
{
	(void)arg;
	last_sent = sent;
}

static void test_push(struct remote *r)
{
	struct descriptor c = describe(MEDIA_OCI_CONFIG, config, sizeof(config) - 1);
	struct descriptor l = describe(MEDIA_OCI_LAYER, layer, LAYER_SIZE);
	struct manifest m = {
		.media_type = MEDIA_OCI_MANIFEST, .config = c, .layers = &l, .n_layers = 1
	};
	struct remote_repo *p = open_repo(r, "a/b:1", REMOTE_PUSH);
	int cfd = file_of(config, sizeof(config) - 1), lfd = file_of(layer, LAYER_SIZE);
	auto_(buf) text = BUF_INIT(MANIFEST_MAX);
	enum remote_push_result how;
	struct error err = { 0 };

	is_int(remote_push_blob(p, &c, cfd, NULL, NULL, NULL, &how, &err), 0, "push the config");
	is_int(how, REMOTE_UPLOADED, "uploaded");
	is_int(remote_push_blob(p, &l, lfd, NULL, progress, NULL, &how, &err), 0, "push the layer");
	is_int((long long)last_sent, LAYER_SIZE, "progress reaches the size");
	is_int(remote_push_blob(p, &l, lfd, NULL, NULL, NULL, &how, &err), 0, "push it again");
	is_int(how, REMOTE_EXISTS, "it is there");
	is_int(manifest_format(&m, &text, &err), 0, "make a manifest");
	is_int(remote_push_manifest(p, m.media_type, text.data, text.len, false, &err), 0,
	       "push the manifest");
	remote_close(p);
	p = open_repo(r, "a/c:2", REMOTE_PUSH);
	is_int(remote_push_blob(p, &l, lfd, "a/b", NULL, NULL, &how, &err), 0,
	       "push the layer to another repository");
	is_int(how, REMOTE_MOUNTED, "mounted");
	is_int(remote_push_manifest(p, m.media_type, text.data, text.len, false, &err),
	       -ERR_INVALID, "a manifest whose config is not there is refused");
	printf("# %s\n", err.msg);
	remote_close(p);
	close(cfd);
	close(lfd);
}

static void test_pull(struct remote *r)
{
	struct remote_repo *p = open_repo(r, "a/b:1", REMOTE_PULL);
	auto_(arena) a = ARENA_INIT;
	auto_(buf) got = BUF_INIT(2UL * LAYER_SIZE);
	struct remote_blob *blob = NULL;
	struct remote_image image;
	struct descriptor head;
	struct error err = { 0 };

	is_int(remote_head(p, &a, &head, &err), 0, "HEAD");
	is_int(remote_resolve(p, &a, NULL, &image, &err), 0, "resolve");
	ok(!image.top_is_index && digest_equal(&head.digest, &image.top.descriptor.digest),
	   "the same digest");
	is_int(remote_read_blob(p, &image.manifest.doc.manifest->config, &got, &err), 0,
	       "read the config");
	is_str(got.data, config, "its bytes");
	got.len = 0;
	is_int(remote_get_blob(p, &image.manifest.doc.manifest->layers[0], 1000, &blob, &err), 0,
	       "the layer from byte 1000");
	is_int(reader_read_all(&blob->reader, &got, &err), 0, "read it");
	ok(got.len == LAYER_SIZE - 1000 && memcmp(got.data, layer + 1000, got.len) == 0,
	   "its bytes");
	is_int((long long)blob->wire_bytes, LAYER_SIZE - 1000, "no byte more on the wire");
	remote_blob_close(blob);
	remote_close(p);
}

static void test_errors(struct remote *r)
{
	struct remote_repo *p = open_repo(r, "a/b:nope", REMOTE_PULL);
	auto_(arena) a = ARENA_INIT;
	autofree char *want = cstr_format(
	    "manifest for %s/a/b:nope not found: manifest unknown: manifest unknown", host);
	struct remote_image image;
	struct descriptor head;
	struct error err = { 0 };

	is_int(remote_resolve(p, &a, NULL, &image, &err), -ERR_NOT_FOUND, "an absent tag");
	is_str(err.msg, want, "in Docker's words");
	is_int(remote_head(p, &a, &head, &err), -ERR_NOT_FOUND, "HEAD of it");
	is_str(err.msg, want, "says the same");
	remote_close(p);
}

static void test_lists(struct remote *r)
{
	struct remote_repo *p = open_repo(r, "a/b", REMOTE_PULL);
	autofree char *term = cstr_format("%s/a", host);
	autofree char *name = cstr_format("%s/a/b", host);
	auto_(arena) a = ARENA_INIT;
	struct remote_hits hits = { 0 };
	const char *token = NULL;
	struct strings tags = { 0 };
	struct error err = { 0 };

	is_int(remote_tags(p, &a, &tags, &err), 0, "tags");
	ok(tags.n == 1 && strcmp(tags.at[0], "1") == 0, "one tag");
	is_int(remote_search(r, term, 25, NULL, NULL, &a, &hits, &err), 0, "search");
	ok(hits.n >= 1 && strcmp(hits.at[0].name, name) == 0, "a name of the catalog");
	is_int(remote_login(r, host, &(struct remote_auth){ .username = "u", .password = "p" },
			    NULL, &a, &token, &err),
	       0, "login where no password is asked for");
	remote_close(p);
}

/* A self-signed certificate as <dir>/certs/<host>/ca.crt, and its key. */
static bool make_certificate(const char *sub)
{
	autofree char *certs = cstr_format("%s/%s/%s", dir, sub, host);
	autofree char *crt = cstr_format("%s/ca.crt", certs);
	autofree char *key = cstr_format("%s/%s.pem", dir, sub);
	const char *const argv[] = { "openssl",
				     "req",
				     "-x509",
				     "-newkey",
				     "ec",
				     "-pkeyopt",
				     "ec_paramgen_curve:P-256",
				     "-nodes",
				     "-days",
				     "2",
				     "-subj",
				     "/CN=x",
				     "-addext",
				     "subjectAltName=IP:127.0.0.1",
				     "-keyout",
				     key,
				     "-out",
				     crt,
				     NULL };
	const struct proc_spec spec = { .path = "openssl", .argv = argv, .cwd_fd = FD_NONE };
	int status = -1;

	return fs_mkdir_all(certs, 0700, NULL) == 0 &&
	       proc_run(&spec, NULL, 0, NULL, NULL, 20000, &status, NULL) == 0 && status == 0;
}

static int tags_with(const char *sub, struct error *err)
{
	autofree char *certs = sub ? cstr_format("%s/%s", dir, sub) : NULL;
	const struct remote_config settings = { .retries = -1, .certs_dir = certs };
	auto_(arena) a = ARENA_INIT;
	struct remote *r = NULL;
	struct remote_repo *p;
	struct strings tags;
	int e;

	if (remote_new(&settings, &r, err) < 0)
		return -1;
	p = open_repo(r, "a/c", REMOTE_PULL);
	e = remote_tags(p, &a, &tags, err);
	remote_close(p);
	remote_free(r);
	return e;
}

static void stop_registry(struct proc *registry)
{
	struct error err;
	int status;

	is_int(proc_signal(registry, SIGTERM, &err), 0, "stop the registry");
	is_int(proc_wait(registry, 10000, NULL, &status, &err), 0, "it stops");
}

static void test_tls(void)
{
	autofree char *tls = NULL;
	struct proc registry;
	struct error err = { 0 };
	int port = free_port();

	snprintf(host, sizeof(host), "127.0.0.1:%d", port);
	if (access("/usr/bin/openssl", X_OK) < 0) {
		skip_point("TLS", "openssl is not installed");
		return;
	}
	ok(make_certificate("good") && make_certificate("wrong"), "two certificates");
	tls = cstr_format("  tls:\n    certificate: %s/good/%s/ca.crt\n    key: %s/good.pem\n", dir,
			  host, dir);
	ok(start_registry_at(&registry, port, tls), "a registry with TLS");
	is_int(tags_with("good", &err), -ERR_NOT_FOUND, "its own authority is trusted");
	is_int(tags_with(NULL, &err), -ERR_NOT_FOUND, "a loopback registry needs none");
	ok(tags_with("wrong", &err) < 0 && err.kind != ERR_NOT_FOUND,
	   "another authority is refused");
	ok(strstr(err.msg, "x509: certificate signed by unknown authority") != NULL,
	   "in Docker's words");
	printf("# %s\n", err.msg);
	stop_registry(&registry);
}

int main(void)
{
	static const struct remote_config settings = { .retries = 2 };
	struct remote *r = NULL;
	struct proc registry;
	struct error err;
	int tmp;

	if (access("/usr/bin/docker-registry", X_OK) < 0) {
		printf("1..0 # SKIP docker-registry is not installed\n");
		return 0;
	}
	layer = malloc(LAYER_SIZE);
	random_bytes(layer, LAYER_SIZE);
	ok(mkdtemp(dir) != NULL && start_registry_at(&registry, free_port(), ""),
	   "a registry runs");
	is_int(remote_new(&settings, &r, &err), 0, "a remote");
	test_push(r);
	test_pull(r);
	test_errors(r);
	test_lists(r);
	remote_free(r);
	stop_registry(&registry);
	test_tls();
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_int(fs_remove_tree(tmp, dir + 5, &err), 0, "remove its data");
	close(tmp);
	free(layer);
	return tap_done();
}
