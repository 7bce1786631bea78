/*
 * engine/files.c: what people do to a container's files from outside: cp,
 * export, diff. Paths are the container's: resolved below a root fd, never joined
 * to a path of the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/apply.h"
#include "archive/compress.h"
#include "archive/pack.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/vec.h"
#include "engine/container_internal.h"
#include "engine/idmap.h"
#include "engine/volume.h"
#include "store/snapshot.h"
#include "store/store.h"

#define LINK_DEPTH_MAX 40

/* ---- where a path is ---- */

/* A directory fd and a path below it, which may be a volume's own. */
struct place {
	int root;
	char *path; /* absolute below root */
	bool read_only;
	bool mounted; /* the root is a mount of ours: nothing else may write there */
	/* Of a live user namespace, whose ids are not ours; NULL without one. In the arena. */
	const struct id_maps *maps;
	struct arena arena;
};
#define PLACE_INIT \
	{ \
		.root = FD_NONE, .arena = ARENA_INIT \
	}

static void place_release(struct place *p)
{
	if (p->root >= 0)
		close(p->root);
	free(p->path);
	arena_release(&p->arena);
}
DEFINE_AUTO(place, place_release);

/* The mount of a stopped container that covers the path; NULL when none does. */
static const struct container_mount *covering_mount(const struct container *c, const char *path)
{
	const struct container_mount *best = NULL;
	size_t i;

	for (i = 0; i < c->n_mounts; i++) {
		const char *dst = c->mounts[i].destination;
		size_t len = strlen(dst);

		if (strncmp(path, dst, len) == 0 && (path[len] == '\0' || path[len] == '/') &&
		    (best == NULL || len > strlen(best->destination)))
			best = &c->mounts[i];
	}
	return best;
}

static int open_mount(struct container *c, const struct container_mount *m, const char *path,
		      struct place *ret, struct error *err)
{
	autofree char *dir = NULL;
	const char *rest = path + strlen(m->destination);
	int r = 0;

	if (m->name)
		r = volume_path(c->engine, m->name, &dir, err);
	else
		dir = xstrdup(m->source);
	if (r == 0)
		r = fs_open(dir, O_PATH, 0, &ret->root, err);
	if (r < 0)
		return r;
	ret->path = xstrdup(rest[0] ? rest : "/");
	ret->read_only = !m->rw;
	return 0;
}

/*
 * hosts, hostname and resolv.conf are the engine's files, also of a container that does not
 * run; before its first start they are empty. Peer: dockerd has them in the init layer.
 */
static int open_given_file(struct container *c, const char *path, struct place *ret,
			   struct error *err)
{
	autofree char *dir = container_file_path(c, ".");
	const char *name = path + strlen("/etc/");
	autoclose int fd = FD_NONE;
	int r = fs_open(dir, O_RDONLY | O_DIRECTORY, 0, &ret->root, err);

	if (r < 0)
		return r;
	fd = openat(ret->root, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_sys(err, errno, "open '%s' of the container", name);
	ret->path = cstr_format("/%s", name);
	return 0;
}

static bool is_given_file(const char *path)
{
	return strcmp(path, "/etc/hosts") == 0 || strcmp(path, "/etc/hostname") == 0 ||
	       strcmp(path, "/etc/resolv.conf") == 0;
}

static int place_map(struct container *c, struct place *ret, struct error *err)
{
	struct id_maps *maps = arena_alloc(&ret->arena, sizeof(*maps));
	int r = userns_known_maps(c, &ret->arena, maps, err);

	ret->maps = maps;
	return r;
}

static int place_open(struct container *c, const char *path, enum container_root_use use,
		      struct place *ret, struct error *err)
{
	autofree char *absolute = cstr_format("/%s", path);
	autofree char *clean = fs_path_clean(absolute);
	struct container_root root = CONTAINER_ROOT_INIT;
	const struct container_mount *m = NULL;
	bool running;
	int r;

	{
		LOCKED(&c->lock);
		running = container_is_running(c) && c->pid > 0;
		ret->read_only = json_bool(c->host_config, "ReadonlyRootfs", false);
	}
	/* A running container has its volumes mounted; for others we look there. */
	if (!running)
		m = covering_mount(c, clean);
	if (m && (strcmp(m->type, "volume") == 0 || strcmp(m->type, "bind") == 0))
		return open_mount(c, m, clean, ret, err);
	if (!running && m == NULL && is_given_file(clean))
		return open_given_file(c, clean, ret, err);
	r = container_root_open(c, use, &root, err);
	if (r < 0)
		return r;
	ret->root = root.fd;
	ret->mounted = !root.live;
	ret->path = steal_ptr(clean);
	return root.live && userns_is_auto(c) ? place_map(c, ret, err) : 0;
}

/* Parent directory of the path, opened; *ret_name borrows from path. */
static int open_parent(const struct place *p, int *ret_fd, const char **ret_name, struct error *err)
{
	const char *slash = strrchr(p->path, '/');
	autofree char *parent = NULL;

	if (strcmp(p->path, "/") == 0) {
		*ret_name = ".";
		return fs_open_in_root(p->root, "/", O_PATH | O_DIRECTORY, 0, ret_fd, err);
	}
	parent = cstr_format("%.*s", slash == p->path ? 1 : (int)(slash - p->path), p->path);
	*ret_name = slash + 1;
	return fs_open_in_root(p->root, parent, O_PATH | O_DIRECTORY, 0, ret_fd, err);
}

static int not_found(const char *ref, const char *path, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "Could not find the file %s in container %s", path,
			 ref);
}

/* ---- stat ---- */

/* Go's os.FileMode. */
static int64_t go_mode(mode_t m)
{
	int64_t out = m & 0777;

	switch (m & S_IFMT) {
	case S_IFDIR:
		out |= 1LL << 31;
		break;
	case S_IFLNK:
		out |= 1LL << 27;
		break;
	case S_IFBLK:
		out |= 1LL << 26;
		break;
	case S_IFCHR:
		out |= 1LL << 26 | 1LL << 21;
		break;
	case S_IFIFO:
		out |= 1LL << 25;
		break;
	case S_IFSOCK:
		out |= 1LL << 24;
		break;
	default:
		break;
	}
	if (m & S_ISUID)
		out |= 1LL << 23;
	if (m & S_ISGID)
		out |= 1LL << 22;
	if (m & S_ISVTX)
		out |= 1LL << 20;
	return out;
}

static char *read_link(int dirfd, const char *name)
{
	char target[4096];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);

	if (n < 0)
		return NULL;
	target[n] = '\0';
	return xstrdup(target);
}

/* Where a symlink leads in the end, as a path of the container. */
static char *resolve_link(const struct place *p)
{
	autofree char *at = xstrdup(p->path);
	int depth;

	for (depth = 0; depth < LINK_DEPTH_MAX; depth++) {
		struct place here = { .root = p->root, .path = at };
		autoclose int dir = FD_NONE;
		autofree char *target = NULL, *joined = NULL;
		const char *name;

		if (open_parent(&here, &dir, &name, NULL) < 0)
			break;
		target = read_link(dir, name);
		if (target == NULL)
			break;
		joined = target[0] == '/'
			     ? xstrdup(target)
			     : cstr_format("%.*s/%s", (int)(strrchr(at, '/') - at), at, target);
		free(at);
		at = fs_path_clean(joined);
	}
	return steal_ptr(at);
}

static void stat_write(const struct place *p, const char *name, const struct stat *st,
		       struct jsonw *w)
{
	autofree char *link = S_ISLNK(st->st_mode) ? resolve_link(p) : NULL;

	jsonw_object(w);
	jsonw_kstring(w, "name", strcmp(name, ".") == 0 ? "/" : name);
	jsonw_kint(w, "size", st->st_size);
	jsonw_kint(w, "mode", go_mode(st->st_mode));
	jsonw_ktime(w, "mtime", st->st_mtim.tv_sec * NS_PER_SEC + st->st_mtim.tv_nsec);
	jsonw_kstring(w, "linkTarget", link ? link : "");
	jsonw_end(w);
}

struct target {
	struct place place;
	int dir;
	const char *name; /* in place.path */
	struct stat st;
};

static void target_release(struct target *t)
{
	if (t->dir >= 0)
		close(t->dir);
	place_release(&t->place);
}
DEFINE_AUTO(target, target_release);
#define TARGET_INIT \
	{ \
		.place = PLACE_INIT, .dir = FD_NONE \
	}

/* What the client sent is at fault, not the engine. */
static int blame_client(int r, struct error *err)
{
	if (r == -ERR_CORRUPT || (r == -ERR_SYSTEM && err->sys == ENAMETOOLONG))
		r = -(int)(err->kind = ERR_INVALID);
	return r;
}

static int target_open(struct container *c, const char *ref, const char *path, struct target *t,
		       struct error *err)
{
	struct error local = { 0 };
	size_t len = strlen(path);
	bool dir_wanted = len > 0 && (path[len - 1] == '/' || cstr_ends(path, "/."));
	int r;

	if (len == 0)
		return error_set(err, ERR_INVALID, "path cannot be empty");
	r = place_open(c, path, ROOT_READ, &t->place, err);
	if (r < 0)
		return r;
	r = open_parent(&t->place, &t->dir, &t->name, &local);
	if (r == -ERR_NOT_FOUND)
		return not_found(ref, path, err);
	if (r < 0)
		return error_set(err, local.kind, "%s", local.msg);
	if (fstatat(t->dir, t->name, &t->st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == ENOTDIR
			   ? not_found(ref, path, err)
			   : blame_client(error_sys(err, errno, "stat '%s'", path), err);
	if (!dir_wanted || S_ISDIR(t->st.st_mode))
		return 0;
	if (!S_ISLNK(t->st.st_mode))
		return not_found(ref, path, err);
	/* "link/" is what the link leads to. */
	close(t->dir);
	t->dir = FD_NONE;
	r = fs_open_in_root(t->place.root, t->place.path, O_PATH | O_DIRECTORY, 0, &t->dir, NULL);
	if (r < 0 || fstat(t->dir, &t->st) < 0)
		return not_found(ref, path, err);
	t->name = ".";
	return 0;
}

int container_archive_stat(struct engine *e, const char *ref, const char *path, struct jsonw *out,
			   struct error *err)
{
	autoptr(container) c = NULL;
	auto_(target) t = TARGET_INIT;
	int r;

	r = container_find(e, ref, &c, err);
	if (r == 0)
		r = target_open(c, ref, path, &t, err);
	if (r == 0)
		stat_write(&t.place, t.name, &t.st, out);
	return r;
}

/* ---- get and put ---- */

int container_archive_get(struct engine *e, const char *ref, const char *path, struct jsonw *stat,
			  struct writer *out, const struct cancel *cancel, struct error *err)
{
	struct pack_options o = { .cancel = cancel };
	autoptr(container) c = NULL;
	auto_(target) t = TARGET_INIT;
	const char *base;
	int r;

	r = container_find(e, ref, &c, err);
	if (r == 0)
		r = target_open(c, ref, path, &t, err);
	if (r < 0)
		return r;
	stat_write(&t.place, t.name, &t.st, stat);
	r = writer_write(out, "", 0, err);
	if (r < 0)
		return r;
	base = strrchr(t.place.path, '/') + 1;
	o.rename = base[0] ? base : "/";
	o.maps = t.place.maps;
	r = pack_tree(t.dir, t.name, out, &o, NULL, err);
	if (r == 0)
		container_event(c, "archive-path", NULL, 0);
	return r;
}

static int check_writable(const struct place *p, struct error *err)
{
	if (p->read_only)
		return error_set(err, ERR_FORBIDDEN, "container rootfs is marked read-only");
	return 0;
}

static int put(struct container *c, const char *ref, const char *path, const struct place *p,
	       const struct container_archive_put_options *o, struct reader *in, struct error *err)
{
	struct extract_options x = { .no_overwrite_dir_non_dir = o->no_overwrite_dir_non_dir,
				     .keep_existing_dir_meta = true };
	struct decompressor *d;
	autoclose int dir = FD_NONE;
	const char *user;
	struct stat st;
	int r;

	r = check_writable(p, err);
	if (r < 0)
		return r;
	if (fs_open_in_root(p->root, p->path, O_PATH, 0, &dir, NULL) < 0 || fstat(dir, &st) < 0)
		return not_found(ref, path, err);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID, "extraction point is not a directory");
	x.maps = p->maps;
	user = json_str(c->config, "User");
	/* Without a user of the container's the archive's ids stay. Peer: dockerd 20.10 too. */
	if (o->copy_uid_gid && user && user[0]) {
		auto_(container_user) u = { 0 };

		r = container_user_find(p->root, user, NULL, &u, err);
		if (r < 0)
			return r;
		x.chown = true;
		x.uid = u.uid;
		x.gid = u.gid;
	}
	r = decompressor_new(in, &d, err);
	if (r < 0)
		return r;
	r = blame_client(container_extract(p->root, p->path, decompressor_reader(d), &x, err), err);
	decompressor_free(d);
	if (r == 0)
		container_event(c, "extract-to-dir", NULL, 0);
	return r;
}

static void set_written(struct container *c, bool written)
{
	LOCKED(&c->lock);
	c->written = written;
	container_changed(c);
}

int container_archive_put(struct engine *e, const char *ref, const char *path,
			  const struct container_archive_put_options *o, struct reader *in,
			  struct error *err)
{
	autoptr(container) c = NULL;
	auto_(place) p = PLACE_INIT;
	int r;

	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	{
		LOCKED(&c->op);
		r = container_still_there(c, ref, err);
		if (r == 0)
			r = container_root_quiet(c, err);
		if (r == 0)
			r = place_open(c, path, ROOT_WRITE, &p, err);
		if (r < 0)
			return r;
		set_written(c, p.mounted);
	}
	r = put(c, ref, path, &p, o, in, err);
	if (!p.mounted)
		return r;
	/* The mount goes before a start may make one. */
	place_release(&p);
	p = (struct place)PLACE_INIT;
	set_written(c, false);
	{
		/* What has gone meanwhile took the files along, or some. */
		LOCKED(&c->op);
		return container_still_there(c, ref, err) < 0 ? -ERR_NOT_FOUND : r;
	}
}

/* ---- export ---- */

int container_export(struct engine *e, const char *ref, struct writer *out,
		     const struct cancel *cancel, struct error *err)
{
	struct pack_options o = { .no_root_entry = true, .cancel = cancel };
	autoptr(container) c = NULL;
	autoclose int root = FD_NONE;
	int r;

	r = container_find(e, ref, &c, err);
	if (r == 0)
		r = container_view_open(c, &root, err);
	if (r == 0)
		r = writer_write(out, "", 0, err);
	if (r == 0)
		r = pack_tree(root, ".", out, &o, NULL, err);
	if (r == 0)
		container_event(c, "export", NULL, 0);
	return r;
}

/* ---- diff ---- */

struct change {
	char *path;
	enum change_kind kind;
};

struct changes {
	VEC(struct change) at;
};

/*
 * Where the runtime mounts something it needs a file or directory to mount on.
 * docker has these in a layer of its own, so that nobody sees them as changes.
 */
static bool is_mount_point(const struct container *c, const char *path)
{
	static const char *const known[] = { "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
					     "/etc/mtab",  "/.dockerenv",   "/sbin/docker-init",
					     "/dev",       "/dev/console",  "/dev/pts",
					     "/dev/shm",   "/dev/mqueue",   "/proc",
					     "/sys" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(path, known[i]) == 0)
			return true;
	for (i = 0; i < c->n_mounts; i++)
		if (strcmp(path, c->mounts[i].destination) == 0)
			return true;
	return false;
}

/* A directory that is there, or was touched, only for a mount point in it. */
static bool is_only_around(const struct changes *ch, size_t at, const bool *hidden)
{
	const char *dir = ch->at.at[at].path;
	size_t len = strlen(dir), i;
	bool around = false;

	for (i = at + 1; i < ch->at.len && strncmp(ch->at.at[i].path, dir, len) == 0; i++) {
		if (ch->at.at[i].path[len] != '/')
			continue;
		if (!hidden[i])
			return false;
		around = true;
	}
	return around;
}

static int change_add(void *arg, const char *path, enum change_kind kind, struct error *err)
{
	struct changes *ch = arg;

	(void)err;
	*vec_push(&ch->at) = (struct change){ xstrdup(path), kind };
	return 0;
}

static void changes_write(const struct container *c, struct changes *ch, struct jsonw *w)
{
	bool *hidden = xcalloc(ch->at.len + 1, sizeof(*hidden));
	bool any = false;
	size_t i;

	/* Children come after their parents, so look from the end. */
	for (i = ch->at.len; i > 0; i--)
		hidden[i - 1] = (ch->at.at[i - 1].kind == CHANGE_ADDED &&
				 is_mount_point(c, ch->at.at[i - 1].path)) ||
				is_only_around(ch, i - 1, hidden);
	for (i = 0; i < ch->at.len; i++) {
		if (hidden[i])
			continue;
		if (!any)
			jsonw_array(w);
		any = true;
		jsonw_object(w);
		jsonw_kstring(w, "Path", ch->at.at[i].path);
		jsonw_kint(w, "Kind", ch->at.at[i].kind);
		jsonw_end(w);
	}
	if (any)
		jsonw_end(w);
	else
		jsonw_null(w);
	free(hidden);
}

static int collect_changes(struct container *c, struct changes *ch, struct error *err)
{
	struct snapshots *s = c->engine->store->snapshots;
	autofree char *key = cstr_format("container/%s", c->id);
	autofree struct digest *layers = NULL;
	VEC(int) lowers = { 0 };
	autoclose int upper = FD_NONE;
	size_t n = 0, i;
	int fd, r;

	r = snapshot_open_upper(s, key, &upper, err);
	if (r == 0)
		r = snapshot_layers(s, key, &layers, &n, err);
	/* Topmost first. */
	for (i = n; r == 0 && i > 0; i--) {
		r = snapshot_layer_open(s, &layers[i - 1], &fd, err);
		if (r == 0)
			*vec_push(&lowers) = fd;
	}
	if (r == 0)
		r = pack_changes(upper, lowers.at, lowers.len, change_add, ch, err);
	vec_for_each (lower, &lowers)
		close(*lower);
	vec_release(&lowers);
	return r;
}

int container_changes(struct engine *e, const char *ref, struct jsonw *out, struct error *err)
{
	autoptr(container) c = NULL;
	struct changes ch = { 0 };
	int r;

	r = container_find(e, ref, &c, err);
	if (r < 0)
		return r;
	r = collect_changes(c, &ch, err);
	if (r == 0)
		changes_write(c, &ch, out);
	vec_for_each (one, &ch.at)
		free(one->path);
	vec_release(&ch.at);
	return r;
}
