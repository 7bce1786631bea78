/*
 * cgroup/device.c: which devices a group may use: lines for v1, a BPF program
 * for v2.
 *
 * Rules are applied in their order, later ones win, as v1's kernel lists do.
 * The program therefore tests them from the last to the first and stops at the
 * first that decides. Permission bits are handled one by one only where a rule
 * does not cover all that was asked.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/macros.h"
#include "cgroup/cgroup_internal.h"

#define RULES_MAX 512

static int access_bits(const char *access, uint32_t *ret, struct error *err)
{
	*ret = 0;
	for (const char *p = access; *p; p++) {
		if (*p == 'r')
			*ret |= BPF_DEVCG_ACC_READ;
		else if (*p == 'w')
			*ret |= BPF_DEVCG_ACC_WRITE;
		else if (*p == 'm')
			*ret |= BPF_DEVCG_ACC_MKNOD;
		else
			return error_set(err, ERR_INVALID, "device access '%s' is not of \"rwm\"",
					 access);
	}
	return 0;
}

static int rule_check(const struct cgroup_device_rule *rule, struct error *err)
{
	uint32_t bits;

	if (rule->type != 'a' && rule->type != 'b' && rule->type != 'c')
		return error_set(err, ERR_INVALID, "device type '%c' is not a, b or c", rule->type);
	if (rule->major < -1 || rule->major > UINT32_MAX || rule->minor < -1 ||
	    rule->minor > UINT32_MAX)
		return error_set(err, ERR_INVALID, "device number %lld:%lld is out of range",
				 (long long)rule->major, (long long)rule->minor);
	return access_bits(rule->access, &bits, err);
}

/* One line; the files stay open for all of them. */
static int write_rule(int fd, const char *text, struct error *err)
{
	size_t len = strlen(text);

	if (write(fd, text, len) == (ssize_t)len)
		return 0;
	if (errno == EINVAL)
		return error_set(err, ERR_INVALID, "the kernel refuses '%s'", text);
	return error_sys(err, errno, "write '%s'", text);
}

static int write_rules(int fd, const struct cgroup_device_rule *u, struct error *err)
{
	char major[24] = "*", minor[24] = "*", text[80];
	int r = 0;

	if (u->major >= 0)
		snprintf(major, sizeof(major), "%lld", (long long)u->major);
	if (u->minor >= 0)
		snprintf(minor, sizeof(minor), "%lld", (long long)u->minor);
	/* v1 takes 'a' only for everything at once: write both kinds otherwise. */
	if (u->type == 'a' && u->major < 0 && u->minor < 0 && strlen(u->access) == 3)
		return write_rule(fd, "a", err);
	for (const char *type = u->type == 'a'   ? "bc"
				: u->type == 'b' ? "b"
						 : "c";
	     *type && r == 0; type++) {
		snprintf(text, sizeof(text), "%c %s:%s %s", *type, major, minor, u->access);
		r = write_rule(fd, text, err);
	}
	return r;
}

static int limit_v1(const struct cgroup_dir *d, const struct cgroup_device_rule *rules, size_t n,
		    struct error *err)
{
	autoclose int allow = openat(d->fd, "devices.allow", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	autoclose int deny = openat(d->fd, "devices.deny", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (allow < 0 || deny < 0)
		return error_sys(err, errno, "open the device list of '%s'", d->path);
	for (size_t i = 0; i < n; i++) {
		int r = write_rules(rules[i].allow ? allow : deny, &rules[i], err);

		if (r < 0)
			return error_wrap(err, r, "device rule %zu", i);
	}
	return 0;
}

struct program {
	struct bpf_insn *at;
	size_t n;
};

static void emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int16_t off,
		 int32_t imm)
{
	p->at[p->n++] = (struct bpf_insn){
		.code = code, .dst_reg = dst & 15u, .src_reg = src & 15u, .off = off, .imm = imm
	};
}

/*
 * Registers: r2 type, r3 access asked, r4 major, r5 minor.
 * One rule: skip to its end unless everything matches; else return its verdict.
 */
static void emit_rule(struct program *p, const struct cgroup_device_rule *rule, uint32_t bits)
{
	size_t jumps[8], n_jumps = 0;

	if (rule->type != 'a') {
		jumps[n_jumps++] = p->n;
		emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 0,
		     rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
	}
	if (bits != (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD)) {
		emit(p, BPF_ALU | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0);
		if (rule->allow) {
			/* Allowed only when nothing beyond the rule's bits is asked. */
			emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, (int32_t)bits);
			jumps[n_jumps++] = p->n;
			emit(p, BPF_JMP | BPF_JNE | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0);
		} else {
			/* Denied as soon as one of the rule's bits is asked. */
			emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, (int32_t)bits);
			jumps[n_jumps++] = p->n;
			emit(p, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_1, 0, 0, 0);
		}
	}
	if (rule->major >= 0) {
		jumps[n_jumps++] = p->n;
		emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_4, 0, 0, (int32_t)rule->major);
	}
	if (rule->minor >= 0) {
		jumps[n_jumps++] = p->n;
		emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_5, 0, 0, (int32_t)rule->minor);
	}
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, rule->allow);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	for (size_t i = 0; i < n_jumps; i++)
		p->at[jumps[i]].off = (int16_t)(p->n - jumps[i] - 1);
}

int cgroup_device_program(struct arena *a, const struct cgroup_device_rule *rules, size_t n,
			  struct bpf_insn **ret, size_t *ret_n, struct error *err)
{
	struct program p = { 0 };
	bool all = false;
	int r;

	if (n > RULES_MAX)
		return error_set(err, ERR_INVALID, "%zu device rules, at most %d", n, RULES_MAX);
	p.at = arena_array(a, n * 8 + 8, sizeof(struct bpf_insn));
	emit(&p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, 0, 0);
	emit(&p, BPF_ALU | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
	emit(&p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
	emit(&p, BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
	emit(&p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_4, BPF_REG_1, 4, 0);
	emit(&p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_5, BPF_REG_1, 8, 0);
	for (size_t i = n; i > 0 && !all; i--) {
		const struct cgroup_device_rule *rule = &rules[i - 1];
		uint32_t bits;

		r = rule_check(rule, err);
		if (r < 0)
			return error_wrap(err, r, "device rule %zu", i - 1);
		r = access_bits(rule->access, &bits, err);
		if (r < 0)
			return r;
		/* Nothing before a rule for everything can matter; the verifier refuses dead code.
		 */
		all = rule->type == 'a' && bits == 7 && rule->major < 0 && rule->minor < 0;
		if (bits != 0)
			emit_rule(&p, rule, bits);
	}
	if (!all) {
		emit(&p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
		emit(&p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	}
	*ret = p.at;
	*ret_n = p.n;
	return 0;
}

static long bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

/* Programs attached so far; an update attaches the new one before it detaches the old. */
struct attached {
	uint32_t ids[64];
	uint32_t n;
};

static int find_attached(int cgroup_fd, struct attached *ret, struct error *err)
{
	union bpf_attr attr = { 0 };

	attr.query.target_fd = (uint32_t)cgroup_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = (uint64_t)(uintptr_t)ret->ids;
	attr.query.prog_cnt = ARRAY_LEN(ret->ids);
	if (bpf(BPF_PROG_QUERY, &attr) < 0)
		return error_sys(err, errno, "query device programs");
	ret->n = attr.query.prog_cnt;
	return 0;
}

static int detach(int cgroup_fd, uint32_t id, struct error *err)
{
	union bpf_attr attr = { 0 };
	autoclose int fd = FD_NONE;

	attr.prog_id = id;
	fd = (int)bpf(BPF_PROG_GET_FD_BY_ID, &attr);
	if (fd < 0)
		return error_sys(err, errno, "open device program %u", id);
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	if (bpf(BPF_PROG_DETACH, &attr) < 0)
		return error_sys(err, errno, "detach device program %u", id);
	return 0;
}

static int limit_v2(const struct cgroup_dir *d, const struct cgroup_device_rule *rules, size_t n,
		    struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	autoclose int fd = FD_NONE, dir = FD_NONE;
	union bpf_attr attr = { 0 };
	struct bpf_insn *insns;
	struct attached old = { .n = 0 };
	size_t n_insns;
	int r = cgroup_device_program(&a, rules, n, &insns, &n_insns, err);

	if (r < 0)
		return r;
	dir = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return error_sys(err, errno, "open cgroup '%s'", d->path);
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uint64_t)(uintptr_t)insns;
	attr.insn_cnt = (uint32_t)n_insns;
	attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
	fd = (int)bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0)
		return error_sys(err, errno, "load the device program of %zu rules", n);
	r = find_attached(dir, &old, err);
	if (r < 0)
		return r;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)dir;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (bpf(BPF_PROG_ATTACH, &attr) < 0)
		return error_sys(err, errno, "attach the device program to '%s'", d->path);
	for (uint32_t i = 0; r == 0 && i < old.n; i++)
		r = detach(dir, old.ids[i], err);
	return r;
}

int cgroup_limit_devices(const struct cgroup *cg, const struct cgroup_limits *l, struct error *err)
{
	const struct cgroup_dir *v1 = cgroup_find(cg, CGROUP_DEVICES), *v2 = cgroup_find_v2(cg);

	for (size_t i = 0; i < l->n_devices; i++) {
		int r = rule_check(&l->devices[i], err);

		if (r < 0)
			return error_wrap(err, r, "device rule %zu", i);
	}
	if (v1 != NULL)
		return limit_v1(v1, l->devices, l->n_devices, err);
	if (v2 != NULL)
		return limit_v2(v2, l->devices, l->n_devices, err);
	return error_set(err, ERR_UNIMPLEMENTED,
			 "cannot limit devices: no cgroup controller 'devices' and no v2 here");
}
