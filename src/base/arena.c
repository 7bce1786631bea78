#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { CHUNK_MIN = 4096, CHUNK_MAX = 256 * 1024 };

struct arena_chunk {
	struct arena_chunk *next;
	alignas(max_align_t) char bytes[];
};

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_chunk *c;
	size_t chunk;
	void *p;

	if (size > SIZE_MAX / 2)
		return xcalloc(SIZE_MAX, 2); /* does not return */
	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (a->head == NULL || a->size - a->used < size) {
		chunk = a->size ? a->size * 2 : CHUNK_MIN;
		if (chunk > CHUNK_MAX)
			chunk = CHUNK_MAX;
		if (chunk < size)
			chunk = size;
		c = xcalloc(1, sizeof(*c) + chunk);
		if (a->head != NULL && a->size - a->used > chunk - size) {
			/* The big one is full at once: go on filling the head. */
			c->next = a->head->next;
			a->head->next = c;
			return c->bytes;
		}
		c->next = a->head;
		a->head = c;
		a->size = chunk;
		a->used = 0;
	}
	p = a->head->bytes + a->used;
	a->used += size;
	return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		bytes = SIZE_MAX;
	return arena_alloc(a, bytes);
}

char *arena_strdup(struct arena *a, const char *s)
{
	return s ? arena_strndup(a, s, strlen(s)) : NULL;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1);

	if (n > 0)
		memcpy(p, s, n);
	return p;
}

char *arena_format(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *p;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	p = arena_alloc(a, (n < 0 ? 0 : (size_t)n) + 1);
	if (n >= 0)
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

void arena_release(struct arena *a)
{
	while (a->head != NULL) {
		struct arena_chunk *c = a->head;

		a->head = c->next;
		free(c);
	}
	a->used = a->size = 0;
}
