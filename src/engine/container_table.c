/*
 * engine/container_table.c: the containers in memory and their rows.
 *
 * A row has the documents that never change (doc) and the state that does
 * (state), so that a start or an exit rewrites a few hundred bytes.
 * Version history of the table: 1 = the below.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/str.h"
#include "engine/container_internal.h"
#include "store/db.h"
#include "store/store.h"
#include "task/task.h"

#define DOC_MAX (8 << 20)

static const char *const steps[] = {
	"CREATE TABLE containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
	" created INTEGER NOT NULL, image TEXT NOT NULL, doc TEXT NOT NULL,"
	" state TEXT NOT NULL) WITHOUT ROWID;",
};

/* ---- life of the object ---- */

struct container *container_new(struct engine *e, const char *id)
{
	struct container *c = new0(struct container);

	atomic_init(&c->refs, 1);
	c->engine = e;
	strncpy(c->id, id, sizeof(c->id) - 1);
	pthread_mutex_init(&c->op.mutex, NULL);
	pthread_mutex_init(&c->lock.mutex, NULL);
	return c;
}

struct container *container_ref(struct container *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

struct container *container_unref(struct container *c)
{
	if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1)
		return NULL;
	attach_pending_drop(c);
	health_free(c->health);
	task_unref(c->task);
	vec_for_each (w, &c->watchers)
		close(*w);
	vec_release(&c->watchers);
	vec_release(&c->pending_attach);
	arena_release(&c->arena);
	free(c->name);
	free(c->error_text);
	free(c->apparmor_profile);
	free(c->not_removed);
	pthread_mutex_destroy(&c->op.mutex);
	pthread_mutex_destroy(&c->lock.mutex);
	free(c);
	return NULL;
}

bool container_is_running(const struct container *c)
{
	return c->status == CONTAINER_RUNNING || c->status == CONTAINER_PAUSED ||
	       c->status == CONTAINER_RESTARTING;
}

/* ---- look-up ---- */

static bool is_hex(const char *s)
{
	return s[strspn(s, "0123456789abcdef")] == '\0';
}

static int find_by_prefix(struct engine *e, const char *ref, struct container **ret,
			  struct error *err)
{
	struct container *found = NULL;
	size_t len = strlen(ref);

	if (len == 0 || len >= 64 || !is_hex(ref))
		return error_set(err, ERR_NOT_FOUND, "No such container: %s", ref);
	map_for_each (entry, &e->containers_by_id) {
		if (strncmp(entry->key, ref, len) != 0)
			continue;
		if (found)
			return error_set(err, ERR_INVALID,
					 "multiple IDs found with provided prefix: %s", ref);
		found = entry->value;
	}
	if (found == NULL)
		return error_set(err, ERR_NOT_FOUND, "No such container: %s", ref);
	*ret = found;
	return 0;
}

int container_find(struct engine *e, const char *ref, struct container **ret, struct error *err)
{
	struct container *c;
	int r;

	LOCKED(&e->containers_lock);
	c = map_get(&e->containers_by_id, ref);
	if (c == NULL)
		c = map_get(&e->containers_by_name, ref[0] == '/' ? ref + 1 : ref);
	if (c == NULL) {
		r = find_by_prefix(e, ref, &c, err);
		if (r < 0)
			return r;
	}
	*ret = container_ref(c);
	return 0;
}

static int by_created(const void *a, const void *b)
{
	const struct container *x = *(struct container *const *)a;
	const struct container *y = *(struct container *const *)b;

	return x->created_ns < y->created_ns ? 1 : x->created_ns > y->created_ns ? -1 : 0;
}

struct container **container_snapshot(struct engine *e, size_t *ret_n)
{
	struct container **list;
	size_t n = 0;

	{
		LOCKED(&e->containers_lock);
		list = xcalloc(e->containers_by_id.len + 1, sizeof(*list));
		map_for_each (entry, &e->containers_by_id)
			list[n++] = container_ref(entry->value);
	}
	qsort(list, n, sizeof(struct container *), by_created);
	if (ret_n)
		*ret_n = n;
	return list;
}

void container_snapshot_free(struct container **list)
{
	struct container **c;

	for (c = list; c && *c; c++)
		container_unref(*c);
	free(list);
}

int container_table_reserve(struct engine *e, const char *name, const char *id, struct error *err)
{
	LOCKED(&e->containers_lock);
	struct container *other = map_get(&e->containers_by_name, name);
	const char *holder = other ? other->id : map_get(&e->reserved_names, name);

	if (holder)
		return error_set(
		    err, ERR_CONFLICT,
		    "Conflict. The container name \"/%s\" is already in use by container "
		    "\"%s\". You have to remove (or rename) that container to be able to "
		    "reuse that name.",
		    name, holder);
	map_set(&e->reserved_names, name, xstrdup(id));
	return 0;
}

void container_table_unreserve(struct engine *e, const char *name)
{
	LOCKED(&e->containers_lock);
	map_remove(&e->reserved_names, name);
}

void container_table_add(struct container *take_c)
{
	struct engine *e = take_c->engine;

	LOCKED(&e->containers_lock);
	map_set(&e->containers_by_id, take_c->id, take_c);
	map_set(&e->containers_by_name, take_c->name, take_c);
	map_remove(&e->reserved_names, take_c->name);
}

void container_table_remove(struct container *c)
{
	struct engine *e = c->engine;
	bool had;

	{
		LOCKED(&e->containers_lock);
		had = map_remove(&e->containers_by_id, c->id);
		if (map_get(&e->containers_by_name, c->name) == c)
			map_remove(&e->containers_by_name, c->name);
	}
	if (had)
		container_unref(c);
}

int container_still_there(struct container *c, const char *ref, struct error *err)
{
	lock_assert_held(&c->op);
	LOCKED(&c->lock);
	return c->removed ? error_set(err, ERR_NOT_FOUND, "No such container: %s", ref) : 0;
}

/* ---- rows ---- */

static void state_write(const struct container *c, struct jsonw *w)
{
	jsonw_object(w);
	jsonw_kint(w, "status", c->status);
	jsonw_kint(w, "pid", c->pid);
	jsonw_kint(w, "exit_code", c->exit_code);
	jsonw_kbool(w, "oom_killed", c->oom_killed);
	jsonw_kbool(w, "stop_requested", c->stop_requested);
	jsonw_kbool(w, "dead", c->dead);
	if (c->error_text)
		jsonw_kstring(w, "error", c->error_text);
	jsonw_kint(w, "started", c->started_ns);
	jsonw_kint(w, "finished", c->finished_ns);
	jsonw_kint(w, "restart_count", c->restart_count);
	jsonw_kbool(w, "ran", c->ran);
	if (c->apparmor_profile)
		jsonw_kstring(w, "apparmor", c->apparmor_profile);
	if (c->userns.size) {
		jsonw_kobject(w, "userns");
		jsonw_kint(w, "uid", c->userns.uid);
		jsonw_kint(w, "n_uids", c->userns.n_uids);
		jsonw_kint(w, "gid", c->userns.gid);
		jsonw_kint(w, "n_gids", c->userns.n_gids);
		jsonw_kint(w, "size", c->userns.size);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void mount_write(const struct container_mount *m, struct jsonw *w)
{
	const char *const *o;

	jsonw_object(w);
	jsonw_kstring(w, "type", m->type);
	jsonw_kstring(w, "name", m->name);
	jsonw_kstring(w, "source", m->source);
	jsonw_kstring(w, "destination", m->destination);
	jsonw_kstring(w, "driver", m->driver);
	jsonw_kstring(w, "mode", m->mode);
	jsonw_kstring(w, "propagation", m->propagation);
	jsonw_kstring(w, "subpath", m->subpath);
	if (m->idmap)
		jsonw_kstring(w, "idmap", m->idmap);
	jsonw_kbool(w, "rw", m->rw);
	jsonw_kbool(w, "no_copy", m->no_copy);
	jsonw_kbool(w, "anonymous", m->anonymous);
	jsonw_kbool(w, "non_recursive", m->non_recursive);
	jsonw_karray(w, "options");
	for (o = m->options; o && *o; o++)
		jsonw_string(w, *o);
	jsonw_end(w);
	jsonw_end(w);
}

static void doc_write(const struct container *c, struct jsonw *w)
{
	const char *const *a;
	size_t i;

	jsonw_object(w);
	jsonw_kvalue(w, "config", c->config);
	jsonw_kvalue(w, "host_config", c->host_config);
	jsonw_kvalue(w, "networking", c->networking);
	jsonw_kstring(w, "path", c->path);
	jsonw_karray(w, "args");
	for (a = c->args; a && *a; a++)
		jsonw_string(w, *a);
	jsonw_end(w);
	jsonw_karray(w, "mounts");
	for (i = 0; i < c->n_mounts; i++)
		mount_write(&c->mounts[i], w);
	jsonw_end(w);
	jsonw_end(w);
}

static int text_of(const struct container *c,
		   void (*fn)(const struct container *c, struct jsonw *w), struct buf *b,
		   struct error *err)
{
	struct jsonw w;

	jsonw_init(&w, b);
	fn(c, &w);
	return jsonw_finish(&w, err);
}

int container_insert(struct container *c, struct error *err)
{
	auto_(buf) doc = BUF_INIT(DOC_MAX);
	auto_(buf) state = BUF_INIT(DOC_MAX);
	int r;

	r = text_of(c, doc_write, &doc, err);
	if (r == 0)
		r = text_of(c, state_write, &state, err);
	if (r < 0)
		return r;
	return db_run(c->engine->store->db, err,
		      "INSERT INTO containers (id, name, created, image, doc, state)"
		      " VALUES (?, ?, ?, ?, ?, ?)",
		      "ttittt", c->id, c->name, (int64_t)c->created_ns, c->image_id, doc.data,
		      state.data);
}

int container_save_state(struct container *c, struct error *err)
{
	auto_(buf) state = BUF_INIT(DOC_MAX);
	int r;

	{
		LOCKED(&c->lock);
		r = text_of(c, state_write, &state, err);
	}
	if (r < 0)
		return r;
	return db_run(c->engine->store->db, err, "UPDATE containers SET state=? WHERE id=?", "tt",
		      state.data, c->id);
}

int container_save_doc(struct container *c, struct error *err)
{
	auto_(buf) doc = BUF_INIT(DOC_MAX);
	autofree char *name = NULL;
	int r;

	{
		LOCKED(&c->lock);
		r = text_of(c, doc_write, &doc, err);
		name = xstrdup(c->name);
	}
	if (r < 0)
		return r;
	return db_run(c->engine->store->db, err, "UPDATE containers SET doc=?, name=? WHERE id=?",
		      "ttt", doc.data, name, c->id);
}

int container_delete_row(struct container *c, struct error *err)
{
	return db_run(c->engine->store->db, err, "DELETE FROM containers WHERE id=?", "t", c->id);
}

const char *const *container_strings(struct arena *a, const struct json *list)
{
	size_t n = list && list->type == JSON_ARRAY ? list->n_items : 0, i;
	const char **out = arena_array(a, n + 1, sizeof(*out));

	for (i = 0; i < n; i++)
		out[i] = list->items[i]->type == JSON_STRING ? list->items[i]->s : "";
	return out;
}

static void mount_read(struct container *c, const struct json *j, struct container_mount *m)
{
	m->type = json_str(j, "type");
	m->name = json_str(j, "name");
	m->source = json_str(j, "source");
	m->destination = json_str(j, "destination");
	m->driver = json_str(j, "driver");
	m->mode = json_str(j, "mode");
	m->propagation = json_str(j, "propagation");
	m->subpath = json_str(j, "subpath");
	m->idmap = json_str(j, "idmap");
	m->rw = json_bool(j, "rw", true);
	m->no_copy = json_bool(j, "no_copy", false);
	m->anonymous = json_bool(j, "anonymous", false);
	m->non_recursive = json_bool(j, "non_recursive", false);
	m->options = container_strings(&c->arena, json_get(j, "options"));
}

static int row_read(struct container *c, const char *doc, const char *state, struct error *err)
{
	const struct json *d, *s, *mounts;
	int r;

	r = json_parse(&c->arena, doc, strlen(doc), &d, err);
	if (r == 0)
		r = json_parse(&c->arena, state, strlen(state), &s, err);
	if (r < 0)
		return error_wrap(err, r, "container %s", c->id);
	c->config = json_get(d, "config");
	c->host_config = json_get(d, "host_config");
	c->networking = json_get(d, "networking");
	c->path = json_str(d, "path");
	c->args = container_strings(&c->arena, json_get(d, "args"));
	mounts = json_get(d, "mounts");
	c->n_mounts = mounts && mounts->type == JSON_ARRAY ? mounts->n_items : 0;
	c->mounts = arena_array(&c->arena, c->n_mounts + 1, sizeof(*c->mounts));
	json_for_each_item (m, mounts)
		mount_read(c, m, &c->mounts[m_i]);
	c->status = (enum container_status)json_int(s, "status", CONTAINER_EXITED);
	c->pid = (pid_t)json_int(s, "pid", 0);
	c->exit_code = (int)json_int(s, "exit_code", 0);
	c->oom_killed = json_bool(s, "oom_killed", false);
	c->stop_requested = json_bool(s, "stop_requested", false);
	c->dead = json_bool(s, "dead", false);
	if (json_str(s, "error"))
		c->error_text = xstrdup(json_str(s, "error"));
	c->started_ns = json_int(s, "started", 0);
	c->finished_ns = json_int(s, "finished", 0);
	c->restart_count = (unsigned)json_int(s, "restart_count", 0);
	c->ran = json_bool(s, "ran", true);
	if (json_str(s, "apparmor"))
		c->apparmor_profile = xstrdup(json_str(s, "apparmor"));
	s = json_get(s, "userns");
	c->userns = (struct container_userns){ .uid = (uint32_t)json_int(s, "uid", 0),
					       .n_uids = (uint32_t)json_int(s, "n_uids", 0),
					       .gid = (uint32_t)json_int(s, "gid", 0),
					       .n_gids = (uint32_t)json_int(s, "n_gids", 0),
					       .size = (uint32_t)json_int(s, "size", 0) };
	if (c->config == NULL || c->host_config == NULL)
		return error_set(err, ERR_CORRUPT, "container %s: the row lacks a document", c->id);
	return 0;
}

int container_table_load(struct engine *e, struct error *err)
{
	auto_(db_stmt) q = DB_STMT_INIT;
	bool row;
	int r;

	r = db_migrate(e->store->db, "containers", steps, ARRAY_LEN(steps), err);
	if (r == 0)
		r = db_prepare(e->store->db,
			       "SELECT id, name, created, image, doc, state FROM containers"
			       " ORDER BY created",
			       &q, err);
	if (r < 0)
		return r;
	while ((r = db_step(&q, &row, err)) == 0 && row) {
		struct container *c = container_new(e, db_col_text(&q, 0));

		c->name = xstrdup(db_col_text(&q, 1));
		c->created_ns = db_col_int(&q, 2);
		strncpy(c->image_id, db_col_text(&q, 3), sizeof(c->image_id) - 1);
		r = row_read(c, db_col_text(&q, 4), db_col_text(&q, 5), err);
		if (r < 0) {
			container_unref(c);
			return r;
		}
		container_table_add(c);
	}
	return r;
}

/* ---- questions of the other rooms ---- */

void container_volume_users(struct engine *e, const char *volume, struct jsonw *out, size_t *ret_n)
{
	size_t n = 0, i;

	LOCKED(&e->containers_lock);
	map_for_each (entry, &e->containers_by_id) {
		struct container *c = entry->value;

		for (i = 0; i < c->n_mounts; i++) {
			if (c->mounts[i].name == NULL || strcmp(c->mounts[i].name, volume) != 0)
				continue;
			if (out)
				jsonw_string(out, c->id);
			n++;
			break;
		}
	}
	*ret_n = n;
}

char *container_file_path(const struct container *c, const char *name)
{
	return cstr_format("%s/containers/%s/%s", c->engine->cfg.data_root, c->id, name);
}
