/* engine/host_config_check.c: what a HostConfig may not say, in dockerd's words. */
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "engine/container_internal.h"
#include "engine/idmap.h"
#include "task/bundle.h"

#define MEMORY_MIN (6 << 20)

static int check_restart(const struct json *hc, struct error *err)
{
	static const char *const names[] = { "no", "always", "unless-stopped", "on-failure" };
	const struct json *p = json_get(hc, "RestartPolicy");
	const char *name = json_str(p, "Name");
	int64_t count = json_int(p, "MaximumRetryCount", 0);
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			break;
	if (i == ARRAY_LEN(names))
		return error_set(err, ERR_INVALID,
				 "invalid restart policy: unknown policy '%s'; use one "
				 "of 'no', 'always', 'on-failure', or "
				 "'unless-stopped'",
				 name);
	if (count < 0)
		return error_set(err, ERR_INVALID,
				 "invalid restart policy: maximum retry count cannot be negative");
	if (count > 0 && strcmp(name, "on-failure") != 0)
		return error_set(
		    err, ERR_INVALID,
		    "invalid restart policy: maximum retry count can only be used with "
		    "'on-failure'");
	if (json_bool(hc, "AutoRemove", false) && strcmp(name, "no") != 0)
		return error_set(err, ERR_INVALID,
				 "can't create 'AutoRemove' container with restart policy");
	return 0;
}

static int check_memory(const struct json *hc, struct error *err)
{
	int64_t memory = json_int(hc, "Memory", 0), swap = json_int(hc, "MemorySwap", 0);
	int64_t reservation = json_int(hc, "MemoryReservation", 0);
	int64_t swappiness = json_int(hc, "MemorySwappiness", -1);

	if (memory != 0 && memory < MEMORY_MIN)
		return error_set(err, ERR_INVALID, "Minimum memory limit allowed is 6MB");
	if (memory > 0 && swap > 0 && swap < memory)
		return error_set(err, ERR_INVALID,
				 "Minimum memoryswap limit should be larger than memory limit, see "
				 "usage");
	if (memory == 0 && swap > 0)
		return error_set(
		    err, ERR_INVALID,
		    "You should always set the Memory limit when using Memoryswap limit, "
		    "see usage");
	if (swappiness < -1 || swappiness > 100)
		return error_set(err, ERR_INVALID,
				 "Invalid value: %lld, valid memory swappiness range is 0-100",
				 (long long)swappiness);
	if (reservation > 0 && reservation < MEMORY_MIN)
		return error_set(err, ERR_INVALID, "Minimum memory reservation allowed is 6MB");
	if (memory > 0 && reservation > memory)
		return error_set(
		    err, ERR_INVALID,
		    "Minimum memory limit can not be less than memory reservation limit, "
		    "see usage");
	return 0;
}

static int check_cpu(const struct json *hc, struct error *err)
{
	int64_t nano = json_int(hc, "NanoCpus", 0), period = json_int(hc, "CpuPeriod", 0);
	int64_t quota = json_int(hc, "CpuQuota", 0);
	int64_t weight = json_int(hc, "BlkioWeight", 0);
	int r;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (nano != 0 && (period != 0 || quota != 0))
		return error_set(err, ERR_INVALID,
				 "Conflicting options: Nano CPUs and CPU %s cannot both be set",
				 period ? "Period" : "Quota");
	if (nano < 0)
		return error_set(err, ERR_INVALID, "invalid CPUs value: must be positive");
	if (nano > cpus * 1000000000)
		return error_set(err, ERR_INVALID,
				 "range of CPUs is from 0.01 to %ld.00, as there are only %ld CPUs "
				 "available",
				 cpus, cpus);
	if (period != 0 && (period < 1000 || period > 1000000))
		return error_set(
		    err, ERR_INVALID,
		    "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than "
		    "1s (i.e. 1000000)");
	if (quota > 0 && quota < 1000)
		return error_set(err, ERR_INVALID,
				 "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	if (weight != 0 && (weight < 10 || weight > 1000))
		return error_set(err, ERR_INVALID, "Range of blkio weight is from 10 to 1000");
	r = cpuset_check(json_str(hc, "CpusetCpus"), "/sys/devices/system/cpu/online", "cpus",
			 "CPUs", err);
	return r < 0 ? r
		     : cpuset_check(json_str(hc, "CpusetMems"), "/sys/devices/system/node/online",
				    "mems", "memory nodes", err);
}

static int check_caps(const struct json *hc, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) ignored = BUF_INIT(1 << 20);
	static const char *const args[] = { "x", NULL };
	struct bundle b = { .args = args, .rootfs = "/" };

	b.cap_add = container_strings(&a, json_get(hc, "CapAdd"));
	b.cap_drop = container_strings(&a, json_get(hc, "CapDrop"));
	return bundle_write_process(&b, &ignored, err);
}

static bool one_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(s, *list) == 0)
			return true;
	return false;
}

static int check_userns(const struct json *hc, const char *mode, struct error *err)
{
	static const char *const modes[] = { "PidMode", "IpcMode", "NetworkMode", "UTSMode" };
	auto_(arena) a = ARENA_INIT;
	struct userns_request q;
	size_t i;
	int r;

	if (cstr_is_empty(mode) || strcmp(mode, "host") == 0)
		return 0;
	if (strcmp(mode, "auto") != 0 && !cstr_starts(mode, "auto:"))
		return error_set(
		    err, ERR_UNIMPLEMENTED,
		    "user namespace mode '%s' is not supported yet: use 'auto' or 'host'", mode);
	r = userns_parse(&a, mode, &q, err);
	if (r < 0)
		return r;
	if (json_bool(hc, "Privileged", false))
		return error_set(
		    err, ERR_INVALID,
		    "privileged mode is incompatible with user namespaces.  You must run the "
		    "container in the host namespace when running privileged mode");
	for (i = 0; i < ARRAY_LEN(modes); i++) {
		const char *other = json_str(hc, modes[i]);

		if (strcmp(other, "host") == 0)
			return error_set(err, ERR_INVALID,
					 "cannot share the host's %.*s namespace when user "
					 "namespaces are enabled",
					 (int)strlen(modes[i]) - 4, modes[i]);
		if (i < 2 && cstr_starts(other, "container:"))
			return error_set(
			    err, ERR_UNIMPLEMENTED,
			    "%s of another container together with --userns=auto is not "
			    "supported yet",
			    modes[i]);
	}
	return 0;
}

static int check_modes(const struct json *hc, struct error *err)
{
	static const char *const ipc[] = { "", "none", "host", "private", "shareable", NULL };
	static const char *const pid[] = { "", "host", NULL };
	static const char *const cgroupns[] = { "host", "private", NULL };
	const char *s;
	int r;

	s = json_str(hc, "IpcMode");
	if (!one_of(s, ipc) && !cstr_starts(s, "container:"))
		return error_set(err, ERR_INVALID, "Invalid IPC mode: %s", s);
	s = json_str(hc, "PidMode");
	if (!one_of(s, pid) && !cstr_starts(s, "container:"))
		return error_set(err, ERR_INVALID, "invalid PID mode: %s", s);
	s = json_str(hc, "UTSMode");
	if (!one_of(s, pid))
		return error_set(err, ERR_INVALID, "Invalid UTS mode: %s", s);
	r = check_userns(hc, json_str(hc, "UsernsMode"), err);
	if (r < 0)
		return r;
	s = json_str(hc, "CgroupnsMode");
	if (!one_of(s, cgroupns))
		return error_set(err, ERR_INVALID, "invalid cgroup namespace mode: %s", s);
	if (!cstr_is_empty(json_str(hc, "Isolation")) &&
	    !str_eq_nocase(str_of(json_str(hc, "Isolation")), str_of("default")))
		return error_set(err, ERR_INVALID,
				 "Invalid isolation: \"%s\" - linux only supports 'default'",
				 json_str(hc, "Isolation"));
	if (json_int(hc, "IOMaximumBandwidth", 0) || json_int(hc, "IOMaximumIOps", 0))
		return error_set(
		    err, ERR_INVALID,
		    "Invalid QoS settings: linux does not support configuration of maximum %s",
		    json_int(hc, "IOMaximumBandwidth", 0) ? "bandwidth" : "IOPs");
	if (json_get(hc, "DeviceRequests") && json_get(hc, "DeviceRequests")->n_items > 0)
		return error_set(err, ERR_INVALID,
				 "could not select device driver \"\" with capabilities: device "
				 "requests are not supported yet");
	if (json_get(hc, "StorageOpt"))
		return error_set(err, ERR_INVALID,
				 "--storage-opt is not supported by this storage driver");
	return 0;
}

static bool option_is(const struct json *opts, const char *key, const char *value)
{
	const char *s = json_str(opts, key);

	return s && strcmp(s, value) == 0;
}

static int check_compress(const struct json *opts, struct error *err)
{
	if (option_is(opts, "compress", "true") &&
	    (option_is(opts, "max-file", "1") || option_is(opts, "max-size", "-1")))
		return error_set(
		    err, ERR_INVALID,
		    "compress cannot be true when max-file is less than 2 or max-size is "
		    "not set");
	return 0;
}

int log_config_check(const struct json *log, struct error *err)
{
	static const char *const drivers[] = { "json-file", "local", "none", NULL };
	static const char *const opts[] = {
		"max-size", "max-file",     "labels",   "env",  "env-regex",
		"tag",      "labels-regex", "compress", "mode", "max-buffer-size",
		NULL
	};
	const char *type = json_str(log, "Type");
	int64_t v;

	if (!one_of(type, drivers))
		return error_set(err, ERR_INVALID, "logger: no log driver named '%s' is registered",
				 type);
	json_for_each_member (m, json_get(log, "Config")) {
		const char *s = m->value->type == JSON_STRING ? m->value->s : "";

		if (!one_of(m->key, opts))
			return error_set(err, ERR_INVALID, "unknown log opt '%s' for %s log driver",
					 m->key, type);
		if (strcmp(m->key, "max-size") == 0 && strcmp(s, "-1") != 0 &&
		    parse_size(str_of(s), &v, err) < 0)
			return error_wrap(err, -ERR_INVALID, "invalid max-size");
		if (strcmp(m->key, "max-file") == 0 && parse_i64(str_of(s), 1, 1000, &v, err) < 0)
			return error_set(err, ERR_INVALID, "max-file cannot be less than 1");
		if ((strcmp(m->key, "mode") == 0 && strcmp(s, "non-blocking") == 0) ||
		    strcmp(m->key, "max-buffer-size") == 0)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "log mode 'non-blocking' is not supported yet");
		if (strcmp(m->key, "mode") == 0 && strcmp(s, "blocking") != 0)
			return error_set(err, ERR_INVALID, "logger: logging mode not supported: %s",
					 s);
		if (strcmp(m->key, "env-regex") == 0 || strcmp(m->key, "labels-regex") == 0 ||
		    strcmp(m->key, "tag") == 0)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "log opt '%s' is not supported yet", m->key);
		if (strcmp(m->key, "compress") == 0 && strcmp(s, "true") != 0 &&
		    strcmp(s, "false") != 0)
			return error_set(err, ERR_INVALID, "invalid value for 'compress': %s", s);
	}
	return check_compress(json_get(log, "Config"), err);
}

static int check_health(const struct json *hc, struct error *err)
{
	static const char *const words[] = { "none", "restart", "stop", "kill", NULL };
	const char *s = json_str(hc, "HealthOnFailure");

	if (s && !one_of(s, words))
		return error_set(err, ERR_INVALID, "invalid health-on-failure action '%s'", s);
	return 0;
}

/* Peer: dockerd 20.10's words. */
static int check_cgroup_parent(const struct engine *e, const struct json *hc, struct error *err)
{
	const char *parent = json_str(hc, "CgroupParent");

	if (e->cfg.systemd_cgroup && !cstr_is_empty(parent) &&
	    (strlen(parent) <= strlen(".slice") || !cstr_ends(parent, ".slice")))
		return error_set(err, ERR_INVALID,
				 "cgroup-parent for systemd cgroup should be a valid slice named "
				 "as \"xxx.slice\"");
	return 0;
}

int host_config_check(struct engine *e, const struct json *hc, struct error *err)
{
	const char *runtime = json_str(hc, "Runtime");
	size_t i;
	int r;

	r = check_restart(hc, err);
	if (r == 0)
		r = check_memory(hc, err);
	if (r == 0)
		r = check_cpu(hc, err);
	if (r == 0)
		r = check_caps(hc, err);
	if (r == 0)
		r = check_modes(hc, err);
	if (r == 0)
		r = log_config_check(json_get(hc, "LogConfig"), err);
	if (r == 0)
		r = check_health(hc, err);
	if (r == 0)
		r = check_cgroup_parent(e, hc, err);
	if (r < 0)
		return r;
	for (i = 0; i < e->cfg.n_runtimes; i++)
		if (strcmp(e->cfg.runtimes[i].key, runtime) == 0)
			return 0;
	/* "runc" and containerd's name of it mean "the usual one" to every client. */
	if (strcmp(runtime, "proa") == 0 || strcmp(runtime, "runc") == 0 ||
	    strcmp(runtime, "io.containerd.runc.v2") == 0)
		return 0;
	return error_set(err, ERR_INVALID, "unknown or invalid runtime name: %s", runtime);
}
