/* task/bundle.c: config.json from a struct bundle. */
#include "task/bundle.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/jsonw.h"
#include "base/macros.h"
#include "base/str.h"
#include "base/vec.h"
#include "task/seccomp.h"

#define CPU_MASKS_MAX 256

typedef VEC(const char *) cap_vec;

static const char *const all_caps[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

const char *const *bundle_default_capabilities(void)
{
	static const char *const list[] = {
		"CAP_CHOWN",
		"CAP_DAC_OVERRIDE",
		"CAP_FSETID",
		"CAP_FOWNER",
		"CAP_MKNOD",
		"CAP_NET_RAW",
		"CAP_SETGID",
		"CAP_SETUID",
		"CAP_SETFCAP",
		"CAP_SETPCAP",
		"CAP_NET_BIND_SERVICE",
		"CAP_SYS_CHROOT",
		"CAP_KILL",
		"CAP_AUDIT_WRITE",
		NULL,
	};

	return list;
}

const char *const *bundle_default_masked_paths(void)
{
	static const char *const list[] = {
		"/proc/acpi",
		"/proc/asound",
		"/proc/interrupts",
		"/proc/kcore",
		"/proc/keys",
		"/proc/latency_stats",
		"/proc/sched_debug",
		"/proc/scsi",
		"/proc/timer_list",
		"/proc/timer_stats",
		"/sys/devices/virtual/powercap",
		"/sys/firmware",
		NULL,
	};

	return list;
}

const char *const *bundle_default_readonly_paths(void)
{
	static const char *const list[] = { "/proc/bus",           "/proc/fs",
					    "/proc/irq",           "/proc/sys",
					    "/proc/sysrq-trigger", NULL };

	return list;
}

/* ---- capabilities ---- */

static int cap_number(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(all_caps); i++)
		if (strcasecmp(all_caps[i], name) == 0 || strcasecmp(all_caps[i] + 4, name) == 0)
			return (int)i;
	return -1;
}

static bool is_all(const char *name)
{
	return strcasecmp(name, "ALL") == 0 || strcasecmp(name, "CAP_ALL") == 0;
}

/* A set that our own bounding set lacks cannot be given away (VMs without CAP_SYS_RESOURCE). */
static uint64_t possible_caps(void)
{
	uint64_t set = 0;
	size_t i;

	for (i = 0; i < ARRAY_LEN(all_caps); i++)
		if (prctl(PR_CAPBSET_READ, i) == 1)
			set |= 1ULL << i;
	return set;
}

static int cap_set(const char *const *list, const char *what, uint64_t *set, bool *ret_all,
		   struct error *err)
{
	for (; list && *list; list++) {
		int n;

		if (is_all(*list)) {
			*ret_all = true;
			continue;
		}
		n = cap_number(*list);
		if (n < 0)
			return error_set(err, ERR_INVALID,
					 "invalid %s: unknown capability: \"%s%s\"", what,
					 strncasecmp(*list, "CAP_", 4) == 0 ? "" : "CAP_", *list);
		*set |= 1ULL << n;
	}
	return 0;
}

static int caps_resolve(const struct bundle *b, cap_vec *ret, struct error *err)
{
	uint64_t set = 0, add = 0, drop = 0;
	bool add_all = false, drop_all = false;
	const char *const *d;
	size_t i;
	int r;

	r = cap_set(b->cap_add, "CapAdd", &add, &add_all, err);
	if (r == 0)
		r = cap_set(b->cap_drop, "CapDrop", &drop, &drop_all, err);
	if (r < 0)
		return r;
	for (d = bundle_default_capabilities(); *d; d++)
		set |= 1ULL << cap_number(*d);
	if (b->privileged)
		set = possible_caps();
	else if (drop_all)
		set = add;
	else if (add_all)
		set = possible_caps() & ~drop;
	else
		set = (set & ~drop) | add;
	for (i = 0; i < ARRAY_LEN(all_caps); i++)
		if (set & (1ULL << i))
			*vec_push(ret) = all_caps[i];
	*vec_push(ret) = NULL;
	return 0;
}

/* ---- pieces of the document ---- */

static void write_list(struct jsonw *w, const char *key, const char *const *list)
{
	jsonw_karray(w, key);
	for (; list && *list; list++)
		jsonw_string(w, *list);
	jsonw_end(w);
}

static void write_user(struct jsonw *w, const struct bundle *b)
{
	size_t i;

	jsonw_kobject(w, "user");
	jsonw_kint(w, "uid", b->uid);
	jsonw_kint(w, "gid", b->gid);
	if (b->n_groups > 0) {
		jsonw_karray(w, "additionalGids");
		for (i = 0; i < b->n_groups; i++)
			jsonw_int(w, b->groups[i]);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void write_caps(struct jsonw *w, const struct bundle *b, const char *const *caps)
{
	jsonw_kobject(w, "capabilities");
	write_list(w, "bounding", caps);
	/* What execve would leave to a user: nothing. */
	if (b->uid == 0) {
		write_list(w, "effective", caps);
		write_list(w, "permitted", caps);
	}
	jsonw_end(w);
}

static void write_process(struct jsonw *w, const struct bundle *b, const char *const *caps)
{
	size_t i;

	jsonw_kbool(w, "terminal", b->tty);
	if (b->tty && b->rows && b->cols) {
		jsonw_kobject(w, "consoleSize");
		jsonw_kint(w, "height", b->rows);
		jsonw_kint(w, "width", b->cols);
		jsonw_end(w);
	}
	write_user(w, b);
	write_list(w, "args", b->args);
	write_list(w, "env", b->env);
	jsonw_kstring(w, "cwd", cstr_is_empty(b->cwd) ? "/" : b->cwd);
	write_caps(w, b, caps);
	if (b->n_rlimits > 0) {
		jsonw_karray(w, "rlimits");
		for (i = 0; i < b->n_rlimits; i++) {
			jsonw_object(w);
			jsonw_kstring(w, "type", b->rlimits[i].type);
			jsonw_key(w, "hard");
			jsonw_uint(w, b->rlimits[i].hard);
			jsonw_key(w, "soft");
			jsonw_uint(w, b->rlimits[i].soft);
			jsonw_end(w);
		}
		jsonw_end(w);
	}
	jsonw_kbool(w, "noNewPrivileges", b->no_new_privileges);
	if (b->apparmor_profile)
		jsonw_kstring(w, "apparmorProfile", b->apparmor_profile);
	if (b->selinux_label)
		jsonw_kstring(w, "selinuxLabel", b->selinux_label);
	jsonw_kint(w, "oomScoreAdj", b->oom_score_adj);
}

static bool mount_is_overridden(const struct bundle *b, const char *destination)
{
	size_t i;

	for (i = 0; i < b->n_mounts; i++)
		if (strcmp(b->mounts[i].destination, destination) == 0)
			return true;
	return false;
}

static void write_id_maps(struct jsonw *w, const char *key, const struct id_map *maps, size_t n)
{
	size_t i;

	jsonw_karray(w, key);
	for (i = 0; i < n; i++) {
		jsonw_object(w);
		jsonw_kint(w, "containerID", maps[i].container);
		jsonw_kint(w, "hostID", maps[i].host);
		jsonw_kint(w, "size", maps[i].size);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void write_mount(struct jsonw *w, const struct bundle_mount *m)
{
	jsonw_object(w);
	jsonw_kstring(w, "destination", m->destination);
	jsonw_kstring(w, "type", m->type);
	jsonw_kstring(w, "source", m->source ? m->source : m->type);
	write_list(w, "options", m->options);
	if (m->n_uid_maps > 0) {
		write_id_maps(w, "uidMappings", m->uid_maps, m->n_uid_maps);
		write_id_maps(w, "gidMappings", m->gid_maps, m->n_gid_maps);
	}
	jsonw_end(w);
}

static void write_mounts(struct jsonw *w, const struct bundle *b)
{
	static const char *const nothing[] = { "nosuid", "noexec", "nodev", NULL };
	static const char *const dev[] = { "nosuid", "strictatime", "mode=755", "size=65536k",
					   NULL };
	static const char *const pts[] = { "nosuid",    "noexec", "newinstance", "ptmxmode=0666",
					   "mode=0620", "gid=5",  NULL };
	static const char *const ro[] = { "nosuid", "noexec", "nodev", "ro", NULL };
	static const char *const cgroup_ro[] = { "ro", "nosuid", "noexec", "nodev", NULL };
	char size[40];
	const char *const shm[] = { "nosuid", "noexec", "nodev", "mode=1777", size, NULL };
	const struct {
		const char *destination, *type, *source;
		const char *const *options;
	} defaults[] = {
		{ "/proc", "proc", "proc", nothing },
		{ "/dev", "tmpfs", "tmpfs", dev },
		{ "/dev/pts", "devpts", "devpts", pts },
		{ "/sys", "sysfs", "sysfs", b->privileged ? nothing : ro },
		{ "/sys/fs/cgroup", "cgroup", "cgroup", b->privileged ? nothing : cgroup_ro },
		{ "/dev/mqueue", "mqueue", "mqueue", nothing },
		{ "/dev/shm", "tmpfs", "shm", shm },
	};
	size_t i;

	snprintf(size, sizeof(size), "size=%lld",
		 (long long)(b->shm_bytes ? b->shm_bytes : 64 << 20));
	jsonw_karray(w, "mounts");
	for (i = 0; i < ARRAY_LEN(defaults); i++) {
		const char *at = defaults[i].destination;

		if ((b->no_mqueue && strcmp(at, "/dev/mqueue") == 0) ||
		    (b->no_shm && strcmp(at, "/dev/shm") == 0) || mount_is_overridden(b, at))
			continue;
		write_mount(w, &(struct bundle_mount){ .destination = at,
						       .type = defaults[i].type,
						       .source = defaults[i].source,
						       .options = defaults[i].options });
	}
	for (i = 0; i < b->n_mounts; i++)
		write_mount(w, &b->mounts[i]);
	jsonw_end(w);
}

static void write_namespace(struct jsonw *w, const char *type, enum bundle_ns ns, const char *path)
{
	if (ns == BUNDLE_NS_HOST)
		return;
	jsonw_object(w);
	jsonw_kstring(w, "type", type);
	if (ns == BUNDLE_NS_PATH)
		jsonw_kstring(w, "path", path);
	jsonw_end(w);
}

static void write_namespaces(struct jsonw *w, const struct bundle *b)
{
	jsonw_karray(w, "namespaces");
	write_namespace(w, "mount", BUNDLE_NS_NEW, NULL);
	write_namespace(w, "network", b->net_ns, b->net_ns_path);
	write_namespace(w, "uts", b->uts_ns, b->uts_ns_path);
	write_namespace(w, "pid", b->pid_ns, b->pid_ns_path);
	write_namespace(w, "ipc", b->ipc_ns, b->ipc_ns_path);
	write_namespace(w, "cgroup", b->cgroup_ns, NULL);
	if (b->user_ns == BUNDLE_NS_NEW && b->n_uid_maps > 0)
		write_namespace(w, "user", BUNDLE_NS_NEW, NULL);
	jsonw_end(w);
	if (b->user_ns == BUNDLE_NS_NEW && b->n_uid_maps > 0) {
		write_id_maps(w, "uidMappings", b->uid_maps, b->n_uid_maps);
		write_id_maps(w, "gidMappings", b->gid_maps, b->n_gid_maps);
	}
}

static void write_device_rule(struct jsonw *w, const struct bundle_device_rule *r)
{
	const char type[2] = { r->type, 0 };

	jsonw_object(w);
	jsonw_kbool(w, "allow", r->allow);
	if (r->type != 'a')
		jsonw_kstring(w, "type", type);
	if (r->major >= 0)
		jsonw_kint(w, "major", r->major);
	if (r->minor >= 0)
		jsonw_kint(w, "minor", r->minor);
	jsonw_kstring(w, "access", r->access);
	jsonw_end(w);
}

static void write_device_rules(struct jsonw *w, const struct bundle *b)
{
	static const struct bundle_device_rule rules[] = {
		{ false, 'a', -1, -1, "rwm" }, { true, 'c', -1, -1, "m" },
		{ true, 'b', -1, -1, "m" },    { true, 'c', 1, 3, "rwm" },
		{ true, 'c', 1, 5, "rwm" },    { true, 'c', 1, 7, "rwm" },
		{ true, 'c', 1, 8, "rwm" },    { true, 'c', 1, 9, "rwm" },
		{ true, 'c', 5, 0, "rwm" },    { true, 'c', 5, 2, "rwm" },
		{ true, 'c', 136, -1, "rwm" },
	};
	static const struct bundle_device_rule everything = { true, 'a', -1, -1, "rwm" };
	size_t i;

	jsonw_karray(w, "devices");
	if (b->privileged) {
		write_device_rule(w, &everything);
	} else {
		for (i = 0; i < ARRAY_LEN(rules); i++)
			write_device_rule(w, &rules[i]);
		for (i = 0; i < b->n_device_rules; i++)
			write_device_rule(w, &b->device_rules[i]);
	}
	jsonw_end(w);
}

static void write_devices(struct jsonw *w, const struct bundle *b)
{
	size_t i;

	if (b->n_devices == 0)
		return;
	jsonw_karray(w, "devices");
	for (i = 0; i < b->n_devices; i++) {
		const struct bundle_device *d = &b->devices[i];
		const char type[2] = { d->type, 0 };

		jsonw_object(w);
		jsonw_kstring(w, "path", d->path);
		jsonw_kstring(w, "type", type);
		jsonw_kint(w, "major", d->major);
		jsonw_kint(w, "minor", d->minor);
		jsonw_kint(w, "fileMode", d->mode);
		jsonw_kint(w, "uid", d->uid);
		jsonw_kint(w, "gid", d->gid);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void kint_if(struct jsonw *w, const char *key, int64_t v)
{
	if (v != 0)
		jsonw_kint(w, key, v);
}

static void write_memory(struct jsonw *w, const struct bundle_resources *r)
{
	jsonw_kobject(w, "memory");
	kint_if(w, "limit", r->memory_bytes);
	kint_if(w, "reservation", r->memory_reservation_bytes);
	kint_if(w, "swap", r->memory_swap_bytes);
	if (r->swappiness >= 0 && r->swappiness <= 100 && r->has_swappiness)
		jsonw_kint(w, "swappiness", r->swappiness);
	if (r->oom_kill_disable)
		jsonw_kbool(w, "disableOOMKiller", true);
	jsonw_end(w);
}

static void write_cpu(struct jsonw *w, const struct bundle_resources *r)
{
	jsonw_kobject(w, "cpu");
	kint_if(w, "shares", (int64_t)r->cpu_shares);
	kint_if(w, "quota", r->cpu_quota_us);
	kint_if(w, "period", (int64_t)r->cpu_period_us);
	kint_if(w, "realtimePeriod", (int64_t)r->cpu_rt_period_us);
	kint_if(w, "realtimeRuntime", r->cpu_rt_runtime_us);
	if (!cstr_is_empty(r->cpuset_cpus))
		jsonw_kstring(w, "cpus", r->cpuset_cpus);
	if (!cstr_is_empty(r->cpuset_mems))
		jsonw_kstring(w, "mems", r->cpuset_mems);
	jsonw_end(w);
}

static void write_throttle(struct jsonw *w, const char *key, const char *value_key,
			   const struct bundle_throttle *t, size_t n)
{
	size_t i;

	if (n == 0)
		return;
	jsonw_karray(w, key);
	for (i = 0; i < n; i++) {
		jsonw_object(w);
		jsonw_kint(w, "major", t[i].major);
		jsonw_kint(w, "minor", t[i].minor);
		jsonw_key(w, value_key);
		jsonw_uint(w, t[i].rate);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void write_resources(struct jsonw *w, const struct bundle *b)
{
	const struct bundle_resources *r = &b->resources;

	jsonw_kobject(w, "resources");
	write_device_rules(w, b);
	write_memory(w, r);
	write_cpu(w, r);
	if (r->pids_limit != 0) {
		jsonw_kobject(w, "pids");
		jsonw_kint(w, "limit", r->pids_limit);
		jsonw_end(w);
	}
	jsonw_kobject(w, "blockIO");
	kint_if(w, "weight", r->blkio_weight);
	write_throttle(w, "weightDevice", "weight", r->weight_devices, r->n_weight_devices);
	write_throttle(w, "throttleReadBpsDevice", "rate", r->read_bps, r->n_read_bps);
	write_throttle(w, "throttleWriteBpsDevice", "rate", r->write_bps, r->n_write_bps);
	write_throttle(w, "throttleReadIOPSDevice", "rate", r->read_iops, r->n_read_iops);
	write_throttle(w, "throttleWriteIOPSDevice", "rate", r->write_iops, r->n_write_iops);
	jsonw_end(w);
	jsonw_end(w);
}

static void write_masks(struct jsonw *w, const struct bundle *b)
{
	long n = sysconf(_SC_NPROCESSORS_CONF), i;
	const char *const *m;

	if (b->privileged && b->masked_paths == NULL && b->readonly_paths == NULL)
		return;
	jsonw_karray(w, "maskedPaths");
	m = b->masked_paths ? b->masked_paths : bundle_default_masked_paths();
	for (; *m; m++)
		jsonw_string(w, *m);
	for (i = 0; b->masked_paths == NULL && i < n && i < CPU_MASKS_MAX; i++) {
		char path[80];

		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%ld/thermal_throttle", i);
		if (access(path, F_OK) == 0)
			jsonw_string(w, path);
	}
	jsonw_end(w);
	write_list(w, "readonlyPaths",
		   b->readonly_paths ? b->readonly_paths : bundle_default_readonly_paths());
}

static void write_pairs(struct jsonw *w, const char *key, const struct bundle_pair *p, size_t n)
{
	size_t i;

	if (n == 0)
		return;
	jsonw_kobject(w, key);
	for (i = 0; i < n; i++)
		jsonw_kstring(w, p[i].key, p[i].value);
	jsonw_end(w);
}

static int write_seccomp(struct jsonw *w, const struct bundle *b, const char *const *caps,
			 struct error *err)
{
	if (b->seccomp_unconfined || (b->privileged && b->seccomp_profile == NULL))
		return 0;
	jsonw_key(w, "seccomp");
	if (b->seccomp_profile)
		return seccomp_write_profile(w, b->seccomp_profile, caps, err);
	seccomp_write_default(w, caps);
	return 0;
}

static int write_linux(struct jsonw *w, const struct bundle *b, const char *const *caps,
		       struct error *err)
{
	jsonw_kobject(w, "linux");
	write_namespaces(w, b);
	write_pairs(w, "sysctl", b->sysctls, b->n_sysctls);
	if (b->cgroups_path)
		jsonw_kstring(w, "cgroupsPath", b->cgroups_path);
	write_resources(w, b);
	write_devices(w, b);
	write_masks(w, b);
	if (b->rootfs_propagation)
		jsonw_kstring(w, "rootfsPropagation", b->rootfs_propagation);
	if (b->selinux_mount_label)
		jsonw_kstring(w, "mountLabel", b->selinux_mount_label);
	if (write_seccomp(w, b, caps, err) < 0)
		return -(int)err->kind;
	jsonw_end(w);
	return 0;
}

static int check(const struct bundle *b, struct error *err)
{
	if (b->args == NULL || b->args[0] == NULL)
		return error_set(err, ERR_INVALID, "No command specified");
	if (!cstr_is_empty(b->cwd) && b->cwd[0] != '/')
		return error_set(err, ERR_INVALID,
				 "the working directory '%s' is invalid, it needs to be an "
				 "absolute path",
				 b->cwd);
	return 0;
}

int bundle_write(const struct bundle *b, struct buf *out, struct error *err)
{
	struct error local = { 0 };
	cap_vec caps = { 0 };
	struct jsonw w;
	int r;

	r = check(b, &local);
	if (r == 0)
		r = caps_resolve(b, &caps, &local);
	if (r == 0) {
		jsonw_init(&w, out);
		jsonw_object(&w);
		jsonw_kstring(&w, "ociVersion", "1.0.2");
		jsonw_kobject(&w, "process");
		write_process(&w, b, caps.at);
		jsonw_end(&w);
		jsonw_kobject(&w, "root");
		jsonw_kstring(&w, "path", b->rootfs);
		jsonw_kbool(&w, "readonly", b->rootfs_readonly);
		jsonw_end(&w);
		if (b->hostname)
			jsonw_kstring(&w, "hostname", b->hostname);
		if (b->domainname)
			jsonw_kstring(&w, "domainname", b->domainname);
		write_mounts(&w, b);
		write_pairs(&w, "annotations", b->annotations, b->n_annotations);
		r = write_linux(&w, b, caps.at, &local);
		if (r == 0) {
			jsonw_end(&w);
			r = jsonw_finish(&w, &local);
		}
	}
	vec_release(&caps);
	return r < 0 ? error_set(err, local.kind, "%s", local.msg) : 0;
}

int bundle_write_process(const struct bundle *b, struct buf *out, struct error *err)
{
	cap_vec caps = { 0 };
	struct jsonw w;
	int r;

	r = check(b, err);
	if (r == 0)
		r = caps_resolve(b, &caps, err);
	if (r == 0) {
		jsonw_init(&w, out);
		jsonw_object(&w);
		write_process(&w, b, caps.at);
		jsonw_end(&w);
		r = jsonw_finish(&w, err);
	}
	vec_release(&caps);
	return r;
}
