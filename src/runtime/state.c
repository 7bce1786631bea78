#include "runtime/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/str.h"

#define FORMAT_VERSION 1
#define ID_MAX         1024

void state_dir_release(struct state_dir *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = FD_NONE;
}

const char *state_root(const struct runtime_options *o, struct arena *a)
{
	const char *runtime_dir = getenv("XDG_RUNTIME_DIR");

	if (o->root != NULL)
		return o->root;
	if (geteuid() == 0 || cstr_is_empty(runtime_dir))
		return "/run/proa-runtime";
	return arena_format(a, "%s/proa-runtime", runtime_dir);
}

int state_root_open(const struct runtime_options *o, bool create, int *ret_fd, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	const char *root = state_root(o, &a);
	int r;

	r = fs_open(root, O_PATH | O_DIRECTORY, 0, ret_fd, err);
	if (r != -ERR_NOT_FOUND || !create)
		return r;
	r = fs_mkdir_all(root, 0711, err);
	return r < 0 ? r : fs_open(root, O_PATH | O_DIRECTORY, 0, ret_fd, err);
}

int state_check_id(const char *id, struct error *err)
{
	size_t n = strlen(id);

	if (n == 0)
		return error_set(err, ERR_INVALID, "container id cannot be empty");
	if (n > ID_MAX || *id == '.' || !fs_is_component(id) ||
	    strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-") != n)
		return error_set(err, ERR_INVALID, "invalid container id format: '%.80s'", id);
	return 0;
}

int state_create(const struct runtime_options *o, const char *id, struct state_dir *ret,
		 struct error *err)
{
	autoclose int root = FD_NONE;
	autoclose int fd = FD_NONE;
	int r = state_check_id(id, err);

	if (r == 0)
		r = state_root_open(o, true, &root, err);
	if (r < 0)
		return r;
	if (mkdirat(root, id, 0711) < 0) {
		if (errno == EEXIST)
			return error_set(err, ERR_CONFLICT,
					 "container with given ID already exists: '%s'", id);
		return error_sys(err, errno, "create the state of '%s'", id);
	}
	fd = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return error_sys(err, errno, "lock the state of '%s'", id);
	ret->fd = steal_fd(&fd);
	return 0;
}

int state_open(const struct runtime_options *o, const char *id, bool lock, struct state_dir *ret,
	       struct error *err)
{
	autoclose int root = FD_NONE;
	autoclose int fd = FD_NONE;
	struct stat st;
	int r = state_check_id(id, err);

	if (r < 0)
		return r;
	r = state_root_open(o, false, &root, err);
	if (r == 0)
		fd = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r == -ERR_NOT_FOUND || (r == 0 && fd < 0 && (errno == ENOENT || errno == ENOTDIR)))
		return error_set(err, ERR_NOT_FOUND, "container does not exist: '%s'", id);
	if (r < 0)
		return r;
	if (fd < 0)
		return error_sys(err, errno, "open the state of '%s'", id);
	if (lock && flock(fd, LOCK_EX) < 0)
		return error_sys(err, errno, "lock the state of '%s'", id);
	/* Whoever held the lock may have deleted the container meanwhile. */
	if (lock && fstat(fd, &st) == 0 && st.st_nlink == 0)
		return error_set(err, ERR_NOT_FOUND, "container does not exist: '%s'", id);
	ret->fd = steal_fd(&fd);
	return 0;
}

static void write_cgroups(struct jsonw *w, const struct runtime_state *s)
{
	jsonw_karray(w, "cgroups");
	for (size_t i = 0; i < s->n_cgroups; i++) {
		jsonw_object(w);
		jsonw_kint(w, "version", s->cgroups[i].version);
		jsonw_kint(w, "controllers", s->cgroups[i].controllers);
		jsonw_kstring(w, "path", s->cgroups[i].path);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void write_annotations(struct jsonw *w, const struct runtime_state *s)
{
	jsonw_kobject(w, "annotations");
	for (size_t i = 0; i < s->annotations.n; i++)
		jsonw_kstring(w, s->annotations.at[i].key, s->annotations.at[i].value);
	jsonw_end(w);
}

/*
 * Put into place by one rename, so a reader never sees half; not synced, /run does not outlive the
 * boot. Where a file stands already the two are exchanged and the old one removed: ext4 starts the
 * disk on a rename that replaces a file, and waiting for that is what an exchange saves.
 */
static int replace(int dirfd, const char *name, const struct buf *b, struct error *err)
{
	char temp[64];
	autoclose int fd = FD_NONE;
	int r;

	snprintf(temp, sizeof(temp), ".%s.%d", name, (int)getpid());
	fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_sys(err, errno, "create '%s'", temp);
	r = fs_write_all(fd, b->data, b->len, err);
	if (r == 0 && renameat2(dirfd, temp, dirfd, name, RENAME_EXCHANGE) == 0) {
		unlinkat(dirfd, temp, 0);
		return 0;
	}
	if (r == 0 && renameat(dirfd, temp, dirfd, name) < 0)
		r = error_sys(err, errno, "rename '%s'", temp);
	if (r < 0)
		unlinkat(dirfd, temp, 0);
	return r;
}

int state_write(const struct state_dir *d, const struct runtime_state *s, struct error *err)
{
	auto_(buf) b = BUF_INIT(STATE_MAX);
	struct jsonw w;
	int r;

	jsonw_init(&w, &b);
	jsonw_object(&w);
	jsonw_kint(&w, "version", FORMAT_VERSION);
	jsonw_kstring(&w, "id", s->id);
	jsonw_kstring(&w, "ociVersion", s->oci_version);
	jsonw_kint(&w, "pid", s->pid);
	jsonw_kint(&w, "pidStart", (int64_t)s->pid_start);
	jsonw_kstring(&w, "bundle", s->bundle);
	jsonw_kstring(&w, "rootfs", s->rootfs);
	jsonw_kint(&w, "created", s->created_ns);
	jsonw_kint(&w, "owner", s->owner);
	jsonw_kint(&w, "namespaces", s->namespaces);
	jsonw_kbool(&w, "poststart", s->has_poststart);
	jsonw_kbool(&w, "poststop", s->has_poststop);
	write_cgroups(&w, s);
	if (s->personality != NULL)
		jsonw_kstring(&w, "personality", s->personality);
	if (s->memory != NULL) {
		jsonw_kint(&w, "memoryMode", s->memory->mode);
		jsonw_kstring(&w, "memoryNodes", s->memory->nodes);
	}
	if (s->unit != NULL) {
		jsonw_kstring(&w, "unit", s->unit);
		jsonw_kbool(&w, "unitRootless", s->unit_rootless);
	}
	write_annotations(&w, s);
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	return r < 0 ? r : replace(d->fd, STATE_FILE, &b, err);
}

static int read_cgroups(const struct json *list, struct runtime_state *s)
{
	json_for_each_item (item, list) {
		struct cgroup_dir *c = &s->cgroups[s->n_cgroups];
		const char *path = json_str(item, "path");

		if (s->n_cgroups == CGROUP_HIERARCHY_MAX || path == NULL || *path != '/')
			return -ERR_CORRUPT;
		c->version = (int)json_int(item, "version", 0);
		c->controllers = (uint32_t)json_int(item, "controllers", 0);
		c->path = (char *)(uintptr_t)path;
		c->fd = FD_NONE;
		s->n_cgroups++;
	}
	return 0;
}

static void read_annotations(const struct json *o, struct arena *a, struct runtime_state *s)
{
	struct pair *at;
	size_t n = 0;

	if (o == NULL || o->type != JSON_OBJECT || o->n_members == 0)
		return;
	at = arena_array(a, o->n_members, sizeof(*at));
	json_for_each_member (m, o)
		if (m->value->type == JSON_STRING)
			at[n++] = (struct pair){ m->key, m->value->s };
	s->annotations = (struct pairs){ at, n };
}

static void read_memory_policy(const struct json *o, struct arena *a, struct runtime_state *s)
{
	struct memory_policy *p;

	if (json_str(o, "memoryNodes") == NULL)
		return;
	p = arena_new(a, struct memory_policy);
	p->mode = (int)json_int(o, "memoryMode", 0);
	p->nodes = json_str(o, "memoryNodes");
	s->memory = p;
}

int state_read(const struct state_dir *d, struct arena *a, struct runtime_state *ret,
	       struct error *err)
{
	auto_(buf) b = BUF_INIT(STATE_MAX);
	struct runtime_state s = { 0 };
	const struct json *j;
	int r = fs_read_at(d->fd, STATE_FILE, &b, err);

	if (r < 0)
		return error_wrap(err, r, "read the container's state");
	r = json_parse(a, b.data ? b.data : "", b.len, &j, err);
	if (r < 0)
		return error_set(err, ERR_CORRUPT, "the container's state.json is damaged");
	if (json_int(j, "version", 0) != FORMAT_VERSION)
		return error_set(err, ERR_CORRUPT, "state.json has version %lld, want %d",
				 (long long)json_int(j, "version", 0), FORMAT_VERSION);
	s.id = json_str(j, "id");
	s.oci_version = json_str(j, "ociVersion");
	s.bundle = json_str(j, "bundle");
	s.rootfs = json_str(j, "rootfs");
	s.pid = (pid_t)json_int(j, "pid", -1);
	s.pid_start = (uint64_t)json_int(j, "pidStart", 0);
	s.created_ns = json_int(j, "created", 0);
	s.owner = (uid_t)json_int(j, "owner", 0);
	s.namespaces = (uint32_t)json_int(j, "namespaces", 0);
	s.has_poststart = json_bool(j, "poststart", false);
	s.has_poststop = json_bool(j, "poststop", false);
	s.personality = json_str(j, "personality");
	s.unit = json_str(j, "unit");
	s.unit_rootless = json_bool(j, "unitRootless", false);
	if (s.id == NULL || s.bundle == NULL || s.rootfs == NULL || s.oci_version == NULL ||
	    s.pid < 0 || read_cgroups(json_get(j, "cgroups"), &s) < 0)
		return error_set(err, ERR_CORRUPT, "the container's state.json lacks a member");
	read_annotations(json_get(j, "annotations"), a, &s);
	read_memory_policy(j, a, &s);
	*ret = s;
	return 0;
}

int state_remove(const struct runtime_options *o, const char *id, struct error *err)
{
	static const char *const files[] = { STATE_SOCKET, STATE_BPF, STATE_CONFIG, STATE_FILE };
	autoclose int root = FD_NONE;
	autoclose int dir = FD_NONE;
	int r = state_root_open(o, false, &root, err);

	if (r < 0)
		return r;
	/* The known files by name: three calls less than a walk. */
	dir = openat(root, id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	for (size_t i = 0; dir >= 0 && i < ARRAY_LEN(files); i++)
		unlinkat(dir, files[i], 0);
	if (unlinkat(root, id, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return fs_remove_tree(root, id, err);
}

int process_start_time(pid_t pid, uint64_t *ret, struct error *err)
{
	auto_(buf) b = BUF_INIT(4096);
	char path[48];
	struct str rest, field;
	ptrdiff_t end;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	r = fs_read_file(path, &b, err);
	if (r < 0)
		return error_set(err, ERR_NOT_FOUND, "process %d has ended", (int)pid);
	/* The name in parentheses may hold anything, also parentheses. */
	rest = (struct str){ b.data, b.len };
	end = str_rfind(rest, ')');
	if (end < 0 || rest.len < (size_t)end + 4)
		return error_set(err, ERR_CORRUPT, "'%s' does not parse", path);
	rest = str_sub(rest, (size_t)end + 2, rest.len);
	if (*rest.at == 'Z' || *rest.at == 'X')
		return error_set(err, ERR_NOT_FOUND, "process %d has ended", (int)pid);
	for (unsigned i = 3; i <= 22; i++)
		if (!str_split(&rest, ' ', &field))
			return error_set(err, ERR_CORRUPT, "'%s' does not parse", path);
	return parse_u64(field, UINT64_MAX, ret, err);
}

int state_pidfd(const struct runtime_state *s, int *ret_fd, struct error *err)
{
	autoclose int fd = s->pid > 0 ? (int)syscall(SYS_pidfd_open, s->pid, 0) : FD_NONE;
	uint64_t start;
	int r;

	if (fd < 0)
		return error_set(err, ERR_NOT_FOUND, "process %d has ended", (int)s->pid);
	r = process_start_time(s->pid, &start, err);
	if (r < 0)
		return r;
	if (start != s->pid_start)
		return error_set(err, ERR_NOT_FOUND, "process %d has ended", (int)s->pid);
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Of ten hierarchies one has the freezer: the others are not opened for it. */
static int is_frozen(const struct runtime_state *s, bool *ret, struct error *err)
{
	auto_(cgroup) cg = CGROUP_INIT;
	struct cgroup named = { .n = s->n_cgroups };
	const struct cgroup_dir *d;
	int r;

	memcpy(named.at, s->cgroups, sizeof(named.at));
	d = cgroup_find(&named, CGROUP_FREEZER);
	if (d == NULL)
		d = cgroup_find_v2(&named);
	r = cgroup_open(d, d != NULL ? 1 : 0, &cg, err);
	if (r == 0 && cgroup_frozen(&cg, ret, NULL) < 0)
		*ret = false;
	return r;
}

int state_status(const struct state_dir *d, const struct runtime_state *s, enum runtime_status *ret,
		 struct error *err)
{
	uint64_t start;
	bool frozen = false;
	int r;

	if (s->pid == 0) {
		*ret = STATUS_CREATING;
		return 0;
	}
	r = process_start_time(s->pid, &start, err);
	if (r == -ERR_NOT_FOUND || (r == 0 && start != s->pid_start)) {
		*ret = STATUS_STOPPED;
		return 0;
	}
	if (r < 0)
		return r;
	if (faccessat(d->fd, STATE_SOCKET, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		*ret = STATUS_CREATED;
		return 0;
	}
	r = is_frozen(s, &frozen, err);
	if (r == 0)
		*ret = frozen ? STATUS_PAUSED : STATUS_RUNNING;
	return r;
}

const char *status_name(enum runtime_status s)
{
	static const char *const names[] = { "creating", "created", "running", "paused",
					     "stopped" };

	return names[s];
}

static void write_public(struct jsonw *w, const struct runtime_state *s, enum runtime_status status,
			 bool extra)
{
	jsonw_object(w);
	jsonw_kstring(w, "ociVersion", s->oci_version);
	jsonw_kstring(w, "id", s->id);
	if (extra || status != STATUS_STOPPED)
		jsonw_kint(w, "pid", status == STATUS_STOPPED ? 0 : s->pid);
	jsonw_kstring(w, "status", status_name(status));
	jsonw_kstring(w, "bundle", s->bundle);
	if (extra) {
		jsonw_kstring(w, "rootfs", s->rootfs);
		jsonw_ktime(w, "created", s->created_ns);
	}
	if (extra || s->annotations.n > 0)
		write_annotations(w, s);
	if (extra)
		jsonw_kstring(w, "owner", "");
	jsonw_end(w);
}

int seccomp_state_format(const struct runtime_state *s, pid_t pid, enum runtime_status status,
			 const char *metadata, struct buf *b, struct error *err)
{
	struct jsonw w;

	jsonw_init(&w, b);
	jsonw_object(&w);
	jsonw_kstring(&w, "ociVersion", s->oci_version);
	jsonw_karray(&w, "fds");
	jsonw_string(&w, "seccompFd");
	jsonw_end(&w);
	jsonw_kint(&w, "pid", pid);
	if (metadata != NULL)
		jsonw_kstring(&w, "metadata", metadata);
	jsonw_key(&w, "state");
	write_public(&w, s, status, false);
	jsonw_end(&w);
	return jsonw_finish(&w, err);
}

int state_format(const struct runtime_state *s, enum runtime_status status, bool extra,
		 struct buf *b, struct error *err)
{
	struct jsonw w;

	jsonw_init(&w, b);
	w.indent = extra ? 2 : 0;
	write_public(&w, s, status, extra);
	return jsonw_finish(&w, err);
}
