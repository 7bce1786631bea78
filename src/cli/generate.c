/* SPDX-License-Identifier: Apache-2.0 */
/* Man pages, completions and the reference, all from the command table. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/usage.h"

/* "container ls" -> "proa-container-ls" */
static const char *page_name(struct arena *a, struct str path)
{
	char *s = arena_format(a, "proa-%.*s", STR_ARG(path));

	for (char *p = s; *p; p++)
		if (*p == ' ')
			*p = '-';
	return s;
}

static struct str first_path(const struct command *c)
{
	struct str rest = str_of(c->paths), p = { 0 };

	if (!str_split(&rest, ',', &p))
		p = str_of("");
	return p;
}

static int file_create(const char *dir, const char *name, FILE **ret, struct error *err)
{
	autofree char *path = cstr_format("%s/%s", dir, name);
	int fd, r;

	r = fs_mkdir_all(dir, 0755, err);
	if (r == 0)
		r = fs_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, err);
	if (r < 0)
		return r;
	*ret = fdopen(fd, "w");
	if (!*ret) {
		close(fd);
		return error_sys(err, errno, "open '%s'", path);
	}
	return 0;
}

static int file_close(FILE *f, struct error *err)
{
	bool bad = ferror(f);

	if (fclose(f) != 0 || bad)
		return error_sys(err, errno, "write");
	return 0;
}

/* scdoc gives a meaning to _ * \ and to < at the start of a line. */
static void scdoc_text(FILE *out, const char *s)
{
	for (bool start = true; *s; s++) {
		if (strchr("_*\\[|#", *s) || (start && strchr("<.-", *s)))
			putc('\\', out);
		putc(*s, out);
		start = *s == '\n';
	}
}

static void scdoc_flags(FILE *out, const struct command *c)
{
	const struct flag *sorted[256];
	size_t n = command_n_flags(c);

	if (n == 0 || n > ARRAY_LEN(sorted))
		return;
	command_flags_sorted(c, sorted);
	fputs("\n# OPTIONS\n", out);
	for (size_t i = 0; i < n; i++) {
		const struct flag *f = sorted[i];

		if (f->bits & FLAG_HIDDEN)
			continue;
		fputs("\n*", out);
		if (f->letter)
			fprintf(out, "-%c*, *", f->letter);
		fprintf(out, "--%s*", f->name);
		if (*flag_word(f)) {
			fputs(" _", out);
			fprintf(out, "%s_", flag_word(f));
		}
		fputs("\n\t", out);
		for (const char *p = f->help; *p; p++) {
			char one[2] = { *p, 0 };

			if (*p == '\n')
				fputs("++\n\t", out);
			else
				scdoc_text(out, strchr("<.-", *p) ? (putc('\\', out), one) : one);
		}
		if (f->def) {
			fputs(" (default ", out);
			scdoc_text(out, f->def);
			putc(')', out);
		}
		putc('\n', out);
	}
}

static int man_page(struct cli *cli, const char *dir, const struct command *c, struct error *err)
{
	struct str path = first_path(c), rest = str_of(c->paths), p;
	const char *name = page_name(&cli->arena, path);
	FILE *out = NULL;
	int r = file_create(dir, arena_format(&cli->arena, "%s.1.scd", name), &out, err);

	if (r < 0)
		return r;
	fprintf(out, "%s(1)\n\n# NAME\n\n%s - ", name, name);
	scdoc_text(out, c->brief);
	fputs("\n\n# SYNOPSIS\n\n", out);
	while (str_split(&rest, ',', &p)) {
		struct str forms = str_of(c->operands), form;

		fprintf(out, "*proa %.*s* ", STR_ARG(p));
		if (str_split(&forms, '\n', &form))
			scdoc_text(out, arena_strndup(&cli->arena, form.at, form.len));
		fputs("\n\n", out);
	}
	fputs("# DESCRIPTION\n\n", out);
	scdoc_text(out, c->text ? c->text : c->brief);
	putc('\n', out);
	scdoc_flags(out, c);
	if (c->examples) {
		fputs("\n# EXAMPLES\n\n```\n", out);
		rest = str_of(c->examples);
		while (str_split(&rest, '\n', &p))
			fprintf(out, "%s%.*s\n", p.len && p.at[0] == ' ' ? "" : "proa ",
				STR_ARG(p));
		fputs("```\n", out);
	}
	fputs("\n# SEE ALSO\n\n*proa*(1)\n", out);
	return file_close(out, err);
}

static int man_top(struct cli *cli, const char *dir, struct error *err)
{
	const struct command *c;
	FILE *out = NULL;
	int r = file_create(dir, "proa.1.scd", &out, err);

	if (r < 0)
		return r;
	fprintf(out, "proa(1)\n\n# NAME\n\nproa - %s\n\n# SYNOPSIS\n\n*proa* \\[OPTIONS] COMMAND\n",
		global_command.brief);
	fputs("\n# DESCRIPTION\n\nproa speaks the Docker Engine API to proad, which it starts when "
	      "nothing answers. Called by the name docker it is the docker CLI.\n",
	      out);
	scdoc_flags(out, &global_command);
	fputs("\n# COMMANDS\n", out);
	for (size_t i = 0; (c = command_at(i)); i++) {
		if (c->bits & COMMAND_HIDDEN)
			continue;
		fprintf(out, "\n*%s*(1)\n\t", page_name(&cli->arena, first_path(c)));
		scdoc_text(out, c->brief);
		putc('\n', out);
	}
	return file_close(out, err);
}

/* `man proa-run` leads to proa-container-run. */
static int man_aliases(struct cli *cli, const char *dir, const struct command *c, struct error *err)
{
	struct str rest = str_of(c->paths), p;
	const char *first = page_name(&cli->arena, first_path(c));
	int r = 0;

	while (r == 0 && str_split(&rest, ',', &p)) {
		const char *name = page_name(&cli->arena, p);
		FILE *out = NULL;

		if (strcmp(name, first) == 0)
			continue;
		r = file_create(dir, arena_format(&cli->arena, "%s.1", name), &out, err);
		if (r == 0) {
			fprintf(out, ".so man1/%s.1\n", first);
			r = file_close(out, err);
		}
	}
	return r;
}

static int generate_man(struct cli *cli, const char *dir, struct error *err)
{
	const struct command *c;
	int r = man_top(cli, dir, err);

	for (size_t i = 0; r == 0 && (c = command_at(i)); i++) {
		if (c->bits & COMMAND_HIDDEN)
			continue;
		r = man_page(cli, dir, c, err);
		if (r == 0)
			r = man_aliases(cli, dir, c, err);
	}
	return r;
}

static void bash_words(FILE *out, const struct command *c)
{
	for (size_t i = 0; i < command_n_flags(c); i++) {
		const struct flag *f = command_flag_at(c, i);

		if (f->bits & FLAG_HIDDEN)
			continue;
		if (f->letter)
			fprintf(out, "-%c ", f->letter);
		fprintf(out, "--%s ", f->name);
	}
	fputs("--help", out);
}

/* Which live names complete an operand: by the word in its usage. */
static const char *operand_kind(const struct command *c)
{
	if (strstr(c->operands, "CONTAINER") || strstr(c->operands, "NAME|ID"))
		return "containers";
	if (strstr(c->operands, "IMAGE") || strstr(c->operands, "REPOSITORY"))
		return "images";
	if (strstr(c->operands, "NETWORK"))
		return "networks";
	if (strstr(c->operands, "VOLUME"))
		return "volumes";
	if (strstr(c->operands, "CONTEXT"))
		return "contexts";
	return "files";
}

/* What the value of a flag may be: a kind of live names, or the words themselves. */
static const struct {
	const char *flag, *values;
} flag_values[] = {
	{ "network", "networks" },
	{ "net", "networks" },
	{ "volumes-from", "containers" },
	{ "link", "containers" },
	{ "context", "contexts" },
	{ "from", "contexts" },
	{ "cache-from", "images" },
	{ "restart", "no always on-failure unless-stopped" },
	{ "pull", "always missing never" },
	{ "log-driver", "json-file local none" },
	{ "log-level", "debug info warn error fatal" },
	{ "format", "table json" },
};

static const char *value_kind(const char *flag)
{
	for (size_t i = 0; i < ARRAY_LEN(flag_values); i++)
		if (strcmp(flag_values[i].flag, flag) == 0)
			return flag_values[i].values;
	return "files";
}

/* The words that may follow `parent` ("" for the top). */
static void child_words(FILE *out, const char *parent)
{
	size_t n = strlen(parent);
	const struct command *c;

	if (n == 0)
		for (size_t i = 0; i < n_command_groups; i++)
			fprintf(out, "%s ", command_groups[i].name);
	for (size_t i = 0; (c = command_at(i)); i++) {
		struct str rest = str_of(c->paths), p;

		while (!(c->bits & COMMAND_HIDDEN) && str_split(&rest, ',', &p)) {
			ptrdiff_t blank = str_find(p, ' ');

			if (n == 0 && blank < 0)
				fprintf(out, "%.*s ", STR_ARG(p));
			else if (n > 0 && blank == (ptrdiff_t)n && memcmp(p.at, parent, n) == 0)
				fprintf(out, "%.*s ", (int)(p.len - n - 1), p.at + n + 1);
		}
	}
}

static const char bash_head[] =
    "# bash completion of proa, made from its command table\n"
    "_proa_names() {\n"
    "\tcase $1 in\n"
    "\tcontainers) \"$_proa\" ps -a --format '{{.Names}}' ;;\n"
    "\timages) \"$_proa\" images --format '{{.Repository}}:{{.Tag}}' ;;\n"
    "\tnetworks) \"$_proa\" network ls --format '{{.Name}}' ;;\n"
    "\tvolumes) \"$_proa\" volume ls -q ;;\n"
    "\tcontexts) \"$_proa\" context ls -q ;;\n"
    "\t*) echo \"$1\" ;;\n"
    "\tesac 2>/dev/null\n"
    "}\n";

static const char bash_body[] =
    "_proa() {\n"
    "\tlocal line=${COMP_LINE:0:COMP_POINT} cur path= flags= takes= kind=files word flag= i n "
    "_proa\n"
    "\tlocal -a words\n"
    "\t# Our own words: those of bash are cut at ':' and '='.\n"
    "\tread -ra words <<<\"$line\"\n"
    "\t[[ $line == *[[:blank:]] ]] && words+=('')\n"
    "\tn=$((${#words[@]} - 1)) cur=${words[n]} _proa=${words[0]}\n"
    "\tfor ((i = 1; i < n; i++)); do\n"
    "\t\tword=${words[i]}\n"
    "\t\tif [[ $word == -* ]]; then\n"
    "\t\t\t[[ -z $path && \" $_proa_takes \" == *\" $word \"* ]] && ((i++))\n"
    "\t\t\tcontinue\n"
    "\t\tfi\n"
    "\t\tif [[ -z $path ]]; then path=$word\n"
    "\t\telif [[ $path != *' '* && \" $_proa_groups \" == *\" $path \"* ]]; then path+=\" $word\"\n"
    "\t\telse break; fi\n"
    "\tdone\n"
    "\tcase $path in\n";

static const char bash_tail[] =
    "\tesac\n"
    "\tif [[ $cur == --*=* ]]; then flag=${cur%%=*} cur=${cur#*=}\n"
    "\telif ((n > 1)) && [[ \" $takes \" == *\" ${words[n - 1]} \"* ]]; then flag=${words[n - 1]}; "
    "fi\n"
    "\t[[ -n $flag ]] && kind=$(_proa_value_kind \"$flag\") flags=\n"
    "\tif [[ -z $flag && $cur == -* ]]; then COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
    "\telif [[ $kind == files ]]; then COMPREPLY=($(compgen -f -- \"$cur\"))\n"
    "\telse COMPREPLY=($(compgen -W \"$(_proa_names \"$kind\")\" -- \"$cur\")); fi\n"
    "\t# bash keeps what stands before its own last word.\n"
    "\t[[ $cur == *:* && $COMP_WORDBREAKS == *:* ]] && "
    "COMPREPLY=(\"${COMPREPLY[@]#\"${cur%\"${cur##*:}\"}\"}\")\n"
    "\treturn 0\n"
    "}\n"
    "complete -F _proa proa\n"
    "[[ $(readlink -f \"$(type -P docker)\") == */proa ]] && complete -F _proa docker\n"
    "true\n";

static void bash_values(FILE *out)
{
	fputs("_proa_value_kind() {\n\tcase $1 in\n", out);
	for (size_t i = 0; i < ARRAY_LEN(flag_values); i++)
		fprintf(out, "\t--%s) echo %s ;;\n", flag_values[i].flag, flag_values[i].values);
	fputs("\t-c) echo contexts ;;\n\t*) echo files ;;\n\tesac\n}\n", out);
}

/* The flags of a command that take a value. */
static void bash_takes(FILE *out, const struct command *c)
{
	for (size_t i = 0; i < command_n_flags(c); i++) {
		const struct flag *f = command_flag_at(c, i);

		if ((f->bits & FLAG_HIDDEN) || f->type == FLAG_BOOL)
			continue;
		if (f->letter)
			fprintf(out, "-%c ", f->letter);
		fprintf(out, "--%s ", f->name);
	}
}

static int generate_bash(struct cli *cli, const char *dir, struct error *err)
{
	const struct command *c;
	FILE *out = NULL;
	int r = file_create(dir, "proa.bash", &out, err);

	(void)cli;
	if (r < 0)
		return r;
	fputs("_proa_groups='", out);
	for (size_t i = 0; i < n_command_groups; i++)
		fprintf(out, "%s%s", i ? " " : "", command_groups[i].name);
	fputs("'\n_proa_takes='", out);
	bash_takes(out, &global_command);
	fputs("'\n", out);
	fputs(bash_head, out);
	bash_values(out);
	fputs(bash_body, out);
	fputs("\t'') takes=$_proa_takes flags='", out);
	bash_words(out, &global_command);
	fputs("'; kind='", out);
	child_words(out, "");
	fputs("' ;;\n", out);
	for (size_t i = 0; i < n_command_groups; i++) {
		fprintf(out, "\t%s) kind='", command_groups[i].name);
		child_words(out, command_groups[i].name);
		fputs("' ;;\n", out);
	}
	for (size_t i = 0; (c = command_at(i)); i++) {
		struct str rest = str_of(c->paths), p;

		if (c->bits & COMMAND_HIDDEN)
			continue;
		fputc('\t', out);
		for (bool first = true; str_split(&rest, ',', &p); first = false)
			fprintf(out, "%s'%.*s'", first ? "" : "|", STR_ARG(p));
		fputs(") flags='", out);
		bash_words(out, c);
		fputs("' takes='", out);
		bash_takes(out, c);
		fprintf(out, "'; kind=%s ;;\n", operand_kind(c));
	}
	fputs(bash_tail, out);
	return file_close(out, err);
}

/* A description inside '...[...]' of zsh: no quote, bracket or second line. */
static void plain_text(FILE *out, const char *s)
{
	for (; *s && *s != '\n'; s++)
		putc(strchr("'[]:\\\"$`", *s) ? ' ' : *s, out);
}

/* What completes a kind of live names (the blank before keeps out the flags of compadd), files, or
 * one of some words. */
static void zsh_action(FILE *out, const char *kind)
{
	static const char *const live[][2] = {
		{ "containers", " _proa_live ps -a --format \"{{.Names}}\"" },
		{ "images", " _proa_live images --format \"{{.Repository}}\\:{{.Tag}}\"" },
		{ "networks", " _proa_live network ls --format \"{{.Name}}\"" },
		{ "volumes", " _proa_live volume ls -q" },
		{ "contexts", " _proa_live context ls -q" },
	};

	for (size_t i = 0; i < ARRAY_LEN(live); i++)
		if (strcmp(live[i][0], kind) == 0) {
			fputs(live[i][1], out);
			return;
		}
	fprintf(out, strcmp(kind, "files") == 0 ? "_files" : "(%s)", kind);
}

static void zsh_command(FILE *out, const struct command *c, struct str path)
{
	const char *kind = operand_kind(c);

	fprintf(out, "\t'%.*s') _arguments -s", STR_ARG(path));
	for (size_t i = 0; i < command_n_flags(c); i++) {
		const struct flag *f = command_flag_at(c, i);
		bool value = f->type != FLAG_BOOL;

		if (f->bits & FLAG_HIDDEN)
			continue;
		for (int form = f->letter ? 0 : 1; form < 2; form++) {
			if (form == 0)
				fprintf(out, " '*-%c%s[", f->letter, value ? "+" : "");
			else
				fprintf(out, " '*--%s%s[", f->name, value ? "=" : "");
			plain_text(out, f->help);
			fputs(value ? "]:value:" : "]", out);
			if (value)
				zsh_action(out, value_kind(f->name));
			putc('\'', out);
		}
	}
	fprintf(out, " '*:%s:", kind);
	zsh_action(out, kind);
	fputs("' ;;\n", out);
}

static int generate_zsh(struct cli *cli, const char *dir, struct error *err)
{
	const struct command *c;
	FILE *out = NULL;
	int r = file_create(dir, "_proa", &out, err);

	(void)cli;
	if (r < 0)
		return r;
	fputs("#compdef proa\n# zsh completion of proa, made from its command table\n"
	      "_proa_live() { compadd -- ${(f)\"$(_call_program names proa $@ 2>/dev/null)\"} }\n"
	      "_proa() {\n"
	      "\t# Not `path`: that is PATH, and proa would not be found.\n"
	      "\tlocal verb=${words[2]} groups=' ",
	      out);
	for (size_t i = 0; i < n_command_groups; i++)
		fprintf(out, "%s ", command_groups[i].name);
	fputs("'\n\tif (( CURRENT == 2 )); then compadd -- ", out);
	child_words(out, "");
	fputs("; return; fi\n"
	      "\tif [[ $groups == *\" $verb \"* ]]; then\n"
	      "\t\tif (( CURRENT == 3 )); then\n\t\t\tcase $verb in\n",
	      out);
	for (size_t i = 0; i < n_command_groups; i++) {
		fprintf(out, "\t\t\t%s) compadd -- ", command_groups[i].name);
		child_words(out, command_groups[i].name);
		fputs(";;\n", out);
	}
	fputs("\t\t\tesac\n\t\t\treturn\n\t\tfi\n\t\tverb+=\" ${words[3]}\"\n\t\tshift words\n"
	      "\t\t(( CURRENT-- ))\n\tfi\n\tshift words\n\t(( CURRENT-- ))\n\tcase $verb in\n",
	      out);
	for (size_t i = 0; (c = command_at(i)); i++) {
		struct str rest = str_of(c->paths), p;

		while (!(c->bits & COMMAND_HIDDEN) && str_split(&rest, ',', &p))
			zsh_command(out, c, p);
	}
	fputs("\tesac\n}\n_proa \"$@\"\n", out);
	return file_close(out, err);
}

static void fish_command(FILE *out, const struct command *c, struct str p)
{
	static const char *const live[][2] = {
		{ "containers", "ps -a --format \"{{.Names}}\"" },
		{ "images", "images --format \"{{.Repository}}:{{.Tag}}\"" },
		{ "networks", "network ls --format \"{{.Name}}\"" },
		{ "volumes", "volume ls -q" },
		{ "contexts", "context ls -q" },
	};
	ptrdiff_t blank = str_find(p, ' ');
	int word_len = blank < 0 ? (int)p.len : (int)(p.len - (size_t)blank - 1);
	const char *word = blank < 0 ? p.at : p.at + blank + 1;
	char when[256];

	if (blank < 0)
		snprintf(when, sizeof(when), "__fish_use_subcommand");
	else
		snprintf(when, sizeof(when), "__proa_at %.*s", (int)blank, p.at);
	fprintf(out, "complete -c proa -n '%s' -f -a %.*s -d '", when, word_len, word);
	plain_text(out, c->brief);
	fputs("'\n", out);
	for (size_t i = 0; i < ARRAY_LEN(live); i++)
		if (strcmp(live[i][0], operand_kind(c)) == 0)
			fprintf(
			    out,
			    "complete -c proa -n '__proa_in %.*s' -f -a '(proa %s 2>/dev/null)'\n",
			    STR_ARG(p), live[i][1]);
	for (size_t i = 0; i < command_n_flags(c); i++) {
		const struct flag *f = command_flag_at(c, i);

		if (f->bits & FLAG_HIDDEN)
			continue;
		fprintf(out, "complete -c proa -n '__proa_in %.*s' -l %s", STR_ARG(p), f->name);
		if (f->letter)
			fprintf(out, " -s %c", f->letter);
		fprintf(out, "%s -d '", f->type == FLAG_BOOL ? "" : " -r");
		plain_text(out, f->help);
		fputs("'\n", out);
	}
}

static int generate_fish(struct cli *cli, const char *dir, struct error *err)
{
	const struct command *c;
	FILE *out = NULL;
	int r = file_create(dir, "proa.fish", &out, err);

	(void)cli;
	if (r < 0)
		return r;
	fputs("# fish completion of proa, made from its command table\n"
	      "function __proa_at\n\tset -l w (commandline -opc)\n"
	      "\ttest (count $w) -eq 2; and test \"$w[2]\" = \"$argv[1]\"\nend\n"
	      "function __proa_in\n\tset -l w (commandline -opc)\n"
	      "\tset -l last (math (count $argv) + 1)\n"
	      "\ttest (count $w) -ge $last; and test \"$w[2..$last]\" = \"$argv\"\nend\n",
	      out);
	for (size_t i = 0; i < n_command_groups; i++)
		fprintf(out, "complete -c proa -n __fish_use_subcommand -f -a %s -d '%s'\n",
			command_groups[i].name, command_groups[i].brief);
	for (size_t i = 0; (c = command_at(i)); i++) {
		struct str rest = str_of(c->paths), p;

		while (!(c->bits & COMMAND_HIDDEN) && str_split(&rest, ',', &p))
			fish_command(out, c, p);
	}
	return file_close(out, err);
}

static int generate_markdown(struct cli *cli, const char *dir, struct error *err)
{
	const struct command *c;
	FILE *out = NULL;
	int r = file_create(dir, "commands.md", &out, err);

	if (r < 0)
		return r;
	fputs("# Commands of proa\n\nMade from the command table by `proa __generate markdown`.\n"
	      "\n```\n",
	      out);
	usage_print_top(out, "proa", NULL, 100);
	fputs("```\n", out);
	for (size_t i = 0; (c = command_at(i)); i++) {
		struct str p = first_path(c);

		if (c->bits & COMMAND_HIDDEN)
			continue;
		fprintf(out, "\n## proa %.*s\n\n```\n", STR_ARG(p));
		usage_print_command(out, "proa", arena_strndup(&cli->arena, p.at, p.len), c, 100);
		fputs("```\n", out);
		if (c->examples)
			fprintf(out, "\nExamples:\n\n```\n%s\n```\n", c->examples);
	}
	return file_close(out, err);
}

int cmd_generate(struct cli *cli, const struct args *args, struct error *err)
{
	static const struct {
		const char *what;
		int (*run)(struct cli *cli, const char *dir, struct error *err);
	} kinds[] = { { "man", generate_man },
		      { "bash", generate_bash },
		      { "zsh", generate_zsh },
		      { "fish", generate_fish },
		      { "markdown", generate_markdown } };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].what, args_operand(args, 0)) == 0)
			return kinds[i].run(cli, args_operand(args, 1), err);
	return error_set(err, ERR_INVALID, "cannot generate '%s': man, bash, zsh, fish or markdown",
			 args_operand(args, 0));
}
