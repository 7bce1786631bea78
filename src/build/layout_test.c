#include "build/layout.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/hash.h"
#include "oci/media_type.h"
#include "tests/tap.h"

static struct descriptor describe(const char *text)
{
	struct descriptor d = { .media_type = MEDIA_OCI_MANIFEST,
				.digest.algo = DIGEST_SHA256,
				.size = (int64_t)strlen(text) };

	hash_sha256(text, strlen(text), d.digest.bytes);
	return d;
}

static int put(int dir, const char *text, struct descriptor *ret)
{
	char path[] = "/tmp/layout_test_blob_XXXXXX";
	autoclose int fd = mkostemp(path, O_CLOEXEC);
	struct error err;
	int r;

	unlink(path);
	*ret = describe(text);
	r = fs_write_all(fd, text, strlen(text), &err);
	return r < 0 ? r : layout_put(dir, ret, fd, &err);
}

static void blob_file(const struct descriptor *d, char *out, size_t size)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(&d->digest, text);
	snprintf(out, size, "blobs/sha256/%s", strchr(text, ':') + 1);
}

static int read_back(int dir, const struct descriptor *d)
{
	auto_(buf) b = BUF_INIT(1 << 20);

	return layout_read(dir, d, &b, NULL);
}

static void blobs(int dir)
{
	struct descriptor d, other;
	char path[200];
	autoclose int fd = FD_NONE;

	is_int(put(dir, "hello", &d), 0, "a blob is put");
	is_int(put(dir, "hello", &d), 0, "and again");
	is_int(read_back(dir, &d), 0, "and read");
	other = describe("nobody");
	is_int(read_back(dir, &other), -ERR_NOT_FOUND, "one that is not there is not");
	d.size = 4;
	is_int(read_back(dir, &d), -ERR_CORRUPT, "another size is refused");
	d.size = INT64_MAX;
	is_int(read_back(dir, &d), -ERR_CORRUPT, "a size of 2^63 too");
	d.size = 5;
	blob_file(&d, path, sizeof(path));
	fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
	is_int(pwrite(fd, "J", 1, 0), 1, "other bytes of the same size");
	is_int(read_back(dir, &d), -ERR_CORRUPT, "are refused");
	unlinkat(dir, path, 0);
	is_int(symlinkat("/etc/hostname", dir, path), 0, "a link that leads out");
	ok(read_back(dir, &d) < 0, "is not followed");
	unlinkat(dir, path, 0);
	is_int(mkfifoat(dir, path, 0600), 0, "a fifo");
	is_int(read_back(dir, &d), -ERR_CORRUPT, "does not block");
	unlinkat(dir, path, 0);
}

static int find(int dir, const char *tag, const char *digest, struct descriptor *ret)
{
	auto_(arena) a = ARENA_INIT;

	return layout_find(dir, &a, tag, digest, ret, NULL);
}

static void names(int dir)
{
	struct descriptor one = describe("one"), two = describe("two"), got;
	char text[DIGEST_TEXT_MAX];
	struct error err;

	is_int(find(dir, "latest", NULL, &got), -ERR_NOT_FOUND,
	       "without index.json nothing is found");
	is_int(layout_tag(dir, &one, "1", &err), 0, "a manifest is named");
	is_int(find(dir, "other", NULL, &got), 0, "the only one is found by any name");
	is_int(layout_tag(dir, &two, "2", &err), 0, "another");
	is_int(find(dir, "other", NULL, &got), -ERR_NOT_FOUND, "of two it is not");
	is_int(find(dir, "1", NULL, &got), 0, "but by its own");
	ok(digest_equal(&got.digest, &one.digest), "it is the first");
	is_int(layout_tag(dir, &two, "1", &err), 0, "the name moves");
	is_int(find(dir, "1", NULL, &got), 0, "and is found");
	ok(digest_equal(&got.digest, &two.digest), "where it went");
	digest_format(&one.digest, text);
	is_int(find(dir, "1", text, &got), -ERR_NOT_FOUND, "what has no name any more is gone");
	digest_format(&two.digest, text);
	is_int(find(dir, "1", text, &got), 0, "a digest is found");
	is_int(fs_replace(dir, "index.json", 0644, "{\"manifests\":7}", 15, &err), 0,
	       "an index that is none");
	ok(find(dir, "1", NULL, &got) < 0, "is refused");
	is_int(layout_tag(dir, &one, "1", &err), 0, "and replaced");
}

static void in_directory(const char *name)
{
	autoclose int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autoclose int dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	blobs(dir);
	names(dir);
	(void)!fs_remove_tree(parent, name, NULL);
}

int main(void)
{
	char root[] = "/tmp/layout_test_XXXXXX";

	if (mkdtemp(root) == NULL)
		return 1;
	in_directory(root + strlen("/tmp/"));
	return tap_done();
}
