/* runtime/cli_spec.c: `spec`, a config.json to start from. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/jsonw.h"
#include "base/macros.h"
#include "runtime/cli.h"

struct spec_flags {
	const char *bundle, *file;
	bool rootless;
};

static const struct {
	const char *destination, *type, *source;
	const char *options[8];
} mounts[] = {
	{ "/proc", "proc", "proc", { NULL } },
	{ "/dev", "tmpfs", "tmpfs", { "nosuid", "strictatime", "mode=755", "size=65536k" } },
	{ "/dev/pts",
	  "devpts",
	  "devpts",
	  { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5" } },
	{ "/dev/shm", "tmpfs", "shm", { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" } },
	{ "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev" } },
	{ "/sys", "sysfs", "sysfs", { "nosuid", "noexec", "nodev", "ro" } },
	{ "/sys/fs/cgroup", "cgroup", "cgroup", { "nosuid", "noexec", "nodev", "relatime", "ro" } },
};

static void list(struct jsonw *w, const char *key, const char *const *at, size_t n)
{
	jsonw_karray(w, key);
	for (size_t i = 0; i < n && at[i] != NULL; i++)
		jsonw_string(w, at[i]);
	jsonw_end(w);
}

static void process(struct jsonw *w)
{
	static const char *const args[] = { "sh" };
	static const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"
	};
	static const char *const caps[] = { "CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE" };
	static const char *const sets[] = { "bounding", "effective", "permitted" };

	jsonw_kobject(w, "process");
	jsonw_kbool(w, "terminal", true);
	jsonw_kobject(w, "user");
	jsonw_kint(w, "uid", 0);
	jsonw_kint(w, "gid", 0);
	jsonw_end(w);
	list(w, "args", args, ARRAY_LEN(args));
	list(w, "env", env, ARRAY_LEN(env));
	jsonw_kstring(w, "cwd", "/");
	jsonw_kobject(w, "capabilities");
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		list(w, sets[i], caps, ARRAY_LEN(caps));
	jsonw_end(w);
	jsonw_karray(w, "rlimits");
	jsonw_object(w);
	jsonw_kstring(w, "type", "RLIMIT_NOFILE");
	jsonw_kint(w, "hard", 1024);
	jsonw_kint(w, "soft", 1024);
	jsonw_end(w);
	jsonw_end(w);
	jsonw_kbool(w, "noNewPrivileges", true);
	jsonw_end(w);
}

static void write_mounts(struct jsonw *w, bool rootless)
{
	static const char *const bind_sys[] = { "rbind", "nosuid", "noexec", "nodev", "ro" };

	jsonw_karray(w, "mounts");
	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		bool sys = rootless && strcmp(mounts[i].destination, "/sys") == 0;

		if (rootless && strcmp(mounts[i].type, "cgroup") == 0)
			continue;
		jsonw_object(w);
		jsonw_kstring(w, "destination", mounts[i].destination);
		jsonw_kstring(w, "type", sys ? "none" : mounts[i].type);
		jsonw_kstring(w, "source", sys ? "/sys" : mounts[i].source);
		/* Group 5 is not mapped for a user of his own. */
		if (sys)
			list(w, "options", bind_sys, ARRAY_LEN(bind_sys));
		else if (mounts[i].options[0] != NULL)
			list(w, "options", mounts[i].options,
			     rootless && strcmp(mounts[i].type, "devpts") == 0 ? 5 : 8);
		jsonw_end(w);
	}
	jsonw_end(w);
}

static void id_map(struct jsonw *w, const char *key, uint32_t host)
{
	jsonw_karray(w, key);
	jsonw_object(w);
	jsonw_kint(w, "containerID", 0);
	jsonw_kint(w, "hostID", host);
	jsonw_kint(w, "size", 1);
	jsonw_end(w);
	jsonw_end(w);
}

static void linux_part(struct jsonw *w, bool rootless)
{
	static const char *const namespaces[] = { "pid",   "network", "ipc", "uts",
						  "mount", "cgroup",  "user" };
	static const char *const masked[] = {
		"/proc/acpi",       "/proc/asound",      "/proc/interrupts",
		"/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
		"/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"
	};
	static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
						"/proc/sysrq-trigger" };

	jsonw_kobject(w, "linux");
	if (rootless) {
		id_map(w, "uidMappings", geteuid());
		id_map(w, "gidMappings", getegid());
	}
	jsonw_kobject(w, "resources");
	jsonw_karray(w, "devices");
	jsonw_object(w);
	jsonw_kbool(w, "allow", false);
	jsonw_kstring(w, "access", "rwm");
	jsonw_end(w);
	jsonw_end(w);
	jsonw_end(w);
	jsonw_karray(w, "namespaces");
	for (size_t i = 0; i < ARRAY_LEN(namespaces) - (rootless ? 0 : 1); i++) {
		if (rootless && strcmp(namespaces[i], "network") == 0)
			continue;
		jsonw_object(w);
		jsonw_kstring(w, "type", namespaces[i]);
		jsonw_end(w);
	}
	jsonw_end(w);
	list(w, "maskedPaths", masked, ARRAY_LEN(masked));
	list(w, "readonlyPaths", readonly, ARRAY_LEN(readonly));
	jsonw_end(w);
}

int cli_spec(struct cli *c, int argc, char **argv, struct error *err)
{
	static const struct cli_flag flags[] = {
		CLI_FLAG("bundle", 'b', CLI_STRING, struct spec_flags, bundle),
		CLI_FLAG("file", 'f', CLI_STRING, struct spec_flags, file),
		CLI_FLAG("rootless", 0, CLI_BOOL, struct spec_flags, rootless),
	};
	struct spec_flags f = { .bundle = ".", .file = "config.json" };
	auto_(buf) b = BUF_INIT(65536);
	autoclose int dir = FD_NONE, fd = FD_NONE;
	struct jsonw w;
	int at = 1, r = cli_parse(argc, argv, &at, flags, ARRAY_LEN(flags), &f, err);

	(void)c;
	if (r == 0)
		r = fs_open(f.bundle, O_PATH | O_DIRECTORY, 0, &dir, err);
	if (r < 0)
		return r;
	jsonw_init(&w, &b);
	w.indent = 4;
	jsonw_object(&w);
	jsonw_kstring(&w, "ociVersion", "1.2.0");
	process(&w);
	jsonw_kobject(&w, "root");
	jsonw_kstring(&w, "path", "rootfs");
	jsonw_kbool(&w, "readonly", true);
	jsonw_end(&w);
	jsonw_kstring(&w, "hostname", "proa");
	write_mounts(&w, f.rootless);
	linux_part(&w, f.rootless);
	jsonw_end(&w);
	r = jsonw_finish(&w, err);
	if (r == 0)
		r = buf_add(&b, "\n", 1, err);
	if (r < 0)
		return r;
	fd = openat(dir, f.file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST)
		return error_set(err, ERR_CONFLICT, "File %s exists. Remove it first", f.file);
	if (fd < 0)
		return error_sys(err, errno, "create '%s'", f.file);
	return fs_write_all(fd, b.data, b.len, err);
}
