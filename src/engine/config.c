/*
 * engine/config.c: Config and HostConfig as a client sent them become the
 * documents that inspect shows: Docker's members in Docker's order, defaults
 * filled in, the image's part merged. Unknown members are dropped.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/str.h"
#include "engine/body_check.h"
#include "engine/container_internal.h"
#include "task/bundle.h"

struct json *json_new_null(struct arena *a)
{
	return arena_new(a, struct json);
}

struct json *json_clone(struct arena *a, const struct json *j)
{
	struct json *n;
	size_t i;

	if (j == NULL)
		return json_new_null(a);
	switch (j->type) {
	case JSON_OBJECT:
		n = json_new_object(a);
		for (i = 0; i < j->n_members; i++)
			json_set(a, n, arena_strdup(a, j->members[i].key),
				 json_clone(a, j->members[i].value));
		return n;
	case JSON_ARRAY:
		n = json_new_array(a);
		for (i = 0; i < j->n_items; i++)
			json_push(a, n, json_clone(a, j->items[i]));
		return n;
	case JSON_STRING:
		return json_new_string(a, j->s);
	case JSON_NULL:
	case JSON_INT:
	case JSON_BOOL:
	case JSON_DOUBLE:
		break;
	}
	n = arena_new(a, struct json);
	*n = *j;
	return n;
}

/* ---- typed look-ups that complain ---- */

enum shape {
	SHAPE_STRING,
	SHAPE_BOOL,
	SHAPE_INT,
	SHAPE_LIST,   /* of strings or objects; null stays null */
	SHAPE_OBJECT, /* null stays null */
};

enum presence {
	ALWAYS = 0, /* with Go's zero value, or null for lists and objects */
	OMIT_EMPTY,
	EMPTY_LIST, /* [] or {} instead of null */
	NULL_ZERO,  /* numbers: null when absent */
	OMIT_NULL,  /* left out when absent: a zero or false that was said is something else */
};

struct member {
	const char *key;
	enum shape shape;
	enum presence presence;
};

static bool shape_fits(enum shape shape, const struct json *v)
{
	switch (shape) {
	case SHAPE_STRING:
		return v->type == JSON_STRING;
	case SHAPE_BOOL:
		return v->type == JSON_BOOL;
	case SHAPE_INT:
		return v->type == JSON_INT;
	case SHAPE_LIST:
		return v->type == JSON_ARRAY;
	case SHAPE_OBJECT:
		return v->type == JSON_OBJECT;
	}
	return false;
}

static const char *shape_go_name(enum shape shape)
{
	static const char *const names[] = { "string", "bool", "int64", "[]string", "map" };

	return names[shape];
}

static struct json *zero_value(struct arena *a, const struct member *m)
{
	if (m->presence == NULL_ZERO)
		return json_new_null(a);
	switch (m->shape) {
	case SHAPE_STRING:
		return json_new_string(a, "");
	case SHAPE_BOOL:
		return json_new_bool(a, false);
	case SHAPE_INT:
		return json_new_int(a, 0);
	case SHAPE_LIST:
		return m->presence == EMPTY_LIST ? json_new_array(a) : json_new_null(a);
	case SHAPE_OBJECT:
		return m->presence == EMPTY_LIST ? json_new_object(a) : json_new_null(a);
	}
	return json_new_null(a);
}

static bool is_empty(const struct json *v)
{
	switch (v->type) {
	case JSON_STRING:
		return v->s_len == 0;
	case JSON_BOOL:
		return !v->b;
	case JSON_INT:
		return v->i == 0;
	case JSON_ARRAY:
		return v->n_items == 0;
	case JSON_OBJECT:
		return v->n_members == 0;
	case JSON_NULL:
	case JSON_DOUBLE:
		break;
	}
	return v->type == JSON_NULL;
}

static int members_copy(struct arena *a, const struct member *m, size_t n, const struct json *body,
			struct json *to, const char *go_type, struct error *err)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const struct json *v = json_get_nocase(body, m[i].key);

		/* A single string where Go's strslice is expected. */
		if (v && m[i].shape == SHAPE_LIST && v->type == JSON_STRING &&
		    (strcmp(m[i].key, "Cmd") == 0 || strcmp(m[i].key, "Entrypoint") == 0)) {
			struct json *list = json_new_array(a);

			json_push(a, list, json_new_string(a, v->s));
			v = list;
		}
		if (v && v->type != JSON_NULL && !shape_fits(m[i].shape, v))
			return error_set(err, ERR_INVALID,
					 "json: cannot unmarshal %s into Go struct field %s.%s of "
					 "type %s",
					 json_go_name(v), go_type, m[i].key,
					 shape_go_name(m[i].shape));
		if (v && v->type == JSON_NULL)
			v = NULL;
		if (m[i].presence == OMIT_EMPTY && (v == NULL || is_empty(v)))
			continue;
		if (m[i].presence == OMIT_NULL && v == NULL)
			continue;
		json_set(a, to, m[i].key, v ? json_clone(a, v) : zero_value(a, &m[i]));
	}
	return 0;
}

/* ---- Config ---- */

static const struct member config_members[] = {
	{ "Hostname", SHAPE_STRING, 0 },
	{ "Domainname", SHAPE_STRING, 0 },
	{ "User", SHAPE_STRING, 0 },
	{ "AttachStdin", SHAPE_BOOL, 0 },
	{ "AttachStdout", SHAPE_BOOL, 0 },
	{ "AttachStderr", SHAPE_BOOL, 0 },
	{ "ExposedPorts", SHAPE_OBJECT, OMIT_EMPTY },
	{ "Tty", SHAPE_BOOL, 0 },
	{ "OpenStdin", SHAPE_BOOL, 0 },
	{ "StdinOnce", SHAPE_BOOL, 0 },
	{ "Env", SHAPE_LIST, 0 },
	{ "Cmd", SHAPE_LIST, 0 },
	{ "Healthcheck", SHAPE_OBJECT, OMIT_EMPTY },
	{ "ArgsEscaped", SHAPE_BOOL, OMIT_EMPTY },
	{ "Image", SHAPE_STRING, 0 },
	{ "Volumes", SHAPE_OBJECT, 0 },
	{ "WorkingDir", SHAPE_STRING, 0 },
	{ "Entrypoint", SHAPE_LIST, 0 },
	{ "NetworkDisabled", SHAPE_BOOL, OMIT_EMPTY },
	{ "MacAddress", SHAPE_STRING, OMIT_EMPTY },
	{ "OnBuild", SHAPE_LIST, 0 },
	{ "Labels", SHAPE_OBJECT, EMPTY_LIST },
	{ "StopSignal", SHAPE_STRING, OMIT_EMPTY },
	{ "StopTimeout", SHAPE_INT, OMIT_NULL },
	{ "Shell", SHAPE_LIST, OMIT_EMPTY },
};

/* Members of `from` that `to` lacks. */
static struct json *object_union(struct arena *a, const struct json *to, const struct json *from)
{
	struct json *out = to && to->type == JSON_OBJECT ? json_clone(a, to) : json_new_object(a);

	json_for_each_member (m, from)
		if (json_get(out, m->key) == NULL)
			json_set(a, out, m->key, json_clone(a, m->value));
	return out;
}

static size_t env_key_len(const char *s)
{
	return strcspn(s, "=");
}

static struct json *env_merge(struct arena *a, const struct json *env, const struct json *image)
{
	struct json *out = env && env->type == JSON_ARRAY ? json_clone(a, env) : json_new_array(a);
	size_t i;

	json_for_each_item (v, image) {
		bool have = false;

		if (v->type != JSON_STRING)
			continue;
		for (i = 0; i < out->n_items && !have; i++) {
			const struct json *mine = out->items[i];

			have = mine->type == JSON_STRING &&
			       env_key_len(mine->s) == env_key_len(v->s) &&
			       strncmp(mine->s, v->s, env_key_len(v->s)) == 0;
		}
		if (!have)
			json_push(a, out, json_clone(a, v));
	}
	return out;
}

static bool list_empty(const struct json *j)
{
	return j == NULL || j->type != JSON_ARRAY || j->n_items == 0;
}

static void merge_health(struct arena *a, struct json *c, const struct json *image)
{
	static const char *const keys[] = { "Interval", "Timeout", "StartPeriod", "StartInterval",
					    "Retries" };
	const struct json *theirs = json_get(image, "Healthcheck");
	const struct json *mine = json_get(c, "Healthcheck");
	struct json *out;
	size_t i;

	if (theirs == NULL)
		return;
	if (mine == NULL) {
		json_set(a, c, "Healthcheck", json_clone(a, theirs));
		return;
	}
	out = json_clone(a, mine);
	if (list_empty(json_get(out, "Test")) && json_get(theirs, "Test"))
		json_set(a, out, "Test", json_clone(a, json_get(theirs, "Test")));
	for (i = 0; i < ARRAY_LEN(keys); i++)
		if (json_int(out, keys[i], 0) == 0 && json_int(theirs, keys[i], 0) != 0)
			json_set(a, out, keys[i], json_clone(a, json_get(theirs, keys[i])));
	json_set(a, c, "Healthcheck", out);
}

static void merge_command(struct arena *a, struct json *c, const struct json *image)
{
	const struct json *entry = json_get(c, "Entrypoint");

	if (list_empty(entry)) {
		if (list_empty(json_get(c, "Cmd")))
			json_set(a, c, "Cmd", json_clone(a, json_get(image, "Cmd")));
		if (entry == NULL)
			json_set(a, c, "Entrypoint", json_clone(a, json_get(image, "Entrypoint")));
	}
	entry = json_get(c, "Entrypoint");
	if (entry && entry->type == JSON_ARRAY && entry->n_items == 1 &&
	    entry->items[0]->type == JSON_STRING && entry->items[0]->s_len == 0)
		json_set(a, c, "Entrypoint", json_new_null(a));
}

/* Peer: an empty map gives way to the image's, which may be none at all. */
static void merge_map(struct arena *a, struct json *c, const char *key, const struct json *theirs)
{
	const struct json *mine = json_get(c, key);

	if (theirs && theirs->type == JSON_OBJECT)
		json_set(a, c, key, object_union(a, mine, theirs));
	else if (mine && mine->type == JSON_OBJECT && mine->n_members == 0 &&
		 strcmp(key, "Volumes") == 0)
		json_set(a, c, key, json_new_null(a));
}

static void merge_image(struct arena *a, struct json *c, const struct json *image)
{
	static const char *const texts[] = { "User", "WorkingDir", "StopSignal" };
	static const char *const maps[] = { "ExposedPorts", "Volumes" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(texts); i++)
		if (cstr_is_empty(json_str(c, texts[i])) &&
		    !cstr_is_empty(json_str(image, texts[i])))
			json_set(a, c, texts[i], json_new_string(a, json_str(image, texts[i])));
	for (i = 0; i < ARRAY_LEN(maps); i++)
		merge_map(a, c, maps[i], json_get(image, maps[i]));
	json_set(a, c, "Labels", object_union(a, json_get(c, "Labels"), json_get(image, "Labels")));
	if (!list_empty(json_get(image, "Env")))
		json_set(a, c, "Env", env_merge(a, json_get(c, "Env"), json_get(image, "Env")));
	if (list_empty(json_get(c, "Shell")) && !list_empty(json_get(image, "Shell")))
		json_set(a, c, "Shell", json_clone(a, json_get(image, "Shell")));
	merge_command(a, c, image);
	merge_health(a, c, image);
}

static int check_config(const struct json *c, struct error *err)
{
	const char *dir = json_str(c, "WorkingDir"), *stop = json_str(c, "StopSignal");
	int sig;

	json_for_each_item (v, json_get(c, "Env"))
		if (v->type != JSON_STRING || v->s[0] == '\0' || v->s[0] == '=')
			return error_set(err, ERR_INVALID, "invalid environment variable: %s",
					 v->type == JSON_STRING ? v->s : "");
	if (!cstr_is_empty(dir) && dir[0] != '/')
		return error_set(
		    err, ERR_INVALID,
		    "the working directory '%s' is invalid, it needs to be an absolute "
		    "path",
		    dir);
	if (!cstr_is_empty(stop) && signal_parse(stop, &sig, err) < 0)
		return -ERR_INVALID;
	if (list_empty(json_get(c, "Entrypoint")) && list_empty(json_get(c, "Cmd")))
		return error_set(err, ERR_INVALID, "No command specified");
	return 0;
}

static int check_health(const struct json *h, struct error *err)
{
	static const struct {
		const char *key, *name;
	} times[] = { { "Interval", "Interval" },
		      { "Timeout", "Timeout" },
		      { "StartPeriod", "StartPeriod" },
		      { "StartInterval", "StartInterval" } };
	size_t i;

	for (i = 0; i < ARRAY_LEN(times); i++) {
		int64_t v = json_int(h, times[i].key, 0);

		if (v != 0 && v < 1000000)
			return error_set(err, ERR_INVALID,
					 "%s in Healthcheck cannot be less than one millisecond",
					 times[i].name);
	}
	if (json_int(h, "Retries", 0) < 0)
		return error_set(err, ERR_INVALID, "Retries in Healthcheck cannot be negative");
	return 0;
}

static const struct member health_members[] = {
	{ "Test", SHAPE_LIST, OMIT_EMPTY },         { "Interval", SHAPE_INT, OMIT_EMPTY },
	{ "Timeout", SHAPE_INT, OMIT_EMPTY },       { "StartPeriod", SHAPE_INT, OMIT_EMPTY },
	{ "StartInterval", SHAPE_INT, OMIT_EMPTY }, { "Retries", SHAPE_INT, OMIT_EMPTY },
};

/* What Go's omitempty leaves of it: docker-py sends nulls, Compose sends zeros. */
static int copy_health(struct arena *a, struct json *c, struct error *err)
{
	const struct json *given = json_get(c, "Healthcheck");
	struct json *h;
	int r;

	if (given == NULL)
		return 0;
	h = json_new_object(a);
	r = members_copy(a, health_members, ARRAY_LEN(health_members), given, h, "HealthConfig",
			 err);
	json_set(a, c, "Healthcheck", h);
	return r;
}

int config_build(struct arena *a, const struct json *body, const struct json *image, const char *id,
		 const struct json **ret, struct error *err)
{
	struct json *c = json_new_object(a);
	int r;

	r = members_copy(a, config_members, ARRAY_LEN(config_members), body, c, "Config", err);
	if (r == 0)
		r = copy_health(a, c, err);
	if (r < 0)
		return r;
	if (image)
		merge_image(a, c, image);
	if (cstr_is_empty(json_str(c, "Hostname")))
		json_set(a, c, "Hostname", json_new_string(a, arena_strndup(a, id, 12)));
	r = check_config(c, err);
	if (r == 0)
		r = check_health(json_get(c, "Healthcheck"), err);
	if (r < 0)
		return r;
	*ret = c;
	return 0;
}

/* ---- HostConfig ---- */

static const struct member host_members[] = {
	{ "Binds", SHAPE_LIST, 0 },
	{ "ContainerIDFile", SHAPE_STRING, 0 },
	{ "LogConfig", SHAPE_OBJECT, EMPTY_LIST },
	{ "NetworkMode", SHAPE_STRING, 0 },
	{ "PortBindings", SHAPE_OBJECT, 0 },
	{ "RestartPolicy", SHAPE_OBJECT, EMPTY_LIST },
	{ "AutoRemove", SHAPE_BOOL, 0 },
	{ "VolumeDriver", SHAPE_STRING, 0 },
	{ "VolumesFrom", SHAPE_LIST, 0 },
	{ "ConsoleSize", SHAPE_LIST, 0 },
	{ "Annotations", SHAPE_OBJECT, OMIT_EMPTY },
	{ "CapAdd", SHAPE_LIST, 0 },
	{ "CapDrop", SHAPE_LIST, 0 },
	{ "CgroupnsMode", SHAPE_STRING, 0 },
	{ "Dns", SHAPE_LIST, 0 },
	{ "DnsOptions", SHAPE_LIST, 0 },
	{ "DnsSearch", SHAPE_LIST, 0 },
	{ "ExtraHosts", SHAPE_LIST, 0 },
	{ "GroupAdd", SHAPE_LIST, 0 },
	{ "IpcMode", SHAPE_STRING, 0 },
	{ "Cgroup", SHAPE_STRING, 0 },
	{ "Links", SHAPE_LIST, 0 },
	{ "OomScoreAdj", SHAPE_INT, 0 },
	{ "PidMode", SHAPE_STRING, 0 },
	{ "Privileged", SHAPE_BOOL, 0 },
	{ "PublishAllPorts", SHAPE_BOOL, 0 },
	{ "ReadonlyRootfs", SHAPE_BOOL, 0 },
	{ "SecurityOpt", SHAPE_LIST, 0 },
	{ "StorageOpt", SHAPE_OBJECT, OMIT_EMPTY },
	{ "Tmpfs", SHAPE_OBJECT, OMIT_EMPTY },
	{ "UTSMode", SHAPE_STRING, 0 },
	{ "UsernsMode", SHAPE_STRING, 0 },
	{ "ShmSize", SHAPE_INT, 0 },
	{ "Sysctls", SHAPE_OBJECT, OMIT_EMPTY },
	{ "Runtime", SHAPE_STRING, 0 },
	{ "Isolation", SHAPE_STRING, 0 },
	{ "CpuShares", SHAPE_INT, 0 },
	{ "Memory", SHAPE_INT, 0 },
	{ "NanoCpus", SHAPE_INT, 0 },
	{ "CgroupParent", SHAPE_STRING, 0 },
	{ "BlkioWeight", SHAPE_INT, 0 },
	{ "BlkioWeightDevice", SHAPE_LIST, 0 },
	{ "BlkioDeviceReadBps", SHAPE_LIST, 0 },
	{ "BlkioDeviceWriteBps", SHAPE_LIST, 0 },
	{ "BlkioDeviceReadIOps", SHAPE_LIST, 0 },
	{ "BlkioDeviceWriteIOps", SHAPE_LIST, 0 },
	{ "CpuPeriod", SHAPE_INT, 0 },
	{ "CpuQuota", SHAPE_INT, 0 },
	{ "CpuRealtimePeriod", SHAPE_INT, 0 },
	{ "CpuRealtimeRuntime", SHAPE_INT, 0 },
	{ "CpusetCpus", SHAPE_STRING, 0 },
	{ "CpusetMems", SHAPE_STRING, 0 },
	{ "Devices", SHAPE_LIST, 0 },
	{ "DeviceCgroupRules", SHAPE_LIST, 0 },
	{ "DeviceRequests", SHAPE_LIST, 0 },
	{ "KernelMemory", SHAPE_INT, OMIT_EMPTY },
	{ "KernelMemoryTCP", SHAPE_INT, OMIT_EMPTY },
	{ "MemoryReservation", SHAPE_INT, 0 },
	{ "MemorySwap", SHAPE_INT, 0 },
	{ "MemorySwappiness", SHAPE_INT, NULL_ZERO },
	{ "OomKillDisable", SHAPE_BOOL, 0 },
	{ "PidsLimit", SHAPE_INT, NULL_ZERO },
	{ "Ulimits", SHAPE_LIST, 0 },
	{ "CpuCount", SHAPE_INT, 0 },
	{ "CpuPercent", SHAPE_INT, 0 },
	{ "IOMaximumIOps", SHAPE_INT, 0 },
	{ "IOMaximumBandwidth", SHAPE_INT, 0 },
	{ "Mounts", SHAPE_LIST, OMIT_EMPTY },
	{ "MaskedPaths", SHAPE_LIST, 0 },
	{ "ReadonlyPaths", SHAPE_LIST, 0 },
	{ "Init", SHAPE_BOOL, OMIT_NULL },
	/* proa's own: "none", "restart", "stop", "kill" */
	{ "HealthOnFailure", SHAPE_STRING, OMIT_EMPTY },
};

static void default_text(struct arena *a, struct json *hc, const char *key, const char *value)
{
	if (cstr_is_empty(json_str(hc, key)))
		json_set(a, hc, key, json_new_string(a, value));
}

static void default_log(struct engine *e, struct arena *a, struct json *hc)
{
	const struct json *asked = json_get(hc, "LogConfig");
	struct json *log = json_new_object(a), *opts;
	const char *type = json_str(asked, "Type");
	size_t i;

	if (cstr_is_empty(type))
		type = e->cfg.log_driver;
	json_set(a, log, "Type", json_new_string(a, type));
	opts = object_union(a, json_get(asked, "Config"), NULL);
	for (i = 0; strcmp(type, e->cfg.log_driver) == 0 && i < e->cfg.n_log_opts; i++)
		if (json_get(opts, e->cfg.log_opts[i].key) == NULL)
			json_set(a, opts, e->cfg.log_opts[i].key,
				 json_new_string(a, e->cfg.log_opts[i].value));
	json_set(a, log, "Config", opts);
	json_set(a, hc, "LogConfig", log);
}

static void default_restart(struct arena *a, struct json *hc)
{
	const struct json *asked = json_get(hc, "RestartPolicy");
	struct json *out = json_new_object(a);
	const char *name = json_str(asked, "Name");

	json_set(a, out, "Name", json_new_string(a, cstr_is_empty(name) ? "no" : name));
	json_set(a, out, "MaximumRetryCount",
		 json_new_int(a, json_int(asked, "MaximumRetryCount", 0)));
	json_set(a, hc, "RestartPolicy", out);
}

static struct json *path_list(struct arena *a, const char *const *list)
{
	struct json *out = json_new_array(a);

	for (; *list; list++)
		json_push(a, out, json_new_string(a, *list));
	return out;
}

static bool ulimit_is_set(const struct json *list, const char *name)
{
	json_for_each_item (u, list)
		if (json_str(u, "Name") && strcmp(json_str(u, "Name"), name) == 0)
			return true;
	return false;
}

/* The engine's own ulimits ("nofile" -> "1024:2048") where the container says nothing. */
static int default_ulimits(struct engine *e, struct arena *a, struct json *hc, struct error *err)
{
	const struct json *asked = json_get(hc, "Ulimits");
	struct json *list;
	size_t i;
	int r = 0;

	if (e->cfg.n_default_ulimits == 0)
		return 0;
	list = asked ? json_clone(a, asked) : json_new_array(a);
	for (i = 0; r == 0 && i < e->cfg.n_default_ulimits; i++) {
		const struct engine_pair *p = &e->cfg.default_ulimits[i];
		struct str rest = str_of(p->value), soft;
		struct json *one;
		int64_t low, high;

		if (ulimit_is_set(asked, p->key) || !str_split(&rest, ':', &soft))
			continue;
		r = parse_i64(soft, -1, INT64_MAX, &low, err);
		high = low;
		if (r == 0 && rest.at && rest.len > 0)
			r = parse_i64(rest, -1, INT64_MAX, &high, err);
		if (r < 0)
			return error_wrap(err, r, "default ulimit '%s'", p->key);
		one = json_new_object(a);
		json_set(a, one, "Name", json_new_string(a, p->key));
		json_set(a, one, "Hard", json_new_int(a, high));
		json_set(a, one, "Soft", json_new_int(a, low));
		json_push(a, list, one);
	}
	json_set(a, hc, "Ulimits", list);
	return r;
}

static void default_numbers(struct engine *e, struct arena *a, struct json *hc)
{
	int64_t memory = json_int(hc, "Memory", 0);

	if (json_int(hc, "ShmSize", 0) == 0)
		json_set(a, hc, "ShmSize", json_new_int(a, e->cfg.default_shm_bytes));
	if (json_int(hc, "MemorySwappiness", -1) == -1)
		json_set(a, hc, "MemorySwappiness", json_new_null(a));
	if (json_int(hc, "PidsLimit", 0) <= 0)
		json_set(a, hc, "PidsLimit", json_new_null(a));
	if (memory > 0 && json_int(hc, "MemorySwap", 0) == 0)
		json_set(a, hc, "MemorySwap",
			 json_new_int(a, memory > INT64_MAX / 2 ? INT64_MAX : memory * 2));
	if (list_empty(json_get(hc, "ConsoleSize"))) {
		struct json *size = json_new_array(a);

		json_push(a, size, json_new_int(a, 0));
		json_push(a, size, json_new_int(a, 0));
		json_set(a, hc, "ConsoleSize", size);
	}
}

/* "container:NAME" becomes "container:<id>": a rename changes nothing. */
static int resolve_modes(struct engine *e, struct arena *a, struct json *hc, struct error *err)
{
	static const char *const keys[] = { "NetworkMode", "PidMode", "IpcMode" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(keys); i++) {
		const char *mode = json_str(hc, keys[i]);
		autoptr(container) other = NULL;

		if (!cstr_starts(mode ? mode : "", "container:"))
			continue;
		/* Not as "not found": clients would think that of the image, and pull it. */
		if (container_find(e, mode + strlen("container:"), &other, NULL) < 0)
			return error_set(err, ERR_INVALID, "No such container: %s",
					 mode + strlen("container:"));
		json_set(a, hc, keys[i],
			 json_new_string(a, arena_format(a, "container:%s", other->id)));
	}
	return 0;
}

/* Peer: who shares the host's processes or memory has no label of his own. */
static void default_security(struct arena *a, struct json *hc)
{
	const struct json *given = json_get(hc, "SecurityOpt");
	const char *pid = json_str(hc, "PidMode"), *ipc = json_str(hc, "IpcMode");
	struct json *list;

	if ((given && given->type != JSON_NULL) ||
	    !((pid && strcmp(pid, "host") == 0) || (ipc && strcmp(ipc, "host") == 0) ||
	      json_bool(hc, "Privileged", false)))
		return;
	list = json_new_array(a);
	json_push(a, list, json_new_string(a, "label=disable"));
	json_set(a, hc, "SecurityOpt", list);
}

int host_config_build(struct engine *e, struct arena *a, const struct json *body,
		      const struct json **ret, struct error *err)
{
	struct json *hc = json_new_object(a);
	int r;

	r = members_copy(a, host_members, ARRAY_LEN(host_members), body, hc, "HostConfig", err);
	if (r < 0)
		return r;
	r = resolve_modes(e, a, hc, err);
	if (r < 0)
		return r;
	default_security(a, hc);
	default_text(a, hc, "NetworkMode", "default");
	default_text(a, hc, "IpcMode",
		     e->cfg.default_ipc_mode ? e->cfg.default_ipc_mode : "private");
	default_text(a, hc, "CgroupnsMode",
		     e->cfg.default_cgroupns_mode ? e->cfg.default_cgroupns_mode
		     : access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0 ? "private"
									      : "host");
	default_text(a, hc, "Runtime", e->cfg.default_runtime);
	default_log(e, a, hc);
	default_restart(a, hc);
	default_numbers(e, a, hc);
	r = default_ulimits(e, a, hc, err);
	if (r < 0)
		return r;
	if (!json_bool(hc, "Privileged", false)) {
		if (json_get(hc, "MaskedPaths") == NULL)
			json_set(a, hc, "MaskedPaths", path_list(a, bundle_default_masked_paths()));
		if (json_get(hc, "ReadonlyPaths") == NULL)
			json_set(a, hc, "ReadonlyPaths",
				 path_list(a, bundle_default_readonly_paths()));
	}
	r = host_config_check(e, hc, err);
	if (r < 0)
		return r;
	*ret = hc;
	return 0;
}
