/*
 * runtime/cli.h: how the verbs share flags, errors and output.
 *
 * A verb is a row of a table: its flags are rows too. Flags of runc and of
 * crun are both known; one that proa does not do is refused, never swallowed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "runtime/runtime.h"

enum cli_kind {
	CLI_BOOL,   /* bool */
	CLI_STRING, /* const char * */
	CLI_UINT,   /* unsigned */
	CLI_LIST,   /* struct cli_list: repeated */
	CLI_TRI,    /* int: 1 or 0 when given */
};

struct cli_list {
	const char *at[256]; /* NULL-terminated */
	size_t n;
};

struct cli_flag {
	const char *name; /* without dashes */
	char letter;      /* or 0 */
	enum cli_kind kind;
	size_t offset; /* in the verb's struct */
};

#define CLI_FLAG(name_, letter_, kind_, struct_, member_) \
	{ \
		(name_), (letter_), (kind_), offsetof(struct_, member_) \
	}

/*
 * Take flags off argv[*at..]; stops after "--" or before the first word without
 * a dash. One dash serves for long names too, as in Go's parser.
 * ERR_INVALID "flag provided but not defined: -x"; ERR_CANCELED when --help was asked for and
 * the flags have been printed (argv[0] is the verb).
 */
MUST_CHECK int cli_parse(int argc, char **argv, int *at, const struct cli_flag *flags, size_t n,
			 void *out, struct error *err);

struct cli {
	struct runtime_options options;
	const char *log, *log_format, *log_level, *cgroup_manager, *rootless, *criu;
	bool debug, version, help, systemd_cgroup;
	int log_fd;
};

struct cli_verb {
	const char *name;
	int (*run)(struct cli *c, int argc, char **argv,
		   struct error *err); /* exit code or -kind */
	const char *usage;
};
extern const struct cli_verb cli_verbs[];
extern const size_t cli_n_verbs;

int cli_features(struct cli *c, int argc, char **argv, struct error *err);
int cli_spec(struct cli *c, int argc, char **argv, struct error *err);
int cli_list(struct cli *c, int argc, char **argv, struct error *err);
int cli_ps(struct cli *c, int argc, char **argv, struct error *err);
int cli_events(struct cli *c, int argc, char **argv, struct error *err);
int cli_update(struct cli *c, int argc, char **argv, struct error *err);
int cli_run(struct cli *c, int argc, char **argv, struct error *err);
int cli_create(struct cli *c, int argc, char **argv, struct error *err);
int cli_exec(struct cli *c, int argc, char **argv, struct error *err);

/* argv[at] or ERR_INVALID "\"create\" requires exactly 1 argument". */
MUST_CHECK int cli_id(int argc, char **argv, int at, const char *verb, const char **ret,
		      struct error *err);
/* Number of a signal: "9", "KILL", "SIGKILL", "RTMIN+3". ERR_INVALID. */
MUST_CHECK int signal_parse(const char *text, int *ret, struct error *err);
