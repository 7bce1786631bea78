/* cli/usage.h: the help texts, laid out as the docker CLI's. */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "cli/command.h"

struct json;

/* `program --help`: common commands, groups and plugins (of plugin.h; NULL: none),
 * commands, global flags. */
void usage_print_top(FILE *out, const char *program, const struct json *plugins, int width);
/* `program container --help`. */
void usage_print_group(FILE *out, const char *program, const struct command_group *g);
/* `program path --help`; path is the command's as typed ("container ls"). */
void usage_print_command(FILE *out, const char *program, const char *path, const struct command *c,
			 int width);
/* "Usage:  docker run [OPTIONS] ..." lines with a line end. */
void usage_print_line(FILE *out, const char *program, const char *path, const struct command *c);
/* The option columns, wrapped at `width` (0: 80). */
void usage_print_flags(FILE *out, const struct command *c, int width);
