/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cmd_doctor.c: `proa doctor`: what this machine lacks, and the command that mends it.
 *
 * Every check asks the kernel itself, without changing anything and without
 * privileges where that is possible. Nothing here talks to an engine but the
 * last check, which only connects.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/commands.h"

#define TEXT_MAX        (16 * 1024 * 1024) /* mountinfo grows with each container */
#define NEED_FREE_BYTES (2ULL << 30)

enum verdict { GOOD, WARN, BAD };

struct finding {
	enum verdict verdict;
	char detail[256];
	const char *mend; /* a command or an advice; NULL when good */
};

static struct finding good(const char *detail)
{
	struct finding f = { .verdict = GOOD };

	snprintf(f.detail, sizeof(f.detail), "%s", detail);
	return f;
}

static struct finding bad(enum verdict v, const char *detail, const char *mend)
{
	struct finding f = { .verdict = v, .mend = mend };

	snprintf(f.detail, sizeof(f.detail), "%s", detail);
	return f;
}

static struct finding check_kernel(void)
{
	struct utsname u;
	struct str rest, part;
	uint64_t major = 0, minor = 0;

	if (uname(&u) < 0)
		return bad(BAD, "uname failed", "run Linux");
	rest = str_of(u.release);
	if (str_split(&rest, '.', &part))
		(void)!parse_u64(part, 1000, &major, NULL);
	if (str_split(&rest, '.', &part))
		(void)!parse_u64(str_sub(part, 0, strspn(part.at, "0123456789")), 1000, &minor,
				 NULL);
	if (major < 5 || (major == 5 && minor < 15))
		return bad(BAD, u.release,
			   "boot Linux 5.15 or newer: apt-get install linux-image-amd64");
	return good(u.release);
}

/* A system call that the kernel lacks says ENOSYS, whatever else is wrong with the call. */
static struct finding check_calls(void)
{
	static const struct {
		const char *name;
		long number;
	} calls[] = {
		{ "openat2", SYS_openat2 },
		{ "clone3", SYS_clone3 },
		{ "pidfd_open", SYS_pidfd_open },
		{ "close_range", SYS_close_range },
		{ "fsopen", SYS_fsopen },
		{ "move_mount", SYS_move_mount },
		{ "mount_setattr", SYS_mount_setattr },
	};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		/* Arguments that every one of them refuses before it does anything. */
		if (syscall(calls[i].number, -1L, 0L, 0L, 0L, 0L, 0L) < 0 && errno == ENOSYS) {
			struct finding f =
			    bad(BAD, "",
				"boot Linux 5.15 or newer, or leave the sandbox that hides it");

			snprintf(f.detail, sizeof(f.detail), "the kernel refuses %s",
				 calls[i].name);
			return f;
		}
	}
	return good("openat2, clone3, pidfds and mounts by file descriptor");
}

static bool file_has_word(const char *path, const char *word)
{
	auto_(buf) b = BUF_INIT(TEXT_MAX);

	return fs_read_file(path, &b, NULL) == 0 && b.data != NULL && strstr(b.data, word) != NULL;
}

/* The errno that `probe` ends with in a process of its own, whose namespaces go with it. */
static int ask_in_child(int (*probe)(void))
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit(probe());
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return errno ? errno : ECHILD;
	return WEXITSTATUS(status);
}

/* Where the engine keeps its data unless it is told otherwise, or will. */
static const char *data_root(void)
{
	return access("/var/lib/proa", F_OK) == 0 ? "/var/lib/proa" : "/var/lib";
}

/* An overlay whose upper directory is the working directory's. */
static int probe_overlay(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0)
		return 0; /* another check tells of that */
	return mount("overlay", "m", "overlay", 0, "lowerdir=l,upperdir=u,workdir=w") < 0 ? errno
											  : 0;
}

/* Does the data root's file system carry an overlay? Only root may ask, and leaves nothing. */
static int overlay_refused(void)
{
	autofree char *dir = cstr_format("%s/.proa-doctor-XXXXXX", data_root());
	autoclose int parent = FD_NONE;
	int sys = 0;

	if (geteuid() != 0 || mkdtemp(dir) == NULL)
		return 0;
	if (chdir(dir) == 0 && mkdir("l", 0700) == 0 && mkdir("u", 0700) == 0 &&
	    mkdir("w", 0700) == 0 && mkdir("m", 0700) == 0)
		sys = ask_in_child(probe_overlay);
	if (chdir("/") == 0 && fs_open(data_root(), O_RDONLY | O_DIRECTORY, 0, &parent, NULL) == 0)
		(void)!fs_remove_tree(parent, strrchr(dir, '/') + 1, NULL);
	return sys;
}

/* For those who may not mount: in the kernel, or in a module that the first mount loads. */
static bool overlay_is_there(void)
{
	struct utsname u;
	glob_t found = { 0 };
	autofree char *module = NULL;
	bool is_there;

	if (file_has_word("/proc/filesystems", "\toverlay\n"))
		return true;
	if (uname(&u) < 0)
		return false;
	module = cstr_format("/lib/modules/%s/kernel/fs/overlayfs/overlay.ko*", u.release);
	is_there = glob(module, 0, NULL, &found) == 0;
	globfree(&found);
	return is_there;
}

static struct finding check_overlay(void)
{
	struct finding f = bad(WARN, "", "proad --data-root on ext4, XFS or btrfs");
	int sys = overlay_refused();

	if (sys == ENODEV || (geteuid() != 0 && !overlay_is_there()))
		return bad(WARN, "no overlay file system: layers are copied, which is slow",
			   "modprobe overlay && echo overlay > /etc/modules-load.d/proa.conf");
	if (sys == 0)
		return good("the overlay file system is there");
	errno = sys;
	snprintf(f.detail, sizeof(f.detail),
		 "%s carries no overlay (%m): layers are copied, which is slow", data_root());
	return f;
}

/* pivot_root and mount propagation need it; chroot into a plain directory takes it away. */
static struct finding check_root(void)
{
	struct statx st;

	if (access("/proc/self/mountinfo", F_OK) < 0)
		return bad(BAD, "/proc is not mounted: what the other lines say is a guess",
			   "mount -t proc proc /proc");
	if (statx(AT_FDCWD, "/", 0, 0, &st) == 0 &&
	    (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
	    !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return bad(BAD, "'/' is a chroot that is no mount point: no container can start",
			   "mount --bind DIR DIR, before chroot DIR");
	return good("'/' is a mount point");
}

/* Is the controller compiled in and not switched off? v1 and mixed: the line
 * "memory\t4\t120\t1" of /proc/cgroups; v2: a word of cgroup.controllers. */
static bool has_controller(const char *name, const char *all, bool v1)
{
	struct str rest = str_of(all), line, field;
	uint64_t enabled = 0;

	while (v1 && str_split(&rest, '\n', &line)) {
		if (!str_split(&line, '\t', &field) || !str_eqs(field, name))
			continue;
		while (str_split(&line, '\t', &field))
			;
		return parse_u64(field, 1, &enabled, NULL) == 0 && enabled == 1;
	}
	while (!v1 && str_split(&rest, ' ', &field))
		if (str_eqs(str_trim(field), name))
			return true;
	return false;
}

/* The control group file systems that can be reached; what another mount hides cannot. */
struct cgroup_mounts {
	bool v1, v2;
	const char *readonly; /* the first one that nothing can be written to, or NULL */
	const char *mend;     /* the commands for all of those */
};

/* A line of mountinfo: id, parent, device, root, place, options, ... - type. */
static void find_cgroups(struct cli *cli, struct cgroup_mounts *ret)
{
	auto_(buf) b = BUF_INIT(TEXT_MAX);
	struct str rest, line, field, place = { 0 };
	struct statfs st;

	*ret = (struct cgroup_mounts){ 0 };
	if (fs_read_file("/proc/self/mountinfo", &b, NULL) < 0 || b.data == NULL)
		return;
	rest = str_of(b.data);
	while (str_split(&rest, '\n', &line)) {
		const char *at;

		if (memmem(line.at, line.len, " - cgroup", 9) == NULL)
			continue;
		for (unsigned i = 0; i < 5 && str_split(&line, ' ', &field); i++)
			place = field;
		at = arena_format(&cli->arena, "%.*s", STR_ARG(place));
		if (statfs(at, &st) < 0)
			continue;
		ret->v1 |= st.f_type == CGROUP_SUPER_MAGIC;
		ret->v2 |= st.f_type == CGROUP2_SUPER_MAGIC;
		if (!str_split(&line, ' ', &field) || !str_starts(field, "ro"))
			continue;
		/* With bind: it is the mount that is so, not the file system. */
		ret->mend = arena_format(&cli->arena, "%s%smount -o remount,bind,rw %s",
					 ret->mend ? ret->mend : "", ret->mend ? " && " : "", at);
		if (ret->readonly == NULL)
			ret->readonly = at;
	}
}

static struct finding check_cgroups(struct cli *cli)
{
	static const char *const needed[] = { "cpu", "memory", "pids" };
	auto_(buf) b = BUF_INIT(TEXT_MAX);
	struct cgroup_mounts at;

	find_cgroups(cli, &at);
	if (!at.v1 && !at.v2)
		return bad(BAD, "no control groups are mounted",
			   "mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	if (fs_read_file(at.v1 ? "/proc/cgroups" : "/sys/fs/cgroup/cgroup.controllers", &b, NULL) ==
	    0) {
		for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
			struct finding f = bad(
			    WARN, "",
			    strcmp(needed[i], "memory") == 0
				? "boot with cgroup_enable=memory swapaccount=1"
				: "boot a kernel that has it: apt-get install linux-image-amd64");

			if (has_controller(needed[i], b.data ? b.data : "", at.v1))
				continue;
			snprintf(f.detail, sizeof(f.detail),
				 "the controller '%s' is missing: limits of its kind cannot be set",
				 needed[i]);
			return f;
		}
	}
	if (at.readonly != NULL) {
		struct finding f = bad(BAD, "", at.mend);

		snprintf(f.detail, sizeof(f.detail),
			 "%s is mounted read-only: no container can start", at.readonly);
		return f;
	}
	return good(at.v1 && at.v2 ? "control groups v1 and v2, mixed"
		    : at.v2        ? "control groups v2"
				   : "control groups v1");
}

static bool has_module(const char *name)
{
	char path[128];
	struct utsname u;

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	if (access(path, F_OK) == 0)
		return true;
	if (uname(&u) < 0)
		return false;
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.builtin", u.release);
	if (file_has_word(path, name))
		return true;
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", u.release);
	return file_has_word(path, name);
}

/*
 * Does nf_tables answer? It is asked for the number of its rule set, which only
 * root may: who may not is told nothing. Spec: linux/netfilter/nf_tables.h.
 */
static bool nftables_answers(int fd)
{
	struct {
		struct nlmsghdr head;
		struct nfgenmsg family;
	} ask = { { .nlmsg_len = sizeof(ask),
		    .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
		    .nlmsg_flags = NLM_F_REQUEST },
		  { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 } };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char answer[4096] __attribute__((aligned(8)));
	const struct nlmsghdr *head = (const struct nlmsghdr *)answer;
	struct nlmsgerr failure;
	ssize_t n;

	if (send(fd, &ask, sizeof(ask), 0) < 0 || poll(&p, 1, 1000) <= 0)
		return false;
	n = recv(fd, answer, sizeof(answer), 0);
	if (n < (ssize_t)sizeof(*head) || head->nlmsg_type != NLMSG_ERROR)
		return n >= (ssize_t)sizeof(*head);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(failure)))
		return false;
	memcpy(&failure, answer + NLMSG_HDRLEN, sizeof(failure));
	return failure.error == 0 || failure.error == -EPERM;
}

static struct finding check_network(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	bool answers = fd >= 0 && nftables_answers(fd);

	if (fd >= 0)
		close(fd);
	if (!answers)
		return bad(WARN,
			   fd < 0 ? "no netfilter: ports are published by a proxy in user space"
				  : "no nf_tables: ports are published by a proxy in user space",
			   "modprobe nf_tables && echo nf_tables >> /etc/modules-load.d/proa.conf");
	/* A kernel without /sys/module entries for them may still have them built in. */
	if (!has_module("bridge") && access("/proc/sys/net/bridge", F_OK) < 0 &&
	    access("/sys/module", F_OK) == 0 && access("/lib/modules", F_OK) == 0 &&
	    !has_module("veth"))
		return bad(WARN, "bridge and veth were not found among the kernel's modules",
			   "modprobe bridge && modprobe veth");
	return good("netfilter, bridges and virtual links");
}

static struct finding check_forwarding(void)
{
	if (file_has_word("/proc/sys/net/ipv4/ip_forward", "1"))
		return good("IPv4 forwarding is on");
	return bad(WARN, "IPv4 forwarding is off (the engine switches it on when it starts)",
		   "sysctl -w net.ipv4.ip_forward=1");
}

static struct finding check_seccomp(void)
{
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 &&
	    access("/proc/sys/kernel/seccomp/actions_avail", F_OK) == 0)
		return good("system call filters are there");
	return bad(BAD, "the kernel has no system call filters",
		   "boot a kernel with CONFIG_SECCOMP_FILTER, or run with --security-opt "
		   "seccomp=unconfined");
}

static int probe_userns(void)
{
	return unshare(CLONE_NEWUSER) < 0 ? errno : 0;
}

static struct finding check_userns(void)
{
	auto_(buf) b = BUF_INIT(64);
	uint64_t n = 0;

	if (fs_read_file("/proc/sys/user/max_user_namespaces", &b, NULL) == 0 && b.data != NULL)
		(void)!parse_u64(str_trim(str_of(b.data)), UINT64_MAX, &n, NULL);
	if (n > 0 && ask_in_child(probe_userns) == 0)
		return good("user namespaces are there");
	if (n > 0)
		return bad(WARN, "user namespaces are refused here: --userns=auto cannot work",
			   "leave the chroot or the sandbox that forbids them");
	return bad(WARN, "user namespaces are switched off: --userns=auto cannot work",
		   "sysctl -w user.max_user_namespaces=65536");
}

static struct finding check_capabilities(void)
{
	/* The first user namespace maps everything to itself. */
	if (access("/proc/self/uid_map", R_OK) == 0 &&
	    !file_has_word("/proc/self/uid_map", "4294967295"))
		return bad(BAD, "this is a user namespace: no container can be made here",
			   "run on the machine itself: rootless mode is not there yet");
	if (prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) != 1)
		return bad(BAD, "CAP_SYS_ADMIN is missing here: no container can be made",
			   "run on the machine itself, or in a privileged container");
	if (prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) != 1)
		return bad(WARN, "CAP_SYS_RESOURCE is missing here: --privileged goes without it",
			   "nothing to do, unless a program in a container needs it");
	return good("all that an engine needs");
}

static struct finding check_space(void)
{
	const char *dir = data_root();
	struct finding f = { .verdict = GOOD };
	struct statvfs st;
	uint64_t free_bytes;

	if (statvfs(dir, &st) < 0)
		return bad(WARN, "the data root cannot be looked at", "mkdir -p /var/lib/proa");
	free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	if (free_bytes < NEED_FREE_BYTES)
		f = bad(WARN, "", "proa system prune, or --data-root on a larger disk");
	snprintf(f.detail, sizeof(f.detail), "%llu MB free at %s",
		 (unsigned long long)(free_bytes / 1000000), dir);
	return f;
}

static struct finding check_resolver(void)
{
	if (file_has_word("/etc/resolv.conf", "nameserver"))
		return good("/etc/resolv.conf names a server");
	return bad(WARN, "/etc/resolv.conf names no server: containers resolve only each other",
		   "echo 'nameserver ADDRESS' >> /etc/resolv.conf");
}

static struct finding check_programs(struct cli *cli)
{
	static const char *const programs[] = { "proad", "proa-runtime" };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return bad(WARN, "the place of this program is unknown",
			   "mount -t proc proc /proc");
	self[n] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; slash != NULL && i < ARRAY_LEN(programs); i++) {
		const char *path =
		    arena_format(&cli->arena, "%.*s/%s", (int)(slash - self), self, programs[i]);
		struct finding f = bad(BAD, "", "make install");

		if (access(path, X_OK) == 0)
			continue;
		snprintf(f.detail, sizeof(f.detail), "%s is not beside proa", programs[i]);
		return f;
	}
	return good("proad and proa-runtime are beside proa");
}

static bool in_path(struct cli *cli, const char *program)
{
	struct str rest = str_of(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin"), dir;

	while (str_split(&rest, ':', &dir))
		if (access(arena_format(&cli->arena, "%.*s/%s", STR_ARG(dir), program), X_OK) == 0)
			return true;
	return false;
}

/* As the engine looks for it: a user's PATH often lacks /sbin. */
static struct finding check_apparmor(struct cli *cli)
{
	if (!file_has_word("/sys/module/apparmor/parameters/enabled", "Y"))
		return good("AppArmor is off: nothing to load");
	if (access("/sbin/apparmor_parser", X_OK) == 0 ||
	    access("/usr/sbin/apparmor_parser", X_OK) == 0 || in_path(cli, "apparmor_parser"))
		return good("AppArmor is on, and profiles can be loaded");
	return bad(WARN, "no apparmor_parser: containers run without the profile docker-default",
		   "apt install apparmor");
}

/* What the engine calls, and can do without until somebody asks for it. */
static struct finding check_helpers(struct cli *cli)
{
	if (!in_path(cli, "ps"))
		return bad(WARN, "there is no ps: `proa top` cannot work",
			   "apt-get install procps");
	if (!in_path(cli, "git"))
		return bad(WARN, "there is no git: `ADD` of a repository cannot work in a build",
			   "apt-get install git");
	return good("ps and git are there");
}

static struct finding check_socket(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = "/run/proa/proa.sock" };
	int fd, sys;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return bad(WARN, "no Unix sockets", "leave the sandbox");
	sys = connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? errno : 0;
	close(fd);
	if (sys == 0)
		return good("an engine answers at /run/proa/proa.sock");
	if (sys == EACCES)
		return bad(WARN, "you may not use /run/proa/proa.sock",
			   "usermod -aG proa $USER, and log in again");
	if (geteuid() != 0)
		return bad(WARN, "no engine runs now, and only root may start one",
			   "systemctl enable --now proa.service, or proa info, as root");
	return good("no engine runs now; proa starts one when it is needed");
}

static const char *const words[] = { [GOOD] = "ok", [WARN] = "warning", [BAD] = "missing" };

static int print_json(struct cli *cli, const char *const *names, const struct finding *found,
		      size_t n, struct error *err)
{
	auto_(buf) b = BUF_INIT(TEXT_MAX);
	struct jsonw w;
	int r;

	(void)cli;
	jsonw_init(&w, &b);
	jsonw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jsonw_object(&w);
		jsonw_kstring(&w, "Check", names[i]);
		jsonw_kstring(&w, "Verdict", words[found[i].verdict]);
		jsonw_kstring(&w, "Detail", found[i].detail);
		jsonw_kstring(&w, "Mend", found[i].mend ? found[i].mend : "");
		jsonw_end(&w);
	}
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	if (r == 0)
		puts(b.data);
	return r;
}

int cmd_doctor(struct cli *cli, const struct args *args, struct error *err)
{
	static const char *const names[] = { "kernel",          "system calls", "root",
					     "overlay",         "cgroups",      "network",
					     "forwarding",      "seccomp",      "apparmor",
					     "user namespaces", "capabilities", "resolver",
					     "disk space",      "programs",     "helpers",
					     "engine" };
	const struct finding found[] = {
		check_kernel(),      check_calls(),       check_root(),         check_overlay(),
		check_cgroups(cli),  check_network(),     check_forwarding(),   check_seccomp(),
		check_apparmor(cli), check_userns(),      check_capabilities(), check_resolver(),
		check_space(),       check_programs(cli), check_helpers(cli),   check_socket(),
	};
	bool missing = false;

	_Static_assert(ARRAY_LEN(names) == ARRAY_LEN(found), "every check has a name");
	for (size_t i = 0; i < ARRAY_LEN(found); i++)
		missing |= found[i].verdict == BAD;
	if (missing)
		cli->status = 1;
	if (strcmp(args_str(args, "format"), "json") == 0)
		return print_json(cli, names, found, ARRAY_LEN(found), err);
	if (*args_str(args, "format") != '\0')
		return error_set(err, ERR_INVALID, "doctor: the only --format is json");
	for (size_t i = 0; i < ARRAY_LEN(found); i++) {
		printf("%-16s %-8s %s\n", names[i], words[found[i].verdict], found[i].detail);
		if (found[i].mend != NULL)
			printf("%-16s %-8s   -> %s\n", "", "", found[i].mend);
	}
	puts(missing ? "Something that proa needs is missing." : "This machine can run proa.");
	return 0;
}
