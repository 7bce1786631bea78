/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/usage.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/json.h"
#include "base/str.h"
#include "base/vec.h"

enum { WIDTH_DEFAULT = 80, WRAP_MIN = 24, WRAP_SLOP = 5, NAME_COLUMN = 11 };

/* Last blank or line end before `limit`, or 0. */
static size_t wrap_at(const char *s, size_t limit)
{
	size_t at = 0;

	for (size_t i = 0; i < limit; i++)
		if (s[i] == ' ' || s[i] == '\t' || s[i] == '\n')
			at = i;
	return at;
}

/* pflag's wrapping: a line takes up to `width`, or 5 more when it is the last;
 * a line end inside the text ends the line. */
static void text_print_wrapped(FILE *out, const char *s, size_t indent, size_t width)
{
	while (*s) {
		size_t len = strlen(s), cut, last_nl;

		if (width + WRAP_SLOP > len) {
			cut = len;
		} else {
			cut = wrap_at(s, width);
			if (cut == 0)
				cut = len;
			last_nl = 0;
			for (size_t i = 0; i < width && cut < len; i++)
				if (s[i] == '\n')
					last_nl = i;
			if (last_nl > 0 && last_nl < cut)
				cut = last_nl;
		}
		for (size_t i = 0; i < cut; i++) {
			putc(s[i], out);
			if (s[i] == '\n')
				fprintf(out, "%*s", (int)indent, "");
		}
		s += cut;
		if (*s) {
			s++;
			fprintf(out, "\n%*s", (int)indent, "");
		}
	}
}

static void flag_format_left(const struct flag *f, char *out, size_t size)
{
	const char *word = flag_word(f);

	if (f->letter)
		snprintf(out, size, "  -%c, --%s%s%s", f->letter, f->name, *word ? " " : "", word);
	else
		snprintf(out, size, "      --%s%s%s", f->name, *word ? " " : "", word);
}

static char *flag_format_right(const struct flag *f)
{
	if (!f->def)
		return xstrdup(f->help);
	if (f->type == FLAG_STRING)
		return cstr_format("%s (default \"%s\")", f->help, f->def);
	return cstr_format("%s (default %s)", f->help, f->def);
}

void usage_print_flags(FILE *out, const struct command *c, int width)
{
	size_t n = command_n_flags(c), left_max = 0, indent, wrap, columns;
	const struct flag **sorted = xcalloc(n + 1, sizeof(*sorted));
	char left[128];

	command_flags_sorted(c, sorted);
	for (size_t i = 0; i < n; i++) {
		if (sorted[i]->bits & FLAG_HIDDEN)
			continue;
		flag_format_left(sorted[i], left, sizeof(left));
		if (strlen(left) > left_max)
			left_max = strlen(left);
	}
	columns = (size_t)(width > 0 ? width : WIDTH_DEFAULT) - 1;
	indent = left_max + 3;
	for (size_t i = 0; i < n; i++) {
		autofree char *right = NULL;

		if (sorted[i]->bits & FLAG_HIDDEN)
			continue;
		flag_format_left(sorted[i], left, sizeof(left));
		right = flag_format_right(sorted[i]);
		if (columns >= indent + WRAP_MIN) {
			fprintf(out, "%-*s   ", (int)left_max, left);
			wrap = columns - indent - WRAP_SLOP;
			text_print_wrapped(out, right, indent, wrap);
		} else {
			fprintf(out, "%s\n%16s", left, "");
			text_print_wrapped(out, right, 16, columns > 40 ? columns - 21 : 20);
		}
		putc('\n', out);
	}
	free(sorted);
}

void usage_print_line(FILE *out, const char *program, const char *path, const struct command *c)
{
	struct str rest = str_of(c->operands), form;

	if (!*c->operands) {
		fprintf(out, "Usage:  %s %s\n", program, path);
		return;
	}
	for (bool first = true; str_split(&rest, '\n', &form); first = false) {
		if (first)
			fprintf(out, "Usage:  %s %s %.*s\n", program, path, STR_ARG(form));
		else
			fprintf(out, "\t%s %.*s\n", program, STR_ARG(form));
	}
}

void usage_print_command(FILE *out, const char *program, const char *path, const struct command *c,
			 int width)
{
	usage_print_line(out, program, path, c);
	fprintf(out, "\n%s\n", c->text ? c->text : c->brief);
	if (strchr(c->paths, ',')) {
		struct str rest = str_of(c->paths), p;

		fputs("\nAliases:\n  ", out);
		for (bool first = true; str_split(&rest, ',', &p); first = false)
			fprintf(out, "%s%s %.*s", first ? "" : ", ", program, STR_ARG(p));
		putc('\n', out);
	}
	if (command_n_flags(c) > 0) {
		fputs("\nOptions:\n", out);
		usage_print_flags(out, c, width);
	}
}

struct entry {
	const char *name, *brief;
	size_t len;
	int common;
};

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r;

	if (x->common != y->common)
		return x->common - y->common;
	r = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);
	return r ? r : (int)x->len - (int)y->len;
}

typedef VEC(struct entry) entry_list;

static void entries_print(FILE *out, const char *title, entry_list *list)
{
	size_t column = NAME_COLUMN;

	if (list->len == 0)
		return;
	qsort(list->at, list->len, sizeof(*list->at), entry_compare);
	fprintf(out, "\n%s:\n", title);
	vec_for_each (e, list)
		if (e->len > column)
			column = e->len;
	vec_for_each (e, list)
		fprintf(out, "  %-*.*s %s\n", (int)column, (int)e->len, e->name, e->brief);
}

/* The commands right under `parent` ("" for the top): by their first name there. */
static void entries_collect(entry_list *list, const char *parent, bool common)
{
	size_t n = strlen(parent);
	const struct command *c;

	for (size_t i = 0; (c = command_at(i)); i++) {
		struct str rest = str_of(c->paths), p;

		if ((c->bits & COMMAND_HIDDEN) || (n == 0 && common != (c->common > 0)))
			continue;
		while (str_split(&rest, ',', &p)) {
			ptrdiff_t blank = str_find(p, ' ');

			if (n == 0 ? blank >= 0
				   : blank != (ptrdiff_t)n || memcmp(p.at, parent, n) != 0)
				continue;
			if (n > 0)
				p = str_sub(p, n + 1, p.len);
			*vec_push(list) =
			    (struct entry){ p.at, c->brief, p.len, n == 0 ? c->common : 0 };
			break;
		}
	}
}

void usage_print_group(FILE *out, const char *program, const struct command_group *g)
{
	entry_list list = { 0 };

	fprintf(out, "Usage:  %s %s COMMAND\n\n%s\n", program, g->name, g->brief);
	entries_collect(&list, g->name, false);
	entries_print(out, "Commands", &list);
	fprintf(out, "\nRun '%s %s COMMAND --help' for more information on a command.\n", program,
		g->name);
	vec_release(&list);
}

/* Plugins that work carry a star; why the others do not is said below. */
static void plugins_collect(entry_list *list, const struct json *plugins, struct arena *a,
			    bool broken)
{
	json_for_each_item (p, plugins) {
		const char *name = json_str(p, "Name"), *why = json_str(p, "Err");
		const char *brief = json_str(p, "ShortDescription");

		if ((why != NULL) != broken)
			continue;
		if (!broken)
			name = arena_format(a, "%s*", name);
		*vec_push(list) = (struct entry){ name,
						  why     ? why
						  : brief ? brief
							  : "",
						  strlen(name), 0 };
	}
}

void usage_print_top(FILE *out, const char *program, const struct json *plugins, int width)
{
	auto_(arena) a = ARENA_INIT;
	entry_list list = { 0 };

	fprintf(out, "Usage:  %s [OPTIONS] COMMAND\n\n%s\n", program, global_command.brief);
	entries_collect(&list, "", true);
	entries_print(out, "Common Commands", &list);
	list.len = 0;
	for (size_t i = 0; i < n_command_groups; i++)
		*vec_push(&list) = (struct entry){ command_groups[i].name, command_groups[i].brief,
						   strlen(command_groups[i].name), 0 };
	plugins_collect(&list, plugins, &a, false);
	entries_print(out, "Management Commands", &list);
	list.len = 0;
	entries_collect(&list, "", false);
	entries_print(out, "Commands", &list);
	list.len = 0;
	plugins_collect(&list, plugins, &a, true);
	entries_print(out, "Invalid Plugins", &list);
	vec_release(&list);
	fputs("\nGlobal Options:\n", out);
	usage_print_flags(out, &global_command, width);
	fprintf(out, "\nRun '%s COMMAND --help' for more information on a command.\n", program);
}
