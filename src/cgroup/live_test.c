/* The v2 calls against the running kernel: device program, freezer, kill. Root and a mounted
 * cgroup2 are needed; without them nothing is tested. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/macros.h"
#include "cgroup/cgroup.h"
#include "tests/tap.h"

#define MOUNT "/sys/fs/cgroup/unified"

static int can_open(const char *path, int flags)
{
	autoclose int fd = open(path, flags | O_CLOEXEC);

	return fd >= 0;
}

/* Bits of what a process in the group may open. */
static int opens(const struct cgroup *cg)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (cgroup_add(cg, getpid(), NULL) < 0)
			_exit(128);
		_exit(can_open("/dev/null", O_RDWR) | can_open("/dev/zero", O_RDONLY) << 1 |
		      can_open("/dev/zero", O_RDWR) << 2 | can_open("/dev/full", O_RDONLY) << 3);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void test_freeze_and_kill(const struct cgroup *cg)
{
	struct error err;
	bool frozen = false;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (cgroup_add(cg, getpid(), NULL) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	for (int i = 0; i < 100; i++) {
		auto_(arena) a = ARENA_INIT;
		pid_t *pids;
		size_t n = 0;

		if (cgroup_pids(cg, &a, &pids, &n, &err) == 0 && n == 1)
			break;
		usleep(10000);
	}
	is_int(cgroup_freeze(cg, true, &err), 0, "freeze");
	is_int(cgroup_frozen(cg, &frozen, &err), 0, "ask");
	ok(frozen, "it is frozen");
	is_int(cgroup_kill(cg, SIGKILL, &err), 0, "kill");
	waitpid(pid, &status, 0);
	is_int(WTERMSIG(status), SIGKILL, "a frozen process dies too");
}

int main(void)
{
	static const struct cgroup_device_rule rules[] = { { false, 'a', -1, -1, "rwm" },
							   { true, 'c', 1, 3, "rwm" },
							   { true, 'c', 1, 5, "r" } };
	struct cgroup cg = CGROUP_INIT;
	struct cgroup_limits l;
	struct error err;
	char path[80];

	snprintf(path, sizeof(path), MOUNT "/proa-live-test-%d", (int)getpid());
	if (geteuid() != 0 || access(MOUNT "/cgroup.procs", W_OK) < 0 || mkdir(path, 0755) < 0) {
		ok(1, "no writable cgroup2 beside v1 here # SKIP");
		return tap_done();
	}
	cg.at[cg.n++] = (struct cgroup_dir){ 2, 0, open(path, O_PATH | O_DIRECTORY | O_CLOEXEC),
					     xstrdup(path) };
	is_int(opens(&cg), 15, "without a program all devices open");
	cgroup_limits_init(&l);
	l.devices = rules;
	l.n_devices = ARRAY_LEN(rules);
	l.set_devices = true;
	is_int(cgroup_limit(&cg, &l, &err), 0, "the program is loaded and attached");
	is_int(opens(&cg), 3, "null fully, zero for reading, full not");
	l.n_devices = 2;
	is_int(cgroup_limit(&cg, &l, &err), 0, "another takes its place");
	is_int(opens(&cg), 1, "only null is left");
	test_freeze_and_kill(&cg);
	is_int(cgroup_remove(&cg, &err), 0, "removed");
	cgroup_release(&cg);
	return tap_done();
}
