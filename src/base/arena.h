/*
 * base/arena.h: memory that is freed all at once.
 *
 * For what lives as long as one request or one document. Nothing in an arena
 * is freed on its own; pointers die with arena_release. Not thread-safe.
 */
#pragma once

#include <stddef.h>

#include "base/auto.h"
#include "base/str.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *head;
	size_t used, size; /* of the head chunk */
};

#define ARENA_INIT \
	{ \
		0 \
	}

/* Zeroed, aligned for any type. Never NULL. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_array(struct arena *a, size_t n, size_t size); /* overflow ends the process */
char *arena_strdup(struct arena *a, const char *s);        /* NULL gives NULL */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_format(struct arena *a, const char *fmt, ...) PRINTF(2, 3);
void arena_release(struct arena *a);

#define arena_new(a, type) ((type *)arena_alloc((a), sizeof(type)))

DEFINE_AUTO(arena, arena_release);
