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

/* Width of the column in the block of consecutive lines around line i. */
static size_t column_width(const struct line *lines, size_t n, size_t i, size_t column)
{
	size_t first = i, width = WIDTH_MIN;

	while (first > 0 && has_column(&lines[first - 1], column))
		first--;
	for (; first < n && has_column(&lines[first], column); first++) {
		size_t w = str_width(lines[first].cells[column]) + PADDING;

		if (w > width)
			width = w;
	}
	return width;
}

void tabs_align(struct buf *out, const char *text)
{
	auto_(arena) a = ARENA_INIT;
	VEC(struct line) lines = { 0 };
	struct str rest = str_of(text), line, cell;

	while (str_split(&rest, '\n', &line)) {
		struct line *l = vec_push(&lines);
		struct str cells = line;

		l->cells = arena_array(&a, line.len + 1, sizeof(*l->cells));
		while (str_split(&cells, '\t', &cell))
			l->cells[l->n++] = cell;
	}
	for (size_t i = 0; i < lines.len; i++) {
		const struct line *l = &lines.at[i];

		for (size_t c = 0; c < l->n; c++) {
			add(out, l->cells[c].at, l->cells[c].len);
			if (!has_column(l, c))
				continue;
			for (size_t w = str_width(l->cells[c]),
				    width = column_width(lines.at, lines.len, i, c);
			     w < width; w++)
				add(out, " ", 1);
		}
		if (i + 1 < lines.len)
			add(out, "\n", 1);
	}
	vec_release(&lines);
}
