/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, devices' rates and security options of HostConfig. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/body.h"
#include "cli/flag_check.h"
#include "cli/run_config.h"

enum { PROFILE_MAX = 16 << 20 };

static void set_int(struct arena *a, struct json *o, const char *key, const struct args *args,
		    const char *flag)
{
	if (args_set(args, flag))
		json_set(a, o, key, json_new_int(a, args_int(args, flag)));
}

static void set_text(struct arena *a, struct json *o, const char *key, const struct args *args,
		     const char *flag)
{
	if (*args_str(args, flag))
		json_set(a, o, key, json_new_string(a, args_str(args, flag)));
}

/* "/dev/sda:10mb" as {"Path":...,"Rate":...}; the value was checked before. */
static void set_rates(struct arena *a, struct json *host, const char *key, const struct args *args,
		      const char *flag, const char *name)
{
	struct json *list = json_new_array(a);

	args_for_each(text, args, flag)
	{
		const char *colon = strchr(text, ':');
		struct json *d = json_new_object(a);
		int64_t value = 0;

		if (!colon || parse_size(str_of(colon + 1), &value, NULL) < 0)
			continue;
		json_set(a, d, "Path",
			 json_new_string(a, arena_strndup(a, text, (size_t)(colon - text))));
		json_set(a, d, name, json_new_int(a, value));
		json_push(a, list, d);
	}
	if (list->n_items)
		json_set(a, host, key, list);
}

static void set_ulimits(struct arena *a, struct json *host, const struct args *args)
{
	struct json *list = json_new_array(a);

	args_for_each(text, args, "ulimit")
	{
		struct json *o = json_new_object(a);
		struct ulimit u;

		if (ulimit_parse(text, &u, NULL) < 0)
			continue;
		json_set(a, o, "Name", json_new_string(a, arena_strdup(a, u.name)));
		json_set(a, o, "Hard", json_new_int(a, u.hard));
		json_set(a, o, "Soft", json_new_int(a, u.soft));
		json_push(a, list, o);
	}
	if (list->n_items)
		json_set(a, host, "Ulimits", list);
}

int run_resources(struct arena *a, const struct args *args, struct json *host, struct error *err)
{
	int64_t swappiness = args_int(args, "memory-swappiness");

	if (swappiness != -1 && (swappiness < 0 || swappiness > 100))
		return error_set(err, ERR_INVALID,
				 "invalid value: %lld. Valid memory swappiness range is 0-100",
				 (long long)swappiness);
	if (swappiness != -1)
		json_set(a, host, "MemorySwappiness", json_new_int(a, swappiness));
	set_int(a, host, "Memory", args, "memory");
	set_int(a, host, "MemoryReservation", args, "memory-reservation");
	set_int(a, host, "MemorySwap", args, "memory-swap");
	set_int(a, host, "KernelMemory", args, "kernel-memory");
	set_int(a, host, "NanoCpus", args, "cpus");
	set_int(a, host, "CpuShares", args, "cpu-shares");
	set_int(a, host, "CpuPeriod", args, "cpu-period");
	set_int(a, host, "CpuQuota", args, "cpu-quota");
	set_int(a, host, "CpuRealtimePeriod", args, "cpu-rt-period");
	set_int(a, host, "CpuRealtimeRuntime", args, "cpu-rt-runtime");
	set_text(a, host, "CpusetCpus", args, "cpuset-cpus");
	set_text(a, host, "CpusetMems", args, "cpuset-mems");
	set_int(a, host, "BlkioWeight", args, "blkio-weight");
	set_rates(a, host, "BlkioWeightDevice", args, "blkio-weight-device", "Weight");
	set_rates(a, host, "BlkioDeviceReadBps", args, "device-read-bps", "Rate");
	set_rates(a, host, "BlkioDeviceWriteBps", args, "device-write-bps", "Rate");
	set_rates(a, host, "BlkioDeviceReadIOps", args, "device-read-iops", "Rate");
	set_rates(a, host, "BlkioDeviceWriteIOps", args, "device-write-iops", "Rate");
	set_int(a, host, "PidsLimit", args, "pids-limit");
	json_set(a, host, "OomKillDisable", json_new_bool(a, args_bool(args, "oom-kill-disable")));
	set_int(a, host, "OomScoreAdj", args, "oom-score-adj");
	set_int(a, host, "ShmSize", args, "shm-size");
	set_text(a, host, "CgroupParent", args, "cgroup-parent");
	if (args_count(args, "device-cgroup-rule"))
		json_set(a, host, "DeviceCgroupRules", body_list(a, args, "device-cgroup-rule"));
	set_ulimits(a, host, args);
	return 0;
}

/* seccomp=FILE: the file's JSON takes its place, compact. */
static int seccomp_profile(struct arena *a, const char *path, const char **ret, struct error *err)
{
	auto_(buf) text = BUF_INIT(PROFILE_MAX);
	const struct json *doc = NULL;
	struct error why = { 0 };
	int r;

	if (access(path, R_OK) < 0)
		return error_set(
		    err, ERR_NOT_FOUND, "opening seccomp profile (%s) failed: open %s: %s", path,
		    path, errno == ENOENT ? "no such file or directory" : "permission denied");
	r = fs_read_file(path, &text, err);
	if (r < 0)
		return r;
	if (json_parse(a, text.data ? text.data : "", text.len, &doc, &why) < 0)
		return error_set(err, ERR_INVALID,
				 "compacting json for seccomp profile (%s) failed: %s", path,
				 why.msg);
	*ret = arena_format(a, "seccomp=%s", body_text(a, doc));
	return 0;
}

static const char *cap_name(struct arena *a, const char *text)
{
	struct str word = str_trim(str_of(text));
	char *name = arena_format(a, "CAP_%.*s", STR_ARG(word));

	for (char *p = name; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p += 'A' - 'a';
	if (cstr_starts(name + 4, "CAP_") || strcmp(name + 4, "ALL") == 0)
		return name + 4;
	return name;
}

static bool caps_have(struct arena *a, const struct args *args, const char *flag, const char *name)
{
	args_for_each(text, args, flag) if (strcmp(cap_name(a, text), name) == 0) return true;
	return false;
}

static int text_compare(const void *a, const void *b)
{
	return strcmp((*(const struct json *const *)a)->s, (*(const struct json *const *)b)->s);
}

/*
 * Capabilities as docker sends them: upper case with "CAP_", sorted, each once,
 * ALL alone; not those that the flag `but` names too (NULL: none).
 */
static struct json *caps_list(struct arena *a, const struct args *args, const char *flag,
			      const char *but)
{
	struct json *list = json_new_array(a);
	bool all = caps_have(a, args, flag, "ALL");

	args_for_each(text, args, flag)
	{
		const char *name = cap_name(a, text);
		bool known =
		    (but && caps_have(a, args, but, name)) || (all && strcmp(name, "ALL") != 0);

		json_for_each_item (have, list)
			known |= strcmp(have->s, name) == 0;
		if (!known)
			json_push(a, list, json_new_string(a, name));
	}
	if (list->n_items > 1)
		qsort(list->items, list->n_items, sizeof(*list->items), text_compare);
	return list;
}

int run_security(struct arena *a, const struct args *args, struct json *host, struct error *err)
{
	struct json *list = json_new_array(a);

	args_for_each(text, args, "security-opt")
	{
		const char *sep = strpbrk(text, "=:");
		const char *path = text;

		if (strcmp(text, "systempaths=unconfined") == 0) {
			json_set(a, host, "MaskedPaths", json_new_array(a));
			json_set(a, host, "ReadonlyPaths", json_new_array(a));
			continue;
		}
		if (!sep && strcmp(text, "no-new-privileges") != 0)
			return error_set(err, ERR_INVALID, "Invalid --security-opt: \"%s\"", text);
		if (sep && cstr_starts(text, "seccomp") && sep == text + strlen("seccomp") &&
		    strcmp(sep + 1, "unconfined") != 0 && strcmp(sep + 1, "builtin") != 0) {
			int r = seccomp_profile(a, sep + 1, &path, err);

			if (r < 0)
				return r;
		}
		json_push(a, list, json_new_string(a, path));
	}
	if (list->n_items)
		json_set(a, host, "SecurityOpt", list);
	if (args_count(args, "cap-add"))
		json_set(a, host, "CapAdd", caps_list(a, args, "cap-add", NULL));
	if (args_count(args, "cap-drop"))
		json_set(a, host, "CapDrop", caps_list(a, args, "cap-drop", "cap-add"));
	if (args_count(args, "group-add"))
		json_set(a, host, "GroupAdd", body_list(a, args, "group-add"));
	if (args_count(args, "sysctl"))
		json_set(a, host, "Sysctls", body_map(a, args, "sysctl"));
	if (args_bool(args, "privileged"))
		json_set(a, host, "Privileged", json_new_bool(a, true));
	if (args_bool(args, "read-only"))
		json_set(a, host, "ReadonlyRootfs", json_new_bool(a, true));
	return 0;
}
