/*
 * What a planner says that was taken over. Properties: what is accepted refers backwards
 * only, and written again it is accepted again as the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "build/plan_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_order(const struct graph *g)
{
	for (size_t i = 0; i < g->n_nodes; i++) {
		const struct node *n = g->nodes[i];

		if (n->index != i || (n->base == NULL) != (n->kind == NODE_IMAGE) ||
		    (n->base != NULL && n->base->index >= i))
			abort();
		for (size_t k = 0; k < n->n_inputs; k++)
			if (n->inputs[k]->index >= i)
				abort();
		if (n->kind == NODE_RUN && strcmp(n->run->network, "host") == 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct digest layer = { .algo = DIGEST_SHA256 };
	static const struct plan_image_known known[] = { { "base", "sha256:a", &layer, 1 },
							 { "tools", "sha256:b", &layer, 1 } };
	static const char *const contexts[] = { "", "more", NULL };
	const struct plan_terms terms = { .images = known, .n_images = 2, .contexts = contexts };
	auto_(wire_writer) first = WIRE_WRITER_INIT, second = WIRE_WRITER_INIT;
	auto_(arena) a = ARENA_INIT;
	struct plan_answer answer, again;

	if (plan_accept(&a, (struct str){ (const char *)data, size }, &terms, &answer, NULL) < 0)
		return 0;
	if (answer.verdict.error.kind == ERR_NONE)
		check_order(&answer.graph);
	plan_answer_put(&first, &answer);
	if (first.full)
		return 0;
	if (plan_accept(&a, (struct str){ first.body.data, first.body.len }, &terms, &again, NULL) <
	    0)
		abort();
	plan_answer_put(&second, &again);
	if (first.body.len != second.body.len ||
	    memcmp(first.body.data, second.body.data, first.body.len) != 0)
		abort();
	return 0;
}
