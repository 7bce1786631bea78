/*
 * engine/event.h: what happened, for GET /events and for those who wait.
 *
 * The last 256 (and those of the last minutes, at most 4,096) are kept in
 * memory for `since`. Emitting never blocks on a slow reader: a reader that
 * falls 4,096 behind is ended.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/json.h"
#include "base/stream.h"

struct engine;

struct event_attr {
	const char *key, *value; /* value NULL = leave out */
};

/*
 * Type "container", "image", "network", "volume", "builder", "daemon".
 * Attributes are written sorted by key, as Go's maps are. For containers use
 * container_event (engine/internal.h), which adds image, name and labels.
 */
void event_emit(struct engine *e, const char *type, const char *action, const char *id,
		const struct event_attr *attrs, size_t n_attrs);

/*
 * GET /events: one JSON object and '\n' per write. since/until: Docker's forms
 * (seconds with fraction, RFC 3339, duration back from now), NULL = not given.
 * Returns 0 when `until` has passed; ERR_CANCELED when cancel fired or the
 * writer failed; ERR_INVALID for bad times and filters, before the first write.
 */
MUST_CHECK int events_stream(struct engine *e, const char *since, const char *until,
			     const struct json *filters, struct writer *out,
			     const struct cancel *cancel, struct error *err);
