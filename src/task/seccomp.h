/*
 * task/seccomp.h: from Docker's profile format, whose rules depend on granted
 * capabilities, architecture and kernel, to the OCI form, whose rules do not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/macros.h"

struct seccomp_arg {
	uint32_t index;
	uint64_t value, value_two;
	const char *op;
};

#define SECCOMP_ARGS_MAX 6

/* Lists are texts with blanks between the words; NULL = empty. */
struct seccomp_rule {
	const char *names, *action;
	int errno_ret; /* 0 = none */
	struct seccomp_arg args[SECCOMP_ARGS_MAX];
	size_t n_args;
	const char *include_caps, *exclude_caps, *include_arches, *exclude_arches;
	unsigned min_kernel; /* major * 1000 + minor; 0 = any */
};

extern const struct seccomp_rule seccomp_default_rules[];
extern const size_t seccomp_default_n_rules;

/* Append the value of config.json's linux.seccomp. caps: granted ones, "CAP_X", NULL-terminated. */
void seccomp_write_default(struct jsonw *w, const char *const *caps);
/* The same from a user's profile. ERR_INVALID: not a profile. */
MUST_CHECK int seccomp_write_profile(struct jsonw *w, const struct json *profile,
				     const char *const *caps, struct error *err);
