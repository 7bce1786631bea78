#include "build/confine.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "tests/tap.h"

enum { ESCAPED = 77 };

static void leave(int code)
{
	/* Not _exit: under sanitizers it does more than the filter allows. */
	syscall(SYS_exit_group, code);
}

static void open_file(void)
{
	syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
}

static void open_socket(void)
{
	syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
}

static void start_process(void)
{
	syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void execute(void)
{
	syscall(SYS_execve, "/bin/true", NULL, NULL);
}

static void signal_parent(void)
{
	syscall(SYS_kill, getppid(), 0);
}

static void signal_thread_of_parent(void)
{
	syscall(SYS_tgkill, 1, 1, 0);
}

static void become_code(void)
{
	syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void turn_to_code(void)
{
	static char page[8192] __attribute__((aligned(4096)));

	syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC);
}

static void abort_itself(void)
{
	abort();
}

static void work_for_ever(void)
{
	for (volatile unsigned n = 0;; n++)
		;
}

static void take_memory(void)
{
	leave(malloc(64U << 20) == NULL ? 3 : ESCAPED);
}

static void work_a_little(void)
{
	char *p = malloc(1U << 20);

	memset(p, 1, 1U << 20);
	leave(p[77]);
}

static const struct confine_limits limits = { 48U << 20, 1 };

/* How a confined process ends that does this: its code, or minus a signal. */
static int ending(void (*act)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (confine_self(&limits, SIGKILL, NULL) < 0)
			leave(255);
		act();
		leave(ESCAPED);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void test_endings(void)
{
	static const struct {
		const char *name;
		void (*act)(void);
		int want;
		bool without_filter; /* holds under a sanitizer too */
	} cases[] = {
		{ "ordinary work goes on", work_a_little, 1, false },
		{ "a file is not opened", open_file, -SIGSYS, false },
		{ "no socket is made", open_socket, -SIGSYS, false },
		{ "no process is started", start_process, -SIGSYS, false },
		{ "no program is executed", execute, -SIGSYS, false },
		{ "nobody is signalled", signal_parent, -SIGSYS, false },
		{ "nor is a thread of another", signal_thread_of_parent, -SIGSYS, false },
		{ "no memory is mapped to be executed", become_code, -SIGSYS, false },
		{ "nor turned into code", turn_to_code, -SIGSYS, false },
		{ "an assertion ends as one", abort_itself, -SIGABRT, true },
		{ "processor time has an end", work_for_ever, -SIGXCPU, true },
		{ "memory has an end", take_memory, 3, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (CONFINE_SANITIZED && !cases[i].without_filter)
			skip_point(cases[i].name, "a sanitizer needs more than the filter allows");
		else
			is_int(ending(cases[i].act), cases[i].want, cases[i].name);
	}
}

static bool has_line(const struct buf *status, const char *name, const char *value)
{
	struct str rest = { status->data, status->len }, line;

	while (rest.len > 0 && str_split(&rest, '\n', &line)) {
		struct str key;

		if (str_split(&line, ':', &key) && str_eqs(key, name))
			return str_eqs(str_trim(line), value);
	}
	return false;
}

/* What the kernel says of one that waits for a byte. */
static void test_status(void)
{
	static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
	int hold[2], ready[2], status;
	auto_(buf) text = BUF_INIT(65536);
	char path[64], byte;
	pid_t pid;

	if (pipe2(hold, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0) {
		close(hold[1]);
		if (confine_self(&limits, SIGKILL, NULL) < 0 || write(ready[1], "x", 1) != 1)
			leave(255);
		leave(read(hold[0], &byte, 1) < 0 ? 255 : 0);
	}
	close(hold[0]);
	close(ready[1]);
	ok(read(ready[0], &byte, 1) == 1, "a confined process goes on");
	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	ok(fs_read_file(path, &text, NULL) == 0, "its status is read");
	ok(has_line(&text, "NoNewPrivs", "1"), "it gets no new privileges");
	if (!CONFINE_SANITIZED)
		ok(has_line(&text, "Seccomp", "2"), "its system calls are filtered");
	if (geteuid() == 0) {
		ok(has_line(&text, "Uid", "65534\t65534\t65534\t65534"), "it is nobody");
		ok(has_line(&text, "Gid", "65534\t65534\t65534\t65534"), "its group too");
		ok(has_line(&text, "Groups", ""), "it has no other groups");
		for (size_t i = 0; i < ARRAY_LEN(sets); i++)
			ok(has_line(&text, sets[i], "0000000000000000"), sets[i]);
	}
	close(hold[1]);
	close(ready[0]);
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "and it ends when its parent lets go");
}

int main(void)
{
	test_status();
	test_endings();
	return tap_done();
}
