#include "build/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY    65534
#define CAP_LIMIT 64

#if defined(__x86_64__)
#define NATIVE_AUDIT AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_AUDIT AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define NATIVE_AUDIT AUDIT_ARCH_RISCV64
#else
#error "confine.c: name this machine's AUDIT_ARCH"
#endif

static int set_limit(int what, uint64_t value, uint64_t grace, const char *name, struct error *err)
{
	struct rlimit l = { value, value + grace };

	/* A lower one that we were given stays. */
	return setrlimit(what, &l) < 0 && errno != EPERM ? error_sys(err, errno, "limit %s", name)
							 : 0;
}

static int set_limits(const struct confine_limits *l, struct error *err)
{
	/* At the hard limit of time it would be SIGKILL, which says nothing. */
	int r = set_limit(RLIMIT_CPU, l->cpu_seconds, 1, "processor time", err);

	if (r == 0)
		r = set_limit(RLIMIT_CORE, 0, 0, "core files", err);
	if (r == 0)
		r = set_limit(RLIMIT_NOFILE, 1, 0, "descriptors", err);
	if (r == 0 && !CONFINE_SANITIZED)
		r = set_limit(RLIMIT_AS, l->memory_bytes, 0, "memory", err);
	return r;
}

static int drop_identity(struct error *err)
{
	if (geteuid() != 0)
		return 0;
	/* A user namespace without that id: what follows has to do. */
	if (setresgid(NOBODY, NOBODY, NOBODY) < 0)
		return errno == EINVAL ? 0 : error_sys(err, errno, "set the group");
	if (setgroups(0, NULL) < 0)
		return error_sys(err, errno, "drop groups");
	if (setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return error_sys(err, errno, "set the user");
	return 0;
}

static int drop_bounding(struct error *err)
{
	for (int cap = 0; cap < CAP_LIMIT; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 1)
			continue;
		/* Without root there is nothing to gain from it either. */
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
			return error_sys(err, errno, "drop capability %d", cap);
	}
	return 0;
}

static int drop_capabilities(struct error *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return error_sys(err, errno, "drop ambient capabilities");
	if (syscall(SYS_capset, &head, none) < 0)
		return error_sys(err, errno, "drop capabilities");
	return 0;
}

#define LOAD(what) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, what))
#define LOAD_ARG(n) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
		 offsetof(struct seccomp_data, args) + (n) * sizeof(uint64_t))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_##what)
/* Allow one system call, whatever its arguments. */
#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 1), RETURN(ALLOW)
/* ... whose third argument, a protection, lets nothing be executed. */
#define ALLOW_DATA(nr) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 4), LOAD_ARG(2), \
	    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1), RETURN(KILL_PROCESS), \
	    RETURN(ALLOW)
/* ... whose first argument is this process: abort() may signal itself. */
#define ALLOW_SELF(nr, pid) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 4), LOAD_ARG(0), \
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, pid, 1, 0), RETURN(KILL_PROCESS), RETURN(ALLOW)

static int filter_calls(struct error *err)
{
	/* The lower half of arguments is looked at: first in memory on these machines. */
	struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_AUDIT, 1, 0),
		RETURN(KILL_PROCESS),
		LOAD(nr),
		ALLOW(read),
		ALLOW(write),
		ALLOW(exit_group),
		ALLOW(exit),
		ALLOW(brk),
		ALLOW(munmap),
		ALLOW(mremap),
		ALLOW(madvise),
		ALLOW(futex),
		ALLOW(getrandom),
		ALLOW(clock_gettime),
		ALLOW(uname),
		ALLOW(rt_sigreturn),
		ALLOW(restart_syscall),
		ALLOW(rt_sigprocmask),
		ALLOW(rt_sigaction),
		ALLOW(getpid),
		ALLOW(gettid),
		ALLOW_SELF(tgkill, (uint32_t)getpid()),
		ALLOW_DATA(mmap),
		ALLOW_DATA(mprotect),
		RETURN(KILL_PROCESS),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (CONFINE_SANITIZED)
		return 0;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
		return error_sys(err, errno, "filter system calls");
	return 0;
}

int confine_self(const struct confine_limits *limits, int death_signal, struct error *err)
{
	int r = set_limits(limits, err);

	if (r == 0)
		r = drop_bounding(err);
	if (r == 0)
		r = drop_identity(err);
	if (r == 0)
		r = drop_capabilities(err);
	if (r < 0)
		return r;
	/* The kernel forgets both when the user changes. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_sys(err, errno, "be nobody's to look into");
	if (death_signal != 0 && prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) < 0)
		return error_sys(err, errno, "set the death signal");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_sys(err, errno, "give up new privileges");
	return filter_calls(err);
}
