/*
 * main/runtime_start.c: the first instructions of proa-runtime on x86-64.
 *
 * runtime_protect_self executes the program a second time. libc's own start
 * costs 0.5 ms in a virtual machine (each CPUID leaves it), so the second
 * execution is begun before libc's start: the same steps with bare system
 * calls. Whatever fails here is done again, with words, by the function
 * itself; this file decides nothing. No libc call may stand here: its
 * functions are not yet relocated.
 */
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define BARE __attribute__((no_stack_protector, used))

void proa_protect_early(long *stack);

BARE static inline long call(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

BARE static inline int same(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* The verbs whose process enters a container; main checks the same list again. */
BARE static inline int enters(char **argv)
{
	for (; *argv != 0; argv++)
		if (same(*argv, "create") || same(*argv, "run") || same(*argv, "exec") ||
		    same(*argv, "shim"))
			return 1;
	return 0;
}

BARE void proa_protect_early(long *stack)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	char **argv = (char **)(stack + 1), **env = argv + stack[0] + 1;
	struct statfs fs;
	long self, tree;

	if (stack[0] < 2 || same(argv[1], "init") || !enters(argv + 1))
		return;
	self = call(SYS_open, (long)"/proc/self/exe", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	if (self < 0)
		return;
	/* A memfd has seals, a clone of an earlier round is read-only: enough was done. */
	if (call(SYS_fcntl, self, F_GET_SEALS, 0, 0, 0) < 0 &&
	    call(SYS_fstatfs, self, (long)&fs, 0, 0, 0) == 0 && !(fs.f_flags & 1)) {
		tree = call(SYS_open_tree, self, (long)"",
			    AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, 0, 0);
		if (tree >= 0 && call(SYS_mount_setattr, tree, (long)"", AT_EMPTY_PATH, (long)&attr,
				      sizeof(attr)) == 0)
			call(SYS_execveat, tree, (long)"", (long)argv, (long)env, AT_EMPTY_PATH);
		if (tree >= 0)
			call(SYS_close, tree, 0, 0, 0, 0);
	}
	call(SYS_close, self, 0, 0, 0, 0);
}

__asm__(".text\n"
	".globl proa_start\n"
	".type proa_start, @function\n"
	"proa_start:\n"
	"	mov %rsp, %rdi\n"
	"	mov %rsp, %rbx\n"
	"	mov %rdx, %r12\n"
	"	and $-16, %rsp\n"
	"	call proa_protect_early\n"
	"	mov %rbx, %rsp\n"
	"	mov %r12, %rdx\n"
	"	xor %ebp, %ebp\n"
	"	jmp _start\n");
