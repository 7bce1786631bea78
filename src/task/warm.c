/*
 * task/warm.c: shims that are started ahead of their container.
 *
 * An execution, its protection from the container and libc's start are 3 ms of a start. A warm
 * shim has them behind it and waits on its control socket for the name of a task. It knows nothing
 * of any container before, is in no namespace of its own, and ends with us.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdpass.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "task/task_internal.h"

/* Who took one has a container to start: the processors are wanted for that. */
#define DELAY_MS 10
/* Room for the name in the words that ps shows: a container's id. */
#define NAME_ROOM "----------------------------------------------------------------"

static int make_one(struct task_host *h, int *ret_sock, struct error *err)
{
	autofree char *dir = cstr_format("%s/" NAME_ROOM, h->tasks_dir);
	const char *argv[] = { "proa-runtime", "shim", "--dir", dir, "--fd", "3",
			       "--await",      "task", NULL };
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, errno, "socketpair");
	r = task_spawn_shim(h, argv, pair[1], FD_NONE, err);
	close(pair[1]);
	if (r < 0) {
		close(pair[0]);
		return r;
	}
	*ret_sock = pair[0];
	return 0;
}

/* Until there is work; false: it is over. w->mutex held. */
static bool wait_until_due(struct task_warm *w)
{
	while (!w->stop) {
		int64_t left = w->due_ns - clock_mono_ns();
		struct timespec until;

		if (w->due_ns != 0 && left <= 0)
			return true;
		if (w->due_ns == 0) {
			pthread_cond_wait(&w->changed, &w->mutex);
			continue;
		}
		until = (struct timespec){ .tv_sec = w->due_ns / NS_PER_SEC,
					   .tv_nsec = w->due_ns % NS_PER_SEC };
		pthread_cond_clockwait(&w->changed, &w->mutex, CLOCK_MONOTONIC, &until);
	}
	return false;
}

static void keep_ready(void *arg)
{
	struct task_host *h = arg;
	struct task_warm *w = &h->warm;

	pthread_mutex_lock(&w->mutex);
	while (wait_until_due(w)) {
		struct error failure = { 0 };
		int sock = FD_NONE, r;

		if (w->n == TASK_WARM_READY) {
			w->due_ns = 0;
			continue;
		}
		pthread_mutex_unlock(&w->mutex);
		r = make_one(h, &sock, &failure);
		pthread_mutex_lock(&w->mutex);
		if (r == 0)
			w->socks[w->n++] = sock;
		else /* The next who takes one asks again, and hears why there is none. */
			w->due_ns = 0;
	}
	pthread_mutex_unlock(&w->mutex);
}

void task_warm_open(struct task_host *h)
{
	struct error failure = { 0 };

	h->warm.due_ns = clock_mono_ns();
	if (thread_start_joinable(keep_ready, h, "task-warm", &h->warm.thread, &failure) == 0)
		h->warm.running = true;
	else
		log_debug("no shims are kept ready", KV_ERR(&failure));
}

void task_warm_close(struct task_host *h)
{
	struct task_warm *w = &h->warm;

	if (w->running) {
		pthread_mutex_lock(&w->mutex);
		w->stop = true;
		pthread_cond_signal(&w->changed);
		pthread_mutex_unlock(&w->mutex);
		pthread_join(w->thread, NULL);
	}
	/* They see the end of their socket. */
	while (w->n > 0)
		close(w->socks[--w->n]);
	pthread_mutex_destroy(&w->mutex);
	pthread_cond_destroy(&w->changed);
}

static int take_sock(struct task_warm *w)
{
	int sock = FD_NONE;

	pthread_mutex_lock(&w->mutex);
	if (w->n > 0)
		sock = w->socks[--w->n];
	if (w->running && w->due_ns == 0) {
		w->due_ns = clock_mono_ns() + DELAY_MS * NS_PER_MS;
		pthread_cond_signal(&w->changed);
	}
	pthread_mutex_unlock(&w->mutex);
	return sock;
}

static int send_name(struct task_host *h, int sock, const char *id, int rootfs_fd)
{
	autofree char *dir = cstr_format("%s/%s", h->tasks_dir, id);

	return fdpass_send(sock, dir, strlen(dir), &rootfs_fd, rootfs_fd >= 0 ? 1 : 0, NULL);
}

int task_warm_take(struct task_host *h, const char *id, int rootfs_fd)
{
	int sock;

	while ((sock = take_sock(&h->warm)) >= 0) {
		if (send_name(h, sock, id, rootfs_fd) == 0)
			return sock;
		close(sock); /* somebody killed it */
	}
	return FD_NONE;
}
