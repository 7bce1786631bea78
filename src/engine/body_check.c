/* engine/body_check.c: see body_check.h. */
#include "engine/body_check.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

/*
 * A rule is a path and, behind a blank, what stands there. A segment of the path is a member's
 * name, "*" for each member, "[]" for each element or "[?]" for each element or, without a list,
 * the one; what is on the way has to be an object or an array. Types: s string, b bool, i integer,
 * o object, l list.
 */
#define ENDPOINT(at) \
	at ".IPAMConfig.IPv4Address s", at ".IPAMConfig.IPv6Address s", \
	    at ".IPAMConfig.LinkLocalIPs.[] s", at ".Links.[] s", at ".Aliases.[] s", \
	    at ".MacAddress s", at ".DriverOpts.* s", at ".GwPriority i", at ".NetworkID s", \
	    at ".EndpointID s", at ".Gateway s", at ".IPAddress s", at ".IPPrefixLen i", \
	    at ".IPv6Gateway s", at ".GlobalIPv6Address s", at ".GlobalIPv6PrefixLen i", \
	    at ".DNSNames.[] s"
#define THROTTLE(in, name) in name ".[].Path s", in name ".[].Rate i"
#define STRINGS(name)      "HostConfig." name ".[] s"
/* Of HostConfig and of an update; Peer: container.Resources. */
#define RESOURCES(in) \
	in "DeviceCgroupRules.[] s", in "BlkioWeightDevice.[].Path s", \
	    in "BlkioWeightDevice.[].Weight i", THROTTLE(in, "BlkioDeviceReadBps"), \
	    THROTTLE(in, "BlkioDeviceWriteBps"), THROTTLE(in, "BlkioDeviceReadIOps"), \
	    THROTTLE(in, "BlkioDeviceWriteIOps"), in "Devices.[].PathOnHost s", \
	    in "Devices.[].PathInContainer s", in "Devices.[].CgroupPermissions s", \
	    in "DeviceRequests.[].Driver s", in "DeviceRequests.[].Count i", \
	    in "DeviceRequests.[].DeviceIDs.[] s", in "DeviceRequests.[].Capabilities.[].[] s", \
	    in "DeviceRequests.[].Options.* s", in "Ulimits.[].Name s", in "Ulimits.[].Soft i", \
	    in "Ulimits.[].Hard i", in "RestartPolicy.Name s", \
	    in "RestartPolicy.MaximumRetryCount i"

static const char *const container_rules[] = {
	"ExposedPorts.* o",
	"Volumes.* o",
	"Labels.* s",
	"Env.[] s",
	"Cmd.[?] s",
	"Entrypoint.[?] s",
	"OnBuild.[] s",
	"Shell.[] s",
	"Healthcheck.Test.[] s",
	"Healthcheck.Interval i",
	"Healthcheck.Timeout i",
	"Healthcheck.StartPeriod i",
	"Healthcheck.StartInterval i",
	"Healthcheck.Retries i",
	"HostConfig o",
	"HostConfig.LogConfig.Type s",
	"HostConfig.LogConfig.Config.* s",
	"HostConfig.PortBindings.*.[].HostIp s",
	"HostConfig.PortBindings.*.[].HostPort s",
	"HostConfig.ConsoleSize.[] i",
	"HostConfig.Annotations.* s",
	"HostConfig.Tmpfs.* s",
	"HostConfig.Sysctls.* s",
	"HostConfig.StorageOpt.* s",
	STRINGS("Binds"),
	STRINGS("VolumesFrom"),
	STRINGS("CapAdd"),
	STRINGS("CapDrop"),
	STRINGS("Dns"),
	STRINGS("DnsOptions"),
	STRINGS("DnsSearch"),
	STRINGS("ExtraHosts"),
	STRINGS("GroupAdd"),
	STRINGS("Links"),
	STRINGS("SecurityOpt"),
	STRINGS("MaskedPaths"),
	STRINGS("ReadonlyPaths"),
	RESOURCES("HostConfig."),
	"HostConfig.Mounts.[].Type s",
	"HostConfig.Mounts.[].Source s",
	"HostConfig.Mounts.[].Target s",
	"HostConfig.Mounts.[].ReadOnly b",
	"HostConfig.Mounts.[].Consistency s",
	"HostConfig.Mounts.[].BindOptions.Propagation s",
	"HostConfig.Mounts.[].BindOptions.NonRecursive b",
	"HostConfig.Mounts.[].BindOptions.CreateMountpoint b",
	"HostConfig.Mounts.[].VolumeOptions.NoCopy b",
	"HostConfig.Mounts.[].VolumeOptions.Subpath s",
	"HostConfig.Mounts.[].VolumeOptions.Labels.* s",
	"HostConfig.Mounts.[].VolumeOptions.DriverConfig.Name s",
	"HostConfig.Mounts.[].VolumeOptions.DriverConfig.Options.* s",
	"HostConfig.Mounts.[].ImageOptions.Subpath s",
	"HostConfig.Mounts.[].TmpfsOptions.SizeBytes i",
	"HostConfig.Mounts.[].TmpfsOptions.Mode i",
	ENDPOINT("NetworkingConfig.EndpointsConfig.*"),
};

/* Beside the deeper ones of container_rules, for who does not copy it member by member. */
static const char *const config_rules[] = {
	"Hostname s",     "Domainname s",      "User s",       "AttachStdin b",
	"AttachStdout b", "AttachStderr b",    "Tty b",        "OpenStdin b",
	"StdinOnce b",    "ArgsEscaped b",     "Image s",      "WorkingDir s",
	"MacAddress s",   "NetworkDisabled b", "StopSignal s", "StopTimeout i",
};

static const char *const update_rules[] = {
	"CpuShares i",          "Memory i",
	"NanoCpus i",           "CgroupParent s",
	"BlkioWeight i",        "CpuPeriod i",
	"CpuQuota i",           "CpuRealtimePeriod i",
	"CpuRealtimeRuntime i", "CpusetCpus s",
	"CpusetMems s",         "KernelMemory i",
	"KernelMemoryTCP i",    "MemoryReservation i",
	"MemorySwap i",         "MemorySwappiness i",
	"OomKillDisable b",     "Init b",
	"PidsLimit i",          "CpuCount i",
	"CpuPercent i",         "IOMaximumIOps i",
	"IOMaximumBandwidth i", RESOURCES(""),
};

static const char *const exec_rules[] = {
	"User s",           "WorkingDir s",  "DetachKeys s",   "Tty b",
	"Privileged b",     "AttachStdin b", "AttachStdout b", "AttachStderr b",
	"ConsoleSize.[] i", "Cmd.[] s",      "Env.[] s",
};

static const char *const exec_start_rules[] = { "Detach b", "Tty b", "ConsoleSize.[] i" };

static const char *const network_rules[] = {
	"Name s",
	"Driver s",
	"Scope s",
	"CheckDuplicate b",
	"Internal b",
	"Attachable b",
	"Ingress b",
	"ConfigOnly b",
	"EnableIPv4 b",
	"EnableIPv6 b",
	"IPAM.Driver s",
	"IPAM.Options.* s",
	"IPAM.Config.[].Subnet s",
	"IPAM.Config.[].IPRange s",
	"IPAM.Config.[].Gateway s",
	"IPAM.Config.[].AuxiliaryAddresses.* s",
	"ConfigFrom.Network s",
	"Options.* s",
	"Labels.* s",
};

static const char *const connect_rules[] = { "Container s", "Force b", ENDPOINT("EndpointConfig") };

static const char *const volume_rules[] = { "Name s", "Driver s", "DriverOpts.* s", "Labels.* s" };

const char *json_go_name(const struct json *v)
{
	switch (v->type) {
	case JSON_STRING:
		return "string";
	case JSON_INT:
	case JSON_DOUBLE:
		return "number";
	case JSON_BOOL:
		return "bool";
	case JSON_ARRAY:
		return "array";
	case JSON_OBJECT:
	case JSON_NULL:
		break;
	}
	return "object";
}

static int want(const struct json *v, char type, const char *rule, size_t len, struct error *err)
{
	static const struct {
		char type;
		enum json_type json;
		const char *go;
	} types[] = { { 's', JSON_STRING, "string" },
		      { 'b', JSON_BOOL, "bool" },
		      { 'i', JSON_INT, "int64" },
		      { 'o', JSON_OBJECT, "map" },
		      { 'l', JSON_ARRAY, "list" } };

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (types[i].type == type && types[i].json != v->type)
			return error_set(
			    err, ERR_INVALID,
			    "json: cannot unmarshal %s into Go struct field %.*s of type %s",
			    json_go_name(v), (int)len, rule, types[i].go);
	}
	return 0;
}

/* at = what is left of the rule's path; everything before it has led to v. */
static int walk(const struct json *v, const char *rule, const char *at, struct error *err)
{
	size_t len = strcspn(at, ". "), done = (size_t)(at - rule);
	const char *rest = at + len + (at[len] == '.');
	char name[64];
	int r = 0;

	if (v == NULL || v->type == JSON_NULL)
		return 0;
	if (*at == ' ')
		return want(v, at[1], rule, done, err);
	if (done > 0)
		done--;
	if (len == 3 && memcmp(at, "[?]", 3) == 0 && v->type != JSON_ARRAY)
		return walk(v, rule, rest, err);
	if (*at == '[') {
		r = want(v, 'l', rule, done, err);
		json_for_each_item (item, v) {
			if (r == 0)
				r = walk(item, rule, rest, err);
		}
		return r;
	}
	r = want(v, 'o', rule, done, err);
	if (r < 0)
		return r;
	if (len == 1 && *at == '*') {
		json_for_each_member (m, v) {
			if (r == 0)
				r = walk(m->value, rule, rest, err);
		}
		return r;
	}
	snprintf(name, sizeof(name), "%.*s", (int)len, at);
	return walk(json_get_nocase(v, name), rule, rest, err);
}

static int check(const struct json *body, const char *const *rules, size_t n, struct error *err)
{
	int r = 0;

	/* What is no object at all has its own answer, each endpoint another. */
	if (body == NULL || body->type != JSON_OBJECT)
		return 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = walk(body, rules[i], rules[i], err);
	return r;
}

int body_check_container(const struct json *body, struct error *err)
{
	return check(body, container_rules, ARRAY_LEN(container_rules), err);
}

int body_check_config(const struct json *body, struct error *err)
{
	int r = check(body, config_rules, ARRAY_LEN(config_rules), err);

	return r < 0 ? r : body_check_container(body, err);
}

int body_check_exec_start(const struct json *body, struct error *err)
{
	return check(body, exec_start_rules, ARRAY_LEN(exec_start_rules), err);
}

int body_check_update(const struct json *body, struct error *err)
{
	return check(body, update_rules, ARRAY_LEN(update_rules), err);
}

int body_check_exec(const struct json *body, struct error *err)
{
	return check(body, exec_rules, ARRAY_LEN(exec_rules), err);
}

int body_check_network(const struct json *body, struct error *err)
{
	return check(body, network_rules, ARRAY_LEN(network_rules), err);
}

int body_check_connect(const struct json *body, struct error *err)
{
	return check(body, connect_rules, ARRAY_LEN(connect_rules), err);
}

int body_check_volume(const struct json *body, struct error *err)
{
	return check(body, volume_rules, ARRAY_LEN(volume_rules), err);
}
