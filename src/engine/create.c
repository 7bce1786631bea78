/* engine/create.c: POST /containers/create. One row at the end; before it everything can be undone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/random.h"
#include "base/str.h"
#include "engine/body_check.h"
#include "engine/container_internal.h"
#include "engine/network.h"
#include "engine/volume.h"
#include "image/image.h"
#include "store/snapshot.h"
#include "store/store.h"

/* What is there already, for the way back. */
struct making {
	struct container *c;
	bool name_held, snapshot, network, directory;
	bool weight_discarded; /* BlkioWeight, which the kernel lacks */
	const char *platform;  /* that was asked for, or NULL */
	char *other_platform;  /* the warning, when the image is for another machine */
	char *key;
};

static void making_undo(struct making *m)
{
	struct container *c = m->c;
	size_t i;

	if (m->network)
		network_forget(c);
	if (m->snapshot)
		(void)!snapshot_remove(c->engine->store->snapshots, m->key, NULL);
	if (m->directory) {
		int fd;

		if (fs_open_beneath(c->engine->data_fd, "containers", O_RDONLY | O_DIRECTORY, 0,
				    &fd, NULL) == 0) {
			(void)!fs_remove_tree(fd, c->id, NULL);
			close(fd);
		}
	}
	if (c->n_mounts > 0)
		volume_unclaim(c->engine, c->id);
	for (i = 0; i < c->n_mounts; i++)
		if (c->mounts[i].anonymous)
			volume_drop_anonymous(c->engine, c->mounts[i].name);
	if (m->name_held)
		container_table_unreserve(c->engine, c->name);
}

static void making_release(struct making *m)
{
	free(m->key);
	free(m->other_platform);
}

static int take_name(struct making *m, const char *wish, struct error *err)
{
	struct container *c = m->c;
	unsigned attempt;
	int r = 0;

	if (!cstr_is_empty(wish)) {
		if (wish[0] == '/')
			wish++;
		if (!container_name_is_valid(wish))
			return error_set(err, ERR_INVALID,
					 "Invalid container name (%s), only "
					 "[a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
					 wish);
		c->name = xstrdup(wish);
		r = container_table_reserve(c->engine, c->name, c->id, err);
		m->name_held = r == 0;
		return r;
	}
	for (attempt = 0; attempt < 100; attempt++) {
		free(c->name);
		c->name = container_random_name(attempt);
		r = container_table_reserve(c->engine, c->name, c->id, err);
		m->name_held = r == 0;
		if (r == 0)
			break;
	}
	return r;
}

static void set_command(struct container *c)
{
	const struct json *entry = json_get(c->config, "Entrypoint");
	const struct json *cmd = json_get(c->config, "Cmd");
	size_t n = (entry ? entry->n_items : 0) + (cmd ? cmd->n_items : 0), k = 0;
	const char **all = arena_array(&c->arena, n + 1, sizeof(*all));

	json_for_each_item (v, entry)
		all[k++] = v->type == JSON_STRING ? v->s : "";
	json_for_each_item (v, cmd)
		all[k++] = v->type == JSON_STRING ? v->s : "";
	c->path = n > 0 ? all[0] : "";
	c->args = n > 0 ? all + 1 : all;
}

/* On the host's network a container has the host's name. */
static void host_name(struct container *c, const struct json *body)
{
	char name[256] = "";

	if (strcmp(json_str(c->host_config, "NetworkMode"), "host") != 0 ||
	    !cstr_is_empty(json_str(body, "Hostname")) || gethostname(name, sizeof(name) - 1) < 0)
		return;
	json_set(&c->arena, (struct json *)(uintptr_t)c->config, "Hostname",
		 json_new_string(&c->arena, name));
}

/* Peer: docker-py names the runtime beside HostConfig, where dockerd's first API had it. */
static const struct json *host_config_of(struct arena *a, const struct json *body)
{
	const struct json *hc = json_get_nocase(body, "HostConfig");
	const char *runtime = json_str(body, "Runtime");
	struct json *copy;

	if (cstr_is_empty(runtime) || !cstr_is_empty(json_str(hc, "Runtime")))
		return hc;
	copy = hc && hc->type == JSON_OBJECT ? json_clone(a, hc) : json_new_object(a);
	json_set(a, copy, "Runtime", json_new_string(a, runtime));
	return copy;
}

/* Peer: what the kernel cannot do is taken away and warned of. */
static bool discard_weight(struct container *c)
{
	static const char *const files[] = { "/sys/fs/cgroup/blkio/blkio.weight",
					     "/sys/fs/cgroup/blkio/blkio.bfq.weight",
					     "/sys/fs/cgroup/cgroup.controllers" };
	struct json *hc = (struct json *)(uintptr_t)c->host_config;
	size_t i;

	if (json_int(hc, "BlkioWeight", 0) == 0)
		return false;
	for (i = 0; i < ARRAY_LEN(files); i++)
		if (access(files[i], F_OK) == 0)
			return false;
	json_set(&c->arena, hc, "BlkioWeight", json_new_int(&c->arena, 0));
	return true;
}

static int set_documents(struct container *c, const struct json *body, const struct image *img,
			 struct error *err)
{
	const struct json *endpoints;
	int r;

	r = config_build(&c->arena, body, img->config ? json_clone(&c->arena, img->config) : NULL,
			 c->id, &c->config, err);
	if (r == 0)
		r = host_config_build(c->engine, &c->arena, host_config_of(&c->arena, body),
				      &c->host_config, err);
	if (r == 0)
		r = links_resolve(c, (struct json *)(uintptr_t)c->host_config, err);
	if (r < 0)
		return r;
	endpoints = json_get_nocase(json_get_nocase(body, "NetworkingConfig"), "EndpointsConfig");
	c->networking = endpoints ? json_clone(&c->arena, endpoints) : NULL;
	host_name(c, body);
	set_command(c);
	return 0;
}

static int make_directory(struct making *m, struct error *err)
{
	autofree char *dir = container_file_path(m->c, "");
	autofree char *parent = cstr_format("%s/containers", m->c->engine->cfg.data_root);
	int r;

	dir[strlen(dir) - 1] = '\0';
	if (mkdir(dir, 0710) == 0 || errno == EEXIST) {
		m->directory = true;
		return 0;
	}
	r = fs_mkdir_all(parent, 0710, err);
	if (r == 0)
		r = fs_mkdir_all(dir, 0710, err);
	m->directory = r == 0;
	return r;
}

/* A platform that somebody names is the image's, or the client pulls another. */
static int check_platform(struct making *m, const char *image, const struct image *img,
			  struct error *err)
{
	char have_text[PLATFORM_TEXT_MAX], want_text[PLATFORM_TEXT_MAX];
	bool any = cstr_is_empty(m->platform);
	struct platform have, want;
	int r = 0;

	if (any)
		platform_host(&want);
	else
		r = platform_parse(m->platform, &want, err);
	if (r < 0)
		return r;
	image_platform_of(img, &have);
	if (platform_rank(&want, &have) >= 0)
		return 0;
	platform_format(&have, have_text);
	platform_format(&want, want_text);
	/* Peer: dockerd's words for both. */
	if (!any)
		return error_set(err, ERR_NOT_FOUND,
				 "image with reference %s was found but does not match the "
				 "specified platform: wanted %s, actual: %s",
				 image, want_text, have_text);
	m->other_platform = cstr_format(
	    "The requested image's platform (%s) does not match the detected host platform (%s) "
	    "and no specific platform was requested",
	    have_text, want_text);
	return 0;
}

static int make(struct making *m, const char *name, const struct json *body, struct error *err)
{
	struct container *c = m->c;
	struct store *store = c->engine->store;
	auto_(image) img = { 0 };
	const char *image = json_str(body, "Image");
	int r;

	if (cstr_is_empty(image))
		return error_set(err, ERR_INVALID, "no image specified");
	r = image_open(store, image, &img, err);
	if (r < 0)
		return r;
	r = check_platform(m, image, &img, err);
	if (r < 0)
		return r;
	snprintf(c->image_id, sizeof(c->image_id), "%s", img.row.id);
	r = set_documents(c, body, &img, err);
	m->weight_discarded = r == 0 && discard_weight(c);
	if (r == 0)
		r = take_name(m, name, err);
	if (r == 0)
		r = mounts_parse(c, err);
	if (r == 0) {
		r = snapshot_prepare(store->snapshots, m->key, img.diff_ids, img.n_layers, NULL,
				     err);
		m->snapshot = r == 0;
	}
	if (r == 0)
		r = make_directory(m, err);
	if (r == 0) {
		lock_take(&c->op);
		r = network_container_create(c, err);
		lock_drop(&c->op);
		m->network = r == 0;
	}
	if (r == 0)
		r = container_insert(c, err);
	return r;
}

static int check_system(const char *platform, struct error *err)
{
	struct str rest, os;

	if (cstr_is_empty(platform))
		return 0;
	rest = str_of(platform);
	if (str_split(&rest, '/', &os) && str_eqs(os, "linux"))
		return 0;
	return error_set(err, ERR_INVALID, "operating system is not supported: %s", platform);
}

static bool publishes_for_nothing(const struct container *c)
{
	const struct json *ports = json_get(c->host_config, "PortBindings");

	return ports != NULL && ports->type == JSON_OBJECT && ports->n_members > 0 &&
	       strcmp(json_str(c->host_config, "NetworkMode"), "host") == 0;
}

int container_create(struct engine *e, const char *name, const char *platform,
		     const struct json *body, struct jsonw *out, struct error *err)
{
	struct making m = { .platform = platform };
	char id[65];
	int r;

	if (body == NULL || body->type != JSON_OBJECT)
		return error_set(err, ERR_INVALID,
				 "config cannot be empty in order to create a container");
	r = check_system(platform, err);
	if (r == 0)
		r = body_check_container(body, err);
	if (r < 0)
		return r;
	random_hex(id, 32);
	m.c = container_new(e, id);
	m.c->created_ns = clock_wall_ns();
	m.key = cstr_format("container/%s", id);
	r = make(&m, name, body, err);
	if (r < 0) {
		making_undo(&m);
		container_unref(m.c);
		making_release(&m);
		return r;
	}
	container_ref(m.c);
	container_table_add(m.c);
	if (m.c->n_mounts > 0)
		volume_unclaim(e, m.c->id);
	container_event(m.c, "create", NULL, 0);
	jsonw_object(out);
	jsonw_kstring(out, "Id", id);
	jsonw_karray(out, "Warnings");
	if (m.weight_discarded)
		jsonw_string(out, "Your kernel does not support Block I/O weight or the cgroup is "
				  "not mounted. Weight discarded.");
	if (m.other_platform)
		jsonw_string(out, m.other_platform);
	if (publishes_for_nothing(m.c))
		jsonw_string(out, "Published ports are discarded when using host network mode");
	/* Peer: dockerd says nothing and does nothing. */
	if (json_int(m.c->host_config, "CpuCount", 0) ||
	    json_int(m.c->host_config, "CpuPercent", 0))
		jsonw_string(out, "CpuCount and CpuPercent are for Windows engines. Discarded.");
	jsonw_end(out);
	jsonw_end(out);
	container_unref(m.c);
	making_release(&m);
	return 0;
}
