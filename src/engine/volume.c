#include "engine/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/random.h"
#include "engine/body_check.h"
#include "engine/resource_filter.h"
#include "engine/volume_internal.h"

static const char *const migrations[] = {
	"CREATE TABLE volumes(name TEXT PRIMARY KEY, created INTEGER NOT NULL,"
	" anonymous INTEGER NOT NULL, labels TEXT NOT NULL, options TEXT NOT NULL);",
};

/* ---- events, names ---- */

static void volume_event(struct engine *e, const char *action, const char *name)
{
	const struct event_attr attrs[] = { { "driver", "local" } };

	event_emit(e, "volume", action, name, attrs, ARRAY_LEN(attrs));
}

/* Spec: moby volume/local: two characters or more, of a fixed set. */
static int check_name(const char *name, struct error *err)
{
	size_t len = strlen(name);
	bool good = len > 1;

	if (len == 1)
		return error_set(
		    err, ERR_INVALID,
		    "create %s: volume name is too short, names should be at least two "
		    "alphanumeric characters",
		    name);
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool alnum =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		good &= alnum || (i > 0 && (c == '_' || c == '.' || c == '-'));
	}
	if (!good || len >= VOLUME_NAME_MAX)
		return error_set(err, ERR_INVALID,
				 "create %s: \"%s\" includes invalid characters for a local volume "
				 "name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you "
				 "intended to pass a host directory, use absolute path",
				 name, name);
	return 0;
}

static int check_driver(const char *driver, struct error *err)
{
	if (cstr_is_empty(driver) || strcmp(driver, "local") == 0)
		return 0;
	return error_set(err, ERR_NOT_FOUND,
			 "error looking up volume plugin %s: plugin \"%s\" not found", driver,
			 driver);
}

/* Spec: moby volume/local setOpts: which options there are, and which go together. */
static int check_options(const struct json *opts, struct error *err)
{
	static const char *const known[] = { "type", "o", "device", "size" };

	json_for_each_member (m, opts) {
		bool found = false;

		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			found |= strcmp(known[i], m->key) == 0;
		if (!found)
			return error_set(err, ERR_INVALID, "invalid option: \"%s\"", m->key);
	}
	if (json_str(opts, "size"))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "quota size of volumes is not supported yet");
	if (cstr_is_empty(json_str(opts, "type")) != cstr_is_empty(json_str(opts, "device")) &&
	    cstr_is_empty(json_str(opts, "device")))
		return error_set(err, ERR_INVALID, "missing device in volume options");
	if (!cstr_is_empty(json_str(opts, "device")) && cstr_is_empty(json_str(opts, "type")))
		return error_set(err, ERR_INVALID, "missing type in volume options");
	if (!cstr_is_empty(json_str(opts, "o")) && cstr_is_empty(json_str(opts, "device")))
		return error_set(err, ERR_INVALID, "missing device in volume options");
	return 0;
}

char *volume_data_path(struct volume_room *r, const char *name)
{
	return cstr_format("%s/%s/_data", r->root, name);
}

/* ---- the table ---- */

static void volume_free(struct volume *v)
{
	map_release(&v->users);
	map_release(&v->claims);
	arena_release(&v->arena);
	free(v->name);
	free(v);
}

struct volume *volume_find(struct volume_room *r, const char *name)
{
	lock_assert_held(&r->lock);
	return map_get(&r->by_name, name);
}

struct volume *volume_get(struct volume_room *r, const char *name, struct error *err)
{
	struct volume *v = volume_find(r, name);

	if (!v)
		error_set(err, ERR_NOT_FOUND, "get %s: no such volume", name);
	return v;
}

static const struct json *copy_strings(struct arena *a, const struct json *from)
{
	struct json *copy = json_new_object(a);

	json_for_each_member (m, from)
		json_set(a, copy, m->key,
			 json_new_string(a, m->value->type == JSON_STRING ? m->value->s : ""));
	return copy;
}

static int to_text(const struct json *j, struct buf *b, struct error *err)
{
	struct jsonw w;

	jsonw_init(&w, b);
	jsonw_value(&w, j);
	return jsonw_finish(&w, err);
}

static int store_row(struct volume_room *r, const struct volume *v, struct error *err)
{
	auto_(buf) labels = BUF_INIT(1 << 20);
	auto_(buf) options = BUF_INIT(1 << 20);
	int status = to_text(v->labels, &labels, err);

	if (status == 0)
		status = to_text(v->options, &options, err);
	if (status < 0)
		return status;
	return db_run(r->engine->store->db, err,
		      "INSERT INTO volumes(name, created, anonymous, labels, options)"
		      " VALUES(?,?,?,?,?)",
		      "tiitt", v->name, v->created_ns, (int64_t)v->anonymous, labels.data,
		      options.data);
}

static int load_one(struct volume_room *r, const struct db_stmt *q, struct error *err)
{
	struct volume *v = new0(struct volume);
	const char *labels = db_col_text(q, 3), *options = db_col_text(q, 4);
	int status;

	v->name = xstrdup(db_col_text(q, 0));
	v->created_ns = db_col_int(q, 1);
	v->anonymous = db_col_int(q, 2) != 0;
	status = json_parse(&v->arena, labels, strlen(labels), &v->labels, err);
	if (status == 0)
		status = json_parse(&v->arena, options, strlen(options), &v->options, err);
	if (status < 0) {
		volume_free(v);
		return error_wrap(err, status, "stored volume");
	}
	map_set(&r->by_name, v->name, v);
	return 0;
}

static int load_all(struct volume_room *r, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	bool row = true;
	int status = db_prepare(r->engine->store->db,
				"SELECT name, created, anonymous, labels, options FROM volumes"
				" ORDER BY created",
				&q, err);

	while (status == 0) {
		status = db_step(&q, &row, err);
		if (status < 0 || !row)
			break;
		status = load_one(r, &q, err);
	}
	return status;
}

/* Directories that no row names: a create or a remove that a crash cut short. */
static void sweep(struct volume_room *r)
{
	int copy = fcntl(r->dirfd, F_DUPFD_CLOEXEC, 3);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	struct error err;

	while (dir && (entry = readdir(dir))) {
		if (!fs_is_component(entry->d_name) || map_has(&r->by_name, entry->d_name))
			continue;
		if (fs_remove_tree(r->dirfd, entry->d_name, &err) < 0)
			log_warn("leftover volume not removed, continuing",
				 KV("volume", entry->d_name), KV_ERR(&err));
	}
	if (dir)
		closedir(dir);
}

int volume_room_open(struct engine *e, struct error *err)
{
	struct volume_room *r = new0(struct volume_room);
	int status;

	r->engine = e;
	r->lock = (struct lock)LOCK_INIT;
	r->root = cstr_format("%s/volumes", e->cfg.data_root);
	r->dirfd = FD_NONE;
	e->volumes = r;
	status = db_migrate(e->store->db, "volume", migrations, ARRAY_LEN(migrations), err);
	if (status == 0)
		status = fs_mkdir_all(r->root, 0701, err);
	if (status == 0)
		status = fs_open(r->root, O_RDONLY | O_DIRECTORY, 0, &r->dirfd, err);
	if (status == 0)
		status = load_all(r, err);
	if (status == 0)
		sweep(r);
	else
		volume_room_close(e);
	return status;
}

void volume_room_close(struct engine *e)
{
	struct volume_room *r = e->volumes;

	if (!r)
		return;
	e->volumes = NULL;
	map_for_each (v, &r->by_name)
		volume_free(v->value);
	map_release(&r->by_name);
	if (r->dirfd >= 0)
		close(r->dirfd);
	free(r->root);
	free(r);
}

/* ---- writing ---- */

static void write_strings(struct jsonw *w, const char *key, const struct json *object)
{
	jsonw_key(w, key);
	if (object->n_members)
		jsonw_value(w, object);
	else
		jsonw_null(w);
}

/* open: leave the object open for UsageData. */
static void write_volume(struct volume_room *r, const struct volume *v, struct jsonw *w, bool open)
{
	autofree char *path = volume_data_path(r, v->name);

	jsonw_object(w);
	jsonw_ktime(w, "CreatedAt", v->created_ns / NS_PER_SEC * NS_PER_SEC);
	jsonw_kstring(w, "Driver", "local");
	write_strings(w, "Labels", v->labels);
	jsonw_kstring(w, "Mountpoint", path);
	jsonw_kstring(w, "Name", v->name);
	write_strings(w, "Options", v->options);
	jsonw_kstring(w, "Scope", "local");
	if (!open)
		jsonw_end(w);
}

/* How many containers, running or not, name the volume. */
static size_t count_users(struct engine *e, const char *name)
{
	auto_(buf) b = BUF_INIT(1 << 20);
	size_t n = 0;
	struct jsonw w;

	jsonw_init(&w, &b);
	jsonw_array(&w);
	container_volume_users(e, name, &w, &n);
	jsonw_end(&w);
	return n;
}

static bool name_matches(void *ctx, const char *value)
{
	return strstr(((const struct volume *)ctx)->name, value) != NULL;
}

static bool driver_matches(void *ctx, const char *value)
{
	(void)ctx;
	return strcmp(value, "local") == 0;
}

/* Names of the volumes that `filters` select, owned by the list. Containers are
 * asked without the room's lock. */
typedef VEC(char *) name_list;

static void names_release(name_list *l)
{
	vec_for_each (n, l)
		free(*n);
	vec_release(l);
}

static void select_names(struct volume_room *r, const struct json *filters, bool anonymous_only,
			 name_list *out)
{
	LOCKED(&r->lock);
	map_for_each (entry, &r->by_name) {
		struct volume *v = entry->value;

		if ((!anonymous_only || v->anonymous) &&
		    filter_any(filters, "name", name_matches, v) &&
		    filter_any(filters, "driver", driver_matches, v) &&
		    filter_labels(filters, v->labels))
			*vec_push(out) = xstrdup(v->name);
	}
}

int volume_list(struct engine *e, const struct json *filters, struct jsonw *w, struct error *err)
{
	static const char *const known[] = {
		"dangling", "driver", "label", "label!", "name", NULL
	};
	struct volume_room *r = e->volumes;
	name_list names = { 0 };
	bool dangling;
	int status = filter_check(filters, known, err);

	if (status == 0)
		status = filter_bool(filters, "dangling", false, &dangling, err);
	if (status < 0)
		return status;
	select_names(r, filters, false, &names);
	jsonw_object(w);
	jsonw_karray(w, "Volumes");
	vec_for_each (name, &names) {
		struct volume *v;

		if (filter_has(filters, "dangling") && dangling != (count_users(e, *name) == 0))
			continue;
		LOCKED(&r->lock);
		v = volume_find(r, *name);
		if (v)
			write_volume(r, v, w, false);
	}
	jsonw_end(w);
	jsonw_knull(w, "Warnings");
	jsonw_end(w);
	names_release(&names);
	return 0;
}

int volume_inspect(struct engine *e, const char *name, struct jsonw *w, struct error *err)
{
	struct volume_room *r = e->volumes;
	struct volume *v;

	LOCKED(&r->lock);
	v = volume_get(r, name, err);
	if (!v)
		return -ERR_NOT_FOUND;
	write_volume(r, v, w, false);
	return 0;
}

static uint64_t disk_usage(struct volume_room *r, const char *name)
{
	uint64_t bytes;

	return fs_disk_usage(r->dirfd, name, &bytes, NULL) == 0 ? bytes : 0;
}

int volume_df(struct engine *e, struct jsonw *w, struct error *err)
{
	struct volume_room *r = e->volumes;
	name_list names = { 0 };

	(void)err;
	select_names(r, NULL, false, &names);
	jsonw_array(w);
	vec_for_each (name, &names) {
		uint64_t size = disk_usage(r, *name);
		size_t users = count_users(e, *name);
		struct volume *v;

		LOCKED(&r->lock);
		v = volume_find(r, *name);
		if (!v)
			continue;
		write_volume(r, v, w, true);
		jsonw_kobject(w, "UsageData");
		jsonw_kint(w, "RefCount", (int64_t)users);
		jsonw_kint(w, "Size", (int64_t)size);
		jsonw_end(w);
		jsonw_end(w);
	}
	jsonw_end(w);
	names_release(&names);
	return 0;
}

/* ---- create ---- */

static int make_directories(struct volume_room *r, const char *name, struct error *err)
{
	autoclose int fd = FD_NONE;
	int status;

	if (mkdirat(r->dirfd, name, 0701) < 0 && errno != EEXIST)
		return error_sys(err, errno, "create volume '%s'", name);
	status = fs_open_beneath(r->dirfd, name, O_RDONLY | O_DIRECTORY, 0, &fd, err);
	if (status == 0 && mkdirat(fd, "_data", 0755) < 0 && errno != EEXIST)
		status = error_sys(err, errno, "create volume '%s'", name);
	/* The umask must not narrow what containers expect. */
	if (status == 0 && fchmodat(fd, "_data", 0755, AT_SYMLINK_NOFOLLOW) < 0)
		status = error_sys(err, errno, "create volume '%s'", name);
	if (status == 0)
		status = fs_sync_dir(fd, err);
	return status;
}

static int same_options(const struct volume *v, const struct json *opts, struct error *err)
{
	bool same = true;

	if (!opts || opts->type != JSON_OBJECT || opts->n_members == 0)
		return 0;
	same = opts->n_members == v->options->n_members;
	json_for_each_member (m, opts) {
		const char *have = json_str(v->options, m->key);

		same &= have && m->value->type == JSON_STRING && strcmp(have, m->value->s) == 0;
	}
	if (!same)
		return error_set(err, ERR_CONFLICT,
				 "create %s: conflict: volume with this name exists with other "
				 "options",
				 v->name);
	return 0;
}

static void claim(struct volume *v, const char *claimant)
{
	if (claimant == NULL)
		return;
	map_set(&v->claims, claimant, v);
	v->claimed++;
}

void volume_unclaim(struct engine *e, const char *claimant)
{
	LOCKED(&e->volumes->lock);
	map_for_each (entry, &e->volumes->by_name)
		map_remove(&((struct volume *)entry->value)->claims, claimant);
}

static struct volume *volume_new(const char *name, const struct volume_wish *wish)
{
	struct volume *v = new0(struct volume);

	v->name = xstrdup(name);
	v->created_ns = clock_wall_ns();
	v->anonymous = cstr_is_empty(wish->name);
	v->labels = copy_strings(&v->arena, wish->labels);
	v->options = copy_strings(&v->arena, wish->opts);
	return v;
}

int volume_need(struct engine *e, const struct volume_wish *wish,
		char ret_name[static VOLUME_NAME_MAX], bool *ret_created, struct error *err)
{
	struct volume_room *r = e->volumes;
	const char *name = wish->name;
	char generated[65];
	struct volume *v;
	int status;

	if (cstr_is_empty(name)) {
		random_hex(generated, 32);
		name = generated;
	}
	status = check_driver(wish->driver, err);
	if (status == 0)
		status = check_name(name, err);
	if (status == 0)
		status = check_options(wish->opts, err);
	if (status < 0)
		return status;
	LOCKED(&r->lock);
	v = volume_find(r, name);
	if (ret_created)
		*ret_created = v == NULL;
	snprintf(ret_name, VOLUME_NAME_MAX, "%s", name);
	if (v) {
		status = same_options(v, wish->opts, err);
		if (status == 0)
			claim(v, wish->claimant);
		return status;
	}
	v = volume_new(name, wish);
	status = make_directories(r, name, err);
	if (status == 0)
		status = store_row(r, v, err);
	if (status < 0) {
		volume_free(v);
		return status;
	}
	map_set(&r->by_name, v->name, v);
	claim(v, wish->claimant);
	volume_event(e, "create", v->name);
	return 0;
}

int volume_create(struct engine *e, const struct json *body, struct jsonw *w, struct error *err)
{
	const struct volume_wish wish = { .name = json_str(body, "Name"),
					  .driver = json_str(body, "Driver"),
					  .opts = json_get(body, "DriverOpts"),
					  .labels = json_get(body, "Labels") };
	char name[VOLUME_NAME_MAX];
	int status;

	if (json_get(body, "ClusterVolumeSpec"))
		return error_set(err, ERR_UNIMPLEMENTED, "cluster volumes are not supported yet");
	status = body_check_volume(body, err);
	if (status < 0)
		return status;
	status = volume_need(e, &wish, name, NULL, err);
	return status < 0 ? status : volume_inspect(e, name, w, err);
}

/* ---- remove ---- */

/* ERR_CONFLICT with the users' ids. */
static int check_unused(struct engine *e, const char *name, struct error *err)
{
	auto_(buf) b = BUF_INIT(1 << 20);
	auto_(buf) ids = BUF_INIT(900);
	auto_(arena) a = ARENA_INIT;
	const struct json *list = NULL;
	size_t n = 0;
	struct jsonw w;

	jsonw_init(&w, &b);
	jsonw_array(&w);
	container_volume_users(e, name, &w, &n);
	jsonw_end(&w);
	if (n == 0)
		return 0;
	if (jsonw_finish(&w, NULL) < 0 || json_parse(&a, b.data, b.len, &list, NULL) < 0)
		list = NULL;
	json_for_each_item (id, list)
		if (id->type == JSON_STRING &&
		    buf_addf(&ids, NULL, "%s%s", ids.len ? ", " : "", id->s) < 0)
			break;
	return error_set(err, ERR_CONFLICT, "remove %s: volume is in use - [%s]", name,
			 ids.data ? ids.data : "");
}

/* What there is before the containers are asked, which happens without the room's lock. */
struct look {
	bool known, anonymous;
	bool claim;       /* a container was being created with it */
	unsigned claimed; /* up to then */
};

static struct look look_at(struct volume_room *r, const char *name)
{
	const struct volume *v;

	LOCKED(&r->lock);
	v = volume_find(r, name);
	return v ? (struct look){ true, v->anonymous, v->claims.len > 0, v->claimed }
		 : (struct look){ 0 };
}

/* A container that was being created since `before` is in no table that was asked, and may be done.
 * The row first: what a crash leaves is a directory nobody names. */
static int remove_volume(struct engine *e, const char *name, const struct look *before,
			 struct error *err)
{
	struct volume_room *r = e->volumes;
	struct volume *v;
	int status;

	lock_take(&r->lock);
	v = volume_get(r, name, err);
	if (!v)
		status = -ERR_NOT_FOUND;
	else if (before->claim || v->claimed != before->claimed || v->users.len || v->mounting)
		status = error_set(err, ERR_CONFLICT, "remove %s: volume is in use - [%s]", name,
				   volume_first_user(v));
	else
		status = db_run(e->store->db, err, "DELETE FROM volumes WHERE name=?", "t", name);
	if (status == 0)
		v = map_steal(&r->by_name, name);
	lock_drop(&r->lock);
	if (status < 0)
		return status;
	volume_free(v);
	status = fs_remove_tree(r->dirfd, name, err);
	volume_event(e, "destroy", name);
	return status < 0 ? error_wrap(err, status, "remove volume '%s'", name) : 0;
}

int volume_remove(struct engine *e, const char *name, bool force, struct error *err)
{
	const struct look v = look_at(e->volumes, name);
	int status;

	if (!v.known)
		return force ? 0 : error_set(err, ERR_NOT_FOUND, "get %s: no such volume", name);
	status = check_unused(e, name, err);
	return status < 0 ? status : remove_volume(e, name, &v, err);
}

void volume_drop_anonymous(struct engine *e, const char *name)
{
	const struct look v = look_at(e->volumes, name);
	struct error err;

	if (v.anonymous && count_users(e, name) == 0 && remove_volume(e, name, &v, &err) < 0)
		log_warn("anonymous volume not removed, continuing", KV("volume", name),
			 KV_ERR(&err));
}

int volume_prune(struct engine *e, const struct json *filters, bool any, struct jsonw *w,
		 struct error *err)
{
	static const char *const known[] = { "label", "label!", "all", NULL };
	struct volume_room *r = e->volumes;
	name_list names = { 0 };
	uint64_t reclaimed = 0;
	bool all;
	int status = filter_check(filters, known, err);

	if (status == 0)
		status = filter_bool(filters, "all", any, &all, err);
	if (status < 0)
		return status;
	select_names(r, filters, !all, &names);
	jsonw_object(w);
	jsonw_karray(w, "VolumesDeleted");
	vec_for_each (name, &names) {
		const struct look v = look_at(r, *name);
		uint64_t size;

		if (count_users(e, *name) > 0)
			continue;
		size = disk_usage(r, *name);
		if (remove_volume(e, *name, &v, NULL) < 0)
			continue;
		reclaimed += size;
		jsonw_string(w, *name);
	}
	jsonw_end(w);
	jsonw_kint(w, "SpaceReclaimed", (int64_t)reclaimed);
	jsonw_end(w);
	names_release(&names);
	{
		autofree char *bytes = cstr_format("%llu", (unsigned long long)reclaimed);
		const struct event_attr attrs[] = { { "reclaimed", bytes } };

		event_emit(e, "volume", "prune", "", attrs, ARRAY_LEN(attrs));
	}
	return 0;
}
