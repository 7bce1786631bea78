#include "build/demand.h"

#include "base/vec.h"

struct nodes {
	struct node **at;
	size_t len, cap;
};

void demand_count_uses(struct graph *g)
{
	for (size_t i = 0; i < g->n_nodes; i++) {
		struct node *n = g->nodes[i];

		if (n->base != NULL)
			n->base->n_users++;
		for (size_t k = 0; k < n->n_inputs; k++)
			n->inputs[k]->n_users++;
	}
}

static void push_inputs(struct nodes *open, struct node *n)
{
	for (size_t i = 0; i < n->n_inputs; i++)
		*vec_push(open) = n->inputs[i];
}

static void demand_all(struct nodes *open)
{
	while (open->len > 0) {
		struct node *n = open->at[--open->len];

		for (; n != NULL && !n->demanded; n = n->base) {
			n->demanded = true;
			if (n->defined && !n->maybe_fast)
				push_inputs(open, n);
		}
	}
	vec_release(open);
}

void demand(struct node *n)
{
	struct nodes open = { 0 };

	*vec_push(&open) = n;
	demand_all(&open);
}

void demand_inputs(struct node *n)
{
	struct nodes open = { 0 };

	push_inputs(&open, n);
	demand_all(&open);
}

void demand_drop(struct node *n, void (*dropped)(void *arg, struct node *n), void *arg)
{
	struct nodes open = { 0 };

	for (;;) {
		if (n->base != NULL)
			*vec_push(&open) = n->base;
		push_inputs(&open, n);
		do {
			if (open.len == 0) {
				vec_release(&open);
				return;
			}
			n = open.at[--open.len];
		} while (--n->n_users > 0 || n->demanded || n->finished);
		n->cached = true;
		n->finished = true;
		dropped(arg, n);
	}
}
