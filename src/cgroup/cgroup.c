/*
 * cgroup/cgroup.c: make, open, enter and remove a group in every hierarchy.
 *
 * Directories are reached component by component from the mount point; each
 * step is an openat below the last fd.
 */
#include "cgroup/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "cgroup/cgroup_internal.h"

#define DIR_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW)
#define WAIT_NS   (10 * NS_PER_SEC)
#define DEPTH_MAX 64

void cgroup_release(struct cgroup *cg)
{
	for (size_t i = 0; i < cg->n; i++) {
		if (cg->at[i].fd >= 0)
			close(cg->at[i].fd);
		free(cg->at[i].path);
	}
	cg->n = 0;
}

static bool is_permission(int sys)
{
	return sys == EACCES || sys == EPERM || sys == EROFS;
}

/* No empty, "." or ".." component; '/' may stand at the ends. */
static int check_path(const char *path, struct error *err)
{
	struct str rest = str_of(path), part;

	if (rest.len == 0 || rest.len >= CGROUP_PATH_MAX)
		return error_set(err, ERR_INVALID, "cgroup path '%.80s' is empty or too long",
				 path);
	while (str_split(&rest, '/', &part))
		if (str_eqs(part, "..") || str_eqs(part, "."))
			return error_set(err, ERR_INVALID, "cgroup path '%s' has a '%.*s'", path,
					 STR_ARG(part));
	return 0;
}

/* The root of v2, which alone may have processes beside groups with controllers, has no type. */
static bool v2_has_processes(int dirfd)
{
	auto_(buf) b = BUF_INIT(64);

	if (!cgroup_has_file(dirfd, "cgroup.type"))
		return false;
	/* More than fits is also "some". */
	return cgroup_read(dirfd, "cgroup.procs", &b, NULL) < 0 || b.len > 0;
}

/* Hand the known controllers of the hierarchy to the children of dirfd. A
 * controller that cannot be handed down is noticed when its limit is written.
 * A group with processes is left alone: the kernel would take cpu and pids there, and
 * turn it into a threaded one, below which nobody else's process can live. */
static void v2_delegate(int dirfd, uint32_t controllers)
{
	auto_(buf) b = BUF_INIT(4096);
	uint32_t have = 0;
	struct str rest, word;

	if (cgroup_read(dirfd, "cgroup.subtree_control", &b, NULL) < 0)
		return;
	rest = (struct str){ b.data, b.len };
	while (str_split(&rest, ' ', &word))
		have |= cgroup_controller_bit(word);
	if ((controllers & ~have) == 0 || v2_has_processes(dirfd))
		return;
	for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
		char text[32];

		if (!(controllers & ~have & 1u << c))
			continue;
		snprintf(text, sizeof(text), "+%s", cgroup_controller_name(c, 2));
		if (cgroup_write(dirfd, "cgroup.subtree_control", text, NULL) < 0)
			continue;
	}
}

/*
 * A v1 cpuset takes no task before it has cpus and mems. A new one is empty; one that somebody
 * else has made and not filled is given the same as ours.
 */
static int v1_cpuset_inherit(int parent, int dirfd, bool made, struct error *err)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

	for (size_t i = 0; !made && i < ARRAY_LEN(files); i++) {
		auto_(buf) b = BUF_INIT(65536);

		if (cgroup_read(dirfd, files[i], &b, NULL) < 0 || b.len == 0)
			break;
		if (i + 1 == ARRAY_LEN(files))
			return 0;
	}

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		auto_(buf) b = BUF_INIT(65536);
		int r = cgroup_read(parent, files[i], &b, err);

		if (r == 0 && b.len > 0)
			r = cgroup_write(dirfd, files[i], b.data, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int step_into(const struct cgroup_hierarchy *h, int parent, const char *name, bool *ret_made,
		     int *ret_fd, struct error *err)
{
	autoclose int fd = FD_NONE;
	int r;

	if (h->version == 2 && h->controllers)
		v2_delegate(parent, h->controllers);
	*ret_made = mkdirat(parent, name, 0755) == 0;
	if (!*ret_made && errno != EEXIST)
		return error_sys(err, errno, "create cgroup '%s' below '%s'", name, h->mount);
	fd = openat(parent, name, DIR_FLAGS | O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "open cgroup '%s' below '%s'", name, h->mount);
	if (h->version == 1 && h->controllers & 1u << CGROUP_CPUSET) {
		r = v1_cpuset_inherit(parent, fd, *ret_made, err);
		if (r < 0) {
			if (*ret_made)
				unlinkat(parent, name, AT_REMOVEDIR);
			return r;
		}
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* Whoever enters a frozen group stands still, and so would we, who wait for him. */
static bool is_frozen(int fd)
{
	auto_(buf) b = BUF_INIT(64);

	if (cgroup_read(fd, "freezer.state", &b, NULL) == 0 && b.len > 0)
		return strcmp(b.data, "THAWED") != 0;
	b.len = 0;
	return cgroup_read(fd, "cgroup.freeze", &b, NULL) == 0 && b.len > 0 && b.data[0] == '1';
}

static int check_unused(int fd, const char *path, struct error *err)
{
	auto_(buf) b = BUF_INIT(1 << 20);
	int r = cgroup_read(fd, "cgroup.procs", &b, err);

	if (r == 0 && b.len > 0)
		return error_set(
		    err, ERR_CONFLICT,
		    "container's cgroup is not empty: '%s' is in use by other processes", path);
	if (r == 0 && is_frozen(fd))
		return error_set(err, ERR_CONFLICT, "container's cgroup unexpectedly frozen: '%s'",
				 path);
	return r;
}

/* Path below the mount point, not yet cleaned. */
static char *relative_of(const struct cgroup_hierarchy *h, const char *path)
{
	return cstr_format("%s/%s", *path == '/' ? "" : h->self, path);
}

static char *absolute_of(const struct cgroup_hierarchy *h, const char *path)
{
	autofree char *relative = relative_of(h, path);
	autofree char *joined = cstr_format("%s/%s", h->mount, relative);

	return fs_path_clean(joined);
}

int cgroup_plan(const struct cgroup_host *h, const char *path, struct arena *a,
		struct cgroup_dir ret[static CGROUP_HIERARCHY_MAX], size_t *ret_n,
		struct error *err)
{
	int r = check_path(path, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < h->n; i++) {
		autofree char *full = absolute_of(&h->at[i], path);

		ret[i] = (struct cgroup_dir){ h->at[i].version, h->at[i].controllers, FD_NONE,
					      arena_strdup(a, full) };
	}
	*ret_n = h->n;
	return 0;
}

static int make_in(const struct cgroup_hierarchy *h, const char *path, bool shared,
		   struct cgroup_dir *ret, struct error *err)
{
	autofree char *full = relative_of(h, path);
	autofree char *clean = absolute_of(h, path);
	autoclose int fd = open(h->mount, DIR_FLAGS | O_CLOEXEC);
	struct str rest = str_of(full), part;
	bool made = true;
	unsigned depth = 0;
	int r;

	if (fd < 0)
		return error_sys(err, errno, "open '%s'", h->mount);
	while (str_split(&rest, '/', &part)) {
		char name[256];
		int next = FD_NONE;

		if (part.len == 0)
			continue;
		if (part.len >= sizeof(name) || ++depth > DEPTH_MAX)
			return error_set(err, ERR_INVALID, "cgroup path '%s' is too deep", path);
		memcpy(name, part.at, part.len);
		name[part.len] = '\0';
		r = step_into(h, fd, name, &made, &next, err);
		if (r < 0)
			return r;
		close(fd);
		fd = next;
	}
	if (!made && !shared) {
		r = check_unused(fd, clean, err);
		if (r < 0)
			return r;
	}
	*ret = (struct cgroup_dir){ h->version, h->controllers, steal_fd(&fd), steal_ptr(clean) };
	return 0;
}

static int create(const struct cgroup_host *h, const char *path, bool lenient, bool shared,
		  struct cgroup *ret, struct error *err)
{
	auto_(cgroup) cg = CGROUP_INIT;
	struct error local;
	int r = check_path(path, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < h->n; i++) {
		r = make_in(&h->at[i], path, shared, &cg.at[cg.n], &local);
		if (r == 0) {
			cg.n++;
			continue;
		}
		if (lenient && local.kind == ERR_SYSTEM && is_permission(local.sys))
			continue;
		/* A group in use belongs to somebody else: take back only what was made before. */
		if (cgroup_remove(&cg, NULL) < 0)
			return error_set(err, local.kind,
					 "%s (and what was made could not be removed)", local.msg);
		if (err != NULL)
			*err = local;
		return r;
	}
	*ret = cg;
	cg.n = 0;
	return 0;
}

int cgroup_create(const struct cgroup_host *h, const char *path, bool lenient, struct cgroup *ret,
		  struct error *err)
{
	return create(h, path, lenient, false, ret, err);
}

int cgroup_take(const struct cgroup_host *h, const char *path, bool lenient, struct cgroup *ret,
		struct error *err)
{
	return create(h, path, lenient, true, ret, err);
}

int cgroup_open(const struct cgroup_dir *dirs, size_t n, struct cgroup *ret, struct error *err)
{
	auto_(cgroup) cg = CGROUP_INIT;

	if (n > CGROUP_HIERARCHY_MAX)
		return error_set(err, ERR_INVALID, "%zu cgroup hierarchies", n);
	for (size_t i = 0; i < n; i++) {
		int fd = open(dirs[i].path, DIR_FLAGS | O_CLOEXEC);

		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return error_sys(err, errno, "open cgroup '%s'", dirs[i].path);
		cg.at[cg.n++] = (struct cgroup_dir){ dirs[i].version, dirs[i].controllers, fd,
						     xstrdup(dirs[i].path) };
	}
	*ret = cg;
	cg.n = 0;
	return 0;
}

int cgroup_open_pid(const struct cgroup_host *h, pid_t pid, struct cgroup *ret, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	auto_(buf) mounts = BUF_INIT(4 << 20);
	auto_(buf) self = BUF_INIT(65536);
	char path[64];
	struct cgroup_host at;
	struct cgroup_dir dirs[CGROUP_HIERARCHY_MAX];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	r = fs_read_file("/proc/self/mountinfo", &mounts, err);
	if (r == 0)
		r = fs_read_file(path, &self, err);
	if (r == 0)
		r = cgroup_host_parse(&a, (struct str){ mounts.data, mounts.len },
				      (struct str){ self.data ? self.data : "", self.len }, &at,
				      err);
	if (r < 0)
		return error_wrap(err, r, "cgroups of process %d", (int)pid);
	for (size_t i = 0; i < at.n && i < h->n; i++)
		dirs[i] =
		    (struct cgroup_dir){ at.at[i].version, h->at[i].controllers, FD_NONE,
					 arena_format(&a, "%s%s", at.at[i].mount, at.at[i].self) };
	return cgroup_open(dirs, at.n < h->n ? at.n : h->n, ret, err);
}

int cgroup_open_sub(const struct cgroup *cg, const char *path, struct cgroup *ret,
		    struct error *err)
{
	auto_(cgroup) sub = CGROUP_INIT;
	int r;

	while (*path == '/')
		path++;
	if (*path != '\0') {
		r = check_path(path, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < cg->n; i++) {
		int fd = FD_NONE;

		r = fs_open_beneath(cg->at[i].fd, *path ? path : ".", O_PATH | O_DIRECTORY, 0, &fd,
				    err);
		if (r < 0)
			return error_wrap(err, r, "cgroup '%s/%s'", cg->at[i].path, path);
		sub.at[sub.n++] = (struct cgroup_dir){ cg->at[i].version, cg->at[i].controllers, fd,
						       cstr_format("%s/%s", cg->at[i].path, path) };
	}
	*ret = sub;
	sub.n = 0;
	return 0;
}

const struct cgroup_dir *cgroup_find(const struct cgroup *cg, enum cgroup_controller c)
{
	for (size_t i = 0; i < cg->n; i++)
		if (cg->at[i].controllers & 1u << c)
			return &cg->at[i];
	return NULL;
}

const struct cgroup_dir *cgroup_find_v2(const struct cgroup *cg)
{
	for (size_t i = 0; i < cg->n; i++)
		if (cg->at[i].version == 2)
			return &cg->at[i];
	return NULL;
}

int cgroup_entry_fds(const struct cgroup *cg, bool skip_v2,
		     int ret_fds[static CGROUP_HIERARCHY_MAX], size_t *ret_n, struct error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < cg->n; i++) {
		if (skip_v2 && cg->at[i].version == 2)
			continue;
		ret_fds[n] = openat(cg->at[i].fd, cg->at[i].version == 2 ? "cgroup.procs" : "tasks",
				    O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
		if (ret_fds[n] < 0) {
			int sys = errno;

			while (n > 0)
				close(ret_fds[--n]);
			return error_sys(err, sys, "open the task list of cgroup '%s'",
					 cg->at[i].path);
		}
		n++;
	}
	*ret_n = n;
	return 0;
}

int cgroup_add(const struct cgroup *cg, pid_t pid, struct error *err)
{
	for (size_t i = 0; i < cg->n; i++) {
		int r = cgroup_write_i64(cg->at[i].fd, "cgroup.procs", pid, err);

		if (r < 0)
			return error_wrap(err, r, "cgroup '%s'", cg->at[i].path);
	}
	return 0;
}

/* rmdir everything below an open directory; only directories can be removed in a cgroup. */
static void remove_below(int dirfd, unsigned depth)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((d = readdir(dir)) != NULL) {
		int sub;

		if (d->d_type != DT_DIR || !fs_is_component(d->d_name) || depth >= DEPTH_MAX)
			continue;
		if (unlinkat(fd, d->d_name, AT_REMOVEDIR) == 0)
			continue;
		sub = openat(fd, d->d_name, DIR_FLAGS | O_CLOEXEC);
		if (sub < 0)
			continue;
		remove_below(sub, depth + 1);
		close(sub);
		unlinkat(fd, d->d_name, AT_REMOVEDIR);
	}
	closedir(dir);
}

static int remove_dir(const struct cgroup_dir *d, struct error *err)
{
	int64_t deadline = clock_mono_ns() + WAIT_NS;
	int sleep_ms = 1;

	for (;;) {
		if (rmdir(d->path) == 0 || errno == ENOENT)
			return 0;
		if (errno == EBUSY || errno == ENOTEMPTY) {
			remove_below(d->fd, 0);
			if (rmdir(d->path) == 0 || errno == ENOENT)
				return 0;
		}
		if (errno != EBUSY || clock_mono_ns() > deadline)
			return error_sys(err, errno, "remove cgroup '%s'", d->path);
		/* A process is gone from wait() before it has left its cgroups. */
		poll(NULL, 0, sleep_ms);
		if (sleep_ms < 64)
			sleep_ms *= 2;
	}
}

int cgroup_remove(const struct cgroup *cg, struct error *err)
{
	int first = 0;

	for (size_t i = 0; i < cg->n; i++) {
		int r = remove_dir(&cg->at[i], first == 0 ? err : NULL);

		if (first == 0)
			first = r;
	}
	return first;
}
