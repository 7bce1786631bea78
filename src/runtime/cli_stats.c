/* runtime/cli_stats.c: events (statistics and OOM as runc prints them), update. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/macros.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "oci/runtime_config.h"
#include "runtime/cli.h"
#include "runtime/state.h"

static void memory_entry(struct jsonw *w, const char *key, uint64_t limit, uint64_t usage,
			 uint64_t max, uint64_t failcnt)
{
	jsonw_kobject(w, key);
	jsonw_key(w, "limit");
	jsonw_uint(w, limit);
	jsonw_key(w, "usage");
	jsonw_uint(w, usage);
	jsonw_key(w, "max");
	jsonw_uint(w, max);
	jsonw_key(w, "failcnt");
	jsonw_uint(w, failcnt);
	jsonw_end(w);
}

static void cpu_stats(struct jsonw *w, const struct cgroup_stats *s)
{
	jsonw_kobject(w, "cpu");
	jsonw_kobject(w, "usage");
	jsonw_key(w, "total");
	jsonw_uint(w, s->cpu_usage_ns);
	jsonw_karray(w, "percpu");
	for (size_t i = 0; i < s->n_cpu_percpu; i++)
		jsonw_uint(w, s->cpu_percpu_ns[i]);
	jsonw_end(w);
	jsonw_key(w, "kernel");
	jsonw_uint(w, s->cpu_system_ns);
	jsonw_key(w, "user");
	jsonw_uint(w, s->cpu_user_ns);
	jsonw_end(w);
	jsonw_kobject(w, "throttling");
	jsonw_key(w, "periods");
	jsonw_uint(w, s->cpu_periods);
	jsonw_key(w, "throttledPeriods");
	jsonw_uint(w, s->cpu_throttled_periods);
	jsonw_key(w, "throttledTime");
	jsonw_uint(w, s->cpu_throttled_ns);
	jsonw_end(w);
	jsonw_end(w);
}

static void memory_stats(struct jsonw *w, const struct cgroup_stats *s)
{
	uint64_t cache = 0;

	for (size_t i = 0; i < s->n_memory_stat; i++)
		if (strcmp(s->memory_stat[i].name, s->memory_version == 2 ? "file" : "cache") == 0)
			cache = s->memory_stat[i].value;
	jsonw_kobject(w, "memory");
	jsonw_key(w, "cache");
	jsonw_uint(w, cache);
	memory_entry(w, "usage", s->memory_limit, s->memory_usage, s->memory_max_usage,
		     s->memory_failcnt);
	memory_entry(w, "swap", s->swap_limit, s->swap_usage, s->swap_max_usage, s->swap_failcnt);
	memory_entry(w, "kernel", s->kernel_limit, s->kernel_usage, 0, 0);
	jsonw_kobject(w, "raw");
	for (size_t i = 0; i < s->n_memory_stat; i++) {
		jsonw_key(w, s->memory_stat[i].name);
		jsonw_uint(w, s->memory_stat[i].value);
	}
	jsonw_end(w);
	jsonw_end(w);
}

static void io_entries(struct jsonw *w, const char *key, const struct cgroup_io_entry *e, size_t n)
{
	jsonw_karray(w, key);
	for (size_t i = 0; i < n; i++) {
		jsonw_object(w);
		jsonw_key(w, "major");
		jsonw_uint(w, e[i].major);
		jsonw_key(w, "minor");
		jsonw_uint(w, e[i].minor);
		jsonw_kstring(w, "op", e[i].op);
		jsonw_key(w, "value");
		jsonw_uint(w, e[i].value);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static int print_stats(const struct cgroup *cg, const char *id, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) b = BUF_INIT(4u << 20);
	struct cgroup_stats s;
	struct jsonw w;
	int r = cgroup_stats_read(cg, &a, &s, err);

	if (r < 0)
		return r;
	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_kstring(&w, "type", "stats");
	jsonw_kstring(&w, "id", id);
	jsonw_kobject(&w, "data");
	cpu_stats(&w, &s);
	memory_stats(&w, &s);
	jsonw_kobject(&w, "pids");
	jsonw_key(&w, "current");
	jsonw_uint(&w, s.pids_current);
	jsonw_key(&w, "limit");
	jsonw_uint(&w, s.pids_limit);
	jsonw_end(&w);
	jsonw_kobject(&w, "blkio");
	io_entries(&w, "ioServiceBytesRecursive", s.io_bytes, s.n_io_bytes);
	io_entries(&w, "ioServicedRecursive", s.io_ops, s.n_io_ops);
	jsonw_end(&w);
	jsonw_kobject(&w, "hugetlb");
	for (size_t i = 0; i < s.n_hugetlb; i++) {
		jsonw_kobject(&w, s.hugetlb[i].size);
		jsonw_key(&w, "usage");
		jsonw_uint(&w, s.hugetlb[i].usage);
		jsonw_key(&w, "max");
		jsonw_uint(&w, s.hugetlb[i].max_usage);
		jsonw_key(&w, "failcnt");
		jsonw_uint(&w, s.hugetlb[i].failcnt);
		jsonw_end(&w);
	}
	jsonw_end(&w);
	jsonw_end(&w);
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	if (r == 0)
		r = buf_add(&b, "\n", 1, err);
	return r < 0 ? r : fs_write_all(STDOUT_FILENO, b.data, b.len, err);
}

struct events_flags {
	const char *interval;
	bool stats;
};

/* Until the container ends: statistics every interval, a line for each time memory ran out. */
static int follow(const struct cgroup *cg, const struct runtime_state *s, int64_t interval_ms,
		  struct error *err)
{
	autoclose int oom = FD_NONE, pidfd = FD_NONE;
	autofree char *line = cstr_format("{\"type\":\"oom\",\"id\":\"%s\"}\n", s->id);
	int64_t next = clock_mono_ns() / NS_PER_MS + interval_ms;
	struct error none;
	int r = state_pidfd(s, &pidfd, err);

	if (r < 0)
		return r;
	if (cgroup_oom_watch(cg, &oom, &none) < 0)
		oom = FD_NONE;
	for (;;) {
		struct pollfd fds[2] = { { .fd = pidfd, .events = POLLIN },
					 { .fd = oom, .events = POLLIN } };
		int64_t left = next - clock_mono_ns() / NS_PER_MS;
		char chunk[4096];

		if (poll(fds, 2, left > 0 ? (int)left : 0) < 0 && errno != EINTR)
			return error_sys(err, errno, "poll");
		if (fds[1].revents && read(oom, chunk, sizeof(chunk)) > 0)
			r = fs_write_all(STDOUT_FILENO, line, strlen(line), err);
		if (r < 0 || fds[0].revents)
			return r;
		if (clock_mono_ns() / NS_PER_MS < next)
			continue;
		next += interval_ms;
		r = print_stats(cg, s->id, err);
		if (r < 0)
			return r;
	}
}

int cli_events(struct cli *c, int argc, char **argv, struct error *err)
{
	static const struct cli_flag flags[] = {
		CLI_FLAG("interval", 0, CLI_STRING, struct events_flags, interval),
		CLI_FLAG("stats", 0, CLI_BOOL, struct events_flags, stats),
	};
	struct events_flags f = { .interval = "5s" };
	auto_(arena) a = ARENA_INIT;
	auto_(cgroup) cg = CGROUP_INIT;
	auto_(state_dir) d = STATE_DIR_INIT;
	struct runtime_state s;
	enum runtime_status status;
	int64_t interval;
	const char *id;
	int at = 1, r = cli_parse(argc, argv, &at, flags, ARRAY_LEN(flags), &f, err);

	if (r == 0)
		r = cli_id(argc, argv, at, "events", &id, err);
	if (r == 0)
		r = parse_duration(str_of(f.interval), &interval, err);
	if (r == 0 && interval < NS_PER_MS)
		r = error_set(err, ERR_INVALID, "duration interval must be greater than 0");
	if (r == 0)
		r = state_open(&c->options, id, false, &d, err);
	if (r == 0)
		r = state_read(&d, &a, &s, err);
	if (r == 0)
		r = state_status(&d, &s, &status, err);
	if (r == 0 && status == STATUS_STOPPED)
		r = error_set(err, ERR_CONFLICT, "container with id %s is not running", id);
	if (r == 0)
		r = cgroup_open(s.cgroups, s.n_cgroups, &cg, err);
	if (r < 0)
		return r;
	return f.stats ? print_stats(&cg, id, err) : follow(&cg, &s, interval / NS_PER_MS, err);
}

struct update_flags {
	const char *resources;
	const char *cpu_period, *cpu_quota, *cpu_shares, *rt_period, *rt_runtime, *cpus, *mems;
	const char *cpu_idle, *cpu_burst;
	const char *memory, *reservation, *swap, *kernel, *kernel_tcp, *pids, *blkio;
};

static const struct cli_flag update_flags[] = {
	CLI_FLAG("resources", 'r', CLI_STRING, struct update_flags, resources),
	CLI_FLAG("cpu-period", 0, CLI_STRING, struct update_flags, cpu_period),
	CLI_FLAG("cpu-quota", 0, CLI_STRING, struct update_flags, cpu_quota),
	CLI_FLAG("cpu-share", 0, CLI_STRING, struct update_flags, cpu_shares),
	CLI_FLAG("cpu-burst", 0, CLI_STRING, struct update_flags, cpu_burst),
	CLI_FLAG("cpu-idle", 0, CLI_STRING, struct update_flags, cpu_idle),
	CLI_FLAG("cpu-rt-period", 0, CLI_STRING, struct update_flags, rt_period),
	CLI_FLAG("cpu-rt-runtime", 0, CLI_STRING, struct update_flags, rt_runtime),
	CLI_FLAG("cpuset-cpus", 0, CLI_STRING, struct update_flags, cpus),
	CLI_FLAG("cpuset-mems", 0, CLI_STRING, struct update_flags, mems),
	CLI_FLAG("memory", 0, CLI_STRING, struct update_flags, memory),
	CLI_FLAG("memory-reservation", 0, CLI_STRING, struct update_flags, reservation),
	CLI_FLAG("memory-swap", 0, CLI_STRING, struct update_flags, swap),
	CLI_FLAG("kernel-memory", 0, CLI_STRING, struct update_flags, kernel),
	CLI_FLAG("kernel-memory-tcp", 0, CLI_STRING, struct update_flags, kernel_tcp),
	CLI_FLAG("pids-limit", 0, CLI_STRING, struct update_flags, pids),
	CLI_FLAG("blkio-weight", 0, CLI_STRING, struct update_flags, blkio),
};

/* A number, or a size like "512m" where `size`. */
static int number(struct jsonw *w, const char *key, const char *flag, const char *text, bool size,
		  struct error *err)
{
	int64_t v;
	int r;

	if (text == NULL)
		return 0;
	r = parse_i64(str_of(text), INT64_MIN, INT64_MAX, &v, size ? NULL : err);
	if (r < 0 && size)
		r = parse_size(str_of(text), &v, err);
	if (r < 0)
		return error_wrap(err, r, "--%s", flag);
	jsonw_kint(w, key, v);
	return 0;
}

static int flags_to_json(const struct update_flags *f, struct buf *b, struct error *err)
{
	struct jsonw w;
	int r;

	jsonw_init(&w, b);
	jsonw_object(&w);
	jsonw_kobject(&w, "memory");
	r = number(&w, "limit", "memory", f->memory, true, err);
	if (r == 0)
		r = number(&w, "reservation", "memory-reservation", f->reservation, true, err);
	if (r == 0)
		r = number(&w, "swap", "memory-swap", f->swap, true, err);
	if (r == 0)
		r = number(&w, "kernel", "kernel-memory", f->kernel, true, err);
	if (r == 0)
		r = number(&w, "kernelTCP", "kernel-memory-tcp", f->kernel_tcp, true, err);
	jsonw_end(&w);
	jsonw_kobject(&w, "cpu");
	if (r == 0)
		r = number(&w, "shares", "cpu-share", f->cpu_shares, false, err);
	if (r == 0)
		r = number(&w, "quota", "cpu-quota", f->cpu_quota, false, err);
	if (r == 0)
		r = number(&w, "period", "cpu-period", f->cpu_period, false, err);
	if (r == 0)
		r = number(&w, "burst", "cpu-burst", f->cpu_burst, false, err);
	if (r == 0)
		r = number(&w, "idle", "cpu-idle", f->cpu_idle, false, err);
	if (r == 0)
		r = number(&w, "realtimePeriod", "cpu-rt-period", f->rt_period, false, err);
	if (r == 0)
		r = number(&w, "realtimeRuntime", "cpu-rt-runtime", f->rt_runtime, false, err);
	if (f->cpus != NULL)
		jsonw_kstring(&w, "cpus", f->cpus);
	if (f->mems != NULL)
		jsonw_kstring(&w, "mems", f->mems);
	jsonw_end(&w);
	jsonw_kobject(&w, "pids");
	if (r == 0)
		r = number(&w, "limit", "pids-limit", f->pids, false, err);
	jsonw_end(&w);
	jsonw_kobject(&w, "blockIO");
	if (r == 0)
		r = number(&w, "weight", "blkio-weight", f->blkio, false, err);
	jsonw_end(&w);
	jsonw_end(&w);
	return r < 0 ? r : jsonw_finish(&w, err);
}

int cli_update(struct cli *c, int argc, char **argv, struct error *err)
{
	struct update_flags f = { 0 };
	auto_(buf) b = BUF_INIT(RUNTIME_CONFIG_MAX);
	const char *id;
	int at = 1, r = cli_parse(argc, argv, &at, update_flags, ARRAY_LEN(update_flags), &f, err);

	if (r < 0)
		return r;
	if (at >= argc)
		return error_set(err, ERR_INVALID, "\"update\" requires exactly 1 argument");
	id = argv[at++];
	r = cli_parse(argc, argv, &at, update_flags, ARRAY_LEN(update_flags), &f, err);
	if (r < 0)
		return r;
	if (f.resources == NULL)
		r = flags_to_json(&f, &b, err);
	else
		r = fs_read_file(strcmp(f.resources, "-") == 0 ? "/dev/stdin" : f.resources, &b,
				 err);
	return r < 0 ? r : runtime_update(&c->options, id, b.data ? b.data : "", b.len, err);
}
