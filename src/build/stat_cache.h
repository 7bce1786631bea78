/*
 * build/stat_cache.h: what files held the last time, by (device, inode, size,
 * mtime, ctime), so that an unchanged context is not read again. Like git's index: a
 * file changed within the clock's last tick before its entry was made is hashed again.
 *
 * One table per context directory, kept in meta.db as one value; all of them have a ceiling.
 * Thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/hash.h"
#include "store/db.h"

struct stat_cache;

/* Load what is known of the directory `fd`. db is borrowed. Never fails: without
 * a usable value it starts empty. */
struct stat_cache *stat_cache_load(struct db *db, int fd);
/* For a directory that nobody else writes to: entries are never racy, nothing is kept. */
struct stat_cache *stat_cache_new(void);
bool stat_cache_get(struct stat_cache *c, const struct stat *st, uint8_t out[static SHA256_SIZE]);
void stat_cache_put(struct stat_cache *c, const struct stat *st,
		    const uint8_t hash[static SHA256_SIZE]);
/* Write back when something changed; entries not asked for in this run go. */
MUST_CHECK int stat_cache_save(struct stat_cache *c, struct error *err);
/* Forget directories, the least recently used first, until the rest takes at most max_bytes. */
MUST_CHECK int stat_cache_limit(struct db *db, int64_t max_bytes, struct error *err);
void stat_cache_free(struct stat_cache *c); /* NULL is nothing */
