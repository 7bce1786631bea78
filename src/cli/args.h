/*
 * cli/args.h: the values of one call.
 *
 * Parsing follows the habits of the docker CLI (pflag): `-it`, `-i=false`,
 * `-ovalue`, `--flag=value`, `--flag value`, `--`, flags between operands
 * except where COMMAND_STOP says otherwise. Values are checked while parsing,
 * so a bad one is reported before anything is done.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/vec.h"
#include "cli/command.h"

struct flag_value {
	bool set; /* given on the command line */
	VEC(const char *) texts;
};

struct args {
	struct arena *arena; /* borrowed; everything below lives there or in argv */
	const struct command *cmd;
	char path[128];            /* as typed, aliases shown by their main name: "container ls" */
	struct flag_value *values; /* one a flag */
	VEC(const char *) operands;
	bool help;
};

/*
 * Parse the words after the command's own.
 *
 * ERR_INVALID with pflag's texts: "unknown flag: --x", "unknown shorthand
 * flag: 'x' in -x", "flag needs an argument: --x", `invalid argument "v" for
 * "-x, --xx" flag: ...`. args_release frees the lists also after a failure.
 */
MUST_CHECK int args_parse(struct args *a, struct arena *arena, const struct command *cmd, int argc,
			  char *const *argv, struct error *err);
/* Only the flags before the command: stops at the first operand; *ret_used
 * counts the words taken. The pseudo command `global_command` holds them. */
MUST_CHECK int args_parse_global(struct args *a, struct arena *arena, int argc, char *const *argv,
				 int *ret_used, struct error *err);
void args_release(struct args *a);

/* Number of operands against the command's limits: ERR_INVALID with docker's text. */
MUST_CHECK int args_check_count(const struct args *a, const char *program, struct error *err);

/* Values by name. The name must exist in the command: asserted. Strings are
 * borrowed from argv or the table; the last one given wins. */
bool args_set(const struct args *a, const char *name);
bool args_has(const struct args *a, const char *name); /* the command knows this flag */
bool args_bool(const struct args *a, const char *name);
const char *args_str(const struct args *a, const char *name); /* "" when not given */
int64_t args_int(const struct args *a,
		 const char *name); /* also UINT, BYTES (bytes), DURATION (ns) */
size_t args_count(const struct args *a, const char *name);
const char *args_nth(const struct args *a, const char *name, size_t i);
const char *args_operand(const struct args *a, size_t i); /* NULL when there are fewer */

#define args_for_each(text, a, name) \
	for (size_t text##_i = 0; text##_i < args_count((a), (name)); text##_i++) \
		for (const char *text = args_nth((a), (name), text##_i); text; text = NULL)

DEFINE_AUTO(args, args_release);
