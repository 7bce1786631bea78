/* Streams go there and back, members and frames are joined, damage is found. */
#include "archive/compress.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/alloc.h"
#include "tests/tap.h"

#define SIZE (300 * 1000)

static char data[SIZE];

static void make_data(void)
{
	unsigned x = 1;

	for (size_t i = 0; i < SIZE; i++) {
		x = x * 1103515245 + 12345;
		data[i] = (char)(i % 1000 < 700 ? 'a' + (i / 7) % 20 : x >> 24);
	}
}

static int pack(enum compression kind, const void *bytes, size_t len, struct buf *out)
{
	struct compressor *c;
	struct buf_writer w;
	struct error err;
	int r;

	buf_writer_init(&w, out);
	r = compressor_new(kind, 0, &w.writer, &c, &err);
	if (r == 0)
		r = writer_write(compressor_writer(c), bytes, len, &err);
	if (r == 0)
		r = compressor_finish(c, &err);
	if (r == 0)
		compressor_free(c);
	return r;
}

static int unpack(const void *bytes, size_t len, struct buf *out, enum compression *kind)
{
	struct decompressor *d;
	struct mem_reader in;
	struct error err;
	int r;

	mem_reader_init(&in, bytes, len);
	r = decompressor_new(&in.reader, &d, &err);
	if (r < 0)
		return r;
	*kind = decompressor_kind(d);
	r = reader_read_all(decompressor_reader(d), out, &err);
	decompressor_free(d);
	return r;
}

static void round_trip(enum compression kind)
{
	auto_(buf) packed = BUF_INIT(1 << 22), again = BUF_INIT(1 << 22);
	auto_(buf) back = BUF_INIT(1 << 22), empty = BUF_INIT(100), cut = BUF_INIT(1 << 22);
	enum compression seen;
	size_t n;

	ok(pack(kind, data, SIZE, &packed) == 0 && pack(kind, data, SIZE, &again) == 0,
	   compression_name(kind));
	ok(packed.len == again.len && memcmp(packed.data, again.data, packed.len) == 0,
	   "  the same bytes each time");
	ok(unpack(packed.data, packed.len, &back, &seen) == 0 && seen == kind, "  is recognised");
	ok(back.len == SIZE && memcmp(back.data, data, SIZE) == 0, "  comes back whole");
	if (kind == COMPRESSION_NONE)
		return;
	is_int(unpack(packed.data, packed.len - 5, &cut, &seen), -ERR_CORRUPT,
	       "  a cut stream is refused");
	n = packed.len / 2;
	packed.data[n] = (char)(packed.data[n] ^ 0x10);
	cut.len = 0;
	is_int(unpack(packed.data, packed.len, &cut, &seen), -ERR_CORRUPT,
	       "  a flipped bit is found");
	again.len = 0;
	ok(pack(kind, "one", 3, &again) == 0 && pack(kind, "two", 3, &again) == 0,
	   "  two members in a row");
	back.len = 0;
	ok(unpack(again.data, again.len, &back, &seen) == 0 && back.len == 6 &&
	       memcmp(back.data, "onetwo", 6) == 0,
	   "  are one stream");
	ok(pack(kind, "", 0, &empty) == 0, "  the empty stream");
	back.len = 0;
	ok(unpack(empty.data, empty.len, &back, &seen) == 0 && back.len == 0, "  is empty");
}

static void gzip_padding_and_garbage(void)
{
	auto_(buf) b = BUF_INIT(1 << 20), back = BUF_INIT(1000);
	enum compression seen;
	struct error err;

	ok(pack(COMPRESSION_GZIP, "x", 1, &b) == 0 && buf_add(&b, "\0\0\0\0", 4, &err) == 0,
	   "zeros after the end");
	ok(unpack(b.data, b.len, &back, &seen) == 0 && back.len == 1, "  are padding");
	ok(buf_add(&b, "hello", 5, &err) == 0, "garbage after the end");
	is_int(unpack(b.data, b.len, &back, &seen), -ERR_CORRUPT, "  is refused");
}

static void gzip_is_what_zlib_reads(void)
{
	auto_(buf) b = BUF_INIT(1 << 22);
	z_stream z = { 0 };
	char *out = xcalloc(1, SIZE + 1);

	ok(pack(COMPRESSION_GZIP, data, SIZE, &b) == 0, "our gzip");
	ok(inflateInit2(&z, 15 + 16) == Z_OK, "  zlib opens");
	z.next_in = (Bytef *)b.data;
	z.avail_in = (uInt)b.len;
	z.next_out = (Bytef *)out;
	z.avail_out = SIZE + 1;
	ok(inflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out == SIZE &&
	       memcmp(out, data, SIZE) == 0,
	   "  zlib reads it");
	inflateEnd(&z);
	free(out);
}

/* What other programs made of "one"; the second says that it needs a dictionary of 1 GiB. */
static const char xz_one[] =
    "\xfd\x37\x7a\x58\x5a\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x0c\x00\x00\x00"
    "\x8f\x98\x41\x9c\x01\x00\x02\x6f\x6e\x65\x00\x00\xf1\x86\x6c\x7a\x00\x01\x17\x03"
    "\x07\x60\x0c\xbc\x90\x42\x99\x0d\x01\x00\x00\x00\x00\x01\x59\x5a";
static const char xz_one_of_a_gigabyte[] =
    "\xfd\x37\x7a\x58\x5a\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x24\x00\x00\x00"
    "\x5e\x1f\xc7\xf9\x01\x00\x02\x6f\x6e\x65\x00\x00\xf1\x86\x6c\x7a\x00\x01\x17\x03"
    "\x07\x60\x0c\xbc\x90\x42\x99\x0d\x01\x00\x00\x00\x00\x01\x59\x5a";
static const char bzip2_one[] =
    "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xbb\x70\x1b\x10\x00\x00\x01\x01\x00\x02"
    "\x01\xa0\x00\x21\x98\x19\x81\x61\x77\x24\x53\x85\x09\x0b\xb7\x01\xb1\x00";

static void foreign(enum compression kind, const char *one, size_t len)
{
	auto_(buf) b = BUF_INIT(1 << 20), back = BUF_INIT(1000);
	enum compression seen;
	struct error err;

	ok(unpack(one, len, &back, &seen) == 0 && seen == kind && back.len == 3 &&
	       memcmp(back.data, "one", 3) == 0,
	   compression_name(kind));
	for (size_t n = 8; n < len; n++) {
		back.len = 0;
		if (unpack(one, n, &back, &seen) != -ERR_CORRUPT)
			ok(0, "  a cut stream passes");
	}
	back.len = 0;
	ok(buf_add(&b, one, len, &err) == 0 && buf_add(&b, "\0\0\0\0", 4, &err) == 0 &&
	       buf_add(&b, one, len, &err) == 0 && unpack(b.data, b.len, &back, &seen) == 0 &&
	       back.len == 6 && memcmp(back.data, "oneone", 6) == 0,
	   "  two members with padding between are one stream");
	back.len = 0;
	ok(buf_add(&b, "hello, world", 12, &err) == 0, "  garbage after the end");
	is_int(unpack(b.data, b.len, &back, &seen), -ERR_CORRUPT, "  is refused");
}

static void xz_memory_has_a_ceiling(void)
{
	auto_(buf) back = BUF_INIT(1000);
	enum compression seen;

	is_int(unpack(xz_one_of_a_gigabyte, sizeof(xz_one_of_a_gigabyte) - 1, &back, &seen),
	       -ERR_INVALID, "an xz header does not get a gigabyte");
}

int main(void)
{
	make_data();
	round_trip(COMPRESSION_NONE);
	round_trip(COMPRESSION_GZIP);
	round_trip(COMPRESSION_ZSTD);
	gzip_padding_and_garbage();
	gzip_is_what_zlib_reads();
	foreign(COMPRESSION_XZ, xz_one, sizeof(xz_one) - 1);
	foreign(COMPRESSION_BZIP2, bzip2_one, sizeof(bzip2_one) - 1);
	xz_memory_has_a_ceiling();
	return tap_done();
}
