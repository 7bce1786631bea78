/* What the writer writes the reader reads, and the forms of other writers. */
#include "archive/tar.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/tap.h"

static struct error err;
static char long_name[] = "directory/with/a/name/that/is/longer/than/the/hundred/bytes/which/the/"
			  "old/header/can/hold/in/its/first/field/file.txt";

static const struct tar_xattr xattrs[] = {
	{ "user.b", "two\0bytes", 9 },
	{ "security.capability", "\1\0\0\2", 4 },
};

static const struct tar_entry entries[] = {
	{ .type = TAR_DIR, .path = "d/", .link = "", .mode = 01755, .uid = 1, .gid = 2 },
	{ .type = TAR_FILE,
	  .path = "d/f",
	  .link = "",
	  .mode = 04755,
	  .size = 5,
	  .mtime_ns = 1700000000123456789 },
	{ .type = TAR_FILE, .path = "negative", .link = "", .mtime_ns = -1500000000 },
	{ .type = TAR_FILE, .path = long_name, .link = "", .size = 513 },
	{ .type = TAR_FILE, .path = "grüße", .link = "", .uid = 3000000000, .gid = 4294967295 },
	{ .type = TAR_SYMLINK, .path = "s", .link = long_name },
	{ .type = TAR_HARDLINK, .path = "h", .link = "d/f" },
	{ .type = TAR_CHAR, .path = "c", .link = "", .dev_major = 1, .dev_minor = 300000 },
	{ .type = TAR_BLOCK_DEV, .path = "b", .link = "", .dev_major = 8 },
	{ .type = TAR_FIFO, .path = "p", .link = "" },
	{ .type = TAR_FILE, .path = "x", .link = "", .xattrs = xattrs, .n_xattrs = 2 },
};

static void same(const struct tar_entry *e, const struct tar_entry *want)
{
	is_str(e->path, want->path, "path");
	is_str(e->link, want->link, "  link");
	is_int(e->type, want->type, "  type");
	is_int(e->mode, want->mode, "  mode");
	is_int(e->uid, want->uid, "  uid");
	is_int(e->gid, want->gid, "  gid");
	is_int((long long)e->size, (long long)want->size, "  size");
	is_int(e->mtime_ns, want->mtime_ns, "  time to the nanosecond");
	is_int(e->dev_major, want->dev_major, "  major");
	is_int(e->dev_minor, want->dev_minor, "  minor");
	is_int((long long)e->n_xattrs, (long long)want->n_xattrs, "  extended attributes");
}

static void write_all(struct buf *b)
{
	struct buf_writer out;
	struct tar_writer w = TAR_WRITER_INIT(&out.writer);
	char body[1000] = { 0 };

	buf_writer_init(&out, b);
	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		if (tar_writer_entry(&w, &entries[i], &err) < 0 ||
		    tar_writer_data(&w, body, (size_t)entries[i].size, &err) < 0)
			ok(0, "write");
	}
	ok(tar_writer_finish(&w, &err) == 0 && b->len % 512 == 0, "written in whole blocks");
}

static void test_round_trip(void)
{
	auto_(buf) b = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
	const struct tar_entry *e;
	struct mem_reader in;
	struct tar_reader *t;

	write_all(&b);
	write_all(&again);
	ok(b.len == again.len && memcmp(b.data, again.data, b.len) == 0, "the same bytes twice");
	mem_reader_init(&in, b.data, b.len);
	t = tar_reader_new(&in.reader);
	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		if (!ok(tar_reader_next(t, &e, &err) == 0 && e, "an entry"))
			break;
		same(e, &entries[i]);
		if (e->n_xattrs == 2)
			ok(strcmp(e->xattrs[1].name, "user.b") == 0 && e->xattrs[1].len == 9 &&
			       memcmp(e->xattrs[1].value, "two\0bytes", 9) == 0,
			   "  binary values, sorted by name");
	}
	ok(tar_reader_next(t, &e, &err) == 0 && !e, "and the end");
	tar_reader_free(t);
	/* Everything but the whole is refused, wherever it is cut inside an entry. */
	for (size_t n = 1; n < b.len - 1024; n += 97) {
		int r = 0;

		mem_reader_init(&in, b.data, n);
		t = tar_reader_new(&in.reader);
		do
			r = tar_reader_next(t, &e, &err);
		while (r == 0 && e);
		if (r == 0 && n % 512)
			ok(0, "a cut archive is refused");
		tar_reader_free(t);
	}
}

/* Layers of umoci end so. */
static void test_no_end(void)
{
	static const struct {
		const char *what;
		size_t len;
		int want;
	} cases[] = {
		{ "an archive that ends with a file's data", 512 + 3, 0 },
		{ "one that ends with its padding", 1024, 0 },
		{ "one that ends within the padding", 512 + 4, -ERR_CORRUPT },
		{ "one that ends within the data", 512 + 2, -ERR_CORRUPT },
		{ "one without the data", 512, -ERR_CORRUPT },
	};
	auto_(buf) b = BUF_INIT(1 << 20);
	struct buf_writer out;
	struct tar_writer w = TAR_WRITER_INIT(&out.writer);
	const struct tar_entry *e;

	buf_writer_init(&out, &b);
	ok(tar_writer_file(&w, "x", 0644, 0, "abc", 3, &err) == 0, "one file");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mem_reader in;
		struct tar_reader *t;
		int r;

		mem_reader_init(&in, b.data, cases[i].len);
		t = tar_reader_new(&in.reader);
		do
			r = tar_reader_next(t, &e, &err);
		while (r == 0 && e);
		is_int(r, cases[i].want, cases[i].what);
		tar_reader_free(t);
	}
}

static void test_sparse(void)
{
	/* PAX 0.1: "ab" at 2, "c" at 9 of 12 bytes. */
	auto_(buf) b = BUF_INIT(1 << 20), whole = BUF_INIT(100);
	struct buf_writer out;
	struct tar_writer w = TAR_WRITER_INIT(&out.writer);
	static const char pax[] = "27 GNU.sparse.map=2,2,9,1,\n"
				  "22 GNU.sparse.size=12\n";
	const struct tar_entry x = {
		.type = TAR_FILE, .path = "x", .link = "", .size = sizeof(pax) - 1
	};
	const struct tar_entry *e;
	struct mem_reader in;
	struct tar_reader *t;
	unsigned sum = 0;

	buf_writer_init(&out, &b);
	ok(tar_writer_entry(&w, &x, &err) == 0 &&
	       tar_writer_data(&w, pax, sizeof(pax) - 1, &err) == 0,
	   "a PAX header");
	b.data[156] = 'x';
	memset(b.data + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)b.data[i];
	snprintf(b.data + 148, 7, "%06o", sum);
	ok(tar_writer_file(&w, "sparse", 0644, 0, "abc", 3, &err) == 0 &&
	       tar_writer_finish(&w, &err) == 0,
	   "and its file");
	mem_reader_init(&in, b.data, b.len);
	t = tar_reader_new(&in.reader);
	ok(tar_reader_next(t, &e, &err) == 0 && e && e->n_extents == 2 && e->size == 12,
	   "a sparse file has its map and its size");
	ok(reader_read_all(tar_reader_stream(t), &whole, &err) == 0 && whole.len == 12 &&
	       memcmp(whole.data, "\0\0ab\0\0\0\0\0c\0\0", 12) == 0,
	   "and reads with its holes");
	ok(tar_reader_next(t, &e, &err) == 0 && !e, "the archive goes on behind it");
	tar_reader_free(t);
}

int main(void)
{
	test_round_trip();
	test_no_end();
	test_sparse();
	return tap_done();
}
