/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/str.h"
#include "cli/build_extra.h"

struct vertex {
	int64_t started_ns;
	char *partial; /* a line without its end yet */
};

struct build_view {
	struct map vertexes; /* "3" -> struct vertex */
	struct arena warnings_arena;
	char **warnings;
	size_t n_warnings;
	bool check;
};

static void vertex_free(void *p)
{
	struct vertex *v = p;

	free(v->partial);
	free(v);
}

struct build_view *build_view_new(bool check)
{
	struct build_view *v = new0(struct build_view);

	v->vertexes.free_value = vertex_free;
	v->check = check;
	return v;
}

static int64_t time_of(const struct json *j, const char *key)
{
	const char *text = json_str(j, key);
	int64_t ns = 0;

	return text != NULL && time_parse_rfc3339(text, &ns, NULL) == 0 ? ns : 0;
}

static void put_line(int64_t id, double at, const char *line, size_t len)
{
	fprintf(stderr, "#%lld %.3f %.*s\n", (long long)id, at, (int)len, line);
}

static void flush_partial(int64_t id, struct vertex *v, double at)
{
	if (v->partial != NULL)
		put_line(id, at, v->partial, strlen(v->partial));
	free(v->partial);
	v->partial = NULL;
}

static void show_vertex(struct build_view *view, const struct json *j)
{
	int64_t id = json_int(j, "id", 0), start = time_of(j, "started");
	const char *failure = json_str(j, "error");
	char key[24];
	struct vertex *v;
	double took;

	snprintf(key, sizeof(key), "%lld", (long long)id);
	v = map_get(&view->vertexes, key);
	if (v == NULL) {
		v = new0(struct vertex);
		v->started_ns = start;
		map_set(&view->vertexes, key, v);
		fprintf(stderr, "#%s %s\n", key, json_str(j, "name") ? json_str(j, "name") : "");
	}
	if (json_get(j, "completed") == NULL)
		return;
	took = (double)(time_of(j, "completed") - v->started_ns) / 1e9;
	flush_partial(id, v, took);
	if (failure != NULL)
		fprintf(stderr, "#%s ERROR: %s\n\n", key, failure);
	else if (json_bool(j, "cached", false))
		fprintf(stderr, "#%s CACHED\n\n", key);
	else
		fprintf(stderr, "#%s DONE %.1fs\n\n", key, took);
}

static void show_log(struct build_view *view, const struct json *j)
{
	int64_t id = json_int(j, "vertex", 0);
	struct str rest = str_of(json_str(j, "data")), line;
	char key[24];
	struct vertex *v;
	double at;

	snprintf(key, sizeof(key), "%lld", (long long)id);
	v = map_get(&view->vertexes, key);
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
			flush_partial(id, v, at);
	}
}

static void keep_warning(struct build_view *view, const struct json *j)
{
	const char *rule = json_str(j, "rule"), *text = json_str(j, "message");
	const char *file = json_str(j, "file"), *source = json_str(j, "source");
	long long line = (long long)json_int(j, "line", 0);

	view->warnings =
	    xreallocarray(view->warnings, view->n_warnings + 1, sizeof(*view->warnings));
	view->warnings[view->n_warnings++] =
	    view->check
		? arena_format(&view->warnings_arena,
			       "\nWARNING: %s\n%s\n%s:%lld\n--------------------\n%4lld | >>> %s\n"
			       "--------------------",
			       rule ? rule : "", text ? text : "", file ? file : "", line, line,
			       source ? source : "")
		: arena_format(&view->warnings_arena, " - %s: %s (line %lld)", rule ? rule : "",
			       text ? text : "", line);
}

void build_view_message(struct build_view *v, const struct json *m)
{
	const struct json *event = json_get(m, "proa"), *j;

	if (json_str(m, "error") != NULL)
		return;
	if ((j = json_get(event, "vertex")) != NULL)
		show_vertex(v, j);
	else if ((j = json_get(event, "log")) != NULL)
		show_log(v, j);
	else if ((j = json_get(event, "warning")) != NULL)
		keep_warning(v, j);
	else if ((j = json_get(event, "reason")) != NULL && json_str(j, "text") != NULL)
		fprintf(stderr, "#%lld because %s\n", (long long)json_int(j, "vertex", 0),
			json_str(j, "text"));
}

void build_view_finish(struct build_view *v, size_t *ret_findings)
{
	const char *plural = v->n_warnings == 1 ? "" : "s";

	*ret_findings = v->n_warnings;
	if (v->check) {
		if (v->n_warnings == 0)
			printf("Check complete, no warnings found.\n");
		else
			printf("Check complete, %zu warning%s %s been found!\n", v->n_warnings,
			       plural, v->n_warnings == 1 ? "has" : "have");
	} else if (v->n_warnings > 0) {
		fprintf(stderr, "\n %zu warning%s found:\n", v->n_warnings, plural);
	}
	for (size_t i = 0; i < v->n_warnings; i++)
		fprintf(v->check ? stdout : stderr, "%s\n", v->warnings[i]);
}

void build_view_free(struct build_view *v)
{
	if (v == NULL)
		return;
	map_release(&v->vertexes);
	arena_release(&v->warnings_arena);
	free(v->warnings);
	free(v);
}
