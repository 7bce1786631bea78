#include "main/daemon.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "build/build.h"
#include "build/cache_policy.h"

/* Pairs of a flag's k=v values and of an object of the file. */
static size_t read_pairs(struct settings *s, const char *flag, const struct engine_pair **ret)
{
	const char *const *values = settings_list(s, flag);
	struct engine_pair *pairs;
	size_t n = 0;

	while (values && values[n])
		n++;
	pairs = arena_array(&s->arena, n + 1, sizeof(*pairs));
	for (size_t i = 0; i < n; i++) {
		const char *equals = strchr(values[i], '=');

		pairs[i].key = arena_strndup(&s->arena, values[i], (size_t)(equals - values[i]));
		pairs[i].value = equals + 1;
	}
	*ret = pairs;
	return n;
}

/* --add-runtime NAME=PATH and "runtimes": {NAME: {"path": PATH}}. */
static int read_runtimes(struct settings *s, struct engine_config *cfg, struct error *err)
{
	const struct json *object = json_get(s->file, "runtimes");
	const struct engine_pair *flags;
	size_t n = read_pairs(s, "add-runtime", &flags);
	size_t n_file = object && object->type == JSON_OBJECT ? object->n_members : 0;
	struct engine_pair *all = arena_array(&s->arena, n + n_file + 1, sizeof(*all));

	if (n > 0)
		memcpy(all, flags, n * sizeof(*all));
	json_for_each_member (m, object) {
		const char *path = json_str(m->value, "path");
		const struct json *args = json_get(m->value, "runtimeArgs");

		if (path == NULL || (args && args->n_items > 0))
			return error_set(err, ERR_INVALID,
					 "runtimes.%s: want a path, and no runtimeArgs", m->key);
		all[n].key = m->key;
		all[n++].value = path;
	}
	cfg->runtimes = all;
	cfg->n_runtimes = n;
	return 0;
}

/* --default-ulimit nofile=1024:2048 and {"nofile": {"Soft": 1, "Hard": 2}}. */
static int read_ulimits(struct settings *s, struct engine_config *cfg, struct error *err)
{
	const struct json *object = json_get(s->file, "default-ulimits");
	const struct engine_pair *flags;
	size_t n = read_pairs(s, "default-ulimit", &flags);
	size_t n_file = object && object->type == JSON_OBJECT ? object->n_members : 0;
	struct engine_pair *all = arena_array(&s->arena, n + n_file + 1, sizeof(*all));

	if (n > 0)
		memcpy(all, flags, n * sizeof(*all));
	json_for_each_member (m, object) {
		if (m->value->type != JSON_OBJECT)
			return error_set(err, ERR_INVALID, "default-ulimits.%s: want an object",
					 m->key);
		all[n].key = m->key;
		all[n++].value =
		    arena_format(&s->arena, "%lld:%lld", (long long)json_int(m->value, "Soft", 0),
				 (long long)json_int(m->value, "Hard", 0));
	}
	cfg->default_ulimits = all;
	cfg->n_default_ulimits = n;
	return 0;
}

/* Flags and [{"base": "10.0.0.0/8", "size": 24}] as "10.0.0.0/8,size=24". */
static int read_pools(struct settings *s, struct engine_config *cfg, struct error *err)
{
	const struct json *list = json_get(s->file, "default-address-pools");
	const char *const *flags = settings_list(s, "default-address-pool");
	size_t n = 0, n_file = list && list->type == JSON_ARRAY ? list->n_items : 0;
	const char **pools;

	while (flags && flags[n])
		n++;
	if (n + n_file == 0)
		return 0;
	pools = arena_array(&s->arena, n + n_file + 1, sizeof(*pools));
	for (size_t i = 0; i < n; i++)
		pools[i] = strncmp(flags[i], "base=", 5) == 0 ? flags[i] + 5 : flags[i];
	json_for_each_item (pool, list) {
		const char *base = json_str(pool, "base");

		if (base == NULL)
			return error_set(err, ERR_INVALID,
					 "default-address-pools: want base and "
					 "size");
		pools[n++] = arena_format(&s->arena, "%s,size=%lld", base,
					  (long long)json_int(pool, "size", 24));
	}
	cfg->address_pools = pools;
	return 0;
}

static int read_network(struct settings *s, struct engine_config *cfg, struct error *err)
{
	if (settings_given(s, "bridge-name"))
		cfg->bridge = settings_str(s, "bridge-name");
	if (settings_given(s, "bridge"))
		cfg->bridge = settings_str(s, "bridge");
	if (settings_given(s, "bip") && cfg->bridge && strcmp(cfg->bridge, "none") == 0)
		return error_set(err, ERR_INVALID,
				 "You specified -b & --bip, mutually exclusive options. Please "
				 "specify only one");
	cfg->userns_auto_user = settings_str(s, "userns-auto-user");
	cfg->bip = settings_str(s, "bip");
	cfg->fixed_cidr = settings_str(s, "fixed-cidr");
	cfg->fixed_cidr_v6 = settings_str(s, "fixed-cidr-v6");
	cfg->no_icc = !settings_bool(s, "icc", true);
	cfg->no_ip_forward = !settings_bool(s, "ip-forward", true);
	cfg->no_ip_masq = !settings_bool(s, "ip-masq", true);
	cfg->no_nat_rules = !settings_bool(s, "iptables", true);
	/* Said or not said: what nobody asked for is given but not shown as asked for. */
	cfg->ipv6 = settings_bool(s, "ipv6", false);
	cfg->ipv6_auto = settings_bool(s, "ipv6", true);
	cfg->default_publish_ip = settings_str(s, "ip");
	cfg->host_gateway_ip = settings_str(s, "host-gateway-ip");
	cfg->dns = settings_list(s, "dns");
	cfg->dns_search = settings_list(s, "dns-search");
	cfg->dns_opts = settings_list(s, "dns-opt");
	cfg->mtu = (unsigned)settings_int(s, "mtu", 0);
	cfg->firewall_respect = strcmp(settings_str(s, "firewall"), "respect") == 0;
	if (!cfg->firewall_respect && strcmp(settings_str(s, "firewall"), "open") != 0)
		return error_set(err, ERR_INVALID, "invalid firewall '%s': want open or respect",
				 settings_str(s, "firewall"));
	return read_pools(s, cfg, err);
}

/* proa-runtime stands beside proad. */
static const char *runtime_binary(struct settings *s)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		return "proa-runtime";
	path[n] = 0;
	slash = strrchr(path, '/');
	if (slash)
		*slash = 0;
	return arena_format(&s->arena, "%s/proa-runtime", path);
}

static int read_exec_opts(const struct settings *s, struct engine_config *cfg, struct error *err)
{
	const char *const *list = settings_list(s, "exec-opt");

	for (; list && *list; list++) {
		cfg->systemd_cgroup = strcmp(*list, "native.cgroupdriver=systemd") == 0;
		if (!cfg->systemd_cgroup && strcmp(*list, "native.cgroupdriver=cgroupfs") != 0)
			return error_set(err, ERR_UNIMPLEMENTED,
					 "exec-opt '%s' is not supported yet", *list);
	}
	if (!cfg->systemd_cgroup)
		return 0;
	if (!settings_given(s, "cgroup-parent"))
		cfg->cgroup_parent = "system.slice";
	if (!cstr_ends(cfg->cgroup_parent, ".slice"))
		return error_set(err, ERR_INVALID,
				 "cgroup-parent '%s': for the systemd cgroup driver it is a slice "
				 "named as \"xxx.slice\"",
				 cfg->cgroup_parent);
	return 0;
}

/* What docker's documentation of storage drivers told people to write, and has no effect there. */
static int check_storage_opts(const struct settings *s, struct error *err)
{
	const char *const *list = settings_list(s, "storage-opt");

	for (; list && *list; list++)
		if (!cstr_starts(*list, "overlay2.override_kernel_check=") &&
		    !cstr_starts(*list, "overlay.override_kernel_check="))
			return error_set(err, ERR_UNIMPLEMENTED,
					 "storage-opt '%s' is not supported yet", *list);
	return 0;
}

static const char *storage_driver(const struct settings *s)
{
	const char *name = settings_str(s, "storage-driver");

	/* Docker's names for the same things. */
	if (name && strcmp(name, "overlay2") == 0)
		return "overlay";
	if (name && strcmp(name, "vfs") == 0)
		return "copy";
	return name;
}

/* Unknown names fail when the engine looks them up, except docker's default. */
static const char *default_runtime(const struct settings *s)
{
	const char *name = settings_str(s, "default-runtime");

	return strcmp(name, "runc") == 0 && !settings_given(s, "add-runtime") ? "proa" : name;
}

/* {"ca-certificates": FILE}: build steps trust these too. */
static int read_build(struct settings *s, struct engine_config *cfg, struct error *err)
{
	const struct json *build = json_get(s->file, "build");

	json_for_each_member (m, build) {
		if (strcmp(m->key, "ca-certificates") != 0)
			return error_set(err, ERR_INVALID,
					 "build: '%s' is not a configuration option", m->key);
		if (m->value->type != JSON_STRING || m->value->s[0] != '/')
			return error_set(err, ERR_INVALID,
					 "build.ca-certificates: want the absolute path of a file");
		cfg->build_ca_certificates = m->value->s;
	}
	return 0;
}

/* {"http-proxy": URL, "https-proxy": URL, "no-proxy": LIST}: of the engine's own requests. */
static int read_proxies(struct settings *s, struct engine_config *cfg, struct error *err)
{
	json_for_each_member (m, json_get(s->file, "proxies")) {
		const char **to = strcmp(m->key, "http-proxy") == 0    ? &cfg->http_proxy
				  : strcmp(m->key, "https-proxy") == 0 ? &cfg->https_proxy
				  : strcmp(m->key, "no-proxy") == 0    ? &cfg->no_proxy
								       : NULL;

		if (to == NULL)
			return error_set(err, ERR_INVALID,
					 "proxies: '%s' is not a configuration option", m->key);
		if (m->value->type != JSON_STRING)
			return error_set(err, ERR_INVALID, "proxies.%s: want a string", m->key);
		*to = m->value->s;
	}
	return 0;
}

static int one_of(const struct settings *s, const char *flag, const char *a, const char *b,
		  const char **ret, struct error *err)
{
	const char *value = settings_given(s, flag) ? settings_str(s, flag) : NULL;

	if (value && strcmp(value, a) != 0 && strcmp(value, b) != 0)
		return error_set(err, ERR_INVALID, "%s '%s' is not supported: want %s or %s", flag,
				 value, a, b);
	*ret = value;
	return 0;
}

/* What containers get that do not say. */
static int read_defaults(const struct settings *s, struct engine_config *cfg, struct error *err)
{
	int r = one_of(s, "default-ipc-mode", "private", "shareable", &cfg->default_ipc_mode, err);

	if (r == 0)
		r = one_of(s, "default-cgroupns-mode", "private", "host",
			   &cfg->default_cgroupns_mode, err);
	cfg->init = settings_bool(s, "init", false);
	cfg->no_new_privileges = settings_bool(s, "no-new-privileges", false);
	return r;
}

static int read_pull(struct settings *s, struct engine_config *cfg, struct error *err)
{
	int64_t attempts = settings_int(s, "max-download-attempts", 0);

	if (settings_given(s, "max-download-attempts") && attempts <= 0)
		return error_set(err, ERR_INVALID, "invalid max download attempts: %lld",
				 (long long)attempts);
	cfg->max_download_attempts = (unsigned)attempts;
	cfg->registry_mirrors = settings_list(s, "registry-mirror");
	cfg->insecure_registries = settings_list(s, "insecure-registry");
	if (settings_int(s, "max-concurrent-downloads", 3) < 0)
		return error_set(err, ERR_INVALID, "invalid max concurrent downloads: %lld",
				 (long long)settings_int(s, "max-concurrent-downloads", 3));
	if (settings_int(s, "max-concurrent-uploads", 5) < 0)
		return error_set(err, ERR_INVALID, "invalid max concurrent uploads: %lld",
				 (long long)settings_int(s, "max-concurrent-uploads", 5));
	cfg->max_concurrent_downloads = (unsigned)settings_int(s, "max-concurrent-downloads", 3);
	cfg->max_concurrent_uploads = (unsigned)settings_int(s, "max-concurrent-uploads", 5);
	return read_proxies(s, cfg, err);
}

/* {"gc": ..., "entitlements": ...}: read again by the builder, which knows its disk. */
static int read_builder(struct settings *s, struct engine_config *cfg, struct error *err)
{
	auto_(arena) a = ARENA_INIT;
	struct cache_rules rules;
	bool net_host;
	int r;

	cfg->builder = json_get(s->file, "builder");
	r = builder_entitlements(cfg->builder, &net_host, err);
	return r < 0 ? r : cache_rules_read(&a, cfg->builder, INT64_MAX, &rules, err);
}

int daemon_engine_config(struct settings *s, struct engine_config *ret, struct error *err)
{
	struct engine_config cfg = { 0 };
	const char *log_driver = settings_str(s, "log-driver");
	const struct engine_pair *log_opts;
	size_t n_log_opts = read_pairs(s, "log-opt", &log_opts);
	int r;

	engine_config_defaults(&cfg);
	cfg.data_root = settings_str(s, "data-root");
	cfg.exec_root = settings_str(s, "exec-root");
	if (cfg.data_root[0] != '/' || cfg.exec_root[0] != '/')
		return error_set(err, ERR_INVALID,
				 "data-root and exec-root must be absolute paths");
	cfg.runtime_binary = runtime_binary(s);
	cfg.default_runtime = default_runtime(s);
	if (settings_given(s, "log-driver"))
		cfg.log_driver = log_driver;
	if (n_log_opts > 0) {
		cfg.log_opts = log_opts;
		cfg.n_log_opts = n_log_opts;
	}
	if (settings_given(s, "cgroup-parent"))
		cfg.cgroup_parent = settings_str(s, "cgroup-parent");
	cfg.storage_driver = storage_driver(s);
	if (settings_given(s, "default-shm-size"))
		cfg.default_shm_bytes = settings_int(s, "default-shm-size", 0);
	cfg.labels = settings_list(s, "label");
	cfg.debug = settings_bool(s, "debug", false);
	r = read_exec_opts(s, &cfg, err);
	if (r == 0)
		r = check_storage_opts(s, err);
	if (r == 0)
		r = read_pull(s, &cfg, err);
	if (r == 0)
		r = read_defaults(s, &cfg, err);
	if (r == 0)
		r = read_runtimes(s, &cfg, err);
	if (r == 0)
		r = read_ulimits(s, &cfg, err);
	if (r == 0)
		r = read_network(s, &cfg, err);
	if (r == 0)
		r = read_build(s, &cfg, err);
	if (r == 0)
		r = read_builder(s, &cfg, err);
	if (r == 0)
		r = engine_config_check(&cfg, err);
	if (r == 0)
		*ret = cfg;
	return r;
}

int daemon_setup_log(const struct settings *s, struct error *err)
{
	const char *format = settings_str(s, "log-format");
	enum log_level level;
	bool json = strcmp(format, "json") == 0;

	if (!json && strcmp(format, "text") != 0)
		return error_set(err, ERR_INVALID, "invalid log format: %s", format);
	if (log_level_parse(settings_str(s, "log-level"), &level, NULL) < 0)
		return error_set(err, ERR_INVALID, "unable to parse logging level: %s",
				 settings_str(s, "log-level"));
	if (settings_bool(s, "debug", false))
		level = LOG_DEBUG;
	log_setup(STDERR_FILENO, level, json ? LOG_JSON : LOG_TEXT);
	return 0;
}
