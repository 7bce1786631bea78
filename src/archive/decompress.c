/*
 * archive/decompress.c: see compress.h. gzip by isa-l (750 MB/s against zlib's
 * 352), zstd by libzstd, bzip2 by libbz2, xz by liblzma.
 */
#include <bzlib.h>
#include <isa-l.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "archive/compress.h"
#include "base/alloc.h"
#include "base/macros.h"

#define IN_SIZE      (64 * 1024)
#define DETECT_BYTES 6
/* 32 MiB: what zstd -19 makes; a hostile frame cannot ask for more memory. */
#define ZSTD_WINDOW_LOG_MAX 25
/* xz -9 asks for 65 MiB; what a hostile header asks for may be 4 GiB. */
#define XZ_MEMORY_MAX (66ULL << 20)

struct decompressor {
	struct reader reader;
	struct reader *from;
	enum compression kind;
	bool in_end, done, between; /* between: at the border of two members */
	size_t in_at, in_len;
	struct inflate_state *gzip;
	ZSTD_DStream *zstd;
	lzma_stream xz;
	bz_stream bzip2;
	char in[IN_SIZE];
};

const char *compression_name(enum compression c)
{
	static const char *const names[] = { "none", "gzip", "zstd", "bzip2", "xz" };

	return names[c];
}

enum compression compression_detect(const void *bytes, size_t len)
{
	static const struct {
		enum compression kind;
		size_t len;
		const char *magic;
	} magics[] = {
		{ COMPRESSION_GZIP, 3, "\x1f\x8b\x08" },
		{ COMPRESSION_ZSTD, 4, "\x28\xb5\x2f\xfd" },
		{ COMPRESSION_BZIP2, 3, "BZh" },
		{ COMPRESSION_XZ, 6,
		  "\xfd"
		  "7zXZ\0" },
	};

	for (size_t i = 0; i < ARRAY_LEN(magics); i++) {
		if (len >= magics[i].len && memcmp(bytes, magics[i].magic, magics[i].len) == 0)
			return magics[i].kind;
	}
	/* zstd streams may start with a skippable frame (zstd:chunked does not, pzstd does). */
	if (len >= 4 && (((const unsigned char *)bytes)[0] & 0xf0) == 0x50 &&
	    memcmp((const char *)bytes + 1, "\x2a\x4d\x18", 3) == 0)
		return COMPRESSION_ZSTD;
	return COMPRESSION_NONE;
}

/* Some more input; in_end when there is none. */
static int fill(struct decompressor *d, struct error *err)
{
	size_t n;
	int r;

	if (d->in_at < d->in_len || d->in_end)
		return 0;
	r = reader_read(d->from, d->in, IN_SIZE, &n, err);
	if (r < 0)
		return r;
	d->in_at = 0;
	d->in_len = n;
	d->in_end = n == 0;
	return 0;
}

static int cut(const struct decompressor *d, struct error *err)
{
	return error_set(err, ERR_CORRUPT, "%s: unexpected end of data", compression_name(d->kind));
}

static int none_read(struct decompressor *d, void *out, size_t len, size_t *ret_n,
		     struct error *err)
{
	size_t n = d->in_len - d->in_at;

	if (n == 0)
		return reader_read(d->from, out, len, ret_n, err);
	n = n < len ? n : len;
	memcpy(out, d->in + d->in_at, n);
	d->in_at += n;
	*ret_n = n;
	return 0;
}

/* At least n bytes of input in one piece, unless it ends before. */
static int fill_to(struct decompressor *d, size_t n, struct error *err)
{
	size_t got;
	int r;

	if (d->in_len - d->in_at >= n)
		return 0;
	memmove(d->in, d->in + d->in_at, d->in_len - d->in_at);
	d->in_len -= d->in_at;
	d->in_at = 0;
	while (d->in_len < n) {
		r = reader_read(d->from, d->in + d->in_len, IN_SIZE - d->in_len, &got, err);
		if (r < 0)
			return r;
		if (got == 0)
			break;
		d->in_len += got;
	}
	return 0;
}

/* isa-l does not mind reserved flags; zlib does, and two readers must not
 * see different things. */
static int gzip_check_header(struct decompressor *d, struct error *err)
{
	const unsigned char *at;
	int r = fill_to(d, 4, err);

	if (r < 0)
		return r;
	at = (const unsigned char *)d->in + d->in_at;
	if (d->in_len - d->in_at < 4 || memcmp(at, "\x1f\x8b\x08", 3) != 0)
		return error_set(err, ERR_CORRUPT, "gzip: garbage after the end");
	if (at[3] & 0xe0)
		return error_set(err, ERR_CORRUPT, "gzip: reserved flags in the header");
	return 0;
}

/* After a member: padding, then the end (`done`) or another member. */
static int skip_padding(struct decompressor *d, struct error *err)
{
	int r;

	for (;;) {
		r = fill(d, err);
		if (r < 0)
			return r;
		if (d->in_end) {
			d->done = true;
			return 0;
		}
		while (d->in_at < d->in_len && d->in[d->in_at] == 0)
			d->in_at++;
		if (d->in_at < d->in_len)
			return 0;
	}
}

static int gzip_border(struct decompressor *d, struct error *err)
{
	int r = skip_padding(d, err);

	if (r < 0 || d->done)
		return r;
	r = gzip_check_header(d, err);
	if (r < 0)
		return r;
	isal_inflate_reset(d->gzip);
	d->gzip->crc_flag = ISAL_GZIP;
	d->between = false;
	return 0;
}

static int gzip_read(struct decompressor *d, void *out, size_t len, size_t *ret_n,
		     struct error *err)
{
	struct inflate_state *z = d->gzip;
	int r;

	z->next_out = out;
	z->avail_out = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
	len = z->avail_out;
	while (z->avail_out == len) {
		if (d->between) {
			r = gzip_border(d, err);
			if (r < 0 || d->done)
				break;
		}
		r = fill(d, err);
		if (r < 0)
			return r;
		z->next_in = (uint8_t *)d->in + d->in_at;
		z->avail_in = (uint32_t)(d->in_len - d->in_at);
		r = isal_inflate(z);
		d->in_at = d->in_len - z->avail_in;
		if (r != ISAL_DECOMP_OK && r != ISAL_END_INPUT)
			return error_set(err, ERR_CORRUPT, "gzip: damaged data (%d)", r);
		r = 0;
		if (z->block_state == ISAL_BLOCK_FINISH)
			d->between = true;
		else if (d->in_end && z->avail_out == len)
			return cut(d, err);
	}
	if (r < 0)
		return r;
	*ret_n = len - z->avail_out;
	return 0;
}

static int zstd_read(struct decompressor *d, void *out, size_t len, size_t *ret_n,
		     struct error *err)
{
	ZSTD_outBuffer o = { out, len, 0 };
	size_t left;
	int r;

	while (o.pos == 0) {
		ZSTD_inBuffer i = { d->in, d->in_len, d->in_at };

		r = fill(d, err);
		if (r < 0)
			return r;
		if (d->in_end && d->between) {
			d->done = true;
			break;
		}
		i.size = d->in_len;
		i.pos = d->in_at;
		left = ZSTD_decompressStream(d->zstd, &o, &i);
		if (ZSTD_isError(left))
			return error_set(err, ERR_CORRUPT, "zstd: %s", ZSTD_getErrorName(left));
		if (d->in_end && o.pos == 0)
			return cut(d, err);
		d->in_at = i.pos;
		d->between = left == 0;
	}
	*ret_n = o.pos;
	return 0;
}

static int xz_read(struct decompressor *d, void *out, size_t len, size_t *ret_n, struct error *err)
{
	lzma_stream *z = &d->xz;
	lzma_ret code = LZMA_OK;
	int r;

	z->next_out = out;
	z->avail_out = len;
	while (z->avail_out == len && code == LZMA_OK) {
		r = fill(d, err);
		if (r < 0)
			return r;
		z->next_in = (uint8_t *)d->in + d->in_at;
		z->avail_in = d->in_len - d->in_at;
		code = lzma_code(z, d->in_end ? LZMA_FINISH : LZMA_RUN);
		d->in_at = d->in_len - z->avail_in;
	}
	if (code == LZMA_MEMLIMIT_ERROR)
		return error_set(err, ERR_INVALID, "xz: needs more than %llu MiB of memory",
				 XZ_MEMORY_MAX >> 20);
	if (code == LZMA_BUF_ERROR)
		return cut(d, err);
	if (code != LZMA_OK && code != LZMA_STREAM_END)
		return error_set(err, ERR_CORRUPT, "xz: damaged data (%d)", (int)code);
	d->done = code == LZMA_STREAM_END;
	*ret_n = len - z->avail_out;
	return 0;
}

static int bzip2_border(struct decompressor *d, struct error *err)
{
	int r = skip_padding(d, err);

	if (r < 0 || d->done)
		return r;
	BZ2_bzDecompressEnd(&d->bzip2);
	d->bzip2 = (bz_stream){ 0 };
	d->between = false;
	if (BZ2_bzDecompressInit(&d->bzip2, 0, 0) != BZ_OK)
		return error_set(err, ERR_SYSTEM, "bzip2: cannot start");
	return 0;
}

static int bzip2_read(struct decompressor *d, void *out, size_t len, size_t *ret_n,
		      struct error *err)
{
	bz_stream *z = &d->bzip2;
	int r;

	if (len > UINT32_MAX)
		len = UINT32_MAX;
	z->avail_out = (unsigned)len;
	while (z->avail_out == len) {
		if (d->between) {
			r = bzip2_border(d, err);
			if (r < 0 || d->done)
				break;
		}
		r = fill(d, err);
		if (r < 0)
			return r;
		z->next_out = out;
		z->avail_out = (unsigned)len;
		z->next_in = d->in + d->in_at;
		z->avail_in = (unsigned)(d->in_len - d->in_at);
		r = BZ2_bzDecompress(z);
		d->in_at = d->in_len - z->avail_in;
		if (r != BZ_OK && r != BZ_STREAM_END)
			return error_set(err, ERR_CORRUPT, "bzip2: damaged data (%d)", r);
		d->between = r == BZ_STREAM_END;
		r = 0;
		if (d->in_end && !d->between && z->avail_out == len)
			return cut(d, err);
	}
	if (r < 0)
		return r;
	*ret_n = len - z->avail_out;
	return 0;
}

static int decompressor_read(struct reader *r, void *out, size_t len, size_t *ret_n,
			     struct error *err)
{
	struct decompressor *d = container_of(r, struct decompressor, reader);

	*ret_n = 0;
	if (d->done || len == 0)
		return 0;
	switch (d->kind) {
	case COMPRESSION_GZIP:
		return gzip_read(d, out, len, ret_n, err);
	case COMPRESSION_ZSTD:
		return zstd_read(d, out, len, ret_n, err);
	case COMPRESSION_BZIP2:
		return bzip2_read(d, out, len, ret_n, err);
	case COMPRESSION_XZ:
		return xz_read(d, out, len, ret_n, err);
	case COMPRESSION_NONE:
	default:
		return none_read(d, out, len, ret_n, err);
	}
}

static int detect(struct decompressor *d, struct error *err)
{
	size_t n;
	int r;

	while (d->in_len < DETECT_BYTES) {
		r = reader_read(d->from, d->in + d->in_len, IN_SIZE - d->in_len, &n, err);
		if (r < 0)
			return r;
		if (n == 0)
			break;
		d->in_len += n;
	}
	d->kind = compression_detect(d->in, d->in_len);
	return 0;
}

static int begin(struct decompressor *d, struct error *err)
{
	int r = detect(d, err);

	if (r == 0 && d->kind == COMPRESSION_GZIP)
		r = gzip_check_header(d, err);
	if (r < 0)
		return r;
	switch (d->kind) {
	case COMPRESSION_GZIP:
		d->gzip = new0(struct inflate_state);
		isal_inflate_init(d->gzip);
		d->gzip->crc_flag = ISAL_GZIP;
		d->gzip->avail_in = 0;
		return 0;
	case COMPRESSION_ZSTD:
		d->zstd = ZSTD_createDStream();
		ZSTD_initDStream(d->zstd);
		ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
		return 0;
	case COMPRESSION_BZIP2:
		if (BZ2_bzDecompressInit(&d->bzip2, 0, 0) != BZ_OK)
			return error_set(err, ERR_SYSTEM, "bzip2: cannot start");
		return 0;
	case COMPRESSION_XZ:
		if (lzma_stream_decoder(&d->xz, XZ_MEMORY_MAX, LZMA_CONCATENATED) != LZMA_OK)
			return error_set(err, ERR_SYSTEM, "xz: cannot start");
		return 0;
	case COMPRESSION_NONE:
	default:
		return 0;
	}
}

int decompressor_new(struct reader *from, struct decompressor **ret, struct error *err)
{
	static const struct reader_ops ops = { decompressor_read };
	struct decompressor *d = new0(struct decompressor);
	int r;

	d->reader.ops = &ops;
	d->from = from;
	r = begin(d, err);
	if (r < 0) {
		decompressor_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

struct reader *decompressor_reader(struct decompressor *d)
{
	return &d->reader;
}

enum compression decompressor_kind(const struct decompressor *d)
{
	return d->kind;
}

void decompressor_free(struct decompressor *d)
{
	if (!d)
		return;
	free(d->gzip);
	ZSTD_freeDStream(d->zstd);
	/* Both do nothing to a stream that was never begun. */
	lzma_end(&d->xz);
	BZ2_bzDecompressEnd(&d->bzip2);
	free(d);
}
