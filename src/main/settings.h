/*
 * main/settings.h: what proad is told, by flags and by its configuration file.
 *
 * One table holds every option: its flag, its key in the file (the names of
 * dockerd and daemon.json), its type and what proa does with it. A value that is
 * given both ways is refused, as dockerd does, so that nobody wonders which wins.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

enum option_type {
	OPTION_STRING,
	OPTION_BOOL,
	OPTION_INT,
	OPTION_SIZE,   /* "64M" */
	OPTION_LIST,   /* flag repeatable; file: array of strings */
	OPTION_MAP,    /* flag k=v repeatable; file: object */
	OPTION_OBJECT, /* only in the file; parts are read by settings_json */
};

enum option_use {
	USE_TAKEN,
	USE_ALWAYS,  /* proa does so anyway, or has no need of it: taken, without effect */
	USE_REFUSED, /* any value but the default is an error */
};

struct option {
	const char *flag; /* without dashes; NULL: only in the file */
	char letter;
	const char *key; /* in the file; NULL: only a flag */
	enum option_type type;
	enum option_use use;
	const char *def; /* in words for --help, or NULL */
	const char *help;
	bool reloadable;
};

extern const struct option settings_options[];
extern const size_t settings_n_options;

struct setting {
	const char **values; /* in the arena; booleans "true"/"false", maps "k=v" */
	size_t n;
	bool by_flag, by_file;
};

struct settings {
	struct arena arena;
	struct setting *at;      /* one per option */
	const struct json *file; /* the document, NULL without a file */
	bool help, version;
};

/*
 * Read argv. ERR_INVALID with dockerd's words ("unknown flag: --x").
 *
 * ret  released with settings_release, also after a failure
 */
MUST_CHECK int settings_read_flags(struct settings *ret, int argc, char **argv, struct error *err);
/* Add the file that --config-file names; an absent default file is fine. */
MUST_CHECK int settings_read_file(struct settings *s, struct error *err);
void settings_release(struct settings *s);
/* --help's text on stdout. */
void settings_print_help(void);

/* By flag name, or by key for those without a flag. Unset: NULL, def, empty. */
bool settings_given(const struct settings *s, const char *name);
const char *settings_str(const struct settings *s, const char *name);
bool settings_bool(const struct settings *s, const char *name, bool def);
int64_t settings_int(const struct settings *s, const char *name, int64_t def);
/* NULL-terminated, in the arena; NULL when unset. */
const char *const *settings_list(const struct settings *s, const char *name);
