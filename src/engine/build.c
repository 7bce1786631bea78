#include "engine/build.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/vec.h"
#include "build/build.h"
#include "build/cache_gc.h"
#include "build/git.h"
#include "engine/event.h"
#include "engine/image.h"
#include "engine/internal.h"
#include "engine/network.h"
#include "image/image.h"
#include "oci/reference.h"

struct build_room {
	struct builder *builder;
};

/* Is the image here, and for that platform? */
static bool have_image(struct engine *e, const char *name, const struct platform *want, char **ret)
{
	auto_(image) image = { 0 };
	struct platform have;

	if (image_open(e->store, name, &image, NULL) < 0)
		return false;
	image_platform_of(&image, &have);
	if (platform_rank(want, &have) < 0)
		return false;
	*ret = xstrdup(image.row.id);
	return true;
}

/* X-Registry-Config: {"host": {"username",...}}. */
static const struct json *auth_for(const struct json *all, const char *name)
{
	struct reference ref;
	const struct json *auth;

	if (all == NULL || reference_parse(name, &ref, NULL) < 0)
		return NULL;
	auth = json_get(all, ref.domain);
	if (auth == NULL && strcmp(ref.domain, "docker.io") == 0)
		auth = json_get(all, "https://index.docker.io/v1/");
	return auth;
}

static int find_image(void *arg, const struct builder_ask *ask, char **ret_id, struct error *err)
{
	struct engine *e = arg;
	char text[PLATFORM_TEXT_MAX];

	if (!ask->pull && have_image(e, ask->name, ask->platform, ret_id))
		return 0;
	platform_format(ask->platform, text);
	return engine_image_fetch(e, ask->name, text, auth_for(ask->registry_auth, ask->name), NULL,
				  ask->cancel, ret_id, err);
}

static int find_repo(void *arg, const char *name, const struct json *registry_auth,
		     enum remote_action action, const struct cancel *cancel,
		     struct remote_repo **ret, struct error *err)
{
	return engine_image_repo(arg, name, auth_for(registry_auth, name), action == REMOTE_PUSH,
				 cancel, ret, err);
}

static void image_tagged(void *arg, const char *id, const char *tag)
{
	autofree char *familiar = tag ? image_name_familiar(tag) : NULL;
	const struct event_attr attr = { "name", familiar };

	if (tag != NULL)
		event_emit(arg, "image", "tag", id, &attr, 1);
}

static void gc_failed(void *arg, const struct error *err)
{
	(void)arg;
	log_warn("the build cache was not collected, continuing", KV_ERR(err));
}

static const char *runtime_path(struct engine *e)
{
	const struct engine_config *c = &e->cfg;

	for (size_t i = 0; i < c->n_runtimes && c->default_runtime; i++) {
		if (strcmp(c->runtimes[i].key, c->default_runtime) == 0)
			return c->runtimes[i].value;
	}
	return c->runtime_binary;
}

int build_room_open(struct engine *e, struct error *err)
{
	static const char *const systemd[] = { "--systemd-cgroup", NULL };
	autofree char *dir = cstr_format("%s/build", e->cfg.data_root);
	autofree char *run_dir = cstr_format("%s/build", e->cfg.exec_root);
	autofree char *root = cstr_format("%s/runtime", e->cfg.exec_root);
	struct builder_config c = {
		.store = e->store,
		.tasks = e->tasks,
		.network = e->networks ? network_provider_get(e) : NULL,
		.dir = dir,
		.run_dir = run_dir,
		.planner = e->cfg.runtime_binary,
		.oci_runtime = runtime_path(e),
		.oci_root = root,
		.oci_runtime_args = e->cfg.systemd_cgroup ? systemd : NULL,
		.cgroup_parent = e->cfg.cgroup_parent,
		.systemd_cgroup = e->cfg.systemd_cgroup,
		.ca_certificates = e->cfg.build_ca_certificates,
		.image = find_image,
		.repo = find_repo,
		.tagged = image_tagged,
		.cache_config = e->cfg.builder,
		.gc_failed = gc_failed,
		.arg = e,
	};
	struct build_room *room = new0(struct build_room);
	int r = builder_new(&c, &room->builder, err);

	if (r < 0) {
		free(room);
		return error_wrap(err, r, "open builder");
	}
	e->builds = room;
	return 0;
}

void build_room_close(struct engine *e)
{
	if (e->builds == NULL)
		return;
	builder_free(e->builds->builder);
	free(e->builds);
	e->builds = NULL;
}

size_t engine_build_running(struct engine *e)
{
	return e->builds ? builder_running(e->builds->builder) : 0;
}

/* ---- from the API's words to the builder's ---- */

static struct plan_pair *copy_pairs(struct arena *a, const struct engine_pair *p, size_t n)
{
	struct plan_pair *out = arena_array(a, n + 1, sizeof(*out));

	for (size_t i = 0; i < n; i++)
		out[i] = (struct plan_pair){ p[i].key, p[i].value };
	return out;
}

struct tag_names {
	VEC(const char *) list;
};

static int add_tag(struct arena *a, struct tag_names *t, const char *name, struct error *err)
{
	autofree char *canonical = NULL;
	int r = image_name_canonical(name, &canonical, err);

	if (r < 0)
		return r;
	vec_for_each (have, &t->list) {
		if (strcmp(*have, canonical) == 0)
			return 0;
	}
	*vec_push(&t->list) = arena_strdup(a, canonical);
	return 0;
}

/* An output that leaves the image in the engine may name it: "name=a,b". */
static int add_output_names(struct arena *a, struct tag_names *t,
			    const struct engine_build_place *o, struct error *err)
{
	int r = 0;

	if (o->fd >= 0)
		return 0;
	for (size_t i = 0; i < o->n_attrs; i++) {
		struct str rest = str_of(o->attrs[i].value), name;

		if (strcmp(o->attrs[i].key, "name") != 0)
			continue;
		while (r == 0 && str_split(&rest, ',', &name))
			r = add_tag(a, t, arena_strndup(a, name.at, name.len), err);
	}
	return r;
}

static int copy_tags(struct arena *a, const struct engine_build *b, const char *const **ret,
		     struct error *err)
{
	struct tag_names t = { 0 };
	const char **out;
	int r = 0;

	for (size_t i = 0; r == 0 && b->tags && b->tags[i]; i++)
		r = add_tag(a, &t, b->tags[i], err);
	for (size_t i = 0; r == 0 && i < b->n_outputs; i++)
		r = add_output_names(a, &t, &b->outputs[i], err);
	out = arena_array(a, t.list.len + 1, sizeof(*out));
	if (t.list.len > 0)
		memcpy(out, t.list.at, t.list.len * sizeof(*out));
	vec_release(&t.list);
	*ret = out;
	return r;
}

/* "path:tag@digest", the path being the client's affair. */
static void layout_name(struct arena *a, const char *text, struct build_context *to)
{
	const char *at = strrchr(text, '@'), *slash, *colon;
	char *rest = arena_strndup(a, text, at ? (size_t)(at - text) : strlen(text));

	slash = strrchr(rest, '/');
	colon = strrchr(rest, ':');
	to->layout = true;
	to->layout_digest = at ? at + 1 : NULL;
	to->layout_tag = colon && (!slash || colon > slash) ? colon + 1 : NULL;
}

static int copy_contexts(struct arena *a, const struct engine_build *b, struct build_request *q,
			 struct error *err)
{
	struct build_context *c = arena_array(a, b->n_named_contexts + 1, sizeof(*c));

	c[0] = (struct build_context){ .name = "", .fd = b->context_fd, .tar = b->context };
	if (b->remote != NULL && b->remote[0] != '\0')
		c[0] = (struct build_context){ .name = "", .fd = FD_NONE, .remote = b->remote };
	for (size_t i = 0; i < b->n_named_contexts; i++) {
		const struct engine_build_context *from = &b->named_contexts[i];
		struct build_context *to = &c[i + 1];

		*to = (struct build_context){ .name = from->name, .fd = from->fd };
		if (cstr_starts(from->value, "docker-image://"))
			to->image = from->value + strlen("docker-image://");
		else if (cstr_starts(from->value, "oci-layout://") && from->fd >= 0)
			layout_name(a, from->value + strlen("oci-layout://"), to);
		else if (from->fd < 0 &&
			 (git_is_url(from->value) || cstr_starts(from->value, "http://") ||
			  cstr_starts(from->value, "https://")))
			to->remote = from->value;
		else if (from->fd < 0)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "named context %s=%s is not supported yet", from->name,
					 from->value);
	}
	q->contexts = c;
	q->n_contexts = b->n_named_contexts + 1;
	return 0;
}

static void copy_ulimits(struct arena *a, const struct engine_build *b, struct build_resources *q)
{
	size_t n = b->ulimits && b->ulimits->type == JSON_ARRAY ? b->ulimits->n_items : 0;
	struct build_ulimit *out = arena_array(a, n + 1, sizeof(*out));

	json_for_each_item (u, b->ulimits) {
		if (json_str(u, "Name") != NULL)
			out[q->n_ulimits++] = (struct build_ulimit){
				.name = json_str(u, "Name"),
				.soft = json_int(u, "Soft", 0),
				.hard = json_int(u, "Hard", 0),
			};
	}
	q->ulimits = out;
}

static void copy_resources(struct arena *a, const struct engine_build *b, struct build_request *q)
{
	q->resources = (struct build_resources){
		.memory_bytes = b->memory_bytes,
		.memory_swap_bytes = b->memory_swap_bytes,
		.cpu_shares = b->cpu_shares,
		.cpu_period_us = b->cpu_period_us,
		.cpu_quota_us = b->cpu_quota_us,
		.shm_bytes = b->shm_bytes,
		.cpuset_cpus = b->cpuset_cpus,
		.cpuset_mems = b->cpuset_mems,
		.cgroup_parent = b->cgroup_parent,
	};
	copy_ulimits(a, b, &q->resources);
}

static struct build_place copy_place(struct arena *a, const struct engine_build_place *p)
{
	return (struct build_place){
		.type = p->type,
		.attrs = copy_pairs(a, p->attrs, p->n_attrs),
		.n_attrs = p->n_attrs,
		.fd = p->fd,
	};
}

static const struct build_place *copy_places(struct arena *a, const struct engine_build_place *p,
					     size_t n)
{
	struct build_place *out = arena_array(a, n + 1, sizeof(*out));

	for (size_t i = 0; i < n; i++)
		out[i] = copy_place(a, &p[i]);
	return out;
}

/* The stock API names images alone. */
static void copy_caches(struct arena *a, const struct engine_build *b, struct build_request *q)
{
	struct build_place *from;
	struct plan_pair *ref;
	size_t n = 0;

	while (b->cache_from && b->cache_from[n])
		n++;
	from = arena_array(a, n + b->n_caches_from + 1, sizeof(*from));
	ref = arena_array(a, n + 1, sizeof(*ref));
	for (size_t i = 0; i < n; i++) {
		ref[i] = (struct plan_pair){ "ref", b->cache_from[i] };
		from[i] = (struct build_place){ "registry", &ref[i], 1, FD_NONE };
	}
	for (size_t i = 0; i < b->n_caches_from; i++)
		from[n + i] = copy_place(a, &b->caches_from[i]);
	q->cache_from = from;
	q->n_cache_from = n + b->n_caches_from;
	q->cache_to = copy_places(a, b->caches_to, b->n_caches_to);
	q->n_cache_to = b->n_caches_to;
}

static void copy_own_options(struct arena *a, const struct engine_build *b, struct build_request *q)
{
	struct build_secret *secrets = arena_array(a, b->n_secrets + 1, sizeof(*secrets));

	for (size_t i = 0; i < b->n_secrets; i++)
		secrets[i] = (struct build_secret){ b->secrets[i].id, b->secrets[i].value };
	if (b->shell != NULL) {
		struct build_shell *shell = arena_new(a, struct build_shell);

		*shell = (struct build_shell){ b->shell->fd, b->shell->size_fd, b->shell->term };
		q->shell = shell;
	}
	q->secrets = secrets;
	q->n_secrets = b->n_secrets;
	q->outputs = copy_places(a, b->outputs, b->n_outputs);
	q->n_outputs = b->n_outputs;
	for (const char *const *w = b->entitlements; w && *w; w++) {
		q->net_host |= strcmp(*w, "network.host") == 0;
		q->insecure |= strcmp(*w, "security.insecure") == 0;
	}
}

static int check_options(const struct engine_build *b, struct error *err)
{
	if (b->squash)
		return error_set(err, ERR_UNIMPLEMENTED, "squash is not supported yet");
	return 0;
}

static bool caches_absent(struct engine *e, const char *const *names)
{
	for (const char *const *n = names; n && *n; n++) {
		autofree char *id = NULL;

		if (image_resolve(e->store, *n, &id, NULL) == 0)
			return false;
	}
	return names && names[0];
}

static int make_request(struct arena *a, const struct engine_build *b, struct build_request *q,
			struct error *err)
{
	int r = check_options(b, err);

	*q = (struct build_request){
		.dockerfile = b->dockerfile && b->dockerfile[0] ? b->dockerfile : "Dockerfile",
		.dockerfile_text = b->dockerfile_text,
		.ignore_text = b->ignore_text,
		.target = b->target,
		.platform = b->platform,
		.network = b->network_mode && b->network_mode[0] ? b->network_mode : NULL,
		.build_args = copy_pairs(a, b->build_args, b->n_build_args),
		.labels = copy_pairs(a, b->labels, b->n_labels),
		.n_build_args = b->n_build_args,
		.n_labels = b->n_labels,
		.extra_hosts = b->extra_hosts,
		.no_cache_stages = b->no_cache_filter,
		.registry_auth = b->registry_auth,
		.no_cache = b->no_cache,
		.pull = b->pull,
		.quiet = b->quiet,
		.call = b->call,
		.plan = b->plan,
		.explain = b->explain,
		.real_times = b->real_times,
		.profile = b->profile,
		.events = b->events,
		.metadata = b->metadata,
	};
	copy_resources(a, b, q);
	copy_own_options(a, b, q);
	copy_caches(a, b, q);
	if (r == 0)
		r = copy_tags(a, b, &q->tags, err);
	return r < 0 ? r : copy_contexts(a, b, q, err);
}

int engine_build(struct engine *e, const struct engine_build *b, struct writer *out,
		 const struct cancel *cancel, char **ret_id, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct build_request q;
	int r = make_request(&a, b, &q, err);

	q.no_cache |= b->named_caches_only && caches_absent(e, b->cache_from);
	return r < 0 ? r : build_run(e->builds->builder, &q, out, cancel, ret_id, err);
}

/* ---- the cache ---- */

/* Both shapes of a filter: ["a"] and {"a": true}. Docker takes one value. */
static int filter_value(const struct json_member *m, const char **ret, struct error *err)
{
	const struct json *v = m->value;
	size_t n = v->type == JSON_ARRAY ? v->n_items : v->type == JSON_OBJECT ? v->n_members : 0;

	if (n > 1)
		return error_set(err, ERR_INVALID, "filters expect only one value");
	*ret = "";
	if (n == 0)
		return 0;
	if (v->type == JSON_OBJECT)
		*ret = v->members[0].key;
	else if (v->items[0]->type == JSON_STRING)
		*ret = v->items[0]->s;
	return 0;
}

static int read_filters(const struct json *filters, struct cache_rule *rule, struct error *err)
{
	json_for_each_member (m, filters) {
		const char *value;
		int r = filter_value(m, &value, err);

		if (r == 0)
			r = cache_rule_filter(rule, m->key, value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int engine_build_prune(struct engine *e, const struct json *filters,
		       const struct engine_build_limits *limits, struct jsonw *out,
		       struct error *err)
{
	struct cache_rule rule = CACHE_RULE_INIT;
	int r = read_filters(filters, &rule, err);

	rule.all = limits->all;
	rule.reserved_bytes = limits->reserved_bytes;
	rule.max_used_bytes = limits->max_used_bytes;
	rule.min_free_bytes = limits->min_free_bytes;
	return r < 0 ? r : builder_prune(e->builds->builder, &rule, 1, out, err);
}

int engine_build_usage(struct engine *e, struct jsonw *out, int64_t *ret_bytes, struct error *err)
{
	return builder_usage(e->builds->builder, out, ret_bytes, err);
}

int engine_build_mount_get(struct engine *e, const char *id, struct writer *out,
			   const struct cancel *cancel, struct error *err)
{
	return builder_mount_export(e->builds->builder, id, out, cancel, err);
}

int engine_build_mount_put(struct engine *e, const char *id, struct reader *in,
			   const struct cancel *cancel, struct error *err)
{
	return builder_mount_import(e->builds->builder, id, in, cancel, err);
}
