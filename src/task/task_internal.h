/* task/task_internal.h: what the files of this room share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/queue.h"
#include "base/vec.h"
#include "task/task.h"

#define TASK_MESSAGE_MAX 65536

enum watch_kind { WATCH_STOP, WATCH_CONTROL, WATCH_CHILD };

/* What an entry of the monitor's epoll set points to. */
struct task_watch {
	enum watch_kind kind;
};

struct task_child {
	struct task_watch watch;
	int pidfd;
};

#define TASK_WARM_READY 2

/* Shims that wait for a container: the control sockets. warm.c. */
struct task_warm {
	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t changed;
	int socks[TASK_WARM_READY];
	unsigned n;
	int64_t due_ns; /* when the next ones are made; 0 = not asked for */
	bool stop;
	bool running; /* the owner's: the thread is there */
	pthread_t thread;
};

struct task_host {
	char *shim_path, *tasks_dir;
	struct task_warm warm;
	int dir_fd, epoll_fd;
	pthread_t thread;
	bool running;
	struct cancel stop;
	struct task_watch stop_watch;
	char message[TASK_MESSAGE_MAX]; /* the monitor's */
	struct workers workers;         /* what ends for a shim that died */
};

/* Someone who waits for an answer; on his stack. */
struct task_pending {
	struct task_pending *next;
	int64_t seq;
	bool done;
	char *text;
	size_t len;
};

/* An event that came before its owner was ready for it. */
struct task_held {
	struct task_event event;
	char *exec_id;
};

struct task {
	atomic_int refs;
	struct task_host *host;
	char *id;
	int dir_fd;
	int sock; /* control connection */
	struct task_watch watch;
	task_event_fn on_event;
	void *ctx;

	pthread_mutex_t mutex; /* guards what follows */
	pthread_cond_t changed;
	int64_t seq;
	struct task_pending *pending;
	bool starting, started, exited, gone, closed;
	bool adopting;   /* until task_listen: events are held */
	bool unanswered; /* until task_adopted knows how it is: requests wait a moment for that */
	VEC(struct task_held) held;
	struct task_exit exit;

	/* Of the one thread that adopts: adopt.c. */
	struct task_request *question; /* how it is; NULL: not asked */
	int64_t ending_ns;             /* since when it is known to end; 0: not known */
};

/* One request: begin, add members to w, send, look at answer. */
struct task_request {
	struct task_pending pending;
	int64_t until_ns; /* monotonic: later the shim does not do it, and nobody waits */
	struct buf text;
	struct jsonw w;
	struct arena arena;
	const struct json *answer;
};
#define TASK_ANSWER_MS 10000
#define TASK_RUN_MS    120000 /* of a start or an exec, which the shim answers when it runs */
void task_request_begin(struct task *t, struct task_request *q, const char *op, int timeout_ms);
/* Leave the list of those who wait for an answer. */
void task_request_drop(struct task *t, struct task_request *q);
/* A shim that reads no more must not hold up who writes to it. */
void task_bound_send(int sock);
/* For pthread_cond_timedwait with a task's condition. */
void task_deadline(int64_t mono_ns, struct timespec *ret);
MUST_CHECK int task_request_send(struct task *t, struct task_request *q, const void *tail,
				 size_t tail_len, int fd, struct error *err);
void task_request_release(struct task_request *q);
DEFINE_AUTO(task_request, task_request_release);

struct task *task_new(struct task_host *h, const char *id, task_event_fn on_event, void *ctx);
/* From here on the monitor has a reference, until the shim's end. */
MUST_CHECK int task_watch_control(struct task *t, struct error *err);
/* A new file in the task's directory, not fsynced. */
MUST_CHECK int task_write_file(int dir_fd, const char *name, const void *bytes, size_t len,
			       struct error *err);
/* A shim with the words argv, whose end the monitor reaps; the fds are borrowed, rootfs_fd may be
 * FD_NONE. */
MUST_CHECK int task_spawn_shim(struct task_host *h, const char *const *argv, int control_fd,
			       int rootfs_fd, struct error *err);
/* Keep shims ready from now on. Without a thread none is ready, which is no failure. */
void task_warm_open(struct task_host *h);
void task_warm_close(struct task_host *h);
/* Make one that waits the shim of the task id: its control socket, the caller's; FD_NONE: none
 * is ready. rootfs_fd is borrowed, may be FD_NONE. */
int task_warm_take(struct task_host *h, const char *id, int rootfs_fd);
/* The shim is dead: kill what it watched, clean up, say how it ended. */
void task_bury(struct task_host *h, const char *id, int dir_fd, struct task_exit *ret);
