/* engine/spec_resources.c: limits, devices, ulimits and sysctls of a HostConfig, as bundle values.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/vec.h"
#include "engine/container_internal.h"
#include "task/bundle.h"

#define DEVICES_MAX 4096
#define DEV_DEPTH   8

typedef VEC(struct bundle_device) device_vec;

static void *keep(struct arena *a, const void *at, size_t n, size_t size)
{
	void *out = arena_array(a, n + 1, size);

	if (n > 0)
		memcpy(out, at, n * size);
	return out;
}

/* ---- devices ---- */

static void device_of(const struct stat *st, const char *path, struct bundle_device *d)
{
	*d = (struct bundle_device){ .path = path,
				     .type = S_ISBLK(st->st_mode) ? 'b' : 'c',
				     .major = major(st->st_rdev),
				     .minor = minor(st->st_rdev),
				     .mode = st->st_mode & 0777,
				     .uid = st->st_uid,
				     .gid = st->st_gid };
}

static bool is_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

/* All devices below an open directory; names that the runtime makes itself are left out. */
static void devices_below(struct arena *a, int take_fd, const char *prefix, int depth,
			  device_vec *out)
{
	static const char *const skip[] = { ".",    "..",     "pts",     "shm",
					    "fd",   "mqueue", "console", "ptmx",
					    ".lxc", ".udev",  "null",    "zero",
					    "full", "random", "urandom", "tty" };
	DIR *d = fdopendir(take_fd);
	struct dirent *de;

	if (d == NULL) {
		close(take_fd);
		return;
	}
	while ((de = readdir(d)) != NULL && out->len < DEVICES_MAX) {
		struct stat st;
		const char *path;
		size_t i;

		for (i = 0; i < ARRAY_LEN(skip); i++)
			if (strcmp(de->d_name, skip[i]) == 0)
				break;
		if (i < ARRAY_LEN(skip) ||
		    fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		path = arena_format(a, "%s/%s", prefix, de->d_name);
		if (is_device(&st)) {
			device_of(&st, path, vec_push(out));
		} else if (S_ISDIR(st.st_mode) && depth > 0) {
			int fd = openat(dirfd(d), de->d_name,
					O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (fd >= 0)
				devices_below(a, fd, path, depth - 1, out);
		}
	}
	closedir(d);
}

static int one_device(struct arena *a, const struct json *j, device_vec *out, struct error *err)
{
	const char *host = json_str(j, "PathOnHost"), *inside = json_str(j, "PathInContainer");
	struct stat st;
	int fd;

	if (cstr_is_empty(inside))
		inside = host;
	if (cstr_is_empty(host) || stat(host, &st) < 0)
		return error_set(err, ERR_INVALID,
				 "error gathering device information while adding custom device "
				 "\"%s\": no such file or directory",
				 host ? host : "");
	if (is_device(&st)) {
		device_of(&st, inside, vec_push(out));
		return 0;
	}
	if (!S_ISDIR(st.st_mode) || fs_open(host, O_RDONLY | O_DIRECTORY, 0, &fd, NULL) < 0)
		return error_set(err, ERR_INVALID,
				 "error gathering device information while adding custom device "
				 "\"%s\": not a device node",
				 host);
	devices_below(a, fd, inside, DEV_DEPTH, out);
	return 0;
}

static int devices_of(struct arena *a, const struct json *hc, struct bundle *b, struct error *err)
{
	VEC(struct bundle_device_rule) rules = { 0 };
	device_vec devices = { 0 };
	int fd, r = 0;

	if (b->privileged && fs_open("/dev", O_RDONLY | O_DIRECTORY, 0, &fd, NULL) == 0)
		devices_below(a, fd, "/dev", DEV_DEPTH, &devices);
	json_for_each_item (j, json_get(hc, "Devices")) {
		const char *access = json_str(j, "CgroupPermissions");
		size_t before = devices.len, i;

		r = one_device(a, j, &devices, err);
		if (r < 0)
			break;
		for (i = before; i < devices.len; i++)
			*vec_push(&rules) =
			    (struct bundle_device_rule){ true, devices.at[i].type,
							 devices.at[i].major, devices.at[i].minor,
							 cstr_is_empty(access) ? "rwm" : access };
	}
	json_for_each_item (j, json_get(hc, "DeviceCgroupRules")) {
		struct str rest = str_of(j->type == JSON_STRING ? j->s : ""), type, dev, maj;
		struct bundle_device_rule rule = { .allow = true, .major = -1, .minor = -1 };

		if (r < 0)
			break;
		if (!str_split(&rest, ' ', &type) || !str_split(&rest, ' ', &dev) ||
		    type.len != 1 || strchr("abc", type.at[0]) == NULL ||
		    !str_split(&dev, ':', &maj) || rest.at == NULL || rest.len == 0 ||
		    (!str_eqs(maj, "*") && parse_i64(maj, 0, 1 << 20, &rule.major, NULL) < 0) ||
		    (!str_eqs(dev, "*") && parse_i64(dev, 0, 1 << 20, &rule.minor, NULL) < 0)) {
			r = error_set(err, ERR_INVALID, "invalid device cgroup rule format: '%s'",
				      j->type == JSON_STRING ? j->s : "");
			break;
		}
		rule.type = type.at[0];
		rule.access = arena_strndup(a, rest.at, rest.len);
		*vec_push(&rules) = rule;
	}
	b->devices = keep(a, devices.at, devices.len, sizeof(*devices.at));
	b->n_devices = devices.len;
	b->device_rules = keep(a, rules.at, rules.len, sizeof(*rules.at));
	b->n_device_rules = rules.len;
	vec_release(&devices);
	vec_release(&rules);
	return r;
}

/* ---- limits ---- */

static int throttles(struct arena *a, const struct json *list, const char *key,
		     const struct bundle_throttle **ret, size_t *ret_n, struct error *err)
{
	size_t n = list && list->type == JSON_ARRAY ? list->n_items : 0, i;
	struct bundle_throttle *t = arena_array(a, n + 1, sizeof(*t));

	for (i = 0; i < n; i++) {
		const char *path = json_str(list->items[i], "Path");
		struct stat st;

		if (path == NULL || stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
			return error_set(err, ERR_INVALID, "no such device: %s", path ? path : "");
		t[i].major = major(st.st_rdev);
		t[i].minor = minor(st.st_rdev);
		t[i].rate = (uint64_t)json_int(list->items[i], key, 0);
	}
	*ret = t;
	*ret_n = n;
	return 0;
}

static int limits_of(struct arena *a, const struct json *hc, struct bundle_resources *r,
		     struct error *err)
{
	int64_t nano = json_int(hc, "NanoCpus", 0);
	int e;

	r->memory_bytes = json_int(hc, "Memory", 0);
	r->memory_reservation_bytes = json_int(hc, "MemoryReservation", 0);
	r->memory_swap_bytes = json_int(hc, "MemorySwap", 0);
	r->has_swappiness = json_get(hc, "MemorySwappiness") != NULL;
	r->swappiness = json_int(hc, "MemorySwappiness", 0);
	r->oom_kill_disable = json_bool(hc, "OomKillDisable", false);
	r->cpu_shares = (uint64_t)json_int(hc, "CpuShares", 0);
	r->cpu_period_us = (uint64_t)json_int(hc, "CpuPeriod", 0);
	r->cpu_quota_us = json_int(hc, "CpuQuota", 0);
	if (nano > 0) {
		r->cpu_period_us = 100000;
		r->cpu_quota_us = nano / 10000;
	}
	r->cpu_rt_period_us = (uint64_t)json_int(hc, "CpuRealtimePeriod", 0);
	r->cpu_rt_runtime_us = json_int(hc, "CpuRealtimeRuntime", 0);
	r->cpuset_cpus = json_str(hc, "CpusetCpus");
	r->cpuset_mems = json_str(hc, "CpusetMems");
	r->pids_limit = json_int(hc, "PidsLimit", 0);
	r->blkio_weight = (uint16_t)json_int(hc, "BlkioWeight", 0);
	e = throttles(a, json_get(hc, "BlkioWeightDevice"), "Weight", &r->weight_devices,
		      &r->n_weight_devices, err);
	if (e == 0)
		e = throttles(a, json_get(hc, "BlkioDeviceReadBps"), "Rate", &r->read_bps,
			      &r->n_read_bps, err);
	if (e == 0)
		e = throttles(a, json_get(hc, "BlkioDeviceWriteBps"), "Rate", &r->write_bps,
			      &r->n_write_bps, err);
	if (e == 0)
		e = throttles(a, json_get(hc, "BlkioDeviceReadIOps"), "Rate", &r->read_iops,
			      &r->n_read_iops, err);
	if (e == 0)
		e = throttles(a, json_get(hc, "BlkioDeviceWriteIOps"), "Rate", &r->write_iops,
			      &r->n_write_iops, err);
	return e;
}

void container_spec_ulimits(struct arena *a, const struct json *hc, struct bundle *b)
{
	const struct json *list = json_get(hc, "Ulimits");
	size_t n = list && list->type == JSON_ARRAY ? list->n_items : 0, i;
	struct bundle_rlimit *out = arena_array(a, n + 1, sizeof(*out));

	for (i = 0; i < n; i++) {
		const char *name = json_str(list->items[i], "Name");
		char *type = arena_format(a, "RLIMIT_%s", name ? name : ""), *p;

		for (p = type; *p; p++)
			*p = (char)toupper((unsigned char)*p);
		out[i].type = type;
		/* -1 is "no limit". */
		out[i].hard = (uint64_t)json_int(list->items[i], "Hard", 0);
		out[i].soft = (uint64_t)json_int(list->items[i], "Soft", 0);
	}
	b->rlimits = out;
	b->n_rlimits = n;
}

static void sysctls_of(struct arena *a, const struct json *hc, struct bundle *b)
{
	const struct json *map = json_get(hc, "Sysctls");
	size_t n = 0, cap = (map && map->type == JSON_OBJECT ? map->n_members : 0) + 3;
	struct bundle_pair *out = arena_array(a, cap, sizeof(*out));
	const char *net = json_str(hc, "NetworkMode");
	bool own_net = strcmp(net, "host") != 0 && !cstr_starts(net, "container:");

	if (own_net && json_get(map, "net.ipv4.ip_unprivileged_port_start") == NULL)
		out[n++] = (struct bundle_pair){ "net.ipv4.ip_unprivileged_port_start", "0" };
	if (own_net && json_get(map, "net.ipv4.ping_group_range") == NULL)
		out[n++] = (struct bundle_pair){ "net.ipv4.ping_group_range", "0 2147483647" };
	json_for_each_member (m, map)
		if (m->value->type == JSON_STRING)
			out[n++] = (struct bundle_pair){ m->key, m->value->s };
	b->sysctls = out;
	b->n_sysctls = n;
}

int container_spec_resources(struct arena *a, const struct json *hc, struct bundle *b,
			     struct error *err)
{
	int r;

	sysctls_of(a, hc, b);
	r = limits_of(a, hc, &b->resources, err);
	if (r == 0)
		r = devices_of(a, hc, b, err);
	return r;
}
