#include "api/build.h"

#include <string.h>

#include "base/base64.h"
#include "base/str.h"

/* An object of strings as pairs; a null value stays NULL. */
static int read_pairs(struct call *c, const struct json *j, const char *key,
		      const struct engine_pair **ret, size_t *ret_n, struct error *err)
{
	struct engine_pair *pairs;
	size_t n = 0;

	*ret = NULL;
	*ret_n = 0;
	if (j == NULL)
		return 0;
	if (j->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID, "invalid %s: want an object", key);
	pairs = arena_array(c->req->arena, j->n_members + 1, sizeof(*pairs));
	json_for_each_member (m, j) {
		if (m->value->type != JSON_STRING && m->value->type != JSON_NULL)
			return error_set(err, ERR_INVALID, "invalid %s: '%.64s' is not a string",
					 key, m->key);
		pairs[n].key = m->key;
		pairs[n++].value = m->value->type == JSON_STRING ? m->value->s : NULL;
	}
	*ret = pairs;
	*ret_n = n;
	return 0;
}

static int query_pairs(struct call *c, const char *key, const struct engine_pair **ret,
		       size_t *ret_n, struct error *err)
{
	const struct json *j;
	int r = call_query_json(c, key, &j, err);

	return r < 0 ? r : read_pairs(c, j, key, ret, ret_n, err);
}

/* An array of strings, NULL-terminated; NULL for none. */
static int read_strings(struct call *c, const struct json *j, const char *key,
			const char *const **ret, struct error *err)
{
	const char **list;
	size_t n = 0;

	*ret = NULL;
	if (j == NULL)
		return 0;
	if (j->type != JSON_ARRAY)
		return error_set(err, ERR_INVALID, "invalid %s: want an array", key);
	list = arena_array(c->req->arena, j->n_items + 1, sizeof(*list));
	json_for_each_item (item, j) {
		if (item->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "invalid %s: want strings", key);
		list[n++] = item->s;
	}
	*ret = list;
	return 0;
}

static int read_limits(struct call *c, struct engine_build *b, struct error *err)
{
	struct {
		const char *key;
		int64_t *to;
	} numbers[] = {
		{ "shmsize", &b->shm_bytes },         { "memory", &b->memory_bytes },
		{ "memswap", &b->memory_swap_bytes }, { "cpushares", &b->cpu_shares },
		{ "cpuperiod", &b->cpu_period_us },   { "cpuquota", &b->cpu_quota_us },
	};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int r = http_query_int(&c->req->query, numbers[i].key, 0, numbers[i].to, err);

		if (r < 0)
			return r;
	}
	b->cpuset_cpus = call_text(c, "cpusetcpus");
	b->cpuset_mems = call_text(c, "cpusetmems");
	b->cgroup_parent = call_text(c, "cgroupparent");
	return call_query_json(c, "ulimits", &b->ulimits, err);
}

/* The stock API's query keys. */
static int read_query(struct call *c, struct engine_build *b, struct error *err)
{
	const struct json *cache_from;
	int r;

	b->tags = call_list(c, "t");
	b->dockerfile = call_text(c, "dockerfile");
	b->target = call_text(c, "target");
	b->no_cache = call_flag(c, "nocache", false);
	b->pull = call_flag(c, "pull", false);
	b->quiet = call_flag(c, "q", false);
	b->squash = call_flag(c, "squash", false);
	b->network_mode = call_text(c, "networkmode");
	b->platform = call_text(c, "platform");
	b->extra_hosts = call_list(c, "extrahosts");
	b->remote = call_text(c, "remote");
	r = query_pairs(c, "buildargs", &b->build_args, &b->n_build_args, err);
	if (r == 0)
		r = query_pairs(c, "labels", &b->labels, &b->n_labels, err);
	if (r == 0)
		r = call_query_json(c, "cachefrom", &cache_from, err);
	if (r == 0)
		r = read_strings(c, cache_from, "cachefrom", &b->cache_from, err);
	/*
	 * The CLIs name a version; docker-py, dockerode and Compose 1 do not, and want the classic
	 * builder's cachefrom. Peer: dockerd 20.10 looks nowhere else then.
	 */
	b->named_caches_only = call_text(c, "version") == NULL;
	if (r == 0)
		r = read_limits(c, b, err);
	if (r == 0)
		r = call_registry_auth(c, "X-Registry-Config", &b->registry_auth, err);
	return r;
}

static int read_text(struct call *c, const struct json *j, const char *key, const struct str **ret,
		     struct error *err)
{
	const struct json *text = json_get(j, key);
	struct str *s;

	*ret = NULL;
	if (text == NULL)
		return 0;
	if (text->type != JSON_STRING)
		return error_set(err, ERR_INVALID, "invalid %s: want a string", key);
	s = arena_new(c->req->arena, struct str);
	*s = (struct str){ text->s, text->s_len };
	*ret = s;
	return 0;
}

static int read_secrets(struct call *c, const struct json *list, struct engine_build *b,
			struct error *err)
{
	struct engine_build_secret *secrets;
	size_t n = 0;

	if (list == NULL || list->type != JSON_ARRAY)
		return list ? error_set(err, ERR_INVALID, "invalid secrets: want an array") : 0;
	secrets = arena_array(c->req->arena, list->n_items + 1, sizeof(*secrets));
	json_for_each_item (item, list) {
		auto_(buf) value = BUF_INIT(1024 * 1024);
		const char *text = json_str(item, "value");

		secrets[n].id = json_str(item, "id");
		if (secrets[n].id == NULL || text == NULL ||
		    base64_decode(&value, str_of(text), NULL) < 0)
			return error_set(err, ERR_INVALID, "invalid secrets: want id and value");
		secrets[n].value.at =
		    arena_strndup(c->req->arena, value.data ? value.data : "", value.len);
		secrets[n++].value.len = value.len;
	}
	b->secrets = secrets;
	b->n_secrets = n;
	return 0;
}

static int read_contexts(struct call *c, const struct json *list, struct engine_build *b,
			 struct error *err)
{
	struct engine_build_context *contexts;
	size_t n = 0;

	if (list == NULL || list->type != JSON_ARRAY)
		return list ? error_set(err, ERR_INVALID, "invalid contexts: want an array") : 0;
	contexts = arena_array(c->req->arena, list->n_items + 1, sizeof(*contexts));
	json_for_each_item (item, list) {
		int64_t fd = json_int(item, "fd", -1);

		contexts[n].name = json_str(item, "name");
		contexts[n].value = json_str(item, "value");
		contexts[n].fd = FD_NONE;
		if (contexts[n].name == NULL || contexts[n].value == NULL ||
		    fd >= (int64_t)c->req->n_passed_fds)
			return error_set(err, ERR_INVALID, "invalid contexts: want name and value");
		if (fd >= 0)
			contexts[n].fd = c->req->passed_fds[fd];
		n++;
	}
	b->named_contexts = contexts;
	b->n_named_contexts = n;
	return 0;
}

/* [{"type":..,"attrs":{..},"fd":n}] */
static int read_places(struct call *c, const struct json *j, const char *key,
		       const struct engine_build_place **ret, size_t *ret_n, struct error *err)
{
	const struct json *list = json_get(j, key);
	struct engine_build_place *places;
	size_t n = 0;

	if (list == NULL || list->type != JSON_ARRAY)
		return list ? error_set(err, ERR_INVALID, "invalid %s: want an array", key) : 0;
	places = arena_array(c->req->arena, list->n_items + 1, sizeof(*places));
	json_for_each_item (item, list) {
		int64_t fd = json_int(item, "fd", -1);
		int r;

		places[n].type = json_str(item, "type");
		places[n].fd = FD_NONE;
		if (places[n].type == NULL || fd >= (int64_t)c->req->n_passed_fds)
			return error_set(err, ERR_INVALID, "invalid %s: want a type", key);
		if (fd >= 0)
			places[n].fd = c->req->passed_fds[fd];
		r = read_pairs(c, json_get(item, "attrs"), key, &places[n].attrs,
			       &places[n].n_attrs, err);
		if (r < 0)
			return r;
		n++;
	}
	*ret = places;
	*ret_n = n;
	return 0;
}

/* {"fd","size","term"}: a terminal for --on-fail=shell. */
static int read_shell(struct call *c, const struct json *j, struct engine_build *b,
		      struct error *err)
{
	int64_t fd = json_int(j, "fd", -1), size = json_int(j, "size", -1);
	struct engine_build_shell *shell;

	if (j == NULL)
		return 0;
	if (fd < 0 || size < 0 || fd >= (int64_t)c->req->n_passed_fds ||
	    size >= (int64_t)c->req->n_passed_fds)
		return error_set(err, ERR_INVALID, "invalid shell: want a terminal");
	shell = arena_new(c->req->arena, struct engine_build_shell);
	*shell = (struct engine_build_shell){ c->req->passed_fds[fd], c->req->passed_fds[size],
					      json_str(j, "term") };
	b->shell = shell;
	return 0;
}

/*
 * proa's own words, in one JSON object of the header X-Proa-Build (base64) or, when
 * the context came as an fd, of the body: dockerfileText ignoreText secrets
 * contexts outputs cacheFrom cacheTo entitlements noCacheFilter call plan explain profile
 * shell realTimes events metadata.
 */
static int read_extra(struct call *c, const struct json *j, struct engine_build *b,
		      struct error *err)
{
	int r;

	b->call = json_str(j, "call");
	b->plan = json_bool(j, "plan", false);
	b->explain = json_bool(j, "explain", false);
	b->profile = json_bool(j, "profile", false);
	b->real_times = json_bool(j, "realTimes", false);
	b->events = json_bool(j, "events", false);
	b->metadata = json_bool(j, "metadata", false);
	r = read_text(c, j, "dockerfileText", &b->dockerfile_text, err);
	if (r == 0)
		r = read_text(c, j, "ignoreText", &b->ignore_text, err);
	if (r == 0)
		r = read_secrets(c, json_get(j, "secrets"), b, err);
	if (r == 0)
		r = read_contexts(c, json_get(j, "contexts"), b, err);
	if (r == 0)
		r = read_places(c, j, "outputs", &b->outputs, &b->n_outputs, err);
	if (r == 0)
		r = read_places(c, j, "cacheFrom", &b->caches_from, &b->n_caches_from, err);
	if (r == 0)
		r = read_places(c, j, "cacheTo", &b->caches_to, &b->n_caches_to, err);
	if (r == 0)
		r = read_shell(c, json_get(j, "shell"), b, err);
	if (r == 0)
		r = read_strings(c, json_get(j, "entitlements"), "entitlements", &b->entitlements,
				 err);
	if (r == 0)
		r = read_strings(c, json_get(j, "noCacheFilter"), "noCacheFilter",
				 &b->no_cache_filter, err);
	return r;
}

int api_build_read(struct call *c, struct engine_build *b, struct error *err)
{
	const struct json *extra = NULL;
	int r;

	r = read_query(c, b, err);
	if (r < 0)
		return r;
	b->context_fd = c->req->context_fd;
	if (b->context_fd >= 0)
		r = call_body(c, false, &extra, err);
	else
		r = call_registry_auth(c, "X-Proa-Build", &extra, err);
	if (r == 0)
		r = read_extra(c, extra, b, err);
	if (r == 0 && b->context_fd < 0 && b->remote == NULL)
		b->context = c->req->body;
	return r;
}

static int build(struct call *c, struct error *err)
{
	struct engine_build b = { .context_fd = FD_NONE };
	const char *version = call_text(c, "version");
	struct stream s;
	int r;

	if ((version && strcmp(version, "2") == 0) || call_text(c, "session"))
		return error_set(err, ERR_UNIMPLEMENTED,
				 "BuildKit sessions are not supported yet: build with `proa build` "
				 "or DOCKER_BUILDKIT=0 docker build");
	r = api_build_read(c, &b, err);
	if (r < 0)
		return r;
	stream_init(&s, c, "application/json");
	r = engine_build(c->engine, &b, &s.writer, c->req->cancel, NULL, err);
	return stream_end(&s, r, err);
}

static int prune(struct call *c, struct error *err)
{
	struct engine_build_limits limits = { .all = call_flag(c, "all", false) };
	const struct http_query *q = &c->req->query;
	const struct json *filters;
	struct answer a;
	int r;

	r = call_filters(c, &filters, err);
	if (r == 0)
		r = http_query_int(q, "keep-storage", 0, &limits.reserved_bytes, err);
	if (r == 0)
		r = http_query_int(q, "reserved-space", limits.reserved_bytes,
				   &limits.reserved_bytes, err);
	if (r == 0)
		r = http_query_int(q, "max-used-space", 0, &limits.max_used_bytes, err);
	if (r == 0)
		r = http_query_int(q, "min-free-space", 0, &limits.min_free_bytes, err);
	if (r < 0)
		return r;
	answer_begin(&a);
	r = engine_build_prune(c->engine, filters, &limits, &a.w, err);
	return answer_end(&a, c, 200, r, err);
}

static int cancel_build(struct call *c, struct error *err)
{
	(void)c;
	return error_set(err, ERR_UNIMPLEMENTED, "a build is canceled by closing its connection");
}

static int mount_get(struct call *c, struct error *err)
{
	const char *id = call_text(c, "id");
	struct stream s;
	int r;

	if (id == NULL)
		return error_set(err, ERR_INVALID, "id of the cache mount is missing");
	stream_init(&s, c, "application/x-tar");
	r = engine_build_mount_get(c->engine, id, &s.writer, c->req->cancel, err);
	return stream_end(&s, r, err);
}

static int mount_put(struct call *c, struct error *err)
{
	const char *id = call_text(c, "id");
	int r;

	if (id == NULL)
		return error_set(err, ERR_INVALID, "id of the cache mount is missing");
	r = engine_build_mount_put(c->engine, id, c->req->body, c->req->cancel, err);
	return r < 0 ? r : answer_empty(c, 200, err);
}

static const struct route routes[] = {
	{ "POST", "/build", build },
	{ "POST", "/build/prune", prune },
	{ "POST", "/build/cancel", cancel_build },
	{ "GET", "/build/mounts", mount_get },
	{ "PUT", "/build/mounts", mount_put },
};
const struct route_table routes_build = { routes, ARRAY_LEN(routes) };
