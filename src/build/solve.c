/*
 * build/solve.c: run what is not known yet, independent steps side by side.
 *
 * Every node is defined (what does it say, which files of the context does it take),
 * but only what is demanded gets a result: the target, what it builds upon, and
 * what a step reads that is not in the cache by its definition.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "build/build_internal.h"
#include "build/cache_import.h"
#include "build/cache_places.h"
#include "build/copied.h"
#include "build/demand.h"
#include "build/explain.h"
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
static bool find_here(struct build *b, struct node *n)
{
	struct store *s = b->builder->cfg.store;
	int64_t used = b->started_ns - n->index;
	struct cache_record rec;

	if (n->no_cache || cache_get(s, n->key, used, &rec, NULL) < 0)
		return false;
	if (rec.layer.algo != 0 &&
	    (lease_add_digest(s->db, b->lease.id, REF_LAYER, &rec.layer, NULL) < 0 ||
	     cache_get(s, n->key, used, &rec, NULL) < 0))
		return false;
	set_layers(n, &rec.layer);
	return true;
}

static bool find_cached(struct build *b, struct node *n)
{
	return find_here(b, n) || (!n->no_cache && b->imports != NULL &&
				   cache_imports_fetch(b->imports, n->key) && find_here(b, n));
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

/* NULL: this step's files are not to be recognised. */
static struct copied *open_copied(struct build *b, const struct node *n)
{
	const struct opened_context *o = n->kind == NODE_COPY && n->copy->from.node == NULL
					     ? context_find(b, n->copy->from.context)
					     : NULL;
	const char *parts[] = { o ? o->origin : NULL, n->stage, n->text, o ? n->copy->dest : NULL };
	char hex[2 * SHA256_SIZE + 1];
	uint8_t sum[SHA256_SIZE];
	auto_(hash) h = { 0 };

	if (o == NULL || o->origin == NULL)
		return NULL;
	hash_init_sha256(&h);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		hash_add(&h, parts[i], strlen(parts[i]) + 1);
	hash_finish(&h, sum);
	hex_format(sum, sizeof(sum), hex);
	return copied_new(b->builder->cfg.store, o->origin, hex, n->no_cache ? NULL : b->lease.id);
}

static int execute(struct build *b, struct node *n, const char *inputs, struct error *err)
{
	auto_(rootfs) root = ROOTFS_INIT;
	autoptr(copied) copied = open_copied(b, n);
	struct cache_record rec = { .text = n->text,
				    .inputs = inputs,
				    .used_ns = b->started_ns - n->index };
	int r = rootfs_open(b, n, &root, err);

	if (r == 0) {
		if (n->kind == NODE_COPY)
			r = step_copy(b, n, &root, copied, err);
		else if (n->kind == NODE_RUN)
			r = step_run(b, n, &root, err);
		else
			r = step_workdir(b, n, root.fd, err);
	}
	/* Only what was copied tells which files are others. */
	if (b->q->explain && n->kind == NODE_COPY)
		explain_step(b, n, inputs, copied);
	if (r == 0)
		r = rootfs_seal(&root, n, &rec.layer, &rec.size, err);
	if (r < 0)
		return r;
	set_layers(n, &rec.layer);
	n->cost.layer_bytes = rec.size;
	if (copied != NULL && n->made_layer)
		copied_save(copied, &rec.layer);
	memcpy(rec.key, n->key, sizeof(rec.key));
	return cache_put(b->builder->cfg.store, &rec, err);
}

/* Remember under its definition what a step that reads others was found or made as. */
static void note_fast(struct build *b, const struct node *n)
{
	char fast[65], def[65];

	if (n->n_inputs == 0)
		return;
	node_fast_key(n, fast);
	hex_format(n->def, sizeof(n->def), def);
	/* Without it the next build reads more; nothing else. */
	(void)!cache_fast_put(b->builder->cfg.store, fast, def, n->key, NULL);
}

static bool find_fast(struct build *b, struct node *n)
{
	char fast[65];

	node_fast_key(n, fast);
	if ((cache_fast_get(b->builder->cfg.store, fast, n->key, NULL) == 0 ||
	     (b->imports != NULL && cache_imports_fast(b->imports, fast, n->key))) &&
	    find_cached(b, n))
		return true;
	n->key[0] = '\0';
	return false;
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
	if (b->q->explain && n->kind != NODE_COPY)
		explain_step(b, n, inputs, NULL);
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

	n->missed = n->base->missed || !n->cached;
	if (n->missed && !inputs_missed(n)) {
		r = node_key(b, n, &inputs, err);
		if (r < 0)
			return r;
		n->cached = find_cached(b, n);
		n->missed = !n->cached;
	}
	progress_start(b->progress, n);
	if (n->missed)
		progress_reason(b->progress, n, "would run");
	if (n->missed && b->q->explain && inputs != NULL)
		explain_step(b, n, inputs, NULL);
	return 0;
}

static bool inputs_finished(const struct node *n)
{
	for (size_t i = 0; i < n->n_inputs; i++) {
		if (!n->inputs[i]->finished)
			return false;
	}
	return true;
}

/* *ret_later: not before its inputs are done. */
static int evaluate(struct build *b, struct node *n, bool with_inputs, bool *ret_later,
		    struct error *err)
{
	autofree char *inputs = NULL;
	int r = cancel_check(b->cancel, err);

	if (r < 0)
		return r;
	if (n->kind == NODE_IMAGE)
		return lease_image(b, n, err);
	if (n->maybe_fast && !n->tried_fast) {
		n->tried_fast = true;
		n->cached = !n->base->missed && find_fast(b, n);
	}
	if (!n->cached && !with_inputs) {
		*ret_later = true;
		return 0;
	}
	if (b->q->plan)
		return predict(b, n, err);
	if (n->cached) {
		progress_start(b->progress, n);
		return 0;
	}
	r = node_key(b, n, &inputs, err);
	if (r < 0)
		return r;
	if (find_cached(b, n)) {
		n->cached = true;
		progress_start(b->progress, n);
	} else {
		r = run_or_wait(b, n, inputs, err);
	}
	if (r == 0)
		note_fast(b, n);
	return r;
}

/* ---- who needs what; all with b->lock ---- */

/* What nobody is going to ask for is shown as cached. */
static void show_dropped(void *arg, struct node *n)
{
	struct build *b = arg;

	progress_start(b->progress, n);
	progress_done(b->progress, n, NULL);
}

static bool can_define(const struct node *n)
{
	if (n->defining || n->finished || (n->base != NULL && !n->base->defined))
		return false;
	for (size_t i = 0; i < n->n_inputs; i++) {
		if (!n->inputs[i]->defined)
			return false;
	}
	return true;
}

static bool can_evaluate(const struct node *n)
{
	if (n->claimed || n->finished || !n->demanded || !n->defined ||
	    (n->base != NULL && !n->base->finished))
		return false;
	return inputs_finished(n) || (n->maybe_fast && !n->tried_fast);
}

enum task { TASK_NONE, TASK_DEFINE, TASK_EVALUATE };

/* Steps come before definitions. TASK_NONE: nothing to do now; *ret_more: but perhaps later. */
static enum task claim(struct build *b, struct node **ret, bool *ret_more)
{
	*ret_more = false;
	for (size_t i = 0; i < b->graph.n_nodes && !b->stop; i++) {
		*ret = b->graph.nodes[i];
		if (can_evaluate(*ret)) {
			(*ret)->claimed = true;
			return TASK_EVALUATE;
		}
		*ret_more |= !(*ret)->finished;
	}
	for (size_t i = 0; i < b->graph.n_nodes && !b->stop; i++) {
		*ret = b->graph.nodes[i];
		if (can_define(*ret)) {
			(*ret)->defining = true;
			return TASK_DEFINE;
		}
	}
	return TASK_NONE;
}

static void fail(struct build *b, struct node *n, const struct error *err)
{
	if (b->stop)
		return;
	b->stop = true;
	b->error = *err;
	b->failed = n;
}

static int64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

static void run_define(struct build *b, struct node *n)
{
	struct error err;
	int64_t began = thread_cpu_ns();
	char def[65];
	bool known = false;
	int r = cancel_check(b->cancel, &err);

	n->cost = (struct node_cost){ 0, -1, -1, -1, -1 };
	if (r == 0)
		r = node_define(b, n, &err);
	if (r == 0 && n->n_inputs > 0 && !n->tainted) {
		hex_format(n->def, sizeof(n->def), def);
		known = cache_fast_known(b->builder->cfg.store, def) ||
			(b->imports != NULL && cache_imports_know(b->imports, def));
	}
	n->cost.cpu_ns += thread_cpu_ns() - began;
	if (r < 0) {
		progress_start(b->progress, n);
		progress_done(b->progress, n, &err);
	}
	lock_take(&b->lock);
	n->defined = r == 0;
	n->maybe_fast = known;
	if (n->demanded && !known)
		demand_inputs(n);
	if (r < 0)
		fail(b, n, &err);
	pthread_cond_broadcast(&b->changed);
	lock_drop(&b->lock);
}

static void run_evaluate(struct build *b, struct node *n, bool with_inputs)
{
	int64_t began = thread_cpu_ns();
	struct error err;
	bool later = false;
	int r = evaluate(b, n, with_inputs, &later, &err);

	/* What ran in a control group has put its own time there. */
	n->cost.cpu_ns += thread_cpu_ns() - began;
	if (!later) {
		progress_done(b->progress, n, r < 0 ? &err : NULL);
		if (b->q->profile)
			progress_cost(b->progress, n);
	}
	lock_take(&b->lock);
	if (later) {
		n->claimed = false;
		demand_inputs(n);
	} else if (r < 0) {
		fail(b, n, &err);
	} else {
		n->finished = true;
		demand_drop(n, show_dropped, b);
	}
	pthread_cond_broadcast(&b->changed);
	lock_drop(&b->lock);
}

static void *work(void *arg)
{
	struct build *b = arg;
	bool more = true;

	lock_take(&b->lock);
	for (;;) {
		struct node *n;
		enum task task = claim(b, &n, &more);
		bool with_inputs;

		if (task == TASK_NONE && more && !b->stop) {
			pthread_cond_wait(&b->changed, &b->lock.mutex);
			continue;
		}
		if (task == TASK_NONE)
			break;
		with_inputs = inputs_finished(n);
		lock_drop(&b->lock);
		if (task == TASK_DEFINE)
			run_define(b, n);
		else
			run_evaluate(b, n, with_inputs);
		lock_take(&b->lock);
	}
	lock_drop(&b->lock);
	return NULL;
}

/* --plan tells about every step and a whole cache holds every one: then all are looked at. */
static void demand_first(struct build *b)
{
	struct graph *g = &b->graph;

	demand_count_uses(g);
	for (size_t i = 0; i < g->n_nodes; i++)
		g->nodes[i]->demanded = b->q->plan || caches_want_all(b->q);
	demand(g->target->tip);
	for (size_t i = 0; i < g->n_nodes; i++) {
		if (g->nodes[i]->n_users == 0)
			demand(g->nodes[i]);
	}
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

	demand_first(b);
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
