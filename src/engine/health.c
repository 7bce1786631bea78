/*
 * engine/health.c: one thread per container with a health check: wait, probe,
 * judge. Ends with the container's run.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/str.h"
#include "engine/container_internal.h"

#define LOG_ENTRIES       5
#define OUTPUT_MAX        4096
#define INTERVAL_NS       (30 * NS_PER_SEC)
#define TIMEOUT_NS        (30 * NS_PER_SEC)
#define START_INTERVAL_NS (5 * NS_PER_SEC)
#define RETRIES           3

struct probe_result {
	int64_t start_ns, end_ns;
	int code;
	char *output;
};

struct container_health {
	/* under container->lock */
	const char *status; /* "starting", "healthy", "unhealthy" */
	int streak;
	struct probe_result log[LOG_ENTRIES];
	size_t n_log;
	struct health_run *run; /* the thread of the present run, or NULL */
};

/* Shared by the thread and the container; whoever is last frees it. */
struct health_run {
	atomic_int refs;
	struct cancel stop;
	struct container *container; /* a reference */
	int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns;
	int retries;
	const char **cmd;
	struct arena arena;
};

static void run_unref(struct health_run *run)
{
	if (atomic_fetch_sub(&run->refs, 1) != 1)
		return;
	cancel_release(&run->stop);
	container_unref(run->container);
	arena_release(&run->arena);
	free(run);
}

void health_free(struct container_health *h)
{
	size_t i;

	if (h == NULL)
		return;
	for (i = 0; i < h->n_log; i++)
		free(h->log[i].output);
	free(h);
}

const char *health_status(const struct container *c)
{
	return c->health ? c->health->status : "none";
}

void health_write(struct container *c, struct jsonw *w)
{
	struct container_health *h = c->health;
	size_t i;

	if (h == NULL)
		return;
	jsonw_kobject(w, "Health");
	jsonw_kstring(w, "Status", h->status);
	jsonw_kint(w, "FailingStreak", h->streak);
	jsonw_karray(w, "Log");
	for (i = 0; i < h->n_log; i++) {
		jsonw_object(w);
		jsonw_ktime(w, "Start", h->log[i].start_ns);
		jsonw_ktime(w, "End", h->log[i].end_ns);
		jsonw_kint(w, "ExitCode", h->log[i].code);
		jsonw_kstring(w, "Output", h->log[i].output);
		jsonw_end(w);
	}
	jsonw_end(w);
	jsonw_end(w);
}

/* ---- judging ---- */

static void on_failure(struct container *c)
{
	const char *action = json_str(c->host_config, "HealthOnFailure");
	struct error failure = { 0 };
	bool changed;
	int r = 0;

	if (action == NULL)
		action = json_str(json_get(c->config, "Labels"), "proa.health-on-failure");
	if (cstr_is_empty(action) || strcmp(action, "none") == 0)
		return;
	log_info("unhealthy container", KV("container", c->id), KV("action", action));
	if (strcmp(action, "restart") == 0) {
		{
			LOCKED(&c->lock);
			c->health_restart = true;
			c->keep_once = true;
		}
		r = container_stop(c->engine, c->id, NULL, CONTAINER_TIMEOUT_DEFAULT, &changed,
				   &failure);
		LOCKED(&c->lock);
		c->keep_once = false;
	} else if (strcmp(action, "stop") == 0) {
		r = container_stop(c->engine, c->id, NULL, CONTAINER_TIMEOUT_DEFAULT, &changed,
				   &failure);
	} else if (strcmp(action, "kill") == 0) {
		r = container_kill(c->engine, c->id, "KILL", &failure);
	}
	if (r < 0)
		log_warn("health-on-failure did not work", KV("container", c->id),
			 KV_ERR(&failure));
}

static void act_worker(void *arg)
{
	struct container *c = arg;

	on_failure(c);
	container_unref(c);
}

static void note_result(struct health_run *run, struct probe_result *take_result, bool in_start)
{
	struct container *c = run->container;
	const char *before, *after;

	{
		LOCKED(&c->lock);
		struct container_health *h = c->health;

		if (h->run != run) {
			free(take_result->output);
			return;
		}
		before = h->status;
		if (h->n_log == LOG_ENTRIES) {
			free(h->log[0].output);
			memmove(&h->log[0], &h->log[1], (LOG_ENTRIES - 1) * sizeof(h->log[0]));
			h->n_log--;
		}
		h->log[h->n_log++] = *take_result;
		if (take_result->code == 0) {
			h->streak = 0;
			h->status = "healthy";
		} else if (!(in_start && strcmp(h->status, "starting") == 0)) {
			h->streak++;
			if (h->streak >= run->retries)
				h->status = "unhealthy";
		}
		after = h->status;
		if (before != after)
			container_changed(c);
	}
	if (strcmp(before, after) == 0)
		return;
	{
		autofree char *action = cstr_format("health_status: %s", after);

		container_event(c, action, NULL, 0);
	}
	if (strcmp(after, "unhealthy") == 0 &&
	    workers_start(&c->engine->workers, act_worker, container_ref(c), "health-act", NULL) <
		0)
		container_unref(c);
}

static void probe(struct health_run *run, bool in_start)
{
	auto_(buf) output = BUF_INIT(OUTPUT_MAX);
	struct error failure = { 0 };
	struct probe_result result = { .start_ns = clock_wall_ns() };
	int code = 0, r;

	r = exec_probe(run->container, run->cmd, (int)(run->timeout_ns / NS_PER_MS), &run->stop,
		       &output, &code, &failure);
	if (r == -ERR_CANCELED)
		return;
	result.end_ns = clock_wall_ns();
	if (r == -ERR_UNAVAILABLE) {
		result.code = -1;
		result.output = cstr_format("Health check exceeded timeout (%lldms)",
					    (long long)(run->timeout_ns / NS_PER_MS));
	} else if (r < 0) {
		result.code = -1;
		result.output = xstrdup(failure.msg);
	} else {
		result.code = code;
		result.output = output.data ? buf_detach(&output, NULL) : xstrdup("");
	}
	note_result(run, &result, in_start);
}

static bool is_starting(struct container *c)
{
	LOCKED(&c->lock);
	return c->health && strcmp(c->health->status, "starting") == 0;
}

static void health_thread(void *arg)
{
	struct health_run *run = arg;
	int64_t begun = clock_mono_ns();

	for (;;) {
		bool in_start = clock_mono_ns() - begun < run->start_period_ns;
		int64_t pause = in_start && is_starting(run->container) ? run->start_interval_ns
									: run->interval_ns;

		struct pollfd over[] = { { run->stop.fd, POLLIN, 0 },
					 { run->container->engine->closing.fd, POLLIN, 0 } };

		if (poll(over, ARRAY_LEN(over), (int)(pause / NS_PER_MS)) > 0)
			break;
		{
			LOCKED(&run->container->lock);
			if (run->container->status == CONTAINER_PAUSED)
				continue;
		}
		probe(run, clock_mono_ns() - begun < run->start_period_ns);
	}
	run_unref(run);
}

/* ---- begin and end ---- */

/* NULL without a check. */
static const char **probe_command(struct arena *a, const struct container *c)
{
	const struct json *test = json_path(c->config, "Healthcheck.Test");
	const struct json *shell = json_get(c->config, "Shell");
	const char *kind, **out;
	size_t n = 0, i;

	if (test == NULL || test->type != JSON_ARRAY || test->n_items == 0 ||
	    test->items[0]->type != JSON_STRING)
		return NULL;
	kind = test->items[0]->s;
	out = arena_array(a, test->n_items + (shell ? shell->n_items : 0) + 4, sizeof(*out));
	if (strcmp(kind, "CMD-SHELL") == 0) {
		if (shell && shell->n_items > 0) {
			json_for_each_item (v, shell)
				out[n++] = v->type == JSON_STRING ? v->s : "";
		} else {
			out[n++] = "/bin/sh";
			out[n++] = "-c";
		}
	} else if (strcmp(kind, "CMD") != 0) {
		return NULL;
	}
	for (i = 1; i < test->n_items; i++)
		out[n++] = test->items[i]->type == JSON_STRING ? test->items[i]->s : "";
	return n > 0 && test->n_items > 1 ? out : NULL;
}

static int64_t or_default(int64_t v, int64_t d)
{
	return v > 0 ? v : d;
}

void health_start(struct container *c)
{
	struct health_run *run = new0(struct health_run);
	const struct json *h = json_get(c->config, "Healthcheck");
	int r;

	run->cmd = probe_command(&run->arena, c);
	if (run->cmd == NULL || cancel_init(&run->stop, NULL) < 0) {
		arena_release(&run->arena);
		free(run);
		return;
	}
	atomic_init(&run->refs, 2);
	run->container = container_ref(c);
	run->interval_ns = or_default(json_int(h, "Interval", 0), INTERVAL_NS);
	run->timeout_ns = or_default(json_int(h, "Timeout", 0), TIMEOUT_NS);
	run->start_period_ns = json_int(h, "StartPeriod", 0);
	run->start_interval_ns = or_default(json_int(h, "StartInterval", 0), START_INTERVAL_NS);
	if (run->start_interval_ns > run->interval_ns)
		run->start_interval_ns = run->interval_ns;
	run->retries = (int)or_default(json_int(h, "Retries", 0), RETRIES);
	health_stop(c);
	{
		LOCKED(&c->lock);
		health_free(c->health);
		c->health = new0(struct container_health);
		c->health->status = "starting";
		c->health->run = run;
	}
	r = workers_start(&c->engine->workers, health_thread, run, "health", NULL);
	if (r < 0)
		run_unref(run);
	if (r < 0 && r != -ERR_UNAVAILABLE)
		log_error("no thread for a health check", KV("container", c->id));
}

void health_stop(struct container *c)
{
	struct health_run *run = NULL;

	{
		LOCKED(&c->lock);
		if (c->health) {
			run = c->health->run;
			c->health->run = NULL;
			if (run)
				c->health->status = "unhealthy";
		}
	}
	if (run) {
		cancel_fire(&run->stop);
		run_unref(run);
	}
}
