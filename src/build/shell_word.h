/*
 * build/shell_word.h: quotes and variables of one Dockerfile word.
 *
 * $v ${v} ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?w} ${v?w} ${v#p} ${v##p} ${v%p}
 * ${v%%p} ${v/p/r} ${v//p/r}, single and double quotes, the escape character.
 * Pure; texts in messages are those of BuildKit's frontend, which tools grep.
 * Peer: BuildKit frontend/dockerfile/shell.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "build/vars.h"

struct shell_lex {
	char escape;      /* '\\' or '`' */
	bool raw_quotes;  /* keep quote characters */
	bool raw_escapes; /* keep escape characters */
	bool skip_quotes; /* quote characters are ordinary (heredoc bodies) */
	bool skip_unset;  /* leave references to unset variables as they are */
};

/* Which variables a word referred to, in order of first use, each once. */
struct shell_names {
	const char **at;
	size_t len, cap;
};

struct shell_result {
	const char *word;   /* everything as one word */
	const char **words; /* split at unquoted blanks */
	size_t n_words;
	struct shell_names matched, unmatched;
};

/*
 * Expand `word`. All results live in the arena.
 * ERR_INVALID: `failed to process "word": ...` (bad substitution, open quote,
 * ${v?message}, or a result past the ceiling).
 */
MUST_CHECK int shell_expand(struct arena *a, const struct shell_lex *lex, const char *word,
			    const struct vars *env, struct shell_result *ret, struct error *err);
