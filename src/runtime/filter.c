#include "runtime/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"

#define CACHE_MAX   (1u << 20)
#define PROGRAM_MAX 32768 /* BPF_MAXINSNS is 4096; a file may not claim more than this */
#define CACHE_MAGIC "PBPF0001"
#define X32_BIT     0x40000000u

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

struct file_head {
	char magic[8];
	uint32_t key_len, n, flags, notify;
};

static const struct {
	const char *name;
	uint32_t action;
} actions[] = {
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
	{ "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
};

static const struct {
	const char *name;
	enum scmp_compare op;
} compares[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

static const struct {
	const char *name;
	uint32_t flag;
} flag_words[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
};

static int action_of(const char *name, const struct opt_uint *value, uint32_t *ret,
		     struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		uint32_t a = actions[i].action;

		if (strcmp(name, actions[i].name) != 0)
			continue;
		if (a == SCMP_ACT_ERRNO(0) || a == SCMP_ACT_TRACE(0))
			a |= value->set ? (uint32_t)value->value & 0xffffu : EPERM;
		else if (value->set && value->value != 0)
			return error_set(err, ERR_INVALID, "errnoRet does not go with %s", name);
		*ret = a;
		return 0;
	}
	return error_set(err, ERR_INVALID, "unknown action '%.64s'", name);
}

/* One text of all that the program depends on. */
static int make_key(const struct spec_seccomp *s, struct buf *b, struct error *err)
{
	const struct scmp_version *v = seccomp_version();
	struct utsname uts;
	int r;

	uname(&uts);
	r = buf_addf(b, err, "%u.%u.%u %s %s\n%s %lld\n", v->major, v->minor, v->micro, uts.release,
		     uts.machine, s->default_action,
		     s->default_errno_ret.set ? (long long)s->default_errno_ret.value : -1LL);
	for (size_t i = 0; r == 0 && i < s->architectures.n; i++)
		r = buf_addf(b, err, "%s ", s->architectures.at[i]);
	for (size_t i = 0; r == 0 && i < s->flags.n; i++)
		r = buf_addf(b, err, "%s ", s->flags.at[i]);
	for (size_t i = 0; r == 0 && i < s->n_syscalls; i++) {
		const struct spec_seccomp_rule *u = &s->syscalls[i];

		r = buf_addf(b, err, "\n%s %lld", u->action,
			     u->errno_ret.set ? (long long)u->errno_ret.value : -1LL);
		for (size_t k = 0; r == 0 && k < u->n_args; k++)
			r = buf_addf(b, err, " %u:%llu:%llu:%s", u->args[k].index,
				     (unsigned long long)u->args[k].value,
				     (unsigned long long)u->args[k].value_two, u->args[k].op);
		for (size_t k = 0; r == 0 && k < u->names.n; k++) {
			/* The NUL too: two names are not one with a blank in it. */
			r = buf_add(b, u->names.at[k], strlen(u->names.at[k]) + 1, err);
		}
	}
	return r;
}

static uint64_t hash_key(const struct buf *b)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < b->len; i++)
		h = (h ^ (unsigned char)b->data[i]) * 0x100000001b3ULL;
	return h;
}

/* Read a file of head, key, program. False when it does not serve. */
static bool read_program(struct arena *a, int dirfd, const char *name, const struct buf *key,
			 struct seccomp_program *ret)
{
	autoclose int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct file_head head;
	struct stat st;
	size_t bytes, want;
	char *data;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || st.st_mode & 022 ||
	    st.st_size < (off_t)sizeof(head) || st.st_size > CACHE_MAX)
		return false;
	if (read(fd, &head, sizeof(head)) != sizeof(head) ||
	    memcmp(head.magic, CACHE_MAGIC, sizeof(head.magic)) != 0 || head.n > PROGRAM_MAX ||
	    head.key_len != key->len)
		return false;
	bytes = head.n * sizeof(struct sock_filter);
	want = head.key_len + bytes;
	if ((size_t)st.st_size != sizeof(head) + want)
		return false;
	data = arena_alloc(a, want + 1);
	if (read(fd, data + bytes, head.key_len) != (ssize_t)head.key_len ||
	    (key->len > 0 && memcmp(data + bytes, key->data, key->len) != 0) ||
	    read(fd, data, bytes) != (ssize_t)bytes)
		return false;
	*ret = (struct seccomp_program){ data, head.n, head.flags, head.notify != 0 };
	return true;
}

static int write_program(int dirfd, const char *name, const struct buf *key,
			 const struct seccomp_program *p, struct error *err)
{
	struct file_head head = {
		.key_len = (uint32_t)key->len, .n = p->n, .flags = p->flags, .notify = p->notify
	};
	/* Without a name until it is whole: whoever dies here leaves nothing. */
	struct fs_tmpfile t;
	int r = fs_tmpfile_open(dirfd, 0600, &t, err);

	if (r < 0)
		return r;
	memcpy(head.magic, CACHE_MAGIC, sizeof(head.magic));
	r = fs_write_all(t.fd, &head, sizeof(head), err);
	if (r == 0 && key->len > 0)
		r = fs_write_all(t.fd, key->data, key->len, err);
	if (r == 0)
		r = fs_write_all(t.fd, p->filter, p->n * sizeof(struct sock_filter), err);
	if (r == 0)
		r = fs_tmpfile_link(&t, dirfd, dirfd, name, err);
	/* One that does not serve stands there. */
	if (r == -ERR_CONFLICT && unlinkat(dirfd, name, 0) == 0)
		r = fs_tmpfile_link(&t, dirfd, dirfd, name, err);
	if (r < 0)
		fs_tmpfile_drop(&t, dirfd);
	return r;
}

static int add_rule(scmp_filter_ctx ctx, const struct spec_seccomp_rule *u, uint32_t action, int nr,
		    struct error *err)
{
	struct scmp_arg_cmp args[6];
	unsigned seen = 0;
	bool twice = false;
	int r = 0;

	if (u->n_args > ARRAY_LEN(args))
		return error_set(err, ERR_INVALID, "more than 6 arguments");
	for (size_t i = 0; i < u->n_args; i++) {
		const struct spec_seccomp_arg *g = &u->args[i];
		enum scmp_compare op = _SCMP_CMP_MIN;

		for (size_t k = 0; k < ARRAY_LEN(compares); k++)
			if (strcmp(g->op, compares[k].name) == 0)
				op = compares[k].op;
		if (op == _SCMP_CMP_MIN || g->index > 5)
			return error_set(err, ERR_INVALID, "args[%zu] does not compare", i);
		twice |= (seen & 1u << g->index) != 0;
		seen |= 1u << g->index;
		args[i] = (struct scmp_arg_cmp){ g->index, op, g->value, g->value_two };
	}
	/* The library takes an argument once a rule; more of them are alternatives, as runc has it.
	 */
	if (!twice)
		r = seccomp_rule_add_array(ctx, action, nr, (unsigned)u->n_args, args);
	for (size_t i = 0; twice && r == 0 && i < u->n_args; i++)
		r = seccomp_rule_add_array(ctx, action, nr, 1, &args[i]);
	if (r < 0 && r != -EEXIST)
		return error_set(err, ERR_INVALID, "libseccomp refuses the rule: %s",
				 strerrordesc_np(-r));
	return 0;
}

static int add_rules(scmp_filter_ctx ctx, const struct spec_seccomp *s, uint32_t def,
		     bool *ret_notify, struct error *err)
{
	for (size_t i = 0; i < s->n_syscalls; i++) {
		const struct spec_seccomp_rule *u = &s->syscalls[i];
		uint32_t action = 0;
		int r = action_of(u->action, &u->errno_ret, &action, err);

		for (size_t k = 0; r == 0 && action != def && k < u->names.n; k++) {
			int nr = seccomp_syscall_resolve_name(u->names.at[k]);

			/* Names of other architectures or newer kernels are no fault of the
			 * profile. */
			if (nr == __NR_SCMP_ERROR)
				continue;
			if (action == SCMP_ACT_NOTIFY)
				*ret_notify = true;
			r = add_rule(ctx, u, action, nr, err);
		}
		if (r < 0)
			return error_wrap(err, r, "linux.seccomp.syscalls[%zu]", i);
	}
	return 0;
}

static int set_up(scmp_filter_ctx ctx, const struct spec_seccomp *s, uint32_t *ret_flags,
		  struct error *err)
{
	/* Without no_new_privs the loader has CAP_SYS_ADMIN; the library must not set it by itself.
	 */
	if (seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0) < 0 ||
	    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
		return error_set(err, ERR_SYSTEM, "libseccomp refuses its attributes");
	for (size_t i = 0; i < s->architectures.n; i++) {
		const char *name = s->architectures.at[i];
		char lower[32] = "";
		uint32_t arch;
		int r;

		if (cstr_starts(name, "SCMP_ARCH_"))
			name += 10;
		for (size_t k = 0; name[k] && k < sizeof(lower) - 1; k++)
			lower[k] =
			    (char)(name[k] >= 'A' && name[k] <= 'Z' ? name[k] + 32 : name[k]);
		arch = seccomp_arch_resolve_name(lower);
		if (arch == 0)
			return error_set(err, ERR_INVALID,
					 "linux.seccomp.architectures[%zu]: '%.40s'", i, name);
		r = seccomp_arch_add(ctx, arch);
		if (r < 0 && r != -EEXIST)
			return error_set(err, ERR_INVALID, "linux.seccomp.architectures[%zu]: %s",
					 i, strerrordesc_np(-r));
	}
	*ret_flags = 0;
	for (size_t i = 0; i < s->flags.n; i++)
		for (size_t k = 0; k < ARRAY_LEN(flag_words); k++)
			if (strcmp(s->flags.at[i], flag_words[k].name) == 0)
				*ret_flags |= flag_words[k].flag;
	return 0;
}

#if defined(__x86_64__)
#define NATIVE_AUDIT AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_AUDIT AUDIT_ARCH_AARCH64
#else
#define NATIVE_AUDIT 0
#endif

/*
 * A syscall newer than everything the profile names must answer ENOSYS, or
 * libcs that probe for it take the default EPERM for a refusal of the file.
 * Put in front: native architecture, number above the highest one named.
 */
static unsigned front(const struct spec_seccomp *s, uint32_t def, struct sock_filter out[8])
{
	int highest = 0;

	if ((def & SECCOMP_RET_ACTION_FULL) != SCMP_ACT_ERRNO(0) || NATIVE_AUDIT == 0)
		return 0;
	for (size_t i = 0; i < s->n_syscalls; i++)
		for (size_t k = 0; k < s->syscalls[i].names.n; k++) {
			int nr = seccomp_syscall_resolve_name(s->syscalls[i].names.at[k]);

			if (nr > highest && (unsigned)nr < X32_BIT)
				highest = nr;
		}
	if (highest == 0)
		return 0;
	out[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					      offsetof(struct seccomp_data, arch));
	out[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_AUDIT, 0, 4);
	out[2] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					      offsetof(struct seccomp_data, nr));
	out[3] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 2, 0);
	out[4] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)highest, 0, 1);
	out[5] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	return 6;
}

static int export(scmp_filter_ctx ctx, const struct spec_seccomp *s, uint32_t def, struct arena *a,
		  struct seccomp_program *p, struct error *err)
{
	autoclose int fd = memfd_create("bpf", MFD_CLOEXEC);
	struct sock_filter head[8];
	unsigned n_head = front(s, def, head);
	struct stat st;
	int r;

	if (fd < 0)
		return error_sys(err, errno, "memfd");
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0 || fstat(fd, &st) < 0)
		return error_set(err, ERR_SYSTEM, "export the seccomp program: %s",
				 strerrordesc_np(-r));
	p->n = n_head + (uint32_t)((size_t)st.st_size / sizeof(struct sock_filter));
	if (p->n > BPF_MAXINSNS)
		return error_set(err, ERR_INVALID, "linux.seccomp: the program has %u instructions",
				 p->n);
	p->filter = arena_array(a, p->n, sizeof(struct sock_filter));
	memcpy(p->filter, head, n_head * sizeof(head[0]));
	if (pread(fd, (struct sock_filter *)p->filter + n_head, (size_t)st.st_size, 0) !=
	    st.st_size)
		return error_sys(err, errno, "read the seccomp program");
	return 0;
}

static int compile(struct arena *a, const struct spec_seccomp *s, struct seccomp_program *ret,
		   struct error *err)
{
	struct seccomp_program p = { 0 };
	scmp_filter_ctx ctx;
	uint32_t def;
	int r = action_of(s->default_action, &s->default_errno_ret, &def, err);

	if (r < 0)
		return error_wrap(err, r, "linux.seccomp.defaultAction");
	/* Not even execve would pass before the listener has the fd. */
	if (def == SCMP_ACT_NOTIFY)
		return error_set(
		    err, ERR_INVALID,
		    "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default");
	ctx = seccomp_init(def);
	if (ctx == NULL)
		return error_set(err, ERR_INVALID, "linux.seccomp.defaultAction: '%s' refused",
				 s->default_action);
	r = set_up(ctx, s, &p.flags, err);
	if (r == 0)
		r = add_rules(ctx, s, def, &p.notify, err);
	if (r == 0)
		r = export(ctx, s, def, a, &p, err);
	seccomp_release(ctx);
	if (r == 0)
		*ret = p;
	return r;
}

int filter_prepare(struct arena *a, const struct spec_seccomp *s, int root_fd,
		   struct seccomp_program *ret, struct error *err)
{
	auto_(buf) key = BUF_INIT(CACHE_MAX / 2);
	autoclose int dir = FD_NONE;
	struct error ignored;
	char name[32];
	int r;

	if (s == NULL || s->default_action == NULL) {
		*ret = (struct seccomp_program){ 0 };
		return 0;
	}
	r = make_key(s, &key, err);
	if (r < 0)
		return error_wrap(err, r, "linux.seccomp");
	snprintf(name, sizeof(name), "%016llx", (unsigned long long)hash_key(&key));
	if (root_fd >= 0) {
		dir = openat(root_fd, SECCOMP_DIR, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (dir < 0 && errno == ENOENT && mkdirat(root_fd, SECCOMP_DIR, 0700) == 0)
			dir = openat(root_fd, SECCOMP_DIR,
				     O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (dir >= 0 && read_program(a, dir, name, &key, ret))
		return 0;
	r = compile(a, s, ret, err);
	/* A cache that cannot be written costs the next start 9 ms, nothing else. */
	if (r == 0 && dir >= 0 && write_program(dir, name, &key, ret, &ignored) < 0)
		return 0;
	return r;
}

int filter_save(int dirfd, const char *name, const struct seccomp_program *p, struct error *err)
{
	auto_(buf) none = BUF_INIT(0);

	return p->n == 0 ? 0 : write_program(dirfd, name, &none, p, err);
}

int filter_load(struct arena *a, int dirfd, const char *name, struct seccomp_program *ret,
		struct error *err)
{
	auto_(buf) none = BUF_INIT(0);

	*ret = (struct seccomp_program){ 0 };
	if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (!read_program(a, dirfd, name, &none, ret))
		return error_set(err, ERR_CORRUPT, "the container's '%s' is damaged", name);
	return 0;
}

int filter_install(const struct seccomp_program *p, int *ret_listener, struct error *err)
{
	struct sock_fprog prog = { (unsigned short)p->n, p->filter };
	unsigned flags = p->flags | (p->notify ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0u);
	long fd;

	*ret_listener = FD_NONE;
	if (p->n == 0)
		return 0;
	/* With a listener the kernel wants TSYNC to answer by errno or not be there at all. */
	if (p->notify)
		flags &= ~(unsigned)SECCOMP_FILTER_FLAG_TSYNC;
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	if (fd < 0)
		return error_sys(err, errno, "load the seccomp program");
	if (p->notify)
		*ret_listener = (int)fd;
	return 0;
}
