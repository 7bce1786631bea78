/* What storage.h promises, asked of each implementation. */
#include "registry/storage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "tests/tap.h"

#define ID_A "0123456789abcdef0123456789abcdef"
#define ID_B "fedcba9876543210fedcba9876543210"

static struct storage *s;
static struct error err;

static bool holds(const char *key, const char *want)
{
	auto_(buf) b = BUF_INIT(4096);

	return s->ops->get(s, key, &b, &err) == 0 && b.len == strlen(want) &&
	       memcmp(b.data ? b.data : "", want, b.len) == 0;
}

static bool absent(const char *key)
{
	struct storage_stat st;

	return s->ops->stat(s, key, &st, &err) == -ERR_NOT_FOUND;
}

static void test_small_objects(void)
{
	auto_(buf) tiny = BUF_INIT(2), none = BUF_INIT(64);
	struct storage_stat st;
	int64_t before = clock_wall_ns();

	is_int(s->ops->get(s, "repos/a/tags/t", &none, &err), -ERR_NOT_FOUND, "get: absent");
	is_int(s->ops->put(s, "repos/a/tags/t", "one", 3, &err), 0, "put");
	ok(holds("repos/a/tags/t", "one"), "get");
	is_int(s->ops->put(s, "repos/a/tags/t", "three", 5, &err), 0, "put again");
	ok(holds("repos/a/tags/t", "three"), "it is replaced");
	ok(s->ops->get(s, "repos/a/tags/t", &tiny, &err) < 0, "get: more than the caller takes");
	is_int(s->ops->put(s, "repos/a/tags/e", "", 0, &err), 0, "put: nothing");
	ok(holds("repos/a/tags/e", ""), "is an object");
	is_int(s->ops->stat(s, "repos/a/tags/t", &st, &err), 0, "stat");
	is_int((long long)st.size, 5, "its size");
	ok(st.mtime_ns > before - 10 * NS_PER_SEC && st.mtime_ns <= clock_wall_ns(), "its time");
	ok(absent("repos/a/tags/none") && absent("repos/none/tags/t"), "stat: absent");
	is_int(s->ops->touch(s, "repos/a/tags/none", &err), -ERR_NOT_FOUND, "touch: absent");
	is_int(s->ops->touch(s, "repos/a/tags/t", &err), 0, "touch");
	is_int(s->ops->note(s, "repos/a/blobs/n", &err), 0, "note");
	is_int(s->ops->settle(s, "repos/a/blobs/n", &err), 0, "settle");
	ok(holds("repos/a/blobs/n", ""), "a note is an empty object");
	is_int(s->ops->note(s, "repos/a/tags/t", &err), 0, "note: present");
	ok(holds("repos/a/tags/t", "three"), "a note overwrites nothing");
}

static void test_lists(void)
{
	auto_(storage_listing) l = { 0 }, none = { 0 };

	is_int(s->ops->put(s, "repos/a/tags/B", "x", 1, &err), 0, "put");
	is_int(s->ops->list(s, "repos/a/tags", &l, &err), 0, "list");
	is_int((long long)l.len, 3, "one level");
	ok(l.len == 3 && strcmp(l.names[0], "B") == 0 && strcmp(l.names[1], "e") == 0 &&
	       strcmp(l.names[2], "t") == 0,
	   "sorted bytewise");
	is_int(s->ops->list(s, "repos/none", &none, &err), 0, "list: absent");
	is_int((long long)none.len, 0, "is empty");
}

static void test_removal(void)
{
	is_int(s->ops->remove(s, "repos/a/tags/B", &err), 0, "remove");
	ok(absent("repos/a/tags/B"), "it is gone");
	is_int(s->ops->remove(s, "repos/a/tags/B", &err), 0, "remove: absent");
	is_int(s->ops->remove(s, "repos/none/tags/B", &err), 0, "remove: nothing of it there");
	is_int(s->ops->discard(s, "repos/a/tags/e", &err), 0, "discard an empty one");
	is_int(s->ops->discard(s, "repos/a/tags/t", &err), 0, "discard");
	is_int(s->ops->discard(s, "repos/a/tags/t", &err), 0, "discard: absent");
	ok(absent("repos/a/tags/e") && absent("repos/a/tags/t"), "they are gone");
	is_int(s->ops->flush(s, &err), 0, "flush");
	is_int(s->ops->reclaim(s, &err), 0, "reclaim");
	is_int(s->ops->reclaim(s, &err), 0, "reclaim: nothing");
}

static void upload(const char *id, const char *text, const char *key)
{
	struct storage_upload u;

	is_int(s->ops->upload_begin(s, id, &u, &err), 0, "begin");
	is_int(s->ops->upload_write(s, &u, text, strlen(text), &err), 0, "write");
	is_int(s->ops->upload_commit(s, &u, key, &err), 0, "commit");
}

static void test_uploads(void)
{
	const char *key = "content/blobs/sha256/ab/cd";
	struct storage_upload u;
	struct storage_object o;
	char part[8] = "";
	size_t n = 0;

	is_int(s->ops->upload_resume(s, ID_A, &u, &err), -ERR_NOT_FOUND, "resume: absent");
	is_int(s->ops->upload_begin(s, ID_A, &u, &err), 0, "begin");
	is_int(s->ops->upload_write(s, &u, "abc", 3, &err), 0, "write");
	s->ops->upload_close(s, &u);
	ok(!absent("uploads/" ID_A), "it is an object of its own");
	is_int(s->ops->upload_resume(s, ID_A, &u, &err), 0, "resume");
	is_int((long long)u.size, 3, "where it was left");
	is_int(s->ops->upload_write(s, &u, "def", 3, &err), 0, "go on");
	is_int(s->ops->upload_read(s, &u, 2, part, 3, &n, &err), 0, "read");
	ok(n == 3 && memcmp(part, "cde", 3) == 0, "what was written");
	ok(absent(key), "nothing is visible before the end");
	is_int(s->ops->upload_commit(s, &u, key, &err), 0, "commit");
	ok(holds(key, "abcdef") && absent("uploads/" ID_A), "then it is, and the upload is over");
	is_int(s->ops->upload_resume(s, ID_A, &u, &err), -ERR_NOT_FOUND, "for good");
	is_int(s->ops->open(s, key, &o, &err), 0, "open");
	upload(ID_B, "better", key);
	ok(holds(key, "better"), "a later one takes its place");
	ok(pread(o.fd, part, 6, 0) == 6 && memcmp(part, "abcdef", 6) == 0,
	   "who has opened the old one reads it to its end");
	is_int(s->ops->quarantine(s, key, &o, "sha256-cd", &err), -ERR_NOT_FOUND,
	       "quarantine: another one than was seen");
	ok(holds(key, "better"), "it stays");
	close(o.fd);
	is_int(s->ops->open(s, key, &o, &err), 0, "open");
	is_int(s->ops->quarantine(s, key, &o, "sha256-cd", &err), 0, "quarantine");
	ok(absent(key) && holds("quarantine/sha256-cd", "better"), "moves it");
	close(o.fd);
	is_int(s->ops->open(s, key, &o, &err), -ERR_NOT_FOUND, "open: absent");
	is_int(s->ops->upload_begin(s, ID_A, &u, &err), 0, "begin");
	s->ops->upload_close(s, &u);
	is_int(s->ops->upload_remove(s, ID_A, &err), 0, "remove it");
	is_int(s->ops->upload_remove(s, ID_A, &err), 0, "remove: absent");
}

/* With every call failing, each says so and nothing changes. */
static void test_faults(struct storage *fault)
{
	struct storage_upload u;
	struct storage_stat st;

	is_int(fault->ops->put(fault, "repos/f/tags/t", "x", 1, &err), 0, "put");
	storage_fault_every(fault, 1);
	is_int(fault->ops->put(fault, "repos/f/tags/t", "y", 1, &err), -ERR_SYSTEM, "put fails");
	is_int(fault->ops->remove(fault, "repos/f/tags/t", &err), -ERR_SYSTEM, "remove fails");
	is_int(fault->ops->stat(fault, "repos/f/tags/t", &st, &err), -ERR_SYSTEM, "stat fails");
	is_int(fault->ops->settle(fault, "repos/f/tags/t", &err), -ERR_SYSTEM, "settle fails");
	is_int(fault->ops->upload_begin(fault, ID_A, &u, &err), -ERR_SYSTEM, "begin fails");
	storage_fault_every(fault, 0);
	ok(holds("repos/f/tags/t", "x") && absent("uploads/" ID_A), "nothing happened");
}

int main(void)
{
	char dir[] = "/tmp/proa-storage-test-XXXXXX";
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int wrapped = 0; wrapped < 2; wrapped++) {
		memcpy(strrchr(dir, '-') + 1, "XXXXXX", 6);
		if (mkdtemp(dir) == NULL || storage_fs_open(dir, &s, &err) < 0)
			return 1;
		if (wrapped)
			s = storage_fault_new(s);
		printf("# %s\n", wrapped ? "behind the fault driver" : "a directory");
		test_small_objects();
		test_lists();
		test_removal();
		test_uploads();
		if (wrapped)
			test_faults(s);
		storage_free(s);
		is_int(fs_remove_tree(tmp, dir + strlen("/tmp/"), &err), 0, "clean up");
	}
	close(tmp);
	return tap_done();
}
