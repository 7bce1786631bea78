#include "build/lint.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/str.h"
#include "build/directive.h"

static const struct {
	const char *name, *description;
} rules[LINT_RULE_COUNT] = {
	[LINT_STAGE_NAME_CASING] = { "StageNameCasing", "Stage names should be lowercase" },
	[LINT_FROM_AS_CASING] = { "FromAsCasing",
				  "The 'as' keyword should match the case of the 'from' keyword" },
	[LINT_NO_EMPTY_CONTINUATION] = { "NoEmptyContinuation",
					 "Empty continuation lines will become errors in a future "
					 "release" },
	[LINT_CONSISTENT_INSTRUCTION_CASING] = { "ConsistentInstructionCasing",
						 "All commands within the Dockerfile should use "
						 "the same casing (either upper or lower)" },
	[LINT_DUPLICATE_STAGE_NAME] = { "DuplicateStageName", "Stage names should be unique" },
	[LINT_RESERVED_STAGE_NAME] = { "ReservedStageName",
				       "Reserved words should not be used as stage names" },
	[LINT_JSON_ARGS_RECOMMENDED] = { "JSONArgsRecommended",
					 "JSON arguments recommended for ENTRYPOINT/CMD to prevent "
					 "unintended behavior related to OS signals" },
	[LINT_MAINTAINER_DEPRECATED] = { "MaintainerDeprecated",
					 "The MAINTAINER instruction is deprecated, use a label "
					 "instead to define an image author" },
	[LINT_UNDEFINED_ARG_IN_FROM] = { "UndefinedArgInFrom",
					 "FROM command must use declared ARGs" },
	[LINT_WORKDIR_RELATIVE_PATH] = { "WorkdirRelativePath",
					 "Relative workdir without an absolute workdir declared "
					 "within the build can have unexpected results if the base "
					 "image changes" },
	[LINT_UNDEFINED_VAR] = { "UndefinedVar", "Variables should be defined before their use" },
	[LINT_MULTIPLE_INSTRUCTIONS_DISALLOWED] = { "MultipleInstructionsDisallowed",
						    "Multiple instructions of the same type should "
						    "not be used in the same stage" },
	[LINT_LEGACY_KEY_VALUE_FORMAT] = { "LegacyKeyValueFormat",
					   "Legacy key/value format with whitespace separator "
					   "should not be used" },
	[LINT_INVALID_BASE_IMAGE_PLATFORM] = { "InvalidBaseImagePlatform",
					       "Base image platform does not match expected target "
					       "platform" },
	[LINT_REDUNDANT_TARGET_PLATFORM] = { "RedundantTargetPlatform",
					     "Setting platform to predefined $TARGETPLATFORM in "
					     "FROM is redundant as this is the default behavior" },
	[LINT_SECRETS_USED_IN_ARG_OR_ENV] = { "SecretsUsedInArgOrEnv",
					      "Sensitive data should not be used in the ARG or ENV "
					      "commands" },
	[LINT_INVALID_DEFAULT_ARG_IN_FROM] = { "InvalidDefaultArgInFrom",
					       "Default value for global ARG results in an empty "
					       "or "
					       "invalid base image name" },
	[LINT_FROM_PLATFORM_FLAG_CONST_DISALLOWED] = { "FromPlatformFlagConstDisallowed",
						       "FROM --platform flag should not use a "
						       "constant value" },
	[LINT_COPY_IGNORED_FILE] = { "CopyIgnoredFile",
				     "Attempting to Copy file that is excluded by .dockerignore" },
	[LINT_INVALID_DEFINITION_DESCRIPTION] = { "InvalidDefinitionDescription",
						  "Comment for build stage or argument should "
						  "follow the format: `# <arg/stage name> "
						  "<description>`. If this is not intended to be a "
						  "description comment, add an empty line or "
						  "comment between the instruction and the "
						  "comment." },
	[LINT_EXPOSE_PROTO_CASING] = { "ExposeProtoCasing",
				       "Protocol in EXPOSE instruction should be lowercase" },
	[LINT_EXPOSE_INVALID_FORMAT] = { "ExposeInvalidFormat",
					 "IP address and host-port mapping should not be used in "
					 "EXPOSE instruction. This will become an error in a "
					 "future release" },
};

void lint_init(struct lint *l, struct arena *a)
{
	*l = (struct lint){ .arena = a };
}

/* "all" or names; unknown names are left for newer versions. */
static bool mark_rules(bool *marks, struct str list)
{
	struct str name;

	if (str_eqs(list, "all"))
		return true;
	while (str_split(&list, ',', &name)) {
		name = str_trim(name);
		for (size_t i = 0; i < LINT_RULE_COUNT; i++) {
			if (str_eqs(name, rules[i].name))
				marks[i] = true;
		}
	}
	return false;
}

static int read_options(const char *check, struct lint_options *o, struct error *err)
{
	struct str rest = str_of(check), option;
	int r;

	if (check[0] == '\0')
		return 0;
	while (str_split(&rest, ';', &option)) {
		ptrdiff_t eq = str_find(option, '=');
		struct str key, value;

		if (eq < 0)
			return error_set(err, ERR_INVALID, "invalid check option %.*s",
					 STR_ARG(option));
		key = str_trim(str_sub(option, 0, (size_t)eq));
		value = str_trim(str_sub(option, (size_t)eq + 1, option.len));
		if (str_eqs(key, "skip")) {
			o->skip_all |= mark_rules(o->skip, value);
		} else if (str_eqs(key, "experimental")) {
			if (mark_rules(o->experimental, value))
				memset(o->experimental, true, sizeof(o->experimental));
		} else if (str_eqs(key, "error")) {
			r = parse_bool(value, &o->return_error, err);
			if (r < 0)
				return error_wrap(err, r, "failed to parse check option %.*s",
						  STR_ARG(key));
		} else {
			return error_set(err, ERR_INVALID, "invalid check option %.*s",
					 STR_ARG(key));
		}
	}
	return 0;
}

int lint_configure(struct lint *l, const char *check, struct error *err)
{
	return read_options(check, &l->options, err);
}

/* The first comment that is a check directive counts, up to its first blank; one that is wrong
 * says nothing. Peer: BuildKit. */
static void read_comments(const struct ast_node *n, struct lint_options *ret)
{
	auto_(arena) a = ARENA_INIT;

	for (size_t i = 0; i < n->n_comments; i++) {
		struct directive_parser p = { .comment = "" };
		struct lint_options own = { 0 };
		struct directive d;
		bool found;

		if (directive_parse_line(&p, &a, str_of(n->comments[i]), &found, &d, NULL) < 0 ||
		    !found || strcmp(d.name, "check") != 0)
			continue;
		if (read_options(arena_strndup(&a, d.value, strcspn(d.value, " ")), &own, NULL) ==
		    0)
			*ret = own;
		return;
	}
}

bool lint_wants(const struct lint *l, enum lint_rule rule, const struct ast_node *of)
{
	struct lint_options own = { 0 };

	if (l == NULL)
		return false;
	if (of != NULL)
		read_comments(of, &own);
	if (rule == LINT_INVALID_DEFINITION_DESCRIPTION)
		return l->options.experimental[rule] || own.experimental[rule];
	return !l->options.skip_all && !own.skip_all && !l->options.skip[rule] && !own.skip[rule];
}

static void add(struct lint *l, enum lint_rule rule, unsigned line, unsigned end_line,
		const char *fmt, va_list ap) PRINTF(5, 0);

static void add(struct lint *l, enum lint_rule rule, unsigned line, unsigned end_line,
		const char *fmt, va_list ap)
{
	autofree char *text = NULL;

	if (l->len == l->cap) {
		struct lint_finding *at;

		l->cap = l->cap ? l->cap * 2 : 8;
		at = arena_array(l->arena, l->cap, sizeof(*at));
		if (l->len > 0)
			memcpy(at, l->at, l->len * sizeof(*at));
		l->at = at;
	}
	if (vasprintf(&text, fmt, ap) < 0)
		text = xcalloc(SIZE_MAX, 2); /* does not return */
	l->at[l->len++] = (struct lint_finding){
		.rule = rule,
		.text = arena_strdup(l->arena, text),
		.line = line,
		.end_line = end_line,
	};
}

void lint_add(struct lint *l, enum lint_rule rule, unsigned line, unsigned end_line,
	      const char *fmt, ...)
{
	va_list ap;

	if (!lint_wants(l, rule, NULL))
		return;
	va_start(ap, fmt);
	add(l, rule, line, end_line, fmt, ap);
	va_end(ap);
}

void lint_add_to(struct lint *l, enum lint_rule rule, const struct ast_node *n, const char *fmt,
		 ...)
{
	va_list ap;

	if (!lint_wants(l, rule, n))
		return;
	va_start(ap, fmt);
	add(l, rule, n ? n->line : 0, n ? n->end_line : 0, fmt, ap);
	va_end(ap);
}

const char *lint_rule_name(enum lint_rule rule)
{
	return rules[rule].name;
}

const char *lint_rule_description(enum lint_rule rule)
{
	return rules[rule].description;
}

bool lint_rule_has_page(enum lint_rule rule)
{
	return rule != LINT_INVALID_BASE_IMAGE_PLATFORM;
}
