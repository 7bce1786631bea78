/* cgroup/stats.c: the numbers of a group, from v1 and v2 files into one struct. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/macros.h"
#include "cgroup/cgroup_internal.h"

#define STAT_MAX     65536
#define COUNTERS_MAX 256
#define IO_MAX       4096
/* v1 says "no limit" as the largest page-aligned s64. */
#define V1_UNLIMITED  0x7ffffffffffff000ULL
#define USEC_PER_TICK 10000u

static uint64_t number(int fd, const char *file)
{
	uint64_t v = 0;

	return cgroup_read_u64(fd, file, &v, NULL) < 0 ? 0 : v;
}

/* "name value" lines; *ret_n of them, at most COUNTERS_MAX. Lines that are no counter are skipped.
 */
static struct cgroup_counter *counters(int fd, const char *file, struct arena *a, size_t *ret_n)
{
	auto_(buf) b = BUF_INIT(STAT_MAX);
	struct cgroup_counter *c = arena_array(a, COUNTERS_MAX, sizeof(*c));
	struct str rest, line, name;
	size_t n = 0;

	*ret_n = 0;
	if (cgroup_read(fd, file, &b, NULL) < 0 || b.len == 0)
		return c;
	rest = (struct str){ b.data, b.len };
	while (n < COUNTERS_MAX && str_split(&rest, '\n', &line)) {
		uint64_t v;

		if (!str_split(&line, ' ', &name) || line.at == NULL ||
		    parse_u64(line, UINT64_MAX, &v, NULL) < 0)
			continue;
		c[n].name = arena_strndup(a, name.at, name.len);
		c[n++].value = v;
	}
	*ret_n = n;
	return c;
}

static uint64_t counter(const struct cgroup_counter *c, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(c[i].name, name) == 0)
			return c[i].value;
	return 0;
}

static void cpu_v2(const struct cgroup_dir *d, struct arena *a, struct cgroup_stats *s)
{
	size_t n;
	struct cgroup_counter *c = counters(d->fd, "cpu.stat", a, &n);

	s->cpu_usage_ns = counter(c, n, "usage_usec") * 1000;
	s->cpu_user_ns = counter(c, n, "user_usec") * 1000;
	s->cpu_system_ns = counter(c, n, "system_usec") * 1000;
	s->cpu_periods = counter(c, n, "nr_periods");
	s->cpu_throttled_periods = counter(c, n, "nr_throttled");
	s->cpu_throttled_ns = counter(c, n, "throttled_usec") * 1000;
}

static void cpuacct_v1(const struct cgroup_dir *d, struct arena *a, struct cgroup_stats *s)
{
	auto_(buf) b = BUF_INIT(STAT_MAX);
	struct str rest, word;
	uint64_t v;
	size_t n;
	struct cgroup_counter *c = counters(d->fd, "cpuacct.stat", a, &n);

	s->cpu_usage_ns = number(d->fd, "cpuacct.usage");
	s->cpu_user_ns = counter(c, n, "user") * USEC_PER_TICK * 1000;
	s->cpu_system_ns = counter(c, n, "system") * USEC_PER_TICK * 1000;
	if (cgroup_read(d->fd, "cpuacct.usage_percpu", &b, NULL) < 0 || b.len == 0)
		return;
	rest = (struct str){ b.data, b.len };
	s->cpu_percpu_ns = arena_array(a, b.len, sizeof(uint64_t));
	while (str_split(&rest, ' ', &word))
		if (parse_u64(word, UINT64_MAX, &v, NULL) == 0)
			s->cpu_percpu_ns[s->n_cpu_percpu++] = v;
}

static void cpu_stats(const struct cgroup *cg, struct arena *a, struct cgroup_stats *s)
{
	const struct cgroup_dir *cpu = cgroup_find(cg, CGROUP_CPU),
				*acct = cgroup_find(cg, CGROUP_CPUACCT), *v2 = cgroup_find_v2(cg);

	/* v2's cpu.stat counts usage even where the cpu controller is elsewhere. */
	if (acct != NULL && acct->version == 1)
		cpuacct_v1(acct, a, s);
	else if (v2 != NULL)
		cpu_v2(v2, a, s);
	if (cpu != NULL && cpu->version == 1) {
		size_t n;
		struct cgroup_counter *c = counters(cpu->fd, "cpu.stat", a, &n);

		s->cpu_periods = counter(c, n, "nr_periods");
		s->cpu_throttled_periods = counter(c, n, "nr_throttled");
		s->cpu_throttled_ns = counter(c, n, "throttled_time");
	}
}

static void memory_stats(const struct cgroup *cg, struct arena *a, struct cgroup_stats *s)
{
	const struct cgroup_dir *d = cgroup_find(cg, CGROUP_MEMORY);

	if (d == NULL)
		return;
	s->memory_version = d->version;
	s->memory_stat = counters(d->fd, "memory.stat", a, &s->n_memory_stat);
	if (d->version == 1) {
		s->memory_usage = number(d->fd, "memory.usage_in_bytes");
		s->memory_max_usage = number(d->fd, "memory.max_usage_in_bytes");
		s->memory_limit = number(d->fd, "memory.limit_in_bytes");
		s->memory_failcnt = number(d->fd, "memory.failcnt");
		s->swap_usage = number(d->fd, "memory.memsw.usage_in_bytes");
		s->swap_max_usage = number(d->fd, "memory.memsw.max_usage_in_bytes");
		s->swap_limit = number(d->fd, "memory.memsw.limit_in_bytes");
		s->swap_failcnt = number(d->fd, "memory.memsw.failcnt");
		s->kernel_usage = number(d->fd, "memory.kmem.usage_in_bytes");
		s->kernel_limit = number(d->fd, "memory.kmem.limit_in_bytes");
		return;
	}
	s->memory_usage = number(d->fd, "memory.current");
	s->memory_max_usage = number(d->fd, "memory.peak");
	s->memory_limit = number(d->fd, "memory.max");
	s->swap_usage = number(d->fd, "memory.swap.current");
	s->swap_limit = number(d->fd, "memory.swap.max");
	s->kernel_usage = counter(s->memory_stat, s->n_memory_stat, "kernel");
	if (s->memory_limit == UINT64_MAX)
		s->memory_limit = V1_UNLIMITED;
}

static const char *io_op(struct str word, struct arena *a)
{
	return arena_strndup(a, word.at, word.len);
}

/* v1: "254:0 Read 4096"; the last line "Total n" has no device. */
static struct cgroup_io_entry *io_v1(int fd, const char *file, struct arena *a, size_t *ret_n)
{
	auto_(buf) b = BUF_INIT(1 << 20);
	struct cgroup_io_entry *e = NULL;
	struct str rest, line;
	size_t n = 0, cap = 0;

	*ret_n = 0;
	if (cgroup_read(fd, file, &b, NULL) < 0 || b.len == 0)
		return NULL;
	for (size_t i = 0; i < b.len; i++)
		cap += b.data[i] == '\n';
	if (cap > IO_MAX)
		cap = IO_MAX;
	e = arena_array(a, cap + 1, sizeof(*e));
	rest = (struct str){ b.data, b.len };
	while (n <= cap && str_split(&rest, '\n', &line)) {
		struct str major, minor, op;

		if (str_split(&line, ':', &major) && str_split(&line, ' ', &minor) &&
		    str_split(&line, ' ', &op) && line.at != NULL &&
		    parse_u64(major, UINT32_MAX, &e[n].major, NULL) == 0 &&
		    parse_u64(minor, UINT32_MAX, &e[n].minor, NULL) == 0 &&
		    parse_u64(line, UINT64_MAX, &e[n].value, NULL) == 0)
			e[n++].op = io_op(op, a);
	}
	*ret_n = n;
	return e;
}

/* v2: "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" */
static void io_v2(int fd, struct arena *a, struct cgroup_stats *s)
{
	static const struct {
		const char *key, *op;
		bool bytes;
	} keys[] = { { "rbytes", "Read", true },    { "wbytes", "Write", true },
		     { "dbytes", "Discard", true }, { "rios", "Read", false },
		     { "wios", "Write", false },    { "dios", "Discard", false } };
	auto_(buf) b = BUF_INIT(1 << 20);
	struct str rest, line, word;

	if (cgroup_read(fd, "io.stat", &b, NULL) < 0 || b.len == 0)
		return;
	s->io_bytes = arena_array(a, b.len / 8 + 1, sizeof(*s->io_bytes));
	s->io_ops = arena_array(a, b.len / 8 + 1, sizeof(*s->io_ops));
	rest = (struct str){ b.data, b.len };
	while (str_split(&rest, '\n', &line)) {
		struct str major, minor, key;
		uint64_t ma, mi, v;

		if (!str_split(&line, ':', &major) || !str_split(&line, ' ', &minor) ||
		    parse_u64(major, UINT32_MAX, &ma, NULL) < 0 ||
		    parse_u64(minor, UINT32_MAX, &mi, NULL) < 0)
			continue;
		while (line.at != NULL && str_split(&line, ' ', &word)) {
			if (!str_split(&word, '=', &key) || word.at == NULL ||
			    parse_u64(word, UINT64_MAX, &v, NULL) < 0)
				continue;
			for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
				struct cgroup_io_entry e = { ma, mi, keys[i].op, v };

				if (!str_eqs(key, keys[i].key))
					continue;
				if (keys[i].bytes)
					s->io_bytes[s->n_io_bytes++] = e;
				else
					s->io_ops[s->n_io_ops++] = e;
			}
		}
	}
}

static void io_stats(const struct cgroup *cg, struct arena *a, struct cgroup_stats *s)
{
	const struct cgroup_dir *d = cgroup_find(cg, CGROUP_IO);

	if (d == NULL)
		return;
	if (d->version == 2) {
		io_v2(d->fd, a, s);
		return;
	}
	/* The bfq files count only while that scheduler is in use. */
	s->io_bytes = io_v1(d->fd, "blkio.bfq.io_service_bytes_recursive", a, &s->n_io_bytes);
	s->io_ops = io_v1(d->fd, "blkio.bfq.io_serviced_recursive", a, &s->n_io_ops);
	if (s->n_io_bytes > 0)
		return;
	s->io_bytes = io_v1(d->fd, "blkio.throttle.io_service_bytes_recursive", a, &s->n_io_bytes);
	s->io_ops = io_v1(d->fd, "blkio.throttle.io_serviced_recursive", a, &s->n_io_ops);
}

static void hugetlb_stats(const struct cgroup *cg, struct arena *a, struct cgroup_stats *s)
{
	static const char *const sizes[] = {
		"64KB", "2MB", "16MB", "32MB", "512MB", "1GB", "16GB"
	};
	const struct cgroup_dir *d = cgroup_find(cg, CGROUP_HUGETLB);

	if (d == NULL)
		return;
	s->hugetlb = arena_array(a, ARRAY_LEN(sizes), sizeof(*s->hugetlb));
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct cgroup_hugetlb_stats *h = &s->hugetlb[s->n_hugetlb];
		char file[64];

		snprintf(file, sizeof(file),
			 d->version == 2 ? "hugetlb.%s.current" : "hugetlb.%s.usage_in_bytes",
			 sizes[i]);
		if (cgroup_read_u64(d->fd, file, &h->usage, NULL) < 0)
			continue;
		h->size = sizes[i];
		s->n_hugetlb++;
		if (d->version == 2)
			continue;
		snprintf(file, sizeof(file), "hugetlb.%s.max_usage_in_bytes", sizes[i]);
		h->max_usage = number(d->fd, file);
		snprintf(file, sizeof(file), "hugetlb.%s.failcnt", sizes[i]);
		h->failcnt = number(d->fd, file);
	}
}

int cgroup_stats_read(const struct cgroup *cg, struct arena *a, struct cgroup_stats *ret,
		      struct error *err)
{
	struct cgroup_stats s = { 0 };
	const struct cgroup_dir *d = cgroup_find(cg, CGROUP_PIDS);

	if (cg->n == 0)
		return error_set(err, ERR_NOT_FOUND, "the container has no cgroup");
	cpu_stats(cg, a, &s);
	memory_stats(cg, a, &s);
	io_stats(cg, a, &s);
	hugetlb_stats(cg, a, &s);
	if (d != NULL) {
		s.pids_current = number(d->fd, "pids.current");
		s.pids_limit = number(d->fd, "pids.max");
		if (s.pids_limit == UINT64_MAX)
			s.pids_limit = 0;
	}
	if (cgroup_oom_kills(cg, &s.oom_kills, NULL) < 0)
		s.oom_kills = 0;
	*ret = s;
	return 0;
}

int cgroup_oom_kills(const struct cgroup *cg, uint64_t *ret, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	const struct cgroup_dir *d = cgroup_find(cg, CGROUP_MEMORY);
	struct cgroup_counter *c;
	size_t n;

	if (d == NULL)
		return error_set(err, ERR_UNIMPLEMENTED, "no memory cgroup here");
	c = counters(d->fd, d->version == 2 ? "memory.events" : "memory.oom_control", &a, &n);
	if (n == 0)
		return error_set(err, ERR_NOT_FOUND, "cgroup '%s' is gone", d->path);
	*ret = counter(c, n, "oom_kill");
	return 0;
}

static int oom_watch_v1(const struct cgroup_dir *d, int *ret_fd, struct error *err)
{
	autoclose int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	autoclose int control = openat(d->fd, "memory.oom_control", O_RDONLY | O_CLOEXEC);
	char text[64];
	int r;

	if (event < 0 || control < 0)
		return error_sys(err, errno, "watch memory of '%s'", d->path);
	snprintf(text, sizeof(text), "%d %d", event, control);
	r = cgroup_write(d->fd, "cgroup.event_control", text, err);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&event);
	return 0;
}

int cgroup_oom_watch(const struct cgroup *cg, int *ret_fd, struct error *err)
{
	const struct cgroup_dir *d = cgroup_find(cg, CGROUP_MEMORY);
	autoclose int fd = FD_NONE;
	autofree char *path = NULL;

	if (d == NULL)
		return error_set(err, ERR_UNIMPLEMENTED, "no memory cgroup here");
	if (d->version == 1)
		return oom_watch_v1(d, ret_fd, err);
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd < 0)
		return error_sys(err, errno, "inotify");
	path = cstr_format("/proc/self/fd/%d/memory.events", d->fd);
	if (inotify_add_watch(fd, path, IN_MODIFY) < 0)
		return error_sys(err, errno, "watch memory of '%s'", d->path);
	*ret_fd = steal_fd(&fd);
	return 0;
}
