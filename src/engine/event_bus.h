/* engine/event_bus.h: made by engine_open, used by event.c. */
#pragma once

#include "base/lock.h"

struct event_bus;

/* lock: borrowed, guards the bus. */
struct event_bus *event_bus_new(struct lock *lock);
void event_bus_free(struct event_bus *b);
int event_bus_readers(struct event_bus *b);
