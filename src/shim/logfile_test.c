/* Tests of shim/logfile.h: lines, pieces, escapes, rotation. */
#include "shim/logfile.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "tests/tap.h"

#define NOW 1795411759647928246LL

static char *slurp(const char *path)
{
	auto_(buf) b = BUF_INIT(1 << 22);

	if (fs_read_file(path, &b, NULL) < 0 || b.data == NULL)
		return NULL;
	return buf_detach(&b, NULL);
}

static void test_lines(const char *dir)
{
	static const struct {
		const char *what, *in, *want;
	} cases[] = {
		{ "a line", "hi\n", "{\"log\":\"hi\\n\"" },
		{ "quotes and backslashes", "\"\\\n", "{\"log\":\"\\\"\\\\\\n\"" },
		{ "control characters", "\x01\t\r\n", "{\"log\":\"\\u0001\\t\\r\\n\"" },
		{ "HTML as Go escapes it", "<&>\n", "{\"log\":\"\\u003c\\u0026\\u003e\\n\"" },
		{ "UTF-8 as it is", "\xc3\xa4\n", "{\"log\":\"\xc3\xa4\\n\"" },
		{ "broken UTF-8 as the replacement character", "\xff\n",
		  "{\"log\":\"\\ufffd\\n\"" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *path = cstr_format("%s/l%zu", dir, i);
		struct logfile_config cfg = { .driver = "json-file", .path = path };
		struct log_partial partial = { 0 };
		struct logfile *l = NULL;
		autofree char *text = NULL;

		ok(logfile_open(&cfg, &l, NULL) == 0, "opens");
		logfile_write(l, 1, &partial, cases[i].in, strlen(cases[i].in), NOW);
		logfile_close(l);
		text = slurp(path);
		ok(text && strncmp(text, cases[i].want, strlen(cases[i].want)) == 0, cases[i].what);
		log_partial_release(&partial);
	}
}

static void test_pieces(const char *dir)
{
	autofree char *path = cstr_format("%s/pieces", dir);
	struct logfile_config cfg = { .driver = "json-file", .path = path };
	struct log_partial partial = { 0 };
	struct logfile *l = NULL;
	autofree char *text = NULL, *big = calloc(1, LOG_LINE_MAX + 10);
	const char *p;
	int lines = 0;

	ok(logfile_open(&cfg, &l, NULL) == 0, "opens");
	logfile_write(l, 1, &partial, "ab", 2, NOW);
	logfile_write(l, 1, &partial, "c\nde", 4, NOW);
	text = slurp(path);
	ok(text && strstr(text, "{\"log\":\"abc\\n\"") == text, "a line in two pieces is one line");
	ok(strstr(text, "de") == NULL, "its unfinished neighbour waits");
	logfile_flush(l, 1, &partial, NOW);
	free(text);
	text = slurp(path);
	ok(strstr(text, "{\"log\":\"de\",") != NULL, "until the end");
	memset(big, 'x', LOG_LINE_MAX + 5);
	big[LOG_LINE_MAX + 5] = '\n';
	logfile_write(l, 2, &partial, big, LOG_LINE_MAX + 6, NOW);
	free(text);
	text = slurp(path);
	for (p = text; *p; p++)
		lines += *p == '\n';
	is_int(lines, 4, "a line longer than 16 KiB is two records");
	ok(strstr(text, "\"stream\":\"stderr\"") != NULL, "of its stream");
	logfile_close(l);
	log_partial_release(&partial);
}

static void test_rotation(const char *dir)
{
	autofree char *path = cstr_format("%s/rot", dir);
	autofree char *one = cstr_format("%s.1", path), *two = cstr_format("%s.2", path);
	struct logfile_config cfg = {
		.driver = "json-file", .path = path, .max_size_bytes = 200, .max_files = 2
	};
	struct log_partial partial = { 0 };
	struct logfile *l = NULL;
	int i;

	ok(logfile_open(&cfg, &l, NULL) == 0, "opens");
	for (i = 0; i < 20; i++)
		logfile_write(l, 1, &partial, "a line of text\n", 15, NOW);
	logfile_close(l);
	ok(access(path, F_OK) == 0 && access(one, F_OK) == 0, "there are two files");
	ok(access(two, F_OK) != 0, "and no third");
	log_partial_release(&partial);
}

static void test_compression(const char *dir)
{
	autofree char *path = cstr_format("%s/zip", dir);
	autofree char *one = cstr_format("%s.1.gz", path), *two = cstr_format("%s.2.gz", path);
	autofree char *plain = cstr_format("%s.1", path), *three = cstr_format("%s.3.gz", path);
	struct logfile_config cfg = { .driver = "json-file",
				      .path = path,
				      .max_size_bytes = 200,
				      .max_files = 3,
				      .compress = true };
	struct log_partial partial = { 0 };
	autofree char *text = NULL;
	struct logfile *l = NULL;
	struct stat st;
	char want[64];
	int i;

	ok(logfile_open(&cfg, &l, NULL) == 0, "opens");
	for (i = 0; i < 2; i++)
		logfile_write(l, 1, &partial,
			      "a line of text of sixty bytes, which fill two hundred\n", 54, NOW);
	ok(stat(path, &st) == 0, "the first file");
	snprintf(want, sizeof(want), "ino=%llu", (unsigned long long)st.st_ino);
	logfile_write(l, 1, &partial, "first of the second\n", 20, NOW);
	logfile_close(l);
	text = slurp(one);
	ok(text && memcmp(text, "\037\213", 2) == 0, "the rotated file is compressed");
	ok(text && strcmp(text + 10, want) == 0, "and says which inode it had");
	ok(access(plain, F_OK) != 0, "the plain one is gone");
	ok(logfile_open(&cfg, &l, NULL) == 0, "opens again");
	for (i = 0; i < 40; i++)
		logfile_write(l, 1, &partial, "a line of text\n", 15, NOW);
	logfile_close(l);
	ok(access(one, F_OK) == 0 && access(two, F_OK) == 0, "two compressed ones");
	ok(access(three, F_OK) != 0 && access(plain, F_OK) != 0, "and no third");
	log_partial_release(&partial);
}

int main(void)
{
	char dir[] = "/tmp/logfile_test_XXXXXX";
	struct logfile_config bad = { .driver = "nosuch", .path = "/dev/null" };
	struct logfile *l = NULL;
	int tmp;

	if (mkdtemp(dir) == NULL)
		return 1;
	test_lines(dir);
	test_pieces(dir);
	test_rotation(dir);
	test_compression(dir);
	ok(logfile_open(&bad, &l, NULL) == -ERR_INVALID, "an unknown driver is refused");
	if (fs_open("/tmp", O_RDONLY | O_DIRECTORY, 0, &tmp, NULL) == 0) {
		ok(fs_remove_tree(tmp, dir + 5, NULL) == 0, "the directory goes");
		close(tmp);
	}
	return tap_done();
}
