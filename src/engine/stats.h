/* engine/stats.h: resource use of containers, and numbers about the engine. */
#pragma once

#include <stdbool.h>

#include "engine/container.h"

/*
 * GET /containers/{ref}/stats. stream: one object and '\n' per second until
 * the container is removed; else one object (two samples, 1 s apart, unless
 * one_shot). A container that does not run gives zeros.
 */
MUST_CHECK int container_stats(struct engine *e, const char *ref, bool stream, bool one_shot,
			       struct writer *out, const struct cancel *cancel, struct error *err);

/* Containers, ContainersRunning, ContainersPaused, ContainersStopped. */
struct container_counts {
	int64_t all, running, paused, stopped;
};
void container_counts(struct engine *e, struct container_counts *ret);
/* GET /system/df: the Containers array. */
MUST_CHECK int container_usage(struct engine *e, struct jsonw *out, struct error *err);
