/*
 * build/ast_args.h: how each instruction's rest of line becomes words.
 * Private to ast.c. Peer: BuildKit frontend/dockerfile/parser/line_parsers.go.
 */
#pragma once

#include "build/ast.h"

/* A growing list of words in an arena. */
struct word_list {
	const char **at;
	size_t len, cap;
};
void word_list_add(struct arena *a, struct word_list *l, const char *word);

/* Split a line into instruction, flags and rest. */
void ast_split_command(struct arena *a, const char *line, struct ast_node *n,
		       const char **ret_rest);
/* Fill n->args, n->json (or n->child for ONBUILD). ERR_INVALID. */
MUST_CHECK int ast_split_args(struct arena *a, struct ast_node *n, const char *rest, char escape,
			      unsigned depth, struct error *err);
/* Instruction, flags and arguments of one joined line. */
MUST_CHECK int ast_node_from_line(struct arena *a, const char *line, char escape, unsigned depth,
				  struct ast_node *ret, struct error *err);
