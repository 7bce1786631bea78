/*
 * archive/decompress.c: see compress.h. gzip by isa-l (750 MB/s against zlib's
 * 352), zstd by libzstd, bzip2 and xz by libarchive's filters.
 */
#include <archive.h>
#include <errno.h>
#include <isa-l.h>
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

struct decompressor {
	struct reader reader;
	struct reader *from;
	enum compression kind;
	bool in_end, done, between; /* between: at the border of two members */
	size_t in_at, in_len;
	struct inflate_state *gzip;
	ZSTD_DStream *zstd;
	struct archive *other;
	int other_result; /* error of `from` seen inside libarchive's callback */
	struct error other_error;
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

/* After a member: padding, the end, or another member. */
static int gzip_border(struct decompressor *d, struct error *err)
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
			break;
	}
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

static ssize_t other_fill(struct archive *a, void *arg, const void **ret_bytes)
{
	struct decompressor *d = arg;

	d->other_result = fill(d, &d->other_error);
	if (d->other_result < 0) {
		archive_set_error(a, EIO, "read");
		return -1;
	}
	*ret_bytes = d->in + d->in_at;
	d->in_at = d->in_len;
	return d->in_end ? 0 : (ssize_t)(d->in_len);
}

static int other_error(struct decompressor *d, struct error *err)
{
	if (d->other_result < 0) {
		if (err)
			*err = d->other_error;
		return d->other_result;
	}
	return error_set(err, ERR_CORRUPT, "%s: %s", compression_name(d->kind),
			 archive_error_string(d->other));
}

static int other_open(struct decompressor *d, struct error *err)
{
	struct archive_entry *entry;

	d->other = archive_read_new();
	if (d->kind == COMPRESSION_XZ)
		archive_read_support_filter_xz(d->other);
	else
		archive_read_support_filter_bzip2(d->other);
	archive_read_support_format_raw(d->other);
	if (archive_read_open(d->other, d, NULL, other_fill, NULL) != ARCHIVE_OK ||
	    archive_read_next_header(d->other, &entry) != ARCHIVE_OK)
		return other_error(d, err);
	return 0;
}

static int other_read(struct decompressor *d, void *out, size_t len, size_t *ret_n,
		      struct error *err)
{
	ssize_t n;
	int r;

	if (!d->other) {
		r = other_open(d, err);
		if (r < 0)
			return r;
	}
	n = archive_read_data(d->other, out, len);
	if (n < 0)
		return other_error(d, err);
	d->done = n == 0;
	*ret_n = (size_t)n;
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
	case COMPRESSION_XZ:
		return other_read(d, out, len, ret_n, err);
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

int decompressor_new(struct reader *from, struct decompressor **ret, struct error *err)
{
	static const struct reader_ops ops = { decompressor_read };
	struct decompressor *d = new0(struct decompressor);
	int r;

	d->reader.ops = &ops;
	d->from = from;
	r = detect(d, err);
	if (r < 0) {
		decompressor_free(d);
		return r;
	}
	if (d->kind == COMPRESSION_GZIP) {
		r = gzip_check_header(d, err);
		if (r < 0) {
			decompressor_free(d);
			return r;
		}
		d->gzip = new0(struct inflate_state);
		isal_inflate_init(d->gzip);
		d->gzip->crc_flag = ISAL_GZIP;
		d->gzip->avail_in = 0;
	} else if (d->kind == COMPRESSION_ZSTD) {
		d->zstd = ZSTD_createDStream();
		ZSTD_initDStream(d->zstd);
		ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
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
	if (d->other)
		archive_read_free(d->other);
	free(d);
}
