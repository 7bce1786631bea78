/*
 * engine/wait.c: waiting for containers. Who waits has an eventfd in the
 * container's list; each change of state writes to all of them.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "engine/container_internal.h"

void container_changed(struct container *c)
{
	static const uint64_t one = 1;

	lock_assert_held(&c->lock);
	c->change_seq++;
	vec_for_each (fd, &c->watchers)
		(void)!write(*fd, &one, sizeof(one));
}

int container_watch(struct container *c, int *ret_fd, struct error *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return error_sys(err, errno, "eventfd");
	LOCKED(&c->lock);
	*vec_push(&c->watchers) = fd;
	*ret_fd = fd;
	return 0;
}

void container_unwatch(struct container *c, int fd)
{
	size_t i;

	LOCKED(&c->lock);
	for (i = 0; i < c->watchers.len; i++) {
		if (c->watchers.at[i] != fd)
			continue;
		c->watchers.at[i] = c->watchers.at[--c->watchers.len];
		break;
	}
	close(fd);
}

static int poll_watcher(struct container *c, int fd, int64_t deadline_ns,
			const struct cancel *cancel, struct error *err)
{
	struct pollfd p[3] = { { fd, POLLIN, 0 },
			       { c->engine->closing.fd, POLLIN, 0 },
			       { cancel ? cancel->fd : -1, POLLIN, 0 } };
	int timeout = -1;
	uint64_t count;

	if (deadline_ns != INT64_MAX) {
		int64_t left = deadline_ns - clock_mono_ns();

		if (left <= 0)
			return error_set(err, ERR_UNAVAILABLE, "timed out");
		timeout = (int)((left + NS_PER_MS - 1) / NS_PER_MS);
	}
	if (poll(p, 3, timeout) < 0 && errno != EINTR)
		return error_sys(err, errno, "poll");
	if (p[1].revents || p[2].revents)
		return error_set(err, ERR_CANCELED, "canceled");
	if (p[0].revents)
		(void)!read(fd, &count, sizeof(count));
	return 0;
}

int container_await(struct container *c, bool (*pred)(struct container *c, void *arg), void *arg,
		    int64_t deadline_ns, const struct cancel *cancel, struct error *err)
{
	bool done;
	int fd, r;

	r = container_watch(c, &fd, err);
	if (r < 0)
		return r;
	{
		LOCKED(&c->lock);
		done = pred(c, arg);
	}
	while (!done) {
		r = poll_watcher(c, fd, deadline_ns, cancel, err);
		if (r < 0)
			break;
		LOCKED(&c->lock);
		done = pred(c, arg);
	}
	container_unwatch(c, fd);
	return r;
}

static bool is_settled(struct container *c, void *arg)
{
	(void)arg;
	return !c->ending;
}

void container_settle(struct container *c, int64_t deadline_ns)
{
	{
		LOCKED(&c->lock);
		if (!c->ending)
			return;
	}
	(void)!container_await(c, is_settled, NULL, deadline_ns, NULL, NULL);
}

int container_wait_condition_parse(const char *s, enum container_wait_condition *ret,
				   struct error *err)
{
	if (s == NULL || s[0] == '\0' || strcmp(s, "not-running") == 0)
		*ret = WAIT_NOT_RUNNING;
	else if (strcmp(s, "next-exit") == 0)
		*ret = WAIT_NEXT_EXIT;
	else if (strcmp(s, "removed") == 0)
		*ret = WAIT_REMOVED;
	else
		return error_set(err, ERR_INVALID, "invalid condition: \"%s\"", s);
	return 0;
}

struct waited {
	enum container_wait_condition condition;
	uint64_t exit_seq;
	bool was_running;
	int code;
	char *failure; /* why it was not removed; of the caller */
};

static bool wait_over(struct container *c, void *arg)
{
	struct waited *w = arg;
	bool over = false;

	switch (w->condition) {
	case WAIT_NOT_RUNNING:
		over = !w->was_running || c->exit_seq != w->exit_seq;
		break;
	case WAIT_NEXT_EXIT:
		over = c->exit_seq != w->exit_seq || c->removed;
		break;
	case WAIT_REMOVED:
		over = c->removed;
		if (!over && c->exit_seq != w->exit_seq && c->not_removed) {
			w->failure = xstrdup(c->not_removed);
			over = true;
		}
		break;
	}
	w->code = c->exit_code;
	return over;
}

static int wait_answer(struct writer *out, const char *failure, int code, struct error *err)
{
	auto_(buf) b = BUF_INIT(4096);
	struct jsonw w;
	int r;

	jsonw_init(&w, &b);
	jsonw_object(&w);
	if (failure) {
		jsonw_kobject(&w, "Error");
		jsonw_kstring(&w, "Message", failure);
		jsonw_end(&w);
	} else {
		jsonw_knull(&w, "Error");
	}
	jsonw_kint(&w, "StatusCode", code);
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	if (r == 0)
		r = buf_add(&b, "\n", 1, err);
	return r < 0 ? r : writer_write(out, b.data, b.len, err);
}

int container_wait(struct engine *e, const char *ref, enum container_wait_condition condition,
		   struct writer *out, const struct cancel *cancel, struct error *err)
{
	autoptr(container) c = NULL;
	struct waited w = { .condition = condition };
	int r;

	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	{
		LOCKED(&c->lock);
		w.exit_seq = c->exit_seq;
		w.was_running = container_is_running(c);
	}
	r = writer_write(out, "", 0, err);
	if (r < 0)
		return r;
	r = container_await(c, wait_over, &w, INT64_MAX, cancel, err);
	if (r == -ERR_CANCELED)
		return wait_answer(out, "context canceled", -1, err);
	if (r < 0)
		return wait_answer(out, err->msg, -1, NULL);
	r = wait_answer(out, w.failure, w.code, err);
	free(w.failure);
	return r;
}
