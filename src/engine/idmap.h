/*
 * engine/idmap.h: who a container's ids are outside: the words of `-v src:dst:idmap=...`
 * and of `--userns=auto:...`, and the ranges that --userns=auto gives out.
 *
 * A range belongs to its container from the first start until it is removed,
 * so that what it wrote stays its own. On disk everything has the ids that the
 * container sees: layers, volumes and id-mapped binds are mapped where they are
 * mounted (Linux 5.19), nothing is chowned.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/idmap.h"

struct container;

#define ID_MAPS_MAX 340 /* the kernel's */

/*
 * "uids=0-1000-1#1-100001-10;gids=0-1000-1": id in the file system, id that is
 * seen, count (`container` and `host` of the result). With '@' before the
 * first number the id that is seen counts in the container's own namespace, which
 * `base` (may be NULL) maps. A kind that is left out has the other's ranges.
 * Peer: podman-run(1), "idmap". ERR_INVALID.
 */
MUST_CHECK int idmap_parse(struct arena *a, const char *spec, const struct id_maps *base,
			   struct id_maps *ret, struct error *err);

struct userns_request {
	uint32_t size;        /* 0 = by the image's users */
	struct id_maps extra; /* uidmapping=, gidmapping= */
};
/*
 * "auto" or "auto:size=N,uidmapping=C:H:N,gidmapping=C:H:N".
 * Peer: podman-run(1), "--userns". ERR_INVALID.
 */
MUST_CHECK int userns_parse(struct arena *a, const char *mode, struct userns_request *ret,
			    struct error *err);
/* Is the container's UsernsMode one of auto's? */
bool userns_is_auto(const struct container *c);

/*
 * The maps of a container with --userns=auto; its range is chosen now when it
 * has none, and recorded. rootfd: for the size, when none was asked for. c->op is held.
 * ERR_INVALID "... add \"containers:100000:...\" to /etc/subuid", ERR_UNAVAILABLE
 * when the range of all is used up.
 */
MUST_CHECK int userns_maps(struct container *c, int rootfd, struct arena *a, struct id_maps *ret,
			   struct error *err);
/* The same for a container that has run: nothing is chosen. */
MUST_CHECK int userns_known_maps(struct container *c, struct arena *a, struct id_maps *ret,
				 struct error *err);
/* A namespace with these maps, for mount_open_mapped; the caller's fd. */
MUST_CHECK int userns_open(struct container *c, const struct id_maps *maps, int *ret_fd,
			   struct error *err);

/* For tests: where `want` ids fit between the used ranges [at, at + size), sorted or not;
 * false: nowhere. */
struct id_range {
	uint32_t at, size;
};
bool idmap_fit(const struct id_range *pool, size_t n_pool, const struct id_range *used,
	       size_t n_used, uint32_t want, uint32_t *ret);
