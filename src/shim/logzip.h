/*
 * shim/logzip.h: a rotated log file becomes FILE.gz, by a process of its own so that
 * nobody's output waits.
 *
 * The comment of the gzip header is "ino=<number>": the inode of the file as it was
 * written. A follower who has that file open knows by it which one came next.
 */
#pragma once

#define LOGZIP_COMMENT "ino="

/* At most one at a time. */
struct logzip {
	int pidfd; /* FD_NONE: nothing is being compressed */
};
#define LOGZIP_INIT \
	{ \
		.pidfd = FD_NONE \
	}

/* Begin; when that fails, or the disk is full, FILE stays as it is. */
void logzip_start(struct logzip *z, const char *path);
/* Until FILE.gz is there and FILE is gone. */
void logzip_wait(struct logzip *z);
