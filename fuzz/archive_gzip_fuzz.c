/* isa-l against zlib: the same bytes or the same verdict. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "archive/compress.h"

#define OUT_MAX (1 << 20)

/* -1: damaged; else the number of bytes. One or more members, zero padding. */
static long by_zlib(const uint8_t *data, size_t size, unsigned char *out)
{
	z_stream z = { 0 };
	size_t total = 0;
	int r;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		abort();
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)size;
	for (;;) {
		z.next_out = out + total;
		z.avail_out = (uInt)(OUT_MAX - total);
		r = inflate(&z, Z_FINISH);
		total = OUT_MAX - z.avail_out;
		if (r != Z_STREAM_END)
			break;
		while (z.avail_in > 0 && *z.next_in == 0) {
			z.next_in++;
			z.avail_in--;
		}
		if (z.avail_in == 0) {
			inflateEnd(&z);
			return (long)total;
		}
		inflateReset(&z);
	}
	inflateEnd(&z);
	return r == Z_BUF_ERROR && total == OUT_MAX ? -2 : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char want[OUT_MAX];
	auto_(buf) got = BUF_INIT(OUT_MAX);
	struct decompressor *d;
	struct mem_reader in;
	long n;
	int r;

	if (compression_detect(data, size) != COMPRESSION_GZIP)
		return 0;
	n = by_zlib(data, size, want);
	mem_reader_init(&in, data, size);
	r = decompressor_new(&in.reader, &d, NULL);
	if (r == 0) {
		r = reader_read_all(decompressor_reader(d), &got, NULL);
		decompressor_free(d);
	}
	if (n == -2 || r == -ERR_INVALID)
		return 0; /* more than the test's room */
	if ((n < 0) != (r < 0))
		abort();
	if (n >= 0 && (got.len != (size_t)n || (n > 0 && memcmp(got.data, want, got.len) != 0)))
		abort();
	return 0;
}
