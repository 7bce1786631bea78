/*
 * engine/internal.h: what the files of this room share (engine, image, network,
 * volume, build side by side). Not for api.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/cancel.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/queue.h"
#include "base/vec.h"
#include "engine/engine.h"
#include "engine/event.h"

struct store;
struct task;
struct task_host;
struct event_bus;
struct image_room;
struct network_room;
struct volume_room;
struct build_room;

struct engine {
	struct arena arena;       /* holds the strings of cfg */
	struct engine_config cfg; /* a copy of its own */
	struct lock reload_lock;  /* guards what engine_reload changes of cfg */
	int data_fd, exec_fd;     /* directories */
	char id[64];              /* GET /info ID */
	struct cancel closing;    /* fires in engine_close: streams end */
	struct workers workers;   /* what goes on behind answers: exits, restarts, health checks */

	struct store *store; /* db, content, snapshots: shared by all rooms' tables */
	struct task_host *tasks;

	/* Each belongs to the files of its name: x_room_open/x_room_close. */
	struct image_room *images;
	struct network_room *networks;
	struct volume_room *volumes;
	struct build_room *builds;

	struct event_bus *events;

	struct lock containers_lock;   /* guards the two maps and nothing in a container */
	struct map containers_by_id;   /* -> struct container, one reference */
	struct map containers_by_name; /* -> same, no reference */
	struct map reserved_names;     /* of containers being created -> id text */

	struct lock events_lock;

	struct lock execs_lock;
	struct map execs;
};

/* The configuration of this moment; its lists live as long as the engine. */
struct engine_config engine_config_now(struct engine *e);

enum container_status {
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_PAUSED,
	CONTAINER_RESTARTING, /* between two runs, waiting for the backoff */
	CONTAINER_REMOVING,
	CONTAINER_EXITED,
	CONTAINER_DEAD,
};

/* What --userns=auto gave: ids on the machine, the same for its whole life; 0 = nothing yet. */
struct container_userns {
	uint32_t uid, n_uids, gid, n_gids;
	uint32_t size; /* of the namespace */
};

struct container_health;
struct container_mount {
	const char *type;   /* "bind", "volume", "tmpfs", "image" */
	const char *name;   /* volume name */
	const char *source; /* host path; resolved when the container starts */
	const char *destination;
	const char *driver; /* of the volume */
	const char *mode;   /* as written after the second ':' */
	const char *propagation;
	bool rw;
	bool no_copy;
	bool anonymous; /* removed with `rm -v` and by --rm */
	bool non_recursive;
	const char *subpath;
	const char *idmap; /* as written: "", "me", "uids=...;gids=..."; NULL = not mapped */
	const char *const *options; /* tmpfs: mount options */
};

struct container {
	atomic_int refs;
	struct engine *engine;
	char id[65];

	struct lock op;   /* 1st in the order: one life-cycle operation at a time */
	struct lock lock; /* guards everything below */

	struct arena arena;             /* config documents; lives as long as the container */
	char *name;                     /* without '/' */
	int64_t created_ns;             /* wall */
	char image_id[80];              /* "sha256:..." */
	const struct json *config;      /* Config, after merging the image's; never NULL */
	const struct json *host_config; /* HostConfig, normalised */
	const struct json
	    *networking;         /* NetworkingConfig.EndpointsConfig as asked for, may be NULL */
	const char *path;        /* Path of inspect */
	const char *const *args; /* Args, NULL-terminated */
	struct container_mount *mounts; /* sorted by destination; the array is fixed at create */
	size_t n_mounts;

	enum container_status status;
	pid_t pid; /* 0 when not running */
	int exit_code;
	bool oom_killed, dead;
	bool stop_requested;             /* by a person: no restart policy */
	char *error_text;                /* State.Error, NULL = "" */
	int64_t started_ns, finished_ns; /* wall, 0 = never */
	unsigned restart_count;
	bool removed;            /* no longer in the tables */
	char *not_removed;       /* why the last attempt failed, or NULL; until the next exit */
	int64_t snapshot_number; /* set when the row is gone: the directory to remove; 0 none */
	bool ran;                /* was started at least once: volumes are seeded */
	unsigned backoff_ms;     /* of the restart policy */
	struct container_userns userns;
	char *apparmor_profile; /* of the last run, as inspect tells it; NULL = none */
	bool health_restart;    /* this exit was asked for by the health check: run again */
	bool dying;        /* SIGKILL was sent to this run: a frozen process would not die of it */
	bool keep_once;    /* AutoRemove does not apply to this exit (restart) */
	bool written;      /* from outside, to the root of a stopped container: no start yet */
	bool ending;       /* `die` was told, and the state does not say so yet */
	bool unanswered;   /* adopted, but its shim has not said yet how it is */
	struct task *task; /* NULL when not running */
	struct container_health *health; /* NULL without a check */

	VEC(struct attach_pending *) pending_attach;
	VEC(int) watchers;             /* eventfds poked at each change of state */
	uint64_t change_seq, exit_seq; /* grow at each change, each exit */
};

/*
 * Find by id, name or unique prefix. *ret is a new reference.
 * ERR_NOT_FOUND "No such container: REF"; ERR_INVALID "multiple IDs found with
 * provided prefix: REF".
 */
MUST_CHECK int container_find(struct engine *e, const char *ref, struct container **ret,
			      struct error *err);
struct container *container_ref(struct container *c);
struct container *container_unref(struct container *c); /* returns NULL */
DEFINE_AUTOPTR(container, container_unref);

/* All containers, each with a reference, in order of creation; NULL-terminated, free with
 * container_list_free. A snapshot: none is locked. */
struct container **container_snapshot(struct engine *e, size_t *ret_n);
void container_snapshot_free(struct container **list);

/* event_emit with Docker's attributes of a container (image, name, labels) and these. */
void container_event(struct container *c, const char *action, const struct event_attr *attrs,
		     size_t n_attrs);

/* Under c->lock or from a holder of c->op. */
bool container_is_running(const struct container *c); /* running or paused */

/* Host path of a file the engine gives to the container: "hosts", "hostname",
 * "resolv.conf"; in <data_root>/containers/<id>/. Owned by the caller. */
char *container_file_path(const struct container *c, const char *name);

/* Names (ids) of the containers that use the volume: appended to the array `out`. */
void container_volume_users(struct engine *e, const char *volume, struct jsonw *out, size_t *ret_n);

/*
 * What the network files must give to the containers' life; engine/network.h
 * declares them. c->op is held by the caller in all of them, c->lock is not.
 */
struct network_sandbox {
	char netns_path[256]; /* "" = stay in the host's namespace */
	bool host;
	char *hosts;       /* whole /etc/hosts, owned by the caller; NULL = copy the host's */
	char *resolv_conf; /* whole /etc/resolv.conf, likewise */
};
