/* archive/compress.c: the writing half of compress.h. */
#include "archive/compress.h"

#include <isa-l.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/macros.h"

#define OUT_SIZE (64 * 1024)

struct compressor {
	struct writer writer;
	struct writer *to;
	enum compression kind;
	struct isal_zstream *gzip;
	uint8_t *gzip_level_buf;
	ZSTD_CCtx *zstd;
	uint8_t out[OUT_SIZE];
};

static int gzip_write(struct compressor *c, const void *bytes, size_t len, bool end,
		      struct error *err)
{
	struct isal_zstream *z = c->gzip;
	const uint8_t *at = bytes;
	int r;

	z->end_of_stream = end;
	do {
		size_t n = len < (1U << 30) ? len : 1U << 30;

		/* isa-l's input pointer is not const; it does not write through it. */
		memcpy(&z->next_in, &at, sizeof(at));
		z->avail_in = (uint32_t)n;
		do {
			z->next_out = c->out;
			z->avail_out = OUT_SIZE;
			if (isal_deflate(z) != COMP_OK)
				return error_set(err, ERR_SYSTEM, "gzip: cannot compress");
			if (z->avail_out < OUT_SIZE) {
				r = writer_write(c->to, c->out, OUT_SIZE - z->avail_out, err);
				if (r < 0)
					return r;
			}
		} while (z->avail_out == 0 || z->avail_in > 0);
		at += n;
		len -= n;
	} while (len > 0);
	return 0;
}

static int zstd_write(struct compressor *c, const void *bytes, size_t len, bool end,
		      struct error *err)
{
	ZSTD_inBuffer in = { bytes, len, 0 };
	size_t left;
	int r;

	do {
		ZSTD_outBuffer out = { c->out, OUT_SIZE, 0 };

		left = ZSTD_compressStream2(c->zstd, &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return error_set(err, ERR_SYSTEM, "zstd: %s", ZSTD_getErrorName(left));
		if (out.pos > 0) {
			r = writer_write(c->to, c->out, out.pos, err);
			if (r < 0)
				return r;
		}
	} while (in.pos < in.size || (end && left > 0));
	return 0;
}

static int compressor_write(struct writer *w, const void *bytes, size_t len, struct error *err)
{
	struct compressor *c = container_of(w, struct compressor, writer);

	if (len == 0)
		return 0;
	if (c->gzip)
		return gzip_write(c, bytes, len, false, err);
	if (c->zstd)
		return zstd_write(c, bytes, len, false, err);
	return writer_write(c->to, bytes, len, err);
}

static int gzip_open(struct compressor *c, int level, struct error *err)
{
	static const uint32_t sizes[] = { 0, ISAL_DEF_LVL1_DEFAULT, ISAL_DEF_LVL2_DEFAULT,
					  ISAL_DEF_LVL3_DEFAULT };

	if (level == 0)
		level = 1;
	if (level < 1 || level > 3)
		return error_set(err, ERR_INVALID, "gzip level %d: want 1 to 3", level);
	c->gzip = new0(struct isal_zstream);
	isal_deflate_init(c->gzip);
	c->gzip_level_buf = xcalloc(1, sizes[level]);
	c->gzip->level = (uint32_t)level;
	c->gzip->level_buf = c->gzip_level_buf;
	c->gzip->level_buf_size = sizes[level];
	c->gzip->gzip_flag = IGZIP_GZIP;
	c->gzip->flush = NO_FLUSH;
	return 0;
}

int compressor_new(enum compression kind, int level, struct writer *to, struct compressor **ret,
		   struct error *err)
{
	static const struct writer_ops ops = { compressor_write };
	struct compressor *c = new0(struct compressor);
	int r = 0;

	c->writer.ops = &ops;
	c->to = to;
	c->kind = kind;
	if (kind == COMPRESSION_GZIP) {
		r = gzip_open(c, level, err);
	} else if (kind == COMPRESSION_ZSTD) {
		c->zstd = ZSTD_createCCtx();
		ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, level ? level : 3);
		ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_checksumFlag, 1);
	} else if (kind != COMPRESSION_NONE) {
		r = error_set(err, ERR_UNIMPLEMENTED, "writing %s is not supported",
			      compression_name(kind));
	}
	if (r < 0) {
		compressor_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct writer *compressor_writer(struct compressor *c)
{
	return &c->writer;
}

int compressor_finish(struct compressor *c, struct error *err)
{
	if (c->gzip)
		return gzip_write(c, "", 0, true, err);
	if (c->zstd)
		return zstd_write(c, NULL, 0, true, err);
	return 0;
}

void compressor_free(struct compressor *c)
{
	if (!c)
		return;
	free(c->gzip);
	free(c->gzip_level_buf);
	ZSTD_freeCCtx(c->zstd);
	free(c);
}
