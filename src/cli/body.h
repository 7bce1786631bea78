/*
 * cli/body.h: pieces of request bodies from flags.
 */
#pragma once

#include "base/json.h"
#include "cli/args.h"

/* The object under `key`, made when absent. */
struct json *body_member(struct arena *a, struct json *o, const char *key);
/* Values of a repeated flag as an array; k=v values as an object. */
struct json *body_list(struct arena *a, const struct args *args, const char *flag);
struct json *body_map(struct arena *a, const struct args *args, const char *flag);
/*
 * Environment: --env-file files first, then --env; "NAME" alone takes the
 * value of our environment, or is left out when it has none.
 * ERR_INVALID or ERR_NOT_FOUND "open F: no such file or directory".
 */
MUST_CHECK int body_env(struct arena *a, const struct args *args, const char *flag,
			const char *file_flag, struct json **ret, struct error *err);
/* Labels of --label-file (file_flag may be NULL) and --label as an object. */
MUST_CHECK int body_labels(struct arena *a, const struct args *args, const char *flag,
			   const char *file_flag, struct json **ret, struct error *err);
/* Compact JSON text in the arena. */
const char *body_text(struct arena *a, const struct json *body);
