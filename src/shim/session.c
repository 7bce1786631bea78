/*
 * shim/session.c: attached clients.
 *
 * A client that does not read gets a queue; when the queue passes QUEUE_HIGH
 * the process's output is not read until it is below QUEUE_LOW again, so a slow
 * client slows the container as it does with dockerd, and nothing is lost.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/str.h"
#include "shim/supervisor.h"

#define QUEUE_HIGH  (256 * 1024)
#define QUEUE_LOW   (64 * 1024)
#define STDIN_CHUNK 16384

static void session_kill(struct supervisor *s, struct session *x)
{
	if (x->dead)
		return;
	source_close(s, &x->src);
	x->dead = true;
	s->dirty = true;
	process_update_pause(s, x->process);
}

bool session_is_full(const struct session *x)
{
	return !x->dead && x->out_len - x->out_at > (x->process->paused ? QUEUE_LOW : QUEUE_HIGH);
}

static void session_rewatch(struct supervisor *s, struct session *x)
{
	uint32_t events = 0;

	if (x->dead)
		return;
	if (!x->stdin_eof && !x->closing && x->in_len == 0)
		events |= EPOLLIN;
	if (x->out_len > x->out_at)
		events |= EPOLLOUT;
	/* Without anything to wait for but a hang-up, a half-done stdin would spin. */
	if (events != 0 || x->in_len == 0)
		events |= EPOLLERR;
	if (source_watch(s, &x->src, events) < 0)
		session_kill(s, x);
}

static void session_send_queue(struct supervisor *s, struct session *x)
{
	while (x->out_at < x->out_len) {
		ssize_t n = send(x->src.fd, x->out + x->out_at, x->out_len - x->out_at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			session_kill(s, x);
			return;
		}
		x->out_at += (size_t)n;
	}
	free(x->out);
	x->out = NULL;
	x->out_at = x->out_len = x->out_cap = 0;
	if (x->closing) {
		shutdown(x->src.fd, SHUT_WR);
		/* Unread input would turn our close into a reset for the peer. */
		while (recv(x->src.fd, s->buf, sizeof(s->buf), MSG_DONTWAIT) > 0)
			;
		session_kill(s, x);
	}
}

static void session_queue(struct session *x, const char *bytes, size_t len)
{
	if (x->out_at > 0) {
		memmove(x->out, x->out + x->out_at, x->out_len - x->out_at);
		x->out_len -= x->out_at;
		x->out_at = 0;
	}
	if (x->out_len + len > x->out_cap) {
		x->out_cap = (x->out_len + len) * 2;
		x->out = xrealloc(x->out, x->out_cap);
	}
	memcpy(x->out + x->out_len, bytes, len);
	x->out_len += len;
}

void session_output(struct supervisor *s, struct session *x, unsigned stream, const char *bytes,
		    size_t len)
{
	unsigned char head[8] = { stream == STREAM_STDERR ? 2 : 1 };
	struct iovec iov[2] = { { head, x->raw ? 0 : sizeof(head) } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = 0;
	size_t sent;

	if (x->dead || x->closing || !(x->streams & stream) || len == 0)
		return;
	head[4] = (unsigned char)(len >> 24);
	head[5] = (unsigned char)(len >> 16);
	head[6] = (unsigned char)(len >> 8);
	head[7] = (unsigned char)len;
	iov[1].iov_base = (void *)(uintptr_t)bytes;
	iov[1].iov_len = len;
	if (x->out_len == x->out_at) {
		n = sendmsg(x->src.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			session_kill(s, x);
			return;
		}
		if (n < 0)
			n = 0;
	}
	sent = (size_t)n;
	if (sent < iov[0].iov_len) {
		session_queue(x, (const char *)head + sent, iov[0].iov_len - sent);
		sent = iov[0].iov_len;
	}
	sent -= iov[0].iov_len;
	if (sent < len)
		session_queue(x, bytes + sent, len - sent);
	session_rewatch(s, x);
	process_update_pause(s, x->process);
}

void session_finish(struct supervisor *s, struct session *x)
{
	if (x->dead)
		return;
	x->closing = true;
	session_send_queue(s, x);
	session_rewatch(s, x);
}

static void session_give(struct session *x, const void *bytes, size_t len)
{
	if (len == 0 || !(x->streams & STREAM_STDIN) || !x->process->open_stdin)
		return;
	x->in = xrealloc(x->in, x->in_len + len);
	memcpy(x->in + x->in_len, bytes, len);
	x->in_len += len;
}

/*
 * Give the process what is no detach sequence; true when one is complete. The
 * beginning of one is held back until it is known what it is, also across reads.
 */
static bool session_filter(struct session *x, const char *bytes, size_t len)
{
	size_t i, from = 0;

	for (i = 0; x->n_keys > 0 && i < len; i++) {
		if ((unsigned char)bytes[i] == x->keys[x->n_matched]) {
			if (x->n_matched++ == 0)
				session_give(x, bytes + from, i - from);
			from = i + 1;
			if (x->n_matched == x->n_keys)
				return true;
		} else if (x->n_matched > 0) {
			/* No sequence after all: what was held back goes on its way. */
			session_give(x, x->keys, x->n_matched);
			x->n_matched = 0;
			from = i--;
		}
	}
	session_give(x, bytes + from, len - from);
	return false;
}

void session_push_stdin(struct supervisor *s, struct session *x)
{
	struct process *p = x->process;

	while (x->in_at < x->in_len) {
		ssize_t n;

		if (p->in.fd < 0) {
			x->in_at = x->in_len;
			break;
		}
		n = write(p->in.fd, x->in + x->in_at, x->in_len - x->in_at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (source_watch(s, &p->in, p->in.events | EPOLLOUT) < 0)
				process_stdin_close(s, p);
			session_rewatch(s, x);
			return;
		}
		if (n < 0) {
			x->in_at = x->in_len;
			break;
		}
		x->in_at += (size_t)n;
	}
	free(x->in);
	x->in = NULL;
	x->in_at = x->in_len = 0;
	if (x->stdin_eof && p->stdin_once && !p->tty && (x->streams & STREAM_STDIN))
		process_stdin_close(s, p);
	session_rewatch(s, x);
}

static void session_take_stdin(struct supervisor *s, struct session *x, const char *bytes,
			       size_t len)
{
	bool detach = session_filter(x, bytes, len);

	/* Before the process is there, bytes wait; stdin takes them when it opens. */
	if (x->in_len > 0 && x->process->in.fd >= 0)
		session_push_stdin(s, x);
	if (detach) {
		static const char text[] =
		    "exec attach failed: error on attach stdin: read escape sequence\r\n";

		if (x->process != s->init)
			session_output(s, x, STREAM_STDOUT, text, sizeof(text) - 1);
		session_finish(s, x);
	}
}

void session_early(struct supervisor *s, struct session *x, const char *bytes, size_t len)
{
	if (len > 0)
		session_take_stdin(s, x, bytes, len);
	if (!x->dead)
		session_rewatch(s, x);
}

static void session_stdin_ended(struct supervisor *s, struct session *x)
{
	x->stdin_eof = true;
	session_give(x, x->keys, x->n_matched);
	x->n_matched = 0;
	if (x->process->in.fd >= 0)
		session_push_stdin(s, x);
	session_rewatch(s, x);
}

static void session_ready(struct supervisor *s, struct source *src, uint32_t events)
{
	struct session *x = (struct session *)((char *)src - offsetof(struct session, src));

	if (events & EPOLLOUT) {
		session_send_queue(s, x);
		if (!x->dead) {
			session_rewatch(s, x);
			process_update_pause(s, x->process);
		}
	}
	if (!x->dead && (events & (EPOLLIN | EPOLLHUP)) && !x->stdin_eof && x->in_len == 0) {
		char chunk[STDIN_CHUNK];
		ssize_t n = recv(x->src.fd, chunk, sizeof(chunk), MSG_DONTWAIT);

		if (n > 0)
			session_take_stdin(s, x, chunk, (size_t)n);
		else if (n == 0)
			session_stdin_ended(s, x);
		else if (errno != EAGAIN && errno != EINTR)
			session_kill(s, x);
		if (n > 0)
			return;
	}
	if (!x->dead && (events & (EPOLLHUP | EPOLLERR)) && x->in_len == 0)
		session_kill(s, x);
}

struct session *session_add(struct supervisor *s, struct process *p, int take_fd, unsigned streams,
			    bool raw)
{
	struct session *x = new0(struct session);
	struct session **at = &p->sessions;

	x->process = p;
	x->src.fd = take_fd;
	x->src.ready = session_ready;
	x->streams = streams;
	x->raw = raw;
	while (*at)
		at = &(*at)->next;
	*at = x;
	session_rewatch(s, x);
	return x;
}

int session_set_keys(struct session *x, const char *keys, struct error *err)
{
	struct str rest = str_of(keys ? keys : ""), key;

	if (cstr_is_empty(keys) && !x->process->tty)
		return 0;
	if (cstr_is_empty(keys))
		rest = str_of("ctrl-p,ctrl-q");
	while (str_split(&rest, ',', &key)) {
		unsigned char c;

		if (key.len == 1)
			c = (unsigned char)key.at[0];
		else if (key.len == 6 && str_starts(key, "ctrl-") && key.at[5] >= 'a' &&
			 key.at[5] <= 'z')
			c = (unsigned char)(key.at[5] - 'a' + 1);
		else if (key.len == 6 && str_starts(key, "ctrl-") && key.at[5] >= '@' &&
			 key.at[5] <= '_')
			c = (unsigned char)(key.at[5] - '@');
		else
			return error_set(
			    err, ERR_INVALID,
			    "Invalid detach keys (%s) provided: Unknown character: '%.*s'", keys,
			    STR_ARG(key));
		if (x->n_keys == sizeof(x->keys))
			return error_set(err, ERR_INVALID, "Invalid detach keys (%s) provided",
					 keys);
		x->keys[x->n_keys++] = c;
	}
	return 0;
}

void session_free(struct supervisor *s, struct session *x)
{
	source_close(s, &x->src);
	free(x->out);
	free(x->in);
	free(x);
}
