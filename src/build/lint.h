/*
 * build/lint.h: findings of BuildKit's build checks.
 *
 * `# check=skip=RULE,RULE;error=true` at the top and --check decide what becomes of them;
 * `# check=skip=RULE` right above an instruction is for what that says.
 * The texts and names are those of BuildKit, because scripts grep them.
 * Peer: BuildKit frontend/dockerfile/linter/ruleset.go.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "build/ast.h"

enum lint_rule {
	LINT_STAGE_NAME_CASING,
	LINT_FROM_AS_CASING,
	LINT_NO_EMPTY_CONTINUATION,
	LINT_CONSISTENT_INSTRUCTION_CASING,
	LINT_DUPLICATE_STAGE_NAME,
	LINT_RESERVED_STAGE_NAME,
	LINT_JSON_ARGS_RECOMMENDED,
	LINT_MAINTAINER_DEPRECATED,
	LINT_UNDEFINED_ARG_IN_FROM,
	LINT_WORKDIR_RELATIVE_PATH,
	LINT_UNDEFINED_VAR,
	LINT_MULTIPLE_INSTRUCTIONS_DISALLOWED,
	LINT_LEGACY_KEY_VALUE_FORMAT,
	LINT_INVALID_BASE_IMAGE_PLATFORM,
	LINT_REDUNDANT_TARGET_PLATFORM,
	LINT_SECRETS_USED_IN_ARG_OR_ENV,
	LINT_INVALID_DEFAULT_ARG_IN_FROM,
	LINT_FROM_PLATFORM_FLAG_CONST_DISALLOWED,
	LINT_COPY_IGNORED_FILE,
	LINT_INVALID_DEFINITION_DESCRIPTION, /* experimental: off by default */
	LINT_EXPOSE_PROTO_CASING,
	LINT_EXPOSE_INVALID_FORMAT,
	LINT_RULE_COUNT,
};

struct lint_finding {
	enum lint_rule rule;
	const char *text;
	unsigned line, end_line;
};

/* What a check directive says. */
struct lint_options {
	bool skip_all, return_error;
	bool skip[LINT_RULE_COUNT], experimental[LINT_RULE_COUNT];
};

struct lint {
	struct arena *arena; /* borrowed */
	struct lint_finding *at;
	size_t len, cap;
	struct lint_options options;
};

void lint_init(struct lint *l, struct arena *a);
/* "skip=A,B;error=true;experimental=C|all". ERR_INVALID for what is not that. */
MUST_CHECK int lint_configure(struct lint *l, const char *check, struct error *err);
/* Is a finding of this rule wanted? Above its instruction (NULL: the rule is of the whole file) a
 * comment "check=skip=RULE" may say no. l may be NULL. */
bool lint_wants(const struct lint *l, enum lint_rule rule, const struct ast_node *of);
/* A finding of a rule of the whole file, when it is wanted. l may be NULL. */
void lint_add(struct lint *l, enum lint_rule rule, unsigned line, unsigned end_line,
	      const char *fmt, ...) PRINTF(5, 6);
/* A finding of one instruction (NULL: of nobody knows which), when it is wanted there. */
void lint_add_to(struct lint *l, enum lint_rule rule, const struct ast_node *n, const char *fmt,
		 ...) PRINTF(4, 5);
const char *lint_rule_name(enum lint_rule rule);
const char *lint_rule_description(enum lint_rule rule);
bool lint_rule_has_page(enum lint_rule rule); /* of the documentation */
