#include "runtime/resource.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/str.h"

static int64_t int_of(const struct opt_int *v)
{
	return v->set ? v->value : CGROUP_UNSET;
}

static int64_t uint_of(const struct opt_uint *v)
{
	if (!v->set)
		return CGROUP_UNSET;
	return v->value > INT64_MAX ? INT64_MAX : (int64_t)v->value;
}

static void memory_of(const struct spec_memory *m, struct cgroup_limits *l)
{
	l->memory_limit = int_of(&m->limit);
	l->memory_reservation = int_of(&m->reservation);
	l->memory_swap = int_of(&m->swap);
	l->memory_kernel_tcp = int_of(&m->kernel_tcp);
	/* Go writers say "not set" as the largest number. */
	if (m->swappiness.set && m->swappiness.value <= 100)
		l->memory_swappiness = (int64_t)m->swappiness.value;
	else if (m->swappiness.set && m->swappiness.value != UINT64_MAX)
		l->memory_swappiness =
		    m->swappiness.value > INT32_MAX ? INT32_MAX : (int64_t)m->swappiness.value;
	if (m->disable_oom_killer)
		l->memory_oom_kill_disable = 1;
	l->memory_check_before_update = m->check_before_update.set && m->check_before_update.value;
}

static void cpu_of(const struct spec_cpu *c, struct cgroup_limits *l)
{
	l->cpu_shares = uint_of(&c->shares);
	l->cpu_quota_us = int_of(&c->quota);
	l->cpu_period_us = uint_of(&c->period);
	l->cpu_burst_us = uint_of(&c->burst);
	l->cpu_rt_runtime_us = int_of(&c->realtime_runtime);
	l->cpu_rt_period_us = uint_of(&c->realtime_period);
	l->cpu_idle = int_of(&c->idle);
	l->cpuset_cpus = c->cpus;
	l->cpuset_mems = c->mems;
}

static const struct cgroup_device_value *throttle_of(const struct spec_throttle *t, size_t n,
						     struct arena *a)
{
	struct cgroup_device_value *v = arena_array(a, n + 1, sizeof(*v));

	for (size_t i = 0; i < n; i++)
		v[i] = (struct cgroup_device_value){ t[i].major, t[i].minor,
						     t[i].rate > INT64_MAX ? INT64_MAX
									   : (int64_t)t[i].rate,
						     CGROUP_UNSET };
	return v;
}

static void io_of(const struct spec_block_io *b, struct arena *a, struct cgroup_limits *l)
{
	struct cgroup_device_value *w = arena_array(a, b->n_weight_devices + 1, sizeof(*w));

	l->io_weight = uint_of(&b->weight);
	l->io_leaf_weight = uint_of(&b->leaf_weight);
	for (size_t i = 0; i < b->n_weight_devices; i++)
		w[i] = (struct cgroup_device_value){ b->weight_devices[i].major,
						     b->weight_devices[i].minor,
						     uint_of(&b->weight_devices[i].weight),
						     uint_of(&b->weight_devices[i].leaf_weight) };
	l->io_weight_device = w;
	l->n_io_weight_device = b->n_weight_devices;
	l->io_read_bps = throttle_of(b->read_bps, b->n_read_bps, a);
	l->n_io_read_bps = b->n_read_bps;
	l->io_write_bps = throttle_of(b->write_bps, b->n_write_bps, a);
	l->n_io_write_bps = b->n_write_bps;
	l->io_read_iops = throttle_of(b->read_iops, b->n_read_iops, a);
	l->n_io_read_iops = b->n_read_iops;
	l->io_write_iops = throttle_of(b->write_iops, b->n_write_iops, a);
	l->n_io_write_iops = b->n_write_iops;
}

static void lists_of(const struct spec_resources *r, struct arena *a, struct cgroup_limits *l)
{
	struct cgroup_name_value *huge = arena_array(a, r->n_hugepage_limits + 1, sizeof(*huge));
	struct cgroup_name_text *rdma = arena_array(a, r->n_rdma + 1, sizeof(*rdma));
	struct cgroup_name_text *unified = arena_array(a, r->unified.n + 1, sizeof(*unified));

	for (size_t i = 0; i < r->n_hugepage_limits; i++)
		huge[i] = (struct cgroup_name_value){ r->hugepage_limits[i].page_size,
						      r->hugepage_limits[i].limit > INT64_MAX
							  ? INT64_MAX
							  : (int64_t)r->hugepage_limits[i].limit };
	for (size_t i = 0; i < r->n_rdma; i++) {
		const struct spec_rdma *s = &r->rdma[i];
		char handles[48] = "", objects[48] = "";

		if (s->hca_handles.set)
			snprintf(handles, sizeof(handles), "hca_handle=%llu",
				 (unsigned long long)s->hca_handles.value);
		if (s->hca_objects.set)
			snprintf(objects, sizeof(objects), " hca_object=%llu",
				 (unsigned long long)s->hca_objects.value);
		rdma[i] =
		    (struct cgroup_name_text){ s->name, arena_format(a, "%s%s", handles, objects) };
	}
	for (size_t i = 0; i < r->unified.n; i++)
		unified[i] =
		    (struct cgroup_name_text){ r->unified.at[i].key, r->unified.at[i].value };
	l->hugepages = huge;
	l->n_hugepages = r->n_hugepage_limits;
	l->rdma = rdma;
	l->n_rdma = r->n_rdma;
	l->unified = unified;
	l->n_unified = r->unified.n;
	if (r->network != NULL) {
		struct cgroup_name_value *prio =
		    arena_array(a, r->network->n_priorities + 1, sizeof(*prio));

		l->net_class_id = uint_of(&r->network->class_id);
		for (size_t i = 0; i < r->network->n_priorities; i++)
			prio[i] = (struct cgroup_name_value){ r->network->priorities[i].name,
							      r->network->priorities[i].priority };
		l->net_priorities = prio;
		l->n_net_priorities = r->network->n_priorities;
	}
}

/* What every container may use; runc and crun add the same after the config's own rules. */
static const struct cgroup_device_rule always[] = {
	{ true, 'c', -1, -1, "m" }, { true, 'b', -1, -1, "m" }, { true, 'c', 1, 3, "rwm" },
	{ true, 'c', 1, 8, "rwm" }, { true, 'c', 1, 7, "rwm" }, { true, 'c', 5, 0, "rwm" },
	{ true, 'c', 1, 5, "rwm" }, { true, 'c', 1, 9, "rwm" }, { true, 'c', 136, -1, "rwm" },
	{ true, 'c', 5, 2, "rwm" },
};

static int devices_of(const struct spec_device_rule *in, size_t n, struct arena *a,
		      struct cgroup_limits *l, struct error *err)
{
	struct cgroup_device_rule *d = arena_array(a, n + ARRAY_LEN(always) + 1, sizeof(*d));
	bool everything = n > 0;

	for (size_t i = 0; i < n; i++) {
		const char *type = in[i].type ? in[i].type : "a";

		if (strlen(type) != 1)
			return error_set(err, ERR_INVALID,
					 "linux.resources.devices[%zu].type: '%s'", i, type);
		d[i] = (struct cgroup_device_rule){ in[i].allow, *type,
						    in[i].major.set ? in[i].major.value : -1,
						    in[i].minor.set ? in[i].minor.value : -1,
						    cstr_is_empty(in[i].access) ? "rwm"
										: in[i].access };
	}
	/* A last rule that allows all needs no more. */
	if (everything)
		everything = d[n - 1].allow && d[n - 1].type == 'a' && d[n - 1].major < 0 &&
			     d[n - 1].minor < 0;
	if (!everything)
		memcpy(d + n, always, sizeof(always));
	l->devices = d;
	l->n_devices = n + (everything ? 0 : ARRAY_LEN(always));
	l->set_devices = true;
	return 0;
}

int limits_of(const struct spec_resources *r, bool devices, struct arena *a,
	      struct cgroup_limits *ret, struct error *err)
{
	struct cgroup_limits l;
	int rc = 0;

	cgroup_limits_init(&l);
	if (r->memory != NULL)
		memory_of(r->memory, &l);
	if (r->cpu != NULL)
		cpu_of(r->cpu, &l);
	if (r->pids != NULL)
		l.pids_limit = int_of(&r->pids->limit);
	if (r->block_io != NULL)
		io_of(r->block_io, a, &l);
	lists_of(r, a, &l);
	if (devices || r->n_devices > 0)
		rc = devices_of(r->devices, r->n_devices, a, &l, err);
	if (rc == 0)
		*ret = l;
	return rc;
}

int limits_from_config(const struct runtime_config *c, struct arena *a, struct cgroup_limits *ret,
		       struct error *err)
{
	static const struct spec_resources none;
	const struct spec_resources *r = c->linux_.resources ? c->linux_.resources : &none;
	int rc = limits_of(r, true, a, ret, err);

	/* Without any rule the host's own list stays. */
	if (rc == 0 && r->n_devices == 0)
		ret->set_devices = false;
	return rc;
}

int limits_apply(const struct cgroup *cg, const struct runtime_config *c, struct arena *a,
		 bool lenient, struct error *err)
{
	struct cgroup_limits l;
	int rc = limits_from_config(c, a, &l, err);

	if (rc < 0)
		return rc;
	/* So it does without privileges. */
	if (lenient && cgroup_find(cg, CGROUP_DEVICES) == NULL)
		l.set_devices = false;
	rc = cgroup_limit(cg, &l, err);
	return rc < 0 ? error_wrap(err, rc, "linux.resources") : 0;
}
