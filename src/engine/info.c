/* engine/info.c: what GET /info tells of the engine. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "engine/container_internal.h"
#include "engine/event_bus.h"
#include "engine/network.h"
#include "engine/stats.h"
#include "store/images.h"
#include "store/snapshot.h"
#include "store/store.h"
#include "task/apparmor.h"

void container_counts(struct engine *e, struct container_counts *ret)
{
	*ret = (struct container_counts){ 0 };
	LOCKED(&e->containers_lock);
	map_for_each (entry, &e->containers_by_id) {
		struct container *c = entry->value;

		LOCKED(&c->lock);
		ret->all++;
		if (c->status == CONTAINER_PAUSED)
			ret->paused++;
		else if (container_is_running(c))
			ret->running++;
		else
			ret->stopped++;
	}
}

static void info_limits(struct jsonw *w)
{
	static const char *const yes[] = { "MemoryLimit", "SwapLimit",     "CpuCfsPeriod",
					   "CpuCfsQuota", "CPUShares",     "CPUSet",
					   "PidsLimit",   "OomKillDisable" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(yes); i++)
		jsonw_kbool(w, yes[i], true);
}

static void info_cgroup(const struct engine *e, struct jsonw *w)
{
	auto_(arena) a = ARENA_INIT;
	struct cgroup_host host;
	const char *mode = "v1";

	if (cgroup_host_detect(&a, &host, NULL) == 0)
		mode = cgroup_host_mode(&host);
	jsonw_kstring(w, "CgroupDriver", e->cfg.systemd_cgroup ? "systemd" : "cgroupfs");
	jsonw_kstring(w, "CgroupVersion", strcmp(mode, "v2") == 0 ? "2" : "1");
}

static void info_runtimes(const struct engine *e, struct jsonw *w)
{
	size_t i;

	jsonw_kobject(w, "Runtimes");
	jsonw_kobject(w, "proa");
	jsonw_kstring(w, "path", e->cfg.runtime_binary);
	jsonw_end(w);
	for (i = 0; i < e->cfg.n_runtimes; i++) {
		if (strcmp(e->cfg.runtimes[i].key, "proa") == 0)
			continue;
		jsonw_kobject(w, e->cfg.runtimes[i].key);
		jsonw_kstring(w, "path", e->cfg.runtimes[i].value);
		jsonw_end(w);
	}
	jsonw_end(w);
	jsonw_kstring(w, "DefaultRuntime", e->cfg.default_runtime);
}

/* What room remote uses; a password in it is nobody's business. */
static void info_proxy(struct jsonw *w, const char *key, const char *value, const char *low,
		       const char *high)
{
	autofree char *masked = NULL;
	const char *host, *at;

	if (value == NULL)
		value = getenv(low) ? getenv(low) : getenv(high);
	value = value ? value : "";
	host = strstr(value, "://") ? strstr(value, "://") + 3 : value;
	at = strrchr(host, '@');
	if (at)
		masked = cstr_format("%.*sxxxxx:xxxxx%s", (int)(host - value), value, at);
	jsonw_kstring(w, key, masked ? masked : value);
}

static int count_image(void *arg, const struct image_row *row, struct error *err)
{
	(void)row;
	(void)err;
	++*(int64_t *)arg;
	return 0;
}

void engine_info(struct engine *e, struct jsonw *w)
{
	const struct engine_config now = engine_config_now(e);
	struct container_counts n;
	const char *const *l;
	int64_t images = 0;

	container_counts(e, &n);
	(void)!images_each(e->store, count_image, &images, NULL);
	jsonw_kstring(w, "ID", e->id);
	jsonw_kint(w, "Containers", n.all);
	jsonw_kint(w, "ContainersRunning", n.running);
	jsonw_kint(w, "ContainersPaused", n.paused);
	jsonw_kint(w, "ContainersStopped", n.stopped);
	jsonw_kint(w, "Images", images);
	jsonw_kstring(w, "Driver", snapshot_driver_name(snapshots_driver(e->store->snapshots)));
	jsonw_karray(w, "DriverStatus");
	jsonw_end(w);
	jsonw_kstring(w, "DockerRootDir", e->cfg.data_root);
	jsonw_karray(w, "Labels");
	for (l = now.labels; l && *l; l++)
		jsonw_string(w, *l);
	jsonw_end(w);
	info_limits(w);
	info_cgroup(e, w);
	jsonw_kstring(w, "LoggingDriver", e->cfg.log_driver);
	jsonw_kbool(w, "Debug", now.debug);
	jsonw_kint(w, "NEventsListener", event_bus_readers(e->events));
	info_runtimes(e, w);
	info_proxy(w, "HttpProxy", e->cfg.http_proxy, "http_proxy", "HTTP_PROXY");
	info_proxy(w, "HttpsProxy", e->cfg.https_proxy, "https_proxy", "HTTPS_PROXY");
	info_proxy(w, "NoProxy", e->cfg.no_proxy, "no_proxy", "NO_PROXY");
	jsonw_kbool(w, "LiveRestoreEnabled", true);
	jsonw_kstring(w, "InitBinary", "proa-runtime");
	jsonw_karray(w, "SecurityOptions");
	if (apparmor_support(&apparmor_this_host) == APPARMOR_ON)
		jsonw_string(w, "name=apparmor");
	jsonw_string(w, "name=seccomp,profile=builtin");
	if (e->cfg.no_new_privileges)
		jsonw_string(w, "name=no-new-privileges");
	jsonw_end(w);
}

void engine_warnings_write(struct engine *e, struct jsonw *w)
{
	autofree char *network = network_warning(e);
	bool unconfined = apparmor_support(&apparmor_this_host) == APPARMOR_NO_PARSER;

	if (network == NULL && !unconfined) {
		jsonw_null(w);
		return;
	}
	jsonw_array(w);
	if (unconfined)
		jsonw_string(w, "WARNING: AppArmor is on, and containers are not confined by it: "
				"there is no apparmor_parser (Debian: apt install apparmor)");
	if (network != NULL)
		jsonw_string(w, network);
	jsonw_end(w);
}
