#include "runtime/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fs.h"
#include "base/macros.h"
#include "tests/tap.h"

/* errno of a call in a child under the program; 0 when it succeeds. */
static int under(const struct seccomp_program *p, long nr, long a0)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int listener;

		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (filter_install(p, &listener, NULL) < 0)
			_exit(255);
		/* Not _exit: under sanitizers it does more than the filter allows. */
		syscall(SYS_exit_group, syscall(nr, a0, 0, 0, 0, 0, 0) < 0 ? errno : 0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int main(void)
{
	static const char *const allowed[] = { "exit_group",    "write",       "getpid",
					       "nosuchsyscall", "personality", "openat2" };
	static const char *const persona[] = { "personality" };
	static const char *const killed[] = { "getppid" };
	static const struct spec_seccomp_arg args[] = { { 0, 0, 0, "SCMP_CMP_EQ" },
							{ 0, 8, 0, "SCMP_CMP_EQ" } };
	static const struct spec_seccomp_rule rules[] = {
		{ { allowed, 4 }, "SCMP_ACT_ALLOW", { false, 0 }, NULL, 0 },
		{ { persona, 1 }, "SCMP_ACT_ALLOW", { false, 0 }, args, 2 },
		{ { killed, 1 }, "SCMP_ACT_KILL_PROCESS", { false, 0 }, NULL, 0 },
	};
	struct spec_seccomp s = { .default_action = "SCMP_ACT_ERRNO",
				  .syscalls = rules,
				  .n_syscalls = ARRAY_LEN(rules),
				  .default_errno_ret = { true, EACCES } };
	auto_(arena) a = ARENA_INIT;
	struct seccomp_program p, again;
	char path[] = "/tmp/proa-filter-XXXXXX";
	struct error err;
	autoclose int dir = FD_NONE;

	if (mkdtemp(path) == NULL || (dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return 1;
	is_int(filter_prepare(&a, NULL, FD_NONE, &p, &err), 0, "no profile");
	is_int(p.n, 0, "is no program");
	is_int(filter_prepare(&a, &s, dir, &p, &err), 0, "a profile compiles");
	is_int(under(&p, SYS_getpid, 0), 0, "what is allowed works");
	is_int(under(&p, SYS_getuid, 0), EACCES, "what is not gives the default's errno");
	is_int(under(&p, SYS_personality, 8), 0, "one argument twice means either");
	is_int(under(&p, SYS_personality, 4), EACCES, "and nothing else");
	is_int(under(&p, SYS_getppid, 0), -31, "killed by SIGSYS");
	is_int(under(&p, 460, 0), ENOSYS, "a call newer than the profile is unknown, not refused");
	is_int(filter_prepare(&a, &s, dir, &again, &err), 0, "a second time");
	ok(again.n == p.n && memcmp(again.filter, p.filter, p.n * 8) == 0,
	   "the cache gives the same");
	is_int(filter_save(dir, "x", &p, &err), 0, "saved");
	is_int(filter_load(&a, dir, "x", &again, &err), 0, "loaded");
	ok(again.n == p.n && memcmp(again.filter, p.filter, p.n * 8) == 0, "the same");
	is_int(filter_load(&a, dir, "absent", &again, &err), 0, "none saved");
	is_int(again.n, 0, "none loaded");
	is_int(fs_replace(dir, "x", 0600, "PBPF0001junk", 12, &err), 0, "damaged");
	is_int(filter_load(&a, dir, "x", &again, &err), -ERR_CORRUPT, "is refused");
	s.default_action = "SCMP_ACT_NOSUCH";
	is_int(filter_prepare(&a, &s, dir, &p, &err), -ERR_INVALID, "an unknown action is refused");
	{
		autoclose int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		is_int(fs_remove_tree(tmp, path + 5, &err), 0, "cleaned");
	}
	auto_close_(&dir);
	dir = FD_NONE;
	return tap_done();
}
