#include "build/instruction.h"

#include <strings.h>

#include "base/alloc.h"
#include "base/vec.h"
#include "build/flags.h"
#include "build/text.h"

struct request {
	struct arena *arena;
	const struct ast_node *node;
	struct lint *lint;
	struct instruction *ins;
};

typedef int (*parse_fn)(struct request *q, struct error *err);

static int no_arguments(const char *name, struct error *err)
{
	return error_set(err, ERR_INVALID, "%s requires at least one argument", name);
}

static int no_flags(struct request *q, struct error *err)
{
	return flags_parse(q->arena, q->node, NULL, 0, err);
}

static struct word_array node_words(const struct ast_node *n, size_t from)
{
	if (from >= n->n_args)
		return (struct word_array){ 0 };
	return (struct word_array){ n->args + from, n->n_args - from };
}

static int parse_pairs(struct request *q, struct error *err)
{
	const struct ast_node *n = q->node;
	const char *name = instruction_name(q->ins->kind);
	int r = no_flags(q, err);

	if (r < 0)
		return r;
	if (n->n_args == 0)
		return no_arguments(name, err);
	q->ins->pairs = arena_array(q->arena, n->n_args / 3, sizeof(*q->ins->pairs));
	for (size_t i = 0; i + 2 < n->n_args; i += 3) {
		if (n->args[i][0] == '\0')
			return error_set(err, ERR_INVALID, "%s names can not be blank", name);
		q->ins->pairs[q->ins->n_pairs++] = (struct key_value){
			.key = n->args[i],
			.value = n->args[i + 1],
			.comment = "",
			.no_delim = n->args[i + 2][0] == '\0',
		};
	}
	return 0;
}

static const char *doc_comment(const struct ast_node *n, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; len > 0 && i < n->n_comments; i++) {
		if (strncmp(n->comments[i], name, len) == 0 && n->comments[i][len] == ' ')
			return n->comments[i] + len + 1;
	}
	return "";
}

static int parse_arg(struct request *q, struct error *err)
{
	const struct ast_node *n = q->node;
	int r = no_flags(q, err);

	if (r < 0)
		return r;
	if (n->n_args == 0)
		return no_arguments("ARG", err);
	q->ins->pairs = arena_array(q->arena, n->n_args, sizeof(*q->ins->pairs));
	for (size_t i = 0; i < n->n_args; i++) {
		const char *eq = strchr(n->args[i], '=');
		struct key_value *kv = &q->ins->pairs[q->ins->n_pairs++];

		if (eq == n->args[i])
			return error_set(err, ERR_INVALID, "ARG names can not be blank");
		kv->key = eq ? arena_strndup(q->arena, n->args[i], (size_t)(eq - n->args[i]))
			     : n->args[i];
		kv->value = eq ? eq + 1 : NULL;
		kv->comment = doc_comment(n, kv->key);
	}
	return 0;
}

/* WORKDIR USER STOPSIGNAL MAINTAINER. */
static int parse_one(struct request *q, struct error *err)
{
	int r;

	if (q->node->n_args != 1)
		return error_set(err, ERR_INVALID, "%s requires exactly one argument",
				 instruction_name(q->ins->kind));
	r = no_flags(q, err);
	if (r < 0)
		return r;
	q->ins->words = node_words(q->node, 0);
	return 0;
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct word_array words_copy(struct arena *a, struct word_array w)
{
	struct word_array copy = { arena_array(a, w.len + 1, sizeof(*w.at)), w.len };

	if (w.len > 0)
		memcpy(copy.at, w.at, w.len * sizeof(*w.at));
	return copy;
}

static int parse_expose(struct request *q, struct error *err)
{
	int r;

	if (q->node->n_args == 0)
		return no_arguments("EXPOSE", err);
	r = no_flags(q, err);
	if (r < 0)
		return r;
	q->ins->words = words_copy(q->arena, node_words(q->node, 0));
	qsort(q->ins->words.at, q->ins->words.len, sizeof(*q->ins->words.at), compare_words);
	return 0;
}

static int parse_volume(struct request *q, struct error *err)
{
	int r;

	if (q->node->n_args == 0)
		return no_arguments("VOLUME", err);
	r = no_flags(q, err);
	if (r < 0)
		return r;
	q->ins->words = words_copy(q->arena, node_words(q->node, 0));
	for (size_t i = 0; i < q->ins->words.len; i++) {
		struct str s = str_trim(str_of(q->ins->words.at[i]));

		if (s.len == 0)
			return error_set(err, ERR_INVALID,
					 "VOLUME specified can not be an empty string");
		q->ins->words.at[i] = arena_strndup(q->arena, s.at, s.len);
	}
	return 0;
}

/* A JSON array as it is; anything else as one string for the shell. */
static struct word_array command_words(struct arena *a, const struct ast_node *n, size_t from)
{
	struct word_array words = node_words(n, from);
	auto_(text) joined = TEXT_INIT;
	const char **one;

	if (n->n_args <= from)
		return (struct word_array){ 0 };
	if (n->json || words.len == 1)
		return words;
	for (size_t i = 0; i < words.len; i++) {
		text_adds(&joined, i ? " " : "");
		text_adds(&joined, words.at[i]);
	}
	one = arena_array(a, 1, sizeof(*one));
	one[0] = text_dup(&joined, a);
	return (struct word_array){ one, 1 };
}

static int parse_command(struct request *q, struct error *err)
{
	int r = no_flags(q, err);

	if (r < 0)
		return r;
	q->ins->words = command_words(q->arena, q->node, 0);
	q->ins->prepend_shell = !q->node->json;
	return 0;
}

static int parse_shell(struct request *q, struct error *err)
{
	int r = no_flags(q, err);

	if (r < 0)
		return r;
	if (q->node->n_args == 0)
		return no_arguments("SHELL", err);
	if (!q->node->json)
		return error_set(err, ERR_INVALID,
				 "SHELL requires the arguments to be in JSON form");
	q->ins->words = node_words(q->node, 0);
	return 0;
}

static int check_run_flags(struct request *q, const struct flag_spec *specs, struct error *err)
{
	struct run_mount mount;
	int r;

	for (size_t i = 0; i < q->ins->mounts.len; i++) {
		r = run_mount_parse(q->arena, q->ins->mounts.at[i], NULL, NULL, &mount, err);
		if (r < 0)
			return r;
	}
	q->ins->network = specs[1].value;
	q->ins->security = specs[2].value;
	if (q->ins->network != NULL && strcmp(q->ins->network, "default") != 0 &&
	    strcmp(q->ins->network, "none") != 0 && strcmp(q->ins->network, "host") != 0)
		return error_set(err, ERR_INVALID, "invalid network mode %s",
				 text_quote(q->arena, q->ins->network));
	if (q->ins->security != NULL && strcmp(q->ins->security, "sandbox") != 0 &&
	    strcmp(q->ins->security, "insecure") != 0)
		return error_set(err, ERR_INVALID, "security %s is not valid",
				 text_quote(q->arena, q->ins->security));
	return 0;
}

static int parse_run(struct request *q, struct error *err)
{
	struct flag_spec specs[] = {
		{ "mount", FLAG_STRINGS, NULL, { 0 } },
		{ "network", FLAG_STRING, NULL, { 0 } },
		{ "security", FLAG_STRING, NULL, { 0 } },
	};
	int r = flags_parse(q->arena, q->node, specs, ARRAY_LEN(specs), err);

	if (r < 0)
		return r;
	q->ins->flags_used.at =
	    arena_array(q->arena, ARRAY_LEN(specs), sizeof(*q->ins->flags_used.at));
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		if (specs[i].value != NULL)
			q->ins->flags_used.at[q->ins->flags_used.len++] = specs[i].name;
	}
	q->ins->mounts = specs[0].values;
	q->ins->words = command_words(q->arena, q->node, 0);
	q->ins->prepend_shell = !q->node->json;
	return check_run_flags(q, specs, err);
}

static const struct heredoc *find_heredoc(const struct ast_node *n, const char *name)
{
	const struct heredoc *found = NULL;

	for (size_t i = 0; i < n->n_heredocs; i++) {
		if (strcmp(n->heredocs[i].name, name) == 0)
			found = &n->heredocs[i];
	}
	return found;
}

static int parse_sources(struct request *q, struct error *err)
{
	const struct ast_node *n = q->node;
	const char *command = instruction_name(q->ins->kind);
	struct heredoc *word;
	int r;

	q->ins->dest = n->args[n->n_args - 1];
	r = heredoc_parse(q->arena, q->ins->dest, &word, err);
	if (r < 0)
		return r;
	if (word != NULL)
		return error_set(err, ERR_INVALID, "%s cannot accept a heredoc as a destination",
				 command);
	q->ins->words.at = arena_array(q->arena, n->n_args, sizeof(*q->ins->words.at));
	q->ins->files = arena_array(q->arena, n->n_args, sizeof(*q->ins->files));
	for (size_t i = 0; i + 1 < n->n_args; i++) {
		const struct heredoc *body;
		const char *content;

		r = heredoc_parse(q->arena, n->args[i], &word, err);
		if (r < 0)
			return r;
		if (word == NULL) {
			q->ins->words.at[q->ins->words.len++] = n->args[i];
			continue;
		}
		body = find_heredoc(n, word->name);
		content = body ? body->content : "";
		q->ins->files[q->ins->n_files++] = (struct inline_file){
			.path = word->name,
			.data = word->chomp ? heredoc_chomp(q->arena, content) : content,
			.expand = word->expand,
		};
	}
	return 0;
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static enum tristate tristate(const char *value)
{
	if (value == NULL)
		return UNSET;
	return strcmp(value, "true") == 0 ? YES : NO;
}

static int parse_copy(struct request *q, struct error *err)
{
	bool add = q->ins->kind == INS_ADD;
	struct flag_spec add_specs[] = {
		{ "exclude", FLAG_STRINGS, NULL, { 0 } },
		{ "chown", FLAG_STRING, NULL, { 0 } },
		{ "chmod", FLAG_STRING, NULL, { 0 } },
		{ "link", FLAG_BOOL, NULL, { 0 } },
		{ "keep-git-dir", FLAG_BOOL, NULL, { 0 } },
		{ "checksum", FLAG_STRING, NULL, { 0 } },
		{ "unpack", FLAG_BOOL, NULL, { 0 } },
	};
	struct flag_spec copy_specs[] = {
		{ "exclude", FLAG_STRINGS, NULL, { 0 } }, { "chown", FLAG_STRING, NULL, { 0 } },
		{ "chmod", FLAG_STRING, NULL, { 0 } },    { "link", FLAG_BOOL, NULL, { 0 } },
		{ "parents", FLAG_BOOL, NULL, { 0 } },    { "from", FLAG_STRING, NULL, { 0 } },
	};
	struct flag_spec *f = add ? add_specs : copy_specs;
	int r;

	if (q->node->n_args < 2)
		return error_set(err, ERR_INVALID,
				 "%s requires at least two arguments, but only one was provided. "
				 "Destination could not be determined",
				 instruction_name(q->ins->kind));
	r = flags_parse(q->arena, q->node, f, add ? ARRAY_LEN(add_specs) : ARRAY_LEN(copy_specs),
			err);
	if (r < 0)
		return r;
	q->ins->excludes = f[0].values;
	q->ins->chown = or_empty(f[1].value);
	q->ins->chmod = or_empty(f[2].value);
	q->ins->link = tristate(f[3].value) == YES;
	q->ins->from = q->ins->checksum = "";
	if (add) {
		q->ins->keep_git_dir = tristate(f[4].value);
		q->ins->checksum = or_empty(f[5].value);
		q->ins->unpack = tristate(f[6].value);
	} else {
		q->ins->parents = tristate(f[4].value) == YES;
		q->ins->from = or_empty(f[5].value);
	}
	return parse_sources(q, err);
}

static const char *strip_onbuild(const char *s)
{
	while (*s == ' ' || (*s >= '\t' && *s <= '\r' && *s != '\v'))
		s++;
	if (strncasecmp(s, "onbuild", 7) != 0)
		return s;
	s += 7;
	while (*s == ' ' || (*s >= '\t' && *s <= '\r' && *s != '\v'))
		s++;
	return s;
}

static int parse_onbuild(struct request *q, struct error *err)
{
	const struct ast_node *n = q->node;
	auto_(text) t = TEXT_INIT;
	const char *trigger;
	int r;

	if (n->child == NULL)
		return no_arguments("ONBUILD", err);
	r = no_flags(q, err);
	if (r < 0)
		return r;
	trigger = n->child->value;
	if (strcasecmp(trigger, "onbuild") == 0)
		return error_set(err, ERR_INVALID,
				 "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
	if (strcasecmp(trigger, "maintainer") == 0 || strcasecmp(trigger, "from") == 0)
		return error_set(err, ERR_INVALID, "%s isn't allowed as an ONBUILD trigger",
				 strcasecmp(trigger, "from") == 0 ? "FROM" : "MAINTAINER");
	text_adds(&t, strip_onbuild(n->original));
	for (size_t i = 0; i < n->n_heredocs; i++)
		text_addf(&t, "\n%s%s", n->heredocs[i].content, n->heredocs[i].name);
	q->ins->words.at = arena_array(q->arena, 1, sizeof(*q->ins->words.at));
	q->ins->words.at[0] = text_dup(&t, q->arena);
	q->ins->words.len = 1;
	return 0;
}

static int parse_interval(const struct flag_spec *f, int64_t *ret, struct error *err)
{
	int64_t ns;
	int r;

	if (f->value == NULL || f->value[0] == '\0')
		return 0;
	r = parse_duration(str_of(f->value), &ns, err);
	if (r < 0)
		return r;
	if (ns != 0 && ns < 1000000)
		return error_set(err, ERR_INVALID, "Interval \"%s\" cannot be less than 1ms",
				 f->name);
	*ret = ns;
	return 0;
}

static int parse_health_flags(struct request *q, struct health *h, struct error *err)
{
	struct flag_spec f[] = {
		{ "interval", FLAG_STRING, NULL, { 0 } },
		{ "timeout", FLAG_STRING, NULL, { 0 } },
		{ "start-period", FLAG_STRING, NULL, { 0 } },
		{ "start-interval", FLAG_STRING, NULL, { 0 } },
		{ "retries", FLAG_STRING, NULL, { 0 } },
	};
	int64_t *out[] = { &h->interval_ns, &h->timeout_ns, &h->start_period_ns,
			   &h->start_interval_ns };
	int r = flags_parse(q->arena, q->node, f, ARRAY_LEN(f), err);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(out); i++)
		r = parse_interval(&f[i], out[i], err);
	if (r < 0 || f[4].value == NULL || f[4].value[0] == '\0')
		return r;
	r = parse_i64(str_of(f[4].value), INT32_MIN, INT32_MAX, &h->retries, err);
	if (r < 0)
		return r;
	if (h->retries < 0)
		return error_set(err, ERR_INVALID, "--retries cannot be negative (%lld)",
				 (long long)h->retries);
	return 0;
}

static int parse_healthcheck(struct request *q, struct error *err)
{
	const struct ast_node *n = q->node;
	struct health *h = &q->ins->health;
	struct word_array words;
	int r;

	if (n->n_args == 0)
		return no_arguments("HEALTHCHECK", err);
	h->test.at = arena_array(q->arena, n->n_args + 1, sizeof(*h->test.at));
	if (strcasecmp(n->args[0], "none") == 0) {
		if (n->n_args > 1)
			return error_set(err, ERR_INVALID, "HEALTHCHECK NONE takes no arguments");
		h->test.at[h->test.len++] = "NONE";
		return 0;
	}
	r = parse_health_flags(q, h, err);
	if (r < 0)
		return r;
	if (strcasecmp(n->args[0], "cmd") != 0)
		return error_set(err, ERR_INVALID, "Unknown type %s in HEALTHCHECK (try CMD)",
				 text_quote(q->arena, n->args[0]));
	words = command_words(q->arena, n, 1);
	if (words.len == 0)
		return error_set(err, ERR_INVALID, "Missing command after HEALTHCHECK CMD");
	h->test.at[h->test.len++] = n->json ? "CMD" : "CMD-SHELL";
	for (size_t i = 0; i < words.len; i++)
		h->test.at[h->test.len++] = words.at[i];
	return 0;
}

static const struct {
	const char *name;
	parse_fn parse;
} table[INS_KIND_COUNT] = {
	[INS_ADD] = { "ADD", parse_copy },
	[INS_ARG] = { "ARG", parse_arg },
	[INS_CMD] = { "CMD", parse_command },
	[INS_COPY] = { "COPY", parse_copy },
	[INS_ENTRYPOINT] = { "ENTRYPOINT", parse_command },
	[INS_ENV] = { "ENV", parse_pairs },
	[INS_EXPOSE] = { "EXPOSE", parse_expose },
	[INS_FROM] = { "FROM", NULL },
	[INS_HEALTHCHECK] = { "HEALTHCHECK", parse_healthcheck },
	[INS_LABEL] = { "LABEL", parse_pairs },
	[INS_MAINTAINER] = { "MAINTAINER", parse_one },
	[INS_ONBUILD] = { "ONBUILD", parse_onbuild },
	[INS_RUN] = { "RUN", parse_run },
	[INS_SHELL] = { "SHELL", parse_shell },
	[INS_STOPSIGNAL] = { "STOPSIGNAL", parse_one },
	[INS_USER] = { "USER", parse_one },
	[INS_VOLUME] = { "VOLUME", parse_volume },
	[INS_WORKDIR] = { "WORKDIR", parse_one },
};

const char *instruction_name(enum instruction_kind kind)
{
	return table[kind].name;
}

static int unknown_instruction(struct arena *a, const char *name, struct error *err)
{
	const char *names[INS_KIND_COUNT];
	char lower[INS_KIND_COUNT][16];

	for (size_t i = 0; i < INS_KIND_COUNT; i++) {
		size_t j = 0;

		for (; table[i].name[j] != '\0' && j + 1 < sizeof(lower[i]); j++)
			lower[i][j] = (char)(table[i].name[j] + 32);
		lower[i][j] = '\0';
		names[i] = lower[i];
	}
	return error_set(err, ERR_INVALID, "%s",
			 suggest(a, arena_format(a, "unknown instruction: %s", name), name, names,
				 INS_KIND_COUNT, false));
}

int instruction_parse(struct arena *a, const struct ast_node *n, struct lint *lint,
		      struct instruction *ret, struct error *err)
{
	struct request q = { .arena = a, .node = n, .lint = lint, .ins = ret };
	size_t kind = 0;

	while (kind < INS_KIND_COUNT && strcasecmp(table[kind].name, n->value) != 0)
		kind++;
	if (kind == INS_KIND_COUNT)
		return unknown_instruction(a, n->value, err);
	if (table[kind].parse == NULL)
		return error_set(err, ERR_INVALID, "%s is not allowed here", table[kind].name);
	if (kind == INS_MAINTAINER)
		lint_add_to(lint, LINT_MAINTAINER_DEPRECATED, n,
			    "Maintainer instruction is deprecated in favor of using label");
	*ret = (struct instruction){
		.kind = (enum instruction_kind)kind,
		.node = n,
		.name = n->value,
	};
	return table[kind].parse(&q, err);
}

static bool has_case(const char *s, char from, char to)
{
	for (; *s != '\0'; s++) {
		if (*s >= from && *s <= to)
			return true;
	}
	return false;
}

static void lint_from(struct lint *lint, const struct ast_node *n)
{
	bool lower, upper;

	if (n->n_args < 3)
		return;
	if (n->n_args == 3 && has_case(n->args[2], 'A', 'Z'))
		lint_add_to(lint, LINT_STAGE_NAME_CASING, n, "Stage name '%s' should be lowercase",
			    n->args[2]);
	lower = !has_case(n->value, 'A', 'Z');
	upper = !has_case(n->value, 'a', 'z');
	if ((lower && has_case(n->args[1], 'A', 'Z')) || (upper && has_case(n->args[1], 'a', 'z')))
		lint_add_to(lint, LINT_FROM_AS_CASING, n,
			    "'%s' and '%s' keywords' casing do not match", n->args[1], n->value);
}

static bool is_stage_name(const char *s)
{
	if (!(*s >= 'a' && *s <= 'z'))
		return false;
	for (; *s != '\0'; s++) {
		if (!(*s >= 'a' && *s <= 'z') && !(*s >= '0' && *s <= '9') && *s != '-' &&
		    *s != '_' && *s != '.')
			return false;
	}
	return true;
}

static int parse_from(struct arena *a, const struct ast_node *n, struct lint *lint,
		      struct stage *ret, struct error *err)
{
	struct flag_spec f[] = { { "platform", FLAG_STRING, NULL, { 0 } } };
	struct str source = str_trim(str_of(n->original));
	char *name = arena_strdup(a, "");
	int r;

	lint_from(lint, n);
	if (n->n_args == 3 && strcasecmp(n->args[1], "as") == 0) {
		name = arena_strdup(a, n->args[2]);
		for (char *c = name; *c != '\0'; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
		if (!is_stage_name(name))
			return error_set(err, ERR_INVALID,
					 "invalid name for build stage: %s, name can't start with "
					 "a number or contain symbols",
					 text_quote(a, n->args[2]));
	} else if (n->n_args != 1) {
		return error_set(err, ERR_INVALID, "FROM requires either one or three arguments");
	}
	r = flags_parse(a, n, f, ARRAY_LEN(f), err);
	if (r < 0)
		return r;
	if (strcmp(name, "scratch") == 0 || strcmp(name, "context") == 0)
		lint_add(lint, LINT_RESERVED_STAGE_NAME, n->line, n->end_line,
			 "Stage name should not use the same name as reserved stage \"%s\"", name);
	*ret = (struct stage){
		.name = name,
		.base = n->args[0],
		.platform = or_empty(f[0].value),
		.source = arena_strndup(a, source.at, source.len),
		.comment = doc_comment(n, name),
		.node = n,
	};
	return 0;
}

static void stage_add(struct arena *a, struct stage *s, const struct instruction *ins)
{
	if (s->len == s->cap) {
		struct instruction *at;

		s->cap = s->cap ? s->cap * 2 : 8;
		at = arena_array(a, s->cap, sizeof(*at));
		if (s->len > 0)
			memcpy(at, s->at, s->len * sizeof(*at));
		s->at = at;
	}
	s->at[s->len++] = *ins;
}

static int add_node(struct arena *a, const struct ast_node *n, struct lint *lint,
		    struct dockerfile *d, struct error *err)
{
	struct instruction ins;
	int r;

	if (strcasecmp(n->value, "from") == 0) {
		r = parse_from(a, n, lint, &d->stages[d->n_stages], err);
		if (r < 0)
			return error_wrap(err, r, "dockerfile parse error on line %u", n->line);
		d->n_stages++;
		return 0;
	}
	r = instruction_parse(a, n, lint, &ins, err);
	if (r < 0)
		return error_wrap(err, r, "dockerfile parse error on line %u", n->line);
	if (d->n_stages > 0)
		stage_add(a, &d->stages[d->n_stages - 1], &ins);
	else if (ins.kind == INS_ARG)
		d->meta_args[d->n_meta_args++] = ins;
	else
		return error_set(err, ERR_INVALID, "no build stage in current context");
	return 0;
}

int dockerfile_parse(struct arena *a, struct str source, struct lint *lint, struct dockerfile *ret,
		     struct ast_location *ret_where, struct error *err)
{
	struct dockerfile d = { 0 };
	int r = ast_parse(a, source, &d.ast, ret_where, err);

	if (r < 0)
		return r;
	d.meta_args = arena_array(a, d.ast.n_nodes, sizeof(*d.meta_args));
	d.stages = arena_array(a, d.ast.n_nodes, sizeof(*d.stages));
	for (size_t i = 0; i < d.ast.n_nodes; i++) {
		const struct ast_node *n = &d.ast.nodes[i];

		r = add_node(a, n, lint, &d, err);
		if (r < 0 && ret_where != NULL)
			*ret_where = (struct ast_location){ n->line, n->end_line };
		if (r < 0)
			return r;
	}
	*ret = d;
	return 0;
}
