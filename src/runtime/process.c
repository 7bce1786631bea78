#include "runtime/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "cgroup/cgroup.h"

#define PASSWD_MAX (1u << 20)
#define CAP_BIT(c) (1ULL << (c))

static const struct {
	const char *name;
	int resource;
} rlimits[] = {
	{ "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_CORE", RLIMIT_CORE },
	{ "RLIMIT_CPU", RLIMIT_CPU },
	{ "RLIMIT_DATA", RLIMIT_DATA },
	{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "RLIMIT_NICE", RLIMIT_NICE },
	{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "RLIMIT_STACK", RLIMIT_STACK },
};

int rlimit_parse(const char *name, int *ret, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(rlimits); i++)
		if (strcmp(name, rlimits[i].name) == 0) {
			*ret = rlimits[i].resource;
			return 0;
		}
	return error_set(err, ERR_INVALID, "unknown rlimit '%.40s'", name);
}

static bool apparmor_enabled(void)
{
	auto_(buf) b = BUF_INIT(64);

	return fs_read_file("/sys/module/apparmor/parameters/enabled", &b, NULL) == 0 &&
	       b.len > 0 && b.data[0] == 'Y';
}

static bool selinux_enabled(void)
{
	return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

static int affinity(const struct spec_process *s, bool final, bool check, struct error *err)
{
	const struct spec_cpu_affinity *a = s->exec_cpu_affinity;
	const char *list = a == NULL ? NULL : final ? a->final : a->initial;
	uint8_t bits[1024];
	size_t used;
	int r;

	if (cstr_is_empty(list))
		return 0;
	r = cgroup_cpu_list(list, bits, sizeof(bits), &used, err);
	if (r == 0 && !check && syscall(SYS_sched_setaffinity, 0, sizeof(bits), bits) < 0)
		r = error_sys(err, errno, "'%s'", list);
	return r < 0 ? error_wrap(err, r, "process.execCPUAffinity.%s", final ? "final" : "initial")
		     : 0;
}

int process_apply_affinity(const struct process_setup *p, bool final, struct error *err)
{
	return affinity(p->spec, final, false, err);
}

int process_reset_affinity(const struct process_setup *p, struct error *err)
{
	const struct spec_cpu_affinity *a = p->spec->exec_cpu_affinity;
	uint8_t all[1024];

	if (p->is_exec && a != NULL && !(cstr_is_empty(a->initial) && cstr_is_empty(a->final)))
		return 0;
	memset(all, 0xff, sizeof(all));
	/* A kernel of fewer CPUs ignores the rest, and the cpuset cuts what it does not give. */
	if (syscall(SYS_sched_setaffinity, 0, sizeof(all), all) < 0 && errno != EPERM)
		return error_sys(err, errno, "reset the CPU affinity");
	return 0;
}

int process_check(struct process_setup *p, struct error *err)
{
	const struct spec_process *s = p->spec;
	int unused, r;

	if (!cstr_is_empty(s->apparmor_profile) && strcmp(s->apparmor_profile, "unconfined") != 0 &&
	    !apparmor_enabled())
		return error_set(
		    err, ERR_UNIMPLEMENTED,
		    "process.apparmorProfile: '%s': AppArmor is not enabled on this host",
		    s->apparmor_profile);
	if (!cstr_is_empty(s->selinux_label) && !selinux_enabled())
		return error_set(err, ERR_UNIMPLEMENTED,
				 "process.selinuxLabel: '%s': SELinux is not enabled on this host",
				 s->selinux_label);
	for (size_t i = 0; i < s->n_rlimits; i++) {
		r = rlimit_parse(s->rlimits[i].type, &unused, err);
		if (r < 0)
			return error_wrap(err, r, "process.rlimits[%zu]", i);
	}
	r = affinity(s, false, true, err);
	if (r == 0)
		r = affinity(s, true, true, err);
	return r < 0 ? r : capability_sets_of(s->capabilities, &p->caps, err);
}

static int open_label(struct process_setup *p, struct error *err)
{
	static const char *const files[] = { "/proc/self/attr/apparmor/exec",
					     "/proc/self/attr/exec" };
	bool aa = !cstr_is_empty(p->spec->apparmor_profile) &&
		  strcmp(p->spec->apparmor_profile, "unconfined") != 0;

	if (!aa && cstr_is_empty(p->spec->selinux_label))
		return 0;
	for (size_t i = aa ? 0 : 1; i < ARRAY_LEN(files) && p->label_fd < 0; i++)
		p->label_fd = open(files[i], O_WRONLY | O_CLOEXEC);
	return p->label_fd < 0 ? error_sys(err, errno, "open the label of the process") : 0;
}

static int write_label(const struct process_setup *p, struct error *err)
{
	bool aa = cstr_is_empty(p->spec->selinux_label);
	autofree char *text = NULL;
	int r;

	if (p->label_fd < 0)
		return 0;
	text = aa ? cstr_format("exec %s", p->spec->apparmor_profile)
		  : cstr_format("%s", p->spec->selinux_label);
	r = fs_write_all(p->label_fd, text, strlen(text), err);
	if (r < 0 && aa && err && err->sys == ENOENT)
		return error_set(err, ERR_NOT_FOUND,
				 "process.apparmorProfile: no profile '%s' is loaded",
				 p->spec->apparmor_profile);
	return r < 0 ? error_wrap(err, r, "%s: write '%s'",
				  aa ? "process.apparmorProfile" : "process.selinuxLabel", text)
		     : 0;
}

int process_set_oom(pid_t pid, const struct spec_process *s, struct error *err)
{
	autoclose int fd = FD_NONE;
	char text[24], path[64];
	int n;

	if (!s->oom_score_adj.set)
		return 0;
	if (pid == 0)
		snprintf(path, sizeof(path), "/proc/self/oom_score_adj");
	else
		snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
	n = snprintf(text, sizeof(text), "%lld", (long long)s->oom_score_adj.value);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)n) != n)
		return error_sys(err, errno, "process.oomScoreAdj: %s", text);
	return 0;
}

static bool has_oom(const struct spec_process *s)
{
	auto_(buf) b = BUF_INIT(64);
	int64_t v;

	return fs_read_file("/proc/self/oom_score_adj", &b, NULL) == 0 && b.len > 0 &&
	       parse_i64(str_trim((struct str){ b.data, b.len }), INT64_MIN, INT64_MAX, &v, NULL) ==
		   0 &&
	       v == s->oom_score_adj.value;
}

int process_apply_host(struct process_setup *p, struct error *err)
{
	int r = open_label(p, err);

	/* In a user namespace the file is not ours to write: whoever made it has done so. */
	if (r < 0 || (p->user_ns && p->spec->oom_score_adj.set && has_oom(p->spec)))
		return r;
	return process_set_oom(0, p->spec, err);
}

/*
 * Raised while there are the rights for it, lowered only when nothing is left to do but execve: a
 * limit of 3 fds, of no CPU time or of no file is for the program, not for its setup.
 */
static int apply_rlimits(const struct spec_process *s, bool last, struct error *err)
{
	for (size_t i = 0; i < s->n_rlimits; i++) {
		struct rlimit want = { s->rlimits[i].soft, s->rlimits[i].hard }, now;
		int resource = 0, r = rlimit_parse(s->rlimits[i].type, &resource, err);

		if (r < 0)
			return r;
		if (getrlimit((__rlimit_resource_t)resource, &now) < 0)
			return error_sys(err, errno, "process.rlimits[%zu]", i);
		if (!last && want.rlim_max <= now.rlim_max)
			continue;
		if (!last)
			want.rlim_cur = now.rlim_cur;
		if (setrlimit((__rlimit_resource_t)resource, &want) < 0)
			return error_sys(err, errno, "process.rlimits[%zu]: set %s to %llu:%llu", i,
					 s->rlimits[i].type, (unsigned long long)s->rlimits[i].soft,
					 (unsigned long long)s->rlimits[i].hard);
	}
	return 0;
}

/* The kernel's struct sched_attr; libc's <sched.h> and the kernel's header exclude each other. */
struct scheduler {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static int apply_scheduler(const struct spec_scheduler *s, struct error *err)
{
	static const struct {
		const char *name;
		uint32_t value;
	} policies[] = { { "SCHED_OTHER", 0 },   { "SCHED_FIFO", 1 }, { "SCHED_RR", 2 },
			 { "SCHED_BATCH", 3 },   { "SCHED_ISO", 4 },  { "SCHED_IDLE", 5 },
			 { "SCHED_DEADLINE", 6 } },
	  flags[] = { { "SCHED_FLAG_RESET_ON_FORK", 0x01 }, { "SCHED_FLAG_RECLAIM", 0x02 },
		      { "SCHED_FLAG_DL_OVERRUN", 0x04 },    { "SCHED_FLAG_KEEP_POLICY", 0x08 },
		      { "SCHED_FLAG_KEEP_PARAMS", 0x10 },   { "SCHED_FLAG_UTIL_CLAMP_MIN", 0x20 },
		      { "SCHED_FLAG_UTIL_CLAMP_MAX", 0x40 } };
	struct scheduler a = { .size = sizeof(a) };

	for (size_t i = 0; i < ARRAY_LEN(policies); i++)
		if (strcmp(s->policy, policies[i].name) == 0)
			a.policy = policies[i].value;
	for (size_t k = 0; k < s->flags.n; k++)
		for (size_t i = 0; i < ARRAY_LEN(flags); i++)
			if (strcmp(s->flags.at[k], flags[i].name) == 0)
				a.flags |= flags[i].value;
	a.nice = (int32_t)s->nice;
	a.priority = (uint32_t)s->priority;
	a.runtime = s->runtime_ns;
	a.deadline = s->deadline_ns;
	a.period = s->period_ns;
	if (syscall(SYS_sched_setattr, 0, &a, 0) < 0)
		return error_sys(err, errno, "process.scheduler: %s", s->policy);
	return 0;
}

static int apply_io_priority(const struct spec_io_priority *s, struct error *err)
{
	int class = strcmp(s->class, "IOPRIO_CLASS_RT") == 0   ? IOPRIO_CLASS_RT
		    : strcmp(s->class, "IOPRIO_CLASS_BE") == 0 ? IOPRIO_CLASS_BE
							       : IOPRIO_CLASS_IDLE;

	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		    IOPRIO_PRIO_VALUE(class, (int)s->priority)) < 0)
		return error_sys(err, errno, "process.ioPriority: %s %lld", s->class,
				 (long long)s->priority);
	return 0;
}

/* A session keyring of its own: the caller's would leak its keys. */
static int join_keyring(const struct process_setup *p, struct error *err)
{
	autofree char *name = NULL;

	if (p->no_new_keyring)
		return 0;
	name = cstr_format("_ses.%s", p->id);
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name, 0, 0, 0) < 0 &&
	    errno != ENOSYS && errno != EPERM && errno != EDQUOT)
		return error_sys(err, errno, "join a session keyring");
	return 0;
}

int process_apply_limits(struct process_setup *p, struct error *err)
{
	int r = apply_rlimits(p->spec, false, err);

	if (r == 0 && p->spec->scheduler != NULL)
		r = apply_scheduler(p->spec->scheduler, err);
	if (r == 0 && p->spec->io_priority != NULL)
		r = apply_io_priority(p->spec->io_priority, err);
	if (r == 0)
		r = join_keyring(p, err);
	return r;
}

int process_personality(const char *domain, struct error *err)
{
	if (domain != NULL &&
	    personality(strcmp(domain, "LINUX32") == 0 ? PER_LINUX32 : PER_LINUX) < 0)
		return error_sys(err, errno, "linux.personality");
	return 0;
}

void process_reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool is_null(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

int process_replace_null(struct error *err)
{
	autoclose int null = FD_NONE;

	for (int i = 0; i < 3; i++) {
		if (!is_null(i))
			continue;
		if (null < 0)
			null = open("/dev/null", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
		/* An image without the device keeps what it was given. */
		if (null < 0 || !is_null(null))
			return 0;
		if (dup3(null, i, 0) < 0)
			return error_sys(err, errno, "replace /dev/null");
	}
	return 0;
}

int process_own_stdio(const struct process_setup *p, struct error *err)
{
	const struct spec_user *u = &p->spec->user;

	for (int i = 0; i < 3; i++) {
		struct stat st;

		/* A terminal is the host's, or has its owner already. */
		if (fstat(i, &st) < 0 || is_null(i) || isatty(i) ||
		    (st.st_uid == u->uid && st.st_gid == u->gid))
			continue;
		/* An owner that the user namespace lacks, a read-only file system: it stays. */
		if (fchown(i, u->uid, u->gid) < 0 && errno != EPERM && errno != EINVAL &&
		    errno != EROFS)
			return error_sys(err, errno, "give fd %d to user %u", i, u->uid);
	}
	return 0;
}

/* The container's /etc/passwd is hostile: a regular file of at most 1 MiB, read in the root. */
static const char *home_of(uint32_t uid, struct arena *a)
{
	auto_(buf) b = BUF_INIT(PASSWD_MAX);
	autoclose int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct str text, line;

	if (root < 0 || fs_read_in_root(root, "/etc/passwd", &b, NULL) < 0 || b.len == 0)
		return uid == 0 ? "/root" : "/";
	text = (struct str){ b.data, b.len };
	while (str_split(&text, '\n', &line)) {
		struct str f[6];
		uint64_t id;
		unsigned n = 0;

		while (n < 6 && str_split(&line, ':', &f[n]))
			n++;
		if (n == 6 && f[5].len > 0 && f[5].at[0] == '/' &&
		    parse_u64(f[2], UINT32_MAX, &id, NULL) == 0 && id == uid)
			return arena_strndup(a, f[5].at, f[5].len);
	}
	return uid == 0 ? "/root" : "/";
}

/* Where a name stands more than once, the last one counts, as runc has it: libcs differ in which
 * they find. The name of in->at[i] ends at '='. */
static int last_of_each(const struct strings *in, struct arena *a, const char ***ret, size_t *ret_n,
			struct error *err)
{
	const char **env = arena_array(a, in->n + 4, sizeof(char *));
	auto_(map) places = MAP_INIT;
	size_t n = 0;

	for (size_t i = 0; i < in->n; i++) {
		const char *eq = strchr(in->at[i], '=');
		autofree char *name = NULL;
		const char **place;

		if (eq == NULL)
			return error_set(err, ERR_INVALID, "process.env[%zu]: '%.80s' has no '='",
					 i, in->at[i]);
		name = str_dup((struct str){ in->at[i], (size_t)(eq - in->at[i]) });
		place = map_get(&places, name);
		if (place == NULL) {
			place = &env[n++];
			map_set(&places, name, place);
		}
		*place = in->at[i];
	}
	*ret = env;
	*ret_n = n;
	return 0;
}

int process_build_env(struct process_setup *p, struct arena *a, struct error *err)
{
	const char **env = NULL;
	bool home = false;
	size_t n = 0;
	int r = last_of_each(&p->spec->env, a, &env, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && !home; i++) {
		home = cstr_starts(env[i], "HOME=");
		if (home && env[i][5] == '\0')
			env[i] = arena_format(a, "HOME=%s", home_of(p->spec->user.uid, a));
	}
	if (!home)
		env[n++] = arena_format(a, "HOME=%s", home_of(p->spec->user.uid, a));
	if (p->listen_fds > 0) {
		env[n++] = arena_format(a, "LISTEN_FDS=%u", p->listen_fds);
		env[n++] = arena_format(a, "LISTEN_PID=%d", (int)getpid());
	}
	p->env = (char *const *)(uintptr_t)env;
	return 0;
}

static int set_ids(const struct process_setup *p, struct error *err)
{
	const struct spec_user *u = &p->spec->user;

	if (u->umask.set)
		umask((mode_t)u->umask.value & 0777);
	/* Without privileges over groups (rootless, "deny") there is none to give up. */
	if (!p->keep_groups && setgroups(u->n_additional_gids, u->additional_gids) < 0 &&
	    !(errno == EPERM && p->user_ns && u->n_additional_gids == 0))
		return error_sys(err, errno, "process.user.additionalGids");
	if (setresgid(u->gid, u->gid, u->gid) < 0)
		return error_sys(err, errno, "process.user.gid: %u", u->gid);
	if (setresuid(u->uid, u->uid, u->uid) < 0)
		return error_sys(err, errno, "process.user.uid: %u", u->uid);
	return 0;
}

int process_drop(struct process_setup *p, struct error *err)
{
	bool caps = p->spec->capabilities != NULL;
	int r = 0;

	if (caps) {
		r = capability_limit(&p->caps, err);
		if (r == 0)
			r = capability_bound(p->caps.bounding, err);
	}
	if (r == 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		r = error_sys(err, errno, "keep capabilities");
	if (r == 0)
		r = set_ids(p, err);
	if (r < 0)
		return r;
	if (!caps) {
		/* None given: a root keeps what it has, another user has nothing. */
		r = p->spec->user.uid != 0 ? 0 : capability_held(&p->caps.permitted, err);
		if (r < 0)
			return r;
		p->caps.effective = p->caps.permitted;
	}
	r = capability_held(&p->held, err);
	if (r < 0)
		return r;
	/* The filter needs it where no_new_privs is off; it goes in process_exec. */
	p->held &= p->spec->no_new_privileges || p->seccomp.n == 0 ? 0 : CAP_BIT(CAP_SYS_ADMIN);
	r = capability_set(p->caps.effective, p->caps.permitted | p->held, p->caps.inheritable,
			   err);
	if (r == 0)
		r = capability_ambient(p->caps.ambient, err);
	/* The change of uid cleared it, and set the process dumpable by the host's setting. */
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = error_sys(err, errno, "make the process undumpable");
	if (r == 0 && p->spec->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = error_sys(err, errno, "process.noNewPrivileges");
	return r;
}

int process_make_cwd(const struct process_setup *p, int root, struct error *err)
{
	autoclose int fd = FD_NONE;
	int r = fs_open_in_root(root, p->spec->cwd, O_PATH | O_DIRECTORY, 0, &fd, err);

	if (r == -ERR_NOT_FOUND)
		r = fs_mkdir_all_in_root(root, p->spec->cwd, 0755, 0, 0, NULL, err);
	return r < 0 ? error_wrap(err, r, "process.cwd: '%s'", p->spec->cwd) : 0;
}

int process_try_cwd(struct process_setup *p, struct error *err)
{
	int r = process_enter_cwd(p, err);

	return r < 0 && (err->sys == EACCES || err->sys == EPERM) ? 0 : r;
}

int process_enter_cwd(struct process_setup *p, struct error *err)
{
	autoclose int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose int fd = FD_NONE;
	char path[4096];
	long n;
	int r;

	if (p->in_cwd)
		return 0;
	if (root < 0)
		return error_sys(err, errno, "open '/'");
	r = fs_open_in_root(root, p->spec->cwd, O_PATH | O_DIRECTORY, 0, &fd, err);
	if (r < 0)
		return error_wrap(err, r, "chdir to cwd (\"%s\") set in config.json failed",
				  p->spec->cwd);
	if (fchdir(fd) < 0)
		return error_sys(err, errno, "chdir to cwd (\"%s\") set in config.json failed",
				 p->spec->cwd);
	/* The kernel says "(unreachable)" for a directory that is not below our root
	 * (CVE-2024-21626). */
	n = syscall(SYS_getcwd, path, sizeof(path));
	if (n <= 0 || path[0] != '/')
		return error_set(err, ERR_INVALID,
				 "process.cwd: '%s' is outside of the container's root",
				 p->spec->cwd);
	p->in_cwd = true;
	return 0;
}

static int refuse_exec(const char *arg, const char *path, int sys, struct error *err)
{
	if (sys == EACCES)
		return error_set(err, ERR_FORBIDDEN, "exec: \"%s\": permission denied", arg);
	/* Clients before 23 know exit code 126 by "permission denied" only. */
	if (sys == EISDIR)
		return error_set(err, ERR_FORBIDDEN,
				 "exec: \"%s\": is a directory: permission denied", arg);
	if (sys == ENOENT && path != NULL)
		return error_set(err, ERR_NOT_FOUND,
				 "exec: \"%s\": stat %s: no such file or directory", arg, path);
	if (sys == ENOENT)
		return error_set(err, ERR_NOT_FOUND,
				 "exec: \"%s\": executable file not found in $PATH", arg);
	if (sys == ENOTDIR)
		return error_set(err, ERR_NOT_FOUND, "exec: \"%s\": stat %s: not a directory", arg,
				 path);
	return error_sys(err, sys, "exec: \"%s\"", arg);
}

/* 0 or the errno with which execve would fail. */
static int executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? errno : 0;
}

int process_resolve(struct process_setup *p, struct arena *a, struct error *err)
{
	const char *name = p->spec->args.at[0];
	const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	struct str rest, dir;
	int denied = 0, sys;

	if (*name == '\0')
		return refuse_exec(name, NULL, ENOENT, err);
	if (strchr(name, '/') != NULL) {
		sys = executable(name);
		p->path = name;
		return sys == 0 ? 0 : refuse_exec(name, name, sys, err);
	}
	for (size_t i = 0; p->env[i] != NULL; i++)
		if (cstr_starts(p->env[i], "PATH="))
			path = p->env[i] + 5;
	rest = str_of(path);
	while (str_split(&rest, ':', &dir)) {
		p->path = dir.len ? arena_format(a, "%.*s/%s", STR_ARG(dir), name)
				  : arena_format(a, "./%s", name);
		sys = executable(p->path);
		if (sys == 0)
			return 0;
		if (sys == EACCES)
			denied = sys;
	}
	return refuse_exec(name, NULL, denied ? denied : ENOENT, err);
}

static int confine(struct process_setup *p, int (*notify)(void *ctx, int listener), void *ctx,
		   struct error *err)
{
	int listener = FD_NONE, r = 0;

	if (p->held & ~p->caps.effective)
		r = capability_set(p->caps.effective | p->held, p->caps.permitted | p->held,
				   p->caps.inheritable, err);
	if (r == 0)
		r = filter_install(&p->seccomp, &listener, err);
	/* From here on every call has to pass the container's own filter. */
	if (r == 0 && listener >= 0)
		r = notify(ctx, listener);
	if (r == 0 && p->held & ~(p->caps.permitted & p->caps.effective))
		r = capability_set(p->caps.effective, p->caps.permitted, p->caps.inheritable, err);
	return r;
}

int process_confine(struct process_setup *p, struct error *err)
{
	return p->seccomp.notify ? 0 : confine(p, NULL, NULL, err);
}

int process_exec(struct process_setup *p, int (*notify)(void *ctx, int listener), void *ctx,
		 struct error *err)
{
	int r;

	if (close_range(3 + p->preserve_fds, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return error_sys(err, errno, "close what is not the container's");
	r = write_label(p, err);
	if (r == 0)
		r = apply_rlimits(p->spec, true, err);
	if (r == 0)
		r = confine(p, notify, ctx, err);
	if (r < 0)
		return r;
	execve(p->path, (char *const *)(uintptr_t)p->spec->args.at, p->env);
	if (errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "exec %s: no such file or directory", p->path);
	if (errno == EACCES)
		return error_set(err, ERR_FORBIDDEN, "exec %s: permission denied", p->path);
	if (errno == ENOEXEC)
		return error_set(err, ERR_INVALID, "exec %s: exec format error", p->path);
	return error_sys(err, errno, "exec %s", p->path);
}
