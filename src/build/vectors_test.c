/* The answers of the newest public BuildKit frontend, when they are there:
 * $PROA_VECTORS/dockerfile or ../shared/vectors/dockerfile. */
#include "build/instruction.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/map.h"
#include "build/directive.h"
#include "build/ignore.h"
#include "build/plan_wire.h"
#include "build/shell_word.h"
#include "build/text.h"
#include "tests/tap.h"

static struct arena docs; /* the vector files */

static bool same(const struct json *a, const struct json *b)
{
	if (a == NULL || b == NULL)
		return (a == NULL || a->type == JSON_NULL) && (b == NULL || b->type == JSON_NULL);
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case JSON_STRING:
		return strcmp(a->s, b->s) == 0;
	case JSON_INT:
		return a->i == b->i;
	case JSON_BOOL:
		return a->b == b->b;
	case JSON_DOUBLE:
		return a->d == b->d;
	case JSON_ARRAY:
		for (size_t i = 0; i < a->n_items && i < b->n_items; i++) {
			if (!same(a->items[i], b->items[i]))
				return false;
		}
		return a->n_items == b->n_items;
	case JSON_OBJECT:
		json_for_each_member (m, a) {
			if (!same(m->value, json_get(b, m->key)))
				return false;
		}
		json_for_each_member (m, b) {
			if (!same(m->value, json_get(a, m->key)))
				return false;
		}
		return true;
	case JSON_NULL:
		break;
	}
	return true;
}

static void set_string(struct arena *a, struct json *o, const char *k, const char *v)
{
	json_set(a, o, k, json_new_string(a, v));
}

static struct json *string_list(struct arena *a, const char *const *at, size_t n)
{
	struct json *list = json_new_array(a);

	for (size_t i = 0; i < n; i++)
		json_push(a, list, json_new_string(a, at[i]));
	return list;
}

/* Go's nil slice: null when empty. */
static struct json *maybe_list(struct arena *a, const char *const *at, size_t n)
{
	return n > 0 ? string_list(a, at, n) : NULL;
}

static void set_maybe(struct arena *a, struct json *o, const char *k, struct json *v)
{
	if (v != NULL)
		json_set(a, o, k, v);
}

static struct json *node_json(struct arena *a, const struct ast_node *n, bool child)
{
	struct json *o = json_new_object(a), *args;

	set_string(a, o, "value", n->value);
	set_string(a, o, "original", n->original);
	if (!child) {
		json_set(a, o, "start", json_new_int(a, n->line));
		json_set(a, o, "end", json_new_int(a, n->end_line));
	}
	args = maybe_list(a, n->args, n->n_args);
	if (n->child != NULL) {
		struct json *wrap = json_new_object(a), *list = json_new_array(a);

		args = json_new_array(a);
		json_push(a, list, node_json(a, n->child, true));
		set_string(a, wrap, "v", "");
		json_set(a, wrap, "children", list);
		json_push(a, args, wrap);
	}
	set_maybe(a, o, "args", args);
	set_maybe(a, o, "flags", maybe_list(a, n->flags, n->n_flags));
	set_maybe(a, o, "prev_comment", maybe_list(a, n->comments, n->n_comments));
	if (n->json) {
		struct json *attributes = json_new_object(a);

		json_set(a, attributes, "json", json_new_bool(a, true));
		json_set(a, o, "attributes", attributes);
	}
	if (n->n_heredocs > 0) {
		struct json *list = json_new_array(a);

		for (size_t i = 0; i < n->n_heredocs; i++) {
			const struct heredoc *h = &n->heredocs[i];
			struct json *ho = json_new_object(a);

			set_string(a, ho, "name", h->name);
			set_string(a, ho, "content", h->content);
			json_set(a, ho, "expand", json_new_bool(a, h->expand));
			json_set(a, ho, "chomp", json_new_bool(a, h->chomp));
			json_set(a, ho, "fd", json_new_int(a, h->fd));
			json_push(a, list, ho);
		}
		json_set(a, o, "heredocs", list);
	}
	return o;
}

static struct json *error_json(struct arena *a, const struct error *err)
{
	struct json *o = json_new_object(a);

	set_string(a, o, "error", err->msg);
	return o;
}

static struct json *warnings_json(struct arena *a, const struct ast *ast)
{
	struct json *list = ast->n_warnings ? json_new_array(a) : NULL;

	for (size_t i = 0; i < ast->n_warnings; i++)
		json_push(a, list, json_new_string(a, ast->warnings[i].text));
	return list;
}

static struct json *run_parser(struct arena *a, const struct json *in)
{
	struct json *o = json_new_object(a), *nodes = json_new_array(a);
	auto_(text) dump = TEXT_INIT;
	struct error err;
	struct ast ast;

	if (ast_parse(a, str_of(json_str(in, "src")), &ast, NULL, &err) < 0)
		return error_json(a, &err);
	for (size_t i = 0; i < ast.n_nodes; i++) {
		text_addf(&dump, "%s(%s)", i ? "\n" : "", ast_dump_node(a, &ast.nodes[i]));
		json_push(a, nodes, node_json(a, &ast.nodes[i], false));
	}
	set_string(a, o, "escape", (char[]){ ast.escape, '\0' });
	set_string(a, o, "dump", text_dup(&dump, a));
	json_set(a, o, "nodes", nodes);
	set_maybe(a, o, "warnings", warnings_json(a, &ast));
	return o;
}

static struct json *pairs_json(struct arena *a, const struct instruction *ins)
{
	struct json *list = json_new_array(a);

	for (size_t i = 0; i < ins->n_pairs; i++) {
		const struct key_value *kv = &ins->pairs[i];
		struct json *o = json_new_object(a);

		set_string(a, o, "Key", kv->key);
		if (kv->value != NULL)
			set_string(a, o, "Value", kv->value);
		if (ins->kind == INS_ARG)
			set_string(a, o, "DocComment", kv->comment);
		else
			json_set(a, o, "NoDelim", json_new_bool(a, kv->no_delim));
		json_push(a, list, o);
	}
	return list;
}

static struct json *files_json(struct arena *a, const struct instruction *ins)
{
	const struct ast_node *n = ins->node;
	struct json *list = n->n_heredocs ? json_new_array(a) : NULL;

	for (size_t i = 0; i < n->n_heredocs; i++) {
		struct json *o = json_new_object(a);

		set_string(a, o, "Name", n->heredocs[i].name);
		set_string(a, o, "Data", n->heredocs[i].content);
		json_set(a, o, "Chomp", json_new_bool(a, n->heredocs[i].chomp));
		json_push(a, list, o);
	}
	return list;
}

static void set_tristate(struct arena *a, struct json *o, const char *k, enum tristate t)
{
	if (t != UNSET)
		json_set(a, o, k, json_new_bool(a, t == YES));
}

static void copy_json(struct arena *a, const struct instruction *ins, struct json *f)
{
	struct json *contents = ins->n_files ? json_new_array(a) : NULL;

	for (size_t i = 0; i < ins->n_files; i++) {
		struct json *o = json_new_object(a);

		set_string(a, o, "Path", ins->files[i].path);
		set_string(a, o, "Data", ins->files[i].data);
		json_set(a, o, "Expand", json_new_bool(a, ins->files[i].expand));
		json_push(a, contents, o);
	}
	set_string(a, f, "Chmod", ins->chmod);
	set_string(a, f, "Chown", ins->chown);
	set_string(a, f, "DestPath", ins->dest);
	set_maybe(a, f, "ExcludePatterns", maybe_list(a, ins->excludes.at, ins->excludes.len));
	json_set(a, f, "Link", json_new_bool(a, ins->link));
	set_maybe(a, f, "SourceContents", contents);
	set_maybe(a, f, "SourcePaths", maybe_list(a, ins->words.at, ins->words.len));
	if (ins->kind == INS_ADD) {
		set_string(a, f, "Checksum", ins->checksum);
		set_tristate(a, f, "KeepGitDir", ins->keep_git_dir);
		set_tristate(a, f, "Unpack", ins->unpack);
	} else {
		set_string(a, f, "From", ins->from);
		json_set(a, f, "Parents", json_new_bool(a, ins->parents));
	}
}

static void command_json(struct arena *a, const struct instruction *ins, struct json *o,
			 struct json *f)
{
	struct json *line = string_list(a, ins->words.at, ins->words.len);

	if (ins->kind != INS_ENTRYPOINT || ins->words.len > 0)
		json_set(a, f, "CmdLine", line);
	json_set(a, f, "PrependShell", json_new_bool(a, ins->prepend_shell));
	if (ins->kind == INS_RUN)
		set_maybe(a, f, "Files", files_json(a, ins));
	if (ins->kind != INS_RUN)
		return;
	json_set(a, f, "FlagsUsed", string_list(a, ins->flags_used.at, ins->flags_used.len));
	json_set(a, o, "flags_used", string_list(a, ins->flags_used.at, ins->flags_used.len));
	set_maybe(a, o, "files", files_json(a, ins));
	json_set(a, o, "mounts_raw", json_new_int(a, ins->flags_used.len > 0));
}

static void health_json(struct arena *a, const struct health *h, struct json *f)
{
	struct json *o = json_new_object(a);
	const struct {
		const char *key;
		int64_t value;
	} numbers[] = {
		{ "Interval", h->interval_ns },
		{ "Timeout", h->timeout_ns },
		{ "StartPeriod", h->start_period_ns },
		{ "StartInterval", h->start_interval_ns },
		{ "Retries", h->retries },
	};

	json_set(a, o, "Test", string_list(a, h->test.at, h->test.len));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (numbers[i].value != 0)
			json_set(a, o, numbers[i].key, json_new_int(a, numbers[i].value));
	}
	json_set(a, f, "Health", o);
}

static struct json *instruction_json(struct arena *a, const struct instruction *ins)
{
	static const struct {
		enum instruction_kind kind;
		const char *key;
		bool list;
	} words[] = {
		{ INS_EXPOSE, "Ports", true },
		{ INS_VOLUME, "Volumes", true },
		{ INS_SHELL, "Shell", true },
		{ INS_WORKDIR, "Path", false },
		{ INS_USER, "User", false },
		{ INS_STOPSIGNAL, "Signal", false },
		{ INS_MAINTAINER, "Maintainer", false },
		{ INS_ONBUILD, "Expression", false },
	};
	struct json *o = json_new_object(a), *f = json_new_object(a);

	set_string(a, o, "cmd", ins->name);
	json_set(a, o, "fields", f);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (words[i].kind == ins->kind && words[i].list)
			json_set(a, f, words[i].key, string_list(a, ins->words.at, ins->words.len));
		else if (words[i].kind == ins->kind)
			set_string(a, f, words[i].key, ins->words.at[0]);
	}
	if (ins->kind == INS_ENV || ins->kind == INS_LABEL || ins->kind == INS_ARG)
		json_set(a, f,
			 ins->kind == INS_ENV     ? "Env"
			 : ins->kind == INS_LABEL ? "Labels"
						  : "Args",
			 pairs_json(a, ins));
	else if (ins->kind == INS_ADD || ins->kind == INS_COPY)
		copy_json(a, ins, f);
	else if (ins->kind == INS_RUN || ins->kind == INS_CMD || ins->kind == INS_ENTRYPOINT)
		command_json(a, ins, o, f);
	else if (ins->kind == INS_HEALTHCHECK)
		health_json(a, &ins->health, f);
	return o;
}

static struct json *meta_json(struct arena *a, const struct dockerfile *d)
{
	struct json *list = d->n_meta_args ? json_new_array(a) : NULL;

	for (size_t i = 0; i < d->n_meta_args; i++) {
		struct json *args = json_new_array(a);

		for (size_t j = 0; j < d->meta_args[i].n_pairs; j++) {
			const struct key_value *kv = &d->meta_args[i].pairs[j];
			struct json *o = json_new_object(a);

			set_string(a, o, "key", kv->key);
			if (kv->value != NULL)
				set_string(a, o, "value", kv->value);
			json_push(a, args, o);
		}
		json_push(a, list, args);
	}
	return list;
}

static struct json *stages_json(struct arena *a, const struct dockerfile *d)
{
	struct json *list = json_new_array(a);

	for (size_t i = 0; i < d->n_stages; i++) {
		const struct stage *s = &d->stages[i];
		struct json *o = json_new_object(a), *commands = s->len ? json_new_array(a) : NULL;

		set_string(a, o, "name", s->name);
		set_string(a, o, "base", s->base);
		set_string(a, o, "platform", s->platform);
		set_string(a, o, "source", s->source);
		for (size_t j = 0; j < s->len; j++)
			json_push(a, commands, instruction_json(a, &s->at[j]));
		set_maybe(a, o, "commands", commands);
		json_push(a, list, o);
	}
	return list;
}

static int any_image(void *arg, struct arena *a, const char *name, const struct platform *platform,
		     struct plan_image *ret, struct error *err)
{
	unsigned *asked = arg;

	(void)a;
	(void)name;
	(void)err;
	*ret = (struct plan_image){ .id = "sha256:0", .ref = ++*asked };
	ret->config.platform = *platform;
	return 0;
}

static size_t n_planned, n_refused, n_odd, n_passed;

static bool same_inputs(const struct graph *a, const struct graph *b)
{
	for (size_t i = 0; i < a->n_nodes; i++) {
		if (a->nodes[i]->n_inputs != b->nodes[i]->n_inputs)
			return false;
		for (size_t k = 0; k < a->nodes[i]->n_inputs; k++)
			if (a->nodes[i]->inputs[k]->index != b->nodes[i]->inputs[k]->index)
				return false;
	}
	return true;
}

/* What passes between the processes arrives whole: the same bytes when it is sent again. */
static void pass_on(struct arena *a, const struct graph *g, const struct lint *lint, unsigned asked)
{
	struct plan_image_known *images = arena_array(a, asked + 1, sizeof(*images));
	const char *const contexts[] = { "", NULL };
	const struct plan_terms terms = {
		.images = images, .n_images = asked, .contexts = contexts, .net_host = true
	};
	auto_(wire_writer) first = WIRE_WRITER_INIT, again = WIRE_WRITER_INIT;
	struct plan_answer sent = { .findings = lint->at, .n_findings = lint->len, .graph = *g },
			   got;
	struct error err;

	for (unsigned i = 0; i < asked; i++)
		images[i] = (struct plan_image_known){ .name = "x", .id = "sha256:0" };
	plan_answer_put(&first, &sent);
	if (plan_accept(a, (struct str){ first.body.data, first.body.len }, &terms, &got, &err) <
	    0) {
		printf("# %s\n", err.msg);
		return;
	}
	plan_answer_put(&again, &got);
	n_passed += again.body.len == first.body.len && same_inputs(g, &got.graph) &&
		    memcmp(first.body.data, again.body.data, first.body.len) == 0;
}

/* There is no oracle for graphs: what parses must plan or be refused, its nodes in order. */
static void plan_too(struct arena *a, const struct dockerfile *d, struct lint *lint)
{
	unsigned asked = 0;
	const struct plan_ops ops = { any_image, &asked };
	struct plan_options o = { .net_host = true };
	struct error err = { 0 };
	struct graph g;

	platform_host(&o.build_platform);
	o.target_platform = o.build_platform;
	if (plan_build(a, d, &o, &ops, lint, &g, NULL, &err) < 0) {
		n_refused++;
		n_odd += err.msg[0] == '\0';
		return;
	}
	n_planned++;
	pass_on(a, &g, lint, asked);
	for (size_t i = 0; i < g.n_nodes; i++) {
		n_odd += g.nodes[i]->index != i ||
			 (g.nodes[i]->base != NULL && g.nodes[i]->base->index >= i);
		for (size_t k = 0; k < g.nodes[i]->n_inputs; k++)
			n_odd += g.nodes[i]->inputs[k]->index >= i;
	}
}

static struct json *run_instructions(struct arena *a, const struct json *in)
{
	struct json *o = json_new_object(a), *lints = json_new_array(a);
	struct str src = str_of(json_str(in, "src"));
	struct dockerfile d;
	struct lint lint;
	struct error err;
	struct ast ast;
	int r;

	if (ast_parse(a, src, &ast, NULL, &err) < 0)
		return error_json(a, &err);
	lint_init(&lint, a);
	r = dockerfile_parse(a, src, &lint, &d, NULL, &err);
	set_string(a, o, "escape", (char[]){ ast.escape, '\0' });
	for (size_t i = 0; i < lint.len; i++)
		json_push(
		    a, lints,
		    json_new_string(a, arena_format(a, "%s:%u:%s", lint_rule_name(lint.at[i].rule),
						    lint.at[i].line, lint.at[i].text)));
	if (lint.len > 0)
		json_set(a, o, "lint", lints);
	if (r < 0) {
		set_string(a, o, "error", err.msg);
		return o;
	}
	set_maybe(a, o, "meta_args", meta_json(a, &d));
	set_maybe(a, o, "stages", d.n_stages ? stages_json(a, &d) : NULL);
	set_maybe(a, o, "warnings", warnings_json(a, &ast));
	plan_too(a, &d, &lint);
	return o;
}

static struct json *run_directives(struct arena *a, const struct json *in)
{
	struct str src = str_of(json_str(in, "src"));
	const char *syntax = "", *cmdline = "", *check = "", *whole;
	struct json *o = json_new_object(a);
	bool found = directive_find(a, src, "syntax", true, &syntax, &cmdline);
	bool check_found = directive_find(a, src, "check", false, &check, &whole);

	json_set(a, o, "ok", json_new_bool(a, found));
	json_set(a, o, "check_ok", json_new_bool(a, check_found));
	set_string(a, o, "syntax", syntax);
	set_string(a, o, "cmdline", cmdline);
	set_string(a, o, "check", check);
	return o;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct json *names_json(struct arena *a, struct shell_names n)
{
	if (n.len > 1)
		qsort(n.at, n.len, sizeof(*n.at), compare_strings);
	return string_list(a, n.at, n.len);
}

static struct json *run_shell(struct arena *a, const struct json *in, bool words)
{
	struct shell_lex lex = { .escape = '\\' };
	struct json *o = json_new_object(a);
	struct shell_result result;
	struct vars env = { 0 };
	struct error err;

	lex.skip_unset = json_bool(in, "skip_unset", false);
	lex.raw_quotes = json_bool(in, "raw_quotes", false);
	lex.raw_escapes = json_bool(in, "raw_escapes", false);
	if (json_str(in, "escape") != NULL)
		lex.escape = json_str(in, "escape")[0];
	json_for_each_item (v, json_get(in, "env"))
		vars_set_pair(a, &env, v->s);
	if (shell_expand(a, &lex, json_str(in, "word"), &env, &result, &err) < 0)
		return error_json(a, &err);
	if (words) {
		json_set(a, o, "result", string_list(a, result.words, result.n_words));
		return o;
	}
	set_string(a, o, "result", result.word);
	json_set(a, o, "matched", names_json(a, result.matched));
	json_set(a, o, "unmatched", names_json(a, result.unmatched));
	return o;
}

static struct json *run_shell_word(struct arena *a, const struct json *in)
{
	return run_shell(a, in, false);
}

static struct json *run_shell_words(struct arena *a, const struct json *in)
{
	return run_shell(a, in, true);
}

static struct json *run_ignore_match(struct arena *a, const struct json *in)
{
	const struct json *patterns = json_get(in, "patterns");
	size_t n = patterns ? patterns->n_items : 0;
	const char **texts = arena_array(a, n + 1, sizeof(*texts));
	struct json *o = json_new_object(a), *matches = json_new_array(a);
	struct ignore ig;
	struct error err;

	for (size_t i = 0; i < n; i++)
		texts[i] = patterns->items[i]->s;
	if (ignore_compile(a, texts, n, NULL, &ig, &err) < 0)
		return error_json(a, &err);
	json_for_each_item (path, json_get(in, "paths"))
		json_push(a, matches, json_new_bool(a, ignore_matches(&ig, path->s, NULL)));
	json_set(a, o, "exclusions", json_new_bool(a, ig.exclusions));
	json_set(a, o, "matches", matches);
	return o;
}

static struct json *run_ignore_read(struct arena *a, const struct json *in)
{
	struct json *o = json_new_object(a);
	size_t n;
	const char **patterns = ignore_read(a, str_of(json_str(in, "src")), &n, NULL);

	set_maybe(a, o, "patterns", maybe_list(a, patterns, n));
	return o;
}

static void print_json(const char *what, const struct json *j)
{
	auto_(buf) b = BUF_INIT(1 << 24);
	struct jsonw *w = xcalloc(1, sizeof(*w));

	jsonw_init(w, &b);
	jsonw_value(w, j);
	printf("# %s %.1500s\n", what, b.data);
	free(w);
}

static const struct {
	const char *name;
	struct json *(*run)(struct arena *a, const struct json *in);
} files[] = {
	{ "parser", run_parser },           { "instructions", run_instructions },
	{ "directives", run_directives },   { "shell_word", run_shell_word },
	{ "shell_words", run_shell_words }, { "ignore_match", run_ignore_match },
	{ "ignore_read", run_ignore_read },
};

/* Our JSON reader refuses NUL, and so does our parser: the two cases that hold
 * one are asked with \x01 instead. */
static void replace_nul(struct buf *b)
{
	char *p;

	while ((p = strstr(b->data, "\\u0000")) != NULL)
		p[5] = '1';
	while ((p = strstr(b->data, "\\\\x00")) != NULL)
		p[4] = '1';
}

static void run_file(const char *dir, size_t index)
{
	autofree char *path = cstr_format("%s/dockerfile/%s.json", dir, files[index].name);
	auto_(buf) b = BUF_INIT(64 << 20);
	size_t right = 0, all = 0;
	const struct json *j;
	char what[128];
	struct error err;

	if (fs_read_file(path, &b, &err) == 0)
		replace_nul(&b);
	if (b.data == NULL || json_parse(&docs, b.data, b.len, &j, &err) < 0) {
		printf("# %s\n", err.msg);
		ok(0, files[index].name);
		return;
	}
	json_for_each_item (c, json_get(j, "cases")) {
		auto_(arena) a = ARENA_INIT;
		const struct json *in = json_get(c, "in"), *want = json_get(c, "out");
		struct json *got = files[index].run(&a, in);

		all++;
		if (same(got, want)) {
			right++;
		} else if (all - right < 6) {
			print_json("in  ", in);
			print_json("got ", got);
			print_json("want", want);
		}
	}
	snprintf(what, sizeof(what), "%s: %zu of %zu answers agree", files[index].name, right, all);
	ok(right == all && all > 0, what);
}

int main(void)
{
	const char *dir = getenv("PROA_VECTORS"),
		   *probes[] = { dir, "../shared/vectors", "../../shared/vectors" };
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		autofree char *path =
		    cstr_format("%s/dockerfile/README.md", probes[i] ? probes[i] : "");
		auto_(buf) b = BUF_INIT(1 << 16);

		if (probes[i] == NULL || fs_read_file(path, &b, &err) < 0)
			continue;
		for (size_t f = 0; f < ARRAY_LEN(files); f++)
			run_file(probes[i], f);
		printf("# %zu planned, %zu refused\n", n_planned, n_refused);
		ok(n_odd == 0 && n_planned > 1000,
		   "what parses is planned in order, or refused with a text");
		ok(n_passed == n_planned, "every graph passes between processes unchanged");
		arena_release(&docs);
		return tap_done();
	}
	printf("1..0 # SKIP no vectors: set PROA_VECTORS\n");
	return 0;
}
