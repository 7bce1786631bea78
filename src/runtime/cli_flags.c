/* runtime/cli_flags.c: flags and words of a command line. */
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/macros.h"
#include "base/str.h"
#include "runtime/cli.h"

static const struct cli_flag *find(const char *word, size_t len, const struct cli_flag *flags,
				   size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((len == 1 && flags[i].letter == *word) ||
		    (strlen(flags[i].name) == len && strncmp(flags[i].name, word, len) == 0))
			return &flags[i];
	return NULL;
}

static int set_text(const struct cli_flag *f, const char *value, void *out, struct error *err)
{
	char *at = (char *)out + f->offset;
	uint64_t v;
	int r;

	if (f->kind == CLI_STRING) {
		*(const char **)(void *)at = value;
	} else if (f->kind == CLI_UINT) {
		r = parse_u64(str_of(value), 65536, &v, err);
		if (r < 0)
			return error_wrap(err, r, "--%s", f->name);
		*(unsigned *)(void *)at = (unsigned)v;
	} else {
		struct cli_list *list = (void *)at;

		if (list->n + 1 >= ARRAY_LEN(list->at))
			return error_set(err, ERR_INVALID, "--%s: given too often", f->name);
		list->at[list->n++] = value;
	}
	return 0;
}

static int set_bool(const struct cli_flag *f, const char *value, void *out, struct error *err)
{
	char *at = (char *)out + f->offset;
	bool v = true;
	int r = value == NULL ? 0 : parse_bool(str_of(value), &v, err);

	if (r < 0)
		return error_wrap(err, r, "--%s", f->name);
	if (f->kind == CLI_BOOL)
		*(bool *)(void *)at = v;
	else
		*(int *)(void *)at = v;
	return 0;
}

/* "-abc": letters of booleans, the last may take the rest or the next word as its value. */
static int parse_letters(const char *word, int argc, char **argv, int *at,
			 const struct cli_flag *flags, size_t n, void *out, struct error *err)
{
	for (const char *p = word; *p; p++) {
		const struct cli_flag *f = find(p, 1, flags, n);
		int r;

		if (f == NULL)
			return error_set(err, ERR_INVALID, "flag provided but not defined: -%s",
					 word);
		if (f->kind == CLI_BOOL || f->kind == CLI_TRI) {
			r = set_bool(f, NULL, out, err);
			if (r < 0)
				return r;
			continue;
		}
		if (p[1] != '\0')
			return set_text(f, p[1] == '=' ? p + 2 : p + 1, out, err);
		if (*at >= argc)
			return error_set(err, ERR_INVALID, "flag needs an argument: -%c", *p);
		return set_text(f, argv[(*at)++], out, err);
	}
	return 0;
}

static int print_verb_help(const char *verb, const struct cli_flag *flags, size_t n,
			   struct error *err)
{
	auto_(buf) b = BUF_INIT(16384);
	const char *usage = "";
	int r;

	for (size_t i = 0; i < cli_n_verbs; i++)
		if (strcmp(verb, cli_verbs[i].name) == 0)
			usage = cli_verbs[i].usage;
	r = buf_addf(&b, err,
		     "NAME:\n   proa-runtime %s - %s\n\nUSAGE:\n   proa-runtime %s [flags] ...\n",
		     verb, usage, verb);
	if (r == 0 && n > 0)
		r = buf_addf(&b, err, "\nFLAGS:\n");
	for (size_t i = 0; r == 0 && i < n; i++) {
		bool value = flags[i].kind != CLI_BOOL && flags[i].kind != CLI_TRI;

		r = buf_addf(&b, err, "   --%s%s%c%s\n", flags[i].name,
			     flags[i].letter ? ", -" : "", flags[i].letter ? flags[i].letter : ' ',
			     value ? " VALUE" : "");
	}
	if (r == 0)
		r = fs_write_all(STDOUT_FILENO, b.data, b.len, err);
	/* The verb goes no further, and that is no failure: runtime_main knows. */
	return r < 0 ? r : -ERR_CANCELED;
}

int cli_parse(int argc, char **argv, int *at, const struct cli_flag *flags, size_t n, void *out,
	      struct error *err)
{
	while (*at < argc) {
		const char *word = argv[*at], *eq;
		const struct cli_flag *f;
		bool longer;
		size_t len;
		int r;

		if (word[0] != '-' || word[1] == '\0')
			return 0;
		(*at)++;
		if (strcmp(word, "--") == 0)
			return 0;
		longer = word[1] == '-';
		word += longer ? 2 : 1;
		eq = strchr(word, '=');
		len = eq ? (size_t)(eq - word) : strlen(word);
		f = find(word, len, flags, n);
		if (f == NULL && (strcmp(word, "help") == 0 || strcmp(word, "h") == 0))
			return print_verb_help(argv[0], flags, n, err);
		if (f == NULL && longer)
			return error_set(err, ERR_INVALID, "flag provided but not defined: -%s",
					 word);
		if (f == NULL)
			r = parse_letters(word, argc, argv, at, flags, n, out, err);
		else if (f->kind == CLI_BOOL || f->kind == CLI_TRI)
			r = set_bool(f, eq ? eq + 1 : NULL, out, err);
		else if (eq != NULL)
			r = set_text(f, eq + 1, out, err);
		else if (*at < argc)
			r = set_text(f, argv[(*at)++], out, err);
		else
			r = error_set(err, ERR_INVALID, "flag needs an argument: -%s", word);
		if (r < 0)
			return r;
	}
	return 0;
}

int cli_id(int argc, char **argv, int at, const char *verb, const char **ret, struct error *err)
{
	if (at + 1 != argc)
		return error_set(err, ERR_INVALID, "\"%s\" requires exactly 1 argument", verb);
	*ret = argv[at];
	return 0;
}

int signal_parse(const char *text, int *ret, struct error *err)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint64_t v;

	if (parse_u64(str_of(text), (uint64_t)SIGRTMAX, &v, NULL) == 0) {
		*ret = (int)v;
		return 0;
	}
	if (strncasecmp(name, "RTMIN+", 6) == 0 &&
	    parse_u64(str_of(name + 6), (uint64_t)(SIGRTMAX - SIGRTMIN), &v, NULL) == 0) {
		*ret = SIGRTMIN + (int)v;
		return 0;
	}
	for (int i = 1; i < 32; i++)
		if (sigabbrev_np(i) != NULL && strcasecmp(name, sigabbrev_np(i)) == 0) {
			*ret = i;
			return 0;
		}
	return error_set(err, ERR_INVALID, "unknown signal \"%s\"", text);
}
