#include "api/info.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/call.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "engine/engine.h"
#include "engine/network.h"

const char *api_go_arch(const char *machine)
{
	static const char *const names[][2] = {
		{ "x86_64", "amd64" }, { "aarch64", "arm64" },   { "armv7l", "arm" },
		{ "i686", "386" },     { "ppc64le", "ppc64le" },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i][0], machine) == 0)
			return names[i][1];
	return machine;
}

/* Value of KEY= in os-release, owned by the caller; NULL when absent. */
static char *os_release(const char *text, const char *key)
{
	struct str rest = str_of(text), line;

	while (str_split(&rest, '\n', &line)) {
		size_t n = strlen(key);

		if (line.len <= n || memcmp(line.at, key, n) != 0 || line.at[n] != '=')
			continue;
		line = str_sub(line, n + 1, line.len);
		if (line.len >= 2 && line.at[0] == '"' && line.at[line.len - 1] == '"')
			line = str_sub(line, 1, line.len - 2);
		return str_dup(line);
	}
	return NULL;
}

static void write_os(struct jsonw *w)
{
	auto_(buf) text = BUF_INIT(64 * 1024);
	autofree char *name = NULL;
	autofree char *version = NULL;

	if (fs_read_file("/etc/os-release", &text, NULL) == 0 ||
	    fs_read_file("/usr/lib/os-release", &text, NULL) == 0) {
		name = os_release(text.data, "PRETTY_NAME");
		version = os_release(text.data, "VERSION_ID");
	}
	jsonw_kstring(w, "OperatingSystem", name ? name : "Linux");
	jsonw_kstring(w, "OSVersion", version ? version : "");
	jsonw_kstring(w, "OSType", "linux");
}

static bool sysctl_is_on(const char *path)
{
	auto_(buf) text = BUF_INIT(64);

	return fs_read_file(path, &text, NULL) == 0 && text.len > 0 && text.data[0] == '1';
}

static int64_t count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int64_t n = 0;

	if (dir == NULL)
		return 0;
	while (readdir(dir))
		n++;
	closedir(dir);
	/* ".", ".." and the directory's own fd. */
	return n > 3 ? n - 3 : 0;
}

static void write_strings(struct jsonw *w, const char *key, const char *const *list)
{
	jsonw_karray(w, key);
	for (; list && *list; list++)
		jsonw_string(w, *list);
	jsonw_end(w);
}

static bool is_network(const char *s)
{
	return strchr(s, '/') != NULL;
}

static void write_index(struct jsonw *w, const char *name, const char *const *mirrors, bool secure)
{
	jsonw_kobject(w, name);
	jsonw_kstring(w, "Name", name);
	write_strings(w, "Mirrors", mirrors);
	jsonw_kbool(w, "Secure", secure);
	jsonw_kbool(w, "Official", strcmp(name, "docker.io") == 0);
	jsonw_end(w);
}

static void write_registries(struct api *a, struct jsonw *w)
{
	const char *const *insecure = atomic_load(&a->insecure);

	jsonw_kobject(w, "RegistryConfig");
	write_strings(w, "AllowNondistributableArtifactsCIDRs", NULL);
	write_strings(w, "AllowNondistributableArtifactsHostnames", NULL);
	jsonw_karray(w, "InsecureRegistryCIDRs");
	jsonw_string(w, "::1/128");
	jsonw_string(w, "127.0.0.0/8");
	for (const char *const *s = insecure; s && *s; s++)
		if (is_network(*s))
			jsonw_string(w, *s);
	jsonw_end(w);
	jsonw_kobject(w, "IndexConfigs");
	write_index(w, "docker.io", atomic_load(&a->mirrors), true);
	for (const char *const *s = insecure; s && *s; s++)
		if (!is_network(*s))
			write_index(w, *s, NULL, false);
	jsonw_end(w);
	write_strings(w, "Mirrors", atomic_load(&a->mirrors));
	jsonw_end(w);
}

static void write_plugins(struct jsonw *w)
{
	static const char *const volumes[] = { "local", NULL };
	static const char *const networks[] = { "bridge", "host", "null", NULL };
	static const char *const logs[] = { "json-file", "local", "none", NULL };

	jsonw_kobject(w, "Plugins");
	write_strings(w, "Volume", volumes);
	write_strings(w, "Network", networks);
	jsonw_knull(w, "Authorization");
	write_strings(w, "Log", logs);
	jsonw_end(w);
}

static void write_swarm(struct jsonw *w)
{
	jsonw_kobject(w, "Swarm");
	jsonw_kstring(w, "NodeID", "");
	jsonw_kstring(w, "NodeAddr", "");
	jsonw_kstring(w, "LocalNodeState", "inactive");
	jsonw_kbool(w, "ControlAvailable", false);
	jsonw_kstring(w, "Error", "");
	jsonw_knull(w, "RemoteManagers");
	jsonw_end(w);
}

static void write_commit(struct jsonw *w, const char *key, const char *id)
{
	jsonw_kobject(w, key);
	jsonw_kstring(w, "ID", id);
	jsonw_kstring(w, "Expected", id);
	jsonw_end(w);
}

void api_info_write(struct api *a, struct jsonw *w)
{
	struct utsname uts = { 0 };
	struct sysinfo si = { 0 };

	uname(&uts);
	sysinfo(&si);
	jsonw_object(w);
	engine_info(a->config.engine, w);
	write_plugins(w);
	jsonw_kbool(w, "IPv4Forwarding", sysctl_is_on("/proc/sys/net/ipv4/ip_forward"));
	jsonw_kbool(w, "BridgeNfIptables",
		    sysctl_is_on("/proc/sys/net/bridge/bridge-nf-call-iptables"));
	jsonw_kbool(w, "BridgeNfIp6tables",
		    sysctl_is_on("/proc/sys/net/bridge/bridge-nf-call-ip6tables"));
	jsonw_kint(w, "NFd", count_entries("/proc/self/fd"));
	jsonw_kint(w, "NGoroutines", count_entries("/proc/self/task") + 1);
	jsonw_ktime(w, "SystemTime", clock_wall_ns());
	jsonw_kstring(w, "KernelVersion", uts.release);
	write_os(w);
	jsonw_kstring(w, "Architecture", uts.machine);
	jsonw_kstring(w, "IndexServerAddress", "https://index.docker.io/v1/");
	write_registries(a, w);
	jsonw_kint(w, "NCPU", sysconf(_SC_NPROCESSORS_ONLN));
	jsonw_kint(w, "MemTotal", (int64_t)si.totalram * si.mem_unit);
	jsonw_knull(w, "GenericResources");
	jsonw_kstring(w, "Name", uts.nodename);
	jsonw_kbool(w, "ExperimentalBuild", a->config.experimental);
	jsonw_kstring(w, "ServerVersion", PROA_VERSION);
	write_swarm(w);
	jsonw_kstring(w, "Isolation", "");
	write_commit(w, "ContainerdCommit", "");
	write_commit(w, "RuncCommit", "");
	write_commit(w, "InitCommit", "");
	jsonw_karray(w, "CDISpecDirs");
	jsonw_end(w);
	jsonw_key(w, "Warnings");
	engine_warnings_write(a->config.engine, w);
	jsonw_end(w);
}
