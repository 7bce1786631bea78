#include "build/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/lock.h"
#include "base/random.h"
#include "build/text.h"

#define LINE_MAX_BYTES   (1 << 20)
#define SOURCE_LINES_MAX 10

/* One "Step i/n" of the classic stream. */
struct line {
	const struct step *step;
	struct text pending; /* output that waits for its turn */
	bool announced, done;
	char container[13];
};

struct progress {
	struct writer *out;
	bool events, quiet, broken;
	struct lock lock;
	struct line *lines;
	size_t n_lines, current;
	const struct graph *graph;
	unsigned n_tasks;
};

struct progress *progress_new(struct writer *out, bool events, bool quiet)
{
	struct progress *p = new0(struct progress);

	*p = (struct progress){ .out = out, .events = events, .quiet = quiet, .lock = LOCK_INIT };
	return p;
}

void progress_free(struct progress *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->n_lines; i++)
		text_release(&p->lines[i].pending);
	free(p->lines);
	free(p);
}

bool progress_broken(struct progress *p)
{
	LOCKED(&p->lock);

	return p->broken;
}

/* One JSON object and CR LF in one write. */
static void send_object(struct progress *p, struct buf *b, struct jsonw *w)
{
	if (p->broken || jsonw_finish(w, NULL) < 0 || buf_add(b, "\r\n", 2, NULL) < 0)
		return;
	if (writer_write(p->out, b->data, b->len, NULL) < 0)
		p->broken = true;
}

static void send_stream(struct progress *p, const char *bytes, size_t len)
{
	auto_(buf) b = BUF_INIT(LINE_MAX_BYTES * 8);
	struct jsonw w;

	if (len == 0)
		return;
	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_key(&w, "stream");
	jsonw_stringn(&w, bytes, len);
	jsonw_end(&w);
	send_object(p, &b, &w);
}

static void send_text(struct progress *p, const char *fmt, ...) PRINTF(2, 3);
static void send_text(struct progress *p, const char *fmt, ...)
{
	autofree char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n > 0)
		send_stream(p, s, (size_t)n);
}

void progress_name(const struct node *n, char *out, size_t size)
{
	if (n->step == 0)
		snprintf(out, size, "%s", n->text);
	else
		snprintf(out, size, "[%s%s%*u/%u] %s", n->stage, n->stage[0] ? " " : "",
			 n->n_steps > 9 ? n->n_steps > 99 ? 3 : 2 : 1, n->step, n->n_steps,
			 n->text);
}

/* The line that shows a node: that of the last stage which has it as a step. */
static struct line *line_of(struct progress *p, const struct node *n)
{
	for (size_t i = 0; i < p->n_lines; i++) {
		if (p->lines[i].step->node == n)
			return &p->lines[i];
	}
	return NULL;
}

static const char *short_key(const struct node *n, char out[13])
{
	char text[DIGEST_TEXT_MAX];

	if (n->kind == NODE_IMAGE && n->image_id != NULL)
		snprintf(text, sizeof(text), "%s",
			 cstr_starts(n->image_id, "sha256:") ? n->image_id + 7 : n->image_id);
	else
		snprintf(text, sizeof(text), "%s", n->key);
	snprintf(out, 13, "%.12s", text);
	return out;
}

static void announce(struct progress *p, struct line *l)
{
	const struct node *n = l->step->node;

	if (l->announced)
		return;
	l->announced = true;
	send_text(p, "Step %zu/%zu : %s", (size_t)(l - p->lines) + 1, p->n_lines, l->step->text);
	send_stream(p, "\n", 1);
	if (n == NULL || n->kind != NODE_RUN || n->cached || n->state == NODE_WAITING)
		return;
	random_hex(l->container, 6);
	send_text(p, " ---> Running in %s\n", l->container);
}

/* The next step of the stage that makes a layer; NULL when there is none. */
static const struct node *next_layer(const struct progress *p, const struct line *l)
{
	for (l++; l < p->lines + p->n_lines && strncasecmp(l->step->text, "FROM ", 5) != 0; l++) {
		if (l->step->node != NULL)
			return l->step->node;
	}
	return NULL;
}

static void finish_line(struct progress *p, struct line *l)
{
	const struct node *n = l->step->node;
	char id[13];

	if (n == NULL) {
		n = next_layer(p, l);
		/* A layer's key has the configuration before it, so that was there too. */
		if (n != NULL && n->cached)
			send_text(p, " ---> Using cache\n");
		return;
	}
	if (n->cached)
		send_text(p, " ---> Using cache\n");
	if (l->container[0] != '\0')
		send_text(p, " ---> Removed intermediate container %s\n", l->container);
	send_text(p, " ---> %s\n", short_key(n, id));
}

/* Print what has its turn now. Steps without work are done at once. */
static void advance(struct progress *p)
{
	while (p->current < p->n_lines) {
		struct line *l = &p->lines[p->current];
		const struct node *n = l->step->node;

		if (n != NULL && n->state == NODE_WAITING)
			return;
		announce(p, l);
		send_stream(p, l->pending.at, l->pending.len);
		text_clear(&l->pending);
		if (n != NULL && n->state != NODE_DONE)
			return;
		if (n == NULL && next_layer(p, l) != NULL &&
		    next_layer(p, l)->state == NODE_WAITING)
			return;
		finish_line(p, l);
		p->current++;
	}
}

void progress_graph(struct progress *p, const struct graph *g)
{
	size_t n = 0;
	LOCKED(&p->lock);

	p->graph = g;
	for (size_t i = 0; i < g->n_stages; i++)
		n += g->stages[i].n_steps;
	p->lines = xcalloc(n + 1, sizeof(*p->lines));
	for (size_t i = 0; i < g->n_stages; i++) {
		for (size_t k = 0; k < g->stages[i].n_steps; k++)
			p->lines[p->n_lines++].step = &g->stages[i].steps[k];
	}
}

static void begin_event(struct jsonw *w, struct buf *b, const char *key)
{
	jsonw_init(w, b);
	jsonw_object(w);
	jsonw_kobject(w, "proa");
	jsonw_kobject(w, key);
}

static void end_event(struct progress *p, struct jsonw *w, struct buf *b)
{
	jsonw_end(w);
	jsonw_end(w);
	jsonw_end(w);
	send_object(p, b, w);
}

static void send_vertex(struct progress *p, const struct node *n, const char *error)
{
	auto_(buf) b = BUF_INIT(LINE_MAX_BYTES * 8);
	autofree char *name = xcalloc(1, LINE_MAX_BYTES);
	struct jsonw w;

	progress_name(n, name, LINE_MAX_BYTES);
	begin_event(&w, &b, "vertex");
	jsonw_kint(&w, "id", n->index + 1);
	jsonw_kstring(&w, "digest", n->key);
	jsonw_kstring(&w, "name", name);
	jsonw_kstring(&w, "stage", n->stage);
	jsonw_kint(&w, "line", n->line);
	jsonw_karray(&w, "inputs");
	if (n->base != NULL)
		jsonw_int(&w, n->base->index + 1);
	for (size_t i = 0; i < n->n_inputs; i++)
		jsonw_int(&w, n->inputs[i]->index + 1);
	jsonw_end(&w);
	jsonw_ktime(&w, "started", n->started_ns);
	if (n->ended_ns != 0)
		jsonw_ktime(&w, "completed", n->ended_ns);
	jsonw_kbool(&w, "cached", n->cached);
	if (error != NULL)
		jsonw_kstring(&w, "error", error);
	end_event(p, &w, &b);
}

void progress_start(struct progress *p, struct node *n)
{
	LOCKED(&p->lock);

	n->started_ns = clock_wall_ns();
	n->state = NODE_RUNNING;
	if (p->events)
		send_vertex(p, n, NULL);
	else if (!p->quiet)
		advance(p);
}

void progress_log(struct progress *p, struct node *n, int stream, const char *bytes, size_t len)
{
	autofree char *red = NULL;
	struct line *l;
	LOCKED(&p->lock);

	if (p->events) {
		auto_(buf) b = BUF_INIT(LINE_MAX_BYTES * 8);
		struct jsonw w;

		begin_event(&w, &b, "log");
		jsonw_kint(&w, "vertex", n->index + 1);
		jsonw_kint(&w, "stream", stream);
		jsonw_ktime(&w, "timestamp", clock_wall_ns());
		jsonw_key(&w, "data");
		jsonw_stringn(&w, bytes, len);
		end_event(p, &w, &b);
		return;
	}
	l = p->quiet ? NULL : line_of(p, n);
	if (l == NULL)
		return;
	if (stream == 2) {
		/* Peer: the classic builder paints what comes on stderr. */
		red = xcalloc(1, len + 9);
		memcpy(red, "\033[91m", 5);
		memcpy(red + 5, bytes, len);
		memcpy(red + 5 + len, "\033[0m", 4);
		bytes = red;
		len += 9;
	}
	if (l == &p->lines[p->current] && l->announced)
		send_stream(p, bytes, len);
	else
		text_add(&l->pending, bytes, len);
}

void progress_done(struct progress *p, struct node *n, const struct error *err)
{
	LOCKED(&p->lock);

	n->ended_ns = clock_wall_ns();
	n->state = err ? NODE_FAILED : NODE_DONE;
	if (p->events) {
		send_vertex(p, n, err ? err->msg : NULL);
		return;
	}
	if (!p->quiet)
		advance(p);
	/* What a failed step said is shown although steps before it are not done. */
	if (err != NULL && !p->quiet) {
		struct line *l = line_of(p, n);

		if (l == NULL)
			return;
		announce(p, l);
		send_stream(p, l->pending.at, l->pending.len);
		text_clear(&l->pending);
	}
}

static void add_known(struct jsonw *w, const char *key, int64_t n)
{
	if (n >= 0)
		jsonw_kint(w, key, n);
}

void progress_cost(struct progress *p, const struct node *n)
{
	auto_(buf) b = BUF_INIT(4096);
	struct jsonw w;
	LOCKED(&p->lock);

	if (!p->events)
		return;
	begin_event(&w, &b, "profile");
	jsonw_kint(&w, "vertex", n->index + 1);
	jsonw_kint(&w, "wall", n->ended_ns - n->started_ns);
	add_known(&w, "cpu", n->cost.cpu_ns);
	add_known(&w, "memory_peak", n->cost.memory_peak_bytes);
	add_known(&w, "read", n->cost.read_bytes);
	add_known(&w, "written", n->cost.write_bytes);
	add_known(&w, "layer", n->cost.layer_bytes);
	end_event(p, &w, &b);
}

void progress_shell(struct progress *p, const struct node *n, const char *command)
{
	auto_(buf) b = BUF_INIT(65536);
	struct jsonw w;
	LOCKED(&p->lock);

	if (!p->events)
		return;
	begin_event(&w, &b, "shell");
	jsonw_kint(&w, "vertex", n->index + 1);
	jsonw_kstring(&w, "command", command);
	end_event(p, &w, &b);
}

void progress_reason(struct progress *p, struct node *n, const char *reason)
{
	LOCKED(&p->lock);

	if (p->events) {
		auto_(buf) b = BUF_INIT(LINE_MAX_BYTES * 8);
		struct jsonw w;

		begin_event(&w, &b, "reason");
		jsonw_kint(&w, "vertex", n->index + 1);
		jsonw_kstring(&w, "text", reason);
		end_event(p, &w, &b);
	} else if (!p->quiet) {
		struct line *l = line_of(p, n);

		if (l != NULL)
			text_addf(&l->pending, " ---> Not cached: %s\n", reason);
	}
}

void progress_text(struct progress *p, const char *fmt, ...)
{
	autofree char *s = NULL;
	va_list ap;
	int n;
	LOCKED(&p->lock);

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n > 0)
		send_stream(p, s, (size_t)n);
}

void progress_note(struct progress *p, const char *fmt, ...)
{
	autofree char *s = NULL;
	va_list ap;
	int n;

	if (p->quiet)
		return;
	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n > 0)
		progress_text(p, "%s", s);
}

void progress_image_id(struct progress *p, const char *id)
{
	auto_(buf) b = BUF_INIT(4096);
	struct jsonw w;
	LOCKED(&p->lock);

	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_kobject(&w, "aux");
	jsonw_kstring(&w, "ID", id);
	jsonw_end(&w);
	jsonw_end(&w);
	send_object(p, &b, &w);
}

static struct str source_line(struct str source, unsigned line)
{
	struct str text = { 0 };

	for (unsigned i = 0; i < line && str_split(&source, '\n', &text); i++)
		;
	return str_trim(text);
}

/* The lines of an instruction: those that end with a backslash go on. */
static void write_source(struct jsonw *w, struct str source, unsigned line)
{
	jsonw_karray(w, "source");
	for (unsigned i = 0; line > 0 && i < SOURCE_LINES_MAX; i++) {
		struct str text = source_line(source, line + i);

		if (text.at == NULL)
			break;
		jsonw_stringn(w, text.at, text.len);
		if (text.len == 0 || text.at[text.len - 1] != '\\')
			break;
	}
	jsonw_end(w);
}

void progress_error(struct progress *p, const struct error *err, int code, const char *where,
		    unsigned line, struct str source)
{
	auto_(buf) b = BUF_INIT(65536);
	struct jsonw w;
	LOCKED(&p->lock);

	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_kobject(&w, "errorDetail");
	if (code != 0)
		jsonw_kint(&w, "code", code);
	jsonw_kstring(&w, "message", err->msg);
	jsonw_end(&w);
	jsonw_kstring(&w, "error", err->msg);
	if (p->events && where != NULL) {
		jsonw_kobject(&w, "proa");
		jsonw_kstring(&w, "file", where);
		jsonw_kint(&w, "line", line);
		write_source(&w, source, line);
		jsonw_end(&w);
	}
	jsonw_end(&w);
	send_object(p, &b, &w);
}

void progress_object(struct progress *p, const char *key, const char *json, size_t len)
{
	auto_(buf) b = BUF_INIT(16 << 20);
	struct jsonw w;
	LOCKED(&p->lock);

	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_kobject(&w, "proa");
	jsonw_key(&w, key);
	jsonw_raw(&w, json, len);
	jsonw_end(&w);
	jsonw_end(&w);
	send_object(p, &b, &w);
}

void progress_lint(struct progress *p, const struct lint *l, const char *dockerfile,
		   struct str source)
{
	LOCKED(&p->lock);

	for (size_t i = 0; i < l->len; i++) {
		const struct lint_finding *f = &l->at[i];
		struct str text = source_line(source, f->line);
		auto_(buf) b = BUF_INIT(LINE_MAX_BYTES);
		struct jsonw w;

		if (!p->events) {
			if (!p->quiet)
				send_text(p, "[Warning] %s: %s (line %u)\n",
					  lint_rule_name(f->rule), f->text, f->line);
			continue;
		}
		begin_event(&w, &b, "warning");
		jsonw_kstring(&w, "rule", lint_rule_name(f->rule));
		jsonw_kstring(&w, "description", lint_rule_description(f->rule));
		jsonw_kstring(&w, "message", f->text);
		jsonw_kstring(&w, "file", dockerfile);
		jsonw_kint(&w, "line", f->line);
		jsonw_kint(&w, "end_line", f->end_line);
		jsonw_key(&w, "source");
		jsonw_stringn(&w, text.at ? text.at : "", text.len);
		end_event(p, &w, &b);
	}
}

static void send_task(struct progress *p, const struct progress_task *t, bool done,
		      const char *failure)
{
	auto_(buf) b = BUF_INIT(65536);
	struct jsonw w;

	begin_event(&w, &b, "vertex");
	jsonw_kint(&w, "id", t->id);
	jsonw_kstring(&w, "digest", "");
	jsonw_kstring(&w, "name", t->name);
	jsonw_kstring(&w, "stage", "");
	jsonw_kint(&w, "line", 0);
	jsonw_karray(&w, "inputs");
	jsonw_end(&w);
	jsonw_ktime(&w, "started", t->started_ns);
	if (done)
		jsonw_ktime(&w, "completed", clock_wall_ns());
	jsonw_kbool(&w, "cached", false);
	if (failure != NULL)
		jsonw_kstring(&w, "error", failure);
	end_event(p, &w, &b);
}

void progress_task_begin(struct progress *p, struct progress_task *t, const char *fmt, ...)
{
	va_list ap;
	LOCKED(&p->lock);

	va_start(ap, fmt);
	vsnprintf(t->name, sizeof(t->name), fmt, ap);
	va_end(ap);
	t->id = (unsigned)(p->graph ? p->graph->n_nodes : 0) + ++p->n_tasks;
	t->started_ns = clock_wall_ns();
	if (p->events)
		send_task(p, t, false, NULL);
}

int progress_task_end(struct progress *p, const struct progress_task *t, int r,
		      const struct error *err)
{
	LOCKED(&p->lock);

	if (p->events)
		send_task(p, t, true, r < 0 && err ? err->msg : NULL);
	return r;
}
