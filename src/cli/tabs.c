/* SPDX-License-Identifier: Apache-2.0 */
/* Elastic columns: Go's text/tabwriter with (10, 1, 3, ' ', 0). */
#include <string.h>

#include "base/str.h"
#include "cli/listing.h"

enum { WIDTH_MIN = 10, PADDING = 3 };

struct line {
	struct str *cells;
	size_t n;
};

static size_t str_width(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += (s.at[i] & 0xc0) != 0x80;
	return n;
}

static void add(struct buf *out, const char *s, size_t n)
{
	if (buf_add(out, s, n, NULL) < 0)
		return;
}

/* Does line l end a cell in this column by a tab? The last cell does not count. */
static bool has_column(const struct line *l, size_t column)
{
	return column + 1 < l->n;
}

/* A column's block of consecutive lines that have it. */
struct block {
	size_t end, width; /* line behind it; characters */
};

/* The block that begins at line i. Each line is in one block a column: it is looked at once. */
static struct block block_at(const struct line *lines, size_t n, size_t i, size_t column)
{
	struct block b = { i, WIDTH_MIN };

	for (; b.end < n && has_column(&lines[b.end], column); b.end++) {
		size_t w = str_width(lines[b.end].cells[column]) + PADDING;

		if (w > b.width)
			b.width = w;
	}
	return b;
}

static struct line split(struct arena *a, struct str text)
{
	struct line l = { 0 };
	struct str cell;
	size_t n = 1;

	for (size_t i = 0; i < text.len; i++)
		n += text.at[i] == '\t';
	l.cells = arena_array(a, n, sizeof(*l.cells));
	while (str_split(&text, '\t', &cell))
		l.cells[l.n++] = cell;
	return l;
}

static void pad(struct buf *out, size_t n)
{
	static const char blanks[] = "                                ";

	for (size_t part; n > 0; n -= part) {
		part = n < sizeof(blanks) - 1 ? n : sizeof(blanks) - 1;
		add(out, blanks, part);
	}
}

void tabs_align(struct buf *out, const char *text)
{
	auto_(arena) a = ARENA_INIT;
	VEC(struct line) lines = { 0 };
	VEC(struct block) blocks = { 0 };
	struct str rest = str_of(text), line;

	while (str_split(&rest, '\n', &line))
		*vec_push(&lines) = split(&a, line);
	for (size_t i = 0; i < lines.len; i++) {
		const struct line *l = &lines.at[i];

		for (size_t c = 0; c < l->n; c++) {
			add(out, l->cells[c].at, l->cells[c].len);
			if (!has_column(l, c))
				continue;
			while (blocks.len <= c)
				(void)vec_push(&blocks);
			if (blocks.at[c].end <= i)
				blocks.at[c] = block_at(lines.at, lines.len, i, c);
			pad(out, blocks.at[c].width - str_width(l->cells[c]));
		}
		if (i + 1 < lines.len)
			add(out, "\n", 1);
	}
	vec_release(&blocks);
	vec_release(&lines);
}
