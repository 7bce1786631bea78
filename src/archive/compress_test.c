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

int main(void)
{
	make_data();
	round_trip(COMPRESSION_NONE);
	round_trip(COMPRESSION_GZIP);
	round_trip(COMPRESSION_ZSTD);
	gzip_padding_and_garbage();
	gzip_is_what_zlib_reads();
	return tap_done();
}
