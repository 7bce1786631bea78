/*
 * engine/image.c: images in the store, as the API sees them. See image.h.
 * Pull is in image_pull.c, push in image_push.c, archives in image_archive.c,
 * what only asks registries in image_remote.c.
 */
#include "engine/image.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/image_impl.h"
#include "store/check.h"
#include "store/gc.h"
#include "store/store.h"

/* ---- the room ---- */

static size_t count(const char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static int with_config(struct engine *e,
		       int (*fn)(void *arg, const struct remote_config *c, struct error *err),
		       void *arg, struct error *err)
{
	size_t n = count(e->cfg.registry_mirrors);
	autofree struct remote_mirror *mirrors = xcalloc(n + 1, sizeof(*mirrors));
	struct remote_config c = { .mirrors = mirrors, .n_mirrors = n };

	/* docker's registry-mirrors speak for Docker Hub; "prefix=location" for others. */
	for (size_t i = 0; i < n; i++) {
		struct str s = str_of(e->cfg.registry_mirrors[i]);
		ptrdiff_t equals = str_find(s, '=');

		mirrors[i] = (struct remote_mirror){ .prefix = "docker.io", .location = s.at };
		if (equals > 0) {
			mirrors[i].prefix = arena_strndup(&e->arena, s.at, (size_t)equals);
			mirrors[i].location = s.at + equals + 1;
		}
	}
	c.insecure = e->cfg.insecure_registries;
	c.certs_dir = "/etc/docker/certs.d";
	c.http_proxy = e->cfg.http_proxy;
	c.https_proxy = e->cfg.https_proxy;
	c.no_proxy = e->cfg.no_proxy;
	/* Of n attempts n - 1 are retries. */
	if (e->cfg.max_download_attempts > 0)
		c.retries =
		    e->cfg.max_download_attempts > 1 ? (int)e->cfg.max_download_attempts - 1 : -1;
	return fn(arg, &c, err);
}

static int make_remote(void *arg, const struct remote_config *c, struct error *err)
{
	return remote_new(c, arg, err);
}

static int change_remote(void *arg, const struct remote_config *c, struct error *err)
{
	return remote_configure(arg, c, err);
}

static void collect(struct engine *e, const struct cancel *cancel)
{
	const struct gc_options o = { .cancel = cancel };
	struct error err;

	if (gc_run(e->store, &o, NULL, &err) < 0 && err.kind != ERR_CANCELED)
		log_warn("unused content not removed, continuing", KV_ERR(&err));
}

void image_give_back(struct engine *e)
{
	collect(e, NULL);
}

/* What a killed process left: downloads without an image, layers without a name. */
static void *sweep(void *arg)
{
	struct engine *e = arg;

	collect(e, &e->images->stop_sweeping);
	return NULL;
}

static void start_sweeper(struct engine *e)
{
	struct image_room *room = e->images;
	sigset_t all, old;

	if (cancel_init(&room->stop_sweeping, NULL) < 0)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	room->has_sweeper = pthread_create(&room->sweeper, NULL, sweep, e) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!room->has_sweeper)
		cancel_release(&room->stop_sweeping);
}

static void stop_sweeper(struct image_room *room)
{
	if (!room->has_sweeper)
		return;
	cancel_fire(&room->stop_sweeping);
	pthread_join(room->sweeper, NULL);
	cancel_release(&room->stop_sweeping);
}

int image_room_open(struct engine *e, struct error *err)
{
	struct image_room *room = new0(struct image_room);
	pthread_condattr_t attr;
	int r = with_config(e, make_remote, &room->remote, err);

	if (r < 0) {
		free(room);
		return r;
	}
	pthread_mutex_init(&room->flights_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&room->flights_changed, &attr);
	pthread_condattr_destroy(&attr);
	e->images = room;
	start_sweeper(e);
	return 0;
}

void image_room_close(struct engine *e)
{
	struct image_room *room = e->images;

	if (!room)
		return;
	stop_sweeper(room);
	e->images = NULL;
	remote_free(room->remote);
	map_release(&room->flights);
	pthread_cond_destroy(&room->flights_changed);
	pthread_mutex_destroy(&room->flights_lock);
	free(room);
}

int engine_image_reload(struct engine *e, struct error *err)
{
	return with_config(e, change_remote, e->images->remote, err);
}

/* ---- one fetch a blob ---- */

int image_flight_begin(struct image_room *room, const char *digest, const struct cancel *cancel,
		       bool *ret_waited, struct error *err)
{
	struct timespec until;
	int r = 0;

	*ret_waited = false;
	pthread_mutex_lock(&room->flights_lock);
	while (r == 0 && map_has(&room->flights, digest)) {
		*ret_waited = true;
		/* A cancel has no condition to signal: look at it now and then. */
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += 200 * 1000 * 1000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		pthread_cond_timedwait(&room->flights_changed, &room->flights_lock, &until);
		r = cancel_check(cancel, err);
	}
	if (r == 0)
		map_set(&room->flights, digest, room);
	pthread_mutex_unlock(&room->flights_lock);
	return r;
}

void image_flight_end(struct image_room *room, const char *digest)
{
	pthread_mutex_lock(&room->flights_lock);
	map_remove(&room->flights, digest);
	pthread_cond_broadcast(&room->flights_changed);
	pthread_mutex_unlock(&room->flights_lock);
}

/* ---- words shared by the files of images ---- */

static int64_t count_users(void *arg, const char *id, bool running, char **ret_one)
{
	struct container **list, **c;
	int64_t n = 0;
	size_t n_all;

	list = container_snapshot(arg, &n_all);
	for (c = list; c && *c; c++) {
		bool is_running;

		LOCKED(&(*c)->lock);
		is_running = container_is_running(*c);
		if (strcmp((*c)->image_id, id) != 0 || (running && !is_running))
			continue;
		if (n++ == 0 && ret_one) {
			free(*ret_one);
			*ret_one = cstr_format("%.12s", (*c)->id);
		}
	}
	container_snapshot_free(list);
	return n;
}

struct image_users image_users_of(struct engine *e)
{
	return (struct image_users){ .count = count_users, .arg = e };
}

void image_event(struct engine *e, const char *action, const char *actor, const char *name)
{
	const struct event_attr attrs[] = { { "name", name } };

	event_emit(e, "image", action, actor, attrs, ARRAY_LEN(attrs));
}

void image_short(const struct digest *d, char out[static 13])
{
	hex_format(d->bytes, 6, out);
}

void image_auth_read(const struct json *doc, struct remote_auth *ret)
{
	*ret = (struct remote_auth){
		.username = json_str(doc, "username"),
		.password = json_str(doc, "password"),
		.identity_token = json_str(doc, "identitytoken"),
		.registry_token = json_str(doc, "registrytoken"),
	};
}

int image_reference(const char *name, const char *tag, struct reference *ret, struct error *err)
{
	autofree char *text = NULL;
	struct reference ref;
	int r;

	if (!tag || !*tag)
		return reference_parse(name, ret, err);
	r = reference_parse(name, &ref, err);
	if (r < 0)
		return r;
	/* The tag of the query wins over one in the name, as with docker. */
	reference_set_tag(&ref, "");
	ref.digest = (struct digest){ 0 };
	{
		char plain[REFERENCE_TEXT_MAX];

		reference_name(&ref, plain);
		text = cstr_format("%s%c%s", plain, strchr(tag, ':') ? '@' : ':', tag);
	}
	return reference_parse(text, ret, err);
}

/* ---- the API ---- */

int engine_image_list(struct engine *e, const struct engine_image_list *o, struct jsonw *out,
		      struct error *err)
{
	const struct image_filter f = {
		.all = o->all,
		.digests = o->digests,
		.shared_size = o->shared_size,
		.filters = o->filters,
		.virtual_size = o->virtual_size,
	};

	return image_list(e->store, &f, out, err);
}

int engine_image_inspect(struct engine *e, const char *name, unsigned api, struct jsonw *out,
			 struct error *err)
{
	return image_inspect(e->store, name, api, out, err);
}

int engine_image_history(struct engine *e, const char *name, struct jsonw *out, struct error *err)
{
	return image_history(e->store, name, out, err);
}

int engine_image_blame(struct engine *e, const char *name, const char *path, struct jsonw *out,
		       struct error *err)
{
	return image_blame(e->store, name, path, out, err);
}

int engine_image_tag(struct engine *e, const char *name, const char *repo, const char *tag,
		     struct error *err)
{
	autofree char *target = cstr_format("%s%s%s", repo, tag && *tag ? ":" : "", tag ? tag : "");
	autofree char *id = NULL, *familiar = NULL;
	int r = image_tag(e->store, name, target, &id, &familiar, err);

	if (r == 0)
		image_event(e, "tag", id, familiar);
	return r;
}

static void on_delete(void *arg, const char *action, const char *id, const char *name)
{
	image_event(arg, action, id, name);
}

int engine_image_delete(struct engine *e, const char *name, bool force, bool no_prune,
			struct jsonw *out, struct error *err)
{
	const struct image_users users = image_users_of(e);
	const struct image_delete_options o = { .force = force,
						.no_prune = no_prune,
						.users = &users,
						.event = on_delete,
						.event_arg = e };

	return image_delete(e->store, name, &o, out, err);
}

int engine_image_prune(struct engine *e, const struct json *filters, struct jsonw *out,
		       struct error *err)
{
	const struct image_users users = image_users_of(e);
	const struct image_delete_options o = { .users = &users,
						.event = on_delete,
						.event_arg = e };
	int r = image_prune(e->store, filters, &o, out, err);

	if (r == 0)
		r = db_trim(e->store->db, err);
	if (r == 0)
		event_emit(e, "image", "prune", "", NULL, 0);
	return r;
}

int engine_image_df(struct engine *e, struct jsonw *out, int64_t *ret_layers_bytes,
		    struct error *err)
{
	const struct image_users users = image_users_of(e);
	const struct image_filter f = {
		.all = true, .shared_size = true, .virtual_size = true, .users = &users
	};
	struct store_usage u;
	int r = image_list(e->store, &f, out, err);

	if (r == 0)
		r = store_usage(e->store, &u, err);
	/* Everything that is there because of images: `du` must not find more. */
	if (r == 0)
		*ret_layers_bytes = (int64_t)(u.image_disk_bytes + u.content_bytes + u.meta_bytes);
	return r;
}

struct problems {
	struct jsonw *out;
};

static void write_problem(void *arg, const char *problem, bool repaired)
{
	struct problems *p = arg;

	jsonw_object(p->out);
	jsonw_kstring(p->out, "Text", problem);
	jsonw_kbool(p->out, "Repaired", repaired);
	jsonw_end(p->out);
}

int engine_store_check(struct engine *e, bool repair, const struct cancel *cancel,
		       struct jsonw *out, struct error *err)
{
	struct problems p = { out };
	struct check_stats stats;
	int r;

	jsonw_object(out);
	jsonw_karray(out, "Problems");
	r = store_check(e->store, repair, write_problem, &p, cancel, &stats, err);
	jsonw_end(out);
	if (r == 0) {
		jsonw_kint(out, "Blobs", (int64_t)stats.blobs);
		jsonw_kint(out, "BlobBytes", (int64_t)stats.blob_bytes);
		jsonw_kint(out, "Layers", (int64_t)stats.layers);
		jsonw_kint(out, "Images", (int64_t)stats.images);
		jsonw_kint(out, "Snapshots", (int64_t)stats.snapshots);
	}
	jsonw_end(out);
	return r;
}
