/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/args.h"

#include "tests/tap.h"

#include "base/macros.h"
#include "base/str.h"

static const struct {
	const char *what;
	const char *path;
	const char *words; /* separated by blanks */
	const char *want;  /* error text, or NULL */
} cases[] = {
	{ "an unknown flag is named", "ps", "--nope", "unknown flag: --nope" },
	{ "an unknown letter is named", "ps", "-Z", "unknown shorthand flag: 'Z' in -Z" },
	{ "an unknown letter in a bundle", "ps", "-aZq", "unknown shorthand flag: 'Z' in -Zq" },
	{ "a flag without its value", "run", "--name", "flag needs an argument: --name" },
	{ "a letter without its value", "run", "-e", "flag needs an argument: 'e' in -e" },
	{ "a bad boolean", "ps", "--no-trunc=maybe",
	  "invalid argument \"maybe\" for \"--no-trunc\" flag: strconv.ParseBool: parsing "
	  "\"maybe\": "
	  "invalid syntax" },
	{ "a bad integer", "stop", "-t x a",
	  "invalid argument \"x\" for \"-t, --timeout\" flag: strconv.ParseInt: parsing \"x\": "
	  "invalid syntax" },
	{ "a size that is none", "run", "-m x img",
	  "invalid argument \"x\" for \"-m, --memory\" flag: invalid size: 'x'" },
	{ "cpus as a fraction", "run", "--cpus 1.0000000001 x",
	  "invalid argument \"1.0000000001\" for \"--cpus\" flag: value is too precise" },
	{ "a number past 16 bits", "run", "--blkio-weight 70000 x",
	  "invalid argument \"70000\" for \"--blkio-weight\" flag: strconv.ParseUint: parsing "
	  "\"70000\": value out of range" },
	{ "a filter without =", "ps", "-f foo",
	  "invalid argument \"foo\" for \"-f, --filter\" flag: bad format of filter (expected "
	  "name=value)" },
	{ "an ulimit of no kind", "run", "--ulimit zz=1 x",
	  "invalid argument \"zz=1\" for \"--ulimit\" flag: invalid ulimit type: zz" },
	{ "a soft ulimit above the hard one", "run", "--ulimit nofile=2:1 x",
	  "invalid argument \"nofile=2:1\" for \"--ulimit\" flag: ulimit soft limit must be less "
	  "than "
	  "or equal to hard limit: 2 > 1" },
	{ "a mount without target", "run", "--mount type=bind,src=a x",
	  "invalid argument \"type=bind,src=a\" for \"--mount\" flag: target is required" },
	{ "a mount with a strange key", "run", "--mount type=volume,target=/a,foo=1 x",
	  "invalid argument \"type=volume,target=/a,foo=1\" for \"--mount\" flag: unexpected key "
	  "'foo' "
	  "in 'foo=1'" },
	{ "a sysctl outside the namespaces", "run", "--sysctl foo x",
	  "invalid argument \"foo\" for \"--sysctl\" flag: sysctl 'foo' is not allowed" },
	{ "flags after the image belong to the command", "run", "busybox ls --nope -Z", NULL },
	{ "flags between operands", "rm", "a -f b --volumes c", NULL },
	{ "two dashes end the flags", "rm", "-- -f", NULL },
	{ "memory-swap -1 is unlimited", "run", "--memory-swap -1 x", NULL },
	{ "memory-swap -2 is not", "run", "--memory-swap -2 x",
	  "invalid argument \"-2\" for \"--memory-swap\" flag: invalid size: '-2'" },
};

static size_t split(char *text, char **words)
{
	size_t n = 0;

	for (char *p = text; p && *p;) {
		words[n++] = p;
		p = strchr(p, ' ');
		if (p)
			*p++ = 0;
	}
	return n;
}

static void parse_texts(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(arena) arena = ARENA_INIT;
		auto_(args) a = { 0 };
		struct error err = { 0 };
		char *words[32];
		size_t n = split(arena_strdup(&arena, cases[i].words), words);
		int r =
		    args_parse(&a, &arena, command_find(cases[i].path, NULL), (int)n, words, &err);

		(void)!r;
		is_str(err.msg, cases[i].want ? cases[i].want : "", cases[i].what);
	}
}

static void parse_values(void)
{
	auto_(arena) arena = ARENA_INIT;
	auto_(args) a = { 0 };
	struct error err = { 0 };
	char *words[32];
	size_t n =
	    split(arena_strdup(&arena, "-it --rm=false -e A=1 -eB=2 --env=C=3 --cpus 1.5 -m 2g "
				       "--health-interval 1m30s -h box -p8080:80 img -it x"),
		  words);
	int r = args_parse(&a, &arena, command_find("run", NULL), (int)n, words, &err);

	is_int(r, 0, "a long line parses");
	ok(args_bool(&a, "interactive") && args_bool(&a, "tty"), "-it sets both");
	ok(args_set(&a, "rm") && !args_bool(&a, "rm"), "--rm=false is given and false");
	is_int((long long)args_count(&a, "env"), 3, "env repeats");
	is_str(args_nth(&a, "env", 1), "B=2", "-eB=2 takes the rest of the word");
	is_int(args_int(&a, "cpus"), 1500000000, "cpus in billionths");
	is_int(args_int(&a, "memory"), 2147483648, "memory in bytes");
	is_int(args_int(&a, "health-interval"), 90000000000, "a duration in nanoseconds");
	is_str(args_str(&a, "hostname"), "box", "-h is the host name here");
	is_str(args_nth(&a, "publish", 0), "8080:80", "-p8080:80");
	is_str(args_str(&a, "restart"), "no", "a default");
	is_int((long long)a.operands.len, 3, "the image and its command");
}

static void count_texts(void)
{
	static const struct {
		const char *path, *words, *want;
	} counts[] = {
		{ "run", "", "'docker run' requires at least 1 argument" },
		{ "ps", "a b", "'docker ps' accepts no arguments" },
		{ "tag", "a", "'docker tag' requires 2 arguments" },
		{ "exec", "a", "'docker exec' requires at least 2 arguments" },
		{ "logs", "a b", "'docker logs' requires 1 argument" },
		{ "images", "a b", "'docker images' requires at most 1 argument" },
		{ "port", "", "'docker port' requires at least 1 and at most 2 arguments" },
	};

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		auto_(arena) arena = ARENA_INIT;
		auto_(args) a = { 0 };
		struct error err = { 0 };
		char *words[32];
		size_t n = split(arena_strdup(&arena, counts[i].words), words);
		int r =
		    args_parse(&a, &arena, command_find(counts[i].path, NULL), (int)n, words, &err);

		snprintf(a.path, sizeof(a.path), "%s", counts[i].path);
		if (r == 0)
			r = args_check_count(&a, "docker", &err);
		is_str(err.msg, counts[i].want, counts[i].want);
	}
}

static void table_is_sound(void)
{
	const struct command *c;

	for (size_t i = 0; (c = command_at(i)); i++) {
		bool sound = c->run && c->brief && *c->brief;

		for (size_t j = 0; j < command_n_flags(c); j++)
			for (size_t k = j + 1; k < command_n_flags(c); k++) {
				const struct flag *a = command_flag_at(c, j),
						  *b = command_flag_at(c, k);

				if (strcmp(a->name, b->name) == 0 ||
				    (a->letter && a->letter == b->letter))
					sound = false;
			}
		ok(sound, c->paths);
	}
}

int main(void)
{
	parse_texts();
	parse_values();
	count_texts();
	table_is_sound();
	return tap_done();
}
