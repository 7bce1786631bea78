/* cli/template_internal.h: nodes and values, shared by the template files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "cli/template.h"

enum node_type {
	/* statements */
	NODE_LIST,
	NODE_TEXT,
	NODE_ACTION, /* kids[0] = pipe */
	NODE_IF,     /* kids: pipe, list, else list or NULL */
	NODE_RANGE,
	NODE_WITH,
	NODE_BREAK,
	NODE_CONTINUE,
	/* expressions */
	NODE_PIPE,    /* kids = commands; vars declared or assigned */
	NODE_COMMAND, /* kids = operands */
	NODE_DOT,
	NODE_NIL,
	NODE_BOOL,
	NODE_INT,
	NODE_FLOAT,
	NODE_STRING,
	NODE_FIELD,      /* names */
	NODE_VARIABLE,   /* names[0] = "$x", fields after it */
	NODE_CHAIN,      /* kids[0], names */
	NODE_IDENTIFIER, /* text: a function */
};

struct node {
	enum node_type type;
	size_t pos;       /* byte in the template */
	const char *text; /* TEXT, STRING (value), IDENTIFIER */
	size_t text_len;
	const char *source; /* as Go prints the node in failures */
	struct node **kids;
	size_t n_kids;
	const char **names;
	size_t n_names;
	const char **vars; /* PIPE: "$k", "$v" */
	size_t n_vars;
	bool assign; /* PIPE: = instead of := */
	int64_t i;
	double d;
};

struct template
{
	struct arena *arena;
	const char *text;
	struct node *root;
};

enum value_kind {
	VALUE_MISSING, /* no value at all (end of a pipe's input) */
	VALUE_NIL,
	VALUE_BOOL,
	VALUE_INT,
	VALUE_FLOAT,
	VALUE_STRING,
	VALUE_JSON,    /* array or object */
	VALUE_NOTHING, /* <no value>: a missing key of a map */
};

struct value {
	enum value_kind kind;
	const struct json *json; /* VALUE_JSON */
	const char *name;        /* the field it came from, or NULL */
	bool b;
	bool row; /* the formatter object itself */
	int64_t i;
	double d;
	const char *s;
};

struct exec {
	struct template *t;
	const struct template_root *root;
	struct arena *arena;
	struct buf *out;
	struct error *err;
	const struct node *at; /* for failures */
	/* The template names a field that only the JSON has (.Id), not Go's struct (.ID). Peer:
	 * docker tries the struct first; where that fails the JSON, in which nothing has a type. */
	bool raw;
	VEC(struct variable {
		const char *name;
		struct value value;
	})
	vars;
	enum { FLOW_NONE, FLOW_BREAK, FLOW_CONTINUE } flow;
};

struct value value_of_json(const struct json *j, const char *name);
struct value value_string(const char *s);
struct value value_int(int64_t i);
struct value value_bool(bool b);
bool value_true(const struct value *v);
/* Is this object a map for Go (and not a struct)? By the name of its field. */
bool value_is_map(const struct value *v);
bool object_name_is_map(const char *name);
/* A field that Go's types have and JSON leaves out when empty: true and its zero. */
bool value_zero_field(const char *name, struct value *ret);
/* A number of nanoseconds that Go types as time.Duration: by the name of its field. */
bool value_is_duration(const struct value *v);
/* As %v prints it. */
void value_print(struct buf *out, const struct value *v);
const char *value_text(struct arena *a, const struct value *v);
/* As encoding/json writes it; rows escape <, > and &. */
const char *value_json(struct arena *a, const struct value *v, bool row);
/* Go's name of its type, for failures: "int", "string". */
const char *value_type(const struct value *v);
/* Members sorted by key; an array in the arena. */
const struct json_member **object_sorted(struct arena *a, const struct json *o);
/* float64 as %v. */
void float_format(double d, char out[static 32]);

/* Call a function by name. args in order; failures get Go's texts. */
MUST_CHECK int function_call(struct exec *x, const char *name, const struct value *args, size_t n,
			     struct value *ret);
bool function_known(const char *name);
/* fmt.Sprintf */
const char *go_sprintf(struct arena *a, const char *format, const struct value *args, size_t n);
/* strconv.Quote */
const char *go_quote(struct arena *a, const char *s);

/* A failure at node `n`: "template: :L:C: executing \"\" at <source>: text". */
int exec_fail(struct exec *x, const struct node *n, const char *fmt, ...) PRINTF(3, 4);
