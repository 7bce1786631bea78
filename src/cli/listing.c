/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/listing.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/config.h"
#include "cli/template.h"

enum { OUTPUT_MAX = 256 << 20, EXIT_TEMPLATE = 64 };

struct json *listing_add(struct cli *cli, struct listing *l, const struct json *labels)
{
	struct listing_row *r = vec_push(&l->rows);
	static const struct json none = { .type = JSON_OBJECT };

	r->fields = json_new_object(&cli->arena);
	r->labels = labels ? labels : &none;
	return r->fields;
}

void row_set(struct cli *cli, struct json *row, const char *field, const char *value)
{
	json_set(&cli->arena, row, field, json_new_string(&cli->arena, value ? value : ""));
}

void row_setf(struct cli *cli, struct json *row, const char *field, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	row_set(cli, row, field, text);
}

void row_set_null(struct cli *cli, struct json *row, const char *field)
{
	json_set(&cli->arena, row, field, arena_new(&cli->arena, struct json));
}

static int member_compare(const void *a, const void *b)
{
	return strcmp(((const struct json_member *)a)->key, ((const struct json_member *)b)->key);
}

static void fields_sort(struct json *row)
{
	qsort(row->members, row->n_members, sizeof(*row->members), member_compare);
}

void listing_sort(struct listing *l)
{
	vec_for_each (row, &l->rows)
		fields_sort(row->fields);
}

/* `{{.ID}}\t{{.Names}}`: the escapes of a shell word become characters. */
static const char *unescape(struct arena *a, const char *format)
{
	char *out = arena_strdup(a, format), *to = out;

	for (const char *p = format; *p; p++) {
		if (p[0] == '\\' && (p[1] == 't' || p[1] == 'n'))
			*to++ = *++p == 't' ? '\t' : '\n';
		else
			*to++ = *p;
	}
	*to = 0;
	return out;
}

static const char *trim_blanks(struct arena *a, const char *s)
{
	size_t n;

	while (*s == ' ')
		s++;
	n = strlen(s);
	while (n > 0 && s[n - 1] == ' ')
		n--;
	return arena_strndup(a, s, n);
}

static struct json *titles_of(struct cli *cli, const struct listing_kind *k)
{
	struct json *o = json_new_object(&cli->arena);

	for (size_t i = 0; i < k->n_titles; i++)
		row_set(cli, o, k->titles[i].field, k->titles[i].title);
	return o;
}

static int fail(struct error *err)
{
	autofree char *why = xstrdup(err->msg);

	return error_set(err, ERR_INVALID, "template parsing error: %s", why);
}

static int rows_execute(struct cli *cli, struct listing *l, const char *format, bool table,
			struct buf *out, struct error *err)
{
	struct template *t = NULL;
	int r = template_parse(&cli->arena, format, &t, err);

	if (r < 0)
		return fail(err);
	if (table) {
		static const struct json none = { .type = JSON_OBJECT };
		struct template_root titles = { titles_of(cli, l->kind), l->kind->row_type, &none,
						true, NULL };

		r = template_execute(t, &titles, out, err);
		if (r == 0)
			r = buf_add(out, "\n", 1, err);
		if (r < 0)
			return fail(err);
	}
	vec_for_each (row, &l->rows) {
		struct template_root root = { row->fields, l->kind->row_type, row->labels, false,
					      NULL };

		fields_sort(row->fields);
		r = template_execute(t, &root, out, err);
		if (r < 0)
			return fail(err);
		r = buf_add(out, "\n", 1, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int listing_check(struct cli *cli, const struct listing_kind *kind, const char *format,
		  struct error *err)
{
	static const struct json none = { .type = JSON_OBJECT };
	struct json *empty = json_new_object(&cli->arena);
	struct template_root root = { empty, kind->row_type, &none, false, NULL };
	auto_(buf) out = BUF_INIT(OUTPUT_MAX);
	struct template *t = NULL;
	const char *what = "parse";
	int r = template_parse(&cli->arena, format, &t, err);

	if (r == 0) {
		for (size_t i = 0; i < kind->n_titles; i++)
			row_set(cli, empty, kind->titles[i].field, "");
		what = "execute";
		r = template_execute(t, &root, &out, err);
	}
	if (r == 0)
		return 0;
	{
		autofree char *why = xstrdup(err->msg);

		return error_set(err, ERR_INVALID, "failed to %s template: %s", what, why);
	}
}

int listing_print(struct cli *cli, struct listing *l, const char *format, bool quiet,
		  struct error *err)
{
	auto_(buf) out = BUF_INIT(OUTPUT_MAX);
	bool table = false;
	int r;

	if (!format || !*format || strcmp(format, "table") == 0) {
		table = !quiet;
		format = quiet ? l->kind->quiet : l->kind->table;
	} else if (strcmp(format, "json") == 0) {
		format = "{{json .}}";
	} else if (strcmp(format, "raw") == 0 && l->kind->raw) {
		format = quiet ? l->kind->raw_quiet : l->kind->raw;
	} else {
		if (cstr_starts(format, "table")) {
			table = true;
			format += strlen("table");
		}
		format = unescape(&cli->arena, trim_blanks(&cli->arena, format));
	}
	r = rows_execute(cli, l, format, table, &out, err);
	if (table && r == 0) {
		auto_(buf) aligned = BUF_INIT(OUTPUT_MAX);

		tabs_align(&aligned, out.data ? out.data : "");
		fwrite(aligned.data, 1, aligned.len, stdout);
	} else if (r == 0 && out.len > 0) {
		fwrite(out.data, 1, out.len, stdout);
	}
	return r;
}

void listing_release(struct listing *l)
{
	vec_release(&l->rows);
}

const char *labels_text(struct arena *a, const struct json *labels)
{
	auto_(buf) b = BUF_INIT(1 << 20);
	struct json_member *sorted;
	size_t n = labels && labels->type == JSON_OBJECT ? labels->n_members : 0;

	if (n == 0)
		return "";
	sorted = arena_array(a, n, sizeof(*sorted));
	memcpy(sorted, labels->members, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), member_compare);
	for (size_t i = 0; i < n; i++)
		if (buf_addf(&b, NULL, "%s%s=%s", i ? "," : "", sorted[i].key,
			     sorted[i].value->type == JSON_STRING ? sorted[i].value->s : "") < 0)
			break;
	return arena_strdup(a, b.data);
}

const char *format_choose(struct cli *cli, const struct args *args, const char *config_key)
{
	const char *format = args_str(args, "format");
	const char *configured = config_key ? config_str(cli, config_key) : NULL;

	if (*format)
		return format;
	if (configured && !(args_has(args, "quiet") && args_bool(args, "quiet")))
		return configured;
	return NULL;
}

int document_check(struct cli *cli, const char *format, struct error *err)
{
	struct template *t = NULL;

	if (template_parse(&cli->arena, format, &t, err) == 0)
		return 0;
	{
		autofree char *why = xstrdup(err->msg);

		cli->status = EXIT_TEMPLATE;
		return error_set(err, ERR_INVALID, "template parsing error: %s", why);
	}
}

int document_format(struct cli *cli, const char *format, const char *type, const struct json *doc,
		    struct buf *out, struct error *err)
{
	struct template_root root = { .value = doc, .document_type = type };
	struct template *t = NULL;
	int r = document_check(cli, format, err);

	if (r < 0)
		return r;
	r = template_parse(&cli->arena, format, &t, err);
	if (r == 0)
		r = template_execute(t, &root, out, err);
	return r < 0 && !type ? fail(err) : r;
}
