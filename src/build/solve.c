/* build/solve.c: run what is not known yet, independent steps side by side. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "build/build_internal.h"
#include "build/progress.h"

#define WORKER_STACK (1U << 20)
#define WORKERS_MAX  16
#define WORKERS_MIN  4

static void set_layers(struct node *n, const struct digest *layer)
{
	const struct node *base = n->base;

	n->layers = xcalloc(base->n_layers + 1, sizeof(*n->layers));
	if (base->n_layers > 0)
		memcpy(n->layers, base->layers, base->n_layers * sizeof(*n->layers));
	n->n_layers = base->n_layers;
	n->made_layer = layer->algo != 0;
	if (n->made_layer)
		n->layers[n->n_layers++] = *layer;
}

/* The lease comes first: what is found after it stays. */
static bool find_cached(struct build *b, struct node *n)
{
	struct store *s = b->builder->cfg.store;
	struct cache_record rec;

	if (n->no_cache || cache_get(s, n->key, &rec, NULL) < 0)
		return false;
	if (rec.layer.algo != 0 &&
	    (lease_add_digest(s->db, b->lease.id, REF_LAYER, &rec.layer, NULL) < 0 ||
	     cache_get(s, n->key, &rec, NULL) < 0))
		return false;
	set_layers(n, &rec.layer);
	return true;
}

/* One build at a time does the step with this key; the others wait for it and
 * find its record. true: it is ours to do. */
static int take_off(struct build *b, struct node *n, bool *ret_ours, struct error *err)
{
	struct builder *builder = b->builder;
	int r;
	LOCKED(&builder->lock);

	*ret_ours = false;
	if (!map_has(&builder->flying, n->key)) {
		map_set(&builder->flying, n->key, builder);
		*ret_ours = true;
		return 0;
	}
	while (map_has(&builder->flying, n->key)) {
		struct timespec until;

		r = cancel_check(b->cancel, err);
		if (r < 0)
			return r;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 1;
		pthread_cond_timedwait(&builder->landed, &builder->lock.mutex, &until);
	}
	return 0;
}

static void land(struct build *b, const struct node *n)
{
	struct builder *builder = b->builder;
	LOCKED(&builder->lock);

	map_remove(&builder->flying, n->key);
	pthread_cond_broadcast(&builder->landed);
}

static int execute(struct build *b, struct node *n, const char *inputs, struct error *err)
{
	auto_(rootfs) root = ROOTFS_INIT;
	struct cache_record rec = { .text = n->text, .inputs = inputs };
	int r = rootfs_open(b, n, &root, err);

	if (r == 0) {
		if (n->kind == NODE_COPY)
			r = step_copy(b, n, root.fd, err);
		else if (n->kind == NODE_RUN)
			r = step_run(b, n, &root, err);
		else
			r = step_workdir(b, n, root.fd, err);
	}
	if (r == 0)
		r = rootfs_seal(&root, n, &rec.layer, &rec.size, err);
	if (r < 0)
		return r;
	set_layers(n, &rec.layer);
	memcpy(rec.key, n->key, sizeof(rec.key));
	return cache_put(b->builder->cfg.store, &rec, err);
}

static void explain(struct build *b, struct node *n, const char *inputs)
{
	auto_(arena) a = ARENA_INIT;
	const struct json *now, *then;
	autofree char *last = NULL;

	if (n->no_cache) {
		progress_reason(b->progress, n, "the cache was not asked (no-cache)");
		return;
	}
	if (inputs == NULL || cache_last_inputs(b->builder->cfg.store, n->text, &last, NULL) < 0 ||
	    last == NULL) {
		progress_reason(b->progress, n, "this instruction was never built here");
		return;
	}
	/* Names repeat ("arg"): a reader that refuses doubles explains less, no more. */
	if (json_parse(&a, inputs, strlen(inputs), &now, NULL) < 0 ||
	    json_parse(&a, last, strlen(last), &then, NULL) < 0) {
		progress_reason(b->progress, n, "its inputs changed");
		return;
	}
	json_for_each_member (m, now) {
		const char *was = json_str(then, m->key);

		if (m->value->type != JSON_STRING || (was != NULL && strcmp(was, m->value->s) == 0))
			continue;
		progress_reason(b->progress, n,
				strcmp(m->key, "parent") == 0
				    ? "the step before it gave another result"
				    : arena_format(&a, was ? "%s changed" : "%s is new", m->key));
		return;
	}
	progress_reason(b->progress, n, "its layer is no longer here");
}

static int run_or_wait(struct build *b, struct node *n, const char *inputs, struct error *err)
{
	bool ours = false;
	int r = 0;

	while (!ours) {
		r = take_off(b, n, &ours, err);
		if (r < 0)
			return r;
		if (!ours && find_cached(b, n)) {
			n->cached = true;
			progress_start(b->progress, n);
			return 0;
		}
	}
	progress_start(b->progress, n);
	if (b->q->explain)
		explain(b, n, inputs);
	r = execute(b, n, inputs, err);
	land(b, n);
	return r;
}

static int lease_image(struct build *b, struct node *n, struct error *err)
{
	struct store *s = b->builder->cfg.store;
	int r = 0;

	progress_start(b->progress, n);
	for (size_t i = 0; r == 0 && i < n->n_layers; i++)
		r = lease_add_digest(s->db, b->lease.id, REF_LAYER, &n->layers[i], err);
	return r;
}

static bool inputs_missed(const struct node *n)
{
	bool missed = n->base != NULL && n->base->missed;

	for (size_t i = 0; i < n->n_inputs; i++)
		missed |= n->inputs[i]->missed;
	return missed;
}

/* --plan: what would run, without running it. */
static int predict(struct build *b, struct node *n, struct error *err)
{
	autofree char *inputs = NULL;
	int r;

	n->missed = inputs_missed(n);
	if (!n->missed) {
		r = node_key(b, n, &inputs, err);
		if (r < 0)
			return r;
		n->cached = find_cached(b, n);
		n->missed = !n->cached;
	}
	progress_start(b->progress, n);
	if (n->missed)
		progress_reason(b->progress, n, "would run");
	return 0;
}

static int evaluate(struct build *b, struct node *n, struct error *err)
{
	autofree char *inputs = NULL;
	int r = cancel_check(b->cancel, err);

	if (r < 0)
		return r;
	if (n->kind == NODE_IMAGE)
		return lease_image(b, n, err);
	if (b->q->plan)
		return predict(b, n, err);
	r = node_key(b, n, &inputs, err);
	if (r < 0)
		return r;
	if (find_cached(b, n)) {
		n->cached = true;
		progress_start(b->progress, n);
		return 0;
	}
	return run_or_wait(b, n, inputs, err);
}

static bool is_ready(const struct node *n)
{
	if (n->claimed || (n->base != NULL && !n->base->finished))
		return false;
	for (size_t i = 0; i < n->n_inputs; i++) {
		if (!n->inputs[i]->finished)
			return false;
	}
	return true;
}

/* With b->lock. NULL: nothing to do now. *ret_more: but perhaps later. */
static struct node *claim(struct build *b, bool *ret_more)
{
	*ret_more = false;
	for (size_t i = 0; i < b->graph.n_nodes && !b->stop; i++) {
		struct node *n = b->graph.nodes[i];

		if (is_ready(n)) {
			n->claimed = true;
			return n;
		}
		*ret_more |= !n->finished;
	}
	return NULL;
}

static void finish(struct build *b, struct node *n, int r, const struct error *err)
{
	progress_done(b->progress, n, r < 0 ? err : NULL);
	lock_take(&b->lock);
	n->finished = r == 0;
	if (r < 0 && !b->stop) {
		b->stop = true;
		b->error = *err;
		b->failed = n;
	}
	pthread_cond_broadcast(&b->changed);
	lock_drop(&b->lock);
}

static void *work(void *arg)
{
	struct build *b = arg;
	bool more = true;

	lock_take(&b->lock);
	while (more) {
		struct node *n = claim(b, &more);
		struct error err;
		int r;

		if (n == NULL && more && !b->stop) {
			pthread_cond_wait(&b->changed, &b->lock.mutex);
			continue;
		}
		if (n == NULL)
			break;
		more = true;
		lock_drop(&b->lock);
		r = evaluate(b, n, &err);
		finish(b, n, r, &err);
		lock_take(&b->lock);
	}
	lock_drop(&b->lock);
	return NULL;
}

static size_t worker_count(const struct build *b)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = cpus > 0 ? (size_t)cpus * 2 : 2;

	if (n < WORKERS_MIN)
		n = WORKERS_MIN;
	if (n > WORKERS_MAX)
		n = WORKERS_MAX;
	return n < b->graph.n_nodes ? n : b->graph.n_nodes;
}

int solve(struct build *b, struct error *err)
{
	pthread_t threads[WORKERS_MAX];
	size_t n = worker_count(b), started = 0;
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	while (started < n && pthread_create(&threads[started], &attr, work, b) == 0)
		started++;
	pthread_attr_destroy(&attr);
	if (started == 0)
		return error_set(err, ERR_UNAVAILABLE, "no thread for the build");
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	if (b->stop) {
		if (err != NULL)
			*err = b->error;
		return -(int)b->error.kind;
	}
	return 0;
}
