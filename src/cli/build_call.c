/* SPDX-License-Identifier: Apache-2.0 */
/* cli/build_call.c: `build --call`: what a Dockerfile offers, as buildx shows it. */
#include <stdio.h>
#include <string.h>

#include "base/jsonw.h"
#include "base/str.h"
#include "cli/build_extra.h"

#define COLUMNS_MAX 3
#define ANSWER_MAX  (16 << 20)

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

int build_call_print(const struct json *answer, bool as_json, struct error *err)
{
	static const struct table targets = { { "TARGET", "DESCRIPTION" }, 2 };
	auto_(buf) text = BUF_INIT(ANSWER_MAX);
	struct jsonw w;
	int r;

	if (answer == NULL)
		return error_set(err, ERR_UNIMPLEMENTED, "the engine does not know --call");
	if (as_json) {
		jsonw_init(&w, &text);
		w.indent = 2;
		jsonw_value(&w, answer);
		r = jsonw_finish(&w, err);
		if (r == 0)
			printf("%.*s\n", (int)text.len, text.data);
		return r;
	}
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
