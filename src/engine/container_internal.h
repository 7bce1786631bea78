/* engine/container_internal.h: between the files of containers and execs. */
#pragma once

#include "engine/container.h"
#include "engine/internal.h"
#include "task/task.h"

/* container_table.c */
struct container *container_new(struct engine *e, const char *id);
/* Names of containers that are being made are held apart until they are in the table. */
MUST_CHECK int container_table_reserve(struct engine *e, const char *name, const char *id,
				       struct error *err);
void container_table_unreserve(struct engine *e, const char *name);
void container_table_add(struct container *take_c);
/* Drops the table's reference. */
void container_table_remove(struct container *c);
/* Who has found c waited for c->op, which is held now: ERR_NOT_FOUND "No such container: <ref>"
 * when somebody else has removed it meanwhile. */
MUST_CHECK int container_still_there(struct container *c, const char *ref, struct error *err);
MUST_CHECK int container_table_load(struct engine *e, struct error *err);
MUST_CHECK int container_insert(struct container *c, struct error *err);
MUST_CHECK int container_save_state(struct container *c, struct error *err);
MUST_CHECK int container_save_doc(struct container *c, struct error *err);
MUST_CHECK int container_delete_row(struct container *c, struct error *err);
/* NULL-terminated, in the arena; the strings are the document's. */
const char *const *container_strings(struct arena *a, const struct json *list);

/* config.c: documents in Docker's shape. body may have any case of keys. */
MUST_CHECK int config_build(struct arena *a, const struct json *body, const struct json *image,
			    const char *id, const struct json **ret, struct error *err);
MUST_CHECK int host_config_build(struct engine *e, struct arena *a, const struct json *body,
				 const struct json **ret, struct error *err);
struct json *json_clone(struct arena *a, const struct json *j);
struct json *json_new_null(struct arena *a);

/* host_config_check.c */
MUST_CHECK int host_config_check(struct engine *e, const struct json *hc, struct error *err);
/* {"Type": .., "Config": {..}}: a driver that is there, options that it knows. */
MUST_CHECK int log_config_check(const struct json *log, struct error *err);

/* links.c: --link on the default bridge. */
/* At create: names become "<id>:<alias>". ERR_INVALID "could not get container for X". */
MUST_CHECK int links_resolve(struct container *c, struct json *hc, struct error *err);
/* hc as inspect shows it: itself, or a copy in the arena with the links by name. */
const struct json *links_shown(struct container *c, struct arena *a, const struct json *hc);
/* Those of the list that have links; NULL at its end, borrowed, the array is the caller's. */
struct container **links_parents(struct container *const *all, size_t n);
/* "/parent/alias" of every one of them that links to c. */
void links_names_write(struct container *c, struct container *const *parents, struct jsonw *w);
/* DELETE /containers/parent/alias?link=1; takes the parent's op lock. */
MUST_CHECK int links_remove(struct engine *e, const char *ref, struct error *err);
/* The variables of c's links, an array in the arena. ERR_INVALID "Cannot link to a non running
 * container: /child AS /parent/alias". */
MUST_CHECK int links_env(struct container *c, const struct json *hc, struct arena *a,
			 const struct json **ret, struct error *err);

/* mounts.c: Binds, Mounts, Tmpfs, VolumesFrom and the image's Volumes into c->mounts. */
MUST_CHECK int mounts_parse(struct container *c, struct error *err);
void mounts_write(const struct container *c, struct jsonw *w);

/* names.c: a free adjective_surname; `attempt` > 5 adds digits. */
char *container_random_name(unsigned attempt);
bool container_name_is_valid(const char *name);

/* user.c: who runs. */
struct container_user {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* owned */
	size_t n_groups;
	char *home; /* owned */
};
void container_user_release(struct container_user *u);
DEFINE_AUTO(container_user, container_user_release);
/* spec: "", "user", "uid", "user:group" ...; extra: GroupAdd. Looked up in
 * the root's /etc/passwd and /etc/group. ERR_INVALID "unable to find user x: ...". */
MUST_CHECK int container_user_find(int rootfd, const char *spec, const char *const *extra,
				   struct container_user *ret, struct error *err);

/* How many ids the container's users need: one more than the greatest of its passwd and group
 * files ("nobody" apart) and of `spec`, at least 1024. */
MUST_CHECK int container_user_count(int rootfd, const char *spec, uint32_t *ret, struct error *err);

/* spec.c: the container's config.json. rootfd: its root; net: from network_attach; maps: of its
 * user namespace, NULL without one. */
struct bundle;
struct id_maps;
MUST_CHECK int container_spec(struct container *c, int rootfd, const struct network_sandbox *net,
			      const struct id_maps *maps, struct buf *out, struct error *err);
/* The cgroup's path on the machine, as config.json names it. */
char *container_cgroup_path(const struct container *c);
MUST_CHECK int container_exec_spec(struct container *c, const struct json *exec, bool tty,
				   uint16_t rows, uint16_t cols, struct buf *out,
				   struct error *err);
/* spec_resources.c */
/* Of the container's process and of what is executed in it. */
void container_spec_ulimits(struct arena *a, const struct json *hc, struct bundle *b);
MUST_CHECK int container_spec_resources(struct arena *a, const struct json *hc, struct bundle *b,
					struct error *err);

/* start.c, remove.c; c->op is held */
MUST_CHECK int container_start_locked(struct container *c, bool *ret_changed, struct error *err);
MUST_CHECK int container_remove_locked(struct container *c, bool volumes, struct error *err);
/* Its two halves: from the first on nobody finds the container and those who wait for its removal
 * go on; the second takes its files away. */
MUST_CHECK int container_forget_locked(struct container *c, bool volumes, struct error *err);
void container_remove_files(struct container *c);
/* What a task tells; ctx is the container. */
void container_task_event(void *ctx, struct task *t, const struct task_event *ev);
/* After an exit was learnt: state, events, network, restart policy. Takes c->op. */
void container_exited(struct container *c, const struct task_exit *exit);
/* Start it again after c->backoff_ms, unless it leaves CONTAINER_RESTARTING before. */
void container_schedule_restart(struct container *c);
/* Wake everybody who waits for a change of c. c->lock is held. */
void container_changed(struct container *c);
/* An eventfd that becomes readable at each change; ends with container_unwatch, which closes it. */
MUST_CHECK int container_watch(struct container *c, int *ret_fd, struct error *err);
void container_unwatch(struct container *c, int fd);
/* Wait until pred, at most until deadline (mono ns, INT64_MAX = none). pred is
 * called under c->lock. ERR_CANCELED, ERR_UNAVAILABLE when the time is over. */
MUST_CHECK int container_await(struct container *c, bool (*pred)(struct container *c, void *arg),
			       void *arg, int64_t deadline_ns, const struct cancel *cancel,
			       struct error *err);
/* Who looks at a container after its `die` sees it ended: waits while its end is under way, until
 * deadline_ns (clock_mono_ns) at most. Peer: dockerd holds the container's lock over both. */
#define CONTAINER_SETTLE_NS (2 * NS_PER_SEC)
void container_settle(struct container *c, int64_t deadline_ns);
/* SIG name or number as dockerd takes it. ERR_INVALID "invalid signal: X". */
MUST_CHECK int signal_parse(const char *s, int *ret, struct error *err);

/* attach.c */
void attach_pending_drop(struct container *c);
/* Give the waiting clients to the new task. */
void attach_pending_flush(struct container *c, struct task *t);

/* health.c */
void health_start(struct container *c);
void health_stop(struct container *c);
void health_free(struct container_health *h);
/* State.Health of inspect: the whole member; nothing without a check. */
void health_write(struct container *c, struct jsonw *w);
/* "", "starting", "healthy", "unhealthy"; "none" without a check. c->lock held. */
const char *health_status(const struct container *c);

/* exec.c */
void exec_exited(struct container *c, const char *exec_id, int code);
void exec_forget_container(struct container *c);
/* For task_execs: an exec of an adopted container; arg is the container. */
void exec_adopt(void *arg, const char *exec_id, pid_t pid, int code);
/* "ExecIDs": null or the running ones. */
void exec_ids_write(struct container *c, struct jsonw *w);
/* Run a probe: combined output (cut at cap) and exit code; ERR_UNAVAILABLE on time-out. */
MUST_CHECK int exec_probe(struct container *c, const char *const *cmd, int timeout_ms,
			  const struct cancel *cancel, struct buf *output, int *ret_code,
			  struct error *err);

/* shm.c: the tmpfs that --ipc shareable lends; path on the host, owned by the caller. */
char *shm_path(const struct container *c);
MUST_CHECK int shm_mount(struct container *c, int64_t size_bytes, struct error *err);
/* Not mounted is fine. */
void shm_unmount(struct container *c);
/* exit.c: what is mounted on the host for one run goes: volumes, pins, lent shared memory. */
void container_unmount_all(struct container *c);

/* rootfs.c: how the container's root is mounted. With AutoRemove its writes never wait for the
 * disk: they go with the container, after a power cut at the next start of the engine. */
struct mounts;
MUST_CHECK int container_mounts(struct container *c, struct mounts *ret, struct error *err);
/*
 * Does the container's init still have its pid? The shim alone reaps it, so what was opened below
 * /proc/PID before this is init's. Until the engine has heard of an exit and done all that follows
 * the pid may have become a process of the host, and its root the host's. Nor has it when it is
 * ending: the kernel then shows it in the root of the cgroups.
 */
bool container_has_its_pid(struct container *c);
/* Its group, of every hierarchy: never that of a process of the host that has init's pid by now,
 * or the root, where the kernel shows an init that is ending. ERR_CONFLICT "Container x is not
 * running". */
struct cgroup;
MUST_CHECK int container_cgroup_open(struct container *c, struct arena *a, struct cgroup *ret,
				     struct error *err);
/* The container's root as a directory fd, running or not. */
enum container_root_use {
	/* A look at its users, which may be another's when the container ends in this moment. */
	ROOT_GLANCE,
	ROOT_READ,
	/* c->op is held and the root quiet; unless it is live c->written is set before op is given
	 * back. */
	ROOT_WRITE,
};
struct container_root {
	int fd;
	bool live; /* the init's: with its mounts, and in its user namespace */
};
#define CONTAINER_ROOT_INIT \
	{ \
		.fd = FD_NONE, .live = false \
	}
MUST_CHECK int container_root_open(struct container *c, enum container_root_use use,
				   struct container_root *ret, struct error *err);
/* Waits until nobody writes to the root of a stopped container: two mounts of one writable
 * directory spoil each other's work (the kernel calls it undefined). c->op is held. ERR_CANCELED
 * when the engine closes. Peer: dockerd too starts a container when a copy into it is done. */
MUST_CHECK int container_root_quiet(struct container *c, struct error *err);
/* The file system alone, without what is mounted on it, for reading only. */
MUST_CHECK int container_view_open(struct container *c, int *ret_fd, struct error *err);
void container_root_close(struct container_root *r);
DEFINE_AUTO(container_root, container_root_close);

/*
 * cpuset.c: every number of the list `want` ("0-3,7"; NULL or "": none) is in the list that `file`
 * holds. name: "cpus"; plural: "CPUs". ERR_INVALID in dockerd's words.
 */
MUST_CHECK int cpuset_check(const char *want, const char *file, const char *name,
			    const char *plural, struct error *err);

/* extract.c: archive_extract below the root; with o->maps as the root of that namespace. */
struct extract_options;
struct reader;
MUST_CHECK int container_extract(int root, const char *dest, struct reader *in,
				 const struct extract_options *o, struct error *err);

/* logs.c: path of the current log file; NULL when the driver keeps none. Owned. */
char *container_log_path(const struct container *c);

/* recovery.c */
void container_recover_all(struct engine *e);

/* Short id into out[13]. */
static inline void container_short_id(const struct container *c, char out[static 13])
{
	for (int i = 0; i < 12; i++)
		out[i] = c->id[i];
	out[12] = '\0';
}
