/*
 * image/ahead.c: see ahead.h. A ring of buffers, one producer, one consumer.
 *
 * Who has waited is woken when there is work for a while, not for one piece: on a
 * busy machine a thread that sleeps waits for its turn, and with a wake-up per
 * piece that was four fifths of a pull's time.
 */
#include "image/ahead.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define N_PIECES   32
#define PIECE_SIZE (128 * 1024)
#define WAKE_MADE  (N_PIECES / 2) /* pieces that wake the consumer */
#define WAKE_LEFT  (N_PIECES / 4) /* no more than these wake the producer */

struct piece {
	size_t len, at; /* len 0: the end */
	char bytes[PIECE_SIZE];
};

struct ahead {
	struct reader reader;
	struct reader *from;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t n_made, n_used; /* pieces, ever growing */
	bool sleeps[2];        /* producer, consumer */
	bool stop, ended;      /* ended: the producer is through */
	int result;
	struct error err;
	struct piece pieces[N_PIECES];
};

/* Fill a piece as far as possible: small reads would cost a wake-up each. */
static int fill(struct ahead *a, struct piece *p)
{
	size_t n = 1;
	int r = 0;

	p->len = p->at = 0;
	while (r == 0 && n > 0 && p->len < PIECE_SIZE) {
		r = reader_read(a->from, p->bytes + p->len, PIECE_SIZE - p->len, &n, &a->err);
		if (r == 0)
			p->len += n;
	}
	return r;
}

enum { PRODUCER, CONSUMER };

/* The lock is held. The two never sleep at once: one condition does for both. */
static void sleep_as(struct ahead *a, int who)
{
	a->sleeps[who] = true;
	pthread_cond_wait(&a->changed, &a->lock);
	a->sleeps[who] = false;
}

/* The lock is held. */
static void wake(struct ahead *a, int who, bool worth_it)
{
	if (a->sleeps[who] && worth_it)
		pthread_cond_signal(&a->changed);
}

static void *produce(void *arg)
{
	struct ahead *a = arg;
	bool end = false;

	while (!end) {
		struct piece *p;
		int r;

		pthread_mutex_lock(&a->lock);
		while (!a->stop && a->n_made - a->n_used == N_PIECES)
			sleep_as(a, PRODUCER);
		end = a->stop;
		pthread_mutex_unlock(&a->lock);
		if (end)
			break;
		p = &a->pieces[a->n_made % N_PIECES];
		r = fill(a, p);
		pthread_mutex_lock(&a->lock);
		a->result = r;
		end = r < 0 || p->len == 0;
		if (p->len > 0)
			a->n_made++;
		a->ended = end;
		wake(a, CONSUMER, end || a->n_made - a->n_used >= WAKE_MADE);
		pthread_mutex_unlock(&a->lock);
	}
	return NULL;
}

static int consume(struct reader *r, void *out, size_t len, size_t *ret_n, struct error *err)
{
	struct ahead *a = container_of(r, struct ahead, reader);
	struct piece *p;
	bool any;

	pthread_mutex_lock(&a->lock);
	while (a->n_made == a->n_used && !a->ended)
		sleep_as(a, CONSUMER);
	any = a->n_made != a->n_used;
	pthread_mutex_unlock(&a->lock);
	*ret_n = 0;
	if (!any) {
		if (a->result < 0 && err)
			*err = a->err;
		return a->result;
	}
	p = &a->pieces[a->n_used % N_PIECES];
	*ret_n = p->len - p->at < len ? p->len - p->at : len;
	memcpy(out, p->bytes + p->at, *ret_n);
	p->at += *ret_n;
	if (p->at == p->len) {
		pthread_mutex_lock(&a->lock);
		a->n_used++;
		wake(a, PRODUCER, a->n_made - a->n_used <= WAKE_LEFT);
		pthread_mutex_unlock(&a->lock);
	}
	return 0;
}

int ahead_start(struct reader *from, struct ahead **ret, struct error *err)
{
	static const struct reader_ops ops = { consume };
	struct ahead *a = new0(struct ahead);
	sigset_t all, old;
	int r;

	a->reader.ops = &ops;
	a->from = from;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
	/* Signals belong to one thread of the daemon. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&a->thread, NULL, produce, a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0) {
		free(a);
		return error_sys(err, r, "start a thread");
	}
	*ret = a;
	return 0;
}

struct reader *ahead_reader(struct ahead *a)
{
	return &a->reader;
}

void ahead_stop(struct ahead *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	pthread_join(a->thread, NULL);
	pthread_cond_destroy(&a->changed);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
