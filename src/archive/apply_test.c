/* Layers to disk and back: the same tar; whiteouts; extraction into a root. */
#include "archive/apply.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/pack.h"
#include "archive/tar.h"
#include "base/fs.h"
#include "base/str.h"
#include "tests/tap.h"

static struct error err;
static int top;

static int fresh(const char *name)
{
	if (fs_remove_tree(top, name, &err) < 0 || mkdirat(top, name, 0755) < 0)
		ok(0, "a fresh directory");
	return openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

struct item {
	enum tar_type type;
	const char *path, *link_or_data;
};

static void build(struct buf *b, const struct item *items, size_t n)
{
	struct buf_writer out;
	struct tar_writer w = TAR_WRITER_INIT(&out.writer);

	b->len = 0;
	buf_writer_init(&out, b);
	for (size_t i = 0; i < n; i++) {
		const struct item *it = &items[i];
		struct tar_entry e = { .type = it->type,
				       .path = it->path,
				       .link = "",
				       .mode = it->type == TAR_DIR ? 0755 : 0640,
				       .uid = it->type == TAR_FILE ? 7 : 0,
				       .mtime_ns = 1234567890123456789 };
		size_t len = it->type == TAR_FILE ? strlen(it->link_or_data) : 0;

		e.size = len;
		if (it->type == TAR_HARDLINK || it->type == TAR_SYMLINK)
			e.link = it->link_or_data;
		if (tar_writer_entry(&w, &e, &err) < 0 ||
		    tar_writer_data(&w, it->link_or_data, len, &err) < 0)
			ok(0, "build a tar");
	}
	if (tar_writer_finish(&w, &err) < 0)
		ok(0, "build a tar");
}

static int apply(int root, const struct buf *b, struct apply_stats *stats)
{
	const struct apply_options o = { 0 };
	struct mem_reader in;

	mem_reader_init(&in, b->data, b->len);
	return apply_layer(root, &in.reader, &o, stats, &err);
}

static bool is_whiteout(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(0, 0);
}

static bool is_opaque(int dir, const char *name)
{
	autoclose int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char v;

	return fd >= 0 && fgetxattr(fd, "trusted.overlay.opaque", &v, 1) == 1 && v == 'y';
}

static void test_round_trip(void)
{
	/* In the order and form in which pack_layer writes. */
	static const struct item items[] = {
		{ TAR_FILE, ".wh.gone", "" },       { TAR_DIR, "a/", "" },
		{ TAR_FILE, "a/.wh..wh..opq", "" }, { TAR_FILE, "a/f", "hello" },
		{ TAR_HARDLINK, "a/g", "a/f" },     { TAR_SYMLINK, "s", "/etc/passwd" },
	};
	auto_(buf) b = BUF_INIT(1 << 20), first = BUF_INIT(1 << 20), second = BUF_INIT(1 << 20);
	struct apply_stats stats;
	struct buf_writer out;
	struct stat st, st2;
	int one = fresh("one"), two = fresh("two");

	build(&b, items, ARRAY_LEN(items));
	ok(apply(one, &b, &stats) == 0, "a layer is applied");
	is_int((long long)stats.size, 5, "its size is the sum of its files");
	ok(is_whiteout(one, "gone") && is_opaque(one, "a"), "whiteouts are in overlay form");
	ok(fstatat(one, "a/f", &st, 0) == 0 && fstatat(one, "a/g", &st2, 0) == 0 &&
	       st.st_ino == st2.st_ino && st.st_uid == 7 && (st.st_mode & 07777) == 0640,
	   "hard links, owners and modes are kept");
	ok(st.st_mtim.tv_sec == 1234567890 && st.st_mtim.tv_nsec == 123456789 &&
	       fstatat(one, "a", &st, 0) == 0 && st.st_mtim.tv_nsec == 123456789,
	   "times of files and directories are kept to the nanosecond");
	buf_writer_init(&out, &first);
	ok(pack_layer(one, &out.writer, NULL, NULL, &err) == 0, "it is packed");
	ok(apply(two, &first, NULL) == 0, "and applied again");
	buf_writer_init(&out, &second);
	ok(pack_layer(two, &out.writer, NULL, NULL, &err) == 0, "and packed again");
	ok(first.len == second.len && memcmp(first.data, second.data, first.len) == 0,
	   "to the same bytes");
	close(one);
	close(two);
}

static void test_order(void)
{
	static const struct item items[] = {
		{ TAR_FILE, "f", "x" },         { TAR_FILE, ".wh.f", "" },
		{ TAR_DIR, "d", "" },           { TAR_FILE, ".wh.d", "" },
		{ TAR_FILE, ".wh.e", "" },      { TAR_DIR, "e", "" },
		{ TAR_FILE, ".wh.p", "" },      { TAR_FILE, "p/q", "x" },
		{ TAR_FILE, "twice", "first" }, { TAR_FILE, "twice", "second" },
		{ TAR_DIR, "kind", "" },        { TAR_FILE, "kind/x", "x" },
		{ TAR_FILE, "kind", "file" },   { TAR_FILE, "/./a//b/./c", "clean" },
	};
	auto_(buf) b = BUF_INIT(1 << 20), text = BUF_INIT(100);
	struct stat st;
	int root = fresh("one");

	build(&b, items, ARRAY_LEN(items));
	ok(apply(root, &b, NULL) == 0, "a layer in odd order is applied");
	ok(fstatat(root, "f", &st, 0) == 0 && S_ISREG(st.st_mode),
	   "a whiteout does not take what its own layer has");
	ok(is_opaque(root, "d") && is_opaque(root, "e") && is_opaque(root, "p"),
	   "a directory beside its whiteout hides what is below");
	ok(fs_read_at(root, "twice", &text, &err) == 0 && strcmp(text.data, "second") == 0,
	   "the last of two entries counts");
	ok(fstatat(root, "kind", &st, 0) == 0 && S_ISREG(st.st_mode),
	   "a file replaces a directory");
	ok(fstatat(root, "a/b/c", &st, 0) == 0, "paths are cleaned");
	close(root);
}

static int extract(int root, const char *dest, const struct buf *b, const struct extract_options *o)
{
	struct mem_reader in;

	mem_reader_init(&in, b->data, b->len);
	return archive_extract(root, dest, &in.reader, o, NULL, &err);
}

static void test_extract(void)
{
	static const struct item items[] = { { TAR_DIR, "d", "" },
					     { TAR_FILE, "d/.wh.f", "x" },
					     { TAR_FILE, "etc/f", "x" } };
	static const struct item over[] = { { TAR_FILE, "d", "x" } };
	const struct extract_options plain = { 0 };
	const struct extract_options strict = { .no_overwrite_dir_non_dir = true };
	const struct extract_options chown = { .chown = true, .uid = 5, .gid = 6 };
	auto_(buf) b = BUF_INIT(1 << 20);
	struct stat st;
	int root = fresh("one");

	build(&b, items, ARRAY_LEN(items));
	ok(mkdirat(root, "w", 0755) == 0 && mkdirat(root, "real", 0755) == 0 &&
	       symlinkat("/real", root, "etc") == 0 && symlinkat("../..", root, "up") == 0 &&
	       symlinkat("/up/up/etc", root, "w/etc") == 0,
	   "a root with symlinks");
	is_int(extract(root, "absent", &b, &plain), -ERR_NOT_FOUND, "an absent target is told");
	ok(extract(root, "/w", &b, &plain) == 0, "a tar is extracted into it");
	ok(fstatat(root, "w/d/.wh.f", &st, 0) == 0 && S_ISREG(st.st_mode),
	   "whiteout names are plain names");
	ok(fstatat(root, "real/f", &st, 0) == 0,
	   "symlinks on the way are followed inside the root only");
	build(&b, over, ARRAY_LEN(over));
	is_int(extract(root, "w", &b, &strict), -ERR_INVALID,
	       "noOverwriteDirNonDir keeps a directory");
	ok(extract(root, "w", &b, &chown) == 0 && fstatat(root, "w/d", &st, 0) == 0 &&
	       S_ISREG(st.st_mode) && st.st_uid == 5 && st.st_gid == 6,
	   "else it is replaced; the owner can be given");
	close(root);
}

static char changes[1000];

static int note(void *arg, const char *path, enum change_kind kind, struct error *e)
{
	(void)arg;
	(void)e;
	snprintf(changes + strlen(changes), sizeof(changes) - strlen(changes), "%c %s\n",
		 "CAD"[kind], path);
	return 0;
}

static void test_changes(void)
{
	static const struct item low[] = { { TAR_DIR, "etc", "" },
					   { TAR_FILE, "etc/a", "x" },
					   { TAR_FILE, "etc/b", "x" },
					   { TAR_DIR, "etc-old", "" } };
	static const struct item high[] = {
		{ TAR_DIR, "etc", "" },        { TAR_FILE, "etc/.wh.a", "" },
		{ TAR_FILE, "etc/b", "y" },    { TAR_FILE, "etc/c", "y" },
		{ TAR_FILE, ".wh.never", "" }, { TAR_FILE, "etc-old/n", "y" },
		{ TAR_FILE, "new", "y" }
	};
	auto_(buf) b = BUF_INIT(1 << 20);
	int lower = fresh("one"), upper = fresh("two");

	build(&b, low, ARRAY_LEN(low));
	ok(apply(lower, &b, NULL) == 0, "a lower layer");
	build(&b, high, ARRAY_LEN(high));
	ok(apply(upper, &b, NULL) == 0, "an upper directory");
	ok(pack_changes(upper, &lower, 1, note, NULL, &err) == 0, "are compared");
	is_str(changes, "C /etc\nD /etc/a\nC /etc/b\nA /etc/c\nC /etc-old\nA /etc-old/n\nA /new\n",
	       "as docker diff shows them");
	close(lower);
	close(upper);
}

/* Puts each file that says "have" as a link to `have` of the same tree. */
struct placer {
	int root, n_data, n_end;
	char said[16];
};

static void placer_data(void *arg, const void *bytes, size_t len)
{
	struct placer *p = arg;

	snprintf(p->said, sizeof(p->said), "%.*s", (int)len, (const char *)bytes);
	p->n_data++;
}

static void placer_end(void *arg, const struct stat *st)
{
	struct placer *p = arg;

	p->n_end += S_ISREG(st->st_mode);
}

static bool placer_place(void *arg, int dir, const char *name, uint64_t size, mode_t mode,
			 int64_t mtime_ns)
{
	struct placer *p = arg;

	return size == 4 && mode == 0640 && mtime_ns == 1234567890123456789 &&
	       strcmp(p->said, "have") == 0 && linkat(p->root, "have", dir, name, 0) == 0;
}

static void test_place(void)
{
	const struct item items[] = { { TAR_FILE, "d/a", "have" }, { TAR_FILE, "d/b", "other" },
				      { TAR_SYMLINK, "d/c", "b" }, { TAR_FILE, "d/c", "have" },
				      { TAR_SYMLINK, "d/e", "b" }, { TAR_FILE, "d/e", "wrote" },
				      { TAR_FILE, "d/empty", "" } };
	static const struct extract_watch watch = { placer_data, placer_end, placer_place };
	auto_(buf) b = BUF_INIT(1 << 20), text = BUF_INIT(64);
	struct placer p = { .root = fresh("place") };
	const struct extract_options o = { .watch = &watch, .watch_arg = &p };
	struct stat a, c, have;
	int fd = openat(p.root, "have", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	ok(fs_write_all(fd, "have", 4, &err) == 0, "a file that is there");
	close(fd);
	build(&b, items, ARRAY_LEN(items));
	ok(extract(p.root, ".", &b, &o) == 0, "files are extracted, some of them placed");
	ok(fstatat(p.root, "have", &have, 0) == 0 && fstatat(p.root, "d/a", &a, 0) == 0 &&
	       fstatat(p.root, "d/c", &c, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == have.st_ino &&
	       c.st_ino == have.st_ino,
	   "the placed ones are links, also where something was in the way");
	ok(fs_read_in_root(p.root, "d/b", &text, &err) == 0 && text.len == 5 &&
	       memcmp(text.data, "other", 5) == 0,
	   "another one is written");
	text.len = 0;
	ok(fs_read_in_root(p.root, "d/e", &text, &err) == 0 && text.len == 5 &&
	       memcmp(text.data, "wrote", 5) == 0,
	   "whole, where something was in the way");
	is_int(p.n_data, 5, "data is told once a file");
	is_int(p.n_end, 5, "and the file once");
	close(p.root);
}

int main(void)
{
	char path[] = "/tmp/proa-apply-XXXXXX";
	int tmp;

	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root: owners and devices\n");
		return 0;
	}
	if (!mkdtemp(path))
		return 1;
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_round_trip();
	test_order();
	test_extract();
	test_changes();
	test_place();
	close(top);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(fs_remove_tree(tmp, strrchr(path, '/') + 1, &err) == 0, "cleaned up");
	close(tmp);
	return tap_done();
}
