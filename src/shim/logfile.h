/*
 * shim/logfile.h: the container's log, written line by line.
 *
 * json-file: docker's format, {"log":"..\n","stream":"stdout","time":".."} a
 * line; a line longer than 16 KiB is split and only its last piece ends in \n.
 * local: records of [u32 size][i64 wall ns][u8 stream][u8 partial][bytes]
 * [u32 size], little endian, size = what stands between the two sizes; the
 * file begins with the eight bytes "proalog1".
 *
 * Rotation: path -> path.1 -> ... -> path.(max_files-1), with compress each
 * becomes path.N.gz soon after. A reader that holds the old file open reads it to
 * its end: nothing is truncated.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define LOG_LINE_MAX    16384
#define LOG_LOCAL_MAGIC "proalog1"

struct logfile;

struct logfile_config {
	const char *driver; /* "json-file", "local", "none" */
	const char *path;
	int64_t max_size_bytes;
	unsigned max_files;
	bool compress;          /* rotated files become path.1.gz, path.2.gz ... */
	const char *attrs_json; /* borrowed for the life of the logfile; NULL = none */
};

/* The beginning of a line whose end has not arrived. */
struct log_partial {
	char *bytes; /* LOG_LINE_MAX, allocated at the first use */
	size_t len;
};

/* *ret NULL for driver "none". ERR_INVALID unknown driver, ERR_SYSTEM. */
MUST_CHECK int logfile_open(const struct logfile_config *cfg, struct logfile **ret,
			    struct error *err);
/* Log bytes of a stream (1 stdout, 2 stderr), all lines stamped now_ns (wall).
 * A disk that refuses loses the lines: the container goes on. */
void logfile_write(struct logfile *l, int stream, struct log_partial *partial, const char *bytes,
		   size_t len, int64_t now_ns);
/* Out with an unfinished line. */
void logfile_flush(struct logfile *l, int stream, struct log_partial *partial, int64_t now_ns);
void logfile_close(struct logfile *l);
void log_partial_release(struct log_partial *p);
