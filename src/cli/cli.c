/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "base/str.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/plugin.h"
#include "cli/usage.h"

enum { EXIT_FLAG = 125 };

int cli_width(int fd)
{
	struct winsize w;

	return isatty(fd) && ioctl(fd, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

void cli_tell(const struct error *e)
{
	fflush(stdout);
	fprintf(stderr, "%s\n", e->msg);
}

void cli_report(struct cli *cli, const struct error *e)
{
	cli_tell(e);
	if (cli->status == 0)
		cli->status = 1;
}

bool cli_confirm(struct cli *cli, const char *question)
{
	autofree char *line = NULL;
	size_t size = 0;
	ssize_t n;

	(void)cli;
	printf("%s [y/N] ", question);
	fflush(stdout);
	n = getline(&line, &size, stdin);
	return n > 0 && (line[0] == 'y' || line[0] == 'Y') &&
	       (n == 1 || (n == 2 && line[1] == '\n') || (n == 3 && line[1] == '\r'));
}

int cli_container_status(const char *msg)
{
	if (strstr(msg, "executable file not found") || strstr(msg, "no such file or directory") ||
	    strstr(msg, "system cannot find the file specified"))
		return 127;
	if (strstr(msg, "permission denied") || strstr(msg, "is a directory"))
		return 126;
	return EXIT_FLAG;
}

/* Small edit distance, for "did you mean". */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[33], n = (unsigned)strlen(b);

	if (n > 32)
		return 99;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; *a; a++, i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned cost = diagonal + (*a != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < cost)
				cost = row[j] + 1;
			if (row[j - 1] + 1 < cost)
				cost = row[j - 1] + 1;
			row[j] = cost;
		}
	}
	return row[n];
}

static const char *nearest(struct cli *cli, const char *prefix, const char *word)
{
	const char *typed = *prefix ? arena_format(&cli->arena, "%s %s", prefix, word) : word;
	const char *best = NULL;
	unsigned least = 3;
	const struct command *c;

	for (size_t i = 0; (c = command_at(i)); i++) {
		struct str rest = str_of(c->paths), p;

		while (!(c->bits & COMMAND_HIDDEN) && str_split(&rest, ',', &p)) {
			const char *path = arena_strndup(&cli->arena, p.at, p.len);

			if (distance(typed, path) < least) {
				least = distance(typed, path);
				best = path;
			}
		}
	}
	return best;
}

static int unknown_command(struct cli *cli, const char *group, const char *word)
{
	const char *sep = *group ? " " : "", *guess = nearest(cli, group, word);

	fprintf(stderr, "%s: unknown command: %s%s%s %s\n\n", cli->program, cli->program, sep,
		group, word);
	if (guess && !cli->as_docker)
		fprintf(stderr, "Did you mean '%s %s'?\n\n", cli->program, guess);
	if (*group)
		fprintf(stderr, "Usage:  %s %s\n\n", cli->program, group);
	fprintf(stderr, "Run '%s%s%s --help' for more information\n", cli->program, sep, group);
	return 1;
}

static int usage_failed(struct cli *cli, const struct args *a, const struct error *e)
{
	fprintf(stderr, "%s\n\n", e->msg);
	usage_print_line(stderr, cli->program, a->path, a->cmd);
	fprintf(stderr, "\nRun '%s %s --help' for more information\n", cli->program, a->path);
	return EXIT_FLAG;
}

static int count_failed(struct cli *cli, const struct args *a, const struct error *e)
{
	fprintf(stderr, "%s: %s\n\n", cli->program, e->msg);
	usage_print_line(stderr, cli->program, a->path, a->cmd);
	fprintf(stderr, "\n%s '%s %s --help' for more information\n",
		strstr(e->msg, "at least") && !strstr(e->msg, "at most") ? "See" : "Run",
		cli->program, a->path);
	return 1;
}

/* What is left to say and to return when a command came back. */
static int command_ended(struct cli *cli, const struct args *a, int r, const struct error *e)
{
	if (r == 0 || !e->msg[0])
		return cli->status ? cli->status : r < 0;
	fflush(stdout);
	if (a->cmd->bits & COMMAND_CONTAINER) {
		fprintf(stderr, "%s: %s\n\nRun '%s %s --help' for more information\n", cli->program,
			e->msg, cli->program, a->path);
		return cli->status ? cli->status : cli_container_status(e->msg);
	}
	fprintf(stderr, "%s\n", e->msg);
	return cli->status ? cli->status : 1;
}

/* Who asks for verified images must not get others without a word. */
static int trust_check(const struct args *a, struct error *err)
{
	const char *wanted = getenv("DOCKER_CONTENT_TRUST");
	bool b = false;

	if (!args_has(a, "disable-content-trust"))
		return 0;
	if (args_set(a, "disable-content-trust")
		? !args_bool(a, "disable-content-trust")
		: wanted && *wanted && (parse_bool(str_of(wanted), &b, NULL) < 0 || b))
		return error_set(err, ERR_UNIMPLEMENTED, "content trust is not supported yet");
	return 0;
}

static int command_call(struct cli *cli, const struct command *c, const char *path, int argc,
			char *const *argv)
{
	auto_(args) a = { 0 };
	struct error err = { 0 };
	int r;

	r = args_parse(&a, &cli->arena, c, argc, argv, &err);
	snprintf(a.path, sizeof(a.path), "%s", path);
	if (r < 0)
		return usage_failed(cli, &a, &err);
	if (a.help || (args_has(&a, "help") && args_bool(&a, "help"))) {
		usage_print_command(stdout, cli->program, path, c, cli_width(STDOUT_FILENO));
		return 0;
	}
	r = args_check_count(&a, cli->program, &err);
	if (r < 0)
		return count_failed(cli, &a, &err);
	r = trust_check(&a, &err);
	if (r == 0)
		r = c->run(cli, &a, &err);
	return command_ended(cli, &a, r, &err);
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static void help_top(struct cli *cli, FILE *out)
{
	usage_print_top(out, cli->program, plugins_json(cli), cli_width(STDOUT_FILENO));
}

/* `help`, `help ps`, `help image ls` */
static int command_help(struct cli *cli, int argc, char *const *argv)
{
	const char *path = argc == 0 ? "" : argv[0];
	const struct command_group *g = command_group_find(path);
	const struct command *c;
	char shown[64];

	if (argc == 0) {
		help_top(cli, stdout);
		return 0;
	}
	if (g && argc == 1) {
		usage_print_group(stdout, cli->program, g);
		return 0;
	}
	if (g)
		path = arena_format(&cli->arena, "%s %s", argv[0], argv[1]);
	c = command_find(path, shown);
	if (!c || c->run == cmd_unsupported) {
		struct error err = { 0 };

		if (plugin_become(cli, argv[0], &err) != -ERR_NOT_FOUND) {
			fprintf(stderr, "%s\n", err.msg);
			return 1;
		}
	}
	if (!c || argc > (g ? 2 : 1)) {
		fprintf(stderr, "unknown help topic: %s\n", argv[argc - 1]);
		return 1;
	}
	if (g)
		path = arena_format(&cli->arena, "%s %s", argv[0], shown);
	usage_print_command(stdout, cli->program, path, c, cli_width(STDOUT_FILENO));
	return 0;
}

static bool asks_for_help(int argc, char *const *argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0)
			return false;
		if (is_help(argv[i]))
			return true;
	}
	return false;
}

/* Words before the command of a group: `container --help ls`, and flags that no group has. */
static int group_flags(struct cli *cli, const struct command_group *g, int argc, char *const *argv)
{
	const char *word = argv[1];

	if (is_help(word) && argc > 2) {
		char *const words[] = { argv[0], argv[2] };

		if (argv[2][0] != '-')
			return command_help(cli, 2, words);
	}
	if (is_help(word)) {
		usage_print_group(stdout, cli->program, g);
		return 0;
	}
	if (word[1] == '-')
		fprintf(stderr, "unknown flag: %.*s\n", (int)strcspn(word, "="), word);
	else
		fprintf(stderr, "unknown shorthand flag: '%c' in %s\n", word[1], word);
	fprintf(stderr, "\nUsage:  %s %s\n\nRun '%s %s --help' for more information\n",
		cli->program, g->name, cli->program, g->name);
	return EXIT_FLAG;
}

static int command_dispatch(struct cli *cli, int argc, char *const *argv)
{
	const struct command_group *g = command_group_find(argv[0]);
	const struct command *c;
	const char *path = argv[0];
	char shown[64];

	if (strcmp(argv[0], "help") == 0)
		return command_help(cli, argc - 1, argv + 1);
	if (!g) {
		c = command_find(path, shown);
		if (!c || c->run == cmd_unsupported) {
			struct error err = { 0 };

			if (plugin_become(cli, argv[0], &err) != -ERR_NOT_FOUND) {
				fprintf(stderr, "%s\n", err.msg);
				return 1;
			}
		}
		if (!c && asks_for_help(argc, argv)) {
			help_top(cli, stdout);
			return 0;
		}
		if (!c)
			return unknown_command(cli, "", argv[0]);
		return command_call(cli, c, path, argc - 1, argv + 1);
	}
	if (argc == 1) {
		usage_print_group(stderr, cli->program, g);
		return 0;
	}
	if (argv[1][0] == '-' && argv[1][1])
		return group_flags(cli, g, argc, argv);
	path = arena_format(&cli->arena, "%s %s", argv[0], argv[1]);
	c = command_find(path, shown);
	if (!c)
		return unknown_command(cli, argv[0], argv[1]);
	path = arena_format(&cli->arena, "%s %s", argv[0], shown);
	return command_call(cli, c, path, argc - 2, argv + 2);
}

static int global_failed(struct cli *cli, const struct error *e)
{
	fprintf(stderr, "%s\n\nUsage:  %s [OPTIONS] COMMAND [ARG...]\n\n", e->msg, cli->program);
	fprintf(stderr, "Run '%s --help' for more information\n", cli->program);
	return EXIT_FLAG;
}

/*
 * "aliases" of the configuration: another name for `builder`, usually a plugin's.
 * Peer: docker CLI 28 allows no other word.
 */
static int alias_apply(struct cli *cli, char **word, struct error *err)
{
	const struct json *aliases = json_get(config_get(cli)->root, "aliases");
	const char *other;

	json_for_each_member (m, aliases)
		if (strcmp(m->key, "builder") != 0)
			return error_set(err, ERR_INVALID,
					 "not allowed to alias \"%s\" (allowed: \"builder\")",
					 m->key);
	other = json_str(aliases, *word);
	if (other && *other)
		*word = arena_strdup(&cli->arena, other);
	return 0;
}

static int cli_start(struct cli *cli, int argc, char **argv)
{
	struct error err = { 0 };
	enum log_level level = LOG_INFO;
	int used = 0;

	if (args_parse_global(&cli->global, &cli->arena, argc - 1, argv + 1, &used, &err) < 0)
		return global_failed(cli, &err);
	if (log_level_parse(args_str(&cli->global, "log-level"), &level, NULL) < 0) {
		fprintf(stderr, "Unable to parse logging level: %s\n",
			args_str(&cli->global, "log-level"));
		return 1;
	}
	if (args_bool(&cli->global, "debug"))
		level = LOG_DEBUG;
	log_setup(STDERR_FILENO, level, LOG_TEXT);
	if (args_bool(&cli->global, "version")) {
		printf(cli->as_docker ? "Docker version 28.2.2, build proa-%s\n"
				      : "proa version %s\n",
		       PROA_VERSION);
		return 0;
	}
	if (cli->global.help || used == argc - 1) {
		help_top(cli, cli->global.help ? stdout : stderr);
		return 0;
	}
	if (alias_apply(cli, &argv[1 + used], &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	return command_dispatch(cli, argc - 1 - used, argv + 1 + used);
}

int cli_main(int argc, char **argv)
{
	struct cli cli = { .arena = ARENA_INIT };
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "proa";
	int status;

	signal(SIGPIPE, SIG_IGN);
	cli.path = argc > 0 ? argv[0] : "proa";
	cli.argc = argc;
	cli.argv = argv;
	cli.as_docker = strcmp(name, "docker") == 0;
	cli.program = cli.as_docker ? "docker" : "proa";
	status = cli_start(&cli, argc, argv);
	if (fflush(stdout) != 0 && status == 0)
		status = 1;
	api_close(&cli);
	config_free(cli.config);
	args_release(&cli.global);
	arena_release(&cli.arena);
	return status;
}
