/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/template.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/template_internal.h"
#include "cli/units.h"

enum { CALL_ARGS_MAX = 32 };

int exec_fail(struct exec *x, const struct node *n, const char *fmt, ...)
{
	char text[640];
	unsigned line = 1;
	size_t start = 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < n->pos; i++) {
		if (x->t->text[i] == '\n') {
			line++;
			start = i + 1;
		}
	}
	return error_set(x->err, ERR_INVALID, "template: :%u:%zu: executing \"\" at <%s>: %s", line,
			 n->pos - start, n->source ? n->source : "", text);
}

static int eval_pipe(struct exec *x, const struct value *dot, const struct node *pipe,
		     struct value *ret);
static int exec_node(struct exec *x, const struct value *dot, const struct node *n);

/* .Label "key" of a row: the value, or of its header: the key made readable. */
static int row_label(struct exec *x, const struct node *n, const struct value *args, size_t n_args,
		     struct value *ret)
{
	const char *s;

	if (n_args != 1)
		return exec_fail(x, n, "wrong number of args for Label: want 1 got %zu", n_args);
	if (args[0].kind != VALUE_STRING)
		return exec_fail(x, n, "wrong type for value; expected string; got %s",
				 value_type(&args[0]));
	if (x->root->header) {
		const char *dotted = strrchr(args[0].s, '.');
		char *title = arena_strdup(x->arena, dotted ? dotted + 1 : args[0].s);

		for (char *p = title; *p; p++)
			if (*p == '-' || *p == '_')
				*p = ' ';
		*ret = value_string(title);
		return 0;
	}
	s = json_str(x->root->labels, args[0].s);
	*ret = value_string(s ? s : "");
	return 0;
}

/* Fields that Go's structs spell otherwise than their JSON. */
static const struct {
	const char *go, *json;
} spellings[] = {
	{ "ID", "Id" },
	{ "APIVersion", "ApiVersion" },
	{ "NanoCPUs", "NanoCpus" },
	{ "CPUShares", "CpuShares" },
	{ "CPUPeriod", "CpuPeriod" },
	{ "CPUQuota", "CpuQuota" },
	{ "DNS", "Dns" },
	{ "DNSOptions", "DnsOptions" },
	{ "DNSSearch", "DnsSearch" },
	{ "HostIP", "HostIp" },
};

/* Does the template name a field as only the JSON does? */
static bool names_json_only(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
		size_t n = strlen(spellings[i].json);

		for (const char *p = strchr(text, '.'); p; p = strchr(p + 1, '.'))
			if (strncmp(p + 1, spellings[i].json, n) == 0 &&
			    !isalnum((unsigned char)p[1 + n]))
				return true;
	}
	return false;
}

/* What a field of a document is to Go: the JSON's value, or that of a type. */
static struct value field_value(struct exec *x, const struct value *on, const char *name,
				const struct json *j)
{
	struct value v = value_of_json(j, name);
	int64_t ns = 0;

	if (x->root->row_type)
		return v;
	if (x->raw) {
		if (v.kind == VALUE_NIL)
			v.kind = VALUE_NOTHING;
		if (value_is_duration(&v))
			v.name = NULL;
		return v;
	}
	/* A time.Time: the time of a tag, and when a network was made. */
	if (v.kind == VALUE_STRING &&
	    (strcmp(name, "LastTagTime") == 0 ||
	     (on->row && strcmp(name, "Created") == 0 && json_get(on->json, "IPAM"))) &&
	    time_parse_rfc3339(v.s, &ns, NULL) == 0)
		v.s = go_time(x->arena, ns / NS_PER_SEC, ns % NS_PER_SEC);
	return v;
}

static const struct json *member_of(const struct json *o, const char *key)
{
	for (size_t i = 0; i < o->n_members; i++)
		if (strcmp(o->members[i].key, key) == 0)
			return o->members[i].value;
	return NULL;
}

static int field_missing(struct exec *x, const struct node *n, const struct value *on,
			 const char *name, struct value *ret)
{
	const struct json *same = NULL;

	for (size_t i = 0; i < ARRAY_LEN(spellings) && !same; i++)
		if (strcmp(spellings[i].go, name) == 0)
			same = member_of(on->json, spellings[i].json);
	if (on->row && x->root->row_type && !x->root->header)
		return exec_fail(x, n, "can't evaluate field %s in type %s", name,
				 x->root->row_type);
	if (on->row && x->root->header) {
		*ret = (struct value){ .kind = VALUE_NOTHING };
		return 0;
	}
	if (same) {
		*ret = field_value(x, on, name, same);
		return 0;
	}
	if (on->row && x->root->document_type)
		return exec_fail(x, n, "can't evaluate field %s in type %s", name,
				 x->root->document_type);
	if (value_is_map(on) && !x->raw) {
		*ret = (struct value){ .kind = VALUE_NOTHING };
		return 0;
	}
	if (!x->raw && value_zero_field(name, ret))
		return 0;
	return exec_fail(x, n, "map has no entry for key \"%s\"", name);
}

/* One `.name` on a value. args: those behind the last field of a chain. */
static int eval_field(struct exec *x, const struct node *n, struct value on, const char *name,
		      const struct value *args, size_t n_args, struct value *ret)
{
	const struct json *j;

	if (on.kind == VALUE_JSON && on.json->type == JSON_OBJECT) {
		if (on.row && x->root->row_type && strcmp(name, "Label") == 0 && x->root->labels)
			return row_label(x, n, args, n_args, ret);
		j = member_of(on.json, name);
		if (n_args > 0)
			return exec_fail(x, n, "%s is not a method but has arguments", name);
		if (!j)
			return field_missing(x, n, &on, name, ret);
		*ret = field_value(x, &on, name, j);
		return 0;
	}
	if (on.kind == VALUE_NIL && on.name && !x->root->row_type)
		return exec_fail(x, n, "map has no entry for key \"%s\"", on.name);
	if (on.kind == VALUE_NIL)
		return exec_fail(x, n, "nil data; no entry for key \"%s\"", name);
	if (on.kind == VALUE_NOTHING) {
		*ret = on;
		return 0;
	}
	return exec_fail(x, n, "can't evaluate field %s in type %s", name,
			 x->root->row_type ? value_type(&on) : "interface {}");
}

static int eval_chain(struct exec *x, const struct node *n, struct value on, size_t first,
		      const struct value *args, size_t n_args, struct value *ret)
{
	int r = 0;

	for (size_t i = first; i < n->n_names && r == 0; i++) {
		bool last = i + 1 == n->n_names;

		r = eval_field(x, n, on, n->names[i], last ? args : NULL, last ? n_args : 0, &on);
	}
	if (r == 0)
		*ret = on;
	return r;
}

static int variable_get(struct exec *x, const struct node *n, struct value *ret)
{
	for (size_t i = x->vars.len; i > 0; i--) {
		if (strcmp(x->vars.at[i - 1].name, n->names[0]) == 0) {
			*ret = x->vars.at[i - 1].value;
			return 0;
		}
	}
	return exec_fail(x, n, "undefined variable: %s", n->names[0]);
}

static int eval_arg(struct exec *x, const struct value *dot, const struct node *n,
		    struct value *ret);

/* Any operand, with the arguments behind it already evaluated. */
static int eval_operand(struct exec *x, const struct value *dot, const struct node *n,
			const struct value *args, size_t n_args, struct value *ret)
{
	struct value v = { .kind = VALUE_NIL };
	int r = 0;

	switch ((int)n->type) {
	case NODE_FIELD:
		return eval_chain(x, n, *dot, 0, args, n_args, ret);
	case NODE_VARIABLE:
		r = variable_get(x, n, &v);
		return r < 0 ? r : eval_chain(x, n, v, 1, args, n_args, ret);
	case NODE_CHAIN:
		r = eval_arg(x, dot, n->kids[0], &v);
		/* What `index` did not find is nil, and has no fields. */
		if (r == 0 && v.kind == VALUE_NOTHING)
			v = (struct value){ .kind = VALUE_NIL };
		return r < 0 ? r : eval_chain(x, n, v, 0, args, n_args, ret);
	case NODE_DOT:
		v = *dot;
		break;
	case NODE_NIL:
		break;
	case NODE_BOOL:
		v = value_bool(n->i != 0);
		break;
	case NODE_INT:
		v = value_int(n->i);
		break;
	case NODE_FLOAT:
		v = (struct value){ .kind = VALUE_FLOAT, .d = n->d };
		break;
	case NODE_STRING:
		v = value_string(n->text);
		break;
	case NODE_PIPE:
		r = eval_pipe(x, dot, n, &v);
		break;
	default:
		return exec_fail(x, n, "cannot be evaluated");
	}
	if (r == 0)
		*ret = v;
	return r;
}

static int eval_arg(struct exec *x, const struct value *dot, const struct node *n,
		    struct value *ret)
{
	if (n->type != NODE_IDENTIFIER)
		return eval_operand(x, dot, n, NULL, 0, ret);
	x->at = n;
	return function_call(x, n->text, NULL, 0, ret);
}

/* `and` and `or` stop at the first value that decides. */
static int eval_logic(struct exec *x, const struct value *dot, const struct node *c,
		      const struct value *final, bool is_or, struct value *ret)
{
	size_t n = c->n_kids - 1 + (final->kind != VALUE_MISSING);
	struct value v = { .kind = VALUE_MISSING };
	int r = 0;

	if (n == 0)
		return exec_fail(x, c, "wrong number of args for %s: want at least 1 got 0",
				 c->kids[0]->text);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (i + 1 < c->n_kids)
			r = eval_arg(x, dot, c->kids[i + 1], &v);
		else
			v = *final;
		if (r == 0 && value_true(&v) == is_or)
			break;
	}
	if (r == 0)
		*ret = v;
	return r;
}

static int eval_command(struct exec *x, const struct value *dot, const struct node *c,
			const struct value *final, struct value *ret)
{
	const struct node *first = c->kids[0];
	struct value args[CALL_ARGS_MAX];
	size_t n = 0;
	int r;

	if (first->type == NODE_IDENTIFIER &&
	    (strcmp(first->text, "and") == 0 || strcmp(first->text, "or") == 0))
		return eval_logic(x, dot, c, final, first->text[0] == 'o', ret);
	if (c->n_kids + 1 > CALL_ARGS_MAX)
		return exec_fail(x, c, "too many arguments");
	if (first->type == NODE_NIL)
		return exec_fail(x, first, "nil is not a command");
	if (first->type != NODE_IDENTIFIER && first->type != NODE_FIELD &&
	    first->type != NODE_VARIABLE && first->type != NODE_CHAIN &&
	    (c->n_kids > 1 || final->kind != VALUE_MISSING))
		return exec_fail(x, first, "can't give argument to non-function %s", first->source);
	for (size_t i = 1; i < c->n_kids; i++) {
		r = eval_arg(x, dot, c->kids[i], &args[n++]);
		if (r < 0)
			return r;
	}
	if (final->kind != VALUE_MISSING)
		args[n++] = *final;
	if (first->type != NODE_IDENTIFIER)
		return eval_operand(x, dot, first, args, n, ret);
	x->at = c;
	return function_call(x, first->text, args, n, ret);
}

static void variable_set(struct exec *x, const char *name, const struct value *v, bool assign)
{
	for (size_t i = x->vars.len; assign && i > 0; i--) {
		if (strcmp(x->vars.at[i - 1].name, name) == 0) {
			x->vars.at[i - 1].value = *v;
			return;
		}
	}
	*vec_push(&x->vars) = (struct variable){ .name = name, .value = *v };
}

static int eval_pipe(struct exec *x, const struct value *dot, const struct node *pipe,
		     struct value *ret)
{
	struct value v = { .kind = VALUE_MISSING };

	for (size_t i = 0; i < pipe->n_kids; i++) {
		struct value final = v;
		int r = eval_command(x, dot, pipe->kids[i], &final, &v);

		if (r < 0)
			return r;
	}
	if (pipe->n_vars == 1)
		variable_set(x, pipe->vars[0], &v, pipe->assign);
	*ret = v;
	return 0;
}

static int exec_list(struct exec *x, const struct value *dot, const struct node *list)
{
	int r = 0;

	for (size_t i = 0; i < list->n_kids && r == 0 && x->flow == FLOW_NONE; i++)
		r = exec_node(x, dot, list->kids[i]);
	return r;
}

static int exec_if(struct exec *x, const struct value *dot, const struct node *n)
{
	size_t mark = x->vars.len;
	struct value v;
	int r = eval_pipe(x, dot, n->kids[0], &v);

	if (r < 0)
		return r;
	if (value_true(&v))
		r = exec_list(x, n->type == NODE_WITH ? &v : dot, n->kids[1]);
	else if (n->kids[2])
		r = exec_list(x, dot, n->kids[2]);
	x->vars.len = mark;
	return r;
}

static int range_step(struct exec *x, const struct node *n, struct value key, struct value item)
{
	const struct node *pipe = n->kids[0];
	size_t mark = x->vars.len;
	int r;

	if (pipe->n_vars == 1)
		variable_set(x, pipe->vars[0], &item, true);
	if (pipe->n_vars == 2) {
		variable_set(x, pipe->vars[0], &key, pipe->assign);
		variable_set(x, pipe->vars[1], &item, pipe->assign);
	}
	r = exec_list(x, &item, n->kids[1]);
	x->vars.len = mark;
	if (x->flow == FLOW_CONTINUE)
		x->flow = FLOW_NONE;
	return r;
}

static int exec_range(struct exec *x, const struct value *dot, const struct node *n)
{
	size_t mark = x->vars.len, count = 0;
	struct value v;
	int r = eval_pipe(x, dot, n->kids[0], &v);

	if (r < 0)
		return r;
	if (v.kind == VALUE_JSON && v.json->type == JSON_ARRAY) {
		count = v.json->n_items;
		for (size_t i = 0; i < count && r == 0 && x->flow == FLOW_NONE; i++)
			r = range_step(x, n, value_int((int64_t)i),
				       value_of_json(v.json->items[i], NULL));
	} else if (v.kind == VALUE_JSON) {
		const struct json_member **sorted = object_sorted(x->arena, v.json);

		count = v.json->n_members;
		for (size_t i = 0; i < count && r == 0 && x->flow == FLOW_NONE; i++)
			r = range_step(x, n, value_string(sorted[i]->key),
				       value_of_json(sorted[i]->value, NULL));
	} else if (v.kind == VALUE_INT) {
		count = v.i > 0 ? (size_t)v.i : 0;
		for (size_t i = 0; i < count && r == 0 && x->flow == FLOW_NONE; i++)
			r = range_step(x, n, value_int((int64_t)i), value_int((int64_t)i));
	} else if (v.kind != VALUE_NIL && v.kind != VALUE_NOTHING) {
		return exec_fail(x, n->kids[0], "range can't iterate over %s",
				 value_text(x->arena, &v));
	}
	x->flow = FLOW_NONE;
	if (r == 0 && count == 0 && n->kids[2])
		r = exec_list(x, dot, n->kids[2]);
	x->vars.len = mark;
	return r;
}

static int exec_node(struct exec *x, const struct value *dot, const struct node *n)
{
	struct value v;
	int r = 0;

	switch ((int)n->type) {
	case NODE_TEXT:
		return buf_add(x->out, n->text, n->text_len, x->err);
	case NODE_ACTION:
		r = eval_pipe(x, dot, n->kids[0], &v);
		if (r == 0 && n->kids[0]->n_vars == 0)
			value_print(x->out, &v);
		return r;
	case NODE_IF:
	case NODE_WITH:
		return exec_if(x, dot, n);
	case NODE_RANGE:
		return exec_range(x, dot, n);
	case NODE_LIST:
		return exec_list(x, dot, n);
	case NODE_BREAK:
		x->flow = FLOW_BREAK;
		return 0;
	case NODE_CONTINUE:
		x->flow = FLOW_CONTINUE;
		return 0;
	default:
		return exec_fail(x, n, "unknown node");
	}
}

int template_execute(struct template *t, const struct template_root *root, struct buf *out,
		     struct error *err)
{
	struct exec x = { .t = t, .root = root, .arena = t->arena, .out = out, .err = err };
	struct value dot = value_of_json(root->value, NULL);
	int r;

	dot.row = true;
	x.raw = !root->row_type && !root->document_type && names_json_only(t->text);
	*vec_push(&x.vars) = (struct variable){ .name = "$", .value = dot };
	r = exec_list(&x, &dot, t->root);
	vec_release(&x.vars);
	return r;
}
