/* build/plan_lint.c: build checks that look at the whole file, and at names. */
#include <ctype.h>
#include <strings.h>

#include "build/plan_internal.h"
#include "build/shell_word.h"
#include "build/text.h"
#include "oci/reference.h"

static bool all_lower(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s >= 'A' && *s <= 'Z')
			return false;
	}
	return true;
}

static bool all_upper(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s >= 'a' && *s <= 'z')
			return false;
	}
	return true;
}

static void count_casing(const char *name, size_t *lower, size_t *upper)
{
	if (all_lower(name))
		++*lower;
	else if (all_upper(name))
		++*upper;
}

static void check_casing(struct planner *p, const struct ast_node *n, bool lower)
{
	if (lower ? all_lower(n->value) : all_upper(n->value))
		return;
	lint_add(p->lint, LINT_CONSISTENT_INSTRUCTION_CASING, n->line, n->end_line,
		 "Command '%s' should match the case of the command majority (%s)", n->value,
		 lower ? "lowercase" : "uppercase");
}

static void lint_casing(struct planner *p)
{
	size_t lower = 0, upper = 0;

	for (size_t i = 0; i < p->file->n_stages; i++) {
		const struct stage *s = &p->file->stages[i];

		count_casing(s->node->value, &lower, &upper);
		for (size_t k = 0; k < s->len; k++)
			count_casing(s->at[k].name, &lower, &upper);
	}
	for (size_t i = 0; i < p->file->n_stages; i++) {
		const struct stage *s = &p->file->stages[i];

		check_casing(p, s->node, lower > upper);
		for (size_t k = 0; k < s->len; k++)
			check_casing(p, s->at[k].node, lower > upper);
	}
}

static void lint_names(struct planner *p)
{
	for (size_t i = 0; i < p->file->n_stages; i++) {
		const struct stage *s = &p->file->stages[i];
		bool twice = false;

		for (size_t k = 0; k < i && s->name[0] != '\0'; k++)
			twice |= strcmp(p->file->stages[k].name, s->name) == 0;
		if (twice)
			lint_add(
			    p->lint, LINT_DUPLICATE_STAGE_NAME, s->node->line, s->node->end_line,
			    "Duplicate stage name \"%s\", stage names should be unique", s->name);
	}
}

/* FROM $X where the defaults alone give no image's name. */
static void lint_defaults(struct planner *p)
{
	struct shell_lex lex = { .escape = p->file->ast.escape };

	for (size_t i = 0; i < p->file->n_stages; i++) {
		const struct stage *s = &p->file->stages[i];
		struct shell_result result;
		struct reference ref;

		if (shell_expand(p->arena, &lex, s->base, &p->defaults, &result, NULL) < 0)
			continue;
		if (result.word[0] == '\0' || reference_parse(result.word, &ref, NULL) < 0)
			lint_add(p->lint, LINT_INVALID_DEFAULT_ARG_IN_FROM, s->node->line,
				 s->node->end_line,
				 "Default value for ARG %s results in empty or invalid base image "
				 "name",
				 s->base);
	}
}

/* The last line of comment above begins with one of the names. */
static void lint_comment(struct planner *p, const struct ast_node *n, const char *instruction,
			 const char *const *names, size_t n_names)
{
	const char *last = n->n_comments > 0 ? n->comments[n->n_comments - 1] : "";
	size_t len = strcspn(last, " ");

	if (n->n_comments == 0 || n_names == 0)
		return;
	for (size_t i = 0; i < n_names; i++) {
		if (strlen(names[i]) == len && strncmp(names[i], last, len) == 0)
			return;
	}
	lint_add_to(p->lint, LINT_INVALID_DEFINITION_DESCRIPTION, n,
		    "Comment for %s should follow the format: `# %s <description>`", instruction,
		    n_names > 1 ? "<arg_key>" : names[0]);
}

static void lint_arg_comment(struct planner *p, const struct instruction *ins)
{
	const char **names = arena_array(p->arena, ins->n_pairs + 1, sizeof(*names));

	for (size_t i = 0; i < ins->n_pairs; i++)
		names[i] = ins->pairs[i].key;
	if (ins->kind == INS_ARG)
		lint_comment(p, ins->node, "ARG", names, ins->n_pairs);
}

static void lint_comments(struct planner *p)
{
	for (size_t i = 0; i < p->file->n_meta_args; i++)
		lint_arg_comment(p, &p->file->meta_args[i]);
	for (size_t i = 0; i < p->file->n_stages; i++) {
		const struct stage *s = &p->file->stages[i];

		lint_comment(p, s->node, "FROM", &s->name, s->name[0] != '\0');
		for (size_t k = 0; k < s->len; k++)
			lint_arg_comment(p, &s->at[k]);
	}
}

void plan_lint_from(struct planner *p, const struct stage *st, const char *name)
{
	const char *text = arena_format(p->arena, "FROM argument '%s' is not declared", name);
	size_t n = p->globals.len;
	const char **names;

	for (size_t i = 0; i < p->file->n_meta_args; i++)
		n += p->file->meta_args[i].n_pairs;
	names = arena_array(p->arena, n + 1, sizeof(*names));
	for (n = 0; n < p->globals.len; n++)
		names[n] = p->globals.at[n].key;
	for (size_t i = 0; i < p->file->n_meta_args; i++) {
		for (size_t k = 0; k < p->file->meta_args[i].n_pairs; k++) {
			names[n] = p->file->meta_args[i].pairs[k].key;
			if (strcmp(names[n++], name) == 0)
				return; /* declared, if without a value */
		}
	}
	lint_add_to(p->lint, LINT_UNDEFINED_ARG_IN_FROM, st->node, "%s",
		    suggest(p->arena, text, name, names, n, true));
}

/* A stage that is called after it means it. */
void plan_lint_platform(struct planner *p, const struct stage *st, const struct platform *platform)
{
	if (strchr(st->platform, '$') == NULL && strstr(st->name, platform->os) == NULL &&
	    strstr(st->name, platform->arch) == NULL)
		lint_add_to(p->lint, LINT_FROM_PLATFORM_FLAG_CONST_DISALLOWED, st->node,
			    "FROM --platform flag should not use constant value %s",
			    text_quote(p->arena, st->platform));
}

/* What has one platform alone is taken as it is; of what was not looked for nothing is known. */
void plan_lint_base(struct planner *p, const struct stage *st, const char *name,
		    const struct platform *want, const struct platform *have)
{
	char want_text[PLATFORM_TEXT_MAX], have_text[PLATFORM_TEXT_MAX];

	if (strcmp(name, "scratch") == 0 || have->os[0] == '\0' ||
	    (strcmp(want->os, have->os) == 0 && strcmp(want->arch, have->arch) == 0))
		return;
	platform_format(want, want_text);
	platform_format(have, have_text);
	lint_add(p->lint, LINT_INVALID_BASE_IMAGE_PLATFORM, st->node->line, st->node->end_line,
		 "Base image %s was pulled with platform %s, expected %s for current build", name,
		 text_quote(p->arena, have_text), text_quote(p->arena, want_text));
}

void plan_lint_file(struct planner *p)
{
	/* The place is the last line of the instruction. Peer: BuildKit. */
	for (size_t i = 0; i < p->file->ast.n_warnings; i++)
		lint_add(p->lint, LINT_NO_EMPTY_CONTINUATION, p->file->ast.warnings[i].end_line,
			 p->file->ast.warnings[i].end_line, "Empty continuation line");
	lint_casing(p);
	lint_names(p);
	lint_defaults(p);
	lint_comments(p);
}

/* One of the words stands between underscores or at an end. */
static bool has_word(const char *name, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(words[i]);

		for (const char *at = name; *at != '\0'; at++) {
			if (strncasecmp(at, words[i], len) == 0 && (at == name || at[-1] == '_') &&
			    (at[len] == '\0' || at[len] == '_'))
				return true;
		}
	}
	return false;
}

void plan_lint_secret(struct planner *p, const struct instruction *i, const char *name)
{
	static const char *const secret[] = { "apikey", "auth",     "credential", "credentials",
					      "key",    "password", "pword",      "passwd",
					      "secret", "token" };
	static const char *const fine[] = { "public", "file", "version" };

	if (has_word(name, secret, ARRAY_LEN(secret)) && !has_word(name, fine, ARRAY_LEN(fine)))
		lint_add_to(p->lint, LINT_SECRETS_USED_IN_ARG_OR_ENV, i->node,
			    "Do not use ARG or ENV instructions for sensitive data (%s \"%s\")",
			    instruction_name(i->kind), name);
}
