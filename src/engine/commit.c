/* engine/commit.c: docker commit: a container's changes become a layer, its config an image's. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "engine/body_check.h"
#include "engine/changes.h"
#include "engine/container_internal.h"
#include "image/commit.h"
#include "image/image.h"
#include "store/images.h"
#include "store/lease.h"
#include "store/store.h"

#define DOC_MAX (4 << 20)

struct commit {
	struct container *c;
	const struct container_commit_options *o;
	struct arena arena;
	struct image base;
	bool empty;
	struct layer_info layer;
	struct json *config;
	char created[TIME_TEXT_MAX];
};

static void commit_release(struct commit *x)
{
	image_release(&x->base);
	arena_release(&x->arena);
}
DEFINE_AUTO(commit, commit_release);

/* What belongs to this one container and not to an image. */
static struct json *image_config(struct arena *a, const struct json *config)
{
	static const char *const zero_texts[] = { "Hostname", "Domainname" };
	static const char *const zero_bools[] = { "AttachStdin", "AttachStdout", "AttachStderr",
						  "OpenStdin",   "StdinOnce",    "Tty" };
	struct json *out = json_clone(a, config);
	size_t i;

	for (i = 0; i < ARRAY_LEN(zero_texts); i++)
		json_set(a, out, zero_texts[i], json_new_string(a, ""));
	for (i = 0; i < ARRAY_LEN(zero_bools); i++)
		json_set(a, out, zero_bools[i], json_new_bool(a, false));
	return out;
}

static int build_config(struct commit *x, const struct json *body, struct error *err)
{
	static const char *const keys[] = { "User",       "ExposedPorts", "Env",
					    "Cmd",        "Healthcheck",  "Volumes",
					    "WorkingDir", "Entrypoint",   "OnBuild",
					    "Labels",     "StopSignal",   "Shell" };
	size_t i;

	{
		LOCKED(&x->c->lock);
		x->config = image_config(&x->arena, x->c->config);
	}
	for (i = 0; i < ARRAY_LEN(keys); i++) {
		const struct json *v = json_get_nocase(body, keys[i]);

		if (v && v->type != JSON_NULL && !(v->type == JSON_STRING && v->s_len == 0))
			json_set(&x->arena, x->config, keys[i], json_clone(&x->arena, v));
	}
	return changes_apply(&x->arena, x->config, x->o->changes, err);
}

static void write_history(struct commit *x, struct jsonw *w)
{
	auto_(buf) command = BUF_INIT(1 << 20);
	const struct json *cmd = json_get(x->c->config, "Cmd");

	jsonw_karray(w, "history");
	json_for_each_item (h, json_get(x->base.json, "history"))
		jsonw_value(w, h);
	json_for_each_item (v, cmd)
		if (v->type == JSON_STRING)
			(void)!buf_addf(&command, NULL, "%s%s", v_i ? " " : "", v->s);
	jsonw_object(w);
	jsonw_kstring(w, "created", x->created);
	if (!cstr_is_empty(x->o->author))
		jsonw_kstring(w, "author", x->o->author);
	jsonw_kstring(w, "created_by", command.data ? command.data : "");
	if (!cstr_is_empty(x->o->comment))
		jsonw_kstring(w, "comment", x->o->comment);
	if (x->empty)
		jsonw_kbool(w, "empty_layer", true);
	jsonw_end(w);
	jsonw_end(w);
}

static int write_document(struct commit *x, struct buf *b, struct error *err)
{
	const char *text;
	char digest[DIGEST_TEXT_MAX];
	struct jsonw w;
	size_t i;

	jsonw_init(&w, b);
	jsonw_object(&w);
	text = json_str(x->base.json, "architecture");
	jsonw_kstring(&w, "architecture", text ? text : "amd64");
	if (!cstr_is_empty(x->o->author))
		jsonw_kstring(&w, "author", x->o->author);
	if (!cstr_is_empty(x->o->comment))
		jsonw_kstring(&w, "comment", x->o->comment);
	jsonw_kvalue(&w, "config", x->config);
	jsonw_kstring(&w, "container", x->c->id);
	/* Peer: dockerd 20.10 shows it as ContainerConfig of the image. */
	jsonw_kvalue(&w, "container_config", x->c->config);
	jsonw_kstring(&w, "created", x->created);
	jsonw_kstring(&w, "docker_version", PROA_VERSION);
	write_history(x, &w);
	text = json_str(x->base.json, "os");
	jsonw_kstring(&w, "os", text ? text : "linux");
	jsonw_kobject(&w, "rootfs");
	jsonw_kstring(&w, "type", "layers");
	jsonw_karray(&w, "diff_ids");
	for (i = 0; i < x->base.n_layers; i++) {
		digest_format(&x->base.diff_ids[i], digest);
		jsonw_string(&w, digest);
	}
	if (!x->empty) {
		digest_format(&x->layer.diff_id, digest);
		jsonw_string(&w, digest);
	}
	jsonw_end(&w);
	jsonw_end(&w);
	text = json_str(x->base.json, "variant");
	if (text)
		jsonw_kstring(&w, "variant", text);
	jsonw_end(&w);
	return jsonw_finish(&w, err);
}

static int take_layer(struct commit *x, const char *lease, const char *key, struct error *err)
{
	struct store *store = x->c->engine->store;
	bool paused = false;
	int r;

	if (!x->o->no_pause)
		paused = container_pause(x->c->engine, x->c->id, NULL) == 0;
	r = commit_measure(store, key, NULL, &x->layer, &x->empty, err);
	if (r == 0 && !x->empty)
		r = commit_copy(store, key, lease, NULL, &x->layer, err);
	if (paused)
		(void)!container_unpause(x->c->engine, x->c->id, NULL);
	return r;
}

static int make_name(const struct container_commit_options *o, char **ret, struct error *err)
{
	autofree char *familiar = NULL;

	*ret = NULL;
	if (cstr_is_empty(o->repo))
		return 0;
	familiar = cstr_is_empty(o->tag) ? xstrdup(o->repo) : cstr_format("%s:%s", o->repo, o->tag);
	return image_name_canonical(familiar, ret, err);
}

static int commit(struct commit *x, const struct json *body, char **ret_id, struct error *err)
{
	struct store *store = x->c->engine->store;
	autofree char *key = cstr_format("container/%s", x->c->id);
	autofree char *name = NULL;
	auto_(buf) doc = BUF_INIT(DOC_MAX);
	auto_(lease) lease = LEASE_INIT;
	struct image_create create = { .parent = x->c->image_id };
	const char *tags[1];
	int r;

	r = make_name(x->o, &name, err);
	if (r == 0)
		r = image_open(store, x->c->image_id, &x->base, err);
	if (r == 0)
		r = build_config(x, body, err);
	if (r == 0)
		r = lease_open(store->db, "commit", &lease, err);
	if (r == 0)
		r = take_layer(x, lease.id, key, err);
	if (r == 0)
		r = write_document(x, &doc, err);
	if (r < 0)
		return r;
	create.config = doc.data;
	create.config_len = doc.len;
	tags[0] = name;
	create.tags = tags;
	create.n_tags = name ? 1 : 0;
	return image_create(store, &create, ret_id, err);
}

int container_commit(struct engine *e, const char *ref, const struct container_commit_options *o,
		     const struct json *body, struct jsonw *out, struct error *err)
{
	autoptr(container) c = NULL;
	auto_(commit) x = { .o = o };
	autofree char *id = NULL;
	struct event_attr attrs[] = { { "comment", o->comment ? o->comment : "" },
				      { "imageID", NULL },
				      { "imageRef", o->repo ? o->repo : "" } };
	int r;

	r = container_find(e, ref, &c, err);
	if (r == 0)
		r = body_check_config(body, err);
	if (r < 0)
		return r;
	x.c = c;
	time_format_rfc3339nano(clock_wall_ns(), x.created);
	r = commit(&x, body, &id, err);
	if (r < 0)
		return r;
	attrs[1].value = id;
	container_event(c, "commit", attrs, ARRAY_LEN(attrs));
	jsonw_object(out);
	jsonw_kstring(out, "Id", id);
	jsonw_end(out);
	return 0;
}
