/*
 * base/queue.h: a bounded number of threads that work off tasks.
 *
 * queue_push blocks while `max_pending` tasks wait, so a producer cannot
 * outrun the workers. The first failing task's error is kept; later tasks are
 * then dropped (their fn is called with cancelled = true so that they can free).
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct queue;

/* Returns 0 or an error; must free arg in every case. */
typedef int (*queue_fn)(void *arg, bool cancelled, struct error *err);

MUST_CHECK int queue_new(unsigned n_threads, size_t max_pending, struct queue **ret,
			 struct error *err);
void queue_push(struct queue *q, queue_fn fn, void *arg);
/* Wait until everything pushed is done; the first task's error, or 0. Frees q. */
MUST_CHECK int queue_finish(struct queue *q, struct error *err);

/* A detached thread of 256 KiB stack, all signals blocked. fn owns arg. */
MUST_CHECK int thread_start(void (*fn)(void *arg), void *arg, const char *name, struct error *err);
/* The same for a thread that its owner ends: pthread_join(*ret_thread) before what it uses is
 * freed. */
MUST_CHECK int thread_start_joinable(void (*fn)(void *arg), void *arg, const char *name,
				     pthread_t *ret_thread, struct error *err);
/*
 * For file systems the calling thread is uid:gid from here, with all its capabilities: what it
 * makes in an id-mapped place is theirs. There is no way back, so it does this one thing and ends.
 */
bool thread_act_as(uid_t uid, gid_t gid);

/* Detached threads that their owner waits for before it frees what they use. */
struct workers {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	unsigned n;
	bool closed;
};

void workers_init(struct workers *w);
/* thread_start, counted. ERR_UNAVAILABLE once workers_finish has begun; arg is the caller's then.
 */
MUST_CHECK int workers_start(struct workers *w, void (*fn)(void *arg), void *arg, const char *name,
			     struct error *err);
/* Take no more and wait until all have ended. Nothing after workers_init or another finish. */
void workers_finish(struct workers *w);
