#include "runtime/console.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fdpass.h"
#include "base/fs.h"

int console_connect(const char *path, const char *what, int *ret_fd, struct error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	autoclose int node = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0 || node < 0)
		return error_sys(err, errno, "failed to connect with %s '%s'", what, path);
	/* Through the fd: the path may be longer than an address holds. */
	fs_proc_fd_path(node, addr.sun_path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return error_sys(err, errno, "failed to connect with %s '%s'", what, path);
	*ret_fd = steal_fd(&fd);
	return 0;
}

int console_open(int pts_fd, const struct spec_console_size *size, int *ret_master, int *ret_slave,
		 struct error *err)
{
	autoclose int master = openat(pts_fd, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	autoclose int slave = FD_NONE;
	struct statfs sfs;
	struct stat st;
	int unlock = 0;

	if (master < 0)
		return error_sys(err, errno, "open the container's ptmx");
	if (fstatfs(master, &sfs) < 0 || sfs.f_type != DEVPTS_SUPER_MAGIC ||
	    fstat(master, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
		return error_set(err, ERR_INVALID, "the container's ptmx is not that of a devpts");
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return error_sys(err, errno, "unlock the terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return error_sys(err, errno, "open the terminal");
	if (size != NULL && (size->width != 0 || size->height != 0)) {
		struct winsize ws = { .ws_row = (unsigned short)size->height,
				      .ws_col = (unsigned short)size->width };

		if (ioctl(slave, TIOCSWINSZ, &ws) < 0)
			return error_sys(err, errno, "process.consoleSize");
	}
	*ret_master = steal_fd(&master);
	*ret_slave = steal_fd(&slave);
	return 0;
}

void console_plain_lines(int slave)
{
	struct termios t;

	if (tcgetattr(slave, &t) < 0)
		return;
	t.c_oflag &= ~(tcflag_t)ONLCR;
	(void)tcsetattr(slave, TCSANOW, &t);
}

int console_take(int socket, int master, int slave, uid_t uid, struct error *err)
{
	static const char name[] = "/dev/pts/ptmx";
	int r = fdpass_send(socket, name, sizeof(name) - 1, &master, 1, err);

	if (r < 0)
		return error_wrap(err, r, "send the console");
	if (fchown(slave, uid, (gid_t)-1) < 0)
		return error_sys(err, errno, "give the terminal to user %u", uid);
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return error_sys(err, errno, "make the terminal the controlling one");
	for (int i = 0; i < 3; i++)
		if (dup3(slave, i, 0) < 0)
			return error_sys(err, errno, "attach the terminal");
	return 0;
}

struct pump {
	int master, signals;
	pid_t pid;
	int status;
	bool ended, raw, input_open;
	struct termios saved;
};

static void resize(const struct pump *p)
{
	struct winsize ws;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0 && ioctl(p->master, TIOCSWINSZ, &ws) < 0)
		return;
}

static void raw_mode(struct pump *p)
{
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &p->saved) < 0)
		return;
	t = p->saved;
	cfmakeraw(&t);
	/* It makes CR LF itself. */
	t.c_oflag |= OPOST;
	p->raw = tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
	resize(p);
}

static void on_signal(struct pump *p)
{
	struct signalfd_siginfo info;
	int status;

	while (read(p->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGWINCH)
			resize(p);
		else if (info.ssi_signo != SIGCHLD)
			kill(p->pid, (int)info.ssi_signo);
	}
	while (waitpid(-1, &status, WNOHANG) == p->pid) {
		p->status = status;
		p->ended = true;
	}
}

/* false at the end of `from`. */
static bool copy_some(int from, int to, struct error *err, int *ret_status)
{
	char chunk[4096];
	ssize_t n = read(from, chunk, sizeof(chunk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	*ret_status = fs_write_all(to, chunk, (size_t)n, err);
	return *ret_status == 0;
}

static int pump_loop(struct pump *p, struct error *err)
{
	int r = 0;

	for (;;) {
		struct pollfd fds[3] = {
			{ .fd = p->master, .events = POLLIN },
			{ .fd = p->signals, .events = POLLIN },
			{ .fd = p->input_open ? STDIN_FILENO : -1, .events = POLLIN },
		};

		/* After its end only what the terminal still holds is left to copy. */
		if (poll(fds, 3, p->ended ? 0 : -1) < 0 && errno != EINTR)
			return error_sys(err, errno, "poll");
		if (fds[1].revents)
			on_signal(p);
		if (fds[0].revents) {
			if (!copy_some(p->master, STDOUT_FILENO, err, &r)) {
				if (p->ended || r < 0)
					return r;
				close(p->master);
				p->master = FD_NONE;
			}
		} else if (p->ended) {
			return 0;
		}
		if (fds[2].revents && p->master >= 0 &&
		    !copy_some(STDIN_FILENO, p->master, err, &r))
			p->input_open = false;
	}
}

int console_pump(int master, pid_t pid, int *ret_status, struct error *err)
{
	struct pump p = { .master = master, .pid = pid, .input_open = true };
	sigset_t set;
	int r;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p.signals < 0)
		return error_sys(err, errno, "signalfd");
	raw_mode(&p);
	/* It may have ended before its signal was blocked. */
	on_signal(&p);
	r = pump_loop(&p, err);
	if (p.raw && tcsetattr(STDIN_FILENO, TCSANOW, &p.saved) < 0 && r == 0)
		r = error_sys(err, errno, "restore the terminal");
	close(p.signals);
	if (p.master >= 0)
		close(p.master);
	if (r == 0)
		*ret_status = p.status;
	return r;
}
