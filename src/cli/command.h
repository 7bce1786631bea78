/*
 * cli/command.h: the one table of commands and flags.
 *
 * Parsing, `--help`, completions, man pages and the reference documentation
 * all read this table, so they cannot disagree. A command is one record with
 * all the paths that reach it ("container ls,container list,container ps,ps");
 * the record is constant data, the values of one call live in struct args.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct cli;
struct args;

enum flag_type {
	FLAG_BOOL,
	FLAG_STRING,
	FLAG_INT,  /* signed 64 bits */
	FLAG_UINT, /* unsigned 64 bits */
	FLAG_UINT16,
	FLAG_LIST,     /* repeatable, each value kept as it is */
	FLAG_STRINGS,  /* repeatable, each value split at commas as CSV */
	FLAG_MAP,      /* repeatable k=v */
	FLAG_BYTES,    /* "512m" */
	FLAG_DURATION, /* "1m30s" */
	FLAG_DECIMAL,  /* "1.5", kept as text, checked */
	FLAG_FILTER,   /* repeatable k=v, lower-cased key */
	FLAG_PLATFORM, /* string */
};

enum flag_bits {
	FLAG_HIDDEN = 1 << 0,
};

struct flag {
	const char *name; /* without dashes */
	char letter;      /* 0 = no shorthand */
	enum flag_type type;
	const char *word; /* type shown in the help; NULL = by type */
	const char *def;  /* default, as shown in the help; NULL = zero value */
	const char *help;
	int (*check)(const char *value, struct error *err); /* beyond the type; may be NULL */
	unsigned bits;
};

struct flag_set {
	const struct flag *flags;
	size_t n_flags;
};

#define FLAG_SET(array) \
	{ \
		(array), ARRAY_LEN(array) \
	}

enum command_bits {
	COMMAND_HIDDEN = 1 << 0,
	COMMAND_STOP = 1 << 1,      /* the first positional argument ends the flags */
	COMMAND_RAW = 1 << 2,       /* all arguments are positional, flags too */
	COMMAND_CONTAINER = 1 << 3, /* failures of any kind exit with 125 and name the program */
	COMMAND_OFFLINE = 1 << 4,   /* never talks to an engine */
};

/* Run a command. 0 = success; otherwise -kind with *err filled, or
 * cli->status set (then *err may stay empty) when the exit code is not 1. */
typedef int command_run(struct cli *cli, const struct args *args, struct error *err);

struct command {
	const char *paths;    /* comma-separated; the first is the canonical one */
	const char *operands; /* "[OPTIONS] IMAGE [COMMAND] [ARG...]"; '\n' = a second form */
	const char *brief;    /* one line */
	const char *text;     /* long description; NULL = brief */
	struct flag_set sets[2];
	int min_args, max_args; /* max < 0: any number */
	unsigned bits;
	int common; /* place in "Common Commands", 0 = not there */
	command_run *run;
	const char *examples; /* lines of "command\n    what it does"; may be NULL */
};

struct command_group {
	const char *name;
	const char *brief;
	unsigned bits;
};

extern const struct command_group command_groups[];
extern const size_t n_command_groups;

/* The tables, one for each file table_*.c. */
extern const struct command commands_container[], commands_image[], commands_object[],
    commands_system[];
extern const size_t n_commands_container, n_commands_image, n_commands_object, n_commands_system;

/* Flags that stand before the command. */
extern const struct flag global_flags[];
extern const size_t n_global_flags;
/* The pseudo command that holds them. */
extern const struct command global_command;

/* Every command in turn: NULL after the last. */
const struct command *command_at(size_t i);

/* The command reached by `path` ("container ls"), or NULL. *ret_shown (may be
 * NULL) is the name it goes by there: alias "container list" shows as "ls". */
const struct command *command_find(const char *path, char ret_shown[64]);
const struct command_group *command_group_find(const char *name);

/* The flag of this name or letter, or NULL; *ret_index counts over all sets. */
const struct flag *command_flag(const struct command *c, const char *name, size_t len,
				size_t *ret_index);
const struct flag *command_letter(const struct command *c, char letter, size_t *ret_index);
size_t command_n_flags(const struct command *c);
const struct flag *command_flag_at(const struct command *c, size_t i);
/* Flags sorted by name, as the help shows them; `ret` has room for command_n_flags. */
void command_flags_sorted(const struct command *c, const struct flag **ret);
/* "list", "string" ...: the word after the flag's name; "" for booleans. */
const char *flag_word(const struct flag *f);
