/* build/push.c: blobs of the store to a registry, side by side. See cache_places.h. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/queue.h"
#include "build/build_internal.h"
#include "build/cache_places.h"

#define PUSHES_MAX 5

struct push_task {
	struct build *build;
	struct remote_repo *repo;
	const struct descriptor *blob;
};

static int push_work(void *arg, bool cancelled, struct error *err)
{
	struct push_task *t = arg;
	enum remote_push_result result;
	autoclose int fd = FD_NONE;
	int r = cancelled ? 0 : cancel_check(t->build->cancel, err);

	if (!cancelled && r == 0)
		r = content_open(t->build->builder->cfg.store->content, &t->blob->digest, &fd, NULL,
				 err);
	if (!cancelled && r == 0)
		r = remote_push_blob(t->repo, t->blob, fd, NULL, NULL, NULL, &result, err);
	free(t);
	return r;
}

int push_blobs(struct build *b, struct remote_repo *repo, const struct descriptor *d, size_t n,
	       struct error *err)
{
	struct queue *q;
	int r = queue_new(n < PUSHES_MAX ? (unsigned)n : PUSHES_MAX, n + 1, &q, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct push_task *t = new0(struct push_task);

		*t = (struct push_task){ b, repo, &d[i] };
		queue_push(q, push_work, t);
	}
	return queue_finish(q, err);
}
