/* Conformance suite of content {dir, mem, fault}, and what only a directory has. */
#include "store/content.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "tests/tap.h"

static const char *prefix;
static char label[256];

static const char *name(const char *what)
{
	snprintf(label, sizeof(label), "%s: %s", prefix, what);
	return label;
}

static struct digest digest_of(const char *text)
{
	struct digest d = { .algo = DIGEST_SHA256 };

	hash_sha256(text, strlen(text), d.bytes);
	return d;
}

static void test_add_and_read(struct content_store *s)
{
	auto_(buf) b = BUF_INIT(100);
	struct digest d, want = digest_of("hello");
	struct error err;
	uint64_t size;

	ok(content_stat(s, &want, NULL, &err) == -ERR_NOT_FOUND, name("absent before it is added"));
	ok(content_add(s, "hello", 5, &d, &err) == 0, name("a small blob is added"));
	ok(digest_same(&d, &want), name("its digest is returned"));
	ok(content_add(s, "hello", 5, &d, &err) == 0, name("adding it again is success"));
	ok(content_read(s, &want, &b, &err) == 0 && strcmp(b.data, "hello") == 0,
	   name("it reads back"));
	ok(content_stat(s, &want, &size, &err) == 0 && size == 5, name("its size is known"));
	ok(content_verify(s, &want, &err) == 0, name("it verifies"));
	ok(content_remove(s, &want, &err) == 0, name("it is removed"));
	ok(content_stat(s, &want, NULL, &err) == -ERR_NOT_FOUND, name("absent after removal"));
	ok(content_remove(s, &want, &err) == 0, name("removing an absent blob is success"));
}

static void test_expectations(struct content_store *s)
{
	static const struct {
		const char *what, *text;
		uint64_t size;
		bool wrong_digest;
		int want_write, want_commit;
	} cases[] = {
		{ "right digest and size", "abc", 3, false, 0, 0 },
		{ "wrong digest", "abc", 3, true, 0, -ERR_CORRUPT },
		{ "fewer bytes than announced", "abc", 4, false, 0, -ERR_CORRUPT },
		{ "more bytes than announced", "abcd", 3, false, -ERR_CORRUPT, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct digest d = digest_of(cases[i].wrong_digest ? "xyz" : "abc");
		struct content_expect e = { .digest = &d, .size = cases[i].size };
		struct content_writer *w;
		struct error err;
		int r;

		if (!ok(content_begin(s, &e, &w, &err) == 0, name("begin")))
			continue;
		r = writer_write(content_sink(w), cases[i].text, strlen(cases[i].text), &err);
		is_int(r, cases[i].want_write, name(cases[i].what));
		if (r < 0)
			content_abort(w, false);
		else
			is_int(content_commit(w, NULL, NULL, &err), cases[i].want_commit,
			       name(cases[i].what));
		is_int(content_stat(s, &d, NULL, &err) == 0,
		       cases[i].want_write == 0 && cases[i].want_commit == 0,
		       name("visible only when right"));
		ok(content_remove(s, &d, &err) == 0, name("clean"));
	}
}

static void test_resume(struct content_store *s)
{
	struct digest d = digest_of("0123456789");
	struct content_expect e = { .digest = &d, .size = 10, .resume = true };
	struct mem_reader rest;
	struct content_tee tee;
	auto_(buf) seen = BUF_INIT(100);
	struct content_writer *w;
	struct error err;

	ok(content_begin(s, &e, &w, &err) == 0 && content_offset(w) == 0,
	   name("a first try starts at 0"));
	ok(writer_write(content_sink(w), "0123", 4, &err) == 0, name("part of it comes"));
	content_abort(w, true);
	ok(content_begin(s, &e, &w, &err) == 0, name("a second try begins"));
	is_int(content_offset(w), 4, name("where the first stopped"));
	mem_reader_init(&rest, "456789", 6);
	content_tee_init(&tee, w, &rest.reader);
	ok(reader_read_all(&tee.reader, &seen, &err) == 0 && seen.len == 10 &&
	       memcmp(seen.data, "0123456789", 10) == 0,
	   name("who reads through it sees all bytes"));
	ok(content_commit(w, NULL, NULL, &err) == 0, name("the resumed blob is whole"));
	ok(content_verify(s, &d, &err) == 0, name("and verifies"));
	ok(content_remove(s, &d, &err) == 0, name("clean"));
}

static void test_tee_limits(struct content_store *s)
{
	struct digest d = digest_of("0123456789");
	struct content_expect e = { .digest = &d, .size = 10 };
	static const char *const bodies[] = { "01234", "0123456789x" };

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct content_writer *w;
		struct content_tee tee;
		struct mem_reader in;
		auto_(buf) seen = BUF_INIT(100);
		struct error err;

		ok(content_begin(s, &e, &w, &err) == 0, name("begin"));
		mem_reader_init(&in, bodies[i], strlen(bodies[i]));
		content_tee_init(&tee, w, &in.reader);
		is_int(reader_read_all(&tee.reader, &seen, &err), -ERR_CORRUPT,
		       name(i ? "a body that is too long is refused"
			      : "a body that is too short is refused"));
		content_abort(w, false);
	}
}

static int count(void *arg, const struct digest *d, uint64_t size, struct error *err)
{
	(void)d;
	(void)size;
	(void)err;
	++*(int *)arg;
	return 0;
}

static void suite(const char *what, struct content_store *s)
{
	struct error err;
	struct digest d;
	int n = 0;

	prefix = what;
	test_add_and_read(s);
	test_expectations(s);
	test_resume(s);
	test_tee_limits(s);
	ok(content_list(s, count, &n, &err) == 0 && n == 0, name("nothing is left"));
	ok(content_add(s, "x", 1, &d, &err) == 0 && content_add(s, "", 0, &d, &err) == 0,
	   name("the empty blob is a blob"));
	ok(content_list(s, count, &n, &err) == 0 && n == 2, name("both are listed"));
}

static void test_damage(struct content_store *s, int dirfd)
{
	struct digest d;
	struct error err;
	char text[DIGEST_TEXT_MAX], path[256];
	int fd;

	ok(content_add(s, "fine", 4, &d, &err) == 0, "add");
	digest_format(&d, text);
	snprintf(path, sizeof(path), "blobs/sha256/%.2s/%s", text + 7, text + 7);
	ok(fchmodat(dirfd, path, 0644, 0) == 0, "the blob has its place");
	fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC);
	ok(fd >= 0 && write(fd, "F", 1) == 1, "a bit flips");
	close(fd);
	is_int(content_verify(s, &d, &err), -ERR_CORRUPT, "damage on disk is found");
}

static void test_two_writers(struct content_store *s)
{
	struct digest d = digest_of("both");
	struct content_expect e = { .digest = &d, .size = 4, .resume = true };
	struct content_writer *a, *b;
	struct error err;

	ok(content_begin(s, &e, &a, &err) == 0 && content_begin(s, &e, &b, &err) == 0,
	   "two writers of one digest begin");
	ok(writer_write(content_sink(a), "both", 4, &err) == 0 &&
	       writer_write(content_sink(b), "both", 4, &err) == 0,
	   "both write");
	ok(content_commit(a, NULL, NULL, &err) == 0 && content_commit(b, NULL, NULL, &err) == 0,
	   "both succeed");
	ok(content_verify(s, &d, &err) == 0, "the blob is right");
}

int main(void)
{
	char root[] = "/tmp/proa-content-XXXXXX";
	struct content_store *s;
	struct error err;
	int dirfd, tmp;

	if (!mkdtemp(root) || fs_open(root, O_RDONLY | O_DIRECTORY, 0, &dirfd, &err) < 0)
		return 1;
	ok(content_dir_new(dirfd, &s, &err) == 0, "a directory store opens");
	suite("dir", s);
	test_damage(s, dirfd);
	test_two_writers(s);
	content_free(s);
	s = content_mem_new();
	suite("mem", s);
	content_free(s);
	s = content_fault_new(content_mem_new(), 0);
	suite("fault", s);
	content_free(s);
	close(dirfd);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(fs_remove_tree(tmp, strrchr(root, '/') + 1, &err) == 0, "cleaned up");
	close(tmp);
	return tap_done();
}
