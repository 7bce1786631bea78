/*
 * build/lent.c: times of a context that a RUN step sees.
 *
 * A file that a layer has lent to an unpacked context (build/known.h), or that a COPY makes a
 * layer's, has the layer's time. Where a step mounts the context a program may look at times
 * (make), so there each file gets its own, and stays the context's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/fs.h"
#include "build/build_internal.h"

static bool is_mounted(const struct build *b, const struct opened_context *o)
{
	for (size_t i = 0; i < b->graph.n_nodes; i++) {
		const struct node *n = b->graph.nodes[i];

		for (size_t k = 0; n->kind == NODE_RUN && k < n->run->n_mounts; k++) {
			const struct mount_spec *m = &n->run->mounts[k];
			bool takes = m->mount.type == MOUNT_BIND || m->mount.type == MOUNT_CACHE;

			if (takes && m->from.node == NULL && m->from.context != NULL &&
			    strcmp(m->from.context, o->name) == 0)
				return true;
		}
	}
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct lent_file *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

struct owner {
	struct build *build;
	struct opened_context *context;
	char name[sizeof(((struct opened_context *)0)->dirname) + 8];
};

/* The copy lies beside the context until it is whole. */
static int copy_aside(const struct owner *w, const struct tree_entry *e, int64_t mtime_ns,
		      struct error *err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	autoclose int from = FD_NONE, to = FD_NONE;
	int64_t rest = mtime_ns % NS_PER_SEC;
	int r;

	rest += rest < 0 ? NS_PER_SEC : 0;
	times[1] = (struct timespec){ .tv_sec = (mtime_ns - rest) / NS_PER_SEC, .tv_nsec = rest };
	from = openat(e->dirfd, e->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	to = openat(w->build->builder->dir_fd, w->name,
		    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (from < 0 || to < 0)
		return error_sys(err, errno, "copy '%s'", e->path);
	r = fs_copy_data(from, to, err);
	if (r == 0 && (fchmod(to, e->st->st_mode & 07777) < 0 || futimens(to, times) < 0))
		r = error_sys(err, errno, "set attributes of '%s'", e->path);
	return r;
}

static int own_file(void *arg, const struct tree_entry *e, struct error *err)
{
	const struct lent_file key = { .ino = e->st->st_ino }, *found;
	struct owner *w = arg;
	struct opened_context *o = w->context;
	uint8_t sum[SHA256_SIZE];
	struct stat st;
	int r;

	if (!S_ISREG(e->st->st_mode))
		return 0;
	found = bsearch(&key, o->lent.at, o->lent.len, sizeof(*o->lent.at), compare);
	if (found == NULL)
		return 0;
	r = copy_aside(w, e, found->mtime_ns, err);
	if (r < 0)
		return r;
	if (renameat(w->build->builder->dir_fd, w->name, e->dirfd, e->name) < 0)
		return error_sys(err, errno, "replace '%s'", e->path);
	/* The content is known already. */
	if (stat_cache_get(o->cache, e->st, sum) &&
	    fstatat(e->dirfd, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		stat_cache_put(o->cache, &st, sum);
	return 0;
}

int contexts_own_times(struct build *b, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->n_contexts; i++) {
		struct opened_context *o = &b->contexts[i];
		struct owner w = { .build = b, .context = o };

		if (!o->unpacked || !is_mounted(b, o))
			continue;
		o->tree.ours = false;
		if (o->lent.len == 0)
			continue;
		qsort(o->lent.at, o->lent.len, sizeof(*o->lent.at), compare);
		snprintf(w.name, sizeof(w.name), "%s-own", o->dirname);
		r = tree_walk(&o->tree, "", NULL, "", own_file, &w, err);
	}
	return r;
}
