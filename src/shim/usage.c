#include "shim/usage.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"

#define FILE_MAX (64U << 10)

/* v1 has a directory a controller, v2 one for all; blkio files are empty without I/O. */
static int read_file(const char *controller, const char *cgroup, const char *name, struct buf *b)
{
	autofree char *path = cstr_format("/sys/fs/cgroup%s%s/%s", controller, cgroup, name);

	b->len = 0;
	return fs_read_file(path, b, NULL) < 0 ? -1 : buf_add(b, "", 0, NULL);
}

static int64_t number_of(struct str text)
{
	uint64_t n;

	return parse_u64(str_trim(text), INT64_MAX, &n, NULL) < 0 ? -1 : (int64_t)n;
}

static int64_t read_number(const char *controller, const char *cgroup, const char *name)
{
	auto_(buf) b = BUF_INIT(FILE_MAX);

	return read_file(controller, cgroup, name, &b) < 0
		   ? -1
		   : number_of((struct str){ b.data, b.len });
}

static int64_t read_cpu(const char *cgroup)
{
	auto_(buf) b = BUF_INIT(FILE_MAX);
	struct str rest, line;

	if (read_file("", cgroup, "cpu.stat", &b) < 0)
		return read_number("/cpuacct", cgroup, "cpuacct.usage");
	rest = (struct str){ b.data, b.len };
	while (str_split(&rest, '\n', &line)) {
		if (str_starts(line, "usage_usec ")) {
			int64_t us = number_of(str_sub(line, strlen("usage_usec "), line.len));

			return us < 0 || us > INT64_MAX / 1000 ? -1 : us * 1000;
		}
	}
	return -1;
}

/* v1 "8:0 Read 4096", v2 "8:0 rbytes=4096 wbytes=0 ...". */
static void add_io(struct str line, struct usage *u)
{
	struct str word;
	int64_t *to = NULL;

	while (str_split(&line, ' ', &word)) {
		int64_t n = 0;

		if (str_eqs(word, "Read") || str_eqs(word, "Write")) {
			to = str_eqs(word, "Read") ? &u->read_bytes : &u->write_bytes;
			continue;
		}
		if (str_starts(word, "rbytes=") || str_starts(word, "wbytes=")) {
			n = number_of(str_sub(word, strlen("rbytes="), word.len));
			*(word.at[0] == 'r' ? &u->read_bytes : &u->write_bytes) += n > 0 ? n : 0;
		} else if (to != NULL) {
			n = number_of(word);
			*to += n > 0 ? n : 0;
		}
		to = NULL;
	}
}

static void read_io(const char *cgroup, struct usage *u)
{
	auto_(buf) b = BUF_INIT(FILE_MAX);
	struct str rest, line;

	if (read_file("", cgroup, "io.stat", &b) < 0 &&
	    read_file("/blkio", cgroup, "blkio.throttle.io_service_bytes_recursive", &b) < 0 &&
	    read_file("/blkio", cgroup, "blkio.throttle.io_service_bytes", &b) < 0)
		return;
	u->read_bytes = u->write_bytes = 0;
	rest = (struct str){ b.data ? b.data : "", b.len };
	while (str_split(&rest, '\n', &line))
		add_io(line, u);
}

void usage_read(const char *cgroup, struct usage *ret)
{
	*ret = (struct usage){ -1, -1, -1, -1 };
	ret->cpu_ns = read_cpu(cgroup);
	ret->memory_peak_bytes = read_number("", cgroup, "memory.peak");
	if (ret->memory_peak_bytes < 0)
		ret->memory_peak_bytes =
		    read_number("/memory", cgroup, "memory.max_usage_in_bytes");
	read_io(cgroup, ret);
}
