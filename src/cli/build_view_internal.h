/* cli/build_view_internal.h: the model that the two forms of a build's progress share. */
#pragma once

#include <pthread.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"
#include "cli/build_view.h"

#define VIEW_LOG_LINES 10 /* kept of each step */

struct vertex {
	int64_t id, started_ns, ended_ns; /* 0: not yet */
	char *name, *error, *reason;
	bool cached;
	char *partial; /* a line without its end yet */
	char *log[VIEW_LOG_LINES];
	size_t n_log; /* lines so far: the last is at (n_log - 1) % VIEW_LOG_LINES */
	/* -1: not known */
	int64_t cpu_ns, memory_bytes, read_bytes, written_bytes, layer_bytes;
};

/* What was drawn last, to go back over it. */
struct drawing {
	VEC(size_t) columns; /* of each line */
};

struct build_view {
	struct build_view_options o;
	struct map vertexes; /* "3" -> struct vertex, in the order of their start */
	struct arena warnings_arena;
	char **warnings;
	size_t n_warnings;
	/* On a terminal: */
	pthread_t drawer;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool drawing_now, stop, paused, color;
	int64_t began_ns;
	struct drawing last;
};

const char *vertex_log(const struct vertex *v, size_t back); /* 0: the last; NULL: no more */
/* Steps that are done, and whether there is one at all and all are. */
size_t view_done(const struct build_view *v, bool *ret_all);
/* Text without control sequences, tabs as spaces, at most `columns` wide. */
void view_text(struct buf *out, const char *text, size_t columns);

/* build_tty.c */
void view_tty_start(struct build_view *v);
void view_tty_erase(struct build_view *v); /* with the lock */
void view_tty_stop(struct build_view *v);  /* the last picture stays */
/* One frame into out, for a terminal of that size; exposed for its test. */
void view_tty_frame(struct build_view *v, struct buf *out, size_t columns, size_t rows,
		    int64_t now_ns, bool last);
