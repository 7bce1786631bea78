/* Tests of engine/logread.h: lines back from files, the last n over rotations. */
#include "engine/logread.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fs.h"
#include "tests/tap.h"

static void test_lines(void)
{
	static const struct {
		const char *line;
		bool ok;
		int stream;
		const char *text;
	} cases[] = {
		{ "{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-23T05:29:19.6Z\"}",
		  true, 1, "a\n" },
		{ "{\"log\":\"\\u003cä\\\"\\t\",\"stream\":\"stderr\",\"time\":\"2026-11-23T05:29:"
		  "19Z\"}",
		  true, 2, "<ä\"\t" },
		{ "{\"log\":\"x\",\"stream\":\"stdout\",\"attrs\":{\"a\":\"}\\\"\"},\"time\":"
		  "\"2026-11-"
		  "23T05:29:19Z\"}",
		  true, 1, "x" },
		{ "{\"log\":\"x\",\"stream\":\"stdin\",\"time\":\"2026-11-23T05:29:19Z\"}", false,
		  0, "" },
		{ "{\"log\":\"x\\u12\",\"stream\":\"stdout\"}", false, 0, "" },
		{ "{\"log\":\"x", false, 0, "" },
		{ "", false, 0, "" },
		{ "{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"yesterday\"}", false, 0, "" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct str line = str_of(cases[i].line);
		autofree char *out = calloc(1, line.len + 1);
		struct log_record rec;
		bool got = log_line_parse(line, out, &rec);

		is_int(got, cases[i].ok, cases[i].line);
		if (got)
			ok(rec.stream == cases[i].stream && str_eqs(rec.text, cases[i].text),
			   "has its stream and text");
	}
}

static void write_log(const char *path, int from, int to)
{
	FILE *f = fopen(path, "we");
	int i;

	if (f == NULL)
		return;
	for (i = from; i < to; i++)
		fprintf(
		    f,
		    "{\"log\":\"%d\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-23T05:29:19Z\"}\n",
		    i);
	fclose(f);
}

/* First number and count of what is read from the tail on. */
static void read_tail(const char *path, uint64_t tail, int *ret_first, int *ret_n)
{
	struct log_files files = { 0 };
	struct log_record rec;
	size_t at = 0;
	bool found;

	*ret_first = -1;
	*ret_n = 0;
	if (log_files_open(path, false, &files, NULL) < 0 ||
	    log_files_tail(&files, tail, &at, NULL) < 0)
		return;
	for (; at < files.n; at++) {
		while (log_file_next(&files.at[at], &rec, &found, NULL) == 0 && found) {
			autofree char *text = str_dup(str_trim(rec.text));
			uint64_t v = 0;

			if (*ret_n == 0 && parse_u64(str_of(text), 1000000, &v, NULL) == 0)
				*ret_first = (int)v;
			++*ret_n;
		}
	}
	log_files_close(&files);
}

static void test_tail(const char *dir)
{
	static const struct {
		uint64_t tail;
		int first, n;
	} cases[] = { { 1, 2999, 1 },       { 0, -1, 0 },         { 999, 2001, 999 },
		      { 1000, 2000, 1000 }, { 1001, 1999, 1001 }, { 5000, 0, 3000 } };
	autofree char *path = cstr_format("%s/log", dir);
	autofree char *one = cstr_format("%s.1", path), *two = cstr_format("%s.2", path);
	int first, n;
	size_t i;

	write_log(two, 0, 1000);
	write_log(one, 1000, 2000);
	write_log(path, 2000, 3000);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		read_tail(path, cases[i].tail, &first, &n);
		is_int(n, cases[i].n, "as many lines as asked for");
		is_int(first, cases[i].first, "beginning at the right one");
	}
}

int main(void)
{
	char dir[] = "/tmp/logread_test_XXXXXX";
	int tmp;

	if (mkdtemp(dir) == NULL)
		return 1;
	test_lines();
	test_tail(dir);
	if (fs_open("/tmp", O_RDONLY | O_DIRECTORY, 0, &tmp, NULL) == 0) {
		ok(fs_remove_tree(tmp, dir + 5, NULL) == 0, "the directory goes");
		close(tmp);
	}
	return tap_done();
}
