/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/build_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/jsonw.h"
#include "cli/build_view_internal.h"
#include "cli/units.h"

static void vertex_free(void *p)
{
	struct vertex *v = p;

	free(v->name);
	free(v->error);
	free(v->reason);
	free(v->partial);
	for (size_t i = 0; i < VIEW_LOG_LINES; i++)
		free(v->log[i]);
	free(v);
}

struct build_view *build_view_new(const struct build_view_options *o)
{
	struct build_view *v = new0(struct build_view);
	const char *no_color = getenv("NO_COLOR");

	v->vertexes.free_value = vertex_free;
	v->o = *o;
	v->color = no_color == NULL || *no_color == '\0';
	v->began_ns = clock_wall_ns();
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->changed, NULL);
	if (o->tty)
		view_tty_start(v);
	return v;
}

static int64_t time_of(const struct json *j, const char *key)
{
	const char *text = json_str(j, key);
	int64_t ns = 0;

	return text != NULL && time_parse_rfc3339(text, &ns, NULL) == 0 ? ns : 0;
}

const char *vertex_log(const struct vertex *v, size_t back)
{
	if (back >= v->n_log || back >= VIEW_LOG_LINES)
		return NULL;
	return v->log[(v->n_log - 1 - back) % VIEW_LOG_LINES];
}

size_t view_done(const struct build_view *v, bool *ret_all)
{
	size_t done = 0;

	map_for_each (e, &v->vertexes)
		done += ((const struct vertex *)e->value)->ended_ns != 0;
	*ret_all = done > 0 && done == v->vertexes.len;
	return done;
}

/* A whole line of output; takes it. */
static void put_line(struct build_view *view, struct vertex *v, double at, char *take_line)
{
	size_t slot = v->n_log++ % VIEW_LOG_LINES;

	if (!view->o.tty && !view->o.quiet)
		fprintf(stderr, "#%lld %.3f %s\n", (long long)v->id, at, take_line);
	free(v->log[slot]);
	v->log[slot] = take_line;
}

static void flush_partial(struct build_view *view, struct vertex *v, double at)
{
	if (v->partial != NULL)
		put_line(view, v, at, v->partial);
	v->partial = NULL;
}

static struct vertex *find_vertex(struct build_view *view, const struct json *j, const char *key)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)json_int(j, key, 0));
	return map_get(&view->vertexes, text);
}

static struct vertex *new_vertex(struct build_view *view, const struct json *j)
{
	struct vertex *v = new0(struct vertex);
	const char *name = json_str(j, "name");
	char key[24];

	v->id = json_int(j, "id", 0);
	v->started_ns = time_of(j, "started");
	v->name = xstrdup(name ? name : "");
	v->cpu_ns = v->memory_bytes = v->read_bytes = v->written_bytes = v->layer_bytes = -1;
	snprintf(key, sizeof(key), "%lld", (long long)v->id);
	map_set(&view->vertexes, key, v);
	if (!view->o.tty && !view->o.quiet)
		fprintf(stderr, "#%s %s\n", key, v->name);
	return v;
}

static void show_vertex(struct build_view *view, const struct json *j)
{
	struct vertex *v = find_vertex(view, j, "id");
	const char *failure = json_str(j, "error");
	double took;

	if (v == NULL)
		v = new_vertex(view, j);
	if (json_get(j, "completed") == NULL || v->ended_ns != 0)
		return;
	v->ended_ns = time_of(j, "completed");
	v->cached = json_bool(j, "cached", false);
	took = (double)(v->ended_ns - v->started_ns) / 1e9;
	flush_partial(view, v, took);
	if (failure != NULL)
		v->error = xstrdup(failure);
	if (view->o.tty || view->o.quiet)
		return;
	if (failure != NULL)
		fprintf(stderr, "#%lld ERROR: %s\n\n", (long long)v->id, failure);
	else if (v->cached)
		fprintf(stderr, "#%lld CACHED\n\n", (long long)v->id);
	else
		fprintf(stderr, "#%lld DONE %.1fs\n\n", (long long)v->id, took);
}

static void show_log(struct build_view *view, const struct json *j)
{
	struct vertex *v = find_vertex(view, j, "vertex");
	struct str rest = str_of(json_str(j, "data")), line;
	double at;

	if (v == NULL || rest.at == NULL)
		return;
	at = (double)(time_of(j, "timestamp") - v->started_ns) / 1e9;
	while (rest.len > 0) {
		ptrdiff_t nl = str_find(rest, '\n');
		char *joined;

		line = str_sub(rest, 0, nl < 0 ? rest.len : (size_t)nl);
		rest = str_sub(rest, line.len + (nl >= 0), rest.len);
		joined = cstr_format("%s%.*s", v->partial ? v->partial : "", STR_ARG(line));
		free(v->partial);
		v->partial = joined;
		if (nl >= 0)
			flush_partial(view, v, at);
	}
}

static void show_reason(struct build_view *view, const struct json *j)
{
	struct vertex *v = find_vertex(view, j, "vertex");
	const char *text = json_str(j, "text");

	if (v == NULL || text == NULL)
		return;
	free(v->reason);
	v->reason = xstrdup(text);
	if (!view->o.tty && !view->o.quiet)
		fprintf(stderr, "#%lld because %s\n", (long long)v->id, text);
}

static void keep_profile(struct build_view *view, const struct json *j)
{
	struct vertex *v = find_vertex(view, j, "vertex");

	if (v == NULL)
		return;
	v->cpu_ns = json_int(j, "cpu", -1);
	v->memory_bytes = json_int(j, "memory_peak", -1);
	v->read_bytes = json_int(j, "read", -1);
	v->written_bytes = json_int(j, "written", -1);
	v->layer_bytes = json_int(j, "layer", -1);
}

static void keep_warning(struct build_view *view, const struct json *j)
{
	const char *rule = json_str(j, "rule"), *text = json_str(j, "message");

	view->warnings =
	    xreallocarray(view->warnings, view->n_warnings + 1, sizeof(*view->warnings));
	view->warnings[view->n_warnings++] =
	    arena_format(&view->warnings_arena, " - %s: %s (line %lld)", rule ? rule : "",
			 text ? text : "", (long long)json_int(j, "line", 0));
}

static bool take_event(struct build_view *v, const struct json *event)
{
	const struct json *j;

	if ((j = json_get(event, "vertex")) != NULL)
		show_vertex(v, j);
	else if ((j = json_get(event, "log")) != NULL)
		show_log(v, j);
	else if ((j = json_get(event, "warning")) != NULL)
		keep_warning(v, j);
	else if ((j = json_get(event, "profile")) != NULL)
		keep_profile(v, j);
	else if ((j = json_get(event, "reason")) != NULL)
		show_reason(v, j);
	else
		return false;
	return true;
}

/* On a terminal the log was only passing by. */
static void show_failure(const struct build_view *view)
{
	if (!view->o.tty && !view->o.quiet)
		return;
	map_for_each (e, &view->vertexes) {
		const struct vertex *v = e->value;
		size_t n = v->n_log < VIEW_LOG_LINES ? v->n_log : VIEW_LOG_LINES;

		if (v->error == NULL || n == 0)
			continue;
		fprintf(stderr, "------\n > %s:\n", v->name);
		while (n-- > 0)
			fprintf(stderr, "%s\n", vertex_log(v, n));
		fputs("------\n", stderr);
	}
}

/* The lines of the Dockerfile that an error is about. */
static void show_source(const struct json *where)
{
	const struct json *source = json_get(where, "source");
	long long line = (long long)json_int(where, "line", 0);

	if (source == NULL || source->type != JSON_ARRAY || source->n_items == 0)
		return;
	fprintf(stderr, "%s:%lld\n--------------------\n", json_str(where, "file"), line);
	json_for_each_item (text, source) {
		if (text->type == JSON_STRING)
			fprintf(stderr, "%4lld | >>> %s\n", line++, text->s);
	}
	fputs("--------------------\n", stderr);
}

void build_view_message(struct build_view *v, const struct json *m)
{
	bool failed = json_str(m, "error") != NULL, all;

	pthread_mutex_lock(&v->lock);
	if (!failed && take_event(v, json_get(m, "proa"))) {
		v->paused = false;
		pthread_mutex_unlock(&v->lock);
		return;
	}
	view_done(v, &all);
	if (failed || json_str(m, "stream") != NULL || json_str(m, "status") != NULL) {
		v->paused = true;
		if (v->o.tty && !all && !failed)
			view_tty_erase(v);
	}
	pthread_mutex_unlock(&v->lock);
	/* The end: what was drawn stays, and what is told now stands below it. */
	if (failed || (all && json_str(m, "stream") != NULL))
		view_tty_stop(v);
	if (failed) {
		show_failure(v);
		show_source(json_get(m, "proa"));
	}
}

void build_view_pause(struct build_view *v)
{
	pthread_mutex_lock(&v->lock);
	v->paused = true;
	if (v->o.tty)
		view_tty_erase(v);
	pthread_mutex_unlock(&v->lock);
}

static const char *bytes_text(struct arena *a, int64_t n)
{
	return n < 0 ? "-" : human_size(a, (double)n, 3);
}

static void profile_table(const struct build_view *view)
{
	static const char head[] = "WALL     CPU      MEMORY   READ     WRITTEN  LAYER    STEP\n";

	fprintf(stderr, "\n%s", head);
	map_for_each (e, &view->vertexes) {
		const struct vertex *v = e->value;
		auto_(arena) a = ARENA_INIT;
		const char *cpu =
		    v->cpu_ns < 0 ? "-" : arena_format(&a, "%.3fs", (double)v->cpu_ns / 1e9);

		if (v->ended_ns == 0)
			continue;
		fprintf(stderr, "%-8s %-8s %-8s %-8s %-8s %-8s %s%s\n",
			arena_format(&a, "%.3fs", (double)(v->ended_ns - v->started_ns) / 1e9), cpu,
			bytes_text(&a, v->memory_bytes), bytes_text(&a, v->read_bytes),
			bytes_text(&a, v->written_bytes), bytes_text(&a, v->layer_bytes),
			v->cached ? "CACHED " : "", v->name);
	}
}

static void add_known(struct jsonw *w, const char *key, int64_t n)
{
	if (n >= 0)
		jsonw_kint(w, key, n);
	else
		jsonw_knull(w, key);
}

static void profile_json(const struct build_view *view)
{
	map_for_each (e, &view->vertexes) {
		const struct vertex *v = e->value;
		auto_(buf) b = BUF_INIT(4 << 20);
		struct jsonw w;

		if (v->ended_ns == 0)
			continue;
		jsonw_init(&w, &b);
		jsonw_object(&w);
		jsonw_kint(&w, "Step", v->id);
		jsonw_kstring(&w, "Name", v->name);
		jsonw_kbool(&w, "Cached", v->cached);
		jsonw_kint(&w, "WallNs", v->ended_ns - v->started_ns);
		add_known(&w, "CPUNs", v->cpu_ns);
		add_known(&w, "MemoryPeakBytes", v->memory_bytes);
		add_known(&w, "ReadBytes", v->read_bytes);
		add_known(&w, "WrittenBytes", v->written_bytes);
		add_known(&w, "LayerBytes", v->layer_bytes);
		jsonw_end(&w);
		if (jsonw_finish(&w, NULL) == 0)
			printf("%.*s\n", (int)b.len, b.data);
	}
}

void build_view_finish(struct build_view *v)
{
	view_tty_stop(v);
	if (v->n_warnings > 0)
		fprintf(stderr, "\n %zu warning%s found:\n", v->n_warnings,
			v->n_warnings == 1 ? "" : "s");
	for (size_t i = 0; i < v->n_warnings; i++)
		fprintf(stderr, "%s\n", v->warnings[i]);
	if (v->o.profile == PROFILE_TABLE)
		profile_table(v);
	else if (v->o.profile == PROFILE_JSON)
		profile_json(v);
}

void build_view_free(struct build_view *v)
{
	if (v == NULL)
		return;
	view_tty_stop(v);
	pthread_cond_destroy(&v->changed);
	pthread_mutex_destroy(&v->lock);
	vec_release(&v->last.columns);
	map_release(&v->vertexes);
	arena_release(&v->warnings_arena);
	free(v->warnings);
	free(v);
}
