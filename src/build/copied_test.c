/* The note of a layer: found again, checked, never believed when it is torn. */
#include "build/copied.h"
#include "build/text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "store/lease.h"
#include "tests/tap.h"

static char dir[] = "/tmp/proa-copied-XXXXXX";
static struct error err;

static struct copied_file file_of(const char *text, uint32_t mode)
{
	struct copied_file f = { .mode = mode, .mtime_ns = -5 };

	hash_sha256(text, strlen(text), f.hash);
	return f;
}

static struct digest add_layer(struct store *s, const char *name)
{
	struct layer_info info = { .diff_id.algo = DIGEST_SHA256 };
	struct layer_draft d = LAYER_DRAFT_INIT;

	hash_sha256(name, strlen(name), info.diff_id.bytes);
	ok(snapshot_layer_begin(s->snapshots, &d, &err) == 0 &&
	       snapshot_layer_commit(s->snapshots, &d, &info, &err) == 0,
	   "a layer");
	return info.diff_id;
}

static void test_note(struct store *s, const char *lease)
{
	struct copied_file a = file_of("a", 0644), b = file_of("b", 0644), other = a;
	struct digest layer = add_layer(s, "one");
	struct copied *c = copied_new(s, "here", "key", lease);

	is_int(copied_old_fd(c), FD_NONE, "there is no older layer");
	copied_add(c, "/z", &b);
	copied_add(c, "/a b", &a);
	copied_save(c, &layer);
	copied_free(c);
	c = copied_new(s, "here", "key", lease);
	ok(copied_old_fd(c) >= 0, "the layer is known as the older one now");
	ok(copied_had(c, "/a b", &a) && copied_had(c, "/z", &b), "with its files");
	ok(!copied_had(c, "/a b", &b), "not with another content");
	other.mode = 0755;
	ok(!copied_had(c, "/a b", &other), "nor another mode");
	other = a;
	other.mtime_ns = 0;
	ok(!copied_had(c, "/a b", &other), "nor another time");
	ok(!copied_had(c, "/a", &a) && !copied_had(c, "", &a), "nor other names");
	copied_free(c);
	c = copied_new(s, "here", "key2", lease);
	is_int(copied_old_fd(c), FD_NONE, "another instruction has none");
	copied_free(c);
	c = copied_new(s, "here", "key", NULL);
	is_int(copied_old_fd(c), FD_NONE, "without cache none is asked");
	copied_free(c);
}

static void note_change(void *arg, const char *path, enum copied_change change)
{
	struct text *t = arg;

	text_adds(t, path);
	text_adds(t, change == COPIED_NEW ? "+" : change == COPIED_GONE ? "-" : "*");
}

static void test_compare(struct store *s, const char *lease)
{
	struct copied_file a = file_of("a", 0644), other = file_of("o", 0644);
	struct digest layer = add_layer(s, "three");
	struct copied *c = copied_new(s, "here", "compared", lease);
	auto_(text) changes = TEXT_INIT;

	copied_add(c, "/a", &a);
	copied_add(c, "/b", &a);
	copied_add(c, "/c", &a);
	copied_add(c, "/d", &a);
	copied_save(c, &layer);
	copied_free(c);
	c = copied_new(s, "here", "compared", lease);
	copied_add(c, "/a", &a);
	copied_add(c, "/b", &other);
	copied_add_fresh(c, "/c");
	copied_add(c, "/e", &a);
	copied_add_fresh(c, "/f");
	copied_compare(c, note_change, &changes);
	is_str(changes.at, "/b*/c*/d-/e+", "a file that was just written is not gone");
	copied_free(c);
}

/* Every byte of the note changed, and every length of it. */
static void test_damage(struct store *s, const char *lease)
{
	auto_(buf) note = BUF_INIT(4096);
	struct copied_file a = file_of("a", 0644);
	struct digest layer = add_layer(s, "two");
	struct copied *c = copied_new(s, "here", "hurt", lease);
	autoclose int at = FD_NONE, fd = FD_NONE;
	bool believed = false;

	copied_add(c, "/a", &a);
	copied_save(c, &layer);
	copied_free(c);
	ok(snapshot_layer_dir(s->snapshots, &layer, &at, &err) == 0 &&
	       fs_read_at(at, "copied", &note, &err) == 0,
	   "the note is read");
	fd = openat(at, "copied", O_RDWR | O_CLOEXEC);
	for (size_t i = 0; i < note.len; i++) {
		char wrong = (char)(note.data[i] ^ 1);

		ok(pwrite(fd, &wrong, 1, (off_t)i) == 1, "a byte is changed");
		c = copied_new(s, "here", "hurt", lease);
		believed |= copied_had(c, "/a", &a) || copied_old_fd(c) >= 0;
		copied_free(c);
		ok(pwrite(fd, note.data + i, 1, (off_t)i) == 1, "and set right");
	}
	for (size_t i = note.len; i-- > 0;) {
		ok(ftruncate(fd, (off_t)i) == 0, "it is cut");
		c = copied_new(s, "here", "hurt", lease);
		believed |= copied_had(c, "/a", &a) || copied_old_fd(c) >= 0;
		copied_free(c);
	}
	ok(!believed, "no damaged note is believed");
}

int main(void)
{
	struct store *s = NULL;
	struct lease lease = { 0 };
	autoclose int tmp = FD_NONE;

	ok(mkdtemp(dir) != NULL, "temporary directory");
	is_int(store_open(dir, NULL, &s, &err), 0, "a store opens");
	is_int(copied_migrate(s, &err), 0, "its table is made");
	is_int(lease_open(s->db, "test", &lease, &err), 0, "a lease");
	test_note(s, lease.id);
	test_compare(s, lease.id);
	test_damage(s, lease.id);
	lease_close(&lease);
	store_close(s);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_int(fs_remove_tree(tmp, dir + strlen("/tmp/"), &err), 0, "all goes");
	auto_close_(&tmp);
	tmp = FD_NONE;
	return tap_done();
}
