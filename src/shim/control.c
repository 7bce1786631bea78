/*
 * shim/control.c: what an engine asks of the shim and what it is told.
 *
 * SEQPACKET; one JSON object a message, at most MESSAGE_MAX bytes.
 * Request  {"seq":n,"op":"start"|"attach"|"exec"|"signal"|"resize"|"state",...}
 *          and "until" (monotonic ns): who asked has given up by then, and was told that it failed
 * Answer   (none when n is 0) {"seq":n} plus members, or {"seq":n,"error":{"kind":k,"msg":".."}}
 * Event    {"event":"exit"|"exec-exit","id":..,"code":..,"time":..,"oom":..}
 *          and with "measure" in task.json "cpu" (ns), "memory", "read", "write" (bytes)
 *          {"event":"gone"}: mounts and cgroups are gone
 * Unknown members are skipped, so that engines and shims of different age
 * understand each other. Only root's processes reach the socket (its directory).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "shim/supervisor.h"

#define MESSAGE_MAX 65536

static void conn_close(struct supervisor *s, struct conn *c)
{
	struct process *p;

	if (c->dead)
		return;
	source_close(s, &c->src);
	c->dead = true;
	s->dirty = true;
	for (p = s->init; p; p = p == s->init ? s->execs : p->next)
		if (p->starter == c)
			p->starter = NULL;
}

static void conn_send(struct supervisor *s, struct conn *c, const struct buf *b)
{
	if (!c->dead && send(c->src.fd, b->data, b->len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		conn_close(s, c);
}

static void answer_open(struct jsonw *w, struct buf *b, int64_t seq)
{
	jsonw_init(w, b);
	jsonw_object(w);
	jsonw_kint(w, "seq", seq);
}

static void answer_close(struct supervisor *s, struct conn *c, struct jsonw *w)
{
	jsonw_end(w);
	if (jsonw_finish(w, NULL) == 0)
		conn_send(s, c, w->buf);
}

static void answer(struct supervisor *s, struct conn *c, int64_t seq, int r,
		   const struct error *failure)
{
	auto_(buf) b = BUF_INIT(MESSAGE_MAX);
	struct jsonw w;

	/* Nobody waits. */
	if (seq == 0)
		return;
	answer_open(&w, &b, seq);
	if (r < 0) {
		jsonw_kobject(&w, "error");
		jsonw_kint(&w, "kind", failure->kind);
		jsonw_kstring(&w, "msg", failure->msg);
		jsonw_end(&w);
	}
	answer_close(s, c, &w);
}

void control_reply_started(struct supervisor *s, struct process *p, const struct error *failure)
{
	auto_(buf) b = BUF_INIT(MESSAGE_MAX);
	struct conn *c = p->starter;
	struct jsonw w;

	p->starter = NULL;
	if (c == NULL)
		return;
	if (failure) {
		answer(s, c, p->starter_seq, -(int)failure->kind, failure);
		return;
	}
	answer_open(&w, &b, p->starter_seq);
	jsonw_kint(&w, "pid", p->pid);
	jsonw_kint(&w, "started", p->started_ns);
	answer_close(s, c, &w);
}

void control_event_exit(struct supervisor *s, const struct process *p)
{
	auto_(buf) b = BUF_INIT(MESSAGE_MAX);
	struct jsonw w;
	struct conn *c;

	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_kstring(&w, "event", p == s->init ? "exit" : "exec-exit");
	jsonw_kstring(&w, "id", p->id);
	jsonw_kint(&w, "code", p->exit_code);
	jsonw_kint(&w, "time", p->exit_ns);
	jsonw_kbool(&w, "oom", p == s->init && s->oom_killed);
	if (p == s->init && s->spec.measure != NULL) {
		jsonw_kint(&w, "cpu", s->usage.cpu_ns);
		jsonw_kint(&w, "memory", s->usage.memory_peak_bytes);
		jsonw_kint(&w, "read", s->usage.read_bytes);
		jsonw_kint(&w, "write", s->usage.write_bytes);
	}
	jsonw_end(&w);
	if (jsonw_finish(&w, NULL) < 0)
		return;
	for (c = s->conns; c; c = c->next)
		conn_send(s, c, &b);
}

void control_event_gone(struct supervisor *s)
{
	auto_(buf) b = BUF_INIT(256);
	struct conn *c;

	if (buf_add(&b, "{\"event\":\"gone\"}", 16, NULL) < 0)
		return;
	for (c = s->conns; c; c = c->next)
		conn_send(s, c, &b);
}

static unsigned streams_of(const struct json *req)
{
	return (json_bool(req, "stdin", false) ? STREAM_STDIN : 0) |
	       (json_bool(req, "stdout", false) ? STREAM_STDOUT : 0) |
	       (json_bool(req, "stderr", false) ? STREAM_STDERR : 0);
}

/* Bytes a client sent early travel behind the JSON object, after a NUL. */
struct request {
	const struct json *j;
	const char *tail;
	size_t tail_len;
	int fd; /* owned until taken */
	struct conn *conn;
	int64_t seq;
};

static int session_begin(struct supervisor *s, struct process *p, struct request *req,
			 struct error *err)
{
	struct session *x;
	int r;

	if (req->fd < 0)
		return error_set(err, ERR_INVALID, "attach without a socket");
	x = session_add(s, p, steal_fd(&req->fd), streams_of(req->j),
			json_bool(req->j, "raw", false));
	r = session_set_keys(x, json_str(req->j, "keys"), err);
	if (r < 0) {
		x->dead = true;
		s->dirty = true;
		return r;
	}
	session_early(s, x, req->tail, req->tail_len);
	return 0;
}

static int op_attach(struct supervisor *s, struct request *req, struct error *err)
{
	struct process *p = process_find(s, json_str(req->j, "id"));

	if (p == NULL || p->status == PROCESS_EXITED)
		return error_set(err, ERR_CONFLICT, "the process has ended");
	return session_begin(s, p, req, err);
}

/* 1: the answer comes later. */
static int op_start(struct supervisor *s, struct request *req, struct error *err)
{
	int r;

	if (s->init->status != PROCESS_CREATED)
		return error_set(err, ERR_CONFLICT, "the task was started already");
	if (s->setup_error.kind != ERR_NONE) {
		*err = s->setup_error;
		r = -(int)err->kind;
	} else {
		r = child_start_init(s, err);
	}
	if (r < 0) {
		/* Who attached before the start has nothing to wait for. */
		process_finish_sessions(s, s->init);
		s->quit = true;
		return r;
	}
	s->init->starter = req->conn;
	s->init->starter_seq = req->seq;
	return 1;
}

static int op_exec(struct supervisor *s, struct request *req, struct error *err)
{
	const char *id = json_str(req->j, "id");
	autofree char *file = NULL;
	struct process *p;
	int r;

	if (s->init->status != PROCESS_RUNNING)
		return error_set(err, ERR_CONFLICT, "the container is not running");
	if (id == NULL || !fs_is_component(id) || strlen(id) >= sizeof(p->id))
		return error_set(err, ERR_INVALID, "bad exec id");
	if (process_find(s, id))
		return error_set(err, ERR_CONFLICT, "the exec exists already");
	p = process_new(id);
	p->tty = json_bool(req->j, "tty", false);
	p->open_stdin = json_bool(req->j, "open_stdin", false);
	p->stdin_once = true;
	p->rows = (uint16_t)json_int(req->j, "rows", 0);
	p->cols = (uint16_t)json_int(req->j, "cols", 0);
	p->next = s->execs;
	s->execs = p;
	r = process_open_stdio(s, p, err);
	if (r == 0 && req->fd >= 0)
		r = session_begin(s, p, req, err);
	file = cstr_format("process-%s", id);
	if (r == 0)
		r = child_start_exec(s, p, file, err);
	if (r < 0) {
		p->dead = true;
		s->dirty = true;
		return r;
	}
	p->starter = req->conn;
	p->starter_seq = req->seq;
	return 1;
}

static int op_signal(struct supervisor *s, struct request *req, struct error *err)
{
	struct process *p = process_find(s, json_str(req->j, "id"));
	int sig = (int)json_int(req->j, "sig", 0);

	if (p == NULL || p->status != PROCESS_RUNNING)
		return error_set(err, ERR_CONFLICT, "the process has ended");
	if (sig < 0 || sig > SIGRTMAX)
		return error_set(err, ERR_INVALID, "Invalid signal: %d", sig);
	/* Only we reap, so the pid cannot be another's. */
	if (kill(p->pid, sig) < 0 && errno != ESRCH)
		return error_sys(err, errno, "signal process %d", (int)p->pid);
	return 0;
}

static int op_resize(struct supervisor *s, struct request *req, struct error *err)
{
	struct process *p = process_find(s, json_str(req->j, "id"));

	if (p == NULL || p->status == PROCESS_EXITED)
		return error_set(err, ERR_CONFLICT, "the process has ended");
	process_resize(p, (uint16_t)json_int(req->j, "rows", 0),
		       (uint16_t)json_int(req->j, "cols", 0));
	return 0;
}

static const char *status_name(enum process_status st)
{
	static const char *const names[] = { "created", "starting", "running", "exited" };

	return names[st];
}

static int op_state(struct supervisor *s, struct request *req, struct error *err)
{
	auto_(buf) b = BUF_INIT(MESSAGE_MAX);
	struct process *p;
	struct jsonw w;
	unsigned i;

	(void)err;
	answer_open(&w, &b, req->seq);
	jsonw_kstring(&w, "status", status_name(s->init->status));
	jsonw_kint(&w, "pid", s->init->pid);
	jsonw_kint(&w, "started", s->init->started_ns);
	jsonw_karray(&w, "execs");
	for (p = s->execs; p; p = p->next) {
		if (p->dead || b.len > MESSAGE_MAX / 2)
			continue;
		jsonw_object(&w);
		jsonw_kstring(&w, "id", p->id);
		jsonw_kint(&w, "pid", p->pid);
		jsonw_end(&w);
	}
	for (i = 0; i < SUPERVISOR_ENDED_MAX && s->ended[i].id[0]; i++) {
		jsonw_object(&w);
		jsonw_kstring(&w, "id", s->ended[i].id);
		jsonw_kint(&w, "code", s->ended[i].code);
		jsonw_end(&w);
	}
	jsonw_end(&w);
	answer_close(s, req->conn, &w);
	return 1;
}

static const struct {
	const char *name;
	int (*fn)(struct supervisor *s, struct request *req, struct error *err);
} ops[] = {
	{ "start", op_start },   { "attach", op_attach }, { "exec", op_exec },
	{ "signal", op_signal }, { "resize", op_resize }, { "state", op_state },
};

static void request_run(struct supervisor *s, struct request *req)
{
	const char *op = json_str(req->j, "op");
	struct error failure = { 0 };
	int64_t until = json_int(req->j, "until", 0);
	size_t i;
	int r;

	if (until != 0 && clock_mono_ns() > until)
		return;
	for (i = 0; op && i < ARRAY_LEN(ops); i++) {
		if (strcmp(ops[i].name, op) != 0)
			continue;
		r = ops[i].fn(s, req, &failure);
		if (r <= 0)
			answer(s, req->conn, req->seq, r, &failure);
		return;
	}
	r = error_set(&failure, ERR_UNIMPLEMENTED, "this shim does not know '%s'", op ? op : "");
	answer(s, req->conn, req->seq, r, &failure);
}

static void conn_ready(struct supervisor *s, struct source *src, uint32_t events)
{
	struct conn *c = (struct conn *)((char *)src - offsetof(struct conn, src));
	auto_(arena) a = ARENA_INIT;
	struct request req = { .fd = FD_NONE, .conn = c };
	size_t len = 0, n_fds = 0, text_len;

	(void)events;
	if (fdpass_recv(src->fd, s->buf, sizeof(s->buf), &len, &req.fd, 1, &n_fds, NULL) < 0 ||
	    len == 0) {
		conn_close(s, c);
		return;
	}
	text_len = strnlen(s->buf, len);
	if (text_len < len) {
		req.tail_len = len - text_len - 1;
		req.tail = arena_strndup(&a, s->buf + text_len + 1, req.tail_len);
	}
	if (json_parse(&a, s->buf, text_len, &req.j, NULL) < 0 || req.j->type != JSON_OBJECT) {
		conn_close(s, c);
	} else {
		req.seq = json_int(req.j, "seq", 0);
		request_run(s, &req);
	}
	if (req.fd >= 0)
		close(req.fd);
}

struct conn *control_add(struct supervisor *s, int take_fd)
{
	struct conn *c = new0(struct conn);

	c->src.fd = take_fd;
	c->src.ready = conn_ready;
	c->next = s->conns;
	s->conns = c;
	if (source_watch(s, &c->src, EPOLLIN) < 0)
		conn_close(s, c);
	return c;
}

void control_accept(struct supervisor *s, struct source *src, uint32_t events)
{
	int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		control_add(s, fd);
}
