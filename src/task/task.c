/*
 * task/task.c: handles of running containers.
 *
 * One monitor thread a host reads every control socket: answers wake the
 * caller who waits for them, events go to the owner's function. A request is
 * one datagram and never waits for another container.
 */
#include "task/task.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/proc.h"
#include "base/queue.h"
#include "base/str.h"
#include "base/vec.h"
#include "task/task_internal.h"

/* A request to a task whose adoption is under way waits so long for its end. */
#define ADOPTION_MS 3000

/* ---- monitor ---- */

static void hold(struct task *t, const struct task_event *ev)
{
	struct task_held *h = vec_push(&t->held);

	h->exec_id = ev->exec_id ? xstrdup(ev->exec_id) : NULL;
	h->event = *ev;
	h->event.exec_id = h->exec_id;
}

static void deliver(struct task *t, const struct task_event *ev)
{
	pthread_mutex_lock(&t->mutex);
	/* Nothing comes after TASK_GONE: with it went what the events' receiver held for us. */
	if (t->gone || (ev->kind == TASK_EXIT && t->exited)) {
		pthread_mutex_unlock(&t->mutex);
		return;
	}
	if (ev->kind == TASK_EXIT) {
		t->exited = true;
		t->exit = ev->exit;
	}
	if (ev->kind == TASK_GONE)
		t->gone = true;
	pthread_cond_broadcast(&t->changed);
	if (t->adopting) {
		hold(t, ev);
		pthread_mutex_unlock(&t->mutex);
		return;
	}
	pthread_mutex_unlock(&t->mutex);
	if (t->on_event)
		t->on_event(t->ctx, t, ev);
}

void task_listen(struct task *t)
{
	for (size_t i = 0;; i++) {
		struct task_event ev = { 0 };

		pthread_mutex_lock(&t->mutex);
		t->adopting = i < t->held.len;
		if (t->adopting)
			ev = t->held.at[i].event;
		pthread_mutex_unlock(&t->mutex);
		if (i >= t->held.len)
			return;
		if (t->on_event)
			t->on_event(t->ctx, t, &ev);
	}
}

static void answer_arrived(struct task *t, int64_t seq, const char *text, size_t len)
{
	struct task_pending *p;

	pthread_mutex_lock(&t->mutex);
	for (p = t->pending; p; p = p->next) {
		if (p->seq != seq)
			continue;
		p->text = xcalloc(1, len + 1);
		memcpy(p->text, text, len);
		p->len = len;
		p->done = true;
		pthread_cond_broadcast(&t->changed);
		break;
	}
	pthread_mutex_unlock(&t->mutex);
}

static void message_arrived(struct task *t, const char *text, size_t len)
{
	auto_(arena) a = ARENA_INIT;
	struct task_event ev = { 0 };
	const struct json *j;
	const char *name;

	if (json_parse(&a, text, len, &j, NULL) < 0)
		return;
	name = json_str(j, "event");
	if (name == NULL) {
		answer_arrived(t, json_int(j, "seq", -1), text, len);
		return;
	}
	ev.exit.code = (int)json_int(j, "code", 0);
	ev.exit.time_ns = json_int(j, "time", 0);
	ev.exit.oom_killed = json_bool(j, "oom", false);
	ev.exit.cpu_ns = json_int(j, "cpu", -1);
	ev.exit.memory_peak_bytes = json_int(j, "memory", -1);
	ev.exit.read_bytes = json_int(j, "read", -1);
	ev.exit.write_bytes = json_int(j, "write", -1);
	if (strcmp(name, "exit") == 0) {
		if (ev.exit.oom_killed) {
			ev.kind = TASK_OOM;
			deliver(t, &ev);
		}
		ev.kind = TASK_EXIT;
	} else if (strcmp(name, "exec-exit") == 0) {
		ev.kind = TASK_EXEC_EXIT;
		ev.exec_id = json_str(j, "id");
		if (ev.exec_id == NULL)
			return;
	} else if (strcmp(name, "gone") == 0) {
		ev.kind = TASK_GONE;
	} else {
		return;
	}
	deliver(t, &ev);
}

/* The shim has died before it could say that all is gone: end what it watched, then say so. Of a
 * start under way task_start tells that it failed; only what was started has an exit. */
static void bury(void *arg)
{
	struct task *t = arg;
	struct task_event ev = { .kind = TASK_EXIT };
	bool started;

	task_bury(t->host, t->id, t->dir_fd, &ev.exit);
	pthread_mutex_lock(&t->mutex);
	while (t->starting)
		pthread_cond_wait(&t->changed, &t->mutex);
	started = t->started;
	pthread_mutex_unlock(&t->mutex);
	if (started)
		deliver(t, &ev);
	ev.kind = TASK_GONE;
	deliver(t, &ev);
	task_unref(t);
}

static void control_ended(struct task *t)
{
	struct task_event ev = { .kind = TASK_GONE };
	bool orphan;

	epoll_ctl(t->host->epoll_fd, EPOLL_CTL_DEL, t->sock, NULL);
	pthread_mutex_lock(&t->mutex);
	t->closed = true;
	orphan = (t->started || t->starting) && !t->gone;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mutex);
	if (orphan) {
		if (workers_start(&t->host->workers, bury, task_ref(t), "task-bury", NULL) == 0)
			goto out;
		task_unref(t);
	}
	deliver(t, &ev);
out:
	/* The monitor's own reference. */
	task_unref(t);
}

static void control_ready(struct task *t)
{
	struct task_host *h = t->host;
	bool reset = false;

	for (;;) {
		ssize_t n = recv(t->sock, h->message, sizeof(h->message), MSG_DONTWAIT);

		if (n > 0) {
			message_arrived(t, h->message, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		/* It ended with a request of ours unread; what it had said before is behind that.
		 */
		if (n < 0 && errno == ECONNRESET && !reset) {
			reset = true;
			continue;
		}
		if (n < 0 && errno == EAGAIN)
			return;
		control_ended(t);
		return;
	}
}

/* A child of ours, spawned and to be reaped; it may outlive its task's handle. */
static void shim_ended(struct task_host *h, struct task_child *c)
{
	siginfo_t si;

	epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, c->pidfd, NULL);
	(void)waitid(P_PIDFD, (id_t)c->pidfd, &si, WEXITED);
	close(c->pidfd);
	free(c);
}

static void *monitor_main(void *arg)
{
	struct task_host *h = arg;
	struct epoll_event ev[64];

	for (;;) {
		int n = epoll_wait(h->epoll_fd, ev, ARRAY_LEN(ev), -1), i;

		if (n < 0 && errno != EINTR)
			return NULL;
		for (i = 0; i < n; i++) {
			struct task_watch *w = ev[i].data.ptr;

			switch (w->kind) {
			case WATCH_STOP:
				return NULL;
			case WATCH_CONTROL:
				control_ready(container_of(w, struct task, watch));
				break;
			case WATCH_CHILD:
				shim_ended(h, container_of(w, struct task_child, watch));
				break;
			}
		}
	}
}

/* ---- host ---- */

int task_host_open(const struct task_host_config *cfg, struct task_host **ret, struct error *err)
{
	struct task_host *h = new0(struct task_host);
	struct epoll_event ev = { .events = EPOLLIN };
	int r;

	h->epoll_fd = h->dir_fd = FD_NONE;
	h->stop.fd = FD_NONE;
	workers_init(&h->workers);
	pthread_mutex_init(&h->warm.mutex, NULL);
	pthread_cond_init(&h->warm.changed, NULL);
	h->shim_path = xstrdup(cfg->shim_path);
	h->tasks_dir = xstrdup(cfg->tasks_dir);
	r = fs_mkdir_all(h->tasks_dir, 0711, err);
	if (r == 0)
		r = fs_open(h->tasks_dir, O_RDONLY | O_DIRECTORY, 0, &h->dir_fd, err);
	if (r == 0)
		r = cancel_init(&h->stop, err);
	if (r < 0)
		goto out;
	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	h->stop_watch.kind = WATCH_STOP;
	ev.data.ptr = &h->stop_watch;
	if (h->epoll_fd < 0 || epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->stop.fd, &ev) < 0) {
		r = error_sys(err, errno, "task monitor");
		goto out;
	}
	r = pthread_create(&h->thread, NULL, monitor_main, h);
	if (r != 0) {
		r = error_sys(err, r, "task monitor");
		goto out;
	}
	h->running = true;
	if (cfg->warm)
		task_warm_open(h);
	*ret = h;
	return 0;
out:
	task_host_close(h);
	return r;
}

void task_host_close(struct task_host *h)
{
	if (h == NULL)
		return;
	task_warm_close(h);
	if (h->running) {
		cancel_fire(&h->stop);
		pthread_join(h->thread, NULL);
	}
	workers_finish(&h->workers);
	if (h->epoll_fd >= 0)
		close(h->epoll_fd);
	if (h->dir_fd >= 0)
		close(h->dir_fd);
	if (h->stop.fd >= 0)
		cancel_release(&h->stop);
	free(h->shim_path);
	free(h->tasks_dir);
	free(h);
}

/* ---- handles ---- */

struct task *task_ref(struct task *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

struct task *task_unref(struct task *t)
{
	if (t == NULL || atomic_fetch_sub(&t->refs, 1) != 1)
		return NULL;
	if (t->sock >= 0)
		close(t->sock);
	if (t->dir_fd >= 0)
		close(t->dir_fd);
	pthread_mutex_destroy(&t->mutex);
	pthread_cond_destroy(&t->changed);
	vec_for_each (h, &t->held)
		free(h->exec_id);
	vec_release(&t->held);
	if (t->question)
		task_request_release(t->question);
	free(t->question);
	free(t->id);
	free(t);
	return NULL;
}

struct task *task_new(struct task_host *h, const char *id, task_event_fn on_event, void *ctx)
{
	struct task *t = new0(struct task);
	pthread_condattr_t attr;

	atomic_init(&t->refs, 1);
	t->host = h;
	t->id = xstrdup(id);
	t->sock = t->dir_fd = FD_NONE;
	t->on_event = on_event;
	t->ctx = ctx;
	pthread_mutex_init(&t->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->changed, &attr);
	pthread_condattr_destroy(&attr);
	return t;
}

int task_watch_control(struct task *t, struct error *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &t->watch };

	t->watch.kind = WATCH_CONTROL;
	task_ref(t);
	if (epoll_ctl(t->host->epoll_fd, EPOLL_CTL_ADD, t->sock, &ev) < 0) {
		int sys = errno;

		task_unref(t);
		return error_sys(err, sys, "watch the shim");
	}
	return 0;
}

/* ---- requests ---- */

void task_deadline(int64_t mono_ns, struct timespec *ret)
{
	ret->tv_sec = mono_ns / NS_PER_SEC;
	ret->tv_nsec = mono_ns % NS_PER_SEC;
}

void task_bound_send(int sock)
{
	struct timeval tv = { .tv_sec = TASK_ANSWER_MS / 1000 };

	(void)!setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

void task_request_drop(struct task *t, struct task_request *q)
{
	struct task_pending **at;

	pthread_mutex_lock(&t->mutex);
	for (at = &t->pending; *at && *at != &q->pending; at = &(*at)->next)
		;
	if (*at)
		*at = q->pending.next;
	pthread_mutex_unlock(&t->mutex);
}

static int no_answer(struct error *err)
{
	return error_set(err, ERR_UNAVAILABLE, "the shim does not answer");
}

static int wait_answer(struct task *t, struct task_request *q, struct error *err)
{
	struct task_pending *p = &q->pending;
	struct timespec until;
	int r = 0;

	task_deadline(q->until_ns, &until);
	pthread_mutex_lock(&t->mutex);
	while (!p->done && !t->closed && r == 0)
		r = pthread_cond_timedwait(&t->changed, &t->mutex, &until);
	pthread_mutex_unlock(&t->mutex);
	task_request_drop(t, q);
	if (p->done)
		return 0;
	return r ? no_answer(err) : error_set(err, ERR_CONFLICT, "the task has ended");
}

/* Nothing is sent to a shim of which nobody knows how it is: it would do it much later. */
static int await_adoption(struct task *t, struct error *err)
{
	struct timespec until;
	bool unanswered;
	int r = 0;

	task_deadline(clock_mono_ns() + ADOPTION_MS * NS_PER_MS, &until);
	pthread_mutex_lock(&t->mutex);
	while (t->unanswered && r == 0)
		r = pthread_cond_timedwait(&t->changed, &t->mutex, &until);
	unanswered = t->unanswered;
	pthread_mutex_unlock(&t->mutex);
	if (unanswered)
		return no_answer(err);
	return t->sock >= 0 ? 0 : error_set(err, ERR_CONFLICT, "the task has ended");
}

void task_request_begin(struct task *t, struct task_request *q, const char *op, int timeout_ms)
{
	q->until_ns = clock_mono_ns() + timeout_ms * NS_PER_MS;
	pthread_mutex_lock(&t->mutex);
	q->pending.seq = ++t->seq;
	q->pending.next = t->pending;
	t->pending = &q->pending;
	pthread_mutex_unlock(&t->mutex);
	q->text.max = TASK_MESSAGE_MAX;
	jsonw_init(&q->w, &q->text);
	jsonw_object(&q->w);
	jsonw_kint(&q->w, "seq", q->pending.seq);
	jsonw_kstring(&q->w, "op", op);
	jsonw_kint(&q->w, "until", q->until_ns);
}

int task_request_send(struct task *t, struct task_request *q, const void *tail, size_t tail_len,
		      int fd, struct error *err)
{
	const struct json *failure;
	struct error why = { 0 };
	int r;

	jsonw_end(&q->w);
	r = jsonw_finish(&q->w, &why);
	if (r == 0 && tail_len > 0) {
		r = buf_add(&q->text, "", 1, &why);
		if (r == 0)
			r = buf_add(&q->text, tail, tail_len, &why);
	}
	if (r == 0)
		r = await_adoption(t, &why);
	if (r == 0)
		r = fdpass_send(t->sock, q->text.data, q->text.len, &fd, fd >= 0 ? 1 : 0, &why);
	if (r < 0) {
		task_request_drop(t, q);
		/* The shim is gone, as it is when its end reaches us before the question left. */
		if (why.sys == EPIPE || why.sys == ECONNRESET)
			return error_set(err, ERR_CONFLICT, "the task has ended");
		if (why.sys == EAGAIN)
			return no_answer(err);
		if (err)
			*err = why;
		return r;
	}
	r = wait_answer(t, q, err);
	if (r < 0)
		return r;
	r = json_parse(&q->arena, q->pending.text, q->pending.len, &q->answer, err);
	if (r < 0)
		return r;
	failure = json_get(q->answer, "error");
	if (failure) {
		int64_t kind = json_int(failure, "kind", ERR_SYSTEM);
		const char *msg = json_str(failure, "msg");

		if (kind <= ERR_NONE || kind >= ERR_KIND_COUNT)
			kind = ERR_SYSTEM;
		return error_set(err, (enum error_kind)kind, "%s", msg ? msg : "");
	}
	return 0;
}

void task_request_release(struct task_request *q)
{
	buf_release(&q->text);
	arena_release(&q->arena);
	free(q->pending.text);
}

int task_start(struct task *t, pid_t *ret_pid, int64_t *ret_started_ns, struct error *err)
{
	auto_(task_request) q = { 0 };
	int r;

	pthread_mutex_lock(&t->mutex);
	t->starting = true;
	pthread_mutex_unlock(&t->mutex);
	task_request_begin(t, &q, "start", TASK_RUN_MS);
	r = task_request_send(t, &q, NULL, 0, FD_NONE, err);
	pthread_mutex_lock(&t->mutex);
	t->starting = false;
	t->started = r == 0;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mutex);
	if (r < 0)
		return r;
	*ret_pid = (pid_t)json_int(q.answer, "pid", 0);
	*ret_started_ns = json_int(q.answer, "started", 0);
	return 0;
}

static void session_words(struct jsonw *w, const struct task_session *s)
{
	jsonw_kbool(w, "stdin", s->streams & TASK_STDIN);
	jsonw_kbool(w, "stdout", s->streams & TASK_STDOUT);
	jsonw_kbool(w, "stderr", s->streams & TASK_STDERR);
	jsonw_kbool(w, "raw", s->raw);
	if (!cstr_is_empty(s->detach_keys))
		jsonw_kstring(w, "keys", s->detach_keys);
}

int task_attach(struct task *t, const char *exec_id, const struct task_session *s, int take_fd,
		struct error *err)
{
	auto_(task_request) q = { 0 };
	autoclose int fd = take_fd;

	task_request_begin(t, &q, "attach", TASK_ANSWER_MS);
	if (exec_id)
		jsonw_kstring(&q.w, "id", exec_id);
	session_words(&q.w, s);
	return task_request_send(t, &q, s->early, s->early_len, fd, err);
}

void task_attach_ahead(struct task *t, const struct task_session *s, int take_fd)
{
	auto_(buf) text = BUF_INIT(TASK_MESSAGE_MAX);
	autoclose int fd = take_fd;
	struct jsonw w;
	int r;

	jsonw_init(&w, &text);
	jsonw_object(&w);
	jsonw_kint(&w, "seq", 0); /* nobody's */
	jsonw_kstring(&w, "op", "attach");
	session_words(&w, s);
	jsonw_end(&w);
	r = jsonw_finish(&w, NULL);
	if (r == 0 && s->early_len > 0)
		r = buf_add(&text, "", 1, NULL);
	if (r == 0 && s->early_len > 0)
		r = buf_add(&text, s->early, s->early_len, NULL);
	if (r == 0)
		(void)!fdpass_send(t->sock, text.data, text.len, &fd, 1, NULL);
}

int task_exec(struct task *t, const struct task_exec_spec *spec, pid_t *ret_pid, struct error *err)
{
	autofree char *name = cstr_format("process-%s", spec->exec_id);
	auto_(task_request) q = { 0 };
	autoclose int fd = spec->take_fd;
	int r;

	r = task_write_file(t->dir_fd, name, spec->process_json, spec->process_json_len, err);
	if (r < 0)
		return r;
	task_request_begin(t, &q, "exec", TASK_RUN_MS);
	jsonw_kstring(&q.w, "id", spec->exec_id);
	jsonw_kbool(&q.w, "tty", spec->tty);
	jsonw_kbool(&q.w, "open_stdin", spec->open_stdin);
	jsonw_kint(&q.w, "rows", spec->rows);
	jsonw_kint(&q.w, "cols", spec->cols);
	session_words(&q.w, &spec->session);
	r = task_request_send(t, &q, spec->session.early, spec->session.early_len, fd, err);
	if (r < 0)
		return r;
	*ret_pid = (pid_t)json_int(q.answer, "pid", 0);
	return 0;
}

int task_signal(struct task *t, const char *exec_id, int sig, struct error *err)
{
	auto_(task_request) q = { 0 };

	task_request_begin(t, &q, "signal", TASK_ANSWER_MS);
	if (exec_id)
		jsonw_kstring(&q.w, "id", exec_id);
	jsonw_kint(&q.w, "sig", sig);
	return task_request_send(t, &q, NULL, 0, FD_NONE, err);
}

int task_resize(struct task *t, const char *exec_id, uint16_t rows, uint16_t cols,
		struct error *err)
{
	auto_(task_request) q = { 0 };

	task_request_begin(t, &q, "resize", TASK_ANSWER_MS);
	if (exec_id)
		jsonw_kstring(&q.w, "id", exec_id);
	jsonw_kint(&q.w, "rows", rows);
	jsonw_kint(&q.w, "cols", cols);
	return task_request_send(t, &q, NULL, 0, FD_NONE, err);
}

int task_sync(struct task *t, struct error *err)
{
	auto_(task_request) q = { 0 };

	task_request_begin(t, &q, "state", TASK_ANSWER_MS);
	return task_request_send(t, &q, NULL, 0, FD_NONE, err);
}

int task_execs(struct task *t, void (*fn)(void *arg, const char *exec_id, pid_t pid, int code),
	       void *arg, struct error *err)
{
	auto_(task_request) q = { 0 };
	int r;

	task_request_begin(t, &q, "state", TASK_ANSWER_MS);
	r = task_request_send(t, &q, NULL, 0, FD_NONE, err);
	if (r < 0)
		return r;
	json_for_each_item (x, json_get(q.answer, "execs"))
		if (json_str(x, "id"))
			fn(arg, json_str(x, "id"), (pid_t)json_int(x, "pid", 0),
			   (int)json_int(x, "code", 0));
	return 0;
}

int task_wait(struct task *t, bool gone, int timeout_ms, const struct cancel *cancel,
	      struct task_exit *ret, struct error *err)
{
	int64_t end = clock_mono_ns() + (int64_t)timeout_ms * NS_PER_MS;
	int r = 0;

	pthread_mutex_lock(&t->mutex);
	while (!(gone ? t->gone : t->exited)) {
		struct timespec step;

		/* A cancel has no condition variable: look at it now and then. */
		r = cancel_check(cancel, err);
		if (r < 0)
			break;
		if (timeout_ms >= 0 && clock_mono_ns() >= end) {
			r = error_set(err, ERR_UNAVAILABLE, "timed out after %d ms", timeout_ms);
			break;
		}
		if (t->closed && t->gone && !t->exited) {
			r = error_set(err, ERR_CONFLICT, "the task was never started");
			break;
		}
		task_deadline(clock_mono_ns() + 50 * NS_PER_MS, &step);
		pthread_cond_timedwait(&t->changed, &t->mutex, &step);
	}
	if (r == 0 && ret)
		*ret = t->exit;
	pthread_mutex_unlock(&t->mutex);
	return r;
}
