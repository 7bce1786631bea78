/*
 * cli/build_extra.h: what `proa build` has beyond the stock API: secrets, named
 * contexts, outputs, checks and plans, and BuildKit-like progress.
 */
#pragma once

#include "base/json.h"
#include "base/vec.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/output_file.h"

#define BUILD_FDS_MAX 16

struct build_extra {
	struct json *json;
	int fds[BUILD_FDS_MAX]; /* [0] is the context's place; owned from [1] on */
	size_t n_fds;
	const char *call; /* "check", "outline" or "targets", else NULL */
	bool call_json;
	bool events; /* steps are told as events */
	/* --on-fail=shell: our ends of the sockets that are passed; FD_NONE: no shell. */
	int shell_fd, shell_size_fd;
	VEC(struct output_file) files; /* outputs, named once the build is done */
	bool any;                      /* something that only a local proad can do */
};

#define BUILD_EXTRA_INIT \
	{ \
		.n_fds = 1, .shell_fd = FD_NONE, .shell_size_fd = FD_NONE \
	}

/* Read the flags; opens files and directories. ERR_INVALID, ERR_NOT_FOUND. */
MUST_CHECK int build_extra_read(struct cli *cli, const struct args *args, struct build_extra *ret,
				struct error *err);
/* Every --cache-from is the name of an image: the stock API can say that. */
bool build_extra_cache_names(const struct args *args);
/* The build is done: its output files get their names. */
MUST_CHECK int build_extra_commit(struct build_extra *e, struct error *err);
/* The request is sent: what was passed is the engine's. */
void build_extra_sent(struct build_extra *e);
void build_extra_release(struct build_extra *e);
/* The engine says that the shell begins: join it to our terminal until it ends. */
MUST_CHECK int build_extra_shell(struct cli *cli, struct build_extra *e, struct error *err);

/*
 * The value of --call ("outline,format=json"). *ret_call: "build", "check", "outline" or
 * "targets". ERR_INVALID, ERR_UNIMPLEMENTED.
 */
MUST_CHECK int build_call_parse(struct arena *a, const char *value, const char **ret_call,
				bool *ret_json, struct error *err);
/* What the engine answered to a call, on stdout. *ret_bad: the checks found something. */
MUST_CHECK int build_call_print(const char *call, const struct json *answer, bool as_json,
				bool *ret_bad, struct error *err);
