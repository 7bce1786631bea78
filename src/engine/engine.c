/* engine/engine.c: open and close; the order in which the rooms come up. */
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/random.h"
#include "base/str.h"
#include "engine/build.h"
#include "engine/container_internal.h"
#include "engine/event_bus.h"
#include "engine/image.h"
#include "engine/network.h"
#include "engine/stats.h"
#include "engine/volume.h"
#include "image/unpack.h"
#include "store/db.h"
#include "store/store.h"
#include "task/apparmor.h"

#define DATA_ROOT_MODE 0710

void engine_config_defaults(struct engine_config *cfg)
{
	*cfg = (struct engine_config){
		.data_root = "/var/lib/proa",
		.exec_root = "/run/proa",
		.runtime_binary = "/usr/bin/proa-runtime",
		.default_runtime = "proa",
		.log_driver = "json-file",
		.cgroup_parent = "/docker",
		.userns_auto_user = "containers",
		.default_shm_bytes = 64 << 20,
		.bridge = "proa0",
		.default_publish_ip = "0.0.0.0",
		.max_concurrent_downloads = 3,
		.max_concurrent_uploads = 5,
	};
}

/* ---- a configuration of our own ---- */

static const char *const *copy_list(struct arena *a, const char *const *list)
{
	const char **out;
	size_t n = 0;

	while (list && list[n])
		n++;
	out = arena_array(a, n + 1, sizeof(*out));
	for (n = 0; list && list[n]; n++)
		out[n] = arena_strdup(a, list[n]);
	return out;
}

static const struct engine_pair *copy_pairs(struct arena *a, const struct engine_pair *p, size_t n)
{
	struct engine_pair *out = arena_array(a, n + 1, sizeof(*out));
	size_t i;

	for (i = 0; i < n; i++) {
		out[i].key = arena_strdup(a, p[i].key);
		out[i].value = arena_strdup(a, p[i].value);
	}
	return out;
}

static void copy_config(struct arena *a, const struct engine_config *from, struct engine_config *to)
{
	struct engine_config d;
	const char **texts[] = { &to->data_root,
				 &to->exec_root,
				 &to->runtime_binary,
				 &to->default_runtime,
				 &to->log_driver,
				 &to->cgroup_parent,
				 &to->default_ipc_mode,
				 &to->default_cgroupns_mode,
				 &to->storage_driver,
				 &to->bridge,
				 &to->bip,
				 &to->fixed_cidr,
				 &to->fixed_cidr_v6,
				 &to->default_publish_ip,
				 &to->userns_auto_user,
				 &to->host_gateway_ip,
				 &to->http_proxy,
				 &to->https_proxy,
				 &to->no_proxy,
				 &to->build_ca_certificates };
	const char *fallback[ARRAY_LEN(texts)];
	const char *const **lists[] = { &to->labels,
					&to->address_pools,
					&to->dns,
					&to->dns_search,
					&to->dns_opts,
					&to->registry_mirrors,
					&to->insecure_registries };
	size_t i;

	engine_config_defaults(&d);
	*to = d;
	for (i = 0; i < ARRAY_LEN(texts); i++)
		fallback[i] = *texts[i];
	*to = *from;
	for (i = 0; i < ARRAY_LEN(texts); i++)
		*texts[i] = arena_strdup(a, *texts[i] ? *texts[i] : fallback[i]);
	for (i = 0; i < ARRAY_LEN(lists); i++)
		*lists[i] = copy_list(a, *lists[i]);
	to->runtimes = copy_pairs(a, to->runtimes, to->n_runtimes);
	to->log_opts = copy_pairs(a, to->log_opts, to->n_log_opts);
	to->default_ulimits = copy_pairs(a, to->default_ulimits, to->n_default_ulimits);
	if (to->default_shm_bytes == 0)
		to->default_shm_bytes = d.default_shm_bytes;
	if (to->max_concurrent_downloads == 0)
		to->max_concurrent_downloads = d.max_concurrent_downloads;
	if (to->max_concurrent_uploads == 0)
		to->max_concurrent_uploads = d.max_concurrent_uploads;
}

/* ---- open ---- */

/* A disk mounted there, or a package, brings 0755: then every user of the machine could run the
 * set-uid programs of images (CVE-2021-41091). */
static int close_to_others(int fd, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_sys(err, errno, "stat the data root");
	if ((st.st_mode & 07777 & ~DATA_ROOT_MODE) != 0 &&
	    fchmod(fd, st.st_mode & DATA_ROOT_MODE) < 0)
		return error_sys(err, errno, "close the data root to other users");
	return 0;
}

static int open_directories(struct engine *e, struct error *err)
{
	int r;

	r = fs_mkdir_all(e->cfg.data_root, DATA_ROOT_MODE, err);
	if (r == 0)
		r = fs_mkdir_all(e->cfg.exec_root, 0711, err);
	if (r == 0)
		r = fs_open(e->cfg.data_root, O_RDONLY | O_DIRECTORY, 0, &e->data_fd, err);
	if (r == 0)
		r = close_to_others(e->data_fd, err);
	if (r == 0)
		r = fs_open(e->cfg.exec_root, O_RDONLY | O_DIRECTORY, 0, &e->exec_fd, err);
	return r;
}

static int open_id(struct engine *e, struct error *err)
{
	auto_(buf) b = BUF_INIT(128);
	char bytes[33];
	struct str text;

	if (fs_read_at(e->data_fd, "engine-id", &b, NULL) == 0 && b.len > 0) {
		text = str_trim((struct str){ b.data, b.len });
		if (text.len < sizeof(e->id)) {
			memcpy(e->id, text.at, text.len);
			return 0;
		}
	}
	random_hex(bytes, 16);
	memcpy(e->id, bytes, sizeof(bytes));
	return fs_replace(e->data_fd, "engine-id", 0600, bytes, 32, err);
}

/* What a power cut, or a kill right behind a pull, may have left half on disk. */
static int check_layers(struct engine *e, struct error *err)
{
	size_t again = 0, lost = 0;
	int r = unpack_unsure(e->store, &again, &lost, err);
	char n[24];

	if (again > 0) {
		snprintf(n, sizeof(n), "%zu", again);
		log_info("layers were not on disk for sure and are unpacked again",
			 KV("layers", n));
	}
	if (lost > 0) {
		snprintf(n, sizeof(n), "%zu", lost);
		log_error("layers are lost, pull or load their images again", KV("layers", n));
	}
	if (r == 0)
		store_sync_later(e->store);
	return r;
}

static int open_store(struct engine *e, struct error *err)
{
	struct store_options options = { .driver = e->cfg.storage_driver, .sync_later = true };
	struct error local = { 0 };
	int r = store_open(e->cfg.data_root, &options, &e->store, &local);

	if (r == -ERR_UNAVAILABLE)
		return error_set(err, ERR_CONFLICT, "%s", local.msg);
	return r < 0 ? error_set(err, local.kind, "%s", local.msg) : check_layers(e, err);
}

/* Tasks, network namespaces and ports of the exec root are one engine's. */
static int lock_exec_root(struct engine *e, struct error *err)
{
	int r = fs_lock(e->exec_fd, err);

	return r == -ERR_UNAVAILABLE
		   ? error_set(err, ERR_CONFLICT, "the exec root '%s' is used by another process",
			       e->cfg.exec_root)
		   : r;
}

static int open_tasks(struct engine *e, struct error *err)
{
	autofree char *dir = cstr_format("%s/tasks", e->cfg.exec_root);
	struct task_host_config cfg = { .shim_path = e->cfg.runtime_binary,
					.tasks_dir = dir,
					.warm = true };

	return task_host_open(&cfg, &e->tasks, err);
}

static int open_rooms(struct engine *e, struct error *err)
{
	int r;

	r = open_directories(e, err);
	if (r == 0)
		r = open_id(e, err);
	if (r == 0)
		r = open_store(e, err);
	if (r == 0)
		r = lock_exec_root(e, err);
	if (r == 0)
		r = open_tasks(e, err);
	if (r == 0)
		r = container_table_load(e, err);
	if (r == 0)
		r = image_room_open(e, err);
	if (r == 0)
		r = volume_room_open(e, err);
	if (r == 0)
		r = network_room_open(e, err);
	if (r == 0)
		r = build_room_open(e, err);
	return r;
}

/* Ahead, so that who reads the log knows; each start looks again. */
static void load_apparmor(void)
{
	enum apparmor_support support = apparmor_support(&apparmor_this_host);
	struct error err = { 0 };

	if (support == APPARMOR_NO_PARSER)
		log_warn("AppArmor is on, and containers are not confined by it: there is no "
			 "apparmor_parser (Debian: apt install apparmor), continuing");
	else if (support == APPARMOR_ON && apparmor_ensure(&apparmor_this_host, &err) < 0)
		log_error("no container starts but with --security-opt apparmor=unconfined",
			  KV_ERR(&err));
}

int engine_open(const struct engine_config *cfg, struct engine **ret, struct error *err)
{
	struct engine *e = new0(struct engine);
	int r;

	copy_config(&e->arena, cfg, &e->cfg);
	e->data_fd = e->exec_fd = e->closing.fd = FD_NONE;
	pthread_mutex_init(&e->reload_lock.mutex, NULL);
	pthread_mutex_init(&e->containers_lock.mutex, NULL);
	pthread_mutex_init(&e->execs_lock.mutex, NULL);
	pthread_mutex_init(&e->events_lock.mutex, NULL);
	e->reserved_names.free_value = free;
	workers_init(&e->workers);
	e->events = event_bus_new(&e->events_lock);
	r = cancel_init(&e->closing, err);
	if (r == 0)
		r = open_rooms(e, err);
	if (r < 0) {
		engine_close(e);
		return r;
	}
	load_apparmor();
	container_recover_all(e);
	*ret = e;
	return 0;
}

void engine_removal_begins(struct engine *e)
{
	store_reserve_give(e->store);
}

void engine_removal_ends(struct engine *e)
{
	store_reserve_keep(e->store);
}

static void take_over(struct engine *e, const struct engine_config *cfg)
{
	LOCKED(&e->reload_lock);
	e->cfg.registry_mirrors = copy_list(&e->arena, cfg->registry_mirrors);
	e->cfg.insecure_registries = copy_list(&e->arena, cfg->insecure_registries);
	if (cfg->max_concurrent_downloads > 0)
		e->cfg.max_concurrent_downloads = cfg->max_concurrent_downloads;
	if (cfg->max_concurrent_uploads > 0)
		e->cfg.max_concurrent_uploads = cfg->max_concurrent_uploads;
	e->cfg.max_download_attempts = cfg->max_download_attempts;
	e->cfg.labels = copy_list(&e->arena, cfg->labels);
	e->cfg.debug = cfg->debug;
}

int engine_reload(struct engine *e, const struct engine_config *cfg, struct error *err)
{
	take_over(e, cfg);
	return engine_image_reload(e, err);
}

struct engine_config engine_config_now(struct engine *e)
{
	LOCKED(&e->reload_lock);
	return e->cfg;
}

void engine_close(struct engine *e)
{
	if (e == NULL)
		return;
	if (e->closing.fd >= 0)
		cancel_fire(&e->closing);
	if (e->builds)
		build_room_close(e);
	workers_finish(&e->workers);
	if (e->tasks)
		task_host_close(e->tasks);
	if (e->networks)
		network_room_close(e);
	if (e->volumes)
		volume_room_close(e);
	if (e->images)
		image_room_close(e);
	map_for_each (entry, &e->containers_by_id)
		container_unref(entry->value);
	map_release(&e->containers_by_id);
	map_release(&e->containers_by_name);
	map_release(&e->reserved_names);
	map_release(&e->execs);
	if (e->store)
		store_close(e->store);
	event_bus_free(e->events);
	if (e->data_fd >= 0)
		close(e->data_fd);
	if (e->exec_fd >= 0)
		close(e->exec_fd);
	if (e->closing.fd >= 0)
		cancel_release(&e->closing);
	arena_release(&e->arena);
	free(e);
}

bool engine_is_idle(struct engine *e)
{
	struct container_counts n;

	container_counts(e, &n);
	return n.running == 0 && n.paused == 0;
}
