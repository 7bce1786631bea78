/*
 * shim/stdio.c: pipes and terminals of a process, and where its bytes go: the
 * log (init only) and every session.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "shim/supervisor.h"

/* More than what a pipe (fs.pipe-max-size) or a terminal holds. */
#define DRAIN_READS_MAX 64

void process_console_name(const struct process *p, char *out, size_t cap)
{
	snprintf(out, cap, "con%s%s", p->id[0] ? "-" : "", p->id);
}

static void process_give(struct supervisor *s, struct process *p, int stream, const char *bytes,
			 size_t len)
{
	struct session *x;

	if (p == s->init)
		logfile_write(s->log, stream, &p->partial[stream - 1], bytes, len, clock_wall_ns());
	for (x = p->sessions; x; x = x->next)
		session_output(s, x, stream == 1 ? STREAM_STDOUT : STREAM_STDERR, bytes, len);
}

/* One read. true when there may be more. */
static bool process_read(struct supervisor *s, struct process *p, struct source *src)
{
	ssize_t n = read(src->fd, s->buf, sizeof(s->buf));

	if (n > 0) {
		process_give(s, p, src == &p->err ? 2 : 1, s->buf, (size_t)n);
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	/* A terminal says EIO when its last user has closed it. Another one may
	 * open it again, so it stays until the process is reaped. */
	if (!p->tty || p->exited || source_watch(s, src, 0) < 0)
		source_close(s, src);
	return false;
}

void process_update_pause(struct supervisor *s, struct process *p)
{
	struct session *x;
	bool full = false;

	for (x = p->sessions; x; x = x->next)
		full = full || session_is_full(x);
	if (full == p->paused)
		return;
	p->paused = full;
	if (p->status != PROCESS_RUNNING)
		return;
	if (p->out.fd >= 0 &&
	    source_watch(s, &p->out, (p->out.events & EPOLLOUT) | (full ? 0 : EPOLLIN)) < 0)
		source_close(s, &p->out);
	if (p->err.fd >= 0 && source_watch(s, &p->err, full ? 0 : EPOLLIN) < 0)
		source_close(s, &p->err);
}

static void process_flush_stdin(struct supervisor *s, struct process *p)
{
	struct session *x;

	if (p->in.fd >= 0 && source_watch(s, &p->in, p->in.events & ~(uint32_t)EPOLLOUT) < 0)
		process_stdin_close(s, p);
	for (x = p->sessions; x; x = x->next)
		if (!x->dead && (x->in_len > 0 || x->stdin_eof))
			session_push_stdin(s, x);
}

static void out_ready(struct supervisor *s, struct source *src, uint32_t events)
{
	struct process *p = (struct process *)((char *)src - offsetof(struct process, out));

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		process_read(s, p, src);
}

static void err_ready(struct supervisor *s, struct source *src, uint32_t events)
{
	struct process *p = (struct process *)((char *)src - offsetof(struct process, err));

	(void)events;
	process_read(s, p, src);
}

static void in_ready(struct supervisor *s, struct source *src, uint32_t events)
{
	struct process *p = (struct process *)((char *)src - offsetof(struct process, in));

	if (events & EPOLLERR) { /* nobody reads it any more */
		process_stdin_close(s, p);
		return;
	}
	if (events & EPOLLOUT)
		process_flush_stdin(s, p);
}

void process_stdin_close(struct supervisor *s, struct process *p)
{
	source_close(s, &p->in);
	p->open_stdin = false;
}

static void console_apply_size(struct process *p)
{
	struct winsize ws = { .ws_row = p->rows, .ws_col = p->cols };

	if (p->out.fd >= 0 && p->rows && p->cols)
		(void)ioctl(p->out.fd, TIOCSWINSZ, &ws);
}

void process_resize(struct process *p, uint16_t rows, uint16_t cols)
{
	p->rows = rows;
	p->cols = cols;
	if (p->tty)
		console_apply_size(p);
}

/* The runtime connected to our console socket: take the terminal. */
static void console_ready(struct supervisor *s, struct source *src, uint32_t events)
{
	struct process *p = (struct process *)((char *)src - offsetof(struct process, console));
	autoclose int conn = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC);
	char name[512];
	size_t len, n = 0;
	int fd = FD_NONE;

	(void)events;
	if (conn < 0)
		return;
	if (fdpass_recv(conn, name, sizeof(name), &len, &fd, 1, &n, NULL) < 0 || n != 1)
		return;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	p->out.fd = fd;
	/* A second descriptor, so that input and output are watched apart. */
	p->in.fd = p->open_stdin ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : FD_NONE;
	console_apply_size(p);
	source_close(s, &p->console);
	process_console_name(p, name, sizeof(name));
	unlinkat(s->dir_fd, name, 0);
	if (p->status == PROCESS_RUNNING)
		process_begin_output(s, p);
}

static int console_listen(struct supervisor *s, struct process *p, struct error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	p->console.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->console.fd < 0)
		return error_sys(err, errno, "console socket");
	/* Relative: our working directory is the task's, whose path may be long. */
	process_console_name(p, sa.sun_path, sizeof(sa.sun_path));
	unlinkat(s->dir_fd, sa.sun_path, 0);
	if (bind(p->console.fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(p->console.fd, 1) < 0)
		return error_sys(err, errno, "console socket");
	p->console.ready = console_ready;
	return source_watch(s, &p->console, EPOLLIN);
}

static int pipe_pair(int *ret_ours, int *ret_theirs, bool we_read, struct error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_sys(err, errno, "pipe");
	*ret_ours = fds[we_read ? 0 : 1];
	*ret_theirs = fds[we_read ? 1 : 0];
	fcntl(*ret_ours, F_SETFL, O_NONBLOCK);
	return 0;
}

int process_open_stdio(struct supervisor *s, struct process *p, struct error *err)
{
	int r;

	p->in.ready = in_ready;
	p->out.ready = out_ready;
	p->err.ready = err_ready;
	if (p->tty)
		return console_listen(s, p, err);
	if (p->open_stdin) {
		r = pipe_pair(&p->in.fd, &p->child_fd[0], false, err);
		if (r < 0)
			return r;
	}
	r = pipe_pair(&p->out.fd, &p->child_fd[1], true, err);
	if (r < 0)
		return r;
	return pipe_pair(&p->err.fd, &p->child_fd[2], true, err);
}

void process_close_child_fds(struct process *p)
{
	int i;

	for (i = 0; i < 3; i++) {
		if (p->child_fd[i] >= 0)
			close(p->child_fd[i]);
		p->child_fd[i] = FD_NONE;
	}
}

void process_begin_output(struct supervisor *s, struct process *p)
{
	if (p->out.fd >= 0 && source_watch(s, &p->out, p->paused ? 0 : EPOLLIN) < 0)
		source_close(s, &p->out);
	if (p->err.fd >= 0 && source_watch(s, &p->err, p->paused ? 0 : EPOLLIN) < 0)
		source_close(s, &p->err);
	process_flush_stdin(s, p);
}

/* Without a PID namespace of its own, what the process left behind may write on and on. */
static void drain(struct supervisor *s, struct process *p, struct source *src)
{
	int left = DRAIN_READS_MAX;

	while (src->fd >= 0 && process_read(s, p, src) && --left > 0)
		continue;
}

void process_drain_output(struct supervisor *s, struct process *p)
{
	int64_t now = clock_wall_ns();

	drain(s, p, &p->out);
	drain(s, p, &p->err);
	if (p == s->init) {
		logfile_flush(s->log, 1, &p->partial[0], now);
		logfile_flush(s->log, 2, &p->partial[1], now);
	}
	source_close(s, &p->in);
	source_close(s, &p->out);
	source_close(s, &p->err);
}

void process_throw_output_away(struct supervisor *s, struct process *p)
{
	source_close(s, &p->in);
	source_close(s, &p->out);
	source_close(s, &p->err);
	source_close(s, &p->console);
}
