/*
 * engine/attach.c: clients that join a container's stdio. One that comes
 * before the start waits here with its connection; the start hands it to the shim.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/str.h"
#include "engine/attach_internal.h"
#include "engine/container_internal.h"

#define PENDING_MAX 64

struct attach *attach_new(struct container *take_c, bool tty)
{
	struct attach *a = new0(struct attach);

	a->container = take_c;
	a->tty = tty;
	return a;
}

void attach_abort(struct attach *a)
{
	if (a == NULL)
		return;
	container_unref(a->container);
	free(a->detach_keys);
	free(a->exec_id);
	free(a->start_body);
	free(a);
}

bool attach_is_tty(const struct attach *a)
{
	return a->tty;
}

static void pending_free(struct attach_pending *p)
{
	if (p->fd >= 0)
		close(p->fd);
	free(p->detach_keys);
	free(p->early);
	free(p);
}

struct waiting {
	VEC(struct attach_pending *) list;
};

/* All that wait, out of the container: a client may come in this moment. */
static struct waiting take_waiting(struct container *c)
{
	struct waiting w;

	LOCKED(&c->lock);
	memcpy(&w.list, &c->pending_attach, sizeof(w.list));
	memset(&c->pending_attach, 0, sizeof(c->pending_attach));
	return w;
}

void attach_pending_drop(struct container *c)
{
	struct waiting w = take_waiting(c);

	vec_for_each (p, &w.list)
		pending_free(*p);
	vec_release(&w.list);
}

static void pending_session(const struct attach_pending *p, struct task_session *s)
{
	*s = (struct task_session){ .streams = p->streams,
				    .raw = p->raw,
				    .detach_keys = p->detach_keys,
				    .early = p->early,
				    .early_len = p->early_len };
}

void attach_pending_flush(struct container *c, struct task *t)
{
	struct waiting w = take_waiting(c);
	struct task_session s;

	vec_for_each (p, &w.list) {
		pending_session(*p, &s);
		task_attach_ahead(t, &s, steal_fd(&(*p)->fd));
		pending_free(*p);
	}
	vec_release(&w.list);
}

int container_attach_begin(struct engine *e, const char *ref,
			   const struct container_attach_options *o, struct attach **ret,
			   struct error *err)
{
	autoptr(container) c = NULL;
	struct attach *a;
	bool tty;
	int r;

	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	{
		LOCKED(&c->lock);
		if (c->status == CONTAINER_PAUSED)
			return error_set(
			    err, ERR_CONFLICT,
			    "container %s is paused, unpause the container before attach", ref);
		if (c->status == CONTAINER_RESTARTING)
			return error_set(err, ERR_CONFLICT,
					 "container %s is restarting, wait until the container is "
					 "running",
					 ref);
		tty = json_bool(c->config, "Tty", false);
		a = attach_new(container_ref(c), tty);
		a->streams =
		    (o->stdin && json_bool(c->config, "OpenStdin", false) ? TASK_STDIN : 0) |
		    (o->stdout ? TASK_STDOUT : 0) | (o->stderr ? TASK_STDERR : 0);
	}
	a->logs = o->logs;
	a->stream = o->stream;
	if (!cstr_is_empty(o->detach_keys))
		a->detach_keys = xstrdup(o->detach_keys);
	*ret = a;
	return 0;
}

/* Clients that have gone: nobody else looks at them before the start. c->lock is held. */
static void drop_gone(struct container *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->pending_attach.len; i++) {
		struct attach_pending *p = c->pending_attach.at[i];
		struct pollfd poll_fd = { .fd = p->fd };

		/* One that has only closed its sending end still listens. */
		if (poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & (POLLHUP | POLLERR)))
			pending_free(p);
		else
			c->pending_attach.at[kept++] = p;
	}
	c->pending_attach.len = kept;
}

/* Not running yet: keep the client for the start. false when it runs (or ran) by now. */
static bool keep_for_start(struct attach *a, int *fd, const void *early, size_t early_len)
{
	struct container *c = a->container;
	struct attach_pending *p;

	LOCKED(&c->lock);
	drop_gone(c);
	if (c->task != NULL || c->removed || c->pending_attach.len >= PENDING_MAX ||
	    (c->status != CONTAINER_CREATED && c->status != CONTAINER_EXITED))
		return false;
	p = new0(struct attach_pending);
	p->fd = steal_fd(fd);
	p->streams = a->streams;
	p->raw = a->tty;
	p->detach_keys = steal_ptr(a->detach_keys);
	if (early_len > 0) {
		p->early = xcalloc(1, early_len);
		memcpy(p->early, early, early_len);
		p->early_len = early_len;
	}
	*vec_push(&c->pending_attach) = p;
	return true;
}

static int replay_logs(struct attach *a, int fd, struct error *err)
{
	struct container_logs_options o = { .stdout = (a->streams & TASK_STDOUT) != 0,
					    .stderr = (a->streams & TASK_STDERR) != 0 };
	struct fd_writer w;

	if (!o.stdout && !o.stderr)
		return 0;
	fd_writer_init(&w, fd, NULL);
	return container_logs(a->container->engine, a->container->id, &o, &w.writer, NULL, err);
}

static int join(struct attach *a, int *fd, const void *early, size_t early_len, struct error *err)
{
	struct task_session s = { .streams = a->streams,
				  .raw = a->tty,
				  .detach_keys = a->detach_keys,
				  .early = early,
				  .early_len = early_len };
	struct task *t;
	int r;

	if (a->logs) {
		r = replay_logs(a, *fd, err);
		if (r < 0)
			return r;
	}
	if (!a->stream || keep_for_start(a, fd, early, early_len))
		return 0;
	{
		LOCKED(&a->container->lock);
		t = a->container->task ? task_ref(a->container->task) : NULL;
	}
	if (t == NULL)
		return error_set(err, ERR_CONFLICT, "container is not running");
	r = task_attach(t, NULL, &s, steal_fd(fd), err);
	task_unref(t);
	if (r == 0)
		container_event(a->container, "attach", NULL, 0);
	return r;
}

int attach_commit(struct attach *take_a, int take_fd, const void *early, size_t early_len,
		  struct error *err)
{
	autoclose int fd = take_fd;
	int r;

	if (take_a->exec_id)
		r = exec_start_attached(take_a, steal_fd(&fd), early, early_len, err);
	else
		r = join(take_a, &fd, early, early_len, err);
	attach_abort(take_a);
	return r;
}
