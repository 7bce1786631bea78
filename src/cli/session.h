/*
 * cli/session.h: this terminal joined to a container's or exec's stream.
 *
 * One poll loop: stdin to the socket (end of stdin = half-close), the socket
 * to stdout and stderr (raw, or docker's frames of [stream,0,0,0,len]), signals
 * by signalfd. The terminal is raw while it runs and restored on every way out.
 */
#pragma once

#include <stdbool.h>

#include "cli/api.h"
#include "cli/cli.h"

struct session {
	struct cli *cli;
	bool tty;                /* the process has a terminal: bytes are raw */
	bool in, out, err;       /* which of our streams take part */
	const char *kill_path;   /* "/containers/X/kill": pass signals on; NULL: do not */
	const char *resize_path; /* NULL: lines "ROWS COLUMNS" are written to resize_fd */
	int resize_fd;
	unsigned char keys[32]; /* detach sequence */
	size_t n_keys;
	/* private */
	int signal_fd;
	size_t keys_seen;
	bool raw, in_ended, detached;
	bool resize_due;
	int resize_tries, interrupts;
	unsigned char head[8];
	size_t head_len;
	uint32_t frame_left;
	char *pending; /* bytes read from stdin, not yet sent */
	size_t pending_len, pending_at;
};

/* Detach keys as "ctrl-p,ctrl-q": from the flag, the configuration, or these.
 * ERR_INVALID "invalid detach keys (x): ...". */
MUST_CHECK int session_keys(struct session *s, struct cli *cli, const char *flag,
			    struct error *err);
/* Take the signals and (with tty and in) make the terminal raw; session_end
 * undoes both and must follow. */
void session_begin(struct session *s);
/* Until the stream ends or the user detaches (s->detached). */
MUST_CHECK int session_pump(struct session *s, struct client_stream *stream, struct error *err);
/* Tell the size of our terminal, now and when it changes. */
void session_resize(struct session *s);
/* The same by way of another size, so that the process draws its screen anew. */
void session_redraw(struct session *s);
void session_end(struct session *s);

/* Refuse -it without a terminal: "the input device is not a TTY". */
MUST_CHECK int session_check_tty(bool in, bool tty, struct error *err);
