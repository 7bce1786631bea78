/*
 * engine/spec.c: from a container to its config.json, see task/bundle.h.
 * Everything lives in one arena that ends with the call.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/vec.h"
#include "engine/container_internal.h"
#include "engine/idmap.h"
#include "engine/network.h"
#include "engine/volume.h"
#include "image/image.h"
#include "store/mount.h"
#include "store/store.h"
#include "task/apparmor.h"
#include "task/bundle.h"

struct spec {
	struct arena a;
	struct container *c;
	const struct json *config, *hc;
	const struct id_maps *maps; /* of the user namespace, or NULL */
	VEC(struct bundle_mount) mounts;
	struct bundle b;
};

static void spec_release(struct spec *s)
{
	vec_release(&s->mounts);
	arena_release(&s->a);
}
DEFINE_AUTO(spec, spec_release);

static const char *const *list_of(struct spec *s, const char *const *at, size_t n)
{
	const char **out = arena_array(&s->a, n + 1, sizeof(*out));

	memcpy(out, at, n * sizeof(*out));
	return out;
}

static struct bundle_mount bind_of(const char *destination, const char *source,
				   const char *const *options)
{
	return (struct bundle_mount){
		.destination = destination, .type = "bind", .source = source, .options = options
	};
}

/* ---- process ---- */

static bool env_has(const char *const *env, size_t n, const char *entry)
{
	size_t len = strcspn(entry, "="), i;

	for (i = 0; i < n; i++)
		if (strncmp(env[i], entry, len) == 0 && env[i][len] == '=')
			return true;
	return false;
}

/* Later entries replace earlier ones of the same key in place, as dockerd does. */
static void env_put(const char **env, size_t *n, const char *entry)
{
	size_t len = strcspn(entry, "="), i;

	for (i = 0; i < *n; i++) {
		if (strncmp(env[i], entry, len) != 0 || env[i][len] != '=')
			continue;
		if (entry[len] == '=') {
			env[i] = entry;
			return;
		}
		/* "KEY" alone takes the variable away. */
		memmove(&env[i], &env[i + 1], (*n - i - 1) * sizeof(*env));
		(*n)--;
		return;
	}
	if (entry[len] == '=')
		env[(*n)++] = entry;
}

static void set_env(struct spec *s, const struct json *extra, const struct json *links,
		    const char *home, bool tty)
{
	const struct json *env = json_get(s->config, "Env");
	size_t cap = 8 + (env && env->type == JSON_ARRAY ? env->n_items : 0) +
		     (links ? links->n_items : 0) +
		     (extra && extra->type == JSON_ARRAY ? extra->n_items : 0);
	const char **out = arena_array(&s->a, cap, sizeof(*out));
	size_t n = 0;

	env_put(out, &n, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	env_put(out, &n, arena_format(&s->a, "HOSTNAME=%s", json_str(s->config, "Hostname")));
	if (tty)
		env_put(out, &n, "TERM=xterm");
	json_for_each_item (v, links)
		env_put(out, &n, v->s);
	json_for_each_item (v, env)
		env_put(out, &n, v->s);
	json_for_each_item (v, extra)
		if (v->type == JSON_STRING)
			env_put(out, &n, v->s);
	if (!env_has(out, n, "HOME="))
		env_put(out, &n, arena_format(&s->a, "HOME=%s", home));
	s->b.env = list_of(s, out, n);
}

static void set_args(struct spec *s)
{
	const char **out;
	size_t n = 0, count = 0;
	const char *const *v;

	for (v = s->c->args; v && *v; v++)
		count++;
	out = arena_array(&s->a, count + 8, sizeof(*out));
	if (json_bool(s->hc, "Init", s->c->engine->cfg.init)) {
		static const char *const ro[] = { "bind", "ro", NULL };

		out[n++] = "/sbin/docker-init";
		out[n++] = "init";
		out[n++] = "--";
		*vec_push(&s->mounts) =
		    bind_of("/sbin/docker-init", s->c->engine->cfg.runtime_binary, ro);
	}
	out[n++] = s->c->path;
	for (v = s->c->args; v && *v; v++)
		out[n++] = *v;
	s->b.args = out;
}

static int set_user(struct spec *s, int rootfd, const char *user, struct container_user *u,
		    struct error *err)
{
	int r = container_user_find(rootfd, user,
				    container_strings(&s->a, json_get(s->hc, "GroupAdd")), u, err);

	if (r < 0)
		return r;
	s->b.uid = u->uid;
	s->b.gid = u->gid;
	s->b.groups = u->groups;
	s->b.n_groups = u->n_groups;
	return 0;
}

static int set_seccomp(struct spec *s, const char *value, struct error *err)
{
	if (strcmp(value, "unconfined") == 0) {
		s->b.seccomp_unconfined = true;
		return 0;
	}
	if (strcmp(value, "builtin") == 0)
		return 0;
	if (json_parse(&s->a, value, strlen(value), &s->b.seccomp_profile, err) < 0)
		return error_wrap(err, -ERR_INVALID, "Decoding seccomp profile failed");
	return 0;
}

static int set_security(struct spec *s, struct error *err)
{
	int r = 0;

	s->b.no_new_privileges = s->c->engine->cfg.no_new_privileges;
	json_for_each_item (v, json_get(s->hc, "SecurityOpt")) {
		const char *opt = v->type == JSON_STRING ? v->s : "";
		const char *value = opt + strcspn(opt, "=:");
		size_t len = (size_t)(value - opt);

		value += *value != '\0';
		if (strncmp(opt, "no-new-privileges", len) == 0 && len == 17)
			s->b.no_new_privileges = value[0] == '\0' || strcmp(value, "true") == 0;
		else if (strncmp(opt, "seccomp", len) == 0 && len == 7)
			r = set_seccomp(s, value, err);
		else if (strncmp(opt, "apparmor", len) == 0 && len == 8)
			s->b.apparmor_profile = value;
		else if (strncmp(opt, "label", len) == 0 && len == 5)
			r = strcmp(value, "disable") == 0
				? 0
				: error_set(err, ERR_UNIMPLEMENTED,
					    "security option '%s' is not supported yet", opt);
		else if (strcmp(opt, "systempaths=unconfined") != 0)
			r = error_set(err, ERR_INVALID, "invalid --security-opt 2: \"%s\"", opt);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Like dockerd not without it, where it should be: that would be a container with fewer walls than
 * its owner thinks. */
static int set_apparmor(struct spec *s, const char *asked, struct error *err)
{
	struct error local = { 0 };

	if (apparmor_resolve(&apparmor_this_host, s->b.privileged, asked, &s->b.apparmor_profile,
			     &local) == 0)
		return 0;
	return error_set(err, ERR_SYSTEM, "%s (without it: --security-opt apparmor=unconfined)",
			 local.msg);
}

static void note_apparmor(const struct spec *s)
{
	LOCKED(&s->c->lock);
	free(s->c->apparmor_profile);
	s->c->apparmor_profile = s->b.apparmor_profile ? xstrdup(s->b.apparmor_profile) : NULL;
}

/* As the container is, also with `exec --privileged`, as dockerd does it: else the processes of
 * one container could not signal each other. */
static int set_exec_apparmor(struct spec *s, struct error *err)
{
	{
		LOCKED(&s->c->lock);
		if (s->c->apparmor_profile)
			s->b.apparmor_profile = arena_strdup(&s->a, s->c->apparmor_profile);
	}
	return s->b.apparmor_profile ? set_apparmor(s, s->b.apparmor_profile, err) : 0;
}

/* ---- namespaces ---- */

/*
 * The namespace itself, bound below the exec root: the runtime opens the path later, and by then
 * a path through the pid could be another process's.
 */
static int join_container(struct spec *s, const char *mode, const char *what, const char **ret,
			  struct error *err)
{
	autoptr(container) other = NULL;
	autofree char *path = NULL, *pinned = NULL;
	autoclose int fd = FD_NONE;
	pid_t pid;
	int r;

	r = container_find(s->c->engine, mode + strlen("container:"), &other, err);
	if (r < 0)
		return r;
	{
		LOCKED(&other->lock);
		pid = container_is_running(other) ? other->pid : 0;
	}
	path = cstr_format("/proc/%d/ns/%s", (int)pid, what);
	/* In this order: if the pid is the container's after the open, it was so at the open. */
	if (pid == 0 || fs_open(path, O_RDONLY, 0, &fd, NULL) < 0 || !container_has_its_pid(other))
		return error_set(err, ERR_CONFLICT, "cannot join %s of a non running container: %s",
				 what, other->id);
	r = volume_pin(s->c->engine, s->c->id, fd, &pinned, err);
	if (r == 0)
		*ret = arena_strdup(&s->a, pinned);
	return r;
}

static int share_shm(struct spec *s, const struct container *of)
{
	static const char *const bind[] = { "bind", "rprivate", "nosuid", "noexec", "nodev", NULL };
	autofree char *path = shm_path(of);

	s->b.no_shm = true;
	*vec_push(&s->mounts) = bind_of("/dev/shm", arena_strdup(&s->a, path), bind);
	return 0;
}

static int join_ipc(struct spec *s, const char *mode, struct error *err)
{
	autoptr(container) other = NULL;
	int r;

	r = container_find(s->c->engine, mode + strlen("container:"), &other, err);
	if (r < 0)
		return r;
	if (strcmp(json_str(other->host_config, "IpcMode"), "shareable") != 0)
		return error_set(err, ERR_CONFLICT,
				 "cannot join IPC of container %s: non-shareable IPC (hint: use "
				 "IpcMode:shareable for the donor container)",
				 other->id);
	s->b.ipc_ns = BUNDLE_NS_PATH;
	r = join_container(s, mode, "ipc", &s->b.ipc_ns_path, err);
	return r < 0 ? r : share_shm(s, other);
}

static int set_ipc(struct spec *s, const char *mode, struct error *err)
{
	static const char *const bind[] = { "rbind", "rprivate", NULL };
	int r;

	if (strcmp(mode, "none") == 0) {
		s->b.no_shm = true;
		return 0;
	}
	if (strcmp(mode, "host") == 0) {
		s->b.ipc_ns = BUNDLE_NS_HOST;
		s->b.no_shm = s->b.no_mqueue = true;
		*vec_push(&s->mounts) = bind_of("/dev/shm", "/dev/shm", bind);
		if (access("/dev/mqueue", F_OK) == 0)
			*vec_push(&s->mounts) = bind_of("/dev/mqueue", "/dev/mqueue", bind);
		return 0;
	}
	if (strcmp(mode, "shareable") == 0) {
		r = shm_mount(s->c, json_int(s->hc, "ShmSize", 0), err);
		return r < 0 ? r : share_shm(s, s->c);
	}
	return cstr_starts(mode, "container:") ? join_ipc(s, mode, err) : 0;
}

static int set_namespaces(struct spec *s, const struct network_sandbox *net, struct error *err)
{
	const char *pid = json_str(s->hc, "PidMode");
	int r;

	if (net->host) {
		s->b.net_ns = BUNDLE_NS_HOST;
	} else if (net->netns_path[0]) {
		s->b.net_ns = BUNDLE_NS_PATH;
		s->b.net_ns_path = net->netns_path;
	}
	if (strcmp(pid, "host") == 0) {
		s->b.pid_ns = BUNDLE_NS_HOST;
	} else if (cstr_starts(pid, "container:")) {
		s->b.pid_ns = BUNDLE_NS_PATH;
		r = join_container(s, pid, "pid", &s->b.pid_ns_path, err);
		if (r < 0)
			return r;
	}
	if (strcmp(json_str(s->hc, "UTSMode"), "host") == 0)
		s->b.uts_ns = BUNDLE_NS_HOST;
	else
		s->b.hostname = json_str(s->config, "Hostname");
	if (!cstr_is_empty(json_str(s->config, "Domainname")) && s->b.uts_ns != BUNDLE_NS_HOST)
		s->b.domainname = json_str(s->config, "Domainname");
	if (strcmp(json_str(s->hc, "CgroupnsMode"), "host") == 0)
		s->b.cgroup_ns = BUNDLE_NS_HOST;
	return set_ipc(s, json_str(s->hc, "IpcMode"), err);
}

/* ---- mounts ---- */

/* Volumes are the container's own: in a user namespace always mapped. */
static bool is_mapped(const struct spec *s, const struct container_mount *m)
{
	return m->idmap || (s->maps && strcmp(m->type, "volume") == 0);
}

/* The owner of the source is who the container's process is. */
static int map_owner(struct spec *s, const char *source, struct id_maps *ret, struct error *err)
{
	struct stat st;
	const char *text;

	if (stat(source, &st) < 0)
		return error_sys(err, errno, "stat '%s'", source);
	text = arena_format(&s->a, "uids=@%u-%u-1;gids=@%u-%u-1", st.st_uid, s->b.uid, st.st_gid,
			    s->b.gid);
	return idmap_parse(&s->a, text, s->maps, ret, err);
}

static int map_mount(struct spec *s, const struct container_mount *m, struct bundle_mount *b,
		     struct error *err)
{
	struct id_maps maps = { 0 };
	int r;

	if (cstr_is_empty(m->idmap))
		return 0;
	r = strcmp(m->idmap, "me") == 0 ? map_owner(s, b->source, &maps, err)
					: idmap_parse(&s->a, m->idmap, s->maps, &maps, err);
	if (r < 0)
		return r;
	b->uid_maps = maps.uids;
	b->n_uid_maps = maps.n_uids;
	b->gid_maps = maps.gids;
	b->n_gid_maps = maps.n_gids;
	return 0;
}

static const char *const *bind_options(struct spec *s, const struct container_mount *m)
{
	const char *out[8];
	size_t n = 0;

	out[n++] = m->non_recursive ? "bind" : "rbind";
	out[n++] = m->rw ? "rw" : "ro";
	out[n++] = cstr_is_empty(m->propagation) ? "rprivate" : m->propagation;
	if (is_mapped(s, m))
		out[n++] = "idmap";
	return list_of(s, out, n);
}

/* A directory or file of the image, pinned below the exec root until the container ends. */
static int image_part(struct spec *s, const struct container_mount *m, const struct mounts *view,
		      struct bundle_mount *ret, struct error *err)
{
	static const char *const ro[] = { "rbind", "ro", "rprivate", NULL };
	autoclose int mount = FD_NONE, root = FD_NONE, fd = FD_NONE;
	autofree char *whole = NULL, *path = NULL;
	int r = mount_open(view, true, &mount, err);

	if (r == 0)
		r = volume_pin_mount(s->c->engine, s->c->id, mount, &whole, err);
	if (r == 0)
		r = fs_open(whole, O_PATH | O_DIRECTORY, 0, &root, err);
	if (r == 0)
		r = fs_open_in_root(root, m->subpath, O_PATH, 0, &fd, err);
	if (r == 0)
		r = volume_pin(s->c->engine, s->c->id, fd, &path, err);
	if (r < 0)
		return error_wrap(err, r, "image mount '%s', subpath '%s'", m->source, m->subpath);
	*ret = bind_of(m->destination, arena_strdup(&s->a, path), ro);
	return 0;
}

/* The image's layers as a read-only overlay which the runtime mounts. */
static int image_mount(struct spec *s, const struct container_mount *m, struct bundle_mount *ret,
		       struct error *err)
{
	struct store *store = s->c->engine->store;
	auto_(image) img = { 0 };
	auto_(mounts) view = { 0 };
	auto_(buf) lower = BUF_INIT(65536);
	const char *out[4];
	size_t i;
	int r;

	r = image_open(store, m->source, &img, err);
	if (r == 0)
		r = snapshot_view(store->snapshots, img.diff_ids, img.n_layers, &view, err);
	if (r < 0)
		return error_wrap(err, r, "image mount '%s'", m->source);
	*ret = (struct bundle_mount){ .destination = m->destination };
	if (!cstr_is_empty(m->subpath))
		return image_part(s, m, &view, ret, err);
	if (view.root) {
		static const char *const ro[] = { "rbind", "ro", "rprivate", NULL };

		ret->type = "bind";
		ret->source = arena_strdup(&s->a, view.root);
		ret->options = ro;
		return 0;
	}
	for (i = 0; i < view.n_lower; i++) {
		r = buf_addf(&lower, err, "%s%s", i ? ":" : "lowerdir=", view.lower[i]);
		if (r < 0)
			return r;
	}
	out[0] = arena_strdup(&s->a, lower.data);
	out[1] = "ro";
	ret->type = "overlay";
	ret->source = "overlay";
	ret->options = list_of(s, out, 2);
	return 0;
}

static int volume_source(struct spec *s, const struct container_mount *m, int rootfd,
			 const char **ret, struct error *err)
{
	struct container *c = s->c;
	struct volume_mount_spec use = { .name = m->name,
					 .container_id = c->id,
					 .subpath = m->subpath,
					 .destination = m->destination,
					 .read_only = !m->rw };
	autofree char *path = NULL;
	autoclose int fd = FD_NONE;
	int r = volume_mount(c->engine, &use, &fd, &path, err);

	/* Into what is mounted, not under it. */
	if (r == 0 && !c->ran && !m->no_copy && !(m->subpath && *m->subpath))
		r = volume_seed(c->engine, m->name, rootfd, m->destination, err);
	if (r < 0)
		return r;
	*ret = arena_strdup(&s->a, path);
	return 0;
}

static int add_mount(struct spec *s, const struct container_mount *m, int rootfd, struct error *err)
{
	struct bundle_mount b = { .destination = m->destination, .type = "bind" };
	int r = 0;

	if (strcmp(m->type, "tmpfs") == 0) {
		b.type = b.source = "tmpfs";
		b.options = m->options;
	} else if (strcmp(m->type, "image") == 0) {
		r = image_mount(s, m, &b, err);
	} else {
		b.source = m->source;
		b.options = bind_options(s, m);
		if (strcmp(m->type, "volume") == 0)
			r = volume_source(s, m, rootfd, &b.source, err);
		else if (access(b.source, F_OK) < 0)
			r = error_set(
			    err, ERR_INVALID,
			    "invalid mount config for type \"bind\": bind source path does "
			    "not exist: %s",
			    b.source);
		if (r == 0)
			r = map_mount(s, m, &b, err);
	}
	if (r == 0)
		*vec_push(&s->mounts) = b;
	return r;
}

static bool is_mounted(struct spec *s, const char *destination)
{
	vec_for_each (m, &s->mounts)
		if (strcmp(m->destination, destination) == 0)
			return true;
	return false;
}

static void add_tmpfs(struct spec *s)
{
	json_for_each_member (m, json_get(s->hc, "Tmpfs")) {
		const char *out[32] = { "noexec", "nosuid", "nodev" };
		const char *text = m->value->type == JSON_STRING ? m->value->s : "";
		struct str rest = str_of(text), w;
		size_t n = 3;

		while (text[0] && n < ARRAY_LEN(out) && str_split(&rest, ',', &w)) {
			/* The asked-for word takes the place of its opposite. */
			if (str_eqs(w, "exec"))
				out[0] = "exec";
			else if (str_eqs(w, "suid"))
				out[1] = "suid";
			else if (str_eqs(w, "dev"))
				out[2] = "dev";
			else
				out[n++] = arena_strndup(&s->a, w.at, w.len);
		}
		*vec_push(&s->mounts) = (struct bundle_mount){ .destination = m->key,
							       .type = "tmpfs",
							       .source = "tmpfs",
							       .options = list_of(s, out, n) };
	}
}

/* hosts, hostname and resolv.conf; those of the container whose network is shared, if so. */
static int add_files(struct spec *s, struct error *err)
{
	static const char *const names[] = { "resolv.conf", "hostname", "hosts" };
	static const char *const options[][4] = { { "rbind", "rprivate" },
						  { "rbind", "rprivate", "ro" },
						  { "rbind", "rprivate", "idmap" } };
	const char *const *words = options[json_bool(s->hc, "ReadonlyRootfs", false) ? 1
					   : s->maps                                 ? 2
										     : 0];
	const char *mode = json_str(s->hc, "NetworkMode");
	autoptr(container) other = NULL;
	size_t i;
	int r;

	if (cstr_starts(mode, "container:")) {
		r = container_find(s->c->engine, mode + strlen("container:"), &other, err);
		if (r < 0)
			return r;
	}
	for (i = 0; i < ARRAY_LEN(names); i++) {
		const char *dst = arena_format(&s->a, "/etc/%s", names[i]);
		autofree char *path = container_file_path(other ? other : s->c, names[i]);

		if (is_mounted(s, dst) || access(path, F_OK) < 0)
			continue;
		*vec_push(&s->mounts) = bind_of(dst, arena_strdup(&s->a, path), words);
	}
	return 0;
}

static int set_mounts(struct spec *s, int rootfd, struct error *err)
{
	size_t i;
	int r;

	for (i = 0; i < s->c->n_mounts; i++) {
		r = add_mount(s, &s->c->mounts[i], rootfd, err);
		if (r < 0)
			return r;
	}
	add_tmpfs(s);
	r = add_files(s, err);
	if (r < 0)
		return r;
	s->b.mounts = s->mounts.at;
	s->b.n_mounts = s->mounts.len;
	return 0;
}

/* ---- the whole ---- */

char *container_cgroup_path(const struct container *c)
{
	const char *parent = json_str(c->host_config, "CgroupParent");

	if (cstr_is_empty(parent))
		parent = c->engine->cfg.cgroup_parent;
	if (c->engine->cfg.systemd_cgroup)
		return cstr_format("%s:docker:%s", parent, c->id);
	return cstr_format("%s%s/%s", parent[0] == '/' ? "" : "/", parent, c->id);
}

static void set_annotations(struct spec *s)
{
	const struct json *map = json_get(s->hc, "Annotations");
	size_t n = 0;
	struct bundle_pair *out = arena_array(&s->a, (map ? map->n_members : 0) + 1, sizeof(*out));

	json_for_each_member (m, map)
		if (m->value->type == JSON_STRING)
			out[n++] = (struct bundle_pair){ m->key, m->value->s };
	s->b.annotations = out;
	s->b.n_annotations = n;
}

/* Peer: dockerd cleans an absolute WorkingDir before it makes it; "/app/x/.." needs no /app/x. */
static const char *clean_cwd(struct arena *a, const char *dir)
{
	autofree char *clean = NULL;

	if (cstr_is_empty(dir) || dir[0] != '/')
		return dir;
	clean = fs_path_clean(dir);
	return arena_strdup(a, clean);
}

static void spec_begin(struct spec *s, struct container *c)
{
	LOCKED(&c->lock);
	s->c = c;
	s->config = c->config;
	s->hc = c->host_config;
	s->b.rootfs = "rootfs";
	s->b.privileged = json_bool(s->hc, "Privileged", false);
	s->b.cap_add = container_strings(&s->a, json_get(s->hc, "CapAdd"));
	s->b.cap_drop = container_strings(&s->a, json_get(s->hc, "CapDrop"));
	s->b.cwd = clean_cwd(&s->a, json_str(s->config, "WorkingDir"));
	s->b.oom_score_adj = (int)json_int(s->hc, "OomScoreAdj", 0);
	container_spec_ulimits(&s->a, s->hc, &s->b);
}

static void set_console(struct spec *s)
{
	const struct json *size = json_get(s->hc, "ConsoleSize");

	s->b.tty = json_bool(s->config, "Tty", false);
	if (size == NULL || size->n_items != 2 || size->items[0]->type != JSON_INT ||
	    size->items[1]->type != JSON_INT)
		return;
	s->b.rows = (uint16_t)size->items[0]->i;
	s->b.cols = (uint16_t)size->items[1]->i;
}

/* Docker makes the working directory when the image lacks it. */
static int make_cwd(const struct spec *s, int rootfd, struct error *err)
{
	autoclose int fd = FD_NONE;

	if (cstr_is_empty(s->b.cwd) || strcmp(s->b.cwd, "/") == 0 ||
	    fs_open_in_root(rootfd, s->b.cwd, O_PATH | O_DIRECTORY, 0, &fd, NULL) == 0)
		return 0;
	return fs_mkdir_all_in_root(rootfd, s->b.cwd, 0755, 0, 0, NULL, err);
}

static void set_user_ns(struct spec *s, const struct id_maps *maps)
{
	s->maps = maps;
	if (maps == NULL)
		return;
	s->b.user_ns = BUNDLE_NS_NEW;
	s->b.uid_maps = maps->uids;
	s->b.n_uid_maps = maps->n_uids;
	s->b.gid_maps = maps->gids;
	s->b.n_gid_maps = maps->n_gids;
}

/* The network namespace is the host's, its settings are not for a mapped root to write. */
static int set_sysctls(struct spec *s, struct error *err)
{
	struct bundle_pair *out = arena_array(&s->a, s->b.n_sysctls + 1, sizeof(*out));
	size_t i, n = 0;
	int r = 0;

	if (s->maps == NULL)
		return 0;
	for (i = 0; r == 0 && i < s->b.n_sysctls; i++) {
		if (cstr_starts(s->b.sysctls[i].key, "net."))
			r = network_sysctl(s->c, s->b.sysctls[i].key, s->b.sysctls[i].value, err);
		else
			out[n++] = s->b.sysctls[i];
	}
	s->b.sysctls = out;
	s->b.n_sysctls = n;
	return r;
}

int container_spec(struct container *c, int rootfd, const struct network_sandbox *net,
		   const struct id_maps *maps, struct buf *out, struct error *err)
{
	auto_(spec) s = { .a = ARENA_INIT };
	auto_(container_user) u = { 0 };
	autofree char *cgroup = container_cgroup_path(c);
	const struct json *links;
	int r;

	spec_begin(&s, c);
	set_console(&s);
	set_user_ns(&s, maps);
	r = set_user(&s, rootfd, json_str(s.config, "User"), &u, err);
	if (r == 0)
		r = make_cwd(&s, rootfd, err);
	if (r == 0)
		r = set_security(&s, err);
	if (r == 0)
		r = set_apparmor(&s, s.b.apparmor_profile, err);
	if (r == 0)
		r = set_namespaces(&s, net, err);
	if (r == 0)
		r = set_mounts(&s, rootfd, err);
	if (r == 0)
		r = container_spec_resources(&s.a, s.hc, &s.b, err);
	if (r == 0)
		r = set_sysctls(&s, err);
	if (r < 0)
		return r;
	r = links_env(c, s.hc, &s.a, &links, err);
	if (r < 0)
		return r;
	note_apparmor(&s);
	set_env(&s, NULL, links, u.home, s.b.tty);
	set_args(&s);
	s.b.mounts = s.mounts.at;
	s.b.n_mounts = s.mounts.len;
	set_annotations(&s);
	s.b.rootfs_readonly = json_bool(s.hc, "ReadonlyRootfs", false);
	s.b.shm_bytes = json_int(s.hc, "ShmSize", 0);
	s.b.cgroups_path = cgroup;
	if (json_get(s.hc, "MaskedPaths"))
		s.b.masked_paths = container_strings(&s.a, json_get(s.hc, "MaskedPaths"));
	if (json_get(s.hc, "ReadonlyPaths"))
		s.b.readonly_paths = container_strings(&s.a, json_get(s.hc, "ReadonlyPaths"));
	return bundle_write(&s.b, out, err);
}

int container_exec_spec(struct container *c, const struct json *exec, bool tty, uint16_t rows,
			uint16_t cols, struct buf *out, struct error *err)
{
	auto_(spec) s = { .a = ARENA_INIT };
	auto_(container_user) u = { 0 };
	auto_(container_root) root = CONTAINER_ROOT_INIT;
	const char *user = json_str(exec, "User"), *cwd = json_str(exec, "WorkingDir");
	int r;

	spec_begin(&s, c);
	r = container_root_open(c, ROOT_GLANCE, &root, err);
	if (r == 0)
		r = set_user(&s, root.fd, cstr_is_empty(user) ? json_str(s.config, "User") : user,
			     &u, err);
	if (r == 0)
		r = set_security(&s, err);
	if (r == 0)
		r = set_exec_apparmor(&s, err);
	if (r < 0)
		return r;
	s.b.privileged = s.b.privileged || json_bool(exec, "Privileged", false);
	s.b.tty = tty;
	s.b.rows = rows;
	s.b.cols = cols;
	if (!cstr_is_empty(cwd))
		s.b.cwd = cwd;
	s.b.args = container_strings(&s.a, json_get(exec, "Cmd"));
	set_env(&s, json_get(exec, "Env"), NULL, u.home, tty);
	return bundle_write_process(&s.b, out, err);
}
