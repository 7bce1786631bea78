#include "runtime/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/proc.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const struct {
	const char *type, *file;
	uint32_t flag;
} types[] = {
	{ "user", "user", CLONE_NEWUSER },       { "pid", "pid", CLONE_NEWPID },
	{ "network", "net", CLONE_NEWNET },      { "mount", "mnt", CLONE_NEWNS },
	{ "ipc", "ipc", CLONE_NEWIPC },          { "uts", "uts", CLONE_NEWUTS },
	{ "cgroup", "cgroup", CLONE_NEWCGROUP }, { "time", "time", CLONE_NEWTIME },
};

uint32_t namespace_flag(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strcmp(type, types[i].type) == 0)
			return types[i].flag;
	return 0;
}

void namespaces_release(struct namespaces *ns)
{
	for (size_t i = 0; i < ns->n; i++)
		close(ns->at[i].fd);
	ns->n = 0;
}

int namespaces_fd(const struct namespaces *ns, uint32_t flag)
{
	for (size_t i = 0; i < ns->n; i++)
		if (ns->at[i].flag == flag)
			return ns->at[i].fd;
	return FD_NONE;
}

int namespaces_plan(const struct runtime_config *c, struct namespaces *ret, struct error *err)
{
	auto_(namespaces) ns = NAMESPACES_INIT;

	for (size_t i = 0; i < c->linux_.n_namespaces; i++) {
		const struct spec_namespace *s = &c->linux_.namespaces[i];
		uint32_t flag = namespace_flag(s->type);
		int fd, type;

		if (s->path == NULL || *s->path == '\0') {
			ns.create |= flag;
			continue;
		}
		if (ns.n == NAMESPACE_MAX)
			return error_set(err, ERR_INVALID, "linux.namespaces: too many");
		fd = open(s->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return error_sys(err, errno, "linux.namespaces[%zu].path: open '%s'", i,
					 s->path);
		ns.at[ns.n].flag = flag;
		ns.at[ns.n++].fd = fd;
		ns.join |= flag;
		type = ioctl(fd, NS_GET_NSTYPE);
		if (type < 0 || (uint32_t)type != flag)
			return error_set(err, ERR_INVALID,
					 "linux.namespaces[%zu].path: '%s' is not a %s namespace",
					 i, s->path, s->type);
	}
	*ret = ns;
	ns.n = 0;
	return 0;
}

int die_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		return -1;
	return close_range(0, ~0U, 0);
}

int namespace_clone(uint64_t flags, int cgroup_fd, bool parent_of_caller, bool *ret_in_cgroup,
		    pid_t *ret_pid, struct error *err)
{
	struct clone_args args = {
		.flags = flags | (parent_of_caller ? CLONE_PARENT : 0),
		.exit_signal = parent_of_caller ? 0 : SIGCHLD,
	};
	long pid;

	*ret_in_cgroup = false;
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
		pid = syscall(SYS_clone3, &args, sizeof(args));
		if (pid >= 0) {
			*ret_in_cgroup = true;
			*ret_pid = (pid_t)pid;
			return 0;
		}
		args.flags &= ~(uint64_t)CLONE_INTO_CGROUP;
		args.cgroup = 0;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	/* Docker's own profile hides clone3 from a runtime that runs in a container. */
	if (pid < 0 && errno == ENOSYS)
		pid = syscall(SYS_clone, args.flags | args.exit_signal, 0, 0, 0, 0);
	if (pid < 0)
		return error_sys(err, errno, "clone into new namespaces");
	*ret_pid = (pid_t)pid;
	return 0;
}

static int write_offsets(const struct spec_time_offsets *t, struct error *err)
{
	auto_(buf) b = BUF_INIT(256);
	autoclose int fd = FD_NONE;
	int r = 0;

	if (t == NULL)
		return 0;
	if (t->monotonic != NULL)
		r = buf_addf(&b, err, "monotonic %lld %u\n", (long long)t->monotonic->secs,
			     t->monotonic->nanosecs);
	if (r == 0 && t->boottime != NULL)
		r = buf_addf(&b, err, "boottime %lld %u\n", (long long)t->boottime->secs,
			     t->boottime->nanosecs);
	if (r < 0 || b.len == 0)
		return r;
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, b.data, b.len) != (ssize_t)b.len)
		return error_sys(err, errno, "linux.timeOffsets: '%s'", b.data);
	return 0;
}

static int unshare_time(const struct runtime_config *c, struct error *err)
{
	if (unshare(CLONE_NEWTIME) < 0)
		return error_sys(err, errno, "make a time namespace");
	return write_offsets(c->linux_.time_offsets, err);
}

/*
 * What belongs to the host's user namespace is joined before another one is
 * entered: its root may not (runc's order). The caller comes back afterwards.
 */
static const struct {
	uint32_t flag;
	const char *own;
} before_user[] = { { CLONE_NEWNET, "/proc/self/ns/net" },
		    { CLONE_NEWIPC, "/proc/self/ns/ipc" },
		    { CLONE_NEWUTS, "/proc/self/ns/uts" } };

static bool joins_before_user(const struct namespaces *ns, uint32_t flag)
{
	return (ns->create | ns->join) & CLONE_NEWUSER && geteuid() == 0 && ns->join & flag;
}

/* The middle process of clone_through_user, into the joined user namespace. */
static int enter_user(const struct namespaces *ns, const struct runtime_config *c,
		      struct error *err)
{
	const bool host_root = geteuid() == 0;
	int pid = ns->join & CLONE_NEWPID ? namespaces_fd(ns, CLONE_NEWPID) : FD_NONE;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(before_user); i++)
		if (joins_before_user(ns, before_user[i].flag) &&
		    setns(namespaces_fd(ns, before_user[i].flag), (int)before_user[i].flag) < 0)
			return error_sys(err, errno, "join namespace 0x%x", before_user[i].flag);
	if (host_root && pid >= 0 && setns(pid, CLONE_NEWPID) < 0)
		return error_sys(err, errno, "join the PID namespace");
	if (setns(namespaces_fd(ns, CLONE_NEWUSER), CLONE_NEWUSER) < 0)
		return error_sys(err, errno, "join the user namespace");
	/* Before the change of ids, which makes our files in /proc another's. */
	r = ns->create & CLONE_NEWTIME ? unshare_time(c, err) : 0;
	if (r < 0)
		return r;
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return error_sys(err, errno, "become root of the user namespace");
	if (!host_root && pid >= 0 && setns(pid, CLONE_NEWPID) < 0)
		return error_sys(err, errno, "join the PID namespace");
	return 0;
}

/*
 * A joined user namespace must be entered before the others are made, which
 * the caller itself must not do: a middle process does both and leaves; the
 * child becomes the caller's by CLONE_PARENT.
 */
static int clone_through_user(const struct namespaces *ns, const struct runtime_config *c,
			      uint64_t flags, pid_t *ret_pid, struct error *err)
{
	int pair[2], status;
	pid_t middle, child = -1;
	bool unused;
	struct error local = { 0 };
	ssize_t n;
	int r;

	if (pipe2(pair, O_CLOEXEC) < 0)
		return error_sys(err, errno, "pipe");
	r = namespace_clone(0, FD_NONE, false, &unused, &middle, err);
	if (r == 0 && middle == 0) {
		r = enter_user(ns, c, &local);
		if (r == 0)
			r = namespace_clone(flags & ~(uint64_t)CLONE_NEWTIME, FD_NONE, true,
					    &unused, &child, &local);
		if (r == 0 && child == 0) {
			close(pair[0]);
			close(pair[1]);
			*ret_pid = 0;
			return 0;
		}
		local.sys = r < 0 ? local.sys : (int)child;
		if (write(pair[1], &local, sizeof(local)) != sizeof(local))
			_exit(1);
		_exit(0);
	}
	close(pair[1]);
	n = r == 0 ? read(pair[0], &local, sizeof(local)) : 0;
	close(pair[0]);
	if (r < 0)
		return r;
	while (waitpid(middle, &status, 0) < 0 && errno == EINTR)
		continue;
	if (n != sizeof(local))
		return error_set(err, ERR_SYSTEM, "the process that joins the user namespace died");
	if (local.kind != ERR_NONE) {
		if (err != NULL)
			*err = local;
		return -(int)local.kind;
	}
	*ret_pid = local.sys;
	return 0;
}

static int join_before_user(const struct namespaces *ns, int own[static ARRAY_LEN(before_user)],
			    struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(before_user); i++) {
		if (!joins_before_user(ns, before_user[i].flag))
			continue;
		own[i] = open(before_user[i].own, O_RDONLY | O_CLOEXEC);
		if (own[i] < 0 ||
		    setns(namespaces_fd(ns, before_user[i].flag), (int)before_user[i].flag) < 0)
			return error_sys(err, errno, "join namespace 0x%x", before_user[i].flag);
	}
	return 0;
}

static int leave_after_user(int own[static ARRAY_LEN(before_user)], int r, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(before_user); i++) {
		if (own[i] < 0)
			continue;
		if (setns(own[i], (int)before_user[i].flag) < 0 && r == 0)
			r = error_sys(err, errno, "return from namespace 0x%x",
				      before_user[i].flag);
		close(own[i]);
	}
	return r;
}

int namespaces_clone(const struct namespaces *ns, const struct runtime_config *c, int cgroup_fd,
		     bool *ret_in_cgroup, pid_t *ret_pid, struct error *err)
{
	uint64_t flags = ns->create & ~(uint32_t)CLONE_NEWCGROUP;
	autoclose int own_pid = FD_NONE, own_time = FD_NONE;
	int own[] = { FD_NONE, FD_NONE, FD_NONE };
	bool time_here = ns->create & CLONE_NEWTIME && !(ns->create & CLONE_NEWUSER);
	int r = 0;

	*ret_in_cgroup = false;
	if (ns->join & CLONE_NEWUSER)
		return clone_through_user(ns, c, flags, ret_pid, err);
	if (ns->join & CLONE_NEWPID) {
		own_pid = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
		if (own_pid < 0 || setns(namespaces_fd(ns, CLONE_NEWPID), CLONE_NEWPID) < 0)
			return error_sys(err, errno, "join the PID namespace");
	}
	if (time_here) {
		own_time = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);
		r = own_time < 0 ? error_sys(err, errno, "open the time namespace")
				 : unshare_time(c, err);
	}
	if (r == 0)
		r = join_before_user(ns, own, err);
	if (r == 0)
		r = namespace_clone(flags & ~(uint64_t)CLONE_NEWTIME, cgroup_fd, false,
				    ret_in_cgroup, ret_pid, err);
	if (r == 0 && *ret_pid == 0)
		return 0;
	r = leave_after_user(own, r, err);
	if (own_pid >= 0 && setns(own_pid, CLONE_NEWPID) < 0 && r == 0)
		r = error_sys(err, errno, "return to the own PID namespace");
	if (own_time >= 0 && setns(own_time, CLONE_NEWTIME) < 0 && r == 0)
		r = error_sys(err, errno, "return to the own time namespace");
	return r;
}

/* Was it joined before the user namespace was made? */
static bool is_there(uint32_t flag, int fd)
{
	struct stat want, own;

	for (size_t i = 0; i < ARRAY_LEN(before_user); i++)
		if (before_user[i].flag == flag)
			return fstat(fd, &want) == 0 && stat(before_user[i].own, &own) == 0 &&
			       want.st_dev == own.st_dev && want.st_ino == own.st_ino;
	return false;
}

int namespaces_own_time(const struct namespaces *ns, const struct runtime_config *c,
			struct error *err)
{
	return ns->create & CLONE_NEWTIME && ns->create & CLONE_NEWUSER ? unshare_time(c, err) : 0;
}

int namespaces_join(const struct namespaces *ns, struct error *err)
{
	for (size_t i = 0; i < ns->n; i++) {
		if (ns->at[i].flag & (CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWNS))
			continue;
		if ((ns->create | ns->join) & CLONE_NEWUSER &&
		    is_there(ns->at[i].flag, ns->at[i].fd))
			continue;
		if (setns(ns->at[i].fd, (int)ns->at[i].flag) < 0)
			return error_sys(err, errno, "join namespace 0x%x", ns->at[i].flag);
	}
	return 0;
}

static int write_map(pid_t pid, const char *file, const char *text, struct error *err)
{
	char path[64];
	autoclose int fd = FD_NONE;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return error_sys(err, errno, "write '%s'", path);
	return 0;
}

static int map_text(const struct spec_id_mapping *m, size_t n, struct buf *b, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = buf_addf(b, err, "%u %u %u\n", m[i].container_id, m[i].host_id, m[i].size);
	return r;
}

/* A user may map only himself; ranges of /etc/subuid are for the setuid helper to grant. */
static int map_by_helper(const char *helper, pid_t pid, const struct spec_id_mapping *m, size_t n,
			 struct error *err)
{
	const char *argv[2 + 3 * 16 + 2];
	char text[1 + 3 * 16][16];
	auto_(buf) out = BUF_INIT(4096);
	size_t k = 0;
	int status, r;

	if (n > 16)
		return error_set(err, ERR_INVALID, "more than 16 id mappings for %s", helper);
	argv[k++] = helper;
	snprintf(text[0], sizeof(text[0]), "%d", (int)pid);
	argv[k++] = text[0];
	for (size_t i = 0; i < n; i++) {
		const uint32_t v[3] = { m[i].container_id, m[i].host_id, m[i].size };

		for (size_t j = 0; j < 3; j++) {
			snprintf(text[1 + 3 * i + j], sizeof(text[0]), "%u", v[j]);
			argv[k++] = text[1 + 3 * i + j];
		}
	}
	argv[k] = NULL;
	r = proc_run(&(struct proc_spec){ .path = helper, .argv = argv, .cwd_fd = FD_NONE }, NULL,
		     0, NULL, &out, 10000, &status, err);
	if (r == 0 && status != 0)
		r = error_set(err, ERR_FORBIDDEN, "%s: exit status %d: %.*s", helper, status,
			      (int)out.len, out.data ? out.data : "");
	return r;
}

int namespaces_map_ids(pid_t pid, const struct spec_id_mapping *uids, size_t n_uids,
		       const struct spec_id_mapping *gids, size_t n_gids, struct error *err)
{
	auto_(buf) u = BUF_INIT(16384);
	auto_(buf) g = BUF_INIT(16384);
	int r = map_text(uids, n_uids, &u, err);

	if (r == 0)
		r = map_text(gids, n_gids, &g, err);
	if (r < 0 || n_uids == 0 || n_gids == 0)
		return r;
	if (geteuid() == 0) {
		r = write_map(pid, "uid_map", u.data, err);
		return r < 0 ? r : write_map(pid, "gid_map", g.data, err);
	}
	if (n_uids == 1 && uids[0].size == 1 && uids[0].host_id == geteuid())
		r = write_map(pid, "uid_map", u.data, err);
	else
		r = map_by_helper("newuidmap", pid, uids, n_uids, err);
	if (r < 0)
		return r;
	if (n_gids == 1 && gids[0].size == 1 && gids[0].host_id == getegid()) {
		r = write_map(pid, "setgroups", "deny", err);
		return r < 0 ? r : write_map(pid, "gid_map", g.data, err);
	}
	return map_by_helper("newgidmap", pid, gids, n_gids, err);
}

int namespaces_map(pid_t pid, const struct runtime_config *c, struct error *err)
{
	int r = namespaces_map_ids(pid, c->linux_.uid_mappings, c->linux_.n_uid_mappings,
				   c->linux_.gid_mappings, c->linux_.n_gid_mappings, err);

	return r < 0 ? error_wrap(err, r, "linux.uidMappings") : 0;
}

int namespaces_make_user(const struct spec_id_mapping *uids, size_t n_uids,
			 const struct spec_id_mapping *gids, size_t n_gids, int *ret_fd,
			 struct error *err)
{
	char path[64];
	bool unused;
	pid_t pid, parent = getpid();
	int fd, status, r = namespace_clone(CLONE_NEWUSER, FD_NONE, false, &unused, &pid, err);

	if (r < 0)
		return r;
	if (pid == 0) {
		if (die_with(parent) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	r = namespaces_map_ids(pid, uids, n_uids, gids, n_gids, err);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	fd = r < 0 ? FD_NONE : open(path, O_RDONLY | O_CLOEXEC);
	if (r == 0 && fd < 0)
		r = error_sys(err, errno, "open '%s'", path);
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (r == 0)
		*ret_fd = fd;
	return r;
}
