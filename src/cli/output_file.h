/*
 * cli/output_file.h: a file that has its name only once it is whole.
 *
 * The bytes go to a file beside the wanted one. Devices, pipes and links that are
 * there already are written to as they are.
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

struct output_file {
	char *path, *temp; /* owned; temp NULL: written to path itself */
};

/* *ret_fd is the caller's, and ret is for exactly one end; both only on success. */
MUST_CHECK int output_file_begin(const char *path, mode_t mode, struct output_file *ret,
				 int *ret_fd, struct error *err);
/* On failure nothing is left of it, and what had the name before has it still. */
MUST_CHECK int output_file_commit(struct output_file *f, struct error *err);
void output_file_abort(struct output_file *f); /* ended ones: nothing */
