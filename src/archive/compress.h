/*
 * archive/compress.h: gzip (isa-l), zstd, bzip2, xz and plain streams behind
 * struct reader and struct writer. In-process: no helper program is looked up
 * anywhere (security: moby CVE-2026-41567). Constant memory.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/stream.h"

enum compression {
	COMPRESSION_NONE = 0,
	COMPRESSION_GZIP,
	COMPRESSION_ZSTD,
	COMPRESSION_BZIP2, /* reading only */
	COMPRESSION_XZ,    /* reading only */
};
const char *compression_name(enum compression c); /* "none" "gzip" "zstd" "bzip2" "xz" */
/* By the first bytes (6 suffice; fewer are fine). */
enum compression compression_detect(const void *bytes, size_t len);

/*
 * Decompress `from` (borrowed) whatever it is; gzip may have several members,
 * zstd several frames. Reads `from` to its end, so that digests of what passes
 * are complete: bytes after the last member that begin no new one are ERR_CORRUPT
 * (zero padding is taken). ERR_CORRUPT for damaged data, with the name of the format.
 */
struct decompressor;
MUST_CHECK int decompressor_new(struct reader *from, struct decompressor **ret, struct error *err);
struct reader *decompressor_reader(struct decompressor *d);
enum compression decompressor_kind(const struct decompressor *d);
void decompressor_free(struct decompressor *d);

/*
 * Compress into `to` (borrowed). level 0 = default (gzip: isa-l level 1, zstd: 3).
 * Deterministic: no time, no name, same bytes for the same input and writes.
 * compressor_finish writes the end and must be called; free does not.
 */
struct compressor;
MUST_CHECK int compressor_new(enum compression kind, int level, struct writer *to,
			      struct compressor **ret, struct error *err);
struct writer *compressor_writer(struct compressor *c);
MUST_CHECK int compressor_finish(struct compressor *c, struct error *err);
void compressor_free(struct compressor *c);
