/*
 * cli/build_view.h: the events of a build (docs/build-events.md) as BuildKit shows them.
 *
 * Plain: a line each, as it happens. On a terminal: a block that is drawn anew
 * ten times a second, by a thread, with the steps, their times and the last lines of
 * what they say.
 */
#pragma once

#include <stdbool.h>

#include "base/json.h"

enum build_view_profile { PROFILE_NONE, PROFILE_TABLE, PROFILE_JSON };

struct build_view_options {
	bool tty;   /* draw */
	bool quiet; /* say nothing before the end */
	enum build_view_profile profile;
};

struct build_view;
struct build_view *build_view_new(const struct build_view_options *o);
/* One message of the stream; those that are no events are left alone, and what was
 * drawn makes way for them. */
void build_view_message(struct build_view *v, const struct json *m);
/* Somebody else writes to the terminal from here on, until the next message. */
void build_view_pause(struct build_view *v);
/* What the failed step said last, and warnings; the profile. */
void build_view_finish(struct build_view *v);
void build_view_free(struct build_view *v); /* NULL is nothing */
