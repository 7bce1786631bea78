/* Parsing of the machine's hierarchies, the device program, limits on files that stand for v2. */
#include "cgroup/cgroup.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/macros.h"
#include "cgroup/cgroup_internal.h"
#include "tests/tap.h"

static const char v1_mounts[] =
    "22 1 0:21 / /proc rw - proc proc rw\n"
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "36 31 0:32 / /other\\040place rw - cgroup cgroup rw,memory\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
static const char v1_self[] = "5:memory:/docker/abc/inner\n3:cpu,cpuacct:/user\n"
			      "1:name=systemd:/\n0::/x/y\n";

static void test_parse(void)
{
	auto_(arena) a = ARENA_INIT;
	struct cgroup_host h;
	struct error err;

	is_int(cgroup_host_parse(&a, STR_LIT(v1_mounts), STR_LIT(v1_self), &h, &err), 0,
	       "a hybrid machine parses");
	is_int(h.n, 4, "a hierarchy that is mounted twice counts once");
	is_int(h.at[0].controllers, 1 << CGROUP_CPU | 1 << CGROUP_CPUACCT,
	       "cpu and cpuacct share one");
	is_str(h.at[0].self, "/user", "own path in cpu");
	is_str(h.at[1].self, "/inner", "own path counts from what is mounted");
	is_str(h.at[3].self, "/x/y", "own path in v2");
	is_int(h.at[3].version, 2, "v2 is seen");
	is_str(cgroup_host_mode(&h), "hybrid", "mode");
	is_int(cgroup_host_parse(&a, STR_LIT("garbage\n"), STR_LIT(""), &h, &err), -ERR_INVALID,
	       "a line that is no mount is refused");
	is_int(cgroup_host_parse(&a, STR_LIT("1 2 0:1 / /m rw - cgroup cgroup rw,cpu\n"),
				 STR_LIT("3:cpu:relative\n"), &h, &err),
	       -ERR_INVALID, "a relative own path is refused");
	is_int(cgroup_host_parse(&a, STR_LIT(""), STR_LIT(""), &h, &err), 0, "nothing mounted");
	is_int(h.n, 0, "and nothing found");
}

/* A machine of 64-bit registers for the few instructions that the program uses. */
static int run_program(const struct bpf_insn *p, size_t n, uint32_t type, uint32_t access,
		       uint32_t major, uint32_t minor)
{
	uint64_t r[11] = { 0 };
	uint32_t ctx[3] = { access << 16 | type, major, minor };

	for (size_t i = 0; i < n; i++) {
		const struct bpf_insn *in = &p[i];
		uint64_t src = in->code & BPF_X ? r[in->src_reg] : (uint64_t)(int64_t)in->imm;

		switch (in->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			r[in->dst_reg] = ctx[in->off / 4];
			break;
		case BPF_ALU | BPF_MOV | BPF_X:
			r[in->dst_reg] = (uint32_t)src;
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
			r[in->dst_reg] = src;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			r[in->dst_reg] = (uint32_t)(r[in->dst_reg] & src);
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			r[in->dst_reg] = (uint32_t)r[in->dst_reg] >> src;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
		case BPF_JMP | BPF_JNE | BPF_X:
			i += r[in->dst_reg] != src ? (size_t)in->off : 0;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			i += r[in->dst_reg] == src ? (size_t)in->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)r[0];
		default:
			return -1;
		}
	}
	return -2;
}

static void test_devices(void)
{
	static const struct cgroup_device_rule rules[] = {
		{ true, 'a', -1, -1, "rwm" }, { false, 'a', -1, -1, "rwm" },
		{ true, 'c', 1, 3, "rwm" },   { true, 'c', 136, -1, "rw" },
		{ true, 'b', -1, -1, "m" },   { false, 'c', 136, 7, "w" },
	};
	static const struct {
		uint32_t type, access, major, minor;
		int want;
		const char *what;
	} cases[] = {
		{ BPF_DEVCG_DEV_CHAR, 6, 1, 3, 1, "null may be read and written" },
		{ BPF_DEVCG_DEV_CHAR, 7, 1, 3, 1, "and made" },
		{ BPF_DEVCG_DEV_BLOCK, 2, 1, 3, 0, "a block device of the same number not" },
		{ BPF_DEVCG_DEV_CHAR, 2, 1, 4, 0, "nor another minor" },
		{ BPF_DEVCG_DEV_CHAR, 6, 136, 99, 1, "terminals of any minor" },
		{ BPF_DEVCG_DEV_CHAR, 1, 136, 99, 0, "which may not be made" },
		{ BPF_DEVCG_DEV_CHAR, 4, 136, 7, 0, "a later rule takes writing away" },
		{ BPF_DEVCG_DEV_CHAR, 2, 136, 7, 1, "and leaves reading" },
		{ BPF_DEVCG_DEV_CHAR, 6, 136, 7, 0, "both at once is writing too" },
		{ BPF_DEVCG_DEV_BLOCK, 1, 8, 0, 1, "any block node may be made" },
		{ BPF_DEVCG_DEV_BLOCK, 3, 8, 0, 0, "but not read" },
	};
	static const struct cgroup_device_rule bad[] = { { true, 'x', 1, 1, "r" },
							 { true, 'c', 1, 1, "rx" },
							 { true, 'c', -2, 1, "r" } };
	auto_(arena) a = ARENA_INIT;
	struct bpf_insn *p;
	struct error err;
	size_t n;

	is_int(cgroup_device_program(&a, rules, ARRAY_LEN(rules), &p, &n, &err), 0,
	       "rules compile");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_int(run_program(p, n, cases[i].type, cases[i].access, cases[i].major,
				   cases[i].minor),
		       cases[i].want, cases[i].what);
	is_int(cgroup_device_program(&a, NULL, 0, &p, &n, &err), 0, "no rules compile");
	is_int(run_program(p, n, BPF_DEVCG_DEV_CHAR, 2, 1, 3), 0, "and allow nothing");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		is_int(cgroup_device_program(&a, &bad[i], 1, &p, &n, &err), -ERR_INVALID,
		       "a bad rule is refused");
}

static int make_file(int dir, const char *name)
{
	autoclose int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	return fd;
}

static void is_file(int dir, const char *name, const char *want)
{
	auto_(buf) b = BUF_INIT(4096);

	is_str(cgroup_read(dir, name, &b, NULL) == 0 && b.data ? b.data : "", want, name);
}

/* Plain files take what the kernel's would: v2 is not to be had on a v1 machine. */
static void test_v2_limits(void)
{
	static const char *const files[] = { "cpu.weight", "cpu.max",         "memory.max",
					     "memory.low", "memory.swap.max", "pids.max",
					     "io.max",     "hugetlb.2MB.max", "cpuset.cpus",
					     "custom" };
	static const struct cgroup_device_value bps[] = { { 8, 16, 1048576, CGROUP_UNSET } };
	static const struct cgroup_name_value huge[] = { { "2MB", 4194304 } };
	static const struct cgroup_name_text unified[] = { { "custom", "value" } };
	char path[] = "/tmp/proa-cgroup-XXXXXX";
	struct cgroup cg = CGROUP_INIT;
	struct cgroup_limits l;
	struct error err;
	int dir;

	if (mkdtemp(path) == NULL)
		return;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		ok(make_file(dir, files[i]) >= 0, "file");
	cg.at[cg.n++] =
	    (struct cgroup_dir){ 2, ~0u & ~(1u << CGROUP_DEVICES | 1u << CGROUP_NET_CLS), dir,
				 xstrdup(path) };
	cgroup_limits_init(&l);
	is_int(cgroup_limit(&cg, &l, &err), 0, "no limits, nothing written");
	l.cpu_shares = 1024;
	l.cpu_quota_us = 50000;
	l.cpuset_cpus = "0-3";
	l.memory_limit = 67108864;
	l.memory_swap = 100663296;
	l.memory_reservation = 1048576;
	l.pids_limit = -1;
	l.io_read_bps = bps;
	l.n_io_read_bps = 1;
	l.hugepages = huge;
	l.n_hugepages = 1;
	l.unified = unified;
	l.n_unified = 1;
	is_int(cgroup_limit(&cg, &l, &err), 0, "limits of v2 are written");
	is_file(dir, "cpu.weight", "39");
	is_file(dir, "cpu.max", "50000 100000");
	is_file(dir, "memory.max", "67108864");
	is_file(dir, "memory.swap.max", "33554432");
	is_file(dir, "memory.low", "1048576");
	is_file(dir, "pids.max", "max");
	is_file(dir, "io.max", "8:16 rbps=1048576");
	is_file(dir, "hugetlb.2MB.max", "4194304");
	is_file(dir, "cpuset.cpus", "0-3");
	is_file(dir, "custom", "value");
	cgroup_limits_init(&l);
	l.memory_swappiness = 10;
	is_int(cgroup_limit(&cg, &l, &err), -ERR_UNIMPLEMENTED, "v2 has no swappiness");
	cgroup_limits_init(&l);
	l.cpu_rt_runtime_us = 10;
	is_int(cgroup_limit(&cg, &l, &err), -ERR_UNIMPLEMENTED, "v2 has no realtime limits");
	cgroup_limits_init(&l);
	l.net_class_id = 10;
	is_int(cgroup_limit(&cg, &l, &err), -ERR_UNIMPLEMENTED, "a controller that is not there");
	cgroup_limits_init(&l);
	l.memory_swap = 5;
	is_int(cgroup_limit(&cg, &l, &err), -ERR_INVALID, "swap without a memory limit");
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlinkat(dir, files[i], 0);
	cgroup_release(&cg);
	rmdir(path);
}

static void test_paths(void)
{
	static const char *const bad[] = { "", "..", "/a/../b", "./a", "a/./b" };
	struct cgroup_host none = { NULL, 0 };
	struct cgroup cg = CGROUP_INIT;
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		is_int(cgroup_create(&none, bad[i], false, &cg, &err), -ERR_INVALID, bad[i]);
	is_int(cgroup_create(&none, "/a/b", false, &cg, &err), 0, "a plain path");
	is_int(cg.n, 0, "on a machine without cgroups");
}

int main(void)
{
	test_parse();
	test_devices();
	test_v2_limits();
	test_paths();
	return tap_done();
}
