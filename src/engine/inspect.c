/* engine/inspect.c: GET /containers/{ref}/json and /containers/json. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/str.h"
#include "engine/container_internal.h"
#include "engine/filter.h"
#include "engine/network.h"
#include "image/image.h"
#include "store/snapshot.h"
#include "store/store.h"

static const char *status_word(const struct container *c)
{
	static const char *const words[] = {
		[CONTAINER_CREATED] = "created",   [CONTAINER_RUNNING] = "running",
		[CONTAINER_PAUSED] = "paused",     [CONTAINER_RESTARTING] = "restarting",
		[CONTAINER_REMOVING] = "removing", [CONTAINER_EXITED] = "exited",
		[CONTAINER_DEAD] = "dead",
	};

	return c->dead ? "dead" : words[c->status];
}

/* ---- sizes ---- */

static void sizes_of(struct container *c, int64_t *ret_rw, int64_t *ret_root)
{
	struct store *store = c->engine->store;
	autofree char *key = cstr_format("container/%s", c->id);
	auto_(image_row) row = { 0 };
	uint64_t rw = 0;

	(void)!snapshot_usage(store->snapshots, key, &rw, NULL);
	*ret_rw = (int64_t)rw;
	*ret_root = (int64_t)rw;
	if (images_get(store, c->image_id, &row, NULL) == 0)
		*ret_root += row.size;
}

/* ---- inspect ---- */

static void state_write(struct container *c, struct jsonw *w)
{
	jsonw_kobject(w, "State");
	jsonw_kstring(w, "Status", status_word(c));
	jsonw_kbool(w, "Running", container_is_running(c));
	jsonw_kbool(w, "Paused", c->status == CONTAINER_PAUSED);
	jsonw_kbool(w, "Restarting", c->status == CONTAINER_RESTARTING);
	jsonw_kbool(w, "OOMKilled", c->oom_killed);
	jsonw_kbool(w, "Dead", c->dead);
	jsonw_kint(w, "Pid", c->pid);
	jsonw_kint(w, "ExitCode", c->exit_code);
	jsonw_kstring(w, "Error",
		      c->unanswered   ? "the shim does not answer"
		      : c->error_text ? c->error_text
				      : "");
	jsonw_ktime(w, "StartedAt", c->started_ns);
	jsonw_ktime(w, "FinishedAt", c->finished_ns);
	health_write(c, w);
	jsonw_end(w);
}

static void graph_write(struct container *c, struct jsonw *w)
{
	autofree char *key = cstr_format("container/%s", c->id);
	auto_(mounts) m = { 0 };
	auto_(buf) lower = BUF_INIT(1 << 20);
	struct snapshots *s = c->engine->store->snapshots;
	size_t i;

	jsonw_kobject(w, "GraphDriver");
	if (snapshot_mounts(s, key, &m, NULL) < 0) {
		jsonw_knull(w, "Data");
	} else if (m.root) {
		jsonw_kobject(w, "Data");
		jsonw_kstring(w, "Dir", m.root);
		jsonw_end(w);
	} else {
		for (i = 0; i < m.n_lower; i++)
			if (buf_addf(&lower, NULL, "%s%s", i ? ":" : "", m.lower[i]) < 0)
				break;
		jsonw_kobject(w, "Data");
		jsonw_kstring(w, "LowerDir", lower.data ? lower.data : "");
		jsonw_kstring(w, "UpperDir", m.upper);
		jsonw_kstring(w, "WorkDir", m.work);
		jsonw_end(w);
	}
	jsonw_kstring(w, "Name", snapshot_driver_name(snapshots_driver(s)));
	jsonw_end(w);
}

static void kpath(struct jsonw *w, const char *key, const struct container *c, const char *file)
{
	autofree char *path = container_file_path(c, file);

	jsonw_kstring(w, key, path);
}

static void paths_write(struct container *c, struct jsonw *w)
{
	autofree char *log = container_log_path(c);

	jsonw_kstring(w, "Image", c->image_id);
	kpath(w, "ResolvConfPath", c, "resolv.conf");
	kpath(w, "HostnamePath", c, "hostname");
	kpath(w, "HostsPath", c, "hosts");
	jsonw_kstring(w, "LogPath", log ? log : "");
}

static void inspect_write(struct container *c, bool size, struct jsonw *w)
{
	auto_(arena) arena = ARENA_INIT;
	autofree char *name = NULL, *apparmor = NULL;
	const char *const *a;
	int64_t rw = 0, root = 0;
	const struct json *config, *hc;

	if (size)
		sizes_of(c, &rw, &root);
	jsonw_object(w);
	jsonw_kstring(w, "Id", c->id);
	jsonw_ktime(w, "Created", c->created_ns);
	jsonw_kstring(w, "Path", c->path);
	jsonw_karray(w, "Args");
	for (a = c->args; a && *a; a++)
		jsonw_string(w, *a);
	jsonw_end(w);
	lock_take(&c->lock);
	state_write(c, w);
	name = cstr_format("/%s", c->name);
	apparmor = c->apparmor_profile ? xstrdup(c->apparmor_profile) : NULL;
	config = c->config;
	hc = c->host_config;
	jsonw_kint(w, "RestartCount", c->restart_count);
	lock_drop(&c->lock);
	paths_write(c, w);
	jsonw_kstring(w, "Name", name);
	jsonw_kstring(w, "Driver",
		      snapshot_driver_name(snapshots_driver(c->engine->store->snapshots)));
	jsonw_kstring(w, "Platform", "linux");
	jsonw_kstring(w, "MountLabel", "");
	jsonw_kstring(w, "ProcessLabel", "");
	jsonw_kstring(w, "AppArmorProfile", apparmor ? apparmor : "");
	exec_ids_write(c, w);
	jsonw_kvalue(w, "HostConfig", links_shown(c, &arena, hc));
	graph_write(c, w);
	if (size) {
		jsonw_kint(w, "SizeRw", rw);
		jsonw_kint(w, "SizeRootFs", root);
	}
	mounts_write(c, w);
	jsonw_kvalue(w, "Config", config);
	jsonw_key(w, "NetworkSettings");
	network_settings_write(c, w);
	jsonw_end(w);
}

int container_inspect(struct engine *e, const char *ref, bool size, struct jsonw *out,
		      struct error *err)
{
	autoptr(container) c = NULL;
	int r = container_find(e, ref, &c, err);

	if (r < 0)
		return r;
	container_settle(c, clock_mono_ns() + CONTAINER_SETTLE_NS);
	inspect_write(c, size, out);
	return 0;
}

int container_is_tty(struct engine *e, const char *ref, bool *ret, struct error *err)
{
	autoptr(container) c = NULL;
	int r = container_find(e, ref, &c, err);

	if (r < 0)
		return r;
	*ret = json_bool(c->config, "Tty", false);
	return 0;
}

/* ---- list ---- */

/* Go's units.HumanDuration. */
static void human_duration(int64_t ns, char *out, size_t cap)
{
	long long s = ns / NS_PER_SEC, m = s / 60, h = (m + 30) / 60;

	if (s < 1)
		snprintf(out, cap, "Less than a second");
	else if (s == 1)
		snprintf(out, cap, "1 second");
	else if (s < 60)
		snprintf(out, cap, "%lld seconds", s);
	else if (m == 1)
		snprintf(out, cap, "About a minute");
	else if (m < 60)
		snprintf(out, cap, "%lld minutes", m);
	else if (h == 1)
		snprintf(out, cap, "About an hour");
	else if (h < 48)
		snprintf(out, cap, "%lld hours", h);
	else if (h < 24 * 7 * 2)
		snprintf(out, cap, "%lld days", h / 24);
	else if (h < 24 * 30 * 2)
		snprintf(out, cap, "%lld weeks", h / 24 / 7);
	else if (h < 24 * 365 * 2)
		snprintf(out, cap, "%lld months", h / 24 / 30);
	else
		snprintf(out, cap, "%lld years", h / 24 / 365);
}

static void status_text(const struct container *c, char *out, size_t cap)
{
	const char *health = health_status(c);
	char since[64];
	int64_t now = clock_wall_ns();

	if (c->dead) {
		snprintf(out, cap, "Dead");
		return;
	}
	switch (c->status) {
	case CONTAINER_PAUSED:
		human_duration(now - c->started_ns, since, sizeof(since));
		snprintf(out, cap, "Up %s (Paused)", since);
		return;
	case CONTAINER_RESTARTING:
		human_duration(now - c->finished_ns, since, sizeof(since));
		snprintf(out, cap, "Restarting (%d) %s ago", c->exit_code, since);
		return;
	case CONTAINER_RUNNING:
		human_duration(now - c->started_ns, since, sizeof(since));
		if (strcmp(health, "none") == 0)
			snprintf(out, cap, "Up %s", since);
		else
			snprintf(out, cap, "Up %s (%s%s)", since,
				 strcmp(health, "starting") == 0 ? "health: " : "", health);
		return;
	case CONTAINER_REMOVING:
		snprintf(out, cap, "Removal In Progress");
		return;
	case CONTAINER_CREATED:
		snprintf(out, cap, "Created");
		return;
	case CONTAINER_EXITED:
	case CONTAINER_DEAD:
		break;
	}
	if (c->finished_ns == 0) {
		out[0] = '\0';
		return;
	}
	human_duration(now - c->finished_ns, since, sizeof(since));
	snprintf(out, cap, "Exited (%d) %s ago", c->exit_code, since);
}

/* Docker quotes an argument that has anything but these. */
static void quote_arg(struct buf *b, const char *s)
{
	const char *p;
	bool plain = s[0] != '\0';

	for (p = s; *p; p++)
		plain = plain && (isalnum((unsigned char)*p) || strchr("_@%+=:,./-", *p));
	if (plain || buf_add(b, "'", 1, NULL) < 0) {
		(void)!buf_add(b, s, strlen(s), NULL);
		return;
	}
	for (p = s; *p; p++)
		if (*p == '\'' ? buf_add(b, "'\"'\"'", 5, NULL) < 0 : buf_add(b, p, 1, NULL) < 0)
			return;
	(void)!buf_add(b, "'", 1, NULL);
}

static void command_write(const struct container *c, struct jsonw *w)
{
	auto_(buf) b = BUF_INIT(1 << 20);
	const char *const *a;

	(void)!buf_add(&b, c->path, strlen(c->path), NULL);
	for (a = c->args; a && *a; a++) {
		(void)!buf_add(&b, " ", 1, NULL);
		quote_arg(&b, *a);
	}
	jsonw_kstring(w, "Command", b.data ? b.data : "");
}

static void list_row(struct container *c, struct container *const *parents, bool size,
		     struct jsonw *w)
{
	autofree char *name = NULL;
	const struct json *config, *hc;
	char status[160];
	int64_t rw = 0, root = 0;
	const char *word;

	if (size)
		sizes_of(c, &rw, &root);
	{
		LOCKED(&c->lock);
		name = cstr_format("/%s", c->name);
		config = c->config;
		hc = c->host_config;
		word = status_word(c);
		status_text(c, status, sizeof(status));
	}
	jsonw_object(w);
	jsonw_kstring(w, "Id", c->id);
	jsonw_karray(w, "Names");
	jsonw_string(w, name);
	links_names_write(c, parents, w);
	jsonw_end(w);
	jsonw_kstring(w, "Image", json_str(config, "Image"));
	jsonw_kstring(w, "ImageID", c->image_id);
	command_write(c, w);
	jsonw_kint(w, "Created", c->created_ns / NS_PER_SEC);
	jsonw_key(w, "Ports");
	network_ports_write(c, w);
	if (size) {
		if (rw)
			jsonw_kint(w, "SizeRw", rw);
		if (root)
			jsonw_kint(w, "SizeRootFs", root);
	}
	jsonw_kvalue(w, "Labels", json_get(config, "Labels"));
	jsonw_kstring(w, "State", word);
	jsonw_kstring(w, "Status", status);
	jsonw_kobject(w, "HostConfig");
	jsonw_kstring(w, "NetworkMode", json_str(hc, "NetworkMode"));
	jsonw_end(w);
	jsonw_key(w, "NetworkSettings");
	network_summary_write(c, w);
	mounts_write(c, w);
	jsonw_end(w);
}

/* ---- filters ---- */

static const char *const list_filters[] = {
	"ancestor", "before", "exited",  "expose",  "health", "id",     "is-task", "isolation",
	"label",    "name",   "network", "publish", "since",  "status", "volume",  NULL,
};

struct listing {
	struct filters f;
	int64_t before_ns, since_ns;
	char **ancestors; /* image ids; NULL-terminated; NULL = not asked */
};

static void listing_release(struct listing *l)
{
	char **a;

	for (a = l->ancestors; a && *a; a++)
		free(*a);
	free(l->ancestors);
	filters_release(&l->f);
}
DEFINE_AUTO(listing, listing_release);

static int created_of(struct engine *e, const char *const *refs, int64_t *ret, struct error *err)
{
	autoptr(container) c = NULL;
	int r;

	if (refs == NULL)
		return 0;
	r = container_find(e, refs[0], &c, err);
	if (r == 0)
		*ret = c->created_ns;
	return r;
}

static int check_words(const struct listing *l, struct error *err)
{
	static const char *const statuses[] = { "created", "restarting", "running", "removing",
						"paused",  "exited",     "dead" };
	static const char *const healths[] = { "none", "starting", "healthy", "unhealthy" };
	const char *const *v;
	int64_t code;
	size_t i;

	for (v = filters_get(&l->f, "status"); v && *v; v++) {
		for (i = 0; i < ARRAY_LEN(statuses) && strcmp(statuses[i], *v) != 0; i++)
			;
		if (i == ARRAY_LEN(statuses))
			return error_set(err, ERR_INVALID, "invalid filter 'status=%s'", *v);
	}
	for (v = filters_get(&l->f, "health"); v && *v; v++) {
		for (i = 0; i < ARRAY_LEN(healths) && strcmp(healths[i], *v) != 0; i++)
			;
		if (i == ARRAY_LEN(healths))
			return error_set(err, ERR_INVALID, "invalid filter 'health=%s'", *v);
	}
	for (v = filters_get(&l->f, "exited"); v && *v; v++)
		if (parse_i64(str_of(*v), INT32_MIN, INT32_MAX, &code, NULL) < 0)
			return error_set(err, ERR_INVALID, "invalid filter 'exited=%s'", *v);
	for (v = filters_get(&l->f, "is-task"); v && *v; v++)
		if (strcmp(*v, "true") != 0 && strcmp(*v, "false") != 0)
			return error_set(err, ERR_INVALID, "invalid filter 'is-task=%s'", *v);
	return 0;
}

static int listing_read(struct engine *e, const struct json *filters, struct listing *l,
			struct error *err)
{
	const char *const *v;
	size_t n = 0;
	int r;

	r = filters_read(filters, list_filters, &l->f, err);
	if (r == 0)
		r = check_words(l, err);
	if (r == 0)
		r = created_of(e, filters_get(&l->f, "before"), &l->before_ns, err);
	if (r == 0)
		r = created_of(e, filters_get(&l->f, "since"), &l->since_ns, err);
	v = filters_get(&l->f, "ancestor");
	if (r < 0 || v == NULL)
		return r;
	while (v[n])
		n++;
	l->ancestors = xcalloc(n + 1, sizeof(*l->ancestors));
	for (n = 0; *v; v++)
		/* An image that does not exist has no containers. */
		if (image_resolve(e->store, *v, &l->ancestors[n], NULL) == 0)
			n++;
	return 0;
}

static bool any_of(const char *const *v, const char *s)
{
	for (; *v; v++)
		if (strcmp(*v, s) == 0)
			return true;
	return false;
}

/* Docker matches names as unanchored regular expressions; ^ and $ are what people use. */
static bool name_matches(const char *name, const char *want)
{
	autofree char *slash = cstr_format("/%s", name);
	bool head = want[0] == '^', tail;
	autofree char *body = xstrdup(want + head);
	size_t len = strlen(body);

	tail = len > 0 && body[len - 1] == '$';
	if (tail)
		body[--len] = '\0';
	if (head && tail)
		return strcmp(body, name) == 0 || strcmp(body, slash) == 0;
	if (head)
		return cstr_starts(name, body) || cstr_starts(slash, body);
	if (tail)
		return cstr_ends(slash, body);
	return strstr(slash, body) != NULL;
}

static bool mounts_match(const struct container *c, const char *const *v)
{
	size_t i;

	for (i = 0; i < c->n_mounts; i++) {
		const struct container_mount *m = &c->mounts[i];

		if (any_of(v, m->destination) || (m->name && any_of(v, m->name)) ||
		    (m->source && any_of(v, m->source)))
			return true;
	}
	return false;
}

static bool state_matches(struct container *c, const struct filters *f)
{
	const char *const *v;
	bool hit;

	LOCKED(&c->lock);
	v = filters_get(f, "status");
	if (v && !any_of(v, status_word(c)))
		return false;
	v = filters_get(f, "health");
	if (v && !any_of(v, health_status(c)))
		return false;
	v = filters_get(f, "exited");
	for (hit = v == NULL; v && *v && !hit; v++) {
		int64_t code;

		hit = parse_i64(str_of(*v), INT32_MIN, INT32_MAX, &code, NULL) == 0 &&
		      c->exit_code == code && !container_is_running(c) && c->finished_ns != 0;
	}
	if (!hit)
		return false;
	v = filters_get(f, "name");
	for (hit = v == NULL; v && *v && !hit; v++)
		hit = name_matches(c->name, *v);
	return hit;
}

static bool identity_matches(const struct container *c, const struct listing *l)
{
	const char *const *v;
	bool hit;
	char **a;

	v = filters_get(&l->f, "id");
	for (hit = v == NULL; v && *v && !hit; v++)
		hit = cstr_starts(c->id, *v);
	if (!hit)
		return false;
	for (v = filters_get(&l->f, "label"); v && *v; v++)
		if (!filter_label_matches(json_get(c->config, "Labels"), *v))
			return false;
	for (hit = l->ancestors == NULL, a = l->ancestors; a && *a && !hit; a++)
		hit = strcmp(*a, c->image_id) == 0;
	if (!hit || (l->before_ns && c->created_ns >= l->before_ns) ||
	    (l->since_ns && c->created_ns <= l->since_ns))
		return false;
	v = filters_get(&l->f, "volume");
	return v == NULL || mounts_match(c, v);
}

static int ports_match(struct container *c, const struct filters *f, const char *key,
		       bool published, bool *ret, struct error *err)
{
	const char *const *v = filters_get(f, key);
	bool hit = v == NULL;
	int r;

	for (; v && *v && !hit; v++) {
		r = network_port_matches(c, *v, published, &hit, err);
		if (r < 0)
			return r;
	}
	*ret = *ret && hit;
	return 0;
}

static int row_wanted(struct container *c, const struct listing *l, bool all, bool *ret,
		      struct error *err)
{
	const char *const *v;
	bool hit, running;
	int r;

	{
		LOCKED(&c->lock);
		running = container_is_running(c);
	}
	/* Asking for a state, an exit or a neighbour implies "all". */
	*ret = (running || all || filters_get(&l->f, "status") || filters_get(&l->f, "exited") ||
		l->before_ns || l->since_ns) &&
	       identity_matches(c, l) && state_matches(c, &l->f);
	v = filters_get(&l->f, "network");
	for (hit = v == NULL; *ret && v && *v && !hit; v++)
		hit = network_container_uses(c, *v);
	*ret = *ret && hit;
	v = filters_get(&l->f, "is-task");
	*ret = *ret && (v == NULL || any_of(v, "false"));
	r = ports_match(c, &l->f, "publish", true, ret, err);
	return r < 0 ? r : ports_match(c, &l->f, "expose", false, ret, err);
}

int container_list(struct engine *e, bool all, int64_t limit, bool size, const struct json *filters,
		   struct jsonw *out, struct error *err)
{
	auto_(listing) l = { 0 };
	struct container **list, **at;
	autofree struct container **parents = NULL;
	int64_t n = 0, settled_by = clock_mono_ns() + CONTAINER_SETTLE_NS;
	size_t count;
	int r;

	r = listing_read(e, filters, &l, err);
	if (r < 0)
		return r;
	list = container_snapshot(e, &count);
	parents = links_parents(list, count);
	jsonw_array(out);
	for (at = list; *at && (limit <= 0 || n < limit); at++) {
		bool wanted;

		container_settle(*at, settled_by);
		r = row_wanted(*at, &l, all || limit > 0, &wanted, err);
		if (r < 0)
			break;
		if (!wanted)
			continue;
		list_row(*at, parents, size, out);
		n++;
	}
	jsonw_end(out);
	container_snapshot_free(list);
	return r;
}
