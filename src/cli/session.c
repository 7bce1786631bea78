/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/config.h"

enum { CHUNK = 32 << 10, RESIZE_TRIES = 10, RESIZE_PAUSE_MS = 20, INTERRUPTS_MAX = 3 };

static struct termios saved_terminal;

static int key_parse(const char *word, unsigned char *ret)
{
	if (strlen(word) == 1) {
		*ret = (unsigned char)word[0];
		return 0;
	}
	if (!cstr_starts(word, "ctrl-") || strlen(word) != 6)
		return -ERR_INVALID;
	if (word[5] >= 'a' && word[5] <= 'z') {
		*ret = (unsigned char)(word[5] - 'a' + 1);
		return 0;
	}
	switch (word[5]) {
	case '@':
		*ret = 0;
		return 0;
	case '[':
		*ret = 27;
		return 0;
	case '\\':
		*ret = 28;
		return 0;
	case ']':
		*ret = 29;
		return 0;
	case '^':
		*ret = 30;
		return 0;
	case '_':
		*ret = 31;
		return 0;
	default:
		return -ERR_INVALID;
	}
}

int session_keys(struct session *s, struct cli *cli, const char *flag, struct error *err)
{
	const char *text = flag && *flag ? flag : config_str(cli, "detachKeys");
	struct str rest, field;

	if (!text)
		text = "ctrl-p,ctrl-q";
	rest = str_of(text);
	s->n_keys = 0;
	while (str_split(&rest, ',', &field)) {
		const char *word = arena_strndup(&cli->arena, field.at, field.len);

		if (s->n_keys == sizeof(s->keys) || key_parse(word, &s->keys[s->n_keys]) < 0)
			return error_set(err, ERR_INVALID,
					 "invalid detach keys (%s): Unknown character: '%s'", text,
					 word);
		s->n_keys++;
	}
	return 0;
}

int session_check_tty(bool in, bool tty, struct error *err)
{
	if (in && tty && !isatty(STDIN_FILENO))
		return error_set(err, ERR_INVALID, "the input device is not a TTY");
	return 0;
}

static void signals_of(const struct session *s, sigset_t *set)
{
	static const int kept[] = { SIGCHLD, SIGPIPE, SIGURG,  SIGSEGV, SIGBUS,
				    SIGFPE,  SIGILL,  SIGABRT, SIGTRAP, SIGTSTP,
				    SIGTTIN, SIGTTOU, SIGSTOP, SIGKILL, SIGSYS };

	sigemptyset(set);
	if (s->kill_path) {
		for (int sig = 1; sig < 32; sig++)
			sigaddset(set, sig);
		for (size_t i = 0; i < ARRAY_LEN(kept); i++)
			sigdelset(set, kept[i]);
	}
	if (s->tty)
		sigaddset(set, SIGWINCH);
	else if (!s->kill_path)
		sigdelset(set, SIGWINCH);
}

void session_begin(struct session *s)
{
	struct termios raw;
	sigset_t set;

	signals_of(s, &set);
	s->signal_fd = FD_NONE;
	if (sigprocmask(SIG_BLOCK, &set, NULL) == 0)
		s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->tty && s->in && tcgetattr(STDIN_FILENO, &saved_terminal) == 0) {
		raw = saved_terminal;
		cfmakeraw(&raw);
		s->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	}
	s->pending = xcalloc(1, CHUNK + sizeof(s->keys));
}

void session_end(struct session *s)
{
	sigset_t set;

	if (s->raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved_terminal);
	s->raw = false;
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	s->signal_fd = FD_NONE;
	signals_of(s, &set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	free(steal_ptr(s->pending));
}

void session_redraw(struct session *s)
{
	auto_(buf) q = api_query();
	struct winsize w;

	if (!s->tty || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || (w.ws_row == 0 && w.ws_col == 0))
		return;
	client_query_add_int(&q, "h", w.ws_row + 1);
	client_query_add_int(&q, "w", w.ws_col + 1);
	if (api_json(s->cli, "POST", s->resize_path, q.data, NULL, NULL, NULL) == 0)
		session_resize(s);
}

void session_resize(struct session *s)
{
	auto_(buf) q = api_query();
	struct winsize w;

	s->resize_due = false;
	if (!s->tty || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || (w.ws_row == 0 && w.ws_col == 0))
		return;
	if (s->resize_path == NULL) {
		dprintf(s->resize_fd, "%u %u\n", w.ws_row, w.ws_col);
		return;
	}
	client_query_add_int(&q, "h", w.ws_row);
	client_query_add_int(&q, "w", w.ws_col);
	/* The process may not exist yet: tried again by the loop. */
	if (api_json(s->cli, "POST", s->resize_path, q.data, NULL, NULL, NULL) < 0)
		s->resize_due = ++s->resize_tries < RESIZE_TRIES;
}

static const char *signal_name(int sig)
{
	const char *name = sigabbrev_np(sig);

	return name ? name : "TERM";
}

static int signals_take(struct session *s, struct error *err)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		int sig = (int)info.ssi_signo;
		auto_(buf) q = api_query();

		if (sig == SIGWINCH && s->tty) {
			s->resize_tries = 0;
			session_resize(s);
			continue;
		}
		if (!s->kill_path)
			continue;
		if ((sig == SIGINT || sig == SIGTERM) && ++s->interrupts > INTERRUPTS_MAX)
			return error_set(err, ERR_CANCELED,
					 "got %d SIGTERM/SIGINTs, forcefully exiting",
					 INTERRUPTS_MAX);
		client_query_add(&q, "signal", signal_name(sig));
		/* The container may just have ended: the stream tells. */
		if (api_json(s->cli, "POST", s->kill_path, q.data, NULL, NULL, NULL) < 0)
			continue;
	}
	return 0;
}

/* Bytes from stdin into pending, without the detach sequence. true: detached. */
static bool keys_filter(struct session *s, const char *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)in[i];

		if (s->n_keys && c == s->keys[s->keys_seen]) {
			if (++s->keys_seen == s->n_keys)
				return true;
			continue;
		}
		for (size_t k = 0; k < s->keys_seen; k++)
			s->pending[s->pending_len++] = (char)s->keys[k];
		s->keys_seen = s->n_keys && c == s->keys[0];
		if (s->keys_seen == 0)
			s->pending[s->pending_len++] = (char)c;
		else if (s->n_keys == 1)
			return true;
	}
	return false;
}

static void input_read(struct session *s, struct client_stream *stream)
{
	char in[CHUNK];
	ssize_t n = read(STDIN_FILENO, in, sizeof(in));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		s->in_ended = true;
		client_stream_close_write(stream);
		return;
	}
	s->pending_len = s->pending_at = 0;
	if (s->tty) {
		s->detached = keys_filter(s, in, (size_t)n);
	} else {
		memcpy(s->pending, in, (size_t)n);
		s->pending_len = (size_t)n;
	}
}

static void input_send(struct session *s, struct client_stream *stream)
{
	ssize_t n = send(stream->fd, s->pending + s->pending_at, s->pending_len - s->pending_at,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0)
		s->pending_at += (size_t)n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		s->in_ended = true;
	if (s->in_ended || s->pending_at == s->pending_len)
		s->pending_at = s->pending_len = 0;
}

static int output_write(const struct session *s, int stream, const char *bytes, size_t n,
			struct error *err)
{
	int fd = stream == 2 ? STDERR_FILENO : STDOUT_FILENO;

	if ((fd == STDOUT_FILENO && !s->out) || (fd == STDERR_FILENO && !s->err))
		return 0;
	return fs_write_all(fd, bytes, n, err);
}

/* Frames: 8 bytes of head (stream 0..3, length big-endian), then the bytes. */
static int output_demux(struct session *s, const char *bytes, size_t n, struct error *err)
{
	while (n > 0) {
		if (s->frame_left == 0) {
			s->head[s->head_len++] = (unsigned char)*bytes++;
			n--;
			if (s->head_len < sizeof(s->head))
				continue;
			s->head_len = 0;
			if (s->head[0] > 3)
				return error_set(err, ERR_CORRUPT, "unrecognized input header: %u",
						 s->head[0]);
			s->frame_left = (uint32_t)s->head[4] << 24 | (uint32_t)s->head[5] << 16 |
					(uint32_t)s->head[6] << 8 | s->head[7];
			s->head_len = 0;
		} else {
			size_t part = n < s->frame_left ? n : s->frame_left;
			int r = 0;

			if (s->head[0] == 3)
				return error_set(err, ERR_SYSTEM,
						 "error from daemon in stream: %.*s", (int)part,
						 bytes);
			r = output_write(s, s->head[0], bytes, part, err);
			if (r < 0)
				return r;
			bytes += part;
			n -= part;
			s->frame_left -= (uint32_t)part;
		}
	}
	return 0;
}

static int output_take(struct session *s, const char *bytes, size_t n, struct error *err)
{
	return s->tty ? output_write(s, 1, bytes, n, err) : output_demux(s, bytes, n, err);
}

/* One read of the socket. *ret_end: the stream is at its end. */
static int output_read(struct session *s, struct client_stream *stream, bool *ret_end,
		       struct error *err)
{
	char bytes[CHUNK];
	ssize_t n = recv(stream->fd, bytes, sizeof(bytes), 0);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		*ret_end = true;
		return 0;
	}
	return output_take(s, bytes, (size_t)n, err);
}

int session_pump(struct session *s, struct client_stream *stream, struct error *err)
{
	bool end = false;
	int r = 0;

	if (!s->in) {
		s->in_ended = true;
		client_stream_close_write(stream);
	}
	if (stream->early_len)
		r = output_take(s, stream->early, stream->early_len, err);
	while (r == 0 && !end && !s->detached) {
		bool sending = s->pending_at < s->pending_len;
		struct pollfd fds[] = {
			{ stream->fd, (short)(POLLIN | (sending ? POLLOUT : 0)), 0 },
			{ s->signal_fd, POLLIN, 0 },
			{ s->in_ended || sending ? -1 : STDIN_FILENO, POLLIN, 0 },
		};
		int n = poll(fds, ARRAY_LEN(fds), s->resize_due ? RESIZE_PAUSE_MS : -1);

		if (n < 0 && errno != EINTR)
			return error_sys(err, errno, "poll");
		if (n == 0)
			session_resize(s);
		if (n <= 0)
			continue;
		if (fds[1].revents)
			r = signals_take(s, err);
		if (r == 0 && (fds[0].revents & (POLLIN | POLLHUP | POLLERR)))
			r = output_read(s, stream, &end, err);
		if (fds[0].revents & POLLOUT)
			input_send(s, stream);
		if (fds[2].revents)
			input_read(s, stream);
	}
	return r;
}
