/*
 * build/flags.h: "--name=value" in front of an instruction's arguments, and
 * suggestions for what was mistyped. Private to the room's parsers.
 */
#pragma once

#include <stdbool.h>

#include "build/ast.h"
#include "build/instruction.h"

enum flag_type { FLAG_STRING, FLAG_BOOL, FLAG_STRINGS };

struct flag_spec {
	const char *name;
	enum flag_type type;
	const char *value;        /* out: NULL when not given; bools "true" / "false" */
	struct word_array values; /* out: FLAG_STRINGS */
};

/* Fill the specs from n->flags. ERR_INVALID: unknown, duplicate, missing value. */
MUST_CHECK int flags_parse(struct arena *a, const struct ast_node *n, struct flag_spec *specs,
			   size_t n_specs, struct error *err);
