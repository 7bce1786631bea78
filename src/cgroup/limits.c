/*
 * cgroup/limits.c: the limits of config.json, written where the machine has
 * their controller.
 *
 * v1 and v2 name and scale the same things differently; the tables and the few
 * conversions are here and nowhere else.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "cgroup/cgroup_internal.h"

#define NO_LIMIT (-1)

void cgroup_limits_init(struct cgroup_limits *l)
{
	memset(l, 0, sizeof(*l));
	l->cpu_shares = l->cpu_quota_us = l->cpu_period_us = l->cpu_burst_us = CGROUP_UNSET;
	l->cpu_rt_runtime_us = l->cpu_rt_period_us = l->cpu_idle = CGROUP_UNSET;
	l->memory_limit = l->memory_reservation = l->memory_swap = CGROUP_UNSET;
	l->memory_kernel = l->memory_kernel_tcp = l->memory_swappiness = CGROUP_UNSET;
	l->memory_oom_kill_disable = l->pids_limit = CGROUP_UNSET;
	l->io_weight = l->io_leaf_weight = l->net_class_id = CGROUP_UNSET;
}

int cgroup_cpu_list(const char *list, uint8_t *bits, size_t n_bytes, size_t *ret_used,
		    struct error *err)
{
	struct str rest = str_of(list), range, first;
	size_t used = 0;

	memset(bits, 0, n_bytes);
	while (str_split(&rest, ',', &range)) {
		uint64_t from = 0, to = 0;
		bool one;

		range = str_trim(range);
		one = str_find(range, '-') < 0;
		if (!str_split(&range, '-', &first) ||
		    parse_u64(first, n_bytes * 8 - 1, &from, NULL) < 0 ||
		    (!one && parse_u64(range, n_bytes * 8 - 1, &to, NULL) < 0) ||
		    (!one && to < from))
			return error_set(err, ERR_INVALID, "'%.80s' is no list of cpus", list);
		for (to = one ? from : to; from <= to; from++) {
			bits[from / 8] |= (uint8_t)(1u << from % 8);
			if (from / 8 >= used)
				used = from / 8 + 1;
		}
	}
	if (used == 0)
		return error_set(err, ERR_INVALID, "'%.80s' is no list of cpus", list);
	*ret_used = used;
	return 0;
}

static bool is_set(int64_t v)
{
	return v != CGROUP_UNSET;
}

static int need(const struct cgroup *cg, enum cgroup_controller c, const char *limit,
		const struct cgroup_dir **ret, struct error *err)
{
	*ret = cgroup_find(cg, c);
	if (*ret == NULL)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "cannot set the %s limit: no cgroup controller '%s' here", limit,
				 cgroup_controller_name(c, 1));
	return 0;
}

static int not_here(const char *limit, int version, struct error *err)
{
	return error_set(err, ERR_UNIMPLEMENTED, "cannot set the %s limit: cgroup v%d has none",
			 limit, version);
}

/* A file that older or smaller kernels lack: the absence is told by the limit's name. */
static int write_or_missing(const struct cgroup_dir *d, const char *file, const char *text,
			    const char *limit, struct error *err)
{
	int r = cgroup_write(d->fd, file, text, err);

	if (r == -ERR_NOT_FOUND)
		return error_set(err, ERR_UNIMPLEMENTED,
				 "cannot set the %s limit: this kernel has no '%s'", limit, file);
	return r;
}

static int write_num(const struct cgroup_dir *d, const char *file, int64_t v, const char *limit,
		     struct error *err)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)v);
	return write_or_missing(d, file, text, limit, err);
}

static int write_max(const struct cgroup_dir *d, const char *file, int64_t v, const char *limit,
		     struct error *err)
{
	return v < 0 ? write_or_missing(d, file, "max", limit, err)
		     : write_num(d, file, v, limit, err);
}

int64_t cgroup_weight_of_shares(int64_t shares)
{
	if (shares < 2)
		shares = 2;
	if (shares > 262144)
		shares = 262144;
	return 1 + (shares - 2) * 9999 / 262142;
}

static int cpu_v1(const struct cgroup_dir *d, const struct cgroup_limits *l, struct error *err)
{
	const struct {
		int64_t v;
		const char *file, *limit;
	} rows[] = {
		{ l->cpu_shares > 0 ? l->cpu_shares : CGROUP_UNSET, "cpu.shares", "cpu shares" },
		{ l->cpu_rt_period_us, "cpu.rt_period_us", "realtime period" },
		{ l->cpu_rt_runtime_us, "cpu.rt_runtime_us", "realtime runtime" },
		{ l->cpu_period_us > 0 ? l->cpu_period_us : CGROUP_UNSET, "cpu.cfs_period_us",
		  "cpu period" },
		{ l->cpu_quota_us != 0 ? l->cpu_quota_us : CGROUP_UNSET, "cpu.cfs_quota_us",
		  "cpu quota" },
		{ l->cpu_burst_us, "cpu.cfs_burst_us", "cpu burst" },
		{ l->cpu_idle, "cpu.idle", "cpu idle" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int r = 0;

		/* A realtime value of 0 asks for nothing. */
		if (is_set(rows[i].v) && !(rows[i].v == 0 && (i == 1 || i == 2)))
			r = write_num(d, rows[i].file, rows[i].v, rows[i].limit, err);
		/* A new period may be too short for the old quota: that one first, then again. */
		if (r < 0 && (i == 1 || i == 3) && is_set(rows[i + 1].v) &&
		    write_num(d, rows[i + 1].file, rows[i + 1].v, rows[i + 1].limit, NULL) == 0)
			r = write_num(d, rows[i].file, rows[i].v, rows[i].limit, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int cpu_v2(const struct cgroup_dir *d, const struct cgroup_limits *l, struct error *err)
{
	char text[64];
	int r = 0;

	if ((is_set(l->cpu_rt_period_us) && l->cpu_rt_period_us != 0) ||
	    (is_set(l->cpu_rt_runtime_us) && l->cpu_rt_runtime_us != 0))
		return not_here("realtime cpu", 2, err);
	if (is_set(l->cpu_idle))
		r = write_num(d, "cpu.idle", l->cpu_idle, "cpu idle", err);
	if (r == 0 && l->cpu_shares > 0)
		r = write_num(d, "cpu.weight", cgroup_weight_of_shares(l->cpu_shares), "cpu shares",
			      err);
	if (r == 0 && (l->cpu_period_us > 0 || (is_set(l->cpu_quota_us) && l->cpu_quota_us != 0))) {
		int64_t period = l->cpu_period_us > 0 ? l->cpu_period_us : 100000;

		if (l->cpu_quota_us > 0)
			snprintf(text, sizeof(text), "%lld %lld", (long long)l->cpu_quota_us,
				 (long long)period);
		else
			snprintf(text, sizeof(text), "max %lld", (long long)period);
		r = write_or_missing(d, "cpu.max", text, "cpu quota", err);
	}
	if (r == 0 && is_set(l->cpu_burst_us))
		r = write_num(d, "cpu.max.burst", l->cpu_burst_us, "cpu burst", err);
	return r;
}

static int limit_cpu(const struct cgroup *cg, const struct cgroup_limits *l, struct error *err)
{
	const struct cgroup_dir *d;
	int r;

	if (l->cpu_shares > 0 || is_set(l->cpu_idle) || is_set(l->cpu_burst_us) ||
	    l->cpu_period_us > 0 || (is_set(l->cpu_quota_us) && l->cpu_quota_us != 0) ||
	    (is_set(l->cpu_rt_period_us) && l->cpu_rt_period_us != 0) ||
	    (is_set(l->cpu_rt_runtime_us) && l->cpu_rt_runtime_us != 0)) {
		r = need(cg, CGROUP_CPU, "cpu", &d, err);
		if (r == 0)
			r = d->version == 2 ? cpu_v2(d, l, err) : cpu_v1(d, l, err);
		if (r < 0)
			return r;
	}
	if ((l->cpuset_cpus && *l->cpuset_cpus) || (l->cpuset_mems && *l->cpuset_mems)) {
		r = need(cg, CGROUP_CPUSET, "cpuset", &d, err);
		if (r == 0 && l->cpuset_cpus && *l->cpuset_cpus)
			r = write_or_missing(d, "cpuset.cpus", l->cpuset_cpus, "cpuset cpus", err);
		if (r == 0 && l->cpuset_mems && *l->cpuset_mems)
			r = write_or_missing(d, "cpuset.mems", l->cpuset_mems, "cpuset mems", err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* memory.memsw must never be below memory.limit, before and after each write. */
static int memory_v1_sizes(const struct cgroup_dir *d, const struct cgroup_limits *l,
			   struct error *err)
{
	static const char limit_file[] = "memory.limit_in_bytes",
			  swap_file[] = "memory.memsw.limit_in_bytes";
	int64_t swap = l->memory_swap;
	uint64_t now;
	int r;

	if (l->memory_limit == NO_LIMIT && !is_set(swap) && cgroup_has_file(d->fd, swap_file))
		swap = NO_LIMIT;
	if (!is_set(swap) || swap == 0)
		return is_set(l->memory_limit) && l->memory_limit != 0
			   ? write_num(d, limit_file, l->memory_limit, "memory", err)
			   : 0;
	if (!is_set(l->memory_limit) || l->memory_limit == 0)
		return write_num(d, swap_file, swap, "memory swap", err);
	r = cgroup_read_u64(d->fd, limit_file, &now, err);
	if (r < 0)
		return r;
	if (swap == NO_LIMIT || (uint64_t)swap > now) {
		r = write_num(d, swap_file, swap, "memory swap", err);
		return r < 0 ? r : write_num(d, limit_file, l->memory_limit, "memory", err);
	}
	r = write_num(d, limit_file, l->memory_limit, "memory", err);
	return r < 0 ? r : write_num(d, swap_file, swap, "memory swap", err);
}

static int memory_v1(const struct cgroup_dir *d, const struct cgroup_limits *l, struct error *err)
{
	int r = memory_v1_sizes(d, l, err);

	if (r == 0 && is_set(l->memory_reservation) && l->memory_reservation != 0)
		r = write_num(d, "memory.soft_limit_in_bytes", l->memory_reservation,
			      "memory reservation", err);
	if (r == 0 && is_set(l->memory_kernel_tcp) && l->memory_kernel_tcp != 0)
		r = write_num(d, "memory.kmem.tcp.limit_in_bytes", l->memory_kernel_tcp,
			      "kernelTCP", err);
	if (r == 0 && is_set(l->memory_swappiness) && l->memory_swappiness != -1) {
		if (l->memory_swappiness < 0 || l->memory_swappiness > 100)
			return error_set(err, ERR_INVALID,
					 "memory swappiness %lld is not between 0 and 100",
					 (long long)l->memory_swappiness);
		r = write_num(d, "memory.swappiness", l->memory_swappiness, "memory swappiness",
			      err);
	}
	if (r == 0 && l->memory_oom_kill_disable == 1)
		r = write_num(d, "memory.oom_control", 1, "disableOOMKiller", err);
	return r;
}

static int memory_v2(const struct cgroup_dir *d, const struct cgroup_limits *l, struct error *err)
{
	int r = 0;

	if (is_set(l->memory_swappiness) && l->memory_swappiness >= 0)
		return not_here("memory swappiness", 2, err);
	if (l->memory_oom_kill_disable == 1)
		return not_here("disableOOMKiller", 2, err);
	if (is_set(l->memory_kernel_tcp) && l->memory_kernel_tcp > 0)
		return not_here("kernelTCP", 2, err);
	if (is_set(l->memory_swap) && l->memory_swap != 0) {
		int64_t swap = l->memory_swap;

		/* config.json counts memory and swap together, v2 counts swap alone. */
		if (swap > 0) {
			if (!is_set(l->memory_limit) || l->memory_limit <= 0 ||
			    swap < l->memory_limit)
				return error_set(
				    err, ERR_INVALID,
				    "memory swap %lld needs a memory limit not above it",
				    (long long)swap);
			swap -= l->memory_limit;
		}
		r = write_max(d, "memory.swap.max", swap, "memory swap", err);
	}
	if (r == 0 && is_set(l->memory_limit) && l->memory_limit != 0)
		r = write_max(d, "memory.max", l->memory_limit, "memory", err);
	if (r == 0 && is_set(l->memory_reservation) && l->memory_reservation != 0)
		r = write_max(d, "memory.low", l->memory_reservation, "memory reservation", err);
	return r;
}

static int limit_memory(const struct cgroup *cg, const struct cgroup_limits *l, struct error *err)
{
	const int64_t asked[] = { l->memory_limit, l->memory_reservation, l->memory_swap,
				  l->memory_kernel_tcp };
	const struct cgroup_dir *d;
	bool any = l->memory_oom_kill_disable == 1 ||
		   (is_set(l->memory_swappiness) && l->memory_swappiness != -1);
	uint64_t usage;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		any |= is_set(asked[i]) && asked[i] != 0;
	if (!any)
		return 0;
	r = need(cg, CGROUP_MEMORY, "memory", &d, err);
	if (r < 0)
		return r;
	if (l->memory_check_before_update && l->memory_limit > 0) {
		r = cgroup_read_u64(d->fd,
				    d->version == 2 ? "memory.current" : "memory.usage_in_bytes",
				    &usage, err);
		if (r < 0)
			return r;
		if (usage > (uint64_t)l->memory_limit)
			return error_set(err, ERR_INVALID,
					 "memory limit %lld is below the current usage %llu",
					 (long long)l->memory_limit, (unsigned long long)usage);
	}
	return d->version == 2 ? memory_v2(d, l, err) : memory_v1(d, l, err);
}

static int io_throttle(const struct cgroup_dir *d, const struct cgroup_device_value *v, size_t n,
		       const char *v1_file, const char *v2_key, struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		char text[96];
		int r;

		if (d->version == 1)
			snprintf(text, sizeof(text), "%lld:%lld %lld", (long long)v[i].major,
				 (long long)v[i].minor, (long long)v[i].value);
		else if (v[i].value == 0)
			snprintf(text, sizeof(text), "%lld:%lld %s=max", (long long)v[i].major,
				 (long long)v[i].minor, v2_key);
		else
			snprintf(text, sizeof(text), "%lld:%lld %s=%lld", (long long)v[i].major,
				 (long long)v[i].minor, v2_key, (long long)v[i].value);
		r = write_or_missing(d, d->version == 1 ? v1_file : "io.max", text,
				     "blockIO throttle", err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int io_weight(const struct cgroup_dir *d, const struct cgroup_limits *l, struct error *err)
{
	const char *file = d->version == 2 ? "io.bfq.weight" : "blkio.bfq.weight";
	int64_t w = l->io_weight;

	if (cgroup_has_file(d->fd, file))
		return write_num(d, file, w, "blockIO weight", err);
	if (d->version == 1)
		return write_num(d, "blkio.weight", w, "blockIO weight", err);
	if (w < 10)
		w = 10;
	/* blkio 10..1000 onto io 1..10000 */
	return write_num(d, "io.weight", 1 + (w - 10) * 9999 / 990, "blockIO weight", err);
}

static int io_weight_devices(const struct cgroup_dir *d, const struct cgroup_limits *l,
			     struct error *err)
{
	for (size_t i = 0; i < l->n_io_weight_device; i++) {
		const struct cgroup_device_value *v = &l->io_weight_device[i];
		const char *file = d->version == 2 ? "io.bfq.weight" : "blkio.bfq.weight_device";
		char text[96];
		int r;

		if (!is_set(v->value) || v->value == 0)
			continue;
		if (d->version == 1 && !cgroup_has_file(d->fd, file))
			file = "blkio.weight_device";
		snprintf(text, sizeof(text), "%lld:%lld %lld", (long long)v->major,
			 (long long)v->minor, (long long)v->value);
		r = write_or_missing(d, file, text, "blockIO weightDevice", err);
		if (r == 0 && is_set(v->leaf_value) && v->leaf_value != 0) {
			snprintf(text, sizeof(text), "%lld:%lld %lld", (long long)v->major,
				 (long long)v->minor, (long long)v->leaf_value);
			r = write_or_missing(d, "blkio.leaf_weight_device", text,
					     "blockIO leafWeight", err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int limit_io(const struct cgroup *cg, const struct cgroup_limits *l, struct error *err)
{
	const struct cgroup_dir *d;
	int r;

	if (l->io_weight <= 0 && l->io_leaf_weight <= 0 && l->n_io_weight_device == 0 &&
	    l->n_io_read_bps == 0 && l->n_io_write_bps == 0 && l->n_io_read_iops == 0 &&
	    l->n_io_write_iops == 0)
		return 0;
	r = need(cg, CGROUP_IO, "blockIO", &d, err);
	if (r == 0 && l->io_weight > 0)
		r = io_weight(d, l, err);
	if (r == 0 && l->io_leaf_weight > 0)
		r = d->version == 2 ? not_here("blockIO leafWeight", 2, err)
				    : write_num(d, "blkio.leaf_weight", l->io_leaf_weight,
						"blockIO leafWeight", err);
	if (r == 0)
		r = io_weight_devices(d, l, err);
	if (r == 0)
		r = io_throttle(d, l->io_read_bps, l->n_io_read_bps,
				"blkio.throttle.read_bps_device", "rbps", err);
	if (r == 0)
		r = io_throttle(d, l->io_write_bps, l->n_io_write_bps,
				"blkio.throttle.write_bps_device", "wbps", err);
	if (r == 0)
		r = io_throttle(d, l->io_read_iops, l->n_io_read_iops,
				"blkio.throttle.read_iops_device", "riops", err);
	if (r == 0)
		r = io_throttle(d, l->io_write_iops, l->n_io_write_iops,
				"blkio.throttle.write_iops_device", "wiops", err);
	return r;
}

static int limit_hugetlb(const struct cgroup *cg, const struct cgroup_limits *l, struct error *err)
{
	const struct cgroup_dir *d;
	int r;

	for (size_t i = 0; i < l->n_hugepages; i++) {
		char file[96];

		r = need(cg, CGROUP_HUGETLB, "hugepage", &d, err);
		if (r < 0)
			return r;
		if (strlen(l->hugepages[i].name) > 16)
			return error_set(err, ERR_INVALID, "hugepage size '%s' is too long",
					 l->hugepages[i].name);
		snprintf(file, sizeof(file),
			 d->version == 2 ? "hugetlb.%s.max" : "hugetlb.%s.limit_in_bytes",
			 l->hugepages[i].name);
		r = write_num(d, file, l->hugepages[i].value, "hugepage", err);
		if (r < 0)
			return r;
		/* Pages reserved by mmap count only where the kernel (5.7) has this file. */
		snprintf(file, sizeof(file),
			 d->version == 2 ? "hugetlb.%s.rsvd.max" : "hugetlb.%s.rsvd.limit_in_bytes",
			 l->hugepages[i].name);
		r = cgroup_write_i64(d->fd, file, l->hugepages[i].value, err);
		if (r < 0 && r != -ERR_NOT_FOUND)
			return r;
	}
	return 0;
}

static int limit_net(const struct cgroup *cg, const struct cgroup_limits *l, struct error *err)
{
	const struct cgroup_dir *d;
	int r = 0;

	if (is_set(l->net_class_id)) {
		r = need(cg, CGROUP_NET_CLS, "network classID", &d, err);
		if (r == 0)
			r = write_num(d, "net_cls.classid", l->net_class_id, "network classID",
				      err);
	}
	for (size_t i = 0; r == 0 && i < l->n_net_priorities; i++) {
		char text[64];

		r = need(cg, CGROUP_NET_PRIO, "network priority", &d, err);
		if (r < 0)
			break;
		snprintf(text, sizeof(text), "%.20s %lld", l->net_priorities[i].name,
			 (long long)l->net_priorities[i].value);
		r = write_or_missing(d, "net_prio.ifpriomap", text, "network priority", err);
	}
	return r;
}

static int limit_rest(const struct cgroup *cg, const struct cgroup_limits *l, struct error *err)
{
	const struct cgroup_dir *d;
	int r = 0;

	if (is_set(l->pids_limit) && l->pids_limit != 0) {
		r = need(cg, CGROUP_PIDS, "pids", &d, err);
		if (r == 0)
			r = write_max(d, "pids.max", l->pids_limit, "pids", err);
	}
	for (size_t i = 0; r == 0 && i < l->n_rdma; i++) {
		char text[160];

		r = need(cg, CGROUP_RDMA, "rdma", &d, err);
		if (r < 0)
			break;
		snprintf(text, sizeof(text), "%.60s %.90s", l->rdma[i].name, l->rdma[i].text);
		r = write_or_missing(d, "rdma.max", text, "rdma", err);
	}
	for (size_t i = 0; r == 0 && i < l->n_unified; i++) {
		d = cgroup_find_v2(cg);
		if (d == NULL)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "cannot set the unified limit '%s': no cgroup v2 here",
					 l->unified[i].name);
		r = write_or_missing(d, l->unified[i].name, l->unified[i].text, "unified", err);
	}
	return r;
}

int cgroup_limit(const struct cgroup *cg, const struct cgroup_limits *l, struct error *err)
{
	int r = limit_cpu(cg, l, err);

	if (r == 0)
		r = limit_memory(cg, l, err);
	if (r == 0)
		r = limit_rest(cg, l, err);
	if (r == 0)
		r = limit_io(cg, l, err);
	if (r == 0)
		r = limit_hugetlb(cg, l, err);
	if (r == 0)
		r = limit_net(cg, l, err);
	if (r == 0 && l->set_devices)
		r = cgroup_limit_devices(cg, l, err);
	return r;
}
