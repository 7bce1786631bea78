#include "base/queue.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "tests/tap.h"

static atomic_int ran, dropped, alive, most;

static int work(void *arg, bool cancelled, struct error *err)
{
	int n = *(int *)arg, now;

	free(arg);
	if (cancelled) {
		dropped++;
		return 0;
	}
	now = ++alive;
	while (now > most)
		most = now;
	poll(NULL, 0, 1);
	alive--;
	ran++;
	return n == 7 ? error_set(err, ERR_CONFLICT, "seven") : 0;
}

static void push(struct queue *q, int n)
{
	int *arg = xcalloc(1, sizeof(*arg));

	*arg = n;
	queue_push(q, work, arg);
}

static atomic_int started;

static void start(void *arg)
{
	atomic_store((atomic_int *)arg, 1);
}

static void linger(void *arg)
{
	poll(NULL, 0, 30);
	atomic_fetch_add((atomic_int *)arg, 1);
}

int main(void)
{
	atomic_int lingered = 0;
	struct workers w;
	struct queue *q = NULL;
	struct error err = { 0 };

	is_int(queue_new(3, 2, &q, &err), 0, "a queue of three threads");
	for (int i = 100; i < 150; i++)
		push(q, i);
	is_int(queue_finish(q, &err), 0, "finish");
	is_int(ran, 50, "every task ran");
	ok(most <= 3, "never more than three at once");

	ran = 0;
	is_int(queue_new(1, 4, &q, &err), 0, "a queue of one thread");
	for (int i = 0; i < 20; i++)
		push(q, i);
	is_int(queue_finish(q, &err), -ERR_CONFLICT, "the first failure is the result");
	is_str(err.msg, "seven", "with its message");
	is_int(ran, 8, "tasks after it did not run");
	is_int(dropped, 12, "but could free what they own");

	is_int(thread_start(start, &started, "a-rather-long-name", &err), 0, "a thread");
	for (int i = 0; i < 1000 && !started; i++)
		poll(NULL, 0, 1);
	ok(started, "runs");

	workers_init(&w);
	for (int i = 0; i < 5; i++)
		is_int(workers_start(&w, linger, &lingered, "linger", &err), 0, "a worker");
	workers_finish(&w);
	is_int(lingered, 5, "the owner waited for all of them");
	is_int(workers_start(&w, linger, &lingered, "late", &err), -ERR_UNAVAILABLE,
	       "and takes no more");

	fault_arm(2, 5);
	ok(!fault_hit("a") && fault_hit("b") && !fault_hit("c"), "the second call fails, once");
	is_int(fault_count(), 3, "three were counted");
	fault_arm(0, 0);
	ok(!fault_hit("d"), "off");
	return tap_done();
}
