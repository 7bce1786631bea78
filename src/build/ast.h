/*
 * build/ast.h: a Dockerfile as a list of instructions.
 *
 * Lines are joined (escape character, comments and empty lines inside a
 * continuation), split into instruction, flags and arguments, and heredoc
 * bodies are attached. What the words mean is instruction.h's business.
 * Pure; everything lives in the arena. Peer: BuildKit frontend/dockerfile/parser.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#define DOCKERFILE_MAX (16U << 20) /* bytes */

struct heredoc {
	const char *name;
	const char *content; /* as written, tabs not yet stripped */
	bool expand;         /* no part of the word was quoted */
	bool chomp;          /* <<- */
	unsigned fd;
};

struct ast_node {
	const char *value;    /* the instruction as written */
	const char *original; /* the joined line */
	const char **flags;   /* "--name=value" */
	size_t n_flags;
	const char **args; /* ENV and LABEL: key, value, "=" or "" */
	size_t n_args;
	struct ast_node *child; /* ONBUILD: the trigger; args is empty then */
	bool json;              /* written as a JSON array */
	struct heredoc *heredocs;
	size_t n_heredocs;
	const char **comments; /* lines right above, without '#' */
	size_t n_comments;
	unsigned line, end_line; /* from 1 */
};

struct ast_warning {
	const char *text; /* "Empty continuation line found in: ..." */
	unsigned line, end_line;
};

struct ast {
	struct ast_node *nodes;
	size_t n_nodes;
	char escape;
	struct ast_warning *warnings;
	size_t n_warnings;
};

/* Where a Dockerfile is wrong. */
struct ast_location {
	unsigned line, end_line; /* 0: unknown */
};

/*
 * Parse a whole Dockerfile. On failure *ret_where (may be NULL) says where.
 * ERR_INVALID with BuildKit's text: "file with no instructions", "unterminated
 * heredoc", "ENV must have two arguments", ...
 */
MUST_CHECK int ast_parse(struct arena *a, struct str source, struct ast *ret,
			 struct ast_location *ret_where, struct error *err);

/* One line without continuation, as an ONBUILD trigger of a base image gives it
 * (heredocs follow in later lines of `source`). */
MUST_CHECK int ast_parse_trigger(struct arena *a, const char *source, char escape,
				 struct ast_node **ret, struct error *err);

/* "<<EOF" and friends. *ret is NULL when the word is none. */
MUST_CHECK int heredoc_parse(struct arena *a, const char *word, struct heredoc **ret,
			     struct error *err);
/* Leading tabs of each line removed, as <<- asks. */
const char *heredoc_chomp(struct arena *a, const char *content);

/* S-expression of one instruction, as BuildKit's Dump prints it. For tests. */
const char *ast_dump_node(struct arena *a, const struct ast_node *n);
