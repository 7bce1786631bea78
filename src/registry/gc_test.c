#include "registry/gc.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "registry/name.h"
#include "tests/tap.h"

static struct repo_store store;
static struct uploads *uploads;

static struct digest digest_of(const char *text)
{
	struct digest d = { .algo = DIGEST_SHA256 };

	hash_sha256(text, strlen(text), d.bytes);
	return d;
}

static int push_blob(const char *repo, const char *text, struct error *err)
{
	struct digest d = digest_of(text);
	struct mem_reader body;
	struct upload_chunk chunk = { .at = -1, .length = -1, .body = &body.reader };
	char id[UPLOAD_ID_MAX];
	uint64_t size;
	int r = upload_begin(uploads, repo, id, err);

	mem_reader_init(&body, text, strlen(text));
	if (r == 0)
		r = upload_append(uploads, repo, id, &chunk, &size, err);
	return r < 0 ? r : upload_commit(uploads, repo, id, &d, err);
}

/* A manifest with this config and one layer. */
static int push_image(const char *repo, const char *tag, const char *config, const char *layer,
		      struct digest *ret, struct error *err)
{
	char c[DIGEST_TEXT_MAX], l[DIGEST_TEXT_MAX], text[1024];
	struct digest dc = digest_of(config), dl = digest_of(layer), subject;
	struct repo_put put = { .tags = &tag, .n_tags = 1, .bytes = text };

	digest_format(&dc, c);
	digest_format(&dl, l);
	put.len = (size_t)snprintf(text, sizeof(text),
				   "{\"schemaVersion\":2,\"mediaType\":\"application/"
				   "vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":\"x/"
				   "y\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":"
				   "\"x/z\",\"digest\":\"%s\",\"size\":%zu}]}",
				   c, strlen(config), l, strlen(layer));
	return repo_put_manifest(&store, repo, &put, ret, &subject, err);
}

static bool has_blob(const char *repo, const char *text)
{
	struct digest d = digest_of(text);
	uint64_t size;

	return repo_stat_blob(&store, repo, &d, &size, NULL) == 0;
}

static void test_collection(void)
{
	struct gc_options now = { .grace_ns = 0, .upload_age_ns = NS_PER_SEC * 3600 };
	struct gc_options later = { .grace_ns = NS_PER_SEC * 3600, .upload_age_ns = NS_PER_SEC };
	struct gc_options dry = { .dry_run = true }, untagged = { .untagged = true };
	struct gc_result g;
	struct digest d, other;
	struct error err;

	is_int(push_blob("a", "config", &err), 0, "push a config");
	is_int(push_blob("a", "layer", &err), 0, "push a layer");
	is_int(push_blob("a", "orphan", &err), 0, "push what no manifest needs");
	is_int(push_image("a", "v1", "config", "layer", &d, &err), 0, "push the manifest");
	is_int(push_image("a", "v2", "config", "absent", &other, &err), -ERR_NOT_FOUND,
	       "a manifest without its layer is refused");
	is_int(gc_run(&store, uploads, &later, NULL, &g, &err), 0, "collect with grace");
	is_int((long long)g.blobs, 0, "a young orphan stays");
	is_int(gc_run(&store, uploads, &dry, NULL, &g, &err), 0, "dry run");
	is_int((long long)g.blobs, 1, "it would delete the orphan");
	ok(has_blob("a", "orphan"), "and did not");
	is_int(gc_run(&store, uploads, &now, NULL, &g, &err), 0, "collect");
	is_int((long long)g.blobs, 1, "the orphan goes");
	ok(!has_blob("a", "orphan") && has_blob("a", "layer") && has_blob("a", "config"),
	   "what the manifest needs stays");
	is_int(repo_delete_tag(&store, "a", "v1", &err), 0, "untag");
	is_int(gc_run(&store, uploads, &now, NULL, &g, &err), 0, "collect");
	ok(has_blob("a", "layer"), "an untagged manifest keeps its layer");
	is_int(gc_run(&store, uploads, &untagged, NULL, &g, &err), 0, "collect untagged ones");
	is_int((long long)g.manifests, 1, "the manifest goes");
	ok(!has_blob("a", "layer"), "and its layer");
}

/* An index of one manifest; returns its digest through ret. */
static int push_index(const char *repo, const char *tag, const struct digest *of,
		      struct digest *ret, struct error *err)
{
	char text[512], d[DIGEST_TEXT_MAX];
	struct repo_put put = { .tags = &tag, .n_tags = tag != NULL, .bytes = text };
	struct digest subject;

	digest_format(of, d);
	put.len =
	    (size_t)snprintf(text, sizeof(text),
			     "{\"schemaVersion\":2,\"mediaType\":\"application/"
			     "vnd.oci.image.index.v1+json\",\"manifests\":[{\"mediaType\":"
			     "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\","
			     "\"size\":1}]}",
			     d);
	return repo_put_manifest(&store, repo, &put, ret, &subject, err);
}

static void test_chain(void)
{
	struct gc_options untagged = { .untagged = true, .upload_age_ns = NS_PER_SEC * 3600 };
	struct digest image, at;
	struct gc_result g;
	struct error err;

	is_int(push_blob("chain", "config", &err) | push_blob("chain", "layer", &err), 0, "push");
	is_int(push_image("chain", "image", "config", "layer", &image, &err), 0, "an image");
	at = image;
	for (int i = 0; i < 9; i++)
		is_int(push_index("chain", i == 8 ? "top" : NULL, &at, &at, &err), 0, "an index");
	is_int(repo_delete_tag(&store, "chain", "image", &err), 0, "only the outermost is tagged");
	is_int(gc_run(&store, uploads, &untagged, NULL, &g, &err), 0, "collect untagged ones");
	is_int((long long)g.manifests, 0, "a tag keeps what is nine levels below it");
	ok(has_blob("chain", "layer"), "and its layer");
	is_int(repo_delete_tag(&store, "chain", "top", &err), 0, "untag");
	is_int(gc_run(&store, uploads, &untagged, NULL, &g, &err), 0, "collect untagged ones");
	is_int((long long)g.manifests, 10, "then all ten go");
	is_int((long long)g.blobs, 12, "with their blobs");
}

static void test_abandoned(void)
{
	struct gc_options soon = { .grace_ns = NS_PER_SEC * 3600, .upload_age_ns = 0 };
	char id[UPLOAD_ID_MAX], key[STORAGE_KEY_MAX];
	struct storage_stat st;
	struct gc_result g;
	struct error err;

	is_int(upload_begin(uploads, "left", id, &err), 0, "begin an upload");
	snprintf(key, sizeof(key), "repos/left/uploads/%s", id);
	is_int(store.storage->ops->discard(store.storage, key, &err), 0, "a crash takes its note");
	is_int(gc_run(&store, uploads, &soon, NULL, &g, &err), 0, "collect");
	ok(g.uploads >= 1, "it goes all the same");
	snprintf(key, sizeof(key), "uploads/%s", id);
	is_int(store.storage->ops->stat(store.storage, key, &st, &err), -ERR_NOT_FOUND,
	       "with its bytes");
}

static void test_retention(void)
{
	struct retain_rule rules[] = { { .tags = "keep*" },
				       { .repos = "r*", .tags = "**", .keep_last = 2 } };
	auto_(buf) report = BUF_INIT(4096);
	auto_(storage_listing) tags = { 0 };
	struct error err;
	struct digest d;
	char tag[8];

	is_int(push_blob("r", "config", &err) | push_blob("r", "layer", &err), 0, "push");
	for (int i = 0; i < 5; i++) {
		snprintf(tag, sizeof(tag), "v%d", i);
		is_int(push_image("r", tag, "config", "layer", &d, &err), 0, "tag");
	}
	is_int(push_image("r", "keep-me", "config", "layer", &d, &err), 0, "tag to keep");
	is_int(gc_retain(&store, rules, 2, true, &report, &err), 0, "dry run");
	is_int(repo_list_tags(&store, "r", &tags, &err), 0, "list");
	is_int((long long)tags.len, 6, "a dry run deletes nothing");
	storage_listing_release(&tags);
	is_int(gc_retain(&store, rules, 2, false, &report, &err), 0, "retain");
	is_int(repo_list_tags(&store, "r", &tags, &err), 0, "list");
	is_int((long long)tags.len, 3, "two newest and the kept one stay");
}

static void test_scrub(const char *dir)
{
	auto_(buf) report = BUF_INIT(4096);
	char key[STORAGE_KEY_MAX], path[1024];
	struct digest d = digest_of("flip me");
	uint64_t checked, bad;
	struct error err;
	int fd;

	is_int(push_blob("s", "flip me", &err), 0, "push");
	name_blob_key(&d, key, sizeof(key));
	snprintf(path, sizeof(path), "%s/%s", dir, key);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok(fd >= 0 && pwrite(fd, "F", 1, 0) == 1, "flip a bit on disk");
	close(fd);
	is_int(gc_scrub(&store, true, NULL, &report, &checked, &bad, &err), 0, "a dry run");
	is_int((long long)bad, 1, "finds it");
	ok(has_blob("s", "flip me"), "and leaves it");
	is_int(gc_scrub(&store, false, NULL, &report, &checked, &bad, &err), 0, "scrub");
	is_int((long long)bad, 1, "finds it too");
	ok(!has_blob("s", "flip me"), "and sets it aside");
	is_int(gc_scrub(&store, false, NULL, &report, &checked, &bad, &err), 0, "scrub again");
	is_int((long long)bad, 1, "it is missing");
	is_int(push_blob("s", "flip me", &err), 0, "push it again");
	ok(has_blob("s", "flip me"), "it is here");
	is_int(gc_scrub(&store, false, NULL, &report, &checked, &bad, &err), 0, "scrub once more");
	is_int((long long)bad, 0, "all is well");
	ok(strstr(report.data, "healed sha256:") != NULL, "and it says so");
}

/* Pushers and a collector without grace, side by side: whatever was acknowledged is whole. */
static void *push_loop(void *arg)
{
	char repo[32], text[64], config[64], tag[16];
	long failed = 0, n = (long)(intptr_t)arg;
	struct digest d;

	snprintf(repo, sizeof(repo), "race%ld", n);
	for (int i = 0; i < 40; i++) {
		snprintf(text, sizeof(text), "layer %ld %d", n, i);
		snprintf(config, sizeof(config), "config %ld %d", n, i % 3);
		snprintf(tag, sizeof(tag), "t%d", i);
		/* A collection may take a blob before the manifest comes: a client pushes again. */
		for (int attempt = 0; attempt < 50; attempt++) {
			if (push_blob(repo, text, NULL) == 0 &&
			    push_blob(repo, config, NULL) == 0 &&
			    push_image(repo, tag, config, text, &d, NULL) == 0)
				break;
			failed += attempt == 49;
		}
	}
	return (void *)failed;
}

static int check_ref(void *arg, const struct digest *d, int64_t size, bool is_subject,
		     struct error *err)
{
	uint64_t got;
	int r = repo_stat_blob(&store, arg, d, &got, err);

	(void)is_subject;
	return r == 0 && got != (uint64_t)size ? -ERR_CORRUPT : r;
}

static void test_race(void)
{
	struct gc_options now = { .grace_ns = 0, .upload_age_ns = NS_PER_SEC * 3600 };
	pthread_t threads[4];
	long failed = 0, lost = 0;
	struct gc_result g;
	struct error err;

	for (long i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, push_loop, (void *)i);
	for (int i = 0; i < 60; i++)
		if (gc_run(&store, uploads, &now, NULL, &g, &err) < 0)
			printf("# gc: %s\n", err.msg), failed++;
	for (int i = 0; i < 4; i++) {
		void *r;

		pthread_join(threads[i], &r);
		failed += (long)r;
	}
	is_int(gc_run(&store, uploads, &now, NULL, &g, &err), 0, "a last collection");
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < 40; k++) {
			char repo[32], tag[16];
			struct digest d;

			snprintf(repo, sizeof(repo), "race%d", i);
			snprintf(tag, sizeof(tag), "t%d", k);
			lost += repo_get_tag(&store, repo, tag, &d, NULL) < 0 ||
				repo_manifest_refs(&store, repo, &d, check_ref, repo, &err) < 0;
		}
	is_int(failed, 0, "no push and no collection failed");
	is_int(lost, 0, "nothing acknowledged was lost");
}

int main(void)
{
	char dir[] = "/tmp/proa-registry-test-XXXXXX";
	struct error err;

	ok(mkdtemp(dir) != NULL, "temporary directory");
	gate_init(&store.gate);
	is_int(storage_fs_open(dir, &store.storage, &err), 0, "open");
	{
		struct storage *second;

		is_int(storage_fs_open(dir, &second, &err), -ERR_CONFLICT,
		       "a second server is refused");
	}
	uploads = uploads_new(&store, 1 << 20);
	test_collection();
	test_chain();
	test_abandoned();
	test_retention();
	test_race();
	test_scrub(dir);
	uploads_free(uploads);
	storage_free(store.storage);
	gate_release(&store.gate);
	is_int(fs_remove_tree(AT_FDCWD, dir, NULL) < 0, 1, "a path is no component");
	{
		int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		is_int(fs_remove_tree(tmp, dir + strlen("/tmp/"), &err), 0, "clean up");
		close(tmp);
	}
	return tap_done();
}
