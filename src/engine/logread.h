/*
 * engine/logread.h: the log files that a shim writes (shim/logfile.h), read back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct log_record {
	int64_t time_ns;
	int stream;       /* 1 stdout, 2 stderr */
	struct str text;  /* unescaped; valid until the next record */
	struct str attrs; /* JSON object or empty */
};

/* One open file. */
struct log_file {
	int fd;
	uint64_t ino; /* of the file as it was written, also of a compressed one */
	char *dir;    /* of a compressed one that nobody has read yet: where it is unpacked */
	bool local;   /* the binary format */
	char *buf;    /* read ahead */
	size_t at, len, cap;
	char *text; /* unescaped line */
	size_t text_cap;
	uint64_t offset; /* in the file, of buf[len] */
};

/* The files of a log, oldest first; n owned files. */
struct log_files {
	struct log_file *at;
	size_t n;
};

/* path: the current file; path.1 ... are older. Absent ones are no error. */
MUST_CHECK int log_files_open(const char *path, bool local, struct log_files *ret,
			      struct error *err);
void log_files_close(struct log_files *f);

/* The next whole record; *ret_found false at the present end. Broken lines are skipped. */
MUST_CHECK int log_file_next(struct log_file *f, struct log_record *ret, bool *ret_found,
			     struct error *err);
void log_file_close(struct log_file *f);

/* Position the files so that the last n records are read; the ones before are
 * skipped. *ret_first: the file to begin with. */
MUST_CHECK int log_files_tail(struct log_files *f, uint64_t n, size_t *ret_first,
			      struct error *err);

/* Parse one line of the json-file format (without its end). text is
 * unescaped into out, which has room for line.len bytes. false: not such a line. */
bool log_line_parse(struct str line, char *out, struct log_record *ret);
