/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/autostart.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"

enum { START_TRIES = 400, START_PAUSE_MS = 25, LOG_MAX = 64 << 20 };

int unix_connect(const char *path, int *ret_fd)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static bool socket_answers(const char *path)
{
	autoclose int fd = FD_NONE;
	int r = unix_connect(path, &fd);

	return r == 0 || r == -EACCES || r == -EAGAIN;
}

const char *sibling_path(struct cli *cli, const char *name)
{
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *path;

	if (n <= 0)
		return name;
	self[n] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return name;
	*slash = 0;
	path = arena_format(&cli->arena, "%s/%s", self, name);
	return access(path, X_OK) == 0 ? path : name;
}

static const char *log_path(void)
{
	if (fs_mkdir_all("/var/log/proa", 0755, NULL) < 0)
		return "/dev/null";
	return "/var/log/proa/proad.log";
}

/* The last line of the log: why the engine ended. */
static const char *log_last(struct cli *cli, const char *log)
{
	auto_(buf) text = BUF_INIT(LOG_MAX);
	struct str rest, line, last = { "", 0 };

	if (fs_read_file(log, &text, NULL) < 0 || !text.data)
		return "no log";
	rest = (struct str){ text.data, text.len };
	while (str_split(&rest, '\n', &line))
		if (line.len > 0)
			last = line;
	return arena_strndup(&cli->arena, last.at, last.len);
}

static int engine_spawn(struct cli *cli, const char *host, struct proc *ret, struct error *err)
{
	const char *argv[] = { "proad", "--idle-exit", "300", "-H", host, NULL };
	const char *log = log_path();
	autoclose int log_fd = FD_NONE;
	struct proc_spec spec = { .argv = argv, .cwd_fd = FD_NONE, .new_session = true };
	struct proc_fd fds[2];
	int r;

	r = fs_open(log, O_WRONLY | O_CREAT | O_APPEND, 0640, &log_fd, err);
	if (r < 0)
		return r;
	spec.path = sibling_path(cli, "proad");
	fds[0] = (struct proc_fd){ log_fd, 1 };
	fds[1] = (struct proc_fd){ log_fd, 2 };
	spec.fds = fds;
	spec.n_fds = 2;
	r = proc_spawn(&spec, ret, err);
	if (r < 0)
		return r;
	fprintf(stderr, "%s: started the engine (proad), log: %s\n", cli->program, log);
	return 0;
}

int autostart_engine(struct cli *cli, const char *host, struct error *err)
{
	const char *path = host + strlen("unix://"), *slash = strrchr(path, '/'), *dir;
	autoclose int lock = FD_NONE;
	struct proc engine = { .pidfd = FD_NONE };
	struct error why = { 0 };
	int status = 0;

	(void)err;
	if (socket_answers(path) || !slash)
		return 0;
	if (geteuid() != 0) {
		fprintf(stderr, "%s: no engine runs, and only root can start one\n", cli->program);
		return 0;
	}
	dir = arena_strndup(&cli->arena, path, (size_t)(slash - path));
	if (fs_mkdir_all(dir, 0755, NULL) < 0)
		return 0;
	lock = open(arena_format(&cli->arena, "%s/start.lock", dir), O_RDWR | O_CREAT | O_CLOEXEC,
		    0600);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return 0;
	if (socket_answers(path))
		return 0;
	if (engine_spawn(cli, host, &engine, &why) < 0) {
		fprintf(stderr, "%s: cannot start the engine: %s\n", cli->program, why.msg);
		return 0;
	}
	for (int i = 0; i < START_TRIES && !socket_answers(path); i++) {
		if (proc_wait(&engine, START_PAUSE_MS, NULL, &status, NULL) < 0)
			continue;
		fprintf(stderr, "%s: the engine ended at once: %s\n", cli->program,
			log_last(cli, log_path()));
		return 0;
	}
	proc_close(&engine);
	return 0;
}
