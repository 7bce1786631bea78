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

static void seal(char *block)
{
	unsigned sum = 0;

	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)block[i];
	snprintf(block + 148, 7, "%06o", sum);
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

	buf_writer_init(&out, &b);
	ok(tar_writer_entry(&w, &x, &err) == 0 &&
	       tar_writer_data(&w, pax, sizeof(pax) - 1, &err) == 0,
	   "a PAX header");
	b.data[156] = 'x';
	seal(b.data);
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

/* A block of another writer's: the reader's verdict on it, followed by the end. */
static int read_block(const char *block, struct tar_reader **ret, const struct tar_entry **e)
{
	static struct mem_reader in;
	static char file[4 * 512];

	memcpy(file, block, 512);
	seal(file);
	mem_reader_init(&in, file, sizeof(file));
	*ret = tar_reader_new(&in.reader);
	return tar_reader_next(*ret, e, &err);
}

/* Headers as tar programs of three decades write them, and as attackers do. */
static void test_headers(void)
{
	static const struct {
		const char *what;
		size_t at;
		const char *bytes;
		size_t len;
		int want;
	} cases[] = {
		{ "a plain header", 0, "f", 1, 0 },
		{ "a type that nobody knows", 156, "~", 1, -ERR_INVALID },
		{ "a hard link to nothing", 156, "1", 1, -ERR_CORRUPT },
		{ "letters in the mode", 100, "00zz644", 7, -ERR_CORRUPT },
		{ "blanks before a number", 108, "   1750", 7, 0 },
		{ "a negative size in base 256", 124,
		  "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12, -ERR_CORRUPT },
		{ "a size beyond 63 bits in base 256", 124, "\x80\1\0\0\0\0\0\0\0\0\0\0", 12,
		  -ERR_CORRUPT },
		{ "a negative time in base 256", 136,
		  "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char block[512] = "x";
		const struct tar_entry *e;
		struct tar_reader *t;

		memcpy(block + 257,
		       "ustar\0"
		       "00",
		       8);
		block[156] = '0';
		memcpy(block + cases[i].at, cases[i].bytes, cases[i].len);
		is_int(read_block(block, &t, &e), cases[i].want, cases[i].what);
		tar_reader_free(t);
	}
}

static void test_prefix(void)
{
	char block[512] = "name";
	const struct tar_entry *e;
	struct tar_reader *t;

	memcpy(block + 257,
	       "ustar\0"
	       "00",
	       8);
	memcpy(block + 345, "a/prefix", 8);
	block[156] = '0';
	ok(read_block(block, &t, &e) == 0 && strcmp(e->path, "a/prefix/name") == 0,
	   "the prefix of ustar stands before the name");
	tar_reader_free(t);
	memcpy(block + 257, "ustar  ", 8);
	ok(read_block(block, &t, &e) == 0 && strcmp(e->path, "name") == 0,
	   "GNU has other fields there");
	tar_reader_free(t);
}

/* tar --format=gnu --sparse: four places in the header, 21 in each block behind it. */
static void old_gnu_file(char *file, const char *second_at)
{
	memset(file, 0, 4 * 512);
	memcpy(file, "sparse", 6);
	memcpy(file + 124, "00000000005", 11); /* bytes in the archive */
	file[156] = 'S';
	memcpy(file + 257, "ustar  ", 8);
	for (size_t i = 0; i < 4; i++) {
		snprintf(file + 386 + i * 24, 12, "%011o", (unsigned)(2 * i));
		snprintf(file + 398 + i * 24, 12, "%011o", 1U);
	}
	file[482] = 1; /* there are more */
	memcpy(file + 483, "00000000014", 11);
	memcpy(file + 512, second_at, 11);
	memcpy(file + 524, "00000000001", 11);
	memcpy(file + 1024, "abcde", 5);
	seal(file);
}

static void test_old_gnu_sparse(void)
{
	auto_(buf) whole = BUF_INIT(100);
	char file[4 * 512];
	const struct tar_entry *e;
	struct mem_reader in;
	struct tar_reader *t;

	old_gnu_file(file, "00000000013");
	mem_reader_init(&in, file, sizeof(file));
	t = tar_reader_new(&in.reader);
	ok(tar_reader_next(t, &e, &err) == 0 && e && e->n_extents == 5 && e->size == 12,
	   "GNU's old sparse file: map in the header and behind it");
	ok(reader_read_all(tar_reader_stream(t), &whole, &err) == 0 && whole.len == 12 &&
	       memcmp(whole.data, "a\0b\0c\0d\0\0\0\0e", 12) == 0,
	   "  reads with its holes");
	tar_reader_free(t);
	old_gnu_file(file, "00000000001");
	mem_reader_init(&in, file, sizeof(file));
	t = tar_reader_new(&in.reader);
	is_int(tar_reader_next(t, &e, &err), -ERR_CORRUPT, "  places out of order are refused");
	tar_reader_free(t);
	mem_reader_init(&in, file, 512 + 100);
	t = tar_reader_new(&in.reader);
	is_int(tar_reader_next(t, &e, &err), -ERR_CORRUPT, "  and a map that is cut");
	tar_reader_free(t);
}

int main(void)
{
	test_headers();
	test_prefix();
	test_old_gnu_sparse();
	test_round_trip();
	test_no_end();
	test_sparse();
	return tap_done();
}
