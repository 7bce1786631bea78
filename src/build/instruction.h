/*
 * build/instruction.h: typed instructions, grouped into stages.
 *
 * Checks words, flags and counts with BuildKit's texts ("dockerfile parse error
 * on line 2: unknown flag: --boo"). Variables are not expanded yet, but for what
 * must be known early. Pure; everything lives in the arena.
 * Peer: BuildKit frontend/dockerfile/instructions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "build/ast.h"
#include "build/lint.h"

enum instruction_kind {
	INS_ADD,
	INS_ARG,
	INS_CMD,
	INS_COPY,
	INS_ENTRYPOINT,
	INS_ENV,
	INS_EXPOSE,
	INS_FROM,
	INS_HEALTHCHECK,
	INS_LABEL,
	INS_MAINTAINER,
	INS_ONBUILD,
	INS_RUN,
	INS_SHELL,
	INS_STOPSIGNAL,
	INS_USER,
	INS_VOLUME,
	INS_WORKDIR,
	INS_KIND_COUNT,
};

/* Upper-case name. */
const char *instruction_name(enum instruction_kind kind);

struct word_array {
	const char **at;
	size_t len;
};

/* ENV, LABEL and ARG. */
struct key_value {
	const char *key;
	const char *value;   /* ARG without default: NULL */
	const char *comment; /* ARG: the doc comment, or "" */
	bool no_delim;       /* written "KEY value" */
};

/* An inline file of ADD and COPY. */
struct inline_file {
	const char *path, *data;
	bool expand;
};

struct health {
	struct word_array test; /* "NONE", or "CMD" / "CMD-SHELL" and words */
	int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;
	int64_t retries;
};

enum tristate { UNSET = 0, NO, YES };

struct instruction {
	enum instruction_kind kind;
	const struct ast_node *node;
	const char *name; /* as written */

	struct key_value *pairs; /* ENV LABEL ARG */
	size_t n_pairs;
	/* RUN CMD ENTRYPOINT SHELL EXPOSE VOLUME: words; ADD COPY: source paths;
	 * WORKDIR USER STOPSIGNAL MAINTAINER ONBUILD: one word */
	struct word_array words;
	bool prepend_shell; /* RUN CMD ENTRYPOINT: shell form */

	struct word_array mounts;     /* RUN --mount values, unparsed */
	const char *network;          /* RUN: "default" "none" "host", or NULL */
	const char *security;         /* RUN: "sandbox" "insecure", or NULL */
	struct word_array flags_used; /* RUN, sorted */

	/* ADD COPY */
	struct inline_file *files;
	size_t n_files;
	const char *dest, *from, *chown, *chmod, *checksum; /* "" when absent */
	struct word_array excludes;
	bool link, parents;
	enum tristate keep_git_dir, unpack;

	struct health health;
};

struct stage {
	const char *name; /* lower case, "" when unnamed */
	const char *base;
	const char *platform; /* "" when absent */
	const char *source;   /* the FROM line, trimmed */
	const char *comment;
	const struct ast_node *node;
	struct instruction *at;
	size_t len, cap;
};

struct dockerfile {
	struct ast ast;
	struct instruction *meta_args; /* ARG before the first FROM */
	size_t n_meta_args;
	struct stage *stages;
	size_t n_stages;
	/* Parse results of the check directive and friends. */
	const char *check; /* "" when absent */
};

/*
 * Type all instructions. Findings of the parse-time rules go to `lint` (may be
 * NULL). *ret_where as in ast_parse. ERR_INVALID with BuildKit's text.
 */
MUST_CHECK int dockerfile_parse(struct arena *a, struct str source, struct lint *lint,
				struct dockerfile *ret, struct ast_location *ret_where,
				struct error *err);
/* One instruction that is no FROM, as ONBUILD triggers are; no line prefix in errors. */
MUST_CHECK int instruction_parse(struct arena *a, const struct ast_node *n, struct lint *lint,
				 struct instruction *ret, struct error *err);

enum mount_type { MOUNT_BIND, MOUNT_CACHE, MOUNT_TMPFS, MOUNT_SECRET, MOUNT_SSH };

enum { RUN_MOUNT_MODE_MAX = 07777 };

struct run_mount {
	enum mount_type type;
	const char *from, *source, *target, *id, *sharing, *env; /* NULL when absent */
	bool read_only, required;
	int64_t size_limit;     /* tmpfs, 0 = none */
	int64_t mode, uid, gid; /* -1 when absent */
};

/*
 * Parse the value of RUN --mount after variables were expanded word by word
 * through `expand` (may be NULL: only the form is checked, as at parse time).
 * ERR_INVALID with BuildKit's text.
 */
typedef int (*mount_expand_fn)(void *ctx, const char *word, const char **ret, struct error *err);
MUST_CHECK int run_mount_parse(struct arena *a, const char *value, mount_expand_fn expand,
			       void *ctx, struct run_mount *ret, struct error *err);

/* "text (did you mean x?)" when one of the options is close to val, else text. */
const char *suggest(struct arena *a, const char *text, const char *val, const char *const *options,
		    size_t n_options, bool case_sensitive);
