/*
 * cgroup/kill.c: freeze a group, list and kill its processes.
 *
 * A fork bomb forks faster than a list of pids is read: SIGKILL goes through
 * cgroup.kill where the kernel has it, else the group is frozen first.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/vec.h"
#include "cgroup/cgroup_internal.h"

#define WAIT_NS   (10 * NS_PER_SEC)
#define DEPTH_MAX 64
#define PROCS_MAX (8u << 20)

struct pids {
	pid_t *at;
	size_t len, cap;
};

static int v1_state(const struct cgroup_dir *d, struct buf *b, struct error *err)
{
	return cgroup_read(d->fd, "freezer.state", b, err);
}

static int v2_frozen(const struct cgroup_dir *d, bool *ret, struct error *err)
{
	auto_(buf) b = BUF_INIT(4096);
	int r = cgroup_read(d->fd, "cgroup.events", &b, err);

	if (r < 0)
		return r;
	*ret = b.data != NULL && strstr(b.data, "frozen 1") != NULL;
	return 0;
}

static int freezer_find(const struct cgroup *cg, const struct cgroup_dir **ret, struct error *err)
{
	*ret = cgroup_find(cg, CGROUP_FREEZER);
	if (*ret == NULL)
		*ret = cgroup_find_v2(cg);
	if (*ret == NULL)
		return error_set(err, ERR_UNIMPLEMENTED, "the container has no freezer cgroup");
	return 0;
}

static int dir_frozen(const struct cgroup_dir *d, bool *ret, bool *ret_settled, struct error *err)
{
	auto_(buf) b = BUF_INIT(256);
	int r;

	if (d->version == 2) {
		*ret_settled = true;
		return v2_frozen(d, ret, err);
	}
	r = v1_state(d, &b, err);
	if (r < 0)
		return r;
	*ret = b.len > 0 && strcmp(b.data, "FROZEN") == 0;
	*ret_settled = b.len > 0 && strcmp(b.data, "FREEZING") != 0;
	return 0;
}

int cgroup_frozen(const struct cgroup *cg, bool *ret, struct error *err)
{
	const struct cgroup_dir *d;
	bool settled;
	int r = freezer_find(cg, &d, err);

	return r < 0 ? r : dir_frozen(d, ret, &settled, err);
}

int cgroup_freeze(const struct cgroup *cg, bool frozen, struct error *err)
{
	const struct cgroup_dir *d;
	int64_t deadline = clock_mono_ns() + WAIT_NS;
	bool now, settled;
	int sleep_ms = 1, r = freezer_find(cg, &d, err);

	if (r < 0)
		return r;
	for (;;) {
		/* v1 may hang in FREEZING while a task is in an uninterruptible wait: ask again. */
		if (d->version == 2)
			r = cgroup_write(d->fd, "cgroup.freeze", frozen ? "1" : "0", err);
		else
			r = cgroup_write(d->fd, "freezer.state", frozen ? "FROZEN" : "THAWED", err);
		if (r == 0)
			r = dir_frozen(d, &now, &settled, err);
		if (r < 0 || (now == frozen && settled))
			return r;
		if (clock_mono_ns() > deadline)
			break;
		poll(NULL, 0, sleep_ms);
		if (sleep_ms < 32)
			sleep_ms *= 2;
	}
	/* Half frozen is worse than running. */
	if (frozen && cgroup_write(d->fd, d->version == 2 ? "cgroup.freeze" : "freezer.state",
				   d->version == 2 ? "0" : "THAWED", err) < 0)
		return error_wrap(err, -ERR_SYSTEM, "thaw");
	return error_set(err, ERR_UNAVAILABLE, "the cgroup did not %s within 10 s",
			 frozen ? "freeze" : "thaw");
}

static int add_pids(int dirfd, struct pids *pids, struct error *err)
{
	auto_(buf) b = BUF_INIT(PROCS_MAX);
	struct str rest, line;
	int r = cgroup_read(dirfd, "cgroup.procs", &b, err);

	/* A threaded v2 child answers EOPNOTSUPP; its processes are listed in its domain. */
	if (r < 0)
		return 0;
	rest = (struct str){ b.data, b.len };
	while (b.len > 0 && str_split(&rest, '\n', &line)) {
		uint64_t pid;

		r = parse_u64(line, INT32_MAX, &pid, err);
		if (r < 0)
			return error_wrap(err, r, "cgroup.procs");
		if (pid > 0) /* 0: a process of another PID namespace */
			*vec_push(pids) = (pid_t)pid;
	}
	return 0;
}

static int walk_pids(int dirfd, struct pids *pids, unsigned depth, struct error *err)
{
	int fd, r = add_pids(dirfd, pids, err);
	struct dirent *d;
	DIR *dir;

	if (r < 0)
		return r;
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (r == 0 && (d = readdir(dir)) != NULL) {
		autoclose int sub = FD_NONE;

		if (d->d_type != DT_DIR || !fs_is_component(d->d_name) || depth >= DEPTH_MAX)
			continue;
		sub = openat(fd, d->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (sub >= 0)
			r = walk_pids(sub, pids, depth + 1, err);
	}
	closedir(dir);
	return r;
}

/* The hierarchy that lists the processes: v2 first, a container rarely can move them there. */
static const struct cgroup_dir *list_dir(const struct cgroup *cg)
{
	static const enum cgroup_controller order[] = { CGROUP_FREEZER, CGROUP_DEVICES,
							CGROUP_PIDS };
	const struct cgroup_dir *d = cgroup_find_v2(cg);

	for (size_t i = 0; d == NULL && i < ARRAY_LEN(order); i++)
		d = cgroup_find(cg, order[i]);
	return d == NULL && cg->n > 0 ? &cg->at[0] : d;
}

int cgroup_pids(const struct cgroup *cg, struct arena *a, pid_t **ret, size_t *ret_n,
		struct error *err)
{
	const struct cgroup_dir *d = list_dir(cg);
	struct pids pids = { 0 };
	int r = d == NULL ? 0 : walk_pids(d->fd, &pids, 0, err);

	if (r == 0) {
		*ret = arena_array(a, pids.len + 1, sizeof(pid_t));
		if (pids.len > 0)
			memcpy(*ret, pids.at, pids.len * sizeof(pid_t));
		*ret_n = pids.len;
	}
	vec_release(&pids);
	return r;
}

static int signal_all(const struct cgroup *cg, int sig, size_t *ret_n, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	pid_t *pids;
	int r = cgroup_pids(cg, &a, &pids, ret_n, err);

	for (size_t i = 0; r == 0 && i < *ret_n; i++)
		if (kill(pids[i], sig) < 0 && errno != ESRCH)
			return error_sys(err, errno, "signal process %d", (int)pids[i]);
	return r;
}

/* Repeat until nobody is left that could have forked meanwhile. */
static int kill_frozen(const struct cgroup *cg, struct error *err)
{
	int64_t deadline = clock_mono_ns() + WAIT_NS;
	bool can_freeze = cgroup_find(cg, CGROUP_FREEZER) != NULL || cgroup_find_v2(cg) != NULL;
	int sleep_ms = 1;
	size_t n;

	for (;;) {
		struct error ignored;
		int r;

		/* A group that does not freeze is still killed, round by round. */
		if (can_freeze && cgroup_freeze(cg, true, &ignored) < 0)
			can_freeze = ignored.kind == ERR_UNAVAILABLE;
		r = signal_all(cg, SIGKILL, &n, err);
		if (can_freeze && cgroup_freeze(cg, false, r == 0 ? err : &ignored) < 0 && r == 0)
			return -ERR_SYSTEM;
		if (r < 0 || n == 0)
			return r;
		if (clock_mono_ns() > deadline)
			return error_set(err, ERR_UNAVAILABLE,
					 "%zu processes survived SIGKILL for 10 s", n);
		poll(NULL, 0, sleep_ms);
		if (sleep_ms < 64)
			sleep_ms *= 2;
	}
}

int cgroup_kill(const struct cgroup *cg, int sig, struct error *err)
{
	const struct cgroup_dir *v2 = cgroup_find_v2(cg), *v1 = cgroup_find(cg, CGROUP_FREEZER);
	size_t n;

	if (sig != SIGKILL)
		return signal_all(cg, sig, &n, err);
	if (v2 != NULL && cgroup_write(v2->fd, "cgroup.kill", "1", NULL) == 0) {
		/* Under v1's freezer a killed task stays until it is thawed. */
		if (v1 != NULL && v1->version == 1)
			return cgroup_write(v1->fd, "freezer.state", "THAWED", err);
		return 0;
	}
	return kill_frozen(cg, err);
}
