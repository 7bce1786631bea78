#include "oci/runtime_config.h"

#include "tests/tap.h"

#define HEAD          "{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"rootfs\"}"
#define PROCESS(more) ",\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"]" more "}"
#define LINUX(more)   HEAD PROCESS("") ",\"linux\":{" more "}}"

static const struct {
	const char *what, *text, *message; /* NULL: fine */
	int want;
} cases[] = {
	{ "the least", HEAD PROCESS("") "}", NULL, 0 },
	{ "no version", "{}", "ociVersion: missing", -ERR_INVALID },
	{ "version 2", "{\"ociVersion\":\"2.0.0\"}", "ociVersion: '2.0.0' is not 1.x",
	  -ERR_INVALID },
	{ "no root", "{\"ociVersion\":\"1.0.0\"" PROCESS("") "}", "root.path: missing",
	  -ERR_INVALID },
	{ "no process", HEAD "}", "process: missing", -ERR_INVALID },
	{ "relative cwd", HEAD ",\"process\":{\"cwd\":\"x\",\"args\":[\"sh\"]}}",
	  "process.cwd: not an absolute path", -ERR_INVALID },
	{ "no arguments", HEAD ",\"process\":{\"cwd\":\"/\"}}", "process.args: empty",
	  -ERR_INVALID },
	{ "uid beyond 32 bits", HEAD PROCESS(",\"user\":{\"uid\":4294967296}") "}",
	  "process.user.uid: 4294967296 is more than 4294967295", -ERR_INVALID },
	{ "negative gid", HEAD PROCESS(",\"user\":{\"additionalGids\":[0,-1]}") "}",
	  "process.user.additionalGids[1]: -1 is negative", -ERR_INVALID },
	{ "rlimit of 2^64-1",
	  HEAD PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":1,"
		       "\"hard\":18446744073709551615}]") "}",
	  NULL, 0 },
	{ "rlimit twice",
	  HEAD PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":1},"
		       "{\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":1}]") "}",
	  "process.rlimits[1].type: 'RLIMIT_CORE' is there twice", -ERR_INVALID },
	{ "soft above hard",
	  HEAD PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":2,\"hard\":1}]") "}",
	  "process.rlimits[0]: soft limit is above the hard one", -ERR_INVALID },
	{ "relative hook", HEAD PROCESS("") ",\"hooks\":{\"poststop\":[{\"path\":\"x\"}]}}",
	  "hooks.poststop[0].path: not an absolute path", -ERR_INVALID },
	{ "mount without destination", HEAD PROCESS("") ",\"mounts\":[{\"type\":\"proc\"}]}",
	  "mounts[0].destination: missing", -ERR_INVALID },
	{ "options as text",
	  HEAD PROCESS("") ",\"mounts\":[{\"destination\":\"/x\",\"options\":\"ro\"}]}",
	  "mounts[0].options: want array, got string", -ERR_INVALID },
	{ "unknown namespace", LINUX("\"namespaces\":[{\"type\":\"net\"}]"),
	  "linux.namespaces[0].type: unknown value 'net'", -ERR_INVALID },
	{ "namespace twice", LINUX("\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]"),
	  "linux.namespaces[1]: 'pid' is there twice", -ERR_INVALID },
	{ "mappings without user namespace",
	  LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}]"),
	  "linux.uidMappings: needs a user namespace", -ERR_INVALID },
	{ "overlapping mappings",
	  LINUX("\"namespaces\":[{\"type\":\"user\"}],\"uidMappings\":[{\"containerID\":0,"
		"\"hostID\":1,\"size\":9},{\"containerID\":8,\"hostID\":100,\"size\":1}]"),
	  "linux.uidMappings[1]: overlaps with [0]", -ERR_INVALID },
	{ "unknown seccomp action", LINUX("\"seccomp\":{\"defaultAction\":\"ALLOW\"}"),
	  "linux.seccomp.defaultAction: unknown value 'ALLOW'", -ERR_INVALID },
	{ "memory limit of -1", LINUX("\"resources\":{\"memory\":{\"limit\":-1}}"), NULL, 0 },
	{ "memory limit as text", LINUX("\"resources\":{\"memory\":{\"limit\":\"1g\"}}"),
	  "linux.resources.memory.limit: want an integer, got string", -ERR_INVALID },
	{ "intelRdt", LINUX("\"intelRdt\":{}"), "linux.intelRdt is not supported yet",
	  -ERR_UNIMPLEMENTED },
	{ "trailing bytes", HEAD PROCESS("") "}}", NULL, -ERR_INVALID },
};

static int check(const char *text, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct runtime_config c;
	int r;

	r = runtime_config_parse(&a, text, strlen(text), &c, err);
	return r < 0 ? r : runtime_config_validate(&c, err);
}

static void test_values(void)
{
	static const char text[] =
	    LINUX("\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":"
		  "[\"socket\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":0,\"value\":"
		  "18446744073709551614,\"op\":\"SCMP_CMP_NE\"}]}]},\"resources\":{\"devices\":"
		  "[{\"allow\":false,\"access\":\"rwm\"}],\"rdma\":{\"mlx5\":{\"hcaHandles\":3}},"
		  "\"unified\":{\"memory.high\":\"1\"}},\"sysctl\":{\"net.x\":\"0\"}");
	auto_(arena) a = ARENA_INIT;
	struct runtime_config c;
	struct error err;

	is_int(runtime_config_parse(&a, text, sizeof(text) - 1, &c, &err), 0, "parse");
	ok(c.linux_.seccomp->syscalls[0].args[0].value == UINT64_MAX - 1,
	   "a seccomp value keeps its 64 bits");
	ok(c.linux_.resources->n_devices == 1 && !c.linux_.resources->devices[0].major.set,
	   "a device rule without numbers");
	is_str(c.linux_.resources->rdma[0].name, "mlx5", "name of an rdma device");
	is_str(c.linux_.sysctl.at[0].key, "net.x", "a sysctl");
	ok(c.process->args.at[c.process->args.n] == NULL, "args may be given to execve");
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err;

		is_int(check(cases[i].text, &err), cases[i].want, cases[i].what);
		if (cases[i].message != NULL)
			is_str(err.msg, cases[i].message, "message");
	}
	test_values();
	return tap_done();
}
