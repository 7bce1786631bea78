/* engine/image_impl.h: what the files of images share. Not for other files. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/lock.h"
#include "base/map.h"
#include "engine/image.h"
#include "engine/internal.h"
#include "image/image.h"
#include "oci/reference.h"
#include "remote/remote.h"

struct image_room {
	struct remote *remote;
	/* Blobs being fetched, by digest text: the second who wants one waits. */
	pthread_mutex_t flights_lock;
	pthread_cond_t flights_changed;
	struct map flights;
	pthread_t sweeper; /* gc of what a crash left, once after the start */
	bool has_sweeper;
	struct cancel stop_sweeping;
};

/*
 * Begin to fetch a blob, waiting while somebody else does. *ret_waited: somebody
 * did, so look again whether it is there. Balanced by image_flight_end.
 */
MUST_CHECK int image_flight_begin(struct image_room *room, const char *digest,
				  const struct cancel *cancel, bool *ret_waited, struct error *err);
void image_flight_end(struct image_room *room, const char *digest);

/* After a pull, load or import that failed: what it brought and nobody has goes. */
void image_give_back(struct engine *e);

/* Who uses an image: asks the containers. */
struct image_users image_users_of(struct engine *e);

/* "image" event; name: the familiar name, or the id. */
void image_event(struct engine *e, const char *action, const char *actor, const char *name);

/* ---- progress, as docker's JSON messages ---- */

struct progress {
	struct lock lock;   /* messages of threads do not mix */
	struct writer *out; /* NULL: nobody listens */
	bool started;       /* something has been written */
	int result;         /* first failure of out */
};
#define PROGRESS_INIT(out_) \
	{ \
		.lock = LOCK_INIT, .out = (out_) \
	}
/* {"status":..,"id":..}; id NULL: none. */
void progress_status(struct progress *p, const char *id, const char *fmt, ...) PRINTF(3, 4);
/* {"status":..,"progressDetail":{},"id":..} */
void progress_step(struct progress *p, const char *id, const char *status);
/* With a bar; total 0: unknown. */
void progress_bar(struct progress *p, const char *id, const char *status, uint64_t current,
		  uint64_t total);
/* {"stream":..} */
void progress_stream(struct progress *p, const char *text);
/* {"progressDetail":{},"aux":{"Tag":..,"Digest":..,"Size":..}} */
void image_progress_aux(struct progress *p, const char *tag, const char *digest, int64_t size);
/*
 * The end: r as it is when nothing was written; else the error becomes the last
 * message too.
 */
int progress_end(struct progress *p, int r, struct error *err);
/* ERR_CANCELED when the listener has left. */
MUST_CHECK int progress_check(struct progress *p, struct error *err);

/* X-Registry-Auth's document; strings are borrowed from it. */
void image_auth_read(const struct json *doc, struct remote_auth *ret);
/* "sha256:abcdef012345..." -> "abcdef012345" */
void image_short(const struct digest *d, char out[static 13]);
/* A reference from the API's two fields; tag may be a digest. */
MUST_CHECK int image_reference(const char *name, const char *tag, struct reference *ret,
			       struct error *err);
