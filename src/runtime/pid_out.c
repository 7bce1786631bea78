#include "runtime/pid_out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fdpass.h"
#include "base/str.h"
#include "runtime/console.h"

int pid_file_write(const char *path, pid_t pid, struct error *err)
{
	autofree char *temp = NULL;
	const char *slash;
	autoclose int fd = FD_NONE;
	char text[16];
	int n;

	if (cstr_is_empty(path))
		return 0;
	slash = strrchr(path, '/');
	temp = slash ? cstr_format("%.*s/.%s", (int)(slash - path), path, slash + 1)
		     : cstr_format(".%s", path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	n = snprintf(text, sizeof(text), "%d", (int)pid);
	if (fd < 0 || write(fd, text, (size_t)n) != n || rename(temp, path) < 0)
		return error_sys(err, errno, "write the pid file '%s'", path);
	return 0;
}

int pidfd_connect(const char *path, int *ret_fd, struct error *err)
{
	return cstr_is_empty(path) ? 0 : console_connect(path, "pidfd socket", ret_fd, err);
}

int pidfd_send(int socket, pid_t pid, const char *word, struct error *err)
{
	autoclose int fd = FD_NONE;
	int r;

	if (socket < 0)
		return 0;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return error_sys(err, errno, "open process %d", (int)pid);
	r = fdpass_send(socket, word, strlen(word), &fd, 1, err);
	return r < 0 ? error_wrap(err, r, "pidfd socket") : 0;
}
