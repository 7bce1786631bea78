/* engine/stats.c: GET /containers/{ref}/stats, the container part of /system/df. */
#include "engine/stats.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "engine/container_internal.h"
#include "engine/network.h"
#include "store/images.h"
#include "store/snapshot.h"
#include "store/store.h"

#define STAT_MAX   (1 << 20)
#define ANSWER_MAX (1 << 20)

struct sample {
	struct arena arena;
	struct cgroup_stats cg;
	bool running;
	int64_t wall_ns;
	uint64_t system_ns;
	struct net_stats *nets;
	size_t n_nets;
};

static void sample_release(struct sample *s)
{
	free(s->nets);
	arena_release(&s->arena);
	*s = (struct sample){ 0 };
}
DEFINE_AUTO(sample, sample_release);

/* All CPUs together, from the first line of /proc/stat, in ns. */
static uint64_t system_cpu_ns(void)
{
	auto_(buf) b = BUF_INIT(STAT_MAX);
	struct str rest, word, line;
	uint64_t total = 0, v;
	long hz = sysconf(_SC_CLK_TCK);
	int i = 0;

	if (fs_read_file("/proc/stat", &b, NULL) < 0 || b.len == 0)
		return 0;
	rest = (struct str){ b.data, b.len };
	if (!str_split(&rest, '\n', &line))
		return 0;
	while (i < 8 && str_split(&line, ' ', &word)) {
		if (word.len == 0 || parse_u64(word, UINT64_MAX, &v, NULL) < 0)
			continue;
		total += v;
		i++;
	}
	return total * (uint64_t)(NS_PER_SEC / (hz > 0 ? hz : 100));
}

static void take_sample(struct container *c, struct sample *s)
{
	auto_(cgroup) cg = CGROUP_INIT;
	bool running;

	sample_release(s);
	{
		LOCKED(&c->lock);
		running = container_is_running(c) && c->pid > 0;
	}
	s->wall_ns = clock_wall_ns();
	if (!running || container_cgroup_open(c, &s->arena, &cg, NULL) < 0 ||
	    cgroup_stats_read(&cg, &s->arena, &s->cg, NULL) < 0)
		return;
	s->running = true;
	s->system_ns = system_cpu_ns();
	(void)!network_stats(c, &s->nets, &s->n_nets, NULL);
}

/* ---- Docker's shape ---- */

static void kuint(struct jsonw *w, const char *key, uint64_t v)
{
	jsonw_key(w, key);
	jsonw_uint(w, v);
}

static void write_io_list(struct jsonw *w, const char *key, const struct cgroup_io_entry *io,
			  size_t n, bool running)
{
	size_t i;

	if (!running) {
		jsonw_knull(w, key);
		return;
	}
	jsonw_karray(w, key);
	for (i = 0; i < n; i++) {
		jsonw_object(w);
		kuint(w, "major", io[i].major);
		kuint(w, "minor", io[i].minor);
		jsonw_kstring(w, "op", io[i].op);
		kuint(w, "value", io[i].value);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void write_io(struct jsonw *w, const struct sample *s)
{
	static const char *const rest[] = { "io_queue_recursive",     "io_service_time_recursive",
					    "io_wait_time_recursive", "io_merged_recursive",
					    "io_time_recursive",      "sectors_recursive" };
	size_t i;

	jsonw_kobject(w, "blkio_stats");
	write_io_list(w, "io_service_bytes_recursive", s->cg.io_bytes, s->cg.n_io_bytes,
		      s->running);
	write_io_list(w, "io_serviced_recursive", s->cg.io_ops, s->cg.n_io_ops, s->running);
	for (i = 0; i < ARRAY_LEN(rest); i++)
		write_io_list(w, rest[i], NULL, 0, s->running);
	jsonw_end(w);
}

static void write_cpu(struct jsonw *w, const char *key, const struct sample *s)
{
	size_t i;

	jsonw_kobject(w, key);
	jsonw_kobject(w, "cpu_usage");
	kuint(w, "total_usage", s->cg.cpu_usage_ns);
	if (s->cg.n_cpu_percpu > 0) {
		jsonw_karray(w, "percpu_usage");
		for (i = 0; i < s->cg.n_cpu_percpu; i++)
			jsonw_uint(w, s->cg.cpu_percpu_ns[i]);
		jsonw_end(w);
	}
	kuint(w, "usage_in_kernelmode", s->cg.cpu_system_ns);
	kuint(w, "usage_in_usermode", s->cg.cpu_user_ns);
	jsonw_end(w);
	if (s->running) {
		kuint(w, "system_cpu_usage", s->system_ns);
		jsonw_kint(w, "online_cpus", sysconf(_SC_NPROCESSORS_ONLN));
	}
	jsonw_kobject(w, "throttling_data");
	kuint(w, "periods", s->cg.cpu_periods);
	kuint(w, "throttled_periods", s->cg.cpu_throttled_periods);
	kuint(w, "throttled_time", s->cg.cpu_throttled_ns);
	jsonw_end(w);
	jsonw_end(w);
}

static void write_memory(struct jsonw *w, const struct sample *s)
{
	uint64_t limit = s->cg.memory_limit;
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	uint64_t machine = (uint64_t)pages * (uint64_t)size;
	size_t i;

	jsonw_kobject(w, "memory_stats");
	if (s->running) {
		kuint(w, "usage", s->cg.memory_usage);
		if (s->cg.memory_version == 1)
			kuint(w, "max_usage", s->cg.memory_max_usage);
		jsonw_kobject(w, "stats");
		for (i = 0; i < s->cg.n_memory_stat; i++)
			kuint(w, s->cg.memory_stat[i].name, s->cg.memory_stat[i].value);
		jsonw_end(w);
		if (s->cg.memory_failcnt)
			kuint(w, "failcnt", s->cg.memory_failcnt);
		/* "No limit" is the machine's memory, as dockerd says it. */
		kuint(w, "limit", limit == 0 || limit > machine ? machine : limit);
	}
	jsonw_end(w);
}

static void write_networks(struct jsonw *w, const struct sample *s)
{
	size_t i;

	if (s->n_nets == 0)
		return;
	jsonw_kobject(w, "networks");
	for (i = 0; i < s->n_nets; i++) {
		const struct net_stats *n = &s->nets[i];

		jsonw_kobject(w, n->ifname);
		kuint(w, "rx_bytes", n->rx_bytes);
		kuint(w, "rx_packets", n->rx_packets);
		kuint(w, "rx_errors", n->rx_errors);
		kuint(w, "rx_dropped", n->rx_dropped);
		kuint(w, "tx_bytes", n->tx_bytes);
		kuint(w, "tx_packets", n->tx_packets);
		kuint(w, "tx_errors", n->tx_errors);
		kuint(w, "tx_dropped", n->tx_dropped);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static int send_stats(struct container *c, const struct sample *now, const struct sample *before,
		      struct writer *out, struct error *err)
{
	auto_(buf) b = BUF_INIT(ANSWER_MAX);
	autofree char *name = NULL;
	struct jsonw w;
	int r;

	{
		LOCKED(&c->lock);
		name = cstr_format("/%s", c->name);
	}
	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_ktime(&w, "read", now->running ? now->wall_ns : 0);
	jsonw_ktime(&w, "preread", before->wall_ns);
	jsonw_kobject(&w, "pids_stats");
	if (now->running) {
		kuint(&w, "current", now->cg.pids_current);
		if (now->cg.pids_limit)
			kuint(&w, "limit", now->cg.pids_limit);
	}
	jsonw_end(&w);
	write_io(&w, now);
	jsonw_kint(&w, "num_procs", 0);
	jsonw_kobject(&w, "storage_stats");
	jsonw_end(&w);
	write_cpu(&w, "cpu_stats", now);
	write_cpu(&w, "precpu_stats", before);
	write_memory(&w, now);
	jsonw_kstring(&w, "name", name);
	jsonw_kstring(&w, "id", c->id);
	write_networks(&w, now);
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	if (r == 0)
		r = buf_add(&b, "\n", 1, err);
	if (r == 0 && writer_write(out, b.data, b.len, err) < 0)
		r = error_set(err, ERR_CANCELED, "the reader is gone");
	return r;
}

/* One second; ERR_CANCELED when the client or the engine goes. */
static int pause_1s(struct container *c, const struct cancel *cancel, struct error *err)
{
	struct pollfd p[2] = { { c->engine->closing.fd, POLLIN, 0 },
			       { cancel ? cancel->fd : -1, POLLIN, 0 } };

	return poll(p, 2, 1000) > 0 ? error_set(err, ERR_CANCELED, "canceled") : 0;
}

static bool is_removed(struct container *c)
{
	LOCKED(&c->lock);
	return c->removed;
}

int container_stats(struct engine *e, const char *ref, bool stream, bool one_shot,
		    struct writer *out, const struct cancel *cancel, struct error *err)
{
	autoptr(container) c = NULL;
	auto_(sample) before = { 0 };
	auto_(sample) now = { 0 };
	int r;

	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	r = writer_write(out, "", 0, err);
	if (r < 0)
		return r;
	take_sample(c, &now);
	if (!stream && !one_shot && now.running) {
		before = now;
		now = (struct sample){ 0 };
		r = pause_1s(c, cancel, err);
		if (r < 0)
			return r;
		take_sample(c, &now);
	}
	r = send_stats(c, &now, &before, out, err);
	while (stream && r == 0) {
		sample_release(&before);
		before = now;
		now = (struct sample){ 0 };
		r = pause_1s(c, cancel, err);
		if (r < 0 || is_removed(c))
			break;
		take_sample(c, &now);
		r = send_stats(c, &now, &before, out, err);
	}
	return r;
}

int container_usage(struct engine *e, struct jsonw *out, struct error *err)
{
	return container_list(e, true, 0, true, NULL, out, err);
}
