/* runtime/cli_info.c: the verbs that tell, and update. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/macros.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "runtime/capability.h"
#include "runtime/cli.h"
#include "runtime/state.h"

static int print(struct buf *b, struct error *err)
{
	int r = buf_add(b, "\n", 1, err);

	return r < 0 ? r : fs_write_all(STDOUT_FILENO, b->data, b->len, err);
}

static void strings_member(struct jsonw *w, const char *key, const char *const *list, size_t n)
{
	jsonw_karray(w, key);
	for (size_t i = 0; i < n; i++)
		jsonw_string(w, list[i]);
	jsonw_end(w);
}

static void features_linux(struct jsonw *w)
{
	static const char *const namespaces[] = { "cgroup", "ipc",  "mount", "network",
						  "pid",    "time", "user",  "uts" };
	static const char *const actions[] = { "SCMP_ACT_ALLOW",       "SCMP_ACT_ERRNO",
					       "SCMP_ACT_KILL",        "SCMP_ACT_KILL_PROCESS",
					       "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
					       "SCMP_ACT_NOTIFY",      "SCMP_ACT_TRACE",
					       "SCMP_ACT_TRAP" };
	static const char *const operators[] = { "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT",
						 "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
						 "SCMP_CMP_NE" };
	static const char *const flags[] = { "SECCOMP_FILTER_FLAG_LOG",
					     "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
					     "SECCOMP_FILTER_FLAG_TSYNC",
					     "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" };

	static const char *const modes[] = {
		"MPOL_BIND",      "MPOL_DEFAULT",        "MPOL_INTERLEAVE",         "MPOL_LOCAL",
		"MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_WEIGHTED_INTERLEAVE"
	};
	static const char *const policy_flags[] = { "MPOL_F_NUMA_BALANCING",
						    "MPOL_F_RELATIVE_NODES",
						    "MPOL_F_STATIC_NODES" };

	jsonw_kobject(w, "linux");
	strings_member(w, "namespaces", namespaces, ARRAY_LEN(namespaces));
	jsonw_karray(w, "capabilities");
	for (unsigned i = 0; capability_name(i) != NULL; i++) {
		char name[32];

		snprintf(name, sizeof(name), "CAP_%s", capability_name(i));
		jsonw_string(w, name);
	}
	jsonw_end(w);
	jsonw_kobject(w, "cgroup");
	jsonw_kbool(w, "v1", true);
	jsonw_kbool(w, "v2", true);
	jsonw_kbool(w, "systemd", false);
	jsonw_kbool(w, "systemdUser", false);
	jsonw_kbool(w, "rdma", true);
	jsonw_end(w);
	jsonw_kobject(w, "seccomp");
	jsonw_kbool(w, "enabled", true);
	strings_member(w, "actions", actions, ARRAY_LEN(actions));
	strings_member(w, "operators", operators, ARRAY_LEN(operators));
	strings_member(w, "supportedFlags", flags, ARRAY_LEN(flags));
	jsonw_end(w);
	jsonw_kobject(w, "apparmor");
	jsonw_kbool(w, "enabled", true);
	jsonw_end(w);
	jsonw_kobject(w, "selinux");
	jsonw_kbool(w, "enabled", true);
	jsonw_end(w);
	jsonw_kobject(w, "intelRdt");
	jsonw_kbool(w, "enabled", false);
	jsonw_end(w);
	jsonw_kobject(w, "memoryPolicy");
	strings_member(w, "modes", modes, ARRAY_LEN(modes));
	strings_member(w, "flags", policy_flags, ARRAY_LEN(policy_flags));
	jsonw_end(w);
	jsonw_kobject(w, "netDevices");
	jsonw_kbool(w, "enabled", true);
	jsonw_end(w);
	jsonw_kobject(w, "mountExtensions");
	jsonw_kobject(w, "idmap");
	jsonw_kbool(w, "enabled", true);
	jsonw_end(w);
	jsonw_end(w);
	jsonw_end(w);
}

int cli_features(struct cli *c, int argc, char **argv, struct error *err)
{
	static const char *const hooks[] = { "prestart",       "createRuntime", "createContainer",
					     "startContainer", "poststart",     "poststop" };
	static const char *const options[] = {
		"async",        "atime",       "bind",           "defaults",
		"dev",          "diratime",    "dirsync",        "exec",
		"idmap",        "lazytime",    "mand",           "noatime",
		"nodev",        "nodiratime",  "noexec",         "nolazytime",
		"nomand",       "norelatime",  "nostrictatime",  "nosuid",
		"nosymfollow",  "private",     "ratime",         "rbind",
		"rdev",         "rdiratime",   "relatime",       "rexec",
		"ridmap",       "rnoatime",    "rnodev",         "rnodiratime",
		"rnoexec",      "rnorelatime", "rnostrictatime", "rnosuid",
		"rnosymfollow", "ro",          "rprivate",       "rrelatime",
		"rro",          "rrw",         "rshared",        "rslave",
		"rstrictatime", "rsuid",       "rsymfollow",     "runbindable",
		"rw",           "shared",      "slave",          "strictatime",
		"suid",         "symfollow",   "sync",           "tmpcopyup",
		"unbindable",
	};
	auto_(buf) b = BUF_INIT(65536);
	const struct scmp_version *v = seccomp_version();
	char text[32];
	struct jsonw w;
	int at = 1, r = cli_parse(argc, argv, &at, NULL, 0, NULL, err);

	(void)c;
	if (r < 0)
		return r;
	jsonw_init(&w, &b);
	w.indent = 4;
	jsonw_object(&w);
	jsonw_kstring(&w, "ociVersionMin", "1.0.0");
	jsonw_kstring(&w, "ociVersionMax", "1.3.0");
	strings_member(&w, "hooks", hooks, ARRAY_LEN(hooks));
	strings_member(&w, "mountOptions", options, ARRAY_LEN(options));
	features_linux(&w);
	jsonw_kobject(&w, "annotations");
	snprintf(text, sizeof(text), "%u.%u.%u", v->major, v->minor, v->micro);
	jsonw_kstring(&w, "io.github.seccomp.libseccomp.version", text);
	jsonw_kstring(&w, "org.opencontainers.runc.version", "1.2.0");
	jsonw_end(&w);
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	return r < 0 ? r : print(&b, err);
}

struct list_flags {
	const char *format;
	bool quiet;
};

static int list_one(struct cli *c, const char *id, const struct list_flags *f, struct jsonw *w,
		    struct buf *b, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	auto_(state_dir) d = STATE_DIR_INIT;
	struct runtime_state s;
	enum runtime_status status;
	char when[TIME_TEXT_MAX];
	struct error gone;

	/* Made or removed this moment: not in the list. */
	if (state_open(&c->options, id, false, &d, &gone) < 0 ||
	    state_read(&d, &a, &s, &gone) < 0 || state_status(&d, &s, &status, &gone) < 0)
		return 0;
	if (f->quiet)
		return buf_addf(b, err, "%s\n", id);
	if (w != NULL) {
		jsonw_object(w);
		jsonw_kstring(w, "ociVersion", s.oci_version);
		jsonw_kstring(w, "id", s.id);
		jsonw_kint(w, "pid", status == STATUS_STOPPED ? 0 : s.pid);
		jsonw_kstring(w, "status", status_name(status));
		jsonw_kstring(w, "bundle", s.bundle);
		jsonw_kstring(w, "rootfs", s.rootfs);
		jsonw_ktime(w, "created", s.created_ns);
		jsonw_kstring(w, "owner", s.owner == 0 ? "root" : "");
		jsonw_end(w);
		return 0;
	}
	time_format_rfc3339nano(s.created_ns, when);
	return buf_addf(b, err, "%-11s %-11d %-11s %-19s %-30s %s\n", s.id,
			status == STATUS_STOPPED ? 0 : (int)s.pid, status_name(status), s.bundle,
			when, s.owner == 0 ? "root" : "");
}

static int is_id(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

int cli_list(struct cli *c, int argc, char **argv, struct error *err)
{
	static const struct cli_flag flags[] = {
		CLI_FLAG("format", 'f', CLI_STRING, struct list_flags, format),
		CLI_FLAG("quiet", 'q', CLI_BOOL, struct list_flags, quiet),
	};
	struct list_flags f = { .format = "table" };
	auto_(buf) b = BUF_INIT(16u << 20);
	int root, at = 1, r = cli_parse(argc, argv, &at, flags, ARRAY_LEN(flags), &f, err);
	bool json = r == 0 && strcmp(f.format, "json") == 0;
	struct jsonw w;

	if (r == 0 && !json && strcmp(f.format, "table") != 0)
		return error_set(err, ERR_INVALID, "invalid format option");
	if (r == 0)
		r = state_root_open(&c->options, false, &root, err);
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	jsonw_init(&w, &b);
	if (json && !f.quiet)
		jsonw_array(&w);
	else if (!f.quiet)
		r = buf_addf(&b, err, "%-11s %-11s %-11s %-19s %-30s %s\n", "ID", "PID", "STATUS",
			     "BUNDLE", "CREATED", "OWNER") < 0
			? -ERR_INVALID
			: r;
	if (r == 0) {
		struct dirent **names = NULL;
		int n = scandirat(root, ".", &names, is_id, alphasort);

		close(root);
		if (n < 0)
			return error_sys(err, errno, "read the states");
		for (int i = 0; i < n; i++) {
			if (r == 0)
				r = list_one(c, names[i]->d_name, &f, json && !f.quiet ? &w : NULL,
					     &b, err);
			free(names[i]);
		}
		free(names);
		if (r < 0)
			return r;
	}
	if (json && !f.quiet) {
		jsonw_end(&w);
		r = jsonw_finish(&w, err);
		return r < 0 ? r : print(&b, err);
	}
	return b.len == 0 ? 0 : fs_write_all(STDOUT_FILENO, b.data, b.len, err);
}

static int open_cgroup(struct cli *c, const char *id, struct arena *a, struct cgroup *cg,
		       struct runtime_state *s, struct error *err)
{
	auto_(state_dir) d = STATE_DIR_INIT;
	enum runtime_status status;
	int r = state_open(&c->options, id, false, &d, err);

	if (r == 0)
		r = state_read(&d, a, s, err);
	if (r == 0)
		r = state_status(&d, s, &status, err);
	if (r == 0 && status == STATUS_STOPPED)
		r = error_set(err, ERR_CONFLICT, "container not running");
	return r < 0 ? r : cgroup_open(s->cgroups, s->n_cgroups, cg, err);
}

struct ps_flags {
	const char *format;
};

static int ps_table(const pid_t *pids, size_t n, char **argv, struct error *err)
{
	const char *args[64] = { "ps" };
	size_t k = 1;
	auto_(buf) list = BUF_INIT(1u << 20);
	int r = 0;

	while (*argv != NULL && k < ARRAY_LEN(args) - 3)
		args[k++] = *argv++;
	if (k == 1)
		args[k++] = "-ef";
	/* Every process of the machine goes to ps; of its table the container's lines are kept by
	 * -p. */
	for (size_t i = 0; r == 0 && i < n; i++)
		r = buf_addf(&list, err, "%s%d", i ? "," : "", (int)pids[i]);
	if (r < 0 || n == 0)
		return r;
	if (k == 2 && strcmp(args[1], "-ef") == 0)
		args[1] = "-f";
	args[k++] = "-p";
	args[k++] = list.data;
	args[k] = NULL;
	execvp("ps", (char *const *)(uintptr_t)args);
	return error_sys(err, errno, "execute ps");
}

int cli_ps(struct cli *c, int argc, char **argv, struct error *err)
{
	static const struct cli_flag flags[] = { CLI_FLAG("format", 'f', CLI_STRING,
							  struct ps_flags, format) };
	struct ps_flags f = { .format = "table" };
	auto_(arena) a = ARENA_INIT;
	auto_(cgroup) cg = CGROUP_INIT;
	auto_(buf) b = BUF_INIT(1u << 20);
	struct runtime_state s;
	struct jsonw w;
	pid_t *pids = NULL;
	size_t n = 0;
	int at = 1, r = cli_parse(argc, argv, &at, flags, 1, &f, err);

	if (r == 0 && at >= argc)
		r = error_set(err, ERR_INVALID, "\"ps\" requires a minimum of 1 argument");
	if (r == 0)
		r = open_cgroup(c, argv[at], &a, &cg, &s, err);
	if (r == 0)
		r = cgroup_pids(&cg, &a, &pids, &n, err);
	/* Nothing runs in a stopped one: an answer, not a failure. */
	if (r < 0 && !(r == -ERR_CONFLICT && at < argc))
		return r;
	if (strcmp(f.format, "table") == 0 && n == 0)
		return 0;
	if (strcmp(f.format, "table") == 0)
		return ps_table(pids, n, argv + at + 1, err);
	if (strcmp(f.format, "json") != 0)
		return error_set(err, ERR_INVALID, "invalid format option");
	jsonw_init(&w, &b);
	jsonw_array(&w);
	for (size_t i = 0; i < n; i++)
		jsonw_int(&w, pids[i]);
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	return r < 0 ? r : print(&b, err);
}
