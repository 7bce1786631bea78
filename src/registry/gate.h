/*
 * registry/gate.h: what keeps an online collection from taking what a push has
 * just found.
 *
 * While a collection runs, whoever makes a blob reachable notes its digest
 * first (gate_note) inside gate_enter/gate_leave. The sweeper deletes in small
 * batches with the gate closed, and passes over what was noted since it began
 * to mark. So a push waits for one batch at the most, never for a collection.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "base/lock.h"
#include "base/map.h"
#include "oci/digest.h"

struct gate {
	pthread_rwlock_t rw;
	struct lock lock; /* guards noted */
	struct map noted; /* digest text -> (void *)1, while collecting */
	bool collecting;
};

void gate_init(struct gate *g);
void gate_release(struct gate *g);

void gate_enter(struct gate *g); /* shared; not recursive */
void gate_leave(struct gate *g);
/* Between enter and leave: this digest is, or is about to be, in use. */
void gate_note(struct gate *g, const struct digest *d);

/* For the collector. begin and end are not nested; close/open exclude all others. */
void gate_collect_begin(struct gate *g);
void gate_collect_end(struct gate *g);
void gate_close(struct gate *g);
void gate_open(struct gate *g);
bool gate_is_noted(struct gate *g, const struct digest *d);
