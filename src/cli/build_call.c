/* SPDX-License-Identifier: Apache-2.0 */
/* cli/build_call.c: `build --call`: what a Dockerfile offers, as buildx shows it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "cli/build_extra.h"

#define COLUMNS_MAX 3
#define ANSWER_MAX  (64 << 20)

struct table {
	const char *cells[COLUMNS_MAX];
	size_t n_columns;
};

/* Columns two blanks apart, the last one as it is. */
static void print_row(const char *const *cells, size_t n, const size_t *widths)
{
	for (size_t i = 0; i < n; i++)
		printf("%-*s%s", i + 1 < n ? (int)widths[i] + 2 : 0, cells[i],
		       i + 1 < n ? "" : "\n");
}

/* An array of objects by these members; nothing when it is empty. */
static void print_list(const struct json *list, const struct table *titles,
		       void (*row)(const struct json *item, struct arena *a, const char **cells),
		       bool gap)
{
	size_t widths[COLUMNS_MAX] = { 0 };
	auto_(arena) a = ARENA_INIT;
	const char *cells[COLUMNS_MAX];

	if (list == NULL || list->n_items == 0)
		return;
	for (size_t i = 0; i < titles->n_columns; i++)
		widths[i] = strlen(titles->cells[i]);
	json_for_each_item (item, list) {
		row(item, &a, cells);
		for (size_t i = 0; i < titles->n_columns; i++)
			widths[i] = strlen(cells[i]) > widths[i] ? strlen(cells[i]) : widths[i];
	}
	print_row(titles->cells, titles->n_columns, widths);
	json_for_each_item (item, list) {
		row(item, &a, cells);
		print_row(cells, titles->n_columns, widths);
	}
	if (gap)
		putchar('\n');
}

static const char *text_of(const struct json *j, const char *key)
{
	const char *s = json_str(j, key);

	return s ? s : "";
}

static void target_row(const struct json *t, struct arena *a, const char **cells)
{
	const char *name = text_of(t, "name");

	cells[0] = !json_bool(t, "default", false) ? name
		   : name[0] == '\0'               ? "(default)"
						   : arena_format(a, "%s (default)", name);
	cells[1] = text_of(t, "description");
}

static void arg_row(const struct json *arg, struct arena *a, const char **cells)
{
	(void)a;
	cells[0] = text_of(arg, "name");
	cells[1] = text_of(arg, "value");
	cells[2] = text_of(arg, "description");
}

static void secret_row(const struct json *secret, struct arena *a, const char **cells)
{
	(void)a;
	cells[0] = text_of(secret, "name");
	cells[1] = json_bool(secret, "required", false) ? "true" : "";
}

static void print_outline(const struct json *o)
{
	static const struct table args = { { "BUILD ARG", "VALUE", "DESCRIPTION" }, 3 };
	static const struct table secrets = { { "SECRET", "REQUIRED" }, 2 };
	const char *name = text_of(o, "name"), *description = text_of(o, "description");

	if (name[0] != '\0' || description[0] != '\0') {
		bool both = description[0] != '\0';

		printf("TARGET:%*s%s\n", both ? 7 : 2, "", name[0] ? name : "(default)");
		if (both)
			printf("DESCRIPTION:  %s\n", description);
		putchar('\n');
	}
	print_list(json_get(o, "args"), &args, arg_row, true);
	print_list(json_get(o, "secrets"), &secrets, secret_row, true);
}

/* The lines around a place, as BuildKit shows them. */
static void print_source(FILE *out, struct str source, const char *file,
			 const struct json *location)
{
	const struct json *ranges = json_get(location, "ranges");
	size_t len = ranges ? ranges->n_items : 0;
	const struct json *begin = len > 0 ? ranges->items[0] : NULL;
	const struct json *end = len > 0 ? ranges->items[len - 1] : NULL;
	int64_t first = json_int(json_get(begin, "start"), "line", 0), from = first;
	int64_t last = json_int(json_get(end, "end"), "line", first), to;
	int64_t n = 1, line = 0, shown = 0, room = first == last ? 4 : 2;
	struct str text;

	for (size_t i = 0; i < source.len; i++)
		n += source.at[i] == '\n';
	if (first < 1 || first > n)
		return;
	to = last = last > n ? n : last;
	for (; shown < room; shown++) {
		shown += (from > 1) + (to < n);
		from -= from > 1;
		to += to < n;
	}
	fprintf(out, "%s:%lld\n--------------------\n", file, (long long)first);
	while (line++ < to && (str_split(&source, '\n', &text) || line == to)) {
		if (line >= from)
			fprintf(out, " %3lld | %s %.*s\n", (long long)line,
				line >= first && line <= last ? ">>>" : "   ", STR_ARG(text));
	}
	fprintf(out, "--------------------\n");
}

static int64_t line_of(const struct json *warning)
{
	const struct json *ranges = json_get(json_get(warning, "location"), "ranges");

	return ranges && ranges->n_items > 0
		   ? json_int(json_get(ranges->items[0], "start"), "line", 0)
		   : 0;
}

static int by_line(const void *a, const void *b)
{
	const struct json *const *x = a, *const *y = b;
	int64_t one = line_of(*x), two = line_of(*y);

	if (one != two)
		return one < two ? -1 : 1;
	return *x < *y ? -1 : *x > *y; /* as they were found */
}

static void print_warnings(const struct json *warnings, struct str source, const char *file)
{
	size_t n = warnings ? warnings->n_items : 0;
	autofree const struct json **sorted = xcalloc(n + 1, sizeof(*sorted));

	for (size_t i = 0; i < n; i++)
		sorted[i] = warnings->items[i];
	qsort(sorted, n, sizeof(*sorted), by_line);
	for (size_t i = 0; i < n; i++) {
		const char *url = text_of(sorted[i], "url");

		printf("\nWARNING: %s%s%s\n%s\n", text_of(sorted[i], "ruleName"),
		       url[0] != '\0' ? " - " : "", url, text_of(sorted[i], "detail"));
		print_source(stdout, source, file, json_get(sorted[i], "location"));
	}
}

static int print_check(const struct json *answer, struct error *err)
{
	const struct json *warnings = json_get(answer, "warnings");
	const struct json *failed = json_get(answer, "buildError");
	const struct json *sources = json_get(answer, "sources");
	const struct json *of = sources && sources->n_items > 0 ? sources->items[0] : NULL;
	auto_(buf) text = BUF_INIT(ANSWER_MAX);
	size_t n = warnings && warnings->type == JSON_ARRAY ? warnings->n_items : 0;
	int r = base64_decode(&text, str_of(text_of(of, "data")), err);
	struct str source = { text.data ? text.data : "", text.len };

	if (r < 0)
		return r;
	if (n > 0)
		printf("Check complete, %zu warning%s %s been found!\n", n, n == 1 ? "" : "s",
		       n == 1 ? "has" : "have");
	else if (failed == NULL)
		printf("Check complete, no warnings found.\n");
	print_warnings(n > 0 ? warnings : NULL, source, text_of(of, "filename"));
	if (failed != NULL) {
		fflush(stdout);
		fprintf(stderr, "%sERROR: %s\n", n > 0 ? "\n" : "", text_of(failed, "message"));
		print_source(stderr, source, text_of(of, "filename"), json_get(failed, "location"));
		fputc('\n', stderr);
	}
	return 0;
}

int build_call_print(const char *call, const struct json *answer, bool as_json, bool *ret_bad,
		     struct error *err)
{
	static const struct table targets = { { "TARGET", "DESCRIPTION" }, 2 };
	auto_(buf) text = BUF_INIT(ANSWER_MAX);
	struct jsonw w;
	int r;

	if (answer == NULL)
		return error_set(err, ERR_UNIMPLEMENTED, "the engine does not know --call");
	*ret_bad = json_get(answer, "buildError") != NULL ||
		   (json_get(answer, "warnings") && json_get(answer, "warnings")->n_items > 0);
	if (as_json) {
		jsonw_init(&w, &text);
		w.indent = 2;
		jsonw_value(&w, answer);
		r = jsonw_finish(&w, err);
		if (r == 0)
			printf("%.*s\n", (int)text.len, text.data);
		return r;
	}
	if (strcmp(call, "check") == 0)
		return print_check(answer, err);
	if (json_get(answer, "targets") != NULL)
		print_list(json_get(answer, "targets"), &targets, target_row, false);
	else
		print_outline(answer);
	return 0;
}

int build_call_parse(struct arena *a, const char *value, const char **ret_call, bool *ret_json,
		     struct error *err)
{
	static const char *const calls[] = { "build", "check", "outline", "targets" };
	struct str rest = str_of(value), word;
	const char *call = "build";

	*ret_json = false;
	for (size_t n = 0; str_split(&rest, ',', &word); n++) {
		if (n == 0 && str_find(word, '=') < 0)
			call = arena_strndup(a, word.at, word.len);
		else if (str_eqs(word, "format=json"))
			*ret_json = true;
		else if (!str_eqs(word, "format=text"))
			return error_set(err, ERR_UNIMPLEMENTED,
					 "build --call: '%.*s' is not supported yet",
					 STR_ARG(word));
	}
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (strcmp(calls[i], call) != 0)
			continue;
		*ret_call = calls[i];
		return 0;
	}
	return error_set(err, ERR_INVALID,
			 "build --call: unknown call '%s': want build, check, outline or targets",
			 call);
}
