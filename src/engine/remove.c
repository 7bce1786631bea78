/* engine/remove.c: rm and prune. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/container_internal.h"
#include "engine/filter.h"
#include "engine/network.h"
#include "engine/volume.h"
#include "store/snapshot.h"
#include "store/store.h"

#define KILL_ROUNDS_MAX 10

void container_remove_files(struct container *c)
{
	autoclose int fd = FD_NONE;
	struct error failure = { 0 };

	if (c->snapshot_number != 0 &&
	    snapshot_dir_remove(c->engine->store->snapshots, c->snapshot_number, &failure) < 0)
		log_warn("snapshot not removed, continuing", KV("container", c->id),
			 KV_ERR(&failure));
	if (fs_open_beneath(c->engine->data_fd, "containers", O_RDONLY | O_DIRECTORY, 0, &fd,
			    &failure) < 0 ||
	    fs_remove_tree(fd, c->id, &failure) < 0)
		log_warn("container directory not removed, continuing", KV("container", c->id),
			 KV_ERR(&failure));
}

int container_forget_locked(struct container *c, bool volumes, struct error *err)
{
	autofree char *key = cstr_format("container/%s", c->id);
	struct error failure = { 0 }, why = { 0 };
	enum container_status before;
	size_t i;
	int r;

	lock_assert_held(&c->op);
	{
		LOCKED(&c->lock);
		if (c->removed)
			return error_set(err, ERR_NOT_FOUND, "No such container: %s", c->id);
		before = c->status;
		c->status = CONTAINER_REMOVING;
	}
	store_reserve_give(c->engine->store);
	/* The row first: what a crash leaves behind then is swept at the next start. */
	r = container_delete_row(c, &why);
	if (r < 0) {
		/* Whoever waits for the removal would wait for ever. */
		LOCKED(&c->lock);
		c->status = before;
		free(c->not_removed);
		c->not_removed = xstrdup(why.msg);
		container_changed(c);
		if (err)
			*err = why;
		return r;
	}
	network_forget(c);
	if (snapshot_forget(c->engine->store->snapshots, key, &c->snapshot_number, &failure) < 0)
		log_warn("snapshot not removed, continuing", KV("container", c->id),
			 KV_ERR(&failure));
	container_table_remove(c);
	for (i = 0; volumes && i < c->n_mounts; i++)
		if (c->mounts[i].anonymous)
			volume_drop_anonymous(c->engine, c->mounts[i].name);
	container_event(c, "destroy", NULL, 0);
	attach_pending_drop(c);
	LOCKED(&c->lock);
	c->removed = true;
	container_changed(c);
	return 0;
}

int container_remove_locked(struct container *c, bool volumes, struct error *err)
{
	int r = container_forget_locked(c, volumes, err);

	if (r == 0)
		container_remove_files(c);
	return r;
}

static int kill_first(struct container *c, struct error *err)
{
	struct error failure = { 0 };
	bool changed, before;
	int r;

	{
		LOCKED(&c->lock);
		before = c->stop_requested;
		c->stop_requested = true;
	}
	r = container_stop(c->engine, c->id, "KILL", 10, &changed, &failure);
	if (r == -ERR_UNAVAILABLE) {
		LOCKED(&c->lock);
		c->stop_requested = before;
	}
	return r < 0 && r != -ERR_NOT_FOUND
		   ? error_set(err, failure.kind,
			       "Could not kill running container %s, cannot "
			       "remove - %s",
			       c->id, failure.msg)
		   : 0;
}

static int refuse_running(const struct container *c, struct error *err)
{
	if (c->status == CONTAINER_PAUSED)
		return error_set(err, ERR_CONFLICT,
				 "You cannot remove a paused container %s. Unpause and then "
				 "stop the container before attempting removal or force remove",
				 c->id);
	return error_set(err, ERR_CONFLICT,
			 "You cannot remove a running container %s. Stop the container "
			 "before attempting removal or force remove",
			 c->id);
}

/*
 * One attempt; *ret_running: it runs (again), was not refused for that, and must be killed first.
 *
 * killed  it was, by us: somebody else's removal, as of --rm, is as good as ours
 */
static int remove_stopped(struct container *c, bool force, bool killed, bool volumes,
			  bool *ret_running, struct error *err)
{
	LOCKED(&c->op);
	{
		LOCKED(&c->lock);
		if (c->removed && killed)
			return 0;
		*ret_running = container_is_running(c);
		if (*ret_running)
			return force ? 0 : refuse_running(c, err);
	}
	return container_remove_locked(c, volumes, err);
}

int container_remove(struct engine *e, const char *ref, bool force, bool volumes, bool link,
		     struct error *err)
{
	autoptr(container) c = NULL;
	bool running = false;
	int r;

	if (link)
		return links_remove(e, ref, err);
	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	r = remove_stopped(c, force, false, volumes, &running, err);
	/* Between its end and our turn somebody may have started it again. */
	for (int i = 0; r == 0 && running && i < KILL_ROUNDS_MAX; i++) {
		running = false;
		r = kill_first(c, err);
		if (r == 0)
			r = remove_stopped(c, force, true, volumes, &running, err);
	}
	return r == 0 && running ? refuse_running(c, err) : r;
}

/* ---- prune ---- */

static bool prune_wants(struct container *c, const struct filters *f, int64_t until_ns)
{
	const char *const *v;
	const struct json *labels;

	LOCKED(&c->lock);
	if (container_is_running(c) || c->removed || c->status == CONTAINER_REMOVING)
		return false;
	labels = json_get(c->config, "Labels");
	if (until_ns && c->created_ns > until_ns)
		return false;
	for (v = filters_get(f, "label"); v && *v; v++)
		if (!filter_label_matches(labels, *v))
			return false;
	for (v = filters_get(f, "label!"); v && *v; v++)
		if (filter_label_matches(labels, *v))
			return false;
	return true;
}

int container_prune(struct engine *e, const struct json *filters, struct jsonw *out,
		    struct error *err)
{
	static const char *const known[] = { "label", "label!", "until", NULL };
	auto_(filters) f = { 0 };
	const char *const *until;
	struct container **list, **at;
	uint64_t space = 0;
	int64_t until_ns = 0;
	bool any = false;
	int r;

	r = filters_read(filters, known, &f, err);
	until = filters_get(&f, "until");
	if (r == 0 && until)
		r = until[1] ? error_set(err, ERR_INVALID, "more than one until filter specified")
			     : time_parse_query(until[0], &until_ns, err);
	if (r < 0)
		return r;
	list = container_snapshot(e, NULL);
	jsonw_object(out);
	jsonw_key(out, "ContainersDeleted");
	for (at = list; *at; at++) {
		autofree char *key = cstr_format("container/%s", (*at)->id);
		uint64_t size = 0;

		if (!prune_wants(*at, &f, until_ns))
			continue;
		(void)!snapshot_usage(e->store->snapshots, key, &size, NULL);
		if (container_remove(e, (*at)->id, false, false, false, NULL) < 0)
			continue;
		if (!any)
			jsonw_array(out);
		any = true;
		jsonw_string(out, (*at)->id);
		space += size;
	}
	if (any)
		jsonw_end(out);
	else
		jsonw_null(out);
	jsonw_kint(out, "SpaceReclaimed", (int64_t)space);
	jsonw_end(out);
	container_snapshot_free(list);
	return 0;
}
