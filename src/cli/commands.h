/*
 * cli/commands.h: the functions that the table names, one a command.
 *
 * All have the shape command_run of command.h: the values are checked by type
 * already, the number of operands too.
 */
#pragma once

#include "cli/command.h"

/* ERR_UNIMPLEMENTED "... is not supported": for what proa does not have. */
command_run cmd_unsupported;
command_run cmd_generate;
