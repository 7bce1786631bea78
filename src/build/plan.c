#include "build/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "build/ast_args.h"
#include "build/flags.h"
#include "build/plan_internal.h"
#include "build/shell_word.h"
#include "build/text.h"
#include "oci/reference.h"

static void lint_undefined(struct planner *p, struct stage_plan *s, const struct ast_node *n,
			   const struct shell_result *result)
{
	for (size_t i = 0; i < result->unmatched.len; i++) {
		const char *name = result->unmatched.at[i], *text;
		const char **names;
		bool declared = false;

		for (size_t k = 0; k < s->args.len; k++)
			declared |= strcmp(s->args.at[k].key, name) == 0;
		if (declared)
			continue;
		names = arena_array(p->arena, s->env.len + 1, sizeof(*names));
		for (size_t k = 0; k < s->env.len; k++)
			names[k] = arena_format(p->arena, "$%s", s->env.at[k].key);
		text = arena_format(p->arena, "Usage of undefined variable '$%s'", name);
		lint_add_to(p->lint, LINT_UNDEFINED_VAR, n, "%s",
			    suggest(p->arena, text, arena_format(p->arena, "$%s", name), names,
				    s->env.len, true));
	}
}

int plan_expand(struct planner *p, struct stage_plan *s, const struct ast_node *n, const char *word,
		const char **ret, struct error *err)
{
	struct shell_lex lex = { .escape = p->file->ast.escape };
	struct shell_result result;
	int r = shell_expand(p->arena, &lex, word, &s->env, &result, err);

	if (r < 0)
		return r;
	lint_undefined(p, s, n, &result);
	*ret = result.word;
	return 0;
}

int plan_expand_body(struct planner *p, struct stage_plan *s, const struct ast_node *n,
		     const char *word, const char **ret, struct error *err)
{
	struct shell_lex lex = { .escape = '\\', .skip_quotes = true };
	struct shell_result result;
	int r = shell_expand(p->arena, &lex, word, &s->env, &result, err);

	if (r < 0)
		return r;
	lint_undefined(p, s, n, &result);
	*ret = result.word;
	return 0;
}

static void add_step(struct planner *p, struct stage_plan *s, const char *text, struct node *node)
{
	if (s->n_steps == s->cap_steps) {
		struct step *at;

		s->cap_steps = s->cap_steps ? s->cap_steps * 2 : 16;
		at = arena_array(p->arena, s->cap_steps, sizeof(*at));
		if (s->n_steps > 0)
			memcpy(at, s->steps, s->n_steps * sizeof(*at));
		s->steps = at;
	}
	s->steps[s->n_steps++] = (struct step){ text, node };
}

struct node *plan_node(struct planner *p, struct stage_plan *s, enum node_kind kind,
		       const char *text, unsigned line)
{
	struct graph *g = p->graph;
	struct node *n = arena_new(p->arena, struct node);

	if (g->n_nodes == g->cap_nodes) {
		struct node **at;

		g->cap_nodes = g->cap_nodes ? g->cap_nodes * 2 : 32;
		at = arena_array(p->arena, g->cap_nodes, sizeof(*at));
		if (g->n_nodes > 0)
			memcpy(at, g->nodes, g->n_nodes * sizeof(*at));
		g->nodes = at;
	}
	*n = (struct node){
		.kind = kind,
		.base = kind == NODE_IMAGE ? NULL : s->tip,
		.stage = s->name,
		.text = text,
		.line = line,
		.no_cache = p->o->no_cache,
	};
	for (const char *const *f = p->o->no_cache_stages; f && *f; f++)
		n->no_cache |= strcasecmp(*f, s->name) == 0;
	n->epoch_ns =
	    p->graph->has_epoch || n->base == NULL ? p->graph->epoch_ns : n->base->epoch_ns;
	n->index = (unsigned)g->n_nodes;
	g->nodes[g->n_nodes++] = n;
	s->tip = n;
	return n;
}

void plan_input(struct planner *p, struct node *n, struct node *input)
{
	struct node **at;

	for (size_t i = 0; i < n->n_inputs; i++) {
		if (n->inputs[i] == input)
			return;
	}
	at = arena_array(p->arena, n->n_inputs + 1, sizeof(*at));
	if (n->n_inputs > 0)
		memcpy(at, n->inputs, n->n_inputs * sizeof(*at));
	at[n->n_inputs++] = input;
	n->inputs = at;
}

static struct history_item *history_add(struct planner *p, struct stage_plan *s)
{
	if (s->n_history == s->cap_history) {
		struct history_item *at;

		s->cap_history = s->cap_history ? s->cap_history * 2 : 16;
		at = arena_array(p->arena, s->cap_history, sizeof(*at));
		if (s->n_history > 0)
			memcpy(at, s->history, s->n_history * sizeof(*at));
		s->history = at;
	}
	return &s->history[s->n_history++];
}

void plan_history(struct planner *p, struct stage_plan *s, struct node *node, const char *fmt, ...)
{
	autofree char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = xcalloc(SIZE_MAX, 2); /* does not return */
	va_end(ap);
	*history_add(p, s) = (struct history_item){
		.created_by = arena_strdup(p->arena, text),
		.comment = "buildkit.dockerfile.v0",
		.empty_layer = node == NULL,
		.node = node,
	};
}

bool plan_build_arg(const struct planner *p, const char *key, const char **ret)
{
	for (size_t i = p->o->n_build_args; i > 0; i--) {
		if (strcmp(p->o->build_args[i - 1].key, key) != 0)
			continue;
		if (ret != NULL)
			*ret = p->o->build_args[i - 1].value;
		return true;
	}
	return false;
}

const char *plan_quote_list(struct arena *a, const struct word_array *w)
{
	auto_(text) t = TEXT_INIT;

	text_adds(&t, "[");
	for (size_t i = 0; i < w->len; i++) {
		text_adds(&t, i ? " " : "");
		text_add_quoted(&t, str_of(w->at[i]));
	}
	text_adds(&t, "]");
	return text_dup(&t, a);
}

const char *plan_join(struct arena *a, const struct word_array *w, const char *between)
{
	auto_(text) t = TEXT_INIT;

	for (size_t i = 0; i < w->len; i++) {
		text_adds(&t, i ? between : "");
		text_adds(&t, w->at[i]);
	}
	return text_dup(&t, a);
}

const char *plan_path(struct planner *p, const struct stage_plan *s, const char *path)
{
	const char *dir = s->image.config.working_dir;

	if (path[0] == '/')
		return path;
	return arena_format(p->arena, "%s/%s", dir && dir[0] ? dir : "/", path);
}

/* The last of this name among the first `before`; BuildKit has one table, so a later one hides. */
static struct stage_plan *find_stage(struct planner *p, size_t before, const char *name)
{
	for (size_t i = before; i > 0; i--) {
		const char *have = p->graph->stages[i - 1].stage->name;

		if (have[0] != '\0' && strcasecmp(have, name) == 0)
			return &p->graph->stages[i - 1];
	}
	return NULL;
}

/* FROM alone tells upper case from lower, and stages have lower-case names. Peer: BuildKit. */
static struct stage_plan *find_base(struct planner *p, size_t before, const char *name)
{
	struct stage_plan *s = find_stage(p, before, name);

	return s != NULL && strcmp(s->stage->name, name) == 0 ? s : NULL;
}

/* By its name, or as images are the same: "alpine" is "docker.io/library/alpine:latest". */
static const struct plan_context *find_context(const struct planner *p, const char *name)
{
	char want[REFERENCE_TEXT_MAX], have[REFERENCE_TEXT_MAX];
	struct reference ref;

	for (size_t i = 0; i < p->o->n_contexts; i++) {
		if (strcasecmp(p->o->contexts[i].name, name) == 0)
			return &p->o->contexts[i];
	}
	if (p->o->n_contexts == 0 || reference_parse_tagged(name, &ref, NULL) < 0)
		return NULL;
	reference_format(&ref, want);
	for (size_t i = 0; i < p->o->n_contexts; i++) {
		if (reference_parse_tagged(p->o->contexts[i].name, &ref, NULL) < 0)
			continue;
		reference_format(&ref, have);
		if (strcmp(want, have) == 0)
			return &p->o->contexts[i];
	}
	return NULL;
}

static int plan_stage(struct planner *p, struct stage_plan *s, struct error *err);

static int image_node(struct planner *p, struct stage_plan *s, const char *name, const char *text,
		      struct plan_image *image, struct node **ret, struct error *err)
{
	struct node *tip = s->tip, *n;
	int64_t created = 0;
	int r;

	*image = (struct plan_image){ 0 };
	if (strcmp(name, "scratch") != 0) {
		r = p->ops->image(p->ops->arg, p->arena, name, &s->platform, image, err);
		if (r == -ERR_INVALID && err != NULL && cstr_starts(err->msg, "invalid re"))
			return error_wrap(err, r, "failed to parse stage name \"%s\"", name);
		/* A registry that does not answer has not said for what. */
		if (r < 0 && r != -ERR_CANCELED && err != NULL && strstr(err->msg, name) == NULL)
			return error_wrap(err, r, "%s", name);
		if (r < 0)
			return r;
	}
	n = plan_node(p, s, NODE_IMAGE, text, s->stage->node->line);
	s->tip = tip;
	n->image = name;
	n->image_id = image->id;
	n->image_ref = image->ref;
	n->layers = arena_array(p->arena, image->n_layers + 1, sizeof(*n->layers));
	if (image->n_layers > 0)
		memcpy(n->layers, image->layers, image->n_layers * sizeof(*n->layers));
	n->n_layers = image->n_layers;
	if (image->config.created != NULL &&
	    time_parse_rfc3339(image->config.created, &created, NULL) == 0 && created > 0 &&
	    !p->graph->has_epoch)
		n->epoch_ns = created;
	*ret = n;
	return 0;
}

/* mount: where it was to be mounted, NULL for COPY. Peer: BuildKit. */
static int refuse_later(const struct stage_plan *s, const struct stage_plan *other,
			const char *name, const char *mount, struct error *err)
{
	if (other->index < s->index)
		return 0;
	if (other == s)
		return s->stage->name[0]
			   ? error_set(err, ERR_INVALID,
				       "circular dependency detected on stage: %s", s->stage->name)
			   : error_set(err, ERR_INVALID,
				       "circular dependency detected on stage: stage-%u", s->index);
	if (mount != NULL)
		return error_set(err, ERR_INVALID,
				 "cannot mount from stage \"%s\" to \"%s\", stage needs to be "
				 "defined before current command",
				 name, mount);
	return error_set(err, ERR_INVALID,
			 "cannot copy from stage \"%s\", it needs to be defined before current "
			 "stage \"%s\"",
			 name, s->name);
}

/* The stage that from= names; *ret is NULL when it is none. COPY has their numbers, too. */
static int find_source(struct planner *p, const struct stage_plan *s, const char *name,
		       const char *mount, struct stage_plan **ret, struct error *err)
{
	struct shell_lex lex = { .escape = p->file->ast.escape };
	struct shell_result expanded;
	const struct vars none = { 0 };
	uint64_t index;
	int r = shell_expand(p->arena, &lex, name, &none, &expanded, err);

	*ret = NULL;
	if (r < 0)
		return r;
	if (mount == NULL && strcmp(expanded.word, name) != 0)
		return error_set(err, ERR_INVALID,
				 "variable expansion is not supported for --from, define a new "
				 "stage with FROM using ARG from global scope as a workaround");
	if (mount != NULL || parse_u64(str_of(name), UINT32_MAX, &index, NULL) < 0)
		*ret = find_stage(p, p->graph->n_stages, name);
	else if (index < p->graph->n_stages)
		*ret = &p->graph->stages[index];
	else
		return error_set(err, ERR_INVALID, "invalid stage index %s", name);
	return *ret ? refuse_later(s, *ret, name, mount, err) : 0;
}

/* What is no stage is taken for an image: perhaps it should have been one. */
static int stage_or_image(struct planner *p, const struct stage_plan *s, const char *name, int r,
			  struct error *err)
{
	const char **names = arena_array(p->arena, s->index + 1, sizeof(*names));
	struct error plain;

	if (r == 0 || r == -ERR_CANCELED || err == NULL)
		return r;
	plain = *err;
	for (size_t i = 0; i < s->index; i++)
		names[i] = p->graph->stages[i].stage->name;
	return error_set(err, plain.kind, "%s",
			 suggest(p->arena, plain.msg, name, names, s->index, false));
}

int plan_source(struct planner *p, struct stage_plan *s, const char *name, const char *mount,
		struct source *ret, struct error *err)
{
	const struct plan_context *c = find_context(p, name);
	struct stage_plan *other = NULL;
	struct plan_image image;
	int r;

	*ret = (struct source){ .context = "" };
	if (c != NULL && c->image == NULL) {
		ret->context = c->name;
		return 0;
	}
	if (c != NULL)
		name = c->image;
	r = c != NULL ? 0 : find_source(p, s, name, mount, &other, err);
	if (r < 0)
		return r;
	if (other == NULL) {
		r = image_node(p, s, name, arena_format(p->arena, "FROM %s", name), &image,
			       &ret->node, err);
		return stage_or_image(p, s, name, r, err);
	}
	r = plan_stage(p, other, err);
	if (r < 0)
		return r;
	ret->node = other->tip;
	return 0;
}

static int plan_instruction(struct planner *p, struct stage_plan *s, const struct instruction *i,
			    struct error *err)
{
	size_t nodes = p->graph->n_nodes;
	struct node *tip = s->tip;
	int r;

	p->at = i->node;
	if (i->kind == INS_RUN)
		r = plan_run(p, s, i, err);
	else if (i->kind == INS_COPY || i->kind == INS_ADD)
		r = plan_copy(p, s, i, err);
	else
		r = plan_meta(p, s, i, err);
	if (r < 0)
		return r;
	add_step(p, s, i->node->original,
		 nodes != p->graph->n_nodes && s->tip != tip ? s->tip : NULL);
	return 0;
}

static int run_triggers(struct planner *p, struct stage_plan *s, struct strings triggers,
			struct error *err)
{
	int r;

	for (size_t k = 0; k < triggers.n; k++) {
		struct instruction *i = arena_new(p->arena, struct instruction);
		struct ast_node *n;

		r = ast_parse_trigger(p->arena, triggers.at[k], p->file->ast.escape, &n, err);
		if (r == 0) {
			n->line = s->stage->node->line;
			n->end_line = s->stage->node->end_line;
			r = instruction_parse(p->arena, n, NULL, i, err);
		}
		if (r == 0)
			r = plan_instruction(p, s, i, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The configuration that a stage starts with: the base's, of which Docker's own
 * leftovers (container, docker_version ...) are dropped. */
static void take_config(struct planner *p, struct stage_plan *s, const struct image_config *base)
{
	s->image = (struct image_config){
		.author = base->author,
		.platform = base->platform,
		.os_features = base->os_features,
		.config = base->config,
	};
	s->image.config.document = NULL;
	s->image.config.on_build = (struct strings){ 0 };
	for (size_t i = 0; i < base->n_history; i++)
		*history_add(p, s) = (struct history_item){
			.created_by = base->history[i].created_by,
			.comment = base->history[i].comment,
			.created = base->history[i].created,
			.author = base->history[i].author,
			.empty_layer = base->history[i].empty_layer,
		};
}

static void start_env(struct planner *p, struct stage_plan *s)
{
	struct strings *env = &s->image.config.env;
	bool path = false;

	for (size_t i = 0; i < env->n; i++)
		path |= cstr_starts(env->at[i], "PATH=");
	if (!path) {
		const char **at = arena_array(p->arena, env->n + 2, sizeof(*at));

		for (size_t i = 0; i < env->n; i++)
			at[i] = env->at[i];
		at[env->n] = "PATH=" DEFAULT_PATH;
		*env = (struct strings){ at, env->n + 1 };
	}
	for (size_t i = 0; i < env->n; i++)
		vars_set_pair(p->arena, &s->env, env->at[i]);
}

static int from_stage(struct planner *p, struct stage_plan *s, struct stage_plan *base,
		      struct strings *ret_triggers, struct error *err)
{
	int r = plan_stage(p, base, err);

	if (r < 0)
		return r;
	s->image = base->image;
	*ret_triggers = base->image.config.on_build;
	s->image.config.on_build = (struct strings){ 0 };
	s->tip = base->tip;
	s->env = vars_copy(p->arena, &base->env);
	s->args = vars_copy(p->arena, &base->args);
	s->workdir_set = base->workdir_set;
	for (size_t i = 0; i < base->n_history; i++)
		*history_add(p, s) = base->history[i];
	add_step(p, s, s->stage->source, NULL);
	return 0;
}

static int from_image(struct planner *p, struct stage_plan *s, const char *name,
		      struct strings *ret_triggers, struct error *err)
{
	struct plan_image image;
	struct node *n;
	int r = image_node(p, s, name, s->stage->source, &image, &n, err);

	if (r < 0)
		return r;
	s->tip = n;
	plan_lint_base(p, s->stage, name, &s->platform, &image.config.platform);
	*ret_triggers = image.config.config.on_build;
	take_config(p, s, &image.config);
	if (strcmp(name, "scratch") == 0) {
		/* --platform says nothing of an empty file system. Peer: BuildKit. */
		s->platform = p->o->target_platform;
		s->image.platform = s->platform;
		s->image.config.working_dir = "/";
	}
	s->workdir_set = s->image.config.working_dir != NULL &&
			 s->image.config.working_dir[0] == '/' &&
			 strcmp(s->image.config.working_dir, "/") != 0;
	start_env(p, s);
	add_step(p, s, s->stage->source, n);
	return 0;
}

/* A directory stands for the base image: its files upon nothing. */
static int from_directory(struct planner *p, struct stage_plan *s, const char *context,
			  struct strings *ret_triggers, struct error *err)
{
	struct copy_spec *c = arena_new(p->arena, struct copy_spec);
	int r = from_image(p, s, "scratch", ret_triggers, err);

	if (r < 0)
		return r;
	*c = (struct copy_spec){ .from = { .context = context },
				 .items = arena_array(p->arena, 1, sizeof(*c->items)),
				 .n_items = 1,
				 .dest = "/",
				 .chown = "",
				 .chmod = "",
				 .checksum = "" };
	c->items[0] = (struct copy_item){ .kind = COPY_PATH, .path = "." };
	plan_node(p, s, NODE_COPY, s->stage->source, s->stage->node->line)->copy = c;
	return 0;
}

/* Expand a word of FROM in the global ARGs. */
static int expand_global(struct planner *p, const struct stage *st, const char *word,
			 const char **ret, struct error *err)
{
	struct shell_lex lex = { .escape = p->file->ast.escape };
	struct shell_result result;
	int r = shell_expand(p->arena, &lex, word, &p->globals, &result, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < result.unmatched.len; i++)
		plan_lint_from(p, st, result.unmatched.at[i]);
	*ret = result.word;
	return 0;
}

/* The names that FROM could have meant, for what it does mean. */
static int empty_platform(struct planner *p, const char *expression, struct error *err)
{
	struct shell_lex lex = { .escape = p->file->ast.escape };
	const char **names = arena_array(p->arena, p->globals.len + 1, sizeof(*names));
	const char *text =
	    arena_format(p->arena, "empty platform value from expression %s", expression);
	struct shell_result result;
	int r = shell_expand(p->arena, &lex, expression, &p->globals, &result, err);

	for (size_t i = 0; i < p->globals.len; i++)
		names[i] = p->globals.at[i].key;
	for (size_t i = 0; r == 0 && i < result.unmatched.len; i++) {
		const char *better =
		    suggest(p->arena, text, result.unmatched.at[i], names, p->globals.len, true);

		if (strcmp(better, text) != 0)
			return error_set(err, ERR_INVALID, "%s", better);
	}
	return r < 0 ? r : error_set(err, ERR_INVALID, "%s", text);
}

static int stage_platform(struct planner *p, struct stage_plan *s, struct error *err)
{
	const struct stage *st = s->stage;
	const char *text;
	int r;

	s->platform = p->o->target_platform;
	if (st->platform[0] == '\0')
		return 0;
	if (strcmp(st->platform, "$TARGETPLATFORM") == 0 ||
	    strcmp(st->platform, "${TARGETPLATFORM}") == 0)
		lint_add_to(p->lint, LINT_REDUNDANT_TARGET_PLATFORM, st->node,
			    "Setting platform to predefined %s in FROM is redundant as this is the "
			    "default behavior",
			    st->platform);
	r = expand_global(p, st, st->platform, &text, err);
	if (r < 0)
		return r;
	if (text[0] == '\0')
		return empty_platform(p, st->platform, err);
	r = platform_parse(text, &s->platform, err);
	if (r == 0)
		plan_lint_platform(p, st, &s->platform);
	return r < 0 ? error_wrap(err, r, "failed to parse platform %s", st->platform) : 0;
}

/* What every FROM says, be it needed or not. */
static int name_stages(struct planner *p, struct error *err)
{
	for (size_t i = 0; i < p->graph->n_stages; i++) {
		struct stage_plan *s = &p->graph->stages[i];
		int r;

		p->at = s->stage->node;
		r = expand_global(p, s->stage, s->stage->base, &s->base_name, err);
		if (r == 0 && s->base_name[0] == '\0')
			r = error_set(err, ERR_INVALID, "base name (%s) should not be blank",
				      s->stage->base);
		if (r == 0)
			r = stage_platform(p, s, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* And what every from= says: a mistake in a stage that nobody needs is one, too. Peer: BuildKit. */
static int check_sources(struct planner *p, struct error *err)
{
	for (size_t i = 0; i < p->graph->n_stages; i++) {
		struct stage_plan *s = &p->graph->stages[i], *other;

		for (size_t k = 0; k < s->stage->len; k++) {
			const struct instruction *ins = &s->stage->at[k];
			uint64_t index;
			int r = 0;

			if (cstr_is_empty(ins->from) || find_context(p, ins->from) != NULL)
				continue;
			p->at = ins->node;
			if (find_stage(p, i + 1, ins->from) == s ||
			    strpbrk(ins->from, "$'\"") != NULL ||
			    parse_u64(str_of(ins->from), UINT32_MAX, &index, NULL) == 0)
				r = find_source(p, s, ins->from, NULL, &other, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int stage_base(struct planner *p, struct stage_plan *s, struct strings *ret_triggers,
		      struct error *err)
{
	const struct plan_context *c = find_context(p, s->base_name);
	struct stage_plan *base = find_base(p, s->index, s->base_name);

	if (c != NULL && c->image == NULL)
		return from_directory(p, s, c->name, ret_triggers, err);
	if (c != NULL)
		return from_image(p, s, c->image, ret_triggers, err);
	if (base != NULL)
		return from_stage(p, s, base, ret_triggers, err);
	return from_image(p, s, s->base_name, ret_triggers, err);
}

static int plan_stage(struct planner *p, struct stage_plan *s, struct error *err)
{
	struct strings triggers = { 0 };
	int r;

	if (s->planned)
		return 0;
	s->planned = true;
	p->at = s->stage->node;
	r = stage_base(p, s, &triggers, err);
	if (r == 0)
		r = run_triggers(p, s, triggers, err);
	for (size_t i = 0; r == 0 && i < s->stage->len; i++)
		r = plan_instruction(p, s, &s->stage->at[i], err);
	return r;
}

static void set_platform_args(struct planner *p, struct vars *v, const char *prefix,
			      const struct platform *platform)
{
	char text[PLATFORM_TEXT_MAX];
	const struct {
		const char *suffix, *value;
	} parts[] = {
		{ "PLATFORM", text },
		{ "OS", platform->os },
		{ "OSVERSION", platform->os_version },
		{ "ARCH", platform->arch },
		{ "VARIANT", platform->variant },
	};

	platform_format(platform, text);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		vars_set(p->arena, v, arena_format(p->arena, "%s%s", prefix, parts[i].suffix),
			 arena_strdup(p->arena, parts[i].value));
}

static int global_args(struct planner *p, struct error *err)
{
	struct shell_lex lex = { .escape = p->file->ast.escape };
	struct shell_result result;
	int r;

	set_platform_args(p, &p->globals, "BUILD", &p->o->build_platform);
	set_platform_args(p, &p->globals, "TARGET", &p->o->target_platform);
	vars_set(p->arena, &p->globals, "TARGETSTAGE",
		 p->o->target && p->o->target[0] ? p->o->target : "default");
	for (size_t i = 0; i < p->o->n_build_args; i++) {
		const struct plan_pair *a = &p->o->build_args[i];

		if (vars_get(&p->globals, a->key) != NULL && a->value != NULL)
			vars_set(p->arena, &p->globals, a->key, a->value);
	}
	p->defaults = vars_copy(p->arena, &p->globals);
	for (size_t i = 0; i < p->file->n_meta_args; i++) {
		const struct instruction *ins = &p->file->meta_args[i];

		p->at = ins->node;
		for (size_t k = 0; k < ins->n_pairs; k++) {
			const struct key_value *kv = &ins->pairs[k];
			const char *given = NULL;

			if (kv->value != NULL) {
				r = shell_expand(p->arena, &lex, kv->value, &p->globals, &result,
						 err);
				if (r < 0)
					return r;
				vars_set(p->arena, &p->defaults, kv->key, result.word);
			}
			if (plan_build_arg(p, kv->key, &given) && given != NULL)
				vars_set(p->arena, &p->globals, kv->key, given);
			else if (kv->value != NULL)
				vars_set(p->arena, &p->globals, kv->key, result.word);
		}
	}
	return 0;
}

static int find_target(struct planner *p, struct error *err)
{
	struct graph *g = p->graph;
	const char *name = p->o->target, **names;

	if (g->n_stages == 0)
		return error_set(err, ERR_INVALID, "dockerfile contains no stages to build");
	g->target = &g->stages[g->n_stages - 1];
	if (name == NULL || name[0] == '\0')
		return 0;
	g->target = find_stage(p, g->n_stages, name);
	if (g->target != NULL)
		return 0;
	names = arena_array(p->arena, g->n_stages + 1, sizeof(*names));
	for (size_t i = 0; i < g->n_stages; i++)
		names[i] = g->stages[i].stage->name;
	p->at = NULL;
	return error_set(
	    err, ERR_NOT_FOUND, "%s",
	    suggest(p->arena,
		    arena_format(p->arena, "target stage \"%s\" could not be found", name), name,
		    names, g->n_stages, false));
}

static void number_steps(struct planner *p)
{
	struct graph *g = p->graph;

	for (size_t i = 0; i < g->n_stages; i++) {
		struct stage_plan *s = &g->stages[i];
		unsigned n = 0, k = 0;

		for (size_t j = 0; j < s->n_steps; j++)
			n += s->steps[j].node != NULL || j == 0;
		for (size_t j = 0; j < s->n_steps; j++) {
			k += s->steps[j].node != NULL || j == 0;
			if (s->steps[j].node == NULL)
				continue;
			s->steps[j].node->step = k;
			s->steps[j].node->n_steps = n;
		}
	}
	(void)p;
}

static void add_labels(struct planner *p)
{
	struct container_config *c = &p->graph->target->image.config;
	struct pair *at = arena_array(p->arena, c->labels.n + p->o->n_labels + 1, sizeof(*at));
	size_t n = c->labels.n;

	for (size_t i = 0; i < n; i++)
		at[i] = c->labels.at[i];
	for (size_t i = 0; i < p->o->n_labels; i++) {
		size_t k = 0;

		while (k < n && strcmp(at[k].key, p->o->labels[i].key) != 0)
			k++;
		n += k == n;
		at[k] = (struct pair){ p->o->labels[i].key,
				       p->o->labels[i].value ? p->o->labels[i].value : "" };
	}
	c->labels = (struct pairs){ at, n };
}

static void need(struct planner *p, bool *needed, const struct stage_plan *s, const char *name,
		 const char *mount)
{
	struct stage_plan *other;

	if (name != NULL && find_source(p, s, name, mount, &other, NULL) == 0 && other != NULL)
		needed[other->index] = true;
}

static void need_inputs(struct planner *p, bool *needed, const struct stage_plan *s)
{
	struct stage_plan *base = find_base(p, s->index, s->base_name);

	if (base != NULL)
		needed[base->index] = true;
	for (size_t i = 0; i < s->stage->len; i++) {
		const struct instruction *ins = &s->stage->at[i];
		struct run_mount mount;

		need(p, needed, s, ins->from, NULL);
		for (size_t k = 0; k < ins->mounts.len; k++) {
			if (run_mount_parse(p->arena, ins->mounts.at[k], NULL, NULL, &mount,
					    NULL) == 0)
				need(p, needed, s, mount.from, "");
		}
	}
}

/* Names lead only backwards. Planning from the front keeps the stack flat
 * however many stages build on one another. */
static int plan_needed(struct planner *p, struct error *err)
{
	struct graph *g = p->graph;
	bool *needed = arena_array(p->arena, g->n_stages, sizeof(*needed));
	int r;

	size_t end = p->o->all_stages ? g->n_stages : g->target->index + 1;

	needed[g->target->index] = true;
	for (size_t i = g->target->index + 1; i > 0; i--) {
		if (needed[i - 1])
			need_inputs(p, needed, &g->stages[i - 1]);
	}
	for (size_t i = 0; i < end; i++) {
		if (!needed[i] && !p->o->all_stages)
			continue;
		r = plan_stage(p, &g->stages[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int plan_all(struct planner *p, struct error *err)
{
	struct graph *g = p->graph;
	const char *epoch;
	int64_t seconds;
	int r;

	if (plan_build_arg(p, "SOURCE_DATE_EPOCH", &epoch) && epoch != NULL && epoch[0] != '\0') {
		r = parse_i64(str_of(epoch), 0, INT64_MAX / NS_PER_SEC, &seconds, err);
		if (r < 0)
			return error_wrap(err, r, "invalid SOURCE_DATE_EPOCH");
		g->epoch_ns = seconds * NS_PER_SEC;
		g->has_epoch = true;
	}
	r = global_args(p, err);
	if (r < 0)
		return r;
	plan_lint_file(p);
	r = name_stages(p, err);
	if (r == 0)
		r = find_target(p, err);
	if (r == 0)
		r = check_sources(p, err);
	if (r == 0)
		r = plan_needed(p, err);
	if (r < 0)
		return r;
	add_labels(p);
	number_steps(p);
	return 0;
}

int plan_build(struct arena *a, const struct dockerfile *d, const struct plan_options *o,
	       const struct plan_ops *ops, struct lint *lint, struct graph *ret,
	       struct ast_location *ret_where, struct error *err)
{
	struct graph g = { .arena = a, .n_stages = d->n_stages };
	struct planner p = { .arena = a, .file = d, .o = o, .ops = ops, .lint = lint, .graph = &g };
	int r;

	g.stages = arena_array(a, d->n_stages + 1, sizeof(*g.stages));
	for (size_t i = 0; i < d->n_stages; i++) {
		const char *name = d->stages[i].name;

		g.stages[i].stage = &d->stages[i];
		g.stages[i].index = (unsigned)i;
		if (d->n_stages == 1)
			name = "";
		else if (name[0] == '\0')
			name = arena_format(a, "stage-%zu", i);
		g.stages[i].name = name;
	}
	r = plan_all(&p, err);
	if (r < 0) {
		if (ret_where != NULL && p.at != NULL)
			*ret_where = (struct ast_location){ p.at->line, p.at->end_line };
		return r;
	}
	g.globals = p.globals;
	*ret = g;
	return 0;
}
