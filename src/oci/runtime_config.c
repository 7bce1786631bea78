#include "oci/runtime_config.h"

#include <string.h>

#include "oci/runtime_words.h"

/* A predefined macro of gnu17, and a member's name here. */
#undef linux

#define F(key_, kind_, struct_, member_) \
	.key = (key_), .kind = (kind_), .offset = offsetof(struct spec_##struct_, member_)
#define LIST(key_, struct_, member_, sub_) \
	{ \
		F(key_, DECODE_ARRAY, struct_, member_), \
		    .count_offset = offsetof(struct spec_##struct_, n_##member_), .sub = &(sub_) \
	}
#define TABLE(name_) \
	static const struct decode_struct name_##_table = \
	    DECODE_STRUCT_OF(name_##_fields, struct spec_##name_)

static const struct decode_field id_mapping_fields[] = {
	{ F("containerID", DECODE_U32, id_mapping, container_id), .flags = DECODE_REQUIRED },
	{ F("hostID", DECODE_U32, id_mapping, host_id), .flags = DECODE_REQUIRED },
	{ F("size", DECODE_U32, id_mapping, size), .flags = DECODE_REQUIRED },
};
TABLE(id_mapping);

static const struct decode_field rlimit_fields[] = {
	{ F("type", DECODE_STRING, rlimit, type), .flags = DECODE_REQUIRED | DECODE_NOT_EMPTY },
	{ F("soft", DECODE_UINT, rlimit, soft), .flags = DECODE_REQUIRED },
	{ F("hard", DECODE_UINT, rlimit, hard), .flags = DECODE_REQUIRED },
};
TABLE(rlimit);

static const struct decode_field capabilities_fields[] = {
	{ F("bounding", DECODE_STRINGS, capabilities, bounding) },
	{ F("permitted", DECODE_STRINGS, capabilities, permitted) },
	{ F("effective", DECODE_STRINGS, capabilities, effective) },
	{ F("inheritable", DECODE_STRINGS, capabilities, inheritable) },
	{ F("ambient", DECODE_STRINGS, capabilities, ambient) },
};
TABLE(capabilities);

static const struct decode_field scheduler_fields[] = {
	{ F("policy", DECODE_STRING, scheduler, policy), .flags = DECODE_REQUIRED,
	  .words = spec_sched_policies },
	{ F("nice", DECODE_INT, scheduler, nice), .min = INT32_MIN, .max = INT32_MAX },
	{ F("priority", DECODE_INT, scheduler, priority), .min = INT32_MIN, .max = INT32_MAX },
	{ F("flags", DECODE_STRINGS, scheduler, flags), .words = spec_sched_flags },
	{ F("runtime", DECODE_UINT, scheduler, runtime_ns) },
	{ F("deadline", DECODE_UINT, scheduler, deadline_ns) },
	{ F("period", DECODE_UINT, scheduler, period_ns) },
};
TABLE(scheduler);

static const struct decode_field io_priority_fields[] = {
	{ F("class", DECODE_STRING, io_priority, class), .flags = DECODE_REQUIRED,
	  .words = spec_io_classes },
	{ F("priority", DECODE_INT, io_priority, priority), .min = 0, .max = 7 },
};
TABLE(io_priority);

static const struct decode_field user_fields[] = {
	{ F("uid", DECODE_U32, user, uid) },
	{ F("gid", DECODE_U32, user, gid) },
	{ F("umask", DECODE_OPT_UINT, user, umask), .umax = 0777 },
	{ F("additionalGids", DECODE_U32S, user, additional_gids),
	  .count_offset = offsetof(struct spec_user, n_additional_gids) },
	{ F("username", DECODE_STRING, user, username) },
};
TABLE(user);

static const struct decode_field console_size_fields[] = {
	{ F("height", DECODE_UINT, console_size, height), .flags = DECODE_REQUIRED },
	{ F("width", DECODE_UINT, console_size, width), .flags = DECODE_REQUIRED },
};
TABLE(console_size);

static const struct decode_field cpu_affinity_fields[] = {
	{ F("initial", DECODE_STRING, cpu_affinity, initial) },
	{ F("final", DECODE_STRING, cpu_affinity, final) },
};
TABLE(cpu_affinity);

static const struct decode_field process_fields[] = {
	{ F("terminal", DECODE_BOOL, process, terminal) },
	{ F("consoleSize", DECODE_POINTER, process, console_size), .sub = &console_size_table },
	{ F("user", DECODE_STRUCT, process, user), .sub = &user_table },
	{ F("args", DECODE_STRINGS, process, args) },
	{ F("env", DECODE_STRINGS, process, env) },
	{ F("cwd", DECODE_STRING, process, cwd), .flags = DECODE_REQUIRED },
	{ F("capabilities", DECODE_POINTER, process, capabilities), .sub = &capabilities_table },
	LIST("rlimits", process, rlimits, rlimit_table),
	{ F("noNewPrivileges", DECODE_BOOL, process, no_new_privileges) },
	{ F("apparmorProfile", DECODE_STRING, process, apparmor_profile) },
	{ F("selinuxLabel", DECODE_STRING, process, selinux_label) },
	{ F("oomScoreAdj", DECODE_OPT_INT, process, oom_score_adj), .min = -1000, .max = 1000 },
	{ F("scheduler", DECODE_POINTER, process, scheduler), .sub = &scheduler_table },
	{ F("ioPriority", DECODE_POINTER, process, io_priority), .sub = &io_priority_table },
	{ F("execCPUAffinity", DECODE_POINTER, process, exec_cpu_affinity),
	  .sub = &cpu_affinity_table },
};
TABLE(process);

static const struct decode_field root_fields[] = {
	{ F("path", DECODE_STRING, root, path), .flags = DECODE_REQUIRED },
	{ F("readonly", DECODE_BOOL, root, readonly) },
};
TABLE(root);

static const struct decode_field mount_fields[] = {
	{ F("destination", DECODE_STRING, mount, destination),
	  .flags = DECODE_REQUIRED | DECODE_NOT_EMPTY },
	{ F("type", DECODE_STRING, mount, type) },
	{ F("source", DECODE_STRING, mount, source) },
	{ F("options", DECODE_STRINGS, mount, options) },
	LIST("uidMappings", mount, uid_mappings, id_mapping_table),
	LIST("gidMappings", mount, gid_mappings, id_mapping_table),
};
TABLE(mount);

static const struct decode_field hook_fields[] = {
	{ F("path", DECODE_STRING, hook, path), .flags = DECODE_REQUIRED | DECODE_NOT_EMPTY },
	{ F("args", DECODE_STRINGS, hook, args) },
	{ F("env", DECODE_STRINGS, hook, env) },
	{ F("timeout", DECODE_OPT_INT, hook, timeout_s), .min = 1, .max = INT32_MAX },
};
TABLE(hook);

static const struct decode_field hooks_fields[] = {
	LIST("prestart", hooks, prestart, hook_table),
	LIST("createRuntime", hooks, create_runtime, hook_table),
	LIST("createContainer", hooks, create_container, hook_table),
	LIST("startContainer", hooks, start_container, hook_table),
	LIST("poststart", hooks, poststart, hook_table),
	LIST("poststop", hooks, poststop, hook_table),
};
TABLE(hooks);

static const struct decode_field namespace_fields[] = {
	{ F("type", DECODE_STRING, namespace, type), .flags = DECODE_REQUIRED,
	  .words = spec_namespace_types },
	{ F("path", DECODE_STRING, namespace, path) },
};
TABLE(namespace);

static const struct decode_field device_fields[] = {
	{ F("path", DECODE_STRING, device, path), .flags = DECODE_REQUIRED | DECODE_NOT_EMPTY },
	{ F("type", DECODE_STRING, device, type), .flags = DECODE_REQUIRED,
	  .words = spec_device_types },
	{ F("major", DECODE_INT, device, major) },
	{ F("minor", DECODE_INT, device, minor) },
	{ F("fileMode", DECODE_OPT_UINT, device, file_mode), .umax = 0177777 },
	{ F("uid", DECODE_OPT_UINT, device, uid), .umax = UINT32_MAX },
	{ F("gid", DECODE_OPT_UINT, device, gid), .umax = UINT32_MAX },
};
TABLE(device);

static const struct decode_field device_rule_fields[] = {
	{ F("allow", DECODE_BOOL, device_rule, allow), .flags = DECODE_REQUIRED },
	{ F("type", DECODE_STRING, device_rule, type), .words = spec_rule_types },
	{ F("major", DECODE_OPT_INT, device_rule, major) },
	{ F("minor", DECODE_OPT_INT, device_rule, minor) },
	{ F("access", DECODE_STRING, device_rule, access) },
};
TABLE(device_rule);

static const struct decode_field memory_fields[] = {
	{ F("limit", DECODE_OPT_INT, memory, limit) },
	{ F("reservation", DECODE_OPT_INT, memory, reservation) },
	{ F("swap", DECODE_OPT_INT, memory, swap) },
	{ F("kernel", DECODE_OPT_INT, memory, kernel) },
	{ F("kernelTCP", DECODE_OPT_INT, memory, kernel_tcp) },
	{ F("swappiness", DECODE_OPT_UINT, memory, swappiness) },
	{ F("disableOOMKiller", DECODE_BOOL, memory, disable_oom_killer) },
	{ F("useHierarchy", DECODE_OPT_BOOL, memory, use_hierarchy) },
	{ F("checkBeforeUpdate", DECODE_OPT_BOOL, memory, check_before_update) },
};
TABLE(memory);

static const struct decode_field cpu_fields[] = {
	{ F("shares", DECODE_OPT_UINT, cpu, shares) },
	{ F("quota", DECODE_OPT_INT, cpu, quota) },
	{ F("burst", DECODE_OPT_UINT, cpu, burst) },
	{ F("period", DECODE_OPT_UINT, cpu, period) },
	{ F("realtimeRuntime", DECODE_OPT_INT, cpu, realtime_runtime) },
	{ F("realtimePeriod", DECODE_OPT_UINT, cpu, realtime_period) },
	{ F("cpus", DECODE_STRING, cpu, cpus) },
	{ F("mems", DECODE_STRING, cpu, mems) },
	{ F("idle", DECODE_OPT_INT, cpu, idle) },
};
TABLE(cpu);

static const struct decode_field weight_device_fields[] = {
	{ F("major", DECODE_INT, weight_device, major), .flags = DECODE_REQUIRED },
	{ F("minor", DECODE_INT, weight_device, minor), .flags = DECODE_REQUIRED },
	{ F("weight", DECODE_OPT_UINT, weight_device, weight), .umax = UINT16_MAX },
	{ F("leafWeight", DECODE_OPT_UINT, weight_device, leaf_weight), .umax = UINT16_MAX },
};
TABLE(weight_device);

static const struct decode_field throttle_fields[] = {
	{ F("major", DECODE_INT, throttle, major), .flags = DECODE_REQUIRED },
	{ F("minor", DECODE_INT, throttle, minor), .flags = DECODE_REQUIRED },
	{ F("rate", DECODE_UINT, throttle, rate) },
};
TABLE(throttle);

static const struct decode_field block_io_fields[] = {
	{ F("weight", DECODE_OPT_UINT, block_io, weight), .umax = UINT16_MAX },
	{ F("leafWeight", DECODE_OPT_UINT, block_io, leaf_weight), .umax = UINT16_MAX },
	LIST("weightDevice", block_io, weight_devices, weight_device_table),
	LIST("throttleReadBpsDevice", block_io, read_bps, throttle_table),
	LIST("throttleWriteBpsDevice", block_io, write_bps, throttle_table),
	LIST("throttleReadIOPSDevice", block_io, read_iops, throttle_table),
	LIST("throttleWriteIOPSDevice", block_io, write_iops, throttle_table),
};
TABLE(block_io);

static const struct decode_field hugepage_limit_fields[] = {
	{ F("pageSize", DECODE_STRING, hugepage_limit, page_size), .flags = DECODE_REQUIRED },
	{ F("limit", DECODE_UINT, hugepage_limit, limit), .flags = DECODE_REQUIRED },
};
TABLE(hugepage_limit);

static const struct decode_field net_priority_fields[] = {
	{ F("name", DECODE_STRING, net_priority, name), .flags = DECODE_REQUIRED },
	{ F("priority", DECODE_U32, net_priority, priority), .flags = DECODE_REQUIRED },
};
TABLE(net_priority);

static const struct decode_field network_fields[] = {
	{ F("classID", DECODE_OPT_UINT, network, class_id), .umax = UINT32_MAX },
	LIST("priorities", network, priorities, net_priority_table),
};
TABLE(network);

static const struct decode_field rdma_fields[] = {
	{ F("hcaHandles", DECODE_OPT_UINT, rdma, hca_handles), .umax = UINT32_MAX },
	{ F("hcaObjects", DECODE_OPT_UINT, rdma, hca_objects), .umax = UINT32_MAX },
};
TABLE(rdma);

static const struct decode_field pids_fields[] = {
	{ F("limit", DECODE_OPT_INT, pids, limit) },
};
TABLE(pids);

static const struct decode_field resources_fields[] = {
	LIST("devices", resources, devices, device_rule_table),
	{ F("memory", DECODE_POINTER, resources, memory), .sub = &memory_table },
	{ F("cpu", DECODE_POINTER, resources, cpu), .sub = &cpu_table },
	{ F("pids", DECODE_POINTER, resources, pids), .sub = &pids_table },
	{ F("blockIO", DECODE_POINTER, resources, block_io), .sub = &block_io_table },
	{ F("network", DECODE_POINTER, resources, network), .sub = &network_table },
	LIST("hugepageLimits", resources, hugepage_limits, hugepage_limit_table),
	{ F("rdma", DECODE_MAP, resources, rdma),
	  .count_offset = offsetof(struct spec_resources, n_rdma), .sub = &rdma_table },
	{ F("unified", DECODE_PAIRS, resources, unified) },
};
TABLE(resources);

static const struct decode_field seccomp_arg_fields[] = {
	{ F("index", DECODE_U32, seccomp_arg, index), .flags = DECODE_REQUIRED },
	{ F("value", DECODE_UINT, seccomp_arg, value), .flags = DECODE_REQUIRED },
	{ F("valueTwo", DECODE_UINT, seccomp_arg, value_two) },
	{ F("op", DECODE_STRING, seccomp_arg, op), .flags = DECODE_REQUIRED,
	  .words = spec_seccomp_ops },
};
TABLE(seccomp_arg);

static const struct decode_field seccomp_rule_fields[] = {
	{ F("names", DECODE_STRINGS, seccomp_rule, names),
	  .flags = DECODE_REQUIRED | DECODE_NOT_EMPTY },
	{ F("action", DECODE_STRING, seccomp_rule, action), .flags = DECODE_REQUIRED,
	  .words = spec_seccomp_actions },
	{ F("errnoRet", DECODE_OPT_UINT, seccomp_rule, errno_ret), .umax = UINT32_MAX },
	LIST("args", seccomp_rule, args, seccomp_arg_table),
};
TABLE(seccomp_rule);

static const struct decode_field seccomp_fields[] = {
	{ F("defaultAction", DECODE_STRING, seccomp, default_action), .flags = DECODE_REQUIRED,
	  .words = spec_seccomp_actions },
	{ F("defaultErrnoRet", DECODE_OPT_UINT, seccomp, default_errno_ret), .umax = UINT32_MAX },
	{ F("architectures", DECODE_STRINGS, seccomp, architectures), .words = spec_seccomp_archs },
	{ F("flags", DECODE_STRINGS, seccomp, flags), .words = spec_seccomp_flags },
	{ F("listenerPath", DECODE_STRING, seccomp, listener_path) },
	{ F("listenerMetadata", DECODE_STRING, seccomp, listener_metadata) },
	LIST("syscalls", seccomp, syscalls, seccomp_rule_table),
};
TABLE(seccomp);

static const struct decode_field personality_fields[] = {
	{ F("domain", DECODE_STRING, personality, domain), .words = spec_personalities },
	{ F("flags", DECODE_STRINGS, personality, flags) },
};
TABLE(personality);

static const struct decode_field time_offset_fields[] = {
	{ F("secs", DECODE_INT, time_offset, secs) },
	{ F("nanosecs", DECODE_U32, time_offset, nanosecs), .umax = 999999999 },
};
TABLE(time_offset);

static const struct decode_field time_offsets_fields[] = {
	{ F("boottime", DECODE_POINTER, time_offsets, boottime), .sub = &time_offset_table },
	{ F("monotonic", DECODE_POINTER, time_offsets, monotonic), .sub = &time_offset_table },
};
TABLE(time_offsets);

static const struct decode_field net_device_fields[] = {
	{ F("name", DECODE_STRING, net_device, name) },
};
TABLE(net_device);

static const struct decode_field memory_policy_fields[] = {
	{ F("mode", DECODE_STRING, memory_policy, mode), .flags = DECODE_REQUIRED },
	{ F("nodes", DECODE_STRING, memory_policy, nodes) },
	{ F("flags", DECODE_STRINGS, memory_policy, flags) },
};
TABLE(memory_policy);

static const struct decode_field linux_fields[] = {
	LIST("namespaces", linux, namespaces, namespace_table),
	LIST("uidMappings", linux, uid_mappings, id_mapping_table),
	LIST("gidMappings", linux, gid_mappings, id_mapping_table),
	LIST("devices", linux, devices, device_table),
	{ F("netDevices", DECODE_MAP, linux, net_devices),
	  .count_offset = offsetof(struct spec_linux, n_net_devices), .sub = &net_device_table },
	{ F("cgroupsPath", DECODE_STRING, linux, cgroups_path) },
	{ F("resources", DECODE_POINTER, linux, resources), .sub = &resources_table },
	{ F("rootfsPropagation", DECODE_STRING, linux, rootfs_propagation),
	  .words = spec_propagations },
	{ F("seccomp", DECODE_POINTER, linux, seccomp), .sub = &seccomp_table },
	{ F("sysctl", DECODE_PAIRS, linux, sysctl) },
	{ F("maskedPaths", DECODE_STRINGS, linux, masked_paths) },
	{ F("readonlyPaths", DECODE_STRINGS, linux, readonly_paths) },
	{ F("mountLabel", DECODE_STRING, linux, mount_label) },
	{ F("personality", DECODE_POINTER, linux, personality), .sub = &personality_table },
	{ F("timeOffsets", DECODE_POINTER, linux, time_offsets), .sub = &time_offsets_table },
	{ F("memoryPolicy", DECODE_POINTER, linux, memory_policy), .sub = &memory_policy_table },
	{ F("intelRdt", DECODE_JSON, linux, intel_rdt) },
};
TABLE(linux);

#define C(key_, kind_, member_) \
	.key = (key_), .kind = (kind_), .offset = offsetof(struct runtime_config, member_)
static const struct decode_field config_fields[] = {
	{ C("ociVersion", DECODE_STRING, oci_version),
	  .flags = DECODE_REQUIRED | DECODE_NOT_EMPTY },
	{ C("root", DECODE_POINTER, root), .sub = &root_table },
	{ C("process", DECODE_POINTER, process), .sub = &process_table },
	{ C("hostname", DECODE_STRING, hostname) },
	{ C("domainname", DECODE_STRING, domainname) },
	{ C("mounts", DECODE_ARRAY, mounts),
	  .count_offset = offsetof(struct runtime_config, n_mounts), .sub = &mount_table },
	{ C("hooks", DECODE_STRUCT, hooks), .sub = &hooks_table },
	{ C("annotations", DECODE_PAIRS, annotations) },
	{ C("linux", DECODE_STRUCT, linux_), .sub = &linux_table },
};
static const struct decode_struct config_table =
    DECODE_STRUCT_OF(config_fields, struct runtime_config);

int runtime_config_parse(struct arena *a, const char *text, size_t len, struct runtime_config *ret,
			 struct error *err)
{
	struct runtime_config c = { 0 };
	int r;

	if (len > RUNTIME_CONFIG_MAX)
		return error_set(err, ERR_INVALID, "longer than %lu bytes", RUNTIME_CONFIG_MAX);
	r = json_parse(a, text, len, &c.document, err);
	if (r < 0)
		return r;
	r = decode_object(a, c.document, &config_table, "", &c, err);
	if (r < 0)
		return r;
	*ret = c;
	return 0;
}

int runtime_process_parse(struct arena *a, const char *text, size_t len, struct spec_process *ret,
			  struct error *err)
{
	struct spec_process p = { 0 };
	int r;

	r = decode_text(a, text, len, RUNTIME_CONFIG_MAX, &process_table, "process", &p, err);
	if (r == 0)
		*ret = p;
	return r;
}

int runtime_resources_parse(struct arena *a, const char *text, size_t len,
			    struct spec_resources *ret, struct error *err)
{
	struct spec_resources s = { 0 };
	int r;

	r = decode_text(a, text, len, RUNTIME_CONFIG_MAX, &resources_table, "resources", &s, err);
	if (r == 0)
		*ret = s;
	return r;
}
