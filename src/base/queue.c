#include "base/queue.h"

#include <linux/securebits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

#include "base/alloc.h"
#include "base/lock.h"

struct task {
	queue_fn fn;
	void *arg;
};

struct queue {
	pthread_mutex_t lock; /* guards all below but `threads` */
	pthread_cond_t not_empty, not_full;
	struct task *ring; /* max_pending slots */
	size_t max_pending, head, len;
	bool closing;
	struct error err; /* of the first task that failed */
	pthread_t *threads;
	unsigned n_threads;
};

static void *work(void *arg)
{
	struct queue *q = arg;

	for (;;) {
		struct error err = { 0 };
		struct task t;
		bool cancelled;
		int r;

		pthread_mutex_lock(&q->lock);
		while (q->len == 0 && !q->closing)
			pthread_cond_wait(&q->not_empty, &q->lock);
		if (q->len == 0) {
			pthread_mutex_unlock(&q->lock);
			return NULL;
		}
		t = q->ring[q->head];
		q->head = (q->head + 1) % q->max_pending;
		q->len--;
		cancelled = q->err.kind != ERR_NONE;
		pthread_cond_signal(&q->not_full);
		pthread_mutex_unlock(&q->lock);

		r = t.fn(t.arg, cancelled, &err);
		if (r < 0 && !cancelled) {
			pthread_mutex_lock(&q->lock);
			if (q->err.kind == ERR_NONE)
				q->err = err;
			pthread_mutex_unlock(&q->lock);
		}
	}
}

/* Threads leave signals to whoever reads them by signalfd. */
static int start_quiet(pthread_t *ret, size_t stack, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return r;
}

static void stop_and_free(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closing = true;
	pthread_cond_broadcast(&q->not_empty);
	pthread_mutex_unlock(&q->lock);
	for (unsigned i = 0; i < q->n_threads; i++)
		pthread_join(q->threads[i], NULL);
	pthread_cond_destroy(&q->not_empty);
	pthread_cond_destroy(&q->not_full);
	pthread_mutex_destroy(&q->lock);
	free(q->ring);
	free(q->threads);
	free(q);
}

int queue_new(unsigned n_threads, size_t max_pending, struct queue **ret, struct error *err)
{
	struct queue *q = new0(struct queue);

	q->max_pending = max_pending ? max_pending : 1;
	q->ring = xcalloc(q->max_pending, sizeof(*q->ring));
	q->threads = xcalloc(n_threads ? n_threads : 1, sizeof(*q->threads));
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->not_empty, NULL);
	pthread_cond_init(&q->not_full, NULL);
	do {
		int r = start_quiet(&q->threads[q->n_threads], 1024UL * 1024, work, q);

		if (r != 0) {
			stop_and_free(q);
			return error_sys(err, r, "start a worker thread");
		}
		q->n_threads++;
	} while (q->n_threads < n_threads);
	*ret = q;
	return 0;
}

void queue_push(struct queue *q, queue_fn fn, void *arg)
{
	pthread_mutex_lock(&q->lock);
	while (q->len == q->max_pending)
		pthread_cond_wait(&q->not_full, &q->lock);
	q->ring[(q->head + q->len) % q->max_pending] = (struct task){ fn, arg };
	q->len++;
	pthread_cond_signal(&q->not_empty);
	pthread_mutex_unlock(&q->lock);
}

int queue_finish(struct queue *q, struct error *err)
{
	struct error first;

	pthread_mutex_lock(&q->lock);
	q->closing = true;
	pthread_cond_broadcast(&q->not_empty);
	pthread_mutex_unlock(&q->lock);
	for (unsigned i = 0; i < q->n_threads; i++)
		pthread_join(q->threads[i], NULL);
	q->n_threads = 0;
	first = q->err;
	stop_and_free(q);
	if (first.kind == ERR_NONE)
		return 0;
	if (err != NULL)
		*err = first;
	return -(int)first.kind;
}

struct start {
	void (*fn)(void *arg);
	void *arg;
	char name[16]; /* what the kernel keeps */
};

static void *run_named(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	pthread_setname_np(pthread_self(), s.name);
	s.fn(s.arg);
	return NULL;
}

int thread_start_joinable(void (*fn)(void *arg), void *arg, const char *name, pthread_t *ret_thread,
			  struct error *err)
{
	struct start *s = new0(struct start);
	int r;

	s->fn = fn;
	s->arg = arg;
	strncpy(s->name, name, sizeof(s->name) - 1);
	r = start_quiet(ret_thread, 256UL * 1024, run_named, s);
	if (r != 0) {
		free(s);
		return error_sys(err, r, "start thread '%s'", name);
	}
	return 0;
}

int thread_start(void (*fn)(void *arg), void *arg, const char *name, struct error *err)
{
	pthread_t t;
	int r = thread_start_joinable(fn, arg, name, &t, err);

	if (r == 0)
		pthread_detach(t);
	return r;
}

bool thread_act_as(uid_t uid, gid_t gid)
{
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
		return false;
	setfsgid(gid);
	setfsuid(uid);
	/* They say nothing of success; asked for -1, they tell what holds. */
	return setfsgid((gid_t)-1) == (int)gid && setfsuid((uid_t)-1) == (int)uid;
}

struct worker {
	struct workers *w;
	void (*fn)(void *arg);
	void *arg;
};

static void run_worker(void *arg)
{
	struct worker k = *(struct worker *)arg;

	free(arg);
	k.fn(k.arg);
	pthread_mutex_lock(&k.w->mutex);
	k.w->n--;
	pthread_cond_broadcast(&k.w->changed);
	pthread_mutex_unlock(&k.w->mutex);
}

void workers_init(struct workers *w)
{
	*w = (struct workers){ .closed = false };
	pthread_mutex_init(&w->mutex, NULL);
	pthread_cond_init(&w->changed, NULL);
}

int workers_start(struct workers *w, void (*fn)(void *arg), void *arg, const char *name,
		  struct error *err)
{
	struct worker *k = new0(struct worker);
	int r;

	*k = (struct worker){ w, fn, arg };
	pthread_mutex_lock(&w->mutex);
	r = w->closed ? error_set(err, ERR_UNAVAILABLE, "start thread '%s': closing", name)
		      : thread_start(run_worker, k, name, err);
	w->n += r == 0;
	pthread_mutex_unlock(&w->mutex);
	if (r < 0)
		free(k);
	return r;
}

void workers_finish(struct workers *w)
{
	pthread_mutex_lock(&w->mutex);
	w->closed = true;
	while (w->n > 0)
		pthread_cond_wait(&w->changed, &w->mutex);
	pthread_mutex_unlock(&w->mutex);
}
