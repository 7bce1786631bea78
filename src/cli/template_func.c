/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of templates: Go's built-ins and the docker CLI's. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/str.h"
#include "cli/template_internal.h"

enum { TEXT_MAX = 64 << 20, RANGE_ANY = -1 };

typedef int function(struct exec *x, const struct value *args, size_t n, struct value *ret);

/* Failures inside of a function: at the whole command. */
static int call_fail(struct exec *x, const char *name, const char *text)
{
	return exec_fail(x, x->at, "error calling %s: %s", name, text);
}

static int fn_not(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	(void)x;
	(void)n;
	*ret = value_bool(!value_true(&args[0]));
	return 0;
}

static size_t text_runes(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static int fn_len(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	const char *row = x->root->row_type;

	(void)n;
	if (args[0].row && row)
		return call_fail(
		    x, "len",
		    arena_format(x->arena, "len of type %s", *row == '*' ? row + 1 : row));
	if (args[0].kind == VALUE_STRING)
		*ret = value_int((int64_t)strlen(args[0].s));
	else if (args[0].kind == VALUE_JSON && args[0].json->type == JSON_ARRAY)
		*ret = value_int((int64_t)args[0].json->n_items);
	else if (args[0].kind == VALUE_JSON)
		*ret = value_int((int64_t)args[0].json->n_members);
	else if (args[0].kind == VALUE_NIL && args[0].name)
		*ret = value_int(0);
	else if (args[0].kind == VALUE_NIL || args[0].kind == VALUE_NOTHING)
		return call_fail(x, "len", "len of nil pointer");
	else
		return call_fail(x, "len",
				 arena_format(x->arena, "len of type %s", value_type(&args[0])));
	return 0;
}

static int index_object(struct exec *x, struct value *v, const struct value *key)
{
	const struct json *item;

	if (key->kind != VALUE_STRING)
		return call_fail(
		    x, "index",
		    arena_format(x->arena, "value has type %s; should be string", value_type(key)));
	item = NULL;
	for (size_t i = 0; i < v->json->n_members; i++)
		if (strcmp(v->json->members[i].key, key->s) == 0)
			item = v->json->members[i].value;
	if (item)
		*v = value_of_json(item, NULL);
	else if (v->json->n_members == 0 || v->json->members[0].value->type == JSON_STRING)
		*v = value_string("");
	else
		*v = (struct value){ .kind = VALUE_NOTHING };
	return 0;
}

static int fn_index(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	struct value v = args[0];

	for (size_t i = 1; i < n; i++) {
		int r = 0;

		if (v.kind == VALUE_JSON && v.json->type == JSON_OBJECT) {
			r = index_object(x, &v, &args[i]);
			if (r < 0)
				return r;
			continue;
		}
		if (v.kind == VALUE_NIL && args[i].kind == VALUE_STRING && v.name) {
			v = value_string("");
			continue;
		}
		if (v.kind == VALUE_NIL || v.kind == VALUE_NOTHING)
			return call_fail(x, "index", "index of untyped nil");
		if (args[i].kind != VALUE_INT)
			return call_fail(x, "index",
					 arena_format(x->arena,
						      "cannot index slice/array with type %s",
						      value_type(&args[i])));
		if (v.kind == VALUE_STRING ||
		    (v.kind == VALUE_JSON && v.json->type == JSON_ARRAY)) {
			size_t len = v.kind == VALUE_STRING ? strlen(v.s) : v.json->n_items;

			if (args[i].i < 0 || (uint64_t)args[i].i >= len)
				return call_fail(x, "index",
						 arena_format(x->arena, "index out of range: %lld",
							      (long long)args[i].i));
			v = v.kind == VALUE_STRING ? value_int((unsigned char)v.s[args[i].i])
						   : value_of_json(v.json->items[args[i].i], NULL);
			continue;
		}
		return call_fail(
		    x, "index",
		    arena_format(x->arena, "can't index item of type %s", value_type(&v)));
	}
	*ret = v;
	return 0;
}

static int fn_slice(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	bool text = args[0].kind == VALUE_STRING;
	size_t len, from = 0, to;

	if (!text && (args[0].kind != VALUE_JSON || args[0].json->type != JSON_ARRAY))
		return call_fail(
		    x, "slice",
		    arena_format(x->arena, "can't slice item of type %s", value_type(&args[0])));
	if (n > 3)
		return call_fail(x, "slice",
				 text ? "cannot 3-index slice a string"
				      : "too many slice indexes: 4");
	len = text ? strlen(args[0].s) : args[0].json->n_items;
	to = len;
	for (size_t i = 1; i < n; i++) {
		if (args[i].kind != VALUE_INT)
			return call_fail(x, "slice",
					 arena_format(x->arena,
						      "cannot index slice/array with type %s",
						      value_type(&args[i])));
		if (args[i].i < 0 || (uint64_t)args[i].i > len)
			return call_fail(x, "slice",
					 arena_format(x->arena, "index out of range: %lld",
						      (long long)args[i].i));
		*(i == 1 ? &from : &to) = (size_t)args[i].i;
	}
	if (from > to)
		return call_fail(
		    x, "slice", arena_format(x->arena, "invalid slice index: %zu > %zu", from, to));
	if (text) {
		*ret = value_string(arena_strndup(x->arena, args[0].s + from, to - from));
	} else {
		struct json *part = json_new_array(x->arena);

		part->items = args[0].json->items + from;
		part->n_items = to - from;
		*ret = (struct value){ .kind = VALUE_JSON, .json = part };
	}
	return 0;
}

/* fmt.Sprint: a blank between two operands when neither is a string. */
static int fn_print(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	auto_(buf) b = BUF_INIT(TEXT_MAX);

	for (size_t i = 0; i < n; i++) {
		if (i && args[i].kind != VALUE_STRING && args[i - 1].kind != VALUE_STRING &&
		    buf_add(&b, " ", 1, NULL) < 0)
			break;
		value_print(&b, &args[i]);
	}
	*ret = value_string(arena_strdup(x->arena, b.data ? b.data : ""));
	return 0;
}

static int fn_println(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	auto_(buf) b = BUF_INIT(TEXT_MAX);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (i)
			r = buf_add(&b, " ", 1, NULL);
		value_print(&b, &args[i]);
	}
	*ret = value_string(arena_format(x->arena, "%s\n", b.data ? b.data : ""));
	return 0;
}

static int fn_printf(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	if (args[0].kind != VALUE_STRING)
		return call_fail(x, "printf", "format is not a string");
	*ret = value_string(go_sprintf(x->arena, args[0].s, args + 1, n - 1));
	return 0;
}

static int fn_html(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	static const char from[] = "<>&'\"";
	static const char *const to[] = { "&lt;", "&gt;", "&amp;", "&#39;", "&#34;" };
	auto_(buf) b = BUF_INIT(TEXT_MAX);
	struct value joined;
	int r = fn_print(x, args, n, &joined);

	for (const char *s = joined.s; r == 0 && *s; s++) {
		const char *at = strchr(from, *s);

		r = at ? buf_add(&b, to[at - from], strlen(to[at - from]), NULL)
		       : buf_add(&b, s, 1, NULL);
	}
	*ret = value_string(arena_strdup(x->arena, b.data ? b.data : ""));
	return 0;
}

/* template.JSEscapeString */
static int fn_js(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	auto_(buf) b = BUF_INIT(TEXT_MAX);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		for (const char *s = value_text(x->arena, &args[i]); *s && r == 0; s++) {
			if (strchr("\\'\"", *s))
				r = buf_addf(&b, x->err, "\\%c", *s);
			else if (strchr("<>&=", *s) || (unsigned char)*s < ' ')
				r = buf_addf(&b, x->err, "\\u%04X", (unsigned char)*s);
			else
				r = buf_add(&b, s, 1, x->err);
		}
	*ret = value_string(arena_strdup(x->arena, b.data ? b.data : ""));
	return r;
}

static int fn_urlquery(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	auto_(buf) b = BUF_INIT(TEXT_MAX);
	struct value joined;
	int r = fn_print(x, args, n, &joined);

	for (const char *s = joined.s; r == 0 && *s; s++) {
		if (isalnum((unsigned char)*s) || strchr("-_.~", *s))
			r = buf_add(&b, s, 1, NULL);
		else if (*s == ' ')
			r = buf_add(&b, "+", 1, NULL);
		else
			r = buf_addf(&b, NULL, "%%%02X", (unsigned char)*s);
	}
	*ret = value_string(arena_strdup(x->arena, b.data ? b.data : ""));
	return 0;
}

/* -2: cannot be compared. Numbers of different kinds are of different types. */
static int values_compare(const struct value *a, const struct value *b)
{
	bool nil_a = a->kind == VALUE_NIL || a->kind == VALUE_NOTHING;
	bool nil_b = b->kind == VALUE_NIL || b->kind == VALUE_NOTHING;

	if (nil_a || nil_b)
		return nil_a && nil_b ? 0 : 1;
	if (a->kind != b->kind || a->kind == VALUE_JSON)
		return -2;
	if (a->kind == VALUE_STRING) {
		int c = strcmp(a->s, b->s);

		return (c > 0) - (c < 0);
	}
	if (a->kind == VALUE_INT)
		return (a->i > b->i) - (a->i < b->i);
	if (a->kind == VALUE_FLOAT)
		return (a->d > b->d) - (a->d < b->d);
	return a->b != b->b;
}

static int compare(struct exec *x, const char *name, const struct value *args, int *ret)
{
	*ret = values_compare(&args[0], &args[1]);
	if (*ret == -2)
		return call_fail(x, name,
				 args[0].kind == VALUE_JSON || args[1].kind == VALUE_JSON
				     ? arena_format(x->arena, "non-comparable type %s: %s",
						    value_text(x->arena, &args[0]),
						    value_type(&args[0]))
				     : "incompatible types for comparison");
	return 0;
}

static int fn_eq(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	*ret = value_bool(false);
	if (n < 2)
		return call_fail(x, "eq", "missing argument for comparison");
	for (size_t i = 1; i < n; i++) {
		struct value pair[2] = { args[0], args[i] };
		int c, r = compare(x, "eq", pair, &c);

		if (r < 0)
			return r;
		if (c == 0)
			*ret = value_bool(true);
	}
	return 0;
}

#define DEFINE_COMPARE(name, test) \
	static int fn_##name(struct exec *x, const struct value *args, size_t n, \
			     struct value *ret) \
	{ \
		int c, r = compare(x, #name, args, &c); \
\
		(void)n; \
		*ret = value_bool(test); \
		return r; \
	}
DEFINE_COMPARE(ne, c != 0)
DEFINE_COMPARE(lt, c < 0)
DEFINE_COMPARE(le, c <= 0)
DEFINE_COMPARE(gt, c > 0)
DEFINE_COMPARE(ge, c >= 0)

/* Rows write themselves as Go's encoder does, with <, > and & escaped; so do documents of rows. */
static bool escapes(const struct exec *x, const struct value *v)
{
	const char *document = x->root->document_type;

	return (v->row && x->root->row_type) || (document && cstr_starts(document, "*formatter."));
}

static int fn_json(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	(void)n;
	*ret = x->root->header && args[0].kind == VALUE_STRING
		   ? args[0]
		   : value_string(x->root->header
				      ? ""
				      : value_json(x->arena, &args[0], escapes(x, &args[0])));
	return 0;
}

static int text_arg(struct exec *x, const struct value *v, const char **ret)
{
	if (v->kind != VALUE_STRING)
		return exec_fail(x, x->at, "wrong type for value; expected string; got %s",
				 value_type(v));
	*ret = v->s;
	return 0;
}

static int fn_split(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	struct json *list = json_new_array(x->arena);
	const char *s = NULL, *sep = NULL, *at;
	int r = text_arg(x, &args[0], &s);

	(void)n;
	if (r == 0)
		r = text_arg(x, &args[1], &sep);
	if (r < 0)
		return r;
	while (*sep && (at = strstr(s, sep))) {
		json_push(x->arena, list,
			  json_new_string(x->arena, arena_strndup(x->arena, s, (size_t)(at - s))));
		s = at + strlen(sep);
	}
	json_push(x->arena, list, json_new_string(x->arena, s));
	*ret = (struct value){ .kind = VALUE_JSON, .json = list };
	return 0;
}

static int fn_join(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	auto_(buf) b = BUF_INIT(TEXT_MAX);
	const char *sep = NULL;
	int r = text_arg(x, &args[1], &sep);

	(void)n;
	if (r < 0)
		return r;
	if (x->root->header && args[0].kind == VALUE_STRING) {
		*ret = args[0];
		return 0;
	}
	if (args[0].kind != VALUE_JSON && args[0].kind != VALUE_NIL)
		return exec_fail(x, x->at, "wrong type for value; expected []string; got %s",
				 value_type(&args[0]));
	for (size_t i = 0; args[0].json && i < args[0].json->n_items && r == 0; i++) {
		struct value item = value_of_json(args[0].json->items[i], NULL);

		if (i)
			r = buf_add(&b, sep, strlen(sep), NULL);
		value_print(&b, &item);
	}
	*ret = value_string(arena_strdup(x->arena, b.data ? b.data : ""));
	return 0;
}

static int change_case(struct exec *x, const struct value *v, char how, struct value *ret)
{
	const char *s = NULL;
	char *out;
	int r = text_arg(x, v, &s);

	if (r < 0)
		return r;
	out = arena_strdup(x->arena, s);
	for (size_t i = 0; out[i] && !x->root->header; i++) {
		bool first = i == 0 || !(isalnum((unsigned char)out[i - 1]) || out[i - 1] == '_' ||
					 out[i - 1] == '\'' || (out[i - 1] & 0x80));

		if (how == 'l')
			out[i] = (char)tolower((unsigned char)out[i]);
		else if (how == 'u' || first)
			out[i] = (char)toupper((unsigned char)out[i]);
	}
	*ret = value_string(out);
	return 0;
}

static int fn_title(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	(void)n;
	return change_case(x, &args[0], 't', ret);
}

static int fn_lower(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	(void)n;
	return change_case(x, &args[0], 'l', ret);
}

static int fn_upper(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	(void)n;
	return change_case(x, &args[0], 'u', ret);
}

static int fn_pad(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	const char *s = NULL;
	int r = text_arg(x, &args[0], &s);

	(void)n;
	if (r < 0)
		return r;
	if (args[1].kind != VALUE_INT || args[2].kind != VALUE_INT)
		return exec_fail(x, x->at, "wrong type for value; expected int; got %s",
				 value_type(&args[args[1].kind == VALUE_INT ? 2 : 1]));
	if (!*s || x->root->header || args[1].i < 0 || args[2].i < 0 || args[1].i > 4096 ||
	    args[2].i > 4096)
		*ret = args[0];
	else
		*ret = value_string(
		    arena_format(x->arena, "%*s%s%*s", (int)args[1].i, "", s, (int)args[2].i, ""));
	return 0;
}

static int fn_truncate(struct exec *x, const struct value *args, size_t n, struct value *ret)
{
	const char *s = NULL;
	size_t at = 0;
	int r = text_arg(x, &args[0], &s);

	(void)n;
	if (r < 0)
		return r;
	*ret = args[0];
	if (args[1].kind != VALUE_INT)
		return exec_fail(x, x->at, "wrong type for value; expected int; got %s",
				 value_type(&args[1]));
	if (x->root->header || args[1].i < 0 || text_runes(s) <= (uint64_t)args[1].i)
		return 0;
	for (int64_t left = args[1].i; left > 0; left--)
		for (at++; (s[at] & 0xc0) == 0x80; at++)
			;
	*ret = value_string(arena_strndup(x->arena, s, at));
	return 0;
}

static const struct {
	const char *name;
	function *call;
	int min, max;
} functions[] = {
	{ "and", NULL, 1, RANGE_ANY },
	{ "or", NULL, 1, RANGE_ANY },
	{ "not", fn_not, 1, 1 },
	{ "len", fn_len, 1, 1 },
	{ "index", fn_index, 1, RANGE_ANY },
	{ "slice", fn_slice, 1, RANGE_ANY },
	{ "print", fn_print, 0, RANGE_ANY },
	{ "println", fn_println, 0, RANGE_ANY },
	{ "printf", fn_printf, 1, RANGE_ANY },
	{ "html", fn_html, 0, RANGE_ANY },
	{ "js", fn_js, 0, RANGE_ANY },
	{ "urlquery", fn_urlquery, 0, RANGE_ANY },
	{ "eq", fn_eq, 1, RANGE_ANY },
	{ "ne", fn_ne, 2, 2 },
	{ "lt", fn_lt, 2, 2 },
	{ "le", fn_le, 2, 2 },
	{ "gt", fn_gt, 2, 2 },
	{ "ge", fn_ge, 2, 2 },
	{ "json", fn_json, 1, 1 },
	{ "split", fn_split, 2, 2 },
	{ "join", fn_join, 2, 2 },
	{ "title", fn_title, 1, 1 },
	{ "lower", fn_lower, 1, 1 },
	{ "upper", fn_upper, 1, 1 },
	{ "pad", fn_pad, 3, 3 },
	{ "truncate", fn_truncate, 2, 2 },
};

bool function_known(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(functions); i++)
		if (strcmp(functions[i].name, name) == 0)
			return true;
	return false;
}

int function_call(struct exec *x, const char *name, const struct value *args, size_t n,
		  struct value *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		if (strcmp(functions[i].name, name) != 0)
			continue;
		if ((int)n < functions[i].min ||
		    (functions[i].max >= 0 && (int)n > functions[i].max))
			return exec_fail(x, x->at, "wrong number of args for %s: want %s%d got %zu",
					 name, functions[i].max < 0 ? "at least " : "",
					 functions[i].min, n);
		if (!functions[i].call)
			return exec_fail(
			    x, x->at, "wrong number of args for %s: want at least 1 got 0", name);
		return functions[i].call(x, args, n, ret);
	}
	return exec_fail(x, x->at, "\"%s\" is not a defined function", name);
}
