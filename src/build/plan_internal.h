/* build/plan_internal.h: what the files of the planner share. */
#pragma once

#include "build/plan.h"

struct planner {
	struct arena *arena;
	const struct dockerfile *file;
	const struct plan_options *o;
	const struct plan_ops *ops;
	struct lint *lint;
	struct graph *graph;
	struct vars globals;       /* platform ARGs and those before the first FROM */
	struct vars defaults;      /* the same without --build-arg */
	const struct ast_node *at; /* for the location of errors */
};

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- plan.c ---- */
/* Expand a word in the stage's variables; undefined ones are a finding. */
MUST_CHECK int plan_expand(struct planner *p, struct stage_plan *s, const struct ast_node *n,
			   const char *word, const char **ret, struct error *err);
/* Same, quotes are ordinary characters (heredoc bodies). */
MUST_CHECK int plan_expand_body(struct planner *p, struct stage_plan *s, const struct ast_node *n,
				const char *word, const char **ret, struct error *err);
struct node *plan_node(struct planner *p, struct stage_plan *s, enum node_kind kind,
		       const char *text, unsigned line);
void plan_input(struct planner *p, struct node *n, struct node *input);
void plan_history(struct planner *p, struct stage_plan *s, struct node *node, const char *fmt, ...)
    PRINTF(4, 5);
/*
 * What --from and from= name: a stage before `s` (planned now if need be), its
 * index, a named context, else an image. mount: the target of from=, NULL for COPY.
 */
MUST_CHECK int plan_source(struct planner *p, struct stage_plan *s, const char *name,
			   const char *mount, struct source *ret, struct error *err);
/* The value of a --build-arg: false when not given. *ret may be NULL. */
bool plan_build_arg(const struct planner *p, const char *key, const char **ret);
/* "[ "a" "b"]" as Go's %q prints a list. */
const char *plan_quote_list(struct arena *a, const struct word_array *w);
const char *plan_join(struct arena *a, const struct word_array *w, const char *between);
/* Absolute, against the stage's working directory. */
const char *plan_path(struct planner *p, const struct stage_plan *s, const char *path);

/* A name needs a passwd file, and scratch has none: ERR_INVALID. Peer: BuildKit. */
MUST_CHECK int plan_check_owner(const struct stage_plan *s, const char *owner, struct error *err);

/* What a source word is: a path, or an address, which ADD alone takes. */
enum copy_item_kind plan_item_kind(const char *path);
/* May an inline file be called so? */
bool plan_is_file_name(const char *name);

/* ---- one function for each instruction ---- */
typedef int (*plan_fn)(struct planner *p, struct stage_plan *s, const struct instruction *i,
		       struct error *err);
MUST_CHECK int plan_run(struct planner *p, struct stage_plan *s, const struct instruction *i,
			struct error *err);
MUST_CHECK int plan_copy(struct planner *p, struct stage_plan *s, const struct instruction *i,
			 struct error *err);
MUST_CHECK int plan_meta(struct planner *p, struct stage_plan *s, const struct instruction *i,
			 struct error *err);
MUST_CHECK int plan_arg(struct planner *p, struct stage_plan *s, const struct instruction *i,
			struct error *err);
/* Findings over the whole file. */
void plan_lint_file(struct planner *p);
/* FROM names an ARG that has no value, and a platform that is written out. */
void plan_lint_from(struct planner *p, const struct stage *st, const char *name);
void plan_lint_platform(struct planner *p, const struct stage *st, const struct platform *platform);
/* The image that was found is for another platform. */
void plan_lint_base(struct planner *p, const struct stage *st, const char *name,
		    const struct platform *want, const struct platform *have);
void plan_lint_secret(struct planner *p, const struct instruction *i, const char *name);
