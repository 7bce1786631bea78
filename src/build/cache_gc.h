/*
 * build/cache_gc.h: what the build cache holds, and how it is given back.
 *
 * Two kinds of things: records of steps with their layers, and the directories of
 * cache mounts. A thing that a running build uses is left alone. Bytes are those on
 * disk, each layer once, compressed forms that were made for an export included.
 *
 * One collection at a time (builder->gc_lock): it is held over removals, as the
 * registry's is, and over nothing of the builder's.
 */
#pragma once

#include "base/jsonw.h"
#include "build/build.h"
#include "build/cache_policy.h"

/* The array of BuildCache records of GET /system/df; *ret_bytes (may be NULL): all of it. */
MUST_CHECK int builder_usage(struct builder *b, struct jsonw *out, int64_t *ret_bytes,
			     struct error *err);
/* Apply rules in their order. out (may be NULL) gets {"CachesDeleted":[...],"SpaceReclaimed":n}. */
MUST_CHECK int builder_prune(struct builder *b, const struct cache_rule *rules, size_t n_rules,
			     struct jsonw *out, struct error *err);
/* A build is done: the rules of the configuration are applied soon, in a thread of their own. */
void builder_collect(struct builder *b);
/* End that thread. */
void builder_collect_stop(struct builder *b);

/* The files of a cache mount as a tar, its top directory included. ERR_NOT_FOUND. */
MUST_CHECK int builder_mount_export(struct builder *b, const char *id, struct writer *to,
				    const struct cancel *cancel, struct error *err);
/* A tar (plain, gzip, zstd) becomes the content of a cache mount, made when it is not there. All
 * or nothing. ERR_CONFLICT while a step uses it, ERR_INVALID and ERR_CORRUPT for a bad tar. */
MUST_CHECK int builder_mount_import(struct builder *b, const char *id, struct reader *from,
				    const struct cancel *cancel, struct error *err);

#define MOUNT_NAME_SIZE 26
/* How a cache mount is called in lists. */
void builder_mount_name(const char *id, char out[static MOUNT_NAME_SIZE]);

/* A step has a cache mount: it is not removed meanwhile. */
void builder_mount_begin(struct builder *b, const char *id);
void builder_mount_end(struct builder *b, const char *id);
