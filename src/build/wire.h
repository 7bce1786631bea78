/*
 * build/wire.h: the bytes between the engine and the planner of a Dockerfile.
 *
 * A body is a sequence of numbers, flags and texts whose order both sides know; a message
 * is a head and a body. Numbers are as the machine has them: both ends are one machine and
 * one installation. A text that was written already (the same pointer) is written as its
 * number, so that what steps share is not sent once for each.
 *
 * Faults of a writer (its ceiling) and of a reader (bytes that cannot be) stick: check once,
 * at the end. A reader gives zeros and empty texts after a fault, and allocates no more than
 * what its `room` allows, whatever the bytes claim. Texts lie in the body: it must live as
 * long as they do, and must be writable by nobody else.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

#define WIRE_BODY_MAX (64U << 20) /* bytes */

struct wire_head {
	uint32_t kind, len; /* of the body */
};

struct wire_known;

struct wire_writer {
	struct buf body;
	bool full; /* the ceiling was met */
	struct wire_known *known;
	size_t n_known, cap_known;
};

#define WIRE_WRITER_INIT \
	{ \
		.body = BUF_INIT(WIRE_BODY_MAX) \
	}

void wire_release(struct wire_writer *w);
DEFINE_AUTO(wire_writer, wire_release);

void wire_put_u32(struct wire_writer *w, uint32_t n);
void wire_put_i64(struct wire_writer *w, int64_t n);
void wire_put_flag(struct wire_writer *w, bool b);
void wire_put_count(struct wire_writer *w, size_t n);
/* NULL is told apart from "". The text must not change or be freed before w is released. */
void wire_put_text(struct wire_writer *w, const char *s);
/* Bytes that may hold NUL. */
void wire_put_bytes(struct wire_writer *w, struct str s);

struct wire_reader {
	struct arena *arena; /* borrowed */
	const char *at, *end;
	size_t room;       /* bytes that may still be allocated */
	const char *fault; /* what was wrong first, or NULL */
	const char **texts;
	size_t n_texts, cap_texts;
};

void wire_reader_init(struct wire_reader *r, struct arena *a, struct str body);
/* Say what is wrong; the first reason stays. */
void wire_fault(struct wire_reader *r, const char *why);
uint32_t wire_get_u32(struct wire_reader *r, uint32_t max);
int64_t wire_get_i64(struct wire_reader *r, int64_t min, int64_t max);
bool wire_get_flag(struct wire_reader *r);
/* How many items follow; never more than bytes that are left. */
size_t wire_get_count(struct wire_reader *r);
/* Zeroed memory of the arena for n items and one more; NULL after a fault. */
void *wire_array(struct wire_reader *r, size_t n, size_t size);
const char *wire_get_text(struct wire_reader *r);  /* NULL is a fault */
const char *wire_get_maybe(struct wire_reader *r); /* may be NULL */
struct str wire_get_bytes(struct wire_reader *r);
/* ERR_CORRUPT when there was a fault or bytes are left. */
MUST_CHECK int wire_end(struct wire_reader *r, struct error *err);
