/* Files of layers are lent once each, by content, mode and owner, and never when they are others.
 */
#include "build/known.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "build/copied.h"
#include "store/lease.h"
#include "tests/tap.h"

static char dir[] = "/tmp/proa-known-XXXXXX";
static struct error err;
static int out;

static void put(int root, const char *path, const char *text)
{
	int fd = openat(root, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ok(fd >= 0 && fchmod(fd, 0644) == 0 && fs_write_all(fd, text, strlen(text), &err) == 0,
	   "a file of a layer");
	close(fd);
}

static void note(struct copied *c, const char *path, const char *text, uint32_t uid)
{
	struct copied_file f = { .mode = 0644, .uid = uid };

	hash_sha256(text, strlen(text), f.hash);
	copied_add(c, path, &f);
}

/* Two files "same", one "other", one that the note is wrong about, one of a user. */
static void add_layer(struct store *s, const char *lease)
{
	struct layer_info info = { .diff_id.algo = DIGEST_SHA256 };
	struct layer_draft d = LAYER_DRAFT_INIT;
	struct copied *c = copied_new(s, "here", "key", lease);

	ok(snapshot_layer_begin(s->snapshots, &d, &err) == 0, "a layer begins");
	ok(mkdirat(d.fd, "d", 0755) == 0 && symlinkat("d", d.fd, "way") == 0, "its directories");
	put(d.fd, "d/a", "same");
	put(d.fd, "b", "same");
	put(d.fd, "other", "other");
	put(d.fd, "short", "x");
	put(d.fd, "d/hidden", "hidden");
	note(c, "/d/a", "same", 0);
	note(c, "/b", "same", 0);
	note(c, "/other", "other", 0);
	note(c, "/short", "longer", 0);
	note(c, "/users", "users", 5);
	note(c, "/way/hidden", "hidden", 0);
	ok(snapshot_layer_commit(s->snapshots, &d, &info, &err) == 0, "and is one");
	copied_save(c, &info.diff_id);
	copied_free(c);
}

static bool lend(struct known *k, const char *text, mode_t mode, const char *name)
{
	uint8_t sum[SHA256_SIZE];

	hash_sha256(text, strlen(text), sum);
	return known_link(k, sum, strlen(text), mode, out, name);
}

static ino_t inode(const char *name)
{
	struct stat st;

	return fstatat(out, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static void test_lending(struct store *s, const char *lease)
{
	struct known *k = known_new(s, "here", lease);

	ok(lend(k, "same", 0644, "1") && lend(k, "same", 0644, "2"), "both files are lent");
	ok(inode("1") != 0 && inode("1") != inode("2"), "each once");
	ok(!lend(k, "same", 0644, "3") && inode("3") == 0, "there is no third");
	ok(!lend(k, "other", 0600, "4"), "another mode is another file");
	ok(!lend(k, "absent", 0644, "4"), "another content, too");
	ok(!lend(k, "longer", 0644, "4") && inode("4") == 0,
	   "a note that is wrong is not believed");
	ok(!lend(k, "users", 0644, "4"), "a user's file is not root's");
	ok(!lend(k, "hidden", 0644, "4"), "no symlink is followed");
	ok(!lend(k, "other", 0644, "1") && inode("1") != 0, "what is in the way stays");
	known_free(k);
	k = known_new(s, "elsewhere", lease);
	ok(!lend(k, "same", 0644, "4"), "another context has other files");
	known_free(k);
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
	tmp = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(mkdirat(tmp, "out", 0755) == 0, "a context");
	out = openat(tmp, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	add_layer(s, lease.id);
	/* Owners are root's: a user's test shows nothing. */
	if (geteuid() == 0)
		test_lending(s, lease.id);
	lease_close(&lease);
	store_close(s);
	close(out);
	auto_close_(&tmp);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	is_int(fs_remove_tree(tmp, dir + strlen("/tmp/"), &err), 0, "all goes");
	auto_close_(&tmp);
	tmp = FD_NONE;
	return tap_done();
}
