#include "build/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { ROOM = 64 << 20 };

struct wire_known {
	const char *text; /* NULL: free */
	uint32_t number;
};

void wire_release(struct wire_writer *w)
{
	buf_release(&w->body);
	free(w->known);
	*w = (struct wire_writer)WIRE_WRITER_INIT;
}

static void put(struct wire_writer *w, const void *bytes, size_t n)
{
	if (!w->full && buf_add(&w->body, bytes, n, NULL) < 0)
		w->full = true;
}

void wire_put_u32(struct wire_writer *w, uint32_t n)
{
	put(w, &n, sizeof(n));
}

void wire_put_i64(struct wire_writer *w, int64_t n)
{
	put(w, &n, sizeof(n));
}

void wire_put_flag(struct wire_writer *w, bool b)
{
	put(w, &(char){ b ? 1 : 0 }, 1);
}

void wire_put_count(struct wire_writer *w, size_t n)
{
	if (n > UINT32_MAX)
		w->full = true;
	wire_put_u32(w, (uint32_t)n);
}

/* The place of a text, taken or free. There is always a free one. */
static struct wire_known *place_of(struct wire_known *known, size_t cap, const char *s)
{
	size_t i = (size_t)(((uintptr_t)s >> 3) * 0x9E3779B97F4A7C15ULL >> 20) & (cap - 1);

	while (known[i].text != NULL && known[i].text != s)
		i = (i + 1) & (cap - 1);
	return &known[i];
}

static void grow_known(struct wire_writer *w)
{
	size_t cap = w->cap_known ? w->cap_known * 2 : 256;
	struct wire_known *known = xcalloc(cap, sizeof(*known));

	for (size_t i = 0; i < w->cap_known; i++)
		if (w->known[i].text != NULL)
			*place_of(known, cap, w->known[i].text) = w->known[i];
	free(w->known);
	w->known = known;
	w->cap_known = cap;
}

void wire_put_text(struct wire_writer *w, const char *s)
{
	struct wire_known *k;

	if (s == NULL) {
		wire_put_u32(w, 0);
		return;
	}
	if (w->n_known * 2 >= w->cap_known)
		grow_known(w);
	k = place_of(w->known, w->cap_known, s);
	if (k->text == NULL) {
		size_t len = strlen(s);

		*k = (struct wire_known){ s, (uint32_t)++w->n_known };
		wire_put_u32(w, k->number);
		wire_put_count(w, len);
		put(w, s, len + 1);
		return;
	}
	wire_put_u32(w, k->number);
}

void wire_put_bytes(struct wire_writer *w, struct str s)
{
	wire_put_count(w, s.len);
	if (s.len > 0)
		put(w, s.at, s.len);
}

void wire_reader_init(struct wire_reader *r, struct arena *a, struct str body)
{
	*r = (struct wire_reader){
		.arena = a, .at = body.at, .end = body.at + body.len, .room = ROOM
	};
}

void wire_fault(struct wire_reader *r, const char *why)
{
	if (r->fault == NULL)
		r->fault = why;
	r->at = r->end;
}

/* n bytes of the body, or NULL. */
static const char *take(struct wire_reader *r, size_t n)
{
	const char *at = r->at;

	if (r->fault == NULL && n > (size_t)(r->end - r->at))
		wire_fault(r, "it is cut short");
	if (r->fault != NULL)
		return NULL;
	r->at += n;
	return at;
}

uint32_t wire_get_u32(struct wire_reader *r, uint32_t max)
{
	const char *at = take(r, sizeof(uint32_t));
	uint32_t n;

	if (at == NULL)
		return 0;
	memcpy(&n, at, sizeof(n));
	if (n <= max)
		return n;
	wire_fault(r, "a number is too large");
	return 0;
}

int64_t wire_get_i64(struct wire_reader *r, int64_t min, int64_t max)
{
	const char *at = take(r, sizeof(int64_t));
	int64_t n;

	if (at == NULL)
		return min;
	memcpy(&n, at, sizeof(n));
	if (n >= min && n <= max)
		return n;
	wire_fault(r, "a number is out of range");
	return min;
}

bool wire_get_flag(struct wire_reader *r)
{
	const char *at = take(r, 1);

	if (at != NULL && *at != 0 && *at != 1)
		wire_fault(r, "a flag is neither 0 nor 1");
	return at != NULL && *at == 1;
}

size_t wire_get_count(struct wire_reader *r)
{
	size_t n = wire_get_u32(r, UINT32_MAX);

	/* Nothing that is counted takes less than a byte. */
	if (n <= (size_t)(r->end - r->at))
		return n;
	wire_fault(r, "a count is larger than what follows");
	return 0;
}

void *wire_array(struct wire_reader *r, size_t n, size_t size)
{
	if (r->fault == NULL && n >= r->room / size)
		wire_fault(r, "it would take too much memory");
	if (r->fault != NULL)
		return NULL;
	r->room -= (n + 1) * size;
	return arena_array(r->arena, n + 1, size);
}

static const char *new_text(struct wire_reader *r)
{
	size_t len = wire_get_count(r);
	const char *at = take(r, len + 1);

	if (at == NULL)
		return "";
	if (at[len] != '\0' || memchr(at, '\0', len) != NULL) {
		wire_fault(r, "a text does not end where it says");
		return "";
	}
	if (r->n_texts == r->cap_texts) {
		size_t cap = r->cap_texts ? r->cap_texts * 2 : 256;
		const char **more = wire_array(r, cap, sizeof(*more));

		if (more == NULL)
			return "";
		if (r->n_texts > 0)
			memcpy(more, r->texts, r->n_texts * sizeof(*more));
		r->texts = more;
		r->cap_texts = cap;
	}
	r->texts[r->n_texts++] = at;
	return at;
}

const char *wire_get_maybe(struct wire_reader *r)
{
	size_t number = wire_get_u32(r, UINT32_MAX);

	if (number == 0)
		return NULL;
	if (number <= r->n_texts)
		return r->texts[number - 1];
	if (number == r->n_texts + 1)
		return new_text(r);
	wire_fault(r, "a text was never sent");
	return NULL;
}

const char *wire_get_text(struct wire_reader *r)
{
	const char *s = wire_get_maybe(r);

	if (s == NULL)
		wire_fault(r, "a text is missing");
	return s ? s : "";
}

struct str wire_get_bytes(struct wire_reader *r)
{
	size_t len = wire_get_count(r);
	const char *at = take(r, len);

	return at != NULL ? (struct str){ at, len } : (struct str){ "", 0 };
}

int wire_end(struct wire_reader *r, struct error *err)
{
	if (r->fault == NULL && r->at != r->end)
		wire_fault(r, "more follows than was said");
	return r->fault == NULL ? 0 : error_set(err, ERR_CORRUPT, "%s", r->fault);
}
