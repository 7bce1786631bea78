#include "build/step_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/random.h"
#include "build/cache_gc.h"
#include "store/mount.h"

/* <sys/mount.h> clashes with <linux/mount.h> on glibc 2.36. */
extern int umount2(const char *target, int flags);
#define DETACH 2

static const char *run_path(struct step_mounts *m, const char *name)
{
	return arena_format(&m->arena, "%s/%s/%s", m->build->builder->cfg.run_dir, m->dir, name);
}

static void add_mount(struct step_mounts *m, const char *target, const char *type,
		      const char *source, const char *a, const char *b, const char *c)
{
	const char **options = arena_array(&m->arena, 4, sizeof(*options));

	options[0] = a;
	options[1] = a ? b : NULL;
	options[2] = b ? c : NULL;
	if (m->len == m->cap) {
		struct bundle_mount *at;

		m->cap = m->cap ? m->cap * 2 : 8;
		at = arena_array(&m->arena, m->cap, sizeof(*at));
		if (m->len > 0)
			memcpy(at, m->at, m->len * sizeof(*at));
		m->at = at;
	}
	m->at[m->len++] = (struct bundle_mount){
		.destination = target, .type = type, .source = source, .options = options
	};
}

/* Remember which parts of a mount point's path are not there yet. */
static void note_stubs(struct step_mounts *m, int rootfd, const char *target)
{
	autofree char *real = NULL;

	if (fs_resolve_in_root(rootfd, target, &real, NULL) < 0)
		return;
	for (const char *p = real + 1;; p++) {
		autoclose int fd = FD_NONE;
		const char *path;

		if (*p != '/' && *p != '\0')
			continue;
		path = arena_strndup(&m->arena, real, (size_t)(p - real));
		if (fs_open_in_root(rootfd, path, O_PATH | O_NOFOLLOW, 0, &fd, NULL) < 0) {
			if (m->n_stubs == m->cap_stubs) {
				const char **at;

				m->cap_stubs = m->cap_stubs ? m->cap_stubs * 2 : 16;
				at = arena_array(&m->arena, m->cap_stubs, sizeof(*at));
				if (m->n_stubs > 0)
					memcpy(at, m->stubs, m->n_stubs * sizeof(*at));
				m->stubs = at;
			}
			m->stubs[m->n_stubs++] = path;
		}
		if (*p == '\0')
			return;
	}
}

/* An empty file or directory that only this layer has; never through a link. */
static void remove_stub(int upper_fd, const char *path)
{
	const char *slash = strrchr(path, '/');
	autofree char *parent = str_dup((struct str){ path, (size_t)(slash - path) });
	autoclose int dir = FD_NONE;
	struct stat st;

	if (fs_open_beneath(upper_fd, parent[0] ? parent + 1 : ".", O_RDONLY | O_DIRECTORY, 0, &dir,
			    NULL) < 0 ||
	    fstatat(dir, slash + 1, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISDIR(st.st_mode))
		(void)!unlinkat(dir, slash + 1, AT_REMOVEDIR);
	else if (S_ISREG(st.st_mode) && st.st_size == 0)
		(void)!unlinkat(dir, slash + 1, 0);
}

/* A file of the step's own; who may read it is in `attrs` (mode, uid, gid). */
static int write_file(struct step_mounts *m, const char *name, struct str bytes,
		      const struct stat *attrs, const char **ret_path, struct error *err)
{
	const char *path = run_path(m, name);
	autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_sys(err, errno, "create '%s'", name);
	*ret_path = path;
	if (fchown(fd, attrs->st_uid, attrs->st_gid) < 0 || fchmod(fd, attrs->st_mode) < 0)
		return error_sys(err, errno, "set mode of '%s'", name);
	return fs_write_all(fd, bytes.at, bytes.len, err);
}

/* Give what `path` names inside `rootfd` a place of its own on the host. */
static int attach_tree(struct step_mounts *m, int rootfd, const char *path, const char **ret_path,
		       struct error *err)
{
	autofree char *name = cstr_format("m%u", m->n_attached);
	autoclose int source = FD_NONE, tree = FD_NONE, place = FD_NONE;
	const char *where = run_path(m, name);
	struct stat st;
	int r = fs_open_in_root(rootfd, path[0] ? path : ".", O_PATH, 0, &source, err);

	if (r < 0)
		return r;
	if (fstat(source, &st) < 0)
		return error_sys(err, errno, "stat '%s'", path);
	if (S_ISDIR(st.st_mode)) {
		if (mkdir(where, 0700) < 0)
			return error_sys(err, errno, "create '%s'", name);
	} else {
		place = open(where, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (place < 0)
			return error_sys(err, errno, "create '%s'", name);
	}
	tree = (int)syscall(SYS_open_tree, source, "",
			    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	if (tree < 0)
		return error_sys(err, errno, "take '%s'", path);
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, where, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_sys(err, errno, "attach '%s'", path);
	m->n_attached++;
	*ret_path = where;
	return 0;
}

/* A writable view whose changes are thrown away. */
static int open_writable(struct step_mounts *m, const struct mount_spec *spec, int *ret_fd,
			 struct error *err)
{
	struct store *s = m->build->builder->cfg.store;
	const struct node *n = spec->from.node;
	auto_(mounts) mounts = { 0 };
	char tail[17];
	char *key;
	int r;

	random_hex(tail, 8);
	key = cstr_format("build/%s/rw-%s", m->build->id, tail);
	r = snapshot_prepare(s->snapshots, key, n->layers, n->n_layers, &mounts, err);
	if (r < 0) {
		free(key);
		return r;
	}
	m->snapshots = xreallocarray(m->snapshots, m->n_snapshots + 1, sizeof(*m->snapshots));
	m->snapshots[m->n_snapshots++] = key;
	return mount_open(&mounts, false, ret_fd, err);
}

struct materialize {
	int fd; /* where to */
};

static int copy_visible(void *arg, const struct tree_entry *e, struct error *err)
{
	struct materialize *c = arg;

	if (e->rel[0] == '\0')
		return 0;
	if (S_ISDIR(e->st->st_mode)) {
		if (mkdirat(c->fd, e->rel, 0755) < 0 && errno != EEXIST)
			return error_sys(err, errno, "create '%s'", e->rel);
		return 0;
	}
	{
		const char *slash = strrchr(e->rel, '/');
		autofree char *parent =
		    str_dup((struct str){ e->rel, slash ? (size_t)(slash - e->rel) : 0 });
		autoclose int dir = FD_NONE;
		int r = fs_open_beneath(c->fd, parent[0] ? parent : ".", O_RDONLY | O_DIRECTORY, 0,
					&dir, err);

		return r < 0 ? r
			     : fs_copy_tree(e->dirfd, e->name, dir, slash ? slash + 1 : e->rel,
					    FS_COPY_TIMES, err);
	}
}

/* A directory from a client in another mount namespace cannot be mounted in ours. */
static bool can_mount(int fd)
{
	autoclose int tree = (int)syscall(SYS_open_tree, fd, "",
					  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	return tree >= 0;
}

/* A context is shown through a copy when something in it is hidden, when the step
 * may write or when there is no other way; else as it is, read-only. */
static int open_context_mount(struct step_mounts *m, const struct mount_spec *spec, int *ret_fd,
			      bool *ret_copied, struct error *err)
{
	struct opened_context *o = context_find(m->build, spec->from.context);
	struct materialize c = { FD_NONE };
	autofree char *name = NULL;
	const char *path;
	int r;

	if (o == NULL || o->fd < 0)
		return error_set(err, ERR_INVALID, "there is no build context");
	*ret_copied = !spec->mount.read_only || o->ignore.len > 0 || !can_mount(o->fd);
	if (!*ret_copied) {
		*ret_fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 3);
		return *ret_fd < 0 ? error_sys(err, errno, "open build context") : 0;
	}
	name = cstr_format("c%zu", m->len);
	path = run_path(m, name);
	if (mkdir(path, 0755) < 0)
		return error_sys(err, errno, "create '%s'", name);
	r = fs_open(path, O_RDONLY | O_DIRECTORY, 0, &c.fd, err);
	if (r == 0)
		r = tree_walk(&o->tree, "", NULL, "", copy_visible, &c, err);
	*ret_fd = c.fd;
	return r;
}

static int open_source(struct step_mounts *m, const struct mount_spec *spec, int *ret_fd,
		       struct error *err)
{
	bool copied;

	if (spec->from.node == NULL)
		return open_context_mount(m, spec, ret_fd, &copied, err);
	if (spec->mount.type == MOUNT_BIND && !spec->mount.read_only)
		return open_writable(m, spec, ret_fd, err);
	return rootfs_view(m->build, spec->from.node, ret_fd, err);
}

static int bind_mount(struct step_mounts *m, const struct mount_spec *spec, struct error *err)
{
	const char *path = tree_path(&m->arena, spec->mount.source ? spec->mount.source : "");
	const char *where, *root;
	autoclose int fd = FD_NONE, attached = FD_NONE;
	int r = open_source(m, spec, &fd, err);

	if (r < 0)
		return r;
	/* A detached mount cannot be cloned from below its root on older kernels. */
	r = attach_tree(m, fd, "", &root, err);
	if (r == 0 && path[0] != '\0') {
		r = fs_open(root, O_RDONLY | O_DIRECTORY, 0, &attached, err);
		if (r == 0)
			r = attach_tree(m, attached, path, &where, err);
	} else {
		where = root;
	}
	if (r < 0)
		return error_wrap(err, r, "bind mount of '/%s'", path);
	add_mount(m, spec->mount.target, "bind", where, "bind", spec->mount.read_only ? "ro" : "rw",
		  NULL);
	return 0;
}

/* Private and locked caches have one user at a time. */
static int lock_cache(struct step_mounts *m, const struct run_mount *rm, const char **id,
		      struct error *err)
{
	struct builder *b = m->build->builder;
	const char **at = arena_array(&m->arena, m->n_locked + 1, sizeof(*at));
	const char *name = *id;
	unsigned n = 1;
	LOCKED(&b->mounts_lock);

	while (map_has(&b->mounts_busy, name)) {
		int r = cancel_check(m->build->cancel, err);

		if (r < 0)
			return r;
		if (strcmp(rm->sharing, "private") == 0) {
			name = arena_format(&m->arena, "%s#%u", *id, n++);
			continue;
		}
		{
			struct timespec until;

			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_sec += 1;
			pthread_cond_timedwait(&b->mounts_free, &b->mounts_lock.mutex, &until);
		}
	}
	map_set(&b->mounts_busy, name, b);
	for (size_t i = 0; i < m->n_locked; i++)
		at[i] = m->locked[i];
	at[m->n_locked++] = name;
	m->locked = at;
	*id = name;
	return 0;
}

static int fill_cache(struct step_mounts *m, const struct mount_spec *spec, const char *path,
		      struct error *err)
{
	const char *source = tree_path(&m->arena, spec->mount.source ? spec->mount.source : "");
	autoclose int fd = FD_NONE, from = FD_NONE, to = FD_NONE;
	struct materialize c;
	struct tree tree = { .what = "cache mount", .cancel = m->build->cancel };
	int r = open_source(m, spec, &fd, err);

	if (r == 0)
		r = fs_open_in_root(fd, source[0] ? source : ".", O_RDONLY | O_DIRECTORY, 0, &from,
				    err);
	if (r == 0)
		r = fs_open(path, O_RDONLY | O_DIRECTORY, 0, &to, err);
	if (r < 0)
		return r;
	tree.fd = from;
	c.fd = to;
	return tree_walk(&tree, "", NULL, "", copy_visible, &c, err);
}

static int cache_mount(struct step_mounts *m, const struct mount_spec *spec, struct error *err)
{
	const struct run_mount *rm = &spec->mount;
	const char *id = rm->id, *where;
	autofree char *path = NULL;
	bool fresh;
	int r = 0;

	if (rm->sharing != NULL && strcmp(rm->sharing, "shared") != 0)
		r = lock_cache(m, rm, &id, err);
	if (r == 0) {
		builder_mount_begin(m->build->builder, id);
		*vec_push(&m->used) = id;
		r = cache_mount_dir(m->build->builder->cfg.store, id, m->build->builder->cfg.dir,
				    &path, &fresh, err);
	}
	if (r < 0)
		return r;
	where = arena_strdup(&m->arena, path);
	if (fresh && (chown(where, rm->uid >= 0 ? (uid_t)rm->uid : 0,
			    rm->gid >= 0 ? (gid_t)rm->gid : 0) < 0 ||
		      chmod(where, rm->mode >= 0 ? (mode_t)rm->mode : 0755) < 0))
		return error_sys(err, errno, "prepare cache mount");
	if (fresh && spec->has_from) {
		r = fill_cache(m, spec, where, err);
		if (r < 0)
			return r;
	}
	add_mount(m, rm->target, "bind", where, "bind", rm->read_only ? "ro" : "rw", NULL);
	return 0;
}

static const struct build_secret *find_secret(const struct build *b, const char *id)
{
	for (size_t i = 0; i < b->q->n_secrets; i++) {
		if (strcmp(b->q->secrets[i].id, id) == 0)
			return &b->q->secrets[i];
	}
	return NULL;
}

static int secret_mount(struct step_mounts *m, const struct run_mount *rm, struct error *err)
{
	const char *id = rm->id, *path, *slash;
	const struct build_secret *secret;
	autofree char *name = cstr_format("s%zu", m->len);
	struct stat attrs = { 0 };
	int r;

	if (id == NULL)
		id = rm->source ? rm->source : rm->target;
	slash = strrchr(id, '/');
	if (rm->id == NULL && slash != NULL)
		id = slash + 1;
	secret = find_secret(m->build, id);
	if (secret == NULL)
		return rm->required
			   ? error_set(err, ERR_INVALID,
				       "secret %s: not found (--secret id=%s,src=FILE gives it)",
				       id, id)
			   : 0;
	if (rm->env != NULL) {
		m->env = xreallocarray(m->env, m->n_env + 1, sizeof(*m->env));
		m->env[m->n_env++] = (struct var){
			.key = rm->env,
			.value = arena_strndup(&m->arena, secret->value.at, secret->value.len),
		};
		if (rm->target == NULL)
			return 0;
	}
	attrs.st_mode = rm->mode >= 0 ? (mode_t)rm->mode & 07777 : 0400;
	attrs.st_uid = rm->uid >= 0 ? (uid_t)rm->uid : 0;
	attrs.st_gid = rm->gid >= 0 ? (gid_t)rm->gid : 0;
	r = write_file(m, name, secret->value, &attrs, &path, err);
	if (r == 0)
		add_mount(m, rm->target, "bind", path, "bind", "ro", NULL);
	return r;
}

static int one_mount(struct step_mounts *m, const struct mount_spec *spec, struct error *err)
{
	const struct run_mount *rm = &spec->mount;

	switch (rm->type) {
	case MOUNT_BIND:
		return bind_mount(m, spec, err);
	case MOUNT_CACHE:
		return cache_mount(m, spec, err);
	case MOUNT_SECRET:
		return secret_mount(m, rm, err);
	case MOUNT_TMPFS:
		add_mount(m, rm->target, "tmpfs", "tmpfs", "nosuid", "nodev",
			  rm->size_limit > 0
			      ? arena_format(&m->arena, "size=%lld", (long long)rm->size_limit)
			      : NULL);
		return 0;
	case MOUNT_SSH:
		break;
	}
	return 0;
}

static int script_mount(struct step_mounts *m, const struct run_spec *run, struct error *err)
{
	const char *path = run_path(m, "pipes");
	autoclose int fd = FD_NONE, dir = FD_NONE;
	int r;

	if (run->script == NULL)
		return 0;
	if (mkdir(path, 0755) < 0)
		return error_sys(err, errno, "create pipes");
	r = fs_open(path, O_RDONLY | O_DIRECTORY, 0, &dir, err);
	if (r < 0)
		return r;
	fd = openat(dir, run->script_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0)
		return error_sys(err, errno, "create '%s'", run->script_name);
	if (fchmod(fd, 0755) < 0)
		return error_sys(err, errno, "chmod");
	r = fs_write_all(fd, run->script, strlen(run->script), err);
	if (r == 0)
		add_mount(m, "/dev/pipes", "bind", path, "bind", "ro", NULL);
	return r;
}

static int network_files(struct step_mounts *m, const char *hosts, const char *resolv,
			 struct error *err)
{
	static const struct stat readable = { .st_mode = 0644 };
	auto_(buf) text = BUF_INIT(1U << 20);
	const char *path;
	int r = 0;

	if (hosts == NULL)
		hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
	r = buf_add(&text, hosts, strlen(hosts), err);
	for (const char *const *h = m->build->q->extra_hosts; r == 0 && h && *h; h++) {
		const char *colon = strchr(*h, ':');

		if (colon != NULL)
			r = buf_addf(&text, err, "%s\t%.*s\n", colon + 1, (int)(colon - *h), *h);
	}
	if (r == 0)
		r = write_file(m, "hosts", (struct str){ text.data, text.len }, &readable, &path,
			       err);
	if (r == 0)
		add_mount(m, "/etc/hosts", "bind", path, "rbind", "ro", NULL);
	if (r < 0 || resolv == NULL)
		return r;
	r = write_file(m, "resolv.conf", str_of(resolv), &readable, &path, err);
	if (r == 0)
		add_mount(m, "/etc/resolv.conf", "bind", path, "rbind", "ro", NULL);
	return r;
}

static int ca_mount(struct step_mounts *m, struct error *err)
{
	static const struct stat readable = { .st_mode = 0644 };
	const char *source = m->build->builder->cfg.ca_certificates;
	auto_(buf) pem = BUF_INIT(4U << 20);
	const char *path;
	int r;

	if (source == NULL)
		return 0;
	r = fs_read_file(source, &pem, err);
	if (r < 0)
		return error_wrap(err, r, "build.ca-certificates");
	r = write_file(m, "ca", (struct str){ pem.data ? pem.data : "", pem.len }, &readable, &path,
		       err);
	if (r == 0)
		add_mount(m, STEP_CA_PATH, "bind", path, "rbind", "ro", NULL);
	return r;
}

int step_mounts_open(struct build *b, struct node *n, struct rootfs *root, const char *hosts,
		     const char *resolv, const struct user_ids *user, struct step_mounts *ret,
		     struct error *err)
{
	int r;

	(void)user;
	*ret = (struct step_mounts){ .build = b };
	snprintf(ret->dir, sizeof(ret->dir), "%.16s-%u", b->id, n->index);
	r = fs_mkdir_all(run_path(ret, ""), 0700, err);
	if (r == 0)
		r = network_files(ret, hosts, resolv, err);
	if (r == 0)
		r = ca_mount(ret, err);
	if (r == 0)
		r = script_mount(ret, n->run, err);
	for (size_t i = 0; r == 0 && i < n->run->n_mounts; i++)
		r = one_mount(ret, &n->run->mounts[i], err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ret->len; i++)
		note_stubs(ret, root->fd, ret->at[i].destination);
	return 0;
}

static void unlock_caches(struct step_mounts *m)
{
	struct builder *b = m->build->builder;

	if (m->n_locked == 0)
		return;
	{
		LOCKED(&b->mounts_lock);

		for (size_t i = 0; i < m->n_locked; i++)
			map_remove(&b->mounts_busy, m->locked[i]);
		pthread_cond_broadcast(&b->mounts_free);
	}
}

void step_mounts_close(struct step_mounts *m, int upper_fd)
{
	autoclose int run = FD_NONE;

	if (m->build == NULL)
		return;
	for (size_t i = m->n_stubs; i > 0 && upper_fd >= 0; i--)
		remove_stub(upper_fd, m->stubs[i - 1]);
	for (unsigned i = m->n_attached; i > 0; i--) {
		autofree char *name = cstr_format("m%u", i - 1);

		(void)!umount2(run_path(m, name), DETACH);
	}
	for (size_t i = 0; i < m->n_snapshots; i++) {
		(void)!snapshot_remove(m->build->builder->cfg.store->snapshots, m->snapshots[i],
				       NULL);
		free(m->snapshots[i]);
	}
	free(m->snapshots);
	free(m->env);
	if (fs_open(m->build->builder->cfg.run_dir, O_RDONLY | O_DIRECTORY, 0, &run, NULL) == 0)
		(void)!fs_remove_tree(run, m->dir, NULL);
	unlock_caches(m);
	vec_for_each (id, &m->used)
		builder_mount_end(m->build->builder, *id);
	vec_release(&m->used);
	arena_release(&m->arena);
}

void step_mounts_detach(const char *path)
{
	while (umount2(path, DETACH) == 0)
		;
}
