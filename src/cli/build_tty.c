/* SPDX-License-Identifier: Apache-2.0 */
/* cli/build_tty.c: the steps of a build on a terminal, drawn anew ten times a second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "cli/build_view_internal.h"

#define FRAME_MAX    (1U << 20)
#define FRAME_NS     (100 * NS_PER_MS)
#define LOG_SHOWN    6 /* lines of a step that runs */
#define COLUMNS_MIN  20
#define COLUMNS_NONE 80 /* of what is no terminal */
#define ROWS_NONE    24
#define COLOR_DONE   "\033[34m"
#define COLOR_FAILED "\033[31m"
#define COLOR_REASON "\033[33m"
#define COLOR_LOG    "\033[2m"
#define COLOR_NONE   "\033[0m"
#define ERASE_TO_END "\033[K"
#define ERASE_BELOW  "\033[J"

static size_t rune_len(const char *s)
{
	unsigned char c = (unsigned char)s[0];
	size_t want = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1, n = 1;

	while (n < want && (s[n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* Behind an escape sequence: CSI ends with a letter, others with the next byte. */
static const char *skip_escape(const char *s)
{
	s++;
	if (*s == '[') {
		for (s++; *s != '\0' && (*s < 0x40 || *s > 0x7e); s++)
			;
		return *s != '\0' ? s + 1 : s;
	}
	if (*s == ']') {
		while (*s != '\0' && *s != '\a' && *s != '\033')
			s++;
		return *s == '\a' ? s + 1 : s;
	}
	return *s != '\0' ? s + 1 : s;
}

void view_text(struct buf *out, const char *text, size_t columns)
{
	const char *cr = strrchr(text, '\r');
	size_t at = 0;

	/* What a carriage return has overwritten is not shown. */
	if (cr != NULL && cr[1] != '\0')
		text = cr + 1;
	while (*text != '\0' && at < columns) {
		size_t n = rune_len(text);

		if (*text == '\033') {
			text = skip_escape(text);
			continue;
		}
		if (*text == '\t') {
			size_t to = at / 8 * 8 + 8;

			for (; at < to && at < columns; at++)
				(void)!buf_add(out, " ", 1, NULL);
		} else if ((unsigned char)*text >= 0x20 && *text != 0x7f) {
			(void)!buf_add(out, text, n, NULL);
			at++;
		}
		text += n;
	}
}

static size_t columns_of(const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i += rune_len(text + i))
		n++;
	return n;
}

struct frame {
	struct build_view *view;
	struct buf *out;
	size_t columns, log_max;
	struct drawing drawn;
};

static void put(struct frame *f, const char *text)
{
	(void)!buf_add(f->out, text, strlen(text), NULL);
}

/* One line: text to the left, a time to the right, in one colour. */
static void put_line(struct frame *f, const char *color, const char *text, const char *right)
{
	auto_(buf) line = BUF_INIT(FRAME_MAX);
	size_t right_len = strlen(right), room = f->columns, used;

	if (right_len > 0 && room > right_len + 1)
		room -= right_len + 1;
	view_text(&line, text, room);
	used = columns_of(line.data ? line.data : "", line.len);
	if (f->view->color && color[0] != '\0')
		put(f, color);
	(void)!buf_add(f->out, line.data ? line.data : "", line.len, NULL);
	if (right_len > 0 && room < f->columns) {
		(void)!buf_addf(f->out, NULL, "%*s%s", (int)(room - used + 1), "", right);
		used = f->columns;
	}
	if (f->view->color && color[0] != '\0')
		put(f, COLOR_NONE);
	put(f, ERASE_TO_END "\n");
	*vec_push(&f->drawn.columns) = used;
}

static size_t log_shown(const struct vertex *v, size_t max)
{
	size_t n = v->n_log < VIEW_LOG_LINES ? v->n_log : VIEW_LOG_LINES;

	n += v->partial != NULL && v->partial[0] != '\0';
	return v->ended_ns != 0 ? 0 : n < max ? n : max;
}

static size_t lines_of(const struct vertex *v, size_t log_max)
{
	return 1 + (v->reason != NULL) + log_shown(v, log_max);
}

/* So many lines of each log that every step which runs has its own line. */
static size_t log_max_of(const struct build_view *v, size_t rows)
{
	size_t running = 0, room;

	map_for_each (e, &v->vertexes)
		running += ((const struct vertex *)e->value)->ended_ns == 0;
	room = rows > running + 1 ? rows - running - 1 : 0;
	return running == 0 || room / running > LOG_SHOWN ? LOG_SHOWN : room / running;
}

static void put_log(struct frame *f, const struct vertex *v)
{
	bool open = v->partial != NULL && v->partial[0] != '\0';

	for (size_t left = log_shown(v, f->log_max); left > 0; left--) {
		const char *text = open && left == 1 ? v->partial : vertex_log(v, left - 1 - open);
		autofree char *line = cstr_format(" => => # %s", text ? text : "");

		put_line(f, COLOR_LOG, line, "");
	}
}

static void put_vertex(struct frame *f, const struct vertex *v, int64_t now_ns)
{
	double took = (double)((v->ended_ns ? v->ended_ns : now_ns) - v->started_ns) / 1e9;
	const char *color = v->error ? COLOR_FAILED : v->ended_ns ? COLOR_DONE : "";
	const char *word = v->error ? "ERROR " : v->cached ? "CACHED " : "";
	autofree char *text = cstr_format(" => %s%s", word, v->name);
	autofree char *time = cstr_format("%.1fs", took > 0 ? took : 0);

	put_line(f, color, text, time);
	if (v->reason != NULL) {
		autofree char *why = cstr_format(" => => because %s", v->reason);

		put_line(f, COLOR_REASON, why, "");
	}
	put_log(f, v);
}

static void put_head(struct frame *f, int64_t now_ns, bool last)
{
	bool all, failed = false;
	size_t done = view_done(f->view, &all);
	autofree char *text = NULL;

	map_for_each (e, &f->view->vertexes)
		failed |= ((const struct vertex *)e->value)->error != NULL;
	text = cstr_format("[+] Building %.1fs (%zu/%zu)%s",
			   (double)(now_ns - f->view->began_ns) / 1e9, done, f->view->vertexes.len,
			   last && all && !failed ? " FINISHED" : "");
	put_line(f, last && all && !failed ? COLOR_DONE : "", text, "");
}

/* When not all fits: steps that run come first, then those that began last. */
static void choose(const struct build_view *v, size_t rows, size_t log_max, bool show[])
{
	size_t used = 1;

	for (int running = 1; running >= 0; running--) {
		for (size_t i = v->vertexes.n_entries; i-- > 0;) {
			const struct vertex *x = v->vertexes.entries[i].value;

			if ((x->ended_ns == 0) != running)
				continue;
			show[i] = used + lines_of(x, log_max) <= rows;
			used += show[i] ? lines_of(x, log_max) : 0;
		}
	}
}

void view_tty_frame(struct build_view *v, struct buf *out, size_t columns, size_t rows,
		    int64_t now_ns, bool last)
{
	struct frame f = { .view = v, .out = out, .columns = columns };
	autofree bool *show = xcalloc(v->vertexes.n_entries + 1, sizeof(*show));

	if (v->vertexes.len == 0)
		return;
	/* The last picture scrolls by as a whole. */
	rows = last ? SIZE_MAX : rows > 2 ? rows - 1 : 1;
	f.log_max = log_max_of(v, rows);
	put_head(&f, now_ns, last);
	choose(v, rows, f.log_max, show);
	for (size_t i = 0; i < v->vertexes.n_entries; i++) {
		if (show[i])
			put_vertex(&f, v->vertexes.entries[i].value, now_ns);
	}
	vec_release(&v->last.columns);
	v->last = f.drawn;
}

static void terminal_size(size_t *ret_columns, size_t *ret_rows)
{
	struct winsize w = { 0 };

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col == 0)
		w = (struct winsize){ .ws_col = COLUMNS_NONE, .ws_row = ROWS_NONE };
	*ret_columns = w.ws_col < COLUMNS_MIN ? COLUMNS_MIN : w.ws_col;
	*ret_rows = w.ws_row > 0 ? w.ws_row : ROWS_NONE;
}

/* To the first line of the last picture; a terminal that became narrower has broken them. */
static void go_back(struct build_view *v, struct buf *out, size_t columns)
{
	size_t up = 0;

	vec_for_each (n, &v->last.columns)
		up += *n > columns ? (*n + columns - 1) / columns : 1;
	if (up > 0)
		(void)!buf_addf(out, NULL, "\033[%zuA\r", up);
	v->last.columns.len = 0;
}

static void write_out(const struct buf *out)
{
	if (out->len > 0)
		(void)!fs_write_all(STDERR_FILENO, out->data, out->len, NULL);
}

void view_tty_erase(struct build_view *v)
{
	auto_(buf) out = BUF_INIT(FRAME_MAX);
	size_t columns, rows;

	if (v->last.columns.len == 0)
		return;
	terminal_size(&columns, &rows);
	go_back(v, &out, columns);
	(void)!buf_add(&out, ERASE_BELOW, strlen(ERASE_BELOW), NULL);
	write_out(&out);
}

static void draw(struct build_view *v, bool last)
{
	auto_(buf) out = BUF_INIT(FRAME_MAX);
	size_t columns, rows;

	terminal_size(&columns, &rows);
	go_back(v, &out, columns);
	view_tty_frame(v, &out, columns, rows, clock_wall_ns(), last);
	(void)!buf_add(&out, ERASE_BELOW, strlen(ERASE_BELOW), NULL);
	write_out(&out);
}

static void *drawer_main(void *arg)
{
	struct build_view *v = arg;

	pthread_mutex_lock(&v->lock);
	while (!v->stop) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += FRAME_NS;
		until.tv_sec += until.tv_nsec / NS_PER_SEC;
		until.tv_nsec %= NS_PER_SEC;
		pthread_cond_timedwait(&v->changed, &v->lock, &until);
		if (!v->stop && !v->paused && v->vertexes.len > 0)
			draw(v, false);
	}
	pthread_mutex_unlock(&v->lock);
	return NULL;
}

void view_tty_start(struct build_view *v)
{
	v->drawing_now = pthread_create(&v->drawer, NULL, drawer_main, v) == 0;
}

void view_tty_stop(struct build_view *v)
{
	if (!v->drawing_now)
		return;
	pthread_mutex_lock(&v->lock);
	v->stop = true;
	pthread_cond_signal(&v->changed);
	pthread_mutex_unlock(&v->lock);
	pthread_join(v->drawer, NULL);
	v->drawing_now = false;
	if (v->vertexes.len > 0)
		draw(v, true);
}
