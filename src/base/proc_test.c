#include "base/proc.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "tests/tap.h"

static int run(const char *const *argv, const char *in, struct buf *out, int timeout_ms,
	       int *status, struct error *err)
{
	const struct proc_spec spec = { .path = argv[0], .argv = argv, .cwd_fd = FD_NONE };

	return proc_run(&spec, in, in ? strlen(in) : 0, out, NULL, timeout_ms, status, err);
}

static void test_run(void)
{
	const char *const cat[] = { "cat", NULL }, *const no[] = { "/nonexistent/x", NULL };
	const char *const fds[] = { "sh", "-c", "cd /proc/$$/fd && echo *", NULL };
	const char *const code[] = { "sh", "-c", "exit 7", NULL };
	const char *const killed[] = { "sh", "-c", "kill -9 $$", NULL };
	const char *const slow[] = { "sleep", "60", NULL };
	const char *const much[] = { "sh", "-c", "while :; do echo xxxxxxxxxxxxxxxx; done", NULL };
	autoclose int leak = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, on purpose */
	auto_(buf) out = BUF_INIT(4096);
	struct error err;
	int status = -1;

	is_int(run(cat, "hello", &out, -1, &status, &err), 0, "run cat");
	is_int(status, 0, "exit code 0");
	is_str(out.data, "hello", "input comes back as output");
	out.len = 0;
	is_int(run(fds, NULL, &out, -1, &status, &err), 0, "list the child's fds");
	ok(leak > 2 && strncmp(out.data, "0 1 2", 5) == 0 && out.len <= 8,
	   "the child has the three standard fds only");
	is_int(run(code, NULL, NULL, -1, &status, &err), 0, "run a failing program");
	is_int(status, 7, "its exit code");
	is_int(run(killed, NULL, NULL, -1, &status, &err), 0, "run a killed program");
	is_int(status, 137, "128 + signal");
	is_int(run(no, NULL, NULL, -1, &status, &err), -ERR_NOT_FOUND, "no such program");
	is_str(err.msg, "execute '/nonexistent/x': No such file or directory", "says which");
	is_int(run(slow, NULL, &out, 50, &status, &err), -ERR_UNAVAILABLE, "time-out with output");
	is_int(run(slow, NULL, NULL, 50, &status, &err), -ERR_UNAVAILABLE, "time-out without");
	is_int(run(much, NULL, &out, 5000, &status, &err), -ERR_INVALID, "ceiling of output");
}

static void test_fd_map(void)
{
	const char *const argv[] = { "sh", "-c", "cat <&3; cat <&4", NULL };
	struct proc_fd fds[3];
	const struct proc_spec spec = {
		.path = "sh", .argv = argv, .fds = fds, .n_fds = 3, .cwd_fd = FD_NONE
	};
	int a[2], b[2], o[2], status;
	const int *const mine[] = { &a[0], &b[0], &o[0], &fds[0].parent, &fds[1].parent };
	char got[8] = "";
	struct error err;
	struct proc p;

	ok(pipe2(a, O_CLOEXEC) == 0 && pipe2(b, O_CLOEXEC) == 0 && pipe2(o, O_CLOEXEC) == 0,
	   "pipes");
	ok(write(a[1], "A", 1) == 1 && write(b[1], "B", 1) == 1, "fill them");
	close(a[1]);
	close(b[1]);
	/* Sources and targets overlap, crosswise. */
	dup3(a[0], 54, O_CLOEXEC);
	dup3(b[0], 53, O_CLOEXEC);
	fds[0] = (struct proc_fd){ 53, 4 };
	fds[1] = (struct proc_fd){ 54, 3 };
	fds[2] = (struct proc_fd){ o[1], 1 };
	is_int(proc_spawn(&spec, &p, &err), 0, "spawn");
	close(o[1]);
	is_int(proc_wait(&p, 5000, NULL, &status, &err), 0, "wait");
	ok(read(o[0], got, sizeof(got) - 1) == 2, "read its output");
	is_str(got, "AB", "each fd is where the map says");
	for (size_t i = 0; i < ARRAY_LEN(mine); i++)
		close(*mine[i]);
}

static void test_find(void)
{
	char *path = proc_find("sh"), *same = proc_find("/nonexistent/x");

	ok(path != NULL && path[0] == '/' && access(path, X_OK) == 0, "found in PATH");
	is_str(same, "/nonexistent/x", "a path stays as it is");
	ok(proc_find("no-such-program") == NULL, "what is not in PATH is not found");
	free(path);
	free(same);
}

static void test_cancel(void)
{
	const char *const argv[] = { "sleep", "60", NULL };
	const struct proc_spec spec = { .path = "sleep", .argv = argv, .cwd_fd = FD_NONE };
	struct cancel c;
	struct error err;
	struct proc p;
	int status;

	is_int(cancel_init(&c, &err), 0, "make a cancel");
	is_int(proc_spawn(&spec, &p, &err), 0, "spawn");
	is_int(proc_wait(&p, 10, &c, &status, &err), -ERR_UNAVAILABLE, "time-out");
	is_str(err.msg, "timed out after 10 ms", "says how long");
	cancel_fire(&c);
	cancel_fire(&c);
	is_int(proc_wait(&p, -1, &c, &status, &err), -ERR_CANCELED, "cancel ends the wait");
	is_int(cancel_check(&c, &err), -ERR_CANCELED, "and stays fired");
	is_int(proc_signal(&p, SIGTERM, &err), 0, "signal");
	is_int(proc_wait(&p, 5000, NULL, &status, &err), 0, "wait");
	is_int(status, 143, "ended by SIGTERM");
	cancel_release(&c);
}

int main(void)
{
	test_run();
	test_fd_map();
	test_find();
	test_cancel();
	return tap_done();
}
