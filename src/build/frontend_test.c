#include "build/instruction.h"

#include "build/ignore.h"
#include "build/shell_word.h"
#include "tests/tap.h"

static const struct {
	const char *what, *source, *want; /* error text, or NULL */
} errors[] = {
	{ "an empty file", "", "file with no instructions" },
	{ "only comments", "# a\n#b\n", "file with no instructions" },
	{ "an instruction before FROM", "RUN x", "no build stage in current context" },
	{ "an unknown instruction suggests its neighbour", "FROM a\nCPOY a b",
	  "dockerfile parse error on line 2: unknown instruction: CPOY (did you mean COPY?)" },
	{ "an unknown flag suggests its neighbour", "FROM a\nCOPY --chwon=1 a b",
	  "dockerfile parse error on line 2: unknown flag: --chwon (did you mean chown?)" },
	{ "the line counts continuation lines", "FROM a\nRUN a \\\n b\nWORKDIR",
	  "dockerfile parse error on line 4: WORKDIR requires exactly one argument" },
	{ "a heredoc without its end", "FROM a\nRUN <<X\n", "unterminated heredoc" },
	{ "ARG alone is a file without stages", "ARG a=b\n", NULL },
	{ "a NUL byte cannot reach a command", "FROM a\nRUN \\\n\x01", NULL },
};

static void test_errors(void)
{
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		auto_(arena) a = ARENA_INIT;
		struct dockerfile d;
		struct error err = { 0 };
		int r = dockerfile_parse(&a, str_of(errors[i].source), NULL, &d, NULL, &err);

		if (errors[i].want != NULL)
			is_str(err.msg, errors[i].want, errors[i].what);
		else
			is_int(r, 0, errors[i].what);
	}
}

static const struct {
	const char *what, *word, *want;
} words[] = {
	{ "a default", "${x:-d}", "d" },
	{ "the longest prefix goes", "${p##*/}", "c.gz" },
	{ "the shortest suffix goes", "${p%.*}", "/a/b/c" },
	{ "every match is replaced", "${p//\\//_}", "_a_b_c.gz" },
	{ "an escaped dollar stays", "\\$p", "$p" },
	{ "single quotes protect", "'$p'", "$p" },
};

static void test_words(void)
{
	struct shell_lex lex = { .escape = '\\' };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		auto_(arena) a = ARENA_INIT;
		struct vars env = { 0 };
		struct shell_result r = { 0 };
		struct error err = { 0 };

		vars_set(&a, &env, "p", "/a/b/c.gz");
		if (shell_expand(&a, &lex, words[i].word, &env, &r, &err) < 0)
			r.word = err.msg;
		is_str(r.word, words[i].want, words[i].what);
	}
}

/* Ten variables, each a hundred times the one before. */
static void test_bomb(void)
{
	auto_(arena) a = ARENA_INIT;
	struct shell_lex lex = { .escape = '\\' };
	struct shell_result r = { .word = "xxxxxxxxxxxxxxxx" };
	struct vars env = { 0 };
	struct error err = { 0 };
	int status = 0;

	for (int i = 0; status == 0 && i < 10; i++) {
		vars_set(&a, &env, "v", r.word);
		status = shell_expand(&a, &lex, "$v$v$v$v$v$v$v$v$v$v$v$v$v$v$v$v", &env, &r, &err);
	}
	is_int(status, -ERR_INVALID, "variables that multiply themselves end as one error");

	/* Each level puts the one below between any two characters. */
	vars_set(&a, &env, "A", "a/b/c.tar.gz");
	status = shell_expand(&a, &lex, "${A///${A///${A///${A///${A///${A///${A///${A///x}}}}}}}}",
			      &env, &r, &err);
	is_int(status, -ERR_INVALID, "so do substitutions that multiply each other");
	is_str(strstr(err.msg, "substitutions"),
	       "substitutions of one word make more than 4194304 bytes", "which names them");
}

static const struct {
	const char *what, *patterns[4], *path;
	bool want;
} ignores[] = {
	{ "a directory hides what is below", { "a" }, "a/b", true },
	{ "an exclusion brings it back", { "a", "!a/b" }, "a/b", false },
	{ "** crosses directories", { "**/*.o" }, "x/y/z.o", true },
	{ "* does not", { "*.o" }, "x/z.o", false },
};

static void test_ignore(void)
{
	for (size_t i = 0; i < ARRAY_LEN(ignores); i++) {
		auto_(arena) a = ARENA_INIT;
		struct ignore ig;
		struct error err;
		size_t n = 0;

		while (ignores[i].patterns[n] != NULL)
			n++;
		if (ignore_compile(&a, ignores[i].patterns, n, NULL, &ig, &err) < 0) {
			ok(0, ignores[i].what);
			continue;
		}
		is_int(ignore_matches(&ig, ignores[i].path, NULL), ignores[i].want,
		       ignores[i].what);
	}
}

static void test_lint(void)
{
	auto_(arena) a = ARENA_INIT;
	struct dockerfile d;
	struct lint lint;
	struct error err;

	lint_init(&lint, &a);
	is_int(lint_configure(&lint, "skip=StageNameCasing;error=true", &err), 0, "check is read");
	is_int(dockerfile_parse(&a, str_of("FROM a as B\nMAINTAINER x"), &lint, &d, NULL, &err), 0,
	       "parse");
	is_int((long long)lint.len, 2, "the skipped rule is silent");
	is_str(lint_rule_name(lint.at[0].rule), "FromAsCasing", "rules have their names");
	ok(lint.options.return_error, "error=true is kept");
}

/* How many findings `source` has below "# check=`check`". */
static long long findings(const char *check, const char *source)
{
	auto_(arena) a = ARENA_INIT;
	struct dockerfile d;
	struct lint lint;
	struct error err;

	lint_init(&lint, &a);
	if (lint_configure(&lint, check, &err) < 0 ||
	    dockerfile_parse(&a, str_of(source), &lint, &d, NULL, &err) < 0)
		return -1;
	return (long long)lint.len;
}

static void test_lint_comments(void)
{
	static const struct {
		const char *check, *above;
		long long want;
		const char *what;
	} cases[] = {
		{ "", "", 1, "without a comment there is a finding" },
		{ "", "# check=skip=MaintainerDeprecated\n", 0, "a comment above takes it away" },
		{ "", "# CHECK = skip=MaintainerDeprecated // why\n", 0, "with a reason" },
		{ "", "# check=skip=all\n", 0, "and \"all\" does" },
		{ "", "# old\n# check=skip=all\n# too\n", 0, "among other comments" },
		{ "", "# check=skip=StageNameCasing\n", 1, "not one of another rule" },
		{ "", "# check=skip=A,MaintainerDeprecated\n", 0, "one of a list" },
		{ "", "# check=skip=A, MaintainerDeprecated\n", 1, "which ends with a blank" },
		{ "", "# check=skip=maintainerdeprecated\n", 1, "rules are named exactly" },
		{ "", "# check=skip=all;boo=1\n", 1, "a wrong comment says nothing" },
		{ "", "# check=skip=A\n# check=skip=all\n", 1, "the first one counts" },
		{ "", "# check=skip=all\n\n#\n", 1, "an empty comment ends those above" },
		{ "", "# check=skip=all\nRUN x\n", 1, "it is for its instruction alone" },
		{ "skip=ALL", "", 1, "\"all\" is written small" },
		{ "skip=A;skip=all", "", 0, "the top of the file holds for all" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *source =
		    cstr_format("FROM a\nRUN y\n%sMAINTAINER x\n", cases[i].above);

		is_int(findings(cases[i].check, source), cases[i].want, cases[i].what);
	}
}

int main(void)
{
	test_errors();
	test_words();
	test_bomb();
	test_ignore();
	test_lint();
	test_lint_comments();
	return tap_done();
}
