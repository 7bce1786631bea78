/*
 * engine/extract.c: put an archive into a container's root.
 *
 * The live root of --userns=auto is id-mapped: our root is nobody there and could make nothing. A
 * thread of its own does that work as the namespace's root, still from outside and with the
 * paths resolved below the root's fd: no process of ours is ever in the namespace.
 */
#include <pthread.h>

#include "archive/apply.h"
#include "base/queue.h"
#include "engine/container_internal.h"
#include "engine/idmap.h"

struct mapped_extract {
	int root;
	const char *dest;
	struct reader *in;
	const struct extract_options *o;
	struct error *err;
	int r;
};

static void extract_as_root_of_namespace(void *arg)
{
	struct mapped_extract *x = arg;
	const struct id_maps *m = x->o->maps;

	if (!thread_act_as(id_map_root(m->uids, m->n_uids), id_map_root(m->gids, m->n_gids)))
		x->r = error_set(x->err, ERR_SYSTEM, "act as the root of the user namespace");
	else
		x->r = archive_extract(x->root, x->dest, x->in, x->o, NULL, x->err);
}

int container_extract(int root, const char *dest, struct reader *in,
		      const struct extract_options *o, struct error *err)
{
	struct mapped_extract x = { root, dest, in, o, err, 0 };
	pthread_t thread;
	int r;

	if (o->maps == NULL)
		return archive_extract(root, dest, in, o, NULL, err);
	r = thread_start_joinable(extract_as_root_of_namespace, &x, "extract", &thread, err);
	if (r < 0)
		return r;
	pthread_join(thread, NULL);
	return x.r;
}
