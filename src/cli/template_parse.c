/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/template.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/template_internal.h"

enum token_type {
	TOKEN_EOF,
	TOKEN_CLOSE, /* }} */
	TOKEN_BLANK,
	TOKEN_FIELD,
	TOKEN_DOT,
	TOKEN_VARIABLE,
	TOKEN_WORD,
	TOKEN_STRING,
	TOKEN_NUMBER,
	TOKEN_PUNCT, /* ( ) | , = */
	TOKEN_DECLARE,
};

struct token {
	enum token_type type;
	size_t pos, len;
};

enum { DEPTH_MAX = 64 };

struct parser {
	struct template *t;
	struct arena *arena;
	struct error *err;
	const char *text;
	size_t at;          /* next byte */
	struct token token; /* the current one, inside an action */
	VEC(const char *) vars;
	unsigned depth, loops;
};

static int fail(struct parser *p, const char *fmt, ...) PRINTF(2, 3);
static int fail(struct parser *p, const char *fmt, ...)
{
	char text[512];
	unsigned line = 1;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < p->at && p->text[i]; i++)
		line += p->text[i] == '\n';
	return error_set(p->err, ERR_INVALID, "template: :%u: %s", line, text);
}

static struct node *node_new(struct parser *p, enum node_type type, size_t pos)
{
	struct node *n = arena_new(p->arena, struct node);

	n->type = type;
	n->pos = pos;
	return n;
}

static void node_add(struct parser *p, struct node *n, struct node *kid)
{
	struct node **kids = arena_array(p->arena, n->n_kids + 1, sizeof(*kids));

	if (n->n_kids)
		memcpy(kids, n->kids, n->n_kids * sizeof(*kids));
	kids[n->n_kids++] = kid;
	n->kids = kids;
}

static void node_name(struct parser *p, struct node *n, const char *name)
{
	const char **names = arena_array(p->arena, n->n_names + 1, sizeof(*names));

	if (n->n_names)
		memcpy(names, n->names, n->n_names * sizeof(*names));
	names[n->n_names++] = name;
	n->names = names;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

static bool closes(const char *s)
{
	return (s[0] == '}' && s[1] == '}') ||
	       (isspace((unsigned char)s[0]) && s[1] == '-' && s[2] == '}' && s[3] == '}');
}

static int lex_quoted(struct parser *p, char quote)
{
	size_t i = p->at + 1;

	for (; p->text[i] != quote; i++) {
		if (p->text[i] == '\\' && quote != '`' && p->text[i + 1])
			i++;
		else if (!p->text[i] || (p->text[i] == '\n' && quote != '`'))
			return fail(p, quote == '`'   ? "unterminated raw quoted string"
				       : quote == '"' ? "unterminated quoted string"
						      : "unterminated character constant");
	}
	p->token =
	    (struct token){ quote == '\'' ? TOKEN_NUMBER : TOKEN_STRING, p->at, i + 1 - p->at };
	return 0;
}

/* Read the token at p->at into p->token and step behind it. */
static int lex(struct parser *p)
{
	const char *s = p->text + p->at;
	size_t n = 1;
	enum token_type type = TOKEN_PUNCT;
	int r;

	if (!*s)
		return fail(p, "unclosed action");
	if (closes(s)) {
		type = TOKEN_CLOSE;
		n = s[0] == '}' ? 2 : 4;
	} else if (isspace((unsigned char)*s)) {
		type = TOKEN_BLANK;
		while (isspace((unsigned char)s[n]) && !closes(s + n))
			n++;
	} else if (*s == '"' || *s == '`' || *s == '\'') {
		r = lex_quoted(p, *s);
		p->at += r < 0 ? 0 : p->token.len;
		return r;
	} else if (isdigit((unsigned char)*s) ||
		   (strchr("+-", *s) && isdigit((unsigned char)s[1])) ||
		   (*s == '.' && isdigit((unsigned char)s[1]))) {
		type = TOKEN_NUMBER;
		while (is_word(s[n]) || s[n] == '.' ||
		       (strchr("+-", s[n]) && s[n] && strchr("eE", s[n - 1])))
			n++;
	} else if (*s == '.' || *s == '$' || is_word(*s)) {
		type = *s == '.' ? TOKEN_FIELD : *s == '$' ? TOKEN_VARIABLE : TOKEN_WORD;
		while (is_word(s[n]))
			n++;
		if (*s == '.' && n == 1)
			type = TOKEN_DOT;
	} else if (s[0] == ':' && s[1] == '=') {
		type = TOKEN_DECLARE;
		n = 2;
	} else if (*s == ':') {
		return fail(p, "expected :=");
	} else if (!strchr("()|,=", *s)) {
		return *s == '}' ? fail(p, "bad character U+007D '}'")
				 : fail(p, "unexpected \"%c\" in command", *s);
	}
	p->token = (struct token){ type, p->at, n };
	p->at += n;
	return 0;
}

static int next_solid(struct parser *p)
{
	int r;

	do
		r = lex(p);
	while (r == 0 && p->token.type == TOKEN_BLANK);
	return r;
}

static const char *token_text(struct parser *p)
{
	return arena_strndup(p->arena, p->text + p->token.pos, p->token.len);
}

static bool token_is(struct parser *p, const char *s)
{
	return strlen(s) == p->token.len && memcmp(s, p->text + p->token.pos, p->token.len) == 0;
}

static size_t utf8_put(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* strconv.Unquote of the current token; NULL when an escape is wrong. */
static char *unquote(struct parser *p, size_t *ret_len)
{
	static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
	const char *s = p->text + p->token.pos + 1;
	size_t len = p->token.len - 2, n = 0;
	char *out = arena_alloc(p->arena, len + 5);

	for (size_t i = 0; i < len; i++) {
		const char *simple;
		unsigned digits;
		uint32_t c = 0;

		if (s[i] != '\\' || s[-1] == '`') {
			out[n++] = s[i];
			continue;
		}
		simple = strchr(from, s[++i]);
		if (simple && *simple) {
			out[n++] = to[simple - from];
			continue;
		}
		digits = s[i] == 'x' ? 2 : s[i] == 'u' ? 4 : s[i] == 'U' ? 8 : 0;
		if (!digits || i + digits >= len + 1)
			return NULL;
		for (unsigned k = 1; k <= digits; k++) {
			char h = s[i + k];

			if (!isxdigit((unsigned char)h))
				return NULL;
			c = c << 4 |
			    (uint32_t)(isdigit((unsigned char)h) ? h - '0' : (h | 32) - 'a' + 10);
		}
		if (c > 0x10ffff)
			return NULL;
		if (digits == 2)
			out[n++] = (char)c;
		else
			n += utf8_put(out + n, c);
		i += digits;
	}
	out[n] = 0;
	*ret_len = n;
	return out;
}

static int parse_number(struct parser *p, struct node **ret)
{
	const char *text = token_text(p);
	struct node *n = node_new(p, NODE_INT, p->token.pos);
	char *end = NULL;

	n->source = text;
	*ret = n;
	if (*text == '\'') {
		size_t len = 0;
		char *s = unquote(p, &len);

		if (!s || len == 0)
			return fail(p, "malformed character constant: %s", text);
		n->i = (unsigned char)s[0];
		return 0;
	}
	if (parse_i64(str_of(*text == '+' ? text + 1 : text), INT64_MIN, INT64_MAX, &n->i, NULL) ==
	    0)
		return 0;
	if (strpbrk(text, ".eE") || strncmp(text, "0x", 2) == 0) {
		n->d = strtod(text, &end);
		if (end && !*end) {
			bool whole = strncmp(text, "0x", 2) == 0 && !strchr(text, 'p');

			if (whole && n->d >= 0x1p63)
				return fail(p, "integer overflow: %s", text);
			n->type = whole ? NODE_INT : NODE_FLOAT;
			n->i = whole ? (int64_t)n->d : 0;
			return 0;
		}
	}
	return fail(p, "bad number syntax: \"%s\"", text);
}

static int parse_pipe(struct parser *p, const char *context, bool paren, struct node **ret);

static int variable_check(struct parser *p, const char *name)
{
	if (strcmp(name, "$") == 0)
		return 0;
	vec_for_each (v, &p->vars)
		if (strcmp(*v, name) == 0)
			return 0;
	return fail(p, "undefined variable \"%s\"", name);
}

/* A term without the fields behind it. *ret NULL: this token starts none. */
static int parse_term(struct parser *p, struct node **ret)
{
	struct node *n = NULL;
	const char *text = token_text(p);
	size_t pos = p->token.pos;
	int r = 0;

	*ret = NULL;
	switch (p->token.type) {
	case TOKEN_FIELD:
		n = node_new(p, NODE_FIELD, pos);
		node_name(p, n, text + 1);
		break;
	case TOKEN_DOT:
		n = node_new(p, NODE_DOT, pos);
		break;
	case TOKEN_VARIABLE:
		r = variable_check(p, text);
		n = node_new(p, NODE_VARIABLE, pos);
		node_name(p, n, text);
		break;
	case TOKEN_NUMBER:
		return parse_number(p, ret);
	case TOKEN_STRING:
		n = node_new(p, NODE_STRING, pos);
		n->text = unquote(p, &n->text_len);
		if (!n->text)
			return fail(p, "invalid syntax");
		break;
	case TOKEN_WORD:
		if (token_is(p, "true") || token_is(p, "false")) {
			n = node_new(p, NODE_BOOL, pos);
			n->i = token_is(p, "true");
		} else if (token_is(p, "nil")) {
			n = node_new(p, NODE_NIL, pos);
		} else {
			if (!function_known(text))
				return fail(p, "function \"%s\" not defined", text);
			n = node_new(p, NODE_IDENTIFIER, pos);
			n->text = text;
		}
		break;
	case TOKEN_PUNCT:
		if (!token_is(p, "("))
			return 0;
		r = parse_pipe(p, "parenthesized pipeline", true, &n);
		if (r == 0)
			n->source = arena_format(p->arena, "(%s)", n->source);
		*ret = n;
		return r;
	case TOKEN_EOF:
	case TOKEN_CLOSE:
	case TOKEN_BLANK:
	case TOKEN_DECLARE:
		return 0;
	}
	n->source = text;
	*ret = n;
	return r;
}

/* A term and the fields behind it. Leaves the token after it as current. */
static int parse_operand(struct parser *p, struct node **ret)
{
	struct node *n = NULL, *chain;
	int r = parse_term(p, &n);

	*ret = n;
	if (r < 0 || !n)
		return r;
	r = lex(p);
	if (r < 0 || p->token.type != TOKEN_FIELD)
		return r;
	switch ((int)n->type) {
	case NODE_FIELD:
	case NODE_VARIABLE:
		chain = n;
		chain->pos = p->token.pos;
		break;
	case NODE_BOOL:
	case NODE_STRING:
	case NODE_INT:
	case NODE_FLOAT:
	case NODE_NIL:
	case NODE_DOT:
		return fail(p, "unexpected . after term \"%s\"", n->source);
	default:
		chain = node_new(p, NODE_CHAIN, p->token.pos);
		chain->source = n->source;
		node_add(p, chain, n);
	}
	while (r == 0 && p->token.type == TOKEN_FIELD) {
		const char *text = token_text(p);

		node_name(p, chain, text + 1);
		chain->source = arena_format(p->arena, "%s%s", chain->source, text);
		r = lex(p);
	}
	*ret = chain;
	return r;
}

/* Operands up to '|', ')' or the end of the action. */
static int parse_command(struct parser *p, struct node **ret)
{
	struct node *c = node_new(p, NODE_COMMAND, p->token.pos);
	int r = 0;

	c->source = "";
	for (;;) {
		struct node *operand = NULL;

		while (r == 0 && p->token.type == TOKEN_BLANK)
			r = lex(p);
		if (r == 0)
			r = parse_operand(p, &operand);
		if (r < 0)
			return r;
		if (operand) {
			c->source = arena_format(p->arena, "%s%s%s", c->source,
						 c->n_kids ? " " : "", operand->source);
			node_add(p, c, operand);
			if (p->token.type == TOKEN_BLANK)
				continue;
		}
		if (p->token.type == TOKEN_CLOSE || token_is(p, ")") || token_is(p, "|"))
			break;
		return fail(p, "unexpected \"%s\" in operand", token_text(p));
	}
	if (c->n_kids == 0)
		return fail(p, "empty command");
	*ret = c;
	return 0;
}

/* "$x :=", "$x =", "$k, $v :=" in front of a pipe, or nothing. */
static int parse_declaration(struct parser *p, struct node *pipe, bool range)
{
	struct parser saved = *p;
	const char *names[2];
	size_t n = 0;
	int r = 0;

	while (p->token.type == TOKEN_VARIABLE && n < 2) {
		names[n++] = token_text(p);
		r = next_solid(p);
		if (r == 0 && n == 1 && range && token_is(p, ","))
			r = next_solid(p);
		else
			break;
		if (r < 0)
			return r;
	}
	if (r < 0 || n == 0 || (p->token.type != TOKEN_DECLARE && !token_is(p, "="))) {
		p->token = saved.token;
		p->at = saved.at;
		return r;
	}
	pipe->assign = p->token.type != TOKEN_DECLARE;
	pipe->vars = arena_array(p->arena, n, sizeof(*pipe->vars));
	pipe->n_vars = n;
	memcpy(pipe->vars, names, n * sizeof(*names));
	r = next_solid(p);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (pipe->assign)
			r = variable_check(p, names[i]);
		else
			*vec_push(&p->vars) = names[i];
	}
	return r;
}

/* Up to "}}" (or ")" when paren); the closing token is taken. */
static int parse_pipe(struct parser *p, const char *context, bool paren, struct node **ret)
{
	struct node *pipe;
	int r = next_solid(p);

	if (r < 0)
		return r;
	if (++p->depth > DEPTH_MAX)
		return fail(p, "too deeply nested");
	pipe = node_new(p, NODE_PIPE, p->token.pos);
	r = parse_declaration(p, pipe, strcmp(context, "range") == 0);
	pipe->source = "";
	for (size_t i = 0; i < pipe->n_vars && r == 0; i++)
		pipe->source =
		    arena_format(p->arena, "%s%s%s", pipe->source, i ? ", " : "", pipe->vars[i]);
	if (pipe->n_vars)
		pipe->source =
		    arena_format(p->arena, "%s %s ", pipe->source, pipe->assign ? "=" : ":=");
	if (r == 0 && (p->token.type == TOKEN_CLOSE || token_is(p, ")")))
		return fail(p, "missing value for %s", context);
	while (r == 0) {
		struct node *command = NULL;

		r = parse_command(p, &command);
		if (r < 0)
			return r;
		pipe->source = arena_format(p->arena, "%s%s%s", pipe->source,
					    pipe->n_kids ? " | " : "", command->source);
		node_add(p, pipe, command);
		if (token_is(p, "|")) {
			r = next_solid(p);
			if (r == 0 && (p->token.type == TOKEN_CLOSE || token_is(p, ")")))
				return fail(p, "missing value for %s", context);
			continue;
		}
		if (paren != token_is(p, ")"))
			return paren ? fail(p, "unclosed left paren")
				     : fail(p, "unexpected right paren");
		break;
	}
	for (size_t i = 1; i < pipe->n_kids && r == 0; i++) {
		enum node_type type = pipe->kids[i]->kids[0]->type;

		if (type == NODE_BOOL || type == NODE_DOT || type == NODE_NIL || type == NODE_INT ||
		    type == NODE_FLOAT || type == NODE_STRING)
			return fail(p, "non executable command in pipeline stage %zu", i + 1);
	}
	p->depth--;
	*ret = pipe;
	return r;
}

enum end_kind { END_EOF, END_END, END_ELSE };

static int parse_list(struct parser *p, struct node **ret, enum end_kind *ret_end);

/* Text behind "}}" loses its leading blanks after "-}}". */
static void skip_trimmed(struct parser *p)
{
	if (p->token.len == 4)
		while (isspace((unsigned char)p->text[p->at]))
			p->at++;
}

static int expect_close(struct parser *p, const char *context)
{
	int r = next_solid(p);

	if (r < 0)
		return r;
	if (p->token.type != TOKEN_CLOSE)
		return fail(p, "unexpected %s in %s",
			    arena_format(p->arena, "\"%s\"", token_text(p)), context);
	skip_trimmed(p);
	return 0;
}

static int parse_control(struct parser *p, enum node_type type, const char *word, size_t pos,
			 struct node **ret)
{
	struct node *n = node_new(p, type, pos), *pipe = NULL, *list = NULL;
	size_t n_vars = p->vars.len;
	enum end_kind end;
	int r = parse_pipe(p, word, false, &pipe);

	if (r < 0)
		return r;
	skip_trimmed(p);
	node_add(p, n, pipe);
	p->loops += type == NODE_RANGE;
	r = parse_list(p, &list, &end);
	p->loops -= type == NODE_RANGE;
	if (r < 0)
		return r;
	node_add(p, n, list);
	list = NULL;
	if (end == END_ELSE) {
		struct parser saved;

		r = lex(p);
		while (r == 0 && p->token.type == TOKEN_BLANK)
			r = lex(p);
		if (r < 0)
			return r;
		saved = *p;
		if (type != NODE_RANGE && token_is(p, word)) {
			/* {{else if x}}: a list of one nested control, which takes the end. */
			struct node *inner = NULL;

			list = node_new(p, NODE_LIST, saved.at);
			r = parse_control(p, type, word, saved.token.pos, &inner);
			node_add(p, list, inner);
			end = END_END;
		} else {
			if (p->token.type != TOKEN_CLOSE)
				return fail(p, "unexpected \"%s\" in else", token_text(p));
			skip_trimmed(p);
			r = parse_list(p, &list, &end);
			if (r == 0 && end == END_ELSE)
				return fail(p, "expected end; found {{else}}");
		}
	}
	if (r < 0)
		return r;
	if (end == END_EOF)
		return fail(p, "unexpected EOF");
	node_add(p, n, list);
	p->vars.len = n_vars;
	*ret = n;
	return 0;
}

/* One action; p->at is behind "{{". *ret NULL: a comment. */
static int parse_action(struct parser *p, struct node **ret, enum end_kind *ret_end)
{
	static const struct {
		const char *word;
		enum node_type type;
	} controls[] = { { "if", NODE_IF }, { "range", NODE_RANGE }, { "with", NODE_WITH } };
	struct node *pipe = NULL;
	size_t start;
	int r;

	while (isspace((unsigned char)p->text[p->at]) && !closes(p->text + p->at))
		p->at++;
	start = p->at;
	r = lex(p);
	if (r < 0)
		return r;
	if (p->token.type == TOKEN_WORD) {
		for (size_t i = 0; i < ARRAY_LEN(controls); i++)
			if (token_is(p, controls[i].word))
				return parse_control(p, controls[i].type, controls[i].word, start,
						     ret);
		if (token_is(p, "end") || token_is(p, "else")) {
			*ret_end = token_is(p, "end") ? END_END : END_ELSE;
			return *ret_end == END_END ? expect_close(p, "end") : 0;
		}
		if (token_is(p, "break") || token_is(p, "continue")) {
			bool is_break = token_is(p, "break");

			if (p->loops == 0)
				return fail(p, "{{%s}} outside {{range}}", token_text(p));
			*ret = node_new(p, is_break ? NODE_BREAK : NODE_CONTINUE, start);
			return expect_close(p, is_break ? "{{break}}" : "{{continue}}");
		}
		if (token_is(p, "define") || token_is(p, "template") || token_is(p, "block"))
			return fail(p, "{{%s}} is not supported", token_text(p));
	}
	p->at = start;
	r = parse_pipe(p, "command", false, &pipe);
	if (r < 0)
		return r;
	skip_trimmed(p);
	*ret = node_new(p, NODE_ACTION, start);
	node_add(p, *ret, pipe);
	return 0;
}

static int skip_comment(struct parser *p, bool *ret_is)
{
	const char *s = p->text + p->at, *end;

	while (*s == ' ' && s[-1] == '-')
		s++;
	*ret_is = s[0] == '/' && s[1] == '*';
	if (!*ret_is)
		return 0;
	end = strstr(s, "*/");
	if (!end)
		return fail(p, "unclosed comment");
	end += 2;
	if (!closes(end))
		return fail(p, "comment ends before closing delimiter");
	p->token.len = *end == '}' ? 2 : 4;
	p->at = (size_t)(end - p->text) + p->token.len;
	skip_trimmed(p);
	return 0;
}

static int parse_list(struct parser *p, struct node **ret, enum end_kind *ret_end)
{
	struct node *list = node_new(p, NODE_LIST, p->at);
	bool comment;
	int r;

	if (++p->depth > DEPTH_MAX)
		return fail(p, "too deeply nested");
	*ret = list;
	*ret_end = END_EOF;
	while (p->text[p->at]) {
		const char *s = p->text + p->at, *open = strstr(s, "{{");
		size_t n = open ? (size_t)(open - s) : strlen(s);
		bool trim = open && open[2] == '-' && isspace((unsigned char)open[3]);
		struct node *kid = NULL;
		enum end_kind end = END_EOF;

		p->at += n + (open ? 2 : 0) + trim;
		while (trim && n > 0 && isspace((unsigned char)s[n - 1]))
			n--;
		if (n > 0) {
			kid = node_new(p, NODE_TEXT, (size_t)(s - p->text));
			kid->text = s;
			kid->text_len = n;
			node_add(p, list, kid);
		}
		if (!open)
			break;
		kid = NULL;
		r = skip_comment(p, &comment);
		if (r == 0 && !comment)
			r = parse_action(p, &kid, &end);
		if (r < 0)
			return r;
		if (kid)
			node_add(p, list, kid);
		if (end != END_EOF) {
			*ret_end = end;
			break;
		}
	}
	p->depth--;
	return 0;
}

int template_parse(struct arena *a, const char *text, struct template **ret, struct error *err)
{
	struct template *t = arena_new(a, struct template);
	struct parser p = { .t = t, .arena = a, .err = err };
	enum end_kind end;
	int r;

	t->arena = a;
	t->text = arena_format(a, "%s", text);
	p.text = t->text;
	r = parse_list(&p, &t->root, &end);
	if (r == 0 && end != END_EOF)
		r = fail(&p, "unexpected {{%s}}", end == END_END ? "end" : "else");
	vec_release(&p.vars);
	if (r < 0)
		return r;
	*ret = t;
	return 0;
}
