/* Who needs what: chains as long as a plan may be, on a thread's small stack. */
#include "build/demand.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "build/plan_wire.h"
#include "tests/tap.h"

#define LONG PLAN_STEPS_MAX

static struct node *nodes, **list;

/* Each node builds upon the one before, or reads it. */
static struct graph chain(bool by_inputs)
{
	nodes = xcalloc(LONG, sizeof(*nodes));
	list = xcalloc(LONG, sizeof(*list));
	for (size_t i = 0; i < LONG; i++) {
		list[i] = &nodes[i];
		nodes[i].defined = true;
		if (i == 0)
			continue;
		nodes[i].base = by_inputs ? NULL : &nodes[i - 1];
		nodes[i].inputs = &list[i - 1];
		nodes[i].n_inputs = by_inputs;
	}
	return (struct graph){ .nodes = list, .n_nodes = LONG };
}

static size_t n_dropped;

static void dropped(void *arg, struct node *n)
{
	n_dropped += n->cached && n->finished && arg == NULL;
}

static void try_chain(bool by_inputs)
{
	struct graph g = chain(by_inputs);
	size_t n = 0;

	n_dropped = 0;
	demand_count_uses(&g);
	nodes[LONG - 1].finished = true;
	demand_drop(&nodes[LONG - 1], dropped, NULL);
	is_int((long long)n_dropped, LONG - 1, "what only the last one needs is dropped");
	demand(&nodes[LONG - 1]);
	for (size_t i = 0; i < LONG; i++)
		n += nodes[i].demanded;
	is_int((long long)n, LONG, "what the last one needs is demanded");
	free(nodes);
	free(list);
}

static void *work(void *arg)
{
	(void)arg;
	try_chain(false);
	try_chain(true);
	return NULL;
}

/* a <- b <- c; d reads b. */
static void test_few(void)
{
	struct node a = { 0 }, b = { .base = &a }, c = { .base = &b }, d = { 0 };
	struct node *reads = &b, *all[] = { &a, &b, &c, &d };
	struct graph g = { .nodes = all, .n_nodes = 4 };

	d.inputs = &reads;
	d.n_inputs = 1;
	demand_count_uses(&g);
	is_int((long long)b.n_users, 2, "two may ask for b");
	demand(&d);
	ok(d.demanded && !b.demanded, "what is not defined does not ask for what it reads yet");
	demand_inputs(&d);
	ok(b.demanded && a.demanded && !c.demanded, "then it does");
	n_dropped = 0;
	c.finished = true;
	demand_drop(&c, dropped, NULL);
	is_int((long long)n_dropped, 0, "what is demanded is not dropped");
	is_int((long long)b.n_users, 1, "but has a user less");
}

int main(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	test_few();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	ok(pthread_create(&thread, &attr, work, NULL) == 0, "a thread with a small stack");
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
	return tap_done();
}
