/*
 * engine/engine.h: one engine: its configuration, its life.
 *
 * How everything in this room speaks (api/, which knows HTTP, is the caller):
 *   - bodies come in as `const struct json *`, answers go out through `struct
 *     jsonw *`: a function appends exactly one JSON value and nothing on
 *     failure; the caller starts and finishes the writer;
 *   - query values come as plain C values or strings; `filters` is the parsed
 *     JSON of the query key (both shapes, map of bools and map of lists), NULL
 *     = none;
 *   - streams go through `struct writer`. All checks happen before the first
 *     write. A write of length 0 means "established: send the head now"; each
 *     later write is one message, to be flushed. A failing write ends the call
 *     with ERR_CANCELED;
 *   - `ref` is what the user typed: full id, name with or without '/', or a
 *     unique prefix of an id;
 *   - kinds decide the status, msg is Docker's text.
 *
 * Thread-safe. Lock order (take only downwards; none is held across a spawn, a
 * socket, an fsync of data or a callback):
 *   1. container->op      one life-cycle operation (start, stop, rm ...) at a time; the one
 *                         lock that may be held across them: it only delays its own container
 *   2. network room, volume room (their headers)
 *   3. engine->containers_lock   the tables by id and name
 *   4. container->lock    its state
 *   5. engine->execs_lock, engine->events_lock
 *   6. store/db's own lock
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/error.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "base/stream.h"

struct engine;

struct engine_pair {
	const char *key, *value;
};

/* All strings are borrowed until engine_open returns. Lists end with NULL, a
 * NULL list is empty. Zeroed = the defaults of engine_config_defaults. */
struct engine_config {
	const char *data_root;              /* /var/lib/proa */
	const char *exec_root;              /* /run/proa */
	const char *runtime_binary;         /* proa-runtime: shim, init and the default runtime */
	const char *default_runtime;        /* name in `runtimes`, or "proa" */
	const struct engine_pair *runtimes; /* name -> path or name in PATH */
	size_t n_runtimes;
	const char *log_driver;             /* json-file */
	const struct engine_pair *log_opts; /* max-size 10m, max-file 5 */
	size_t n_log_opts;
	const char *userns_auto_user;              /* of /etc/subuid; NULL = "containers" */
	const char *cgroup_parent;                 /* "/docker"; NULL = that; systemd: a slice */
	bool systemd_cgroup;                       /* systemd makes the cgroups */
	const char *storage_driver;                /* "overlay", "copy"; NULL = what works */
	int64_t default_shm_bytes;                 /* 64 MiB */
	const struct engine_pair *default_ulimits; /* "nofile" -> "1024:2048" */
	size_t n_default_ulimits;
	const char *default_ipc_mode;      /* "private", "shareable"; NULL: private */
	const char *default_cgroupns_mode; /* "private", "host"; NULL: as cgroups are */
	bool init, no_new_privileges;      /* of containers that do not say */
	const char *const *labels;
	bool debug;
	/* network */
	const char *bridge; /* "docker0" like name; "none" = no default bridge */
	const char *bip;    /* "172.17.0.1/16"; NULL = first free pool */
	const char *fixed_cidr;
	const char *const *address_pools; /* "172.17.0.0/12,size=16" */
	bool no_icc, no_ip_forward, no_ip_masq, no_nat_rules;
	bool ipv6_auto; /* IPv6 for networks that do not say; not shown as EnableIPv6 */
	bool ipv6;
	const char *fixed_cidr_v6;
	const char *default_publish_ip; /* "0.0.0.0" */
	const char *host_gateway_ip;
	bool firewall_respect; /* published ports obey the host's INPUT policy */
	const char *const *dns, *const *dns_search, *const *dns_opts;
	unsigned mtu; /* 0 = 1500 */
	/* images */
	const char *const *registry_mirrors;
	const char *const *insecure_registries;
	unsigned max_concurrent_downloads, max_concurrent_uploads; /* 3, 5 */
	unsigned max_download_attempts;                  /* 0: the room remote's default */
	const char *http_proxy, *https_proxy, *no_proxy; /* NULL: the environment's */
	/* builds */
	const struct json
	    *builder; /* "builder" of the file: gc of the build cache; NULL: defaults */
	const char *build_ca_certificates; /* PEM file that RUN steps trust too; NULL: none */
};

/* The defaults, static strings. */
void engine_config_defaults(struct engine_config *cfg);

/*
 * Would an engine run with this? Addresses, labels, registries, default runtime, log
 * driver and ulimits are looked at; what only the machine can tell is not. ERR_INVALID
 * with dockerd's words where it has some ("invalid CIDR address: x").
 */
MUST_CHECK int engine_config_check(const struct engine_config *cfg, struct error *err);

/*
 * Open the stores (creating them), take the data root's lock, adopt or finish
 * the containers found, apply restart policies, start the background threads.
 * ERR_CONFLICT when another engine has the data root.
 */
MUST_CHECK int engine_open(const struct engine_config *cfg, struct engine **ret, struct error *err);
/*
 * Take over what may change while running: registry_mirrors,
 * insecure_registries, max_concurrent_*, max_download_attempts,
 * labels, debug. One caller at a time.
 */
MUST_CHECK int engine_reload(struct engine *e, const struct engine_config *cfg, struct error *err);
/* Containers go on. Ends streams and threads first. */
void engine_close(struct engine *e);

/* Around a request that removes something: it works on a full disk, too (store_reserve_give). */
void engine_removal_begins(struct engine *e);
void engine_removal_ends(struct engine *e);
/* True when nothing needs a daemon: no running container, no build. */
bool engine_is_idle(struct engine *e);

/*
 * The engine's part of GET /info: members into an open object. It writes ID
 * Containers ContainersRunning ContainersPaused ContainersStopped Images Driver
 * DriverStatus MemoryLimit SwapLimit CpuCfsPeriod CpuCfsQuota CPUShares CPUSet
 * PidsLimit OomKillDisable Debug LoggingDriver CgroupDriver CgroupVersion
 * NEventsListener DockerRootDir Labels Runtimes DefaultRuntime InitBinary
 * SecurityOptions LiveRestoreEnabled HttpProxy HttpsProxy NoProxy; api/info.c writes the
 * rest (host, versions, plugins, registries, swarm).
 */
void engine_info(struct engine *e, struct jsonw *out);
/* "Warnings" of GET /info: an array of strings, or null. */
void engine_warnings_write(struct engine *e, struct jsonw *out);
