/*
 * task/adopt.c: tasks that an earlier process left.
 *
 * A shim may be stopped, or wait for a disk: nothing here waits for one longer
 * than the caller says, and only one that is gone is buried.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/str.h"
#include "task/task_internal.h"

/* So long a shim that says that its task has ended may take to end itself. */
#define ENDING_NS (30 * NS_PER_SEC)
#define RETRY_MS  50

/* ERR_NOT_FOUND: nobody listens there any more; ERR_UNAVAILABLE: somebody does, and takes no call.
 */
static int connect_shim(struct task *t, struct error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	autofree char *path = NULL;
	autoclose int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char dir[FS_PROC_FD_MAX];
	int r;

	if (fd < 0)
		return error_set(err, ERR_UNAVAILABLE, "no socket: %m");
	/* Through the fd: the directory's own path may be longer than an address. */
	fs_proc_fd_path(t->dir_fd, dir);
	path = cstr_format("%s/shim.sock", dir);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		bool gone = errno == ECONNREFUSED || errno == ENOENT;

		return error_set(err, gone ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
				 "call the shim of task '%s': %m", t->id);
	}
	if (fcntl(fd, F_SETFL, 0) < 0)
		return error_set(err, ERR_UNAVAILABLE, "%m");
	task_bound_send(fd);
	t->sock = steal_fd(&fd);
	r = task_watch_control(t, err);
	if (r < 0) {
		close(steal_fd(&t->sock));
		return error_set(err, ERR_UNAVAILABLE, "cannot watch the shim of task '%s'", t->id);
	}
	return 0;
}

static void forget_question(struct task *t)
{
	if (t->question) {
		task_request_drop(t, t->question);
		task_request_release(t->question);
	}
	free(t->question);
	t->question = NULL;
}

/* Not through task_request_send: that waits for the answer, and for the end of the adoption. */
static int ask(struct task *t, struct error *err)
{
	struct task_request *q;
	int r = t->sock >= 0 ? 0 : connect_shim(t, err);

	if (r < 0)
		return r;
	q = t->question = new0(struct task_request);
	task_request_begin(t, q, "state", TASK_ANSWER_MS);
	jsonw_end(&q->w);
	r = jsonw_finish(&q->w, err);
	/* One that is gone has closed its end, which the monitor sees. */
	if (r == 0)
		(void)!fdpass_send(t->sock, q->text.data, q->text.len, NULL, 0, NULL);
	return r;
}

/* ERR_UNAVAILABLE: no answer until then. */
static int await_question(struct task *t, int64_t end_ns, bool *ret_closed, struct error *err)
{
	struct task_pending *p = &t->question->pending;
	struct timespec until;
	int r = 0;

	task_deadline(end_ns, &until);
	pthread_mutex_lock(&t->mutex);
	while (!p->done && !t->closed && r == 0)
		r = pthread_cond_timedwait(&t->changed, &t->mutex, &until);
	*ret_closed = t->closed && !p->done;
	r = p->done || t->closed ? 0 : -1;
	pthread_mutex_unlock(&t->mutex);
	return r == 0 ? 0 : error_set(err, ERR_UNAVAILABLE, "the shim does not answer");
}

static void set_known(struct task *t)
{
	pthread_mutex_lock(&t->mutex);
	t->unanswered = false;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mutex);
}

/* ERR_NOT_FOUND: it ends. */
static int read_answer(struct task *t, struct task_state *ret, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *j = NULL;
	const char *status;

	if (json_parse(&a, t->question->pending.text, t->question->pending.len, &j, NULL) < 0)
		return error_set(err, ERR_NOT_FOUND, "task '%s' gives no sense", t->id);
	status = json_str(j, "status");
	status = status ? status : "";
	if (strcmp(status, "starting") == 0)
		return error_set(err, ERR_UNAVAILABLE, "task '%s' is being started", t->id);
	if (strcmp(status, "running") != 0) {
		/* One that was never started waits for somebody who does it: not for us. */
		if (strcmp(status, "created") == 0)
			shutdown(t->sock, SHUT_RDWR);
		return error_set(err, ERR_NOT_FOUND, "task '%s' does not run", t->id);
	}
	ret->pid = (pid_t)json_int(j, "pid", 0);
	ret->started_ns = json_int(j, "started", 0);
	return 0;
}

/* Its own word counts, else its record. */
static void note_end(struct task *t, struct task_exit *ret)
{
	struct task_exit end;
	bool told;

	pthread_mutex_lock(&t->mutex);
	told = t->gone && t->exited;
	end = t->exit;
	pthread_mutex_unlock(&t->mutex);
	if (!told)
		task_bury(t->host, t->id, t->dir_fd, &end);
	if (ret)
		*ret = end;
}

static int await_end(struct task *t, int64_t end_ns, struct task_exit *ret, struct error *err)
{
	int64_t now = clock_mono_ns(), last = t->ending_ns + ENDING_NS;
	int64_t left = (end_ns < last ? end_ns : last) - now;

	if (t->sock >= 0 &&
	    task_wait(t, true, left > 0 ? (int)(left / NS_PER_MS) : 0, NULL, NULL, NULL) < 0 &&
	    clock_mono_ns() < last)
		return error_set(err, ERR_UNAVAILABLE, "task '%s' is about to end", t->id);
	note_end(t, ret);
	set_known(t);
	return error_set(err, ERR_NOT_FOUND, "task '%s' has ended", t->id);
}

/* One step: ERR_UNAVAILABLE when nothing is known yet, ERR_NOT_FOUND when it ends. */
static int look(struct task *t, int64_t end_ns, struct task_state *ret, struct error *err)
{
	bool closed = false;
	int r = 0;

	if (t->question == NULL)
		r = ask(t, err);
	if (r == 0)
		r = await_question(t, end_ns, &closed, err);
	/* Kept: the answer is still to come. */
	if (r < 0)
		return r;
	r = closed ? error_set(err, ERR_NOT_FOUND, "the shim of task '%s' has ended", t->id)
		   : read_answer(t, ret, err);
	forget_question(t);
	return r;
}

int task_adopted(struct task *t, int timeout_ms, struct task_state *ret, struct task_exit *ret_exit,
		 struct error *err)
{
	int64_t end = clock_mono_ns() + timeout_ms * NS_PER_MS;
	int r;

	while (t->ending_ns == 0) {
		r = look(t, end, ret, err);
		if (r == 0) {
			set_known(t);
			return 0;
		}
		if (r == -ERR_NOT_FOUND)
			t->ending_ns = clock_mono_ns();
		else if (clock_mono_ns() + RETRY_MS * NS_PER_MS >= end)
			return r;
		else
			poll(NULL, 0, RETRY_MS);
	}
	return await_end(t, end, ret_exit, err);
}

int task_adopt(struct task_host *h, const char *id, task_event_fn on_event, void *ctx,
	       struct task **ret, struct task_exit *ret_exit, struct error *err)
{
	struct task *t = task_new(h, id, on_event, ctx);

	t->dir_fd = openat(h->dir_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (t->dir_fd < 0) {
		task_unref(t);
		if (ret_exit)
			*ret_exit = (struct task_exit){ .code = 137 };
		return error_set(err, ERR_NOT_FOUND, "no task '%s'", id);
	}
	t->started = t->adopting = t->unanswered = true;
	if (ask(t, err) == -ERR_NOT_FOUND) {
		note_end(t, ret_exit);
		task_unref(t);
		return error_set(err, ERR_NOT_FOUND, "task '%s' has ended", id);
	}
	*ret = t;
	return 0;
}

pid_t task_pid_on_disk(struct task *t)
{
	auto_(buf) b = BUF_INIT(32);
	uint64_t pid;

	/* Reaped: the number may be another's by now. */
	if (faccessat(t->dir_fd, "exit.json", F_OK, 0) == 0 ||
	    fs_read_at(t->dir_fd, "init.pid", &b, NULL) < 0 || b.len == 0 ||
	    parse_u64(str_trim((struct str){ b.data, b.len }), INT32_MAX, &pid, NULL) < 0)
		return 0;
	return (pid_t)pid;
}
