/*
 * engine/network.h: Docker's networks: what the API says about them, what a
 * container gets from them, what of it is remembered.
 *
 * The endpoints of every container, also of stopped ones, are kept here (in
 * meta.db); the container files tell its life (create, attach, detach, forget,
 * rename) and ask for JSON. Error texts and kinds are Docker's.
 *
 * Locks: the room's own lock is the 2nd of engine/engine.h; it is held across
 * netlink calls (tens of microseconds), never across a spawn.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/json.h"
#include "base/jsonw.h"
#include "network/network.h"

struct engine;
struct container;
struct network_sandbox; /* engine/internal.h */

/* Sets e->networks: reads the networks from e->db, makes bridge, host and none.
 * Uses e->cfg (bridge, bip, address_pools, dns, mtu, ...), e->exec_fd. */
MUST_CHECK int network_room_open(struct engine *e, struct error *err);
/* What running containers use stays, for the next proad; else nothing is left. */
void network_room_close(struct engine *e);
/*
 * At start, once all containers are in the tables and before any is started:
 * sandboxes of running containers are adopted (DNS, ports, rules), those of
 * dead ones removed; then the firewall table is written.
 */
MUST_CHECK int network_room_restore(struct engine *e, struct error *err);

/* ---- Engine API: /networks ---- */
/* Filters driver id label name scope type dangling. Writes an array. */
MUST_CHECK int network_list(struct engine *e, const struct json *filters, struct jsonw *w,
			    struct error *err);
/* scope: NULL or "local"; others find nothing. ERR_NOT_FOUND "network x not found". */
MUST_CHECK int network_inspect(struct engine *e, const char *ref, bool verbose, const char *scope,
			       struct jsonw *w, struct error *err);
/*
 * Writes {"Id","Warning"}. ERR_CONFLICT "network with name x already exists";
 * ERR_FORBIDDEN for predefined names; ERR_UNIMPLEMENTED for drivers not served.
 *
 * duplicates  a second network of that name is made, with a warning, unless the body says
 *             CheckDuplicate; the name then finds neither. Peer: dockerd before API 1.44.
 */
MUST_CHECK int network_create(struct engine *e, const struct json *body, bool duplicates,
			      struct jsonw *w, struct error *err);
/* ERR_FORBIDDEN "error while removing network: network x id y has active endpoints". */
MUST_CHECK int network_remove(struct engine *e, const char *ref, struct error *err);
/* body {"Container","EndpointConfig"}. Takes the container's op lock. */
MUST_CHECK int network_connect(struct engine *e, const char *ref, const struct json *body,
			       struct error *err);
/* body {"Container","Force"}. Takes the container's op lock. */
MUST_CHECK int network_disconnect(struct engine *e, const char *ref, const struct json *body,
				  struct error *err);
/* Writes {"NetworksDeleted": [names] or null}. Filters label label! until. */
MUST_CHECK int network_prune(struct engine *e, const struct json *filters, struct jsonw *w,
			     struct error *err);

/* ---- the life of a container: c->op is held by the caller, c->lock is not ---- */
/*
 * At create, with c->config, c->host_config and c->networking set: check
 * (modes, IPs, ports, MACs) and remember. A network that does not exist is
 * first reported by attach, as dockerd does.
 */
MUST_CHECK int network_container_create(struct container *c, struct error *err);
/*
 * At start: sandbox, endpoints, ports, names. Undone by network_detach. What a
 * crash left attached is detached first. On failure nothing is left attached.
 * For mode container:<id> ret has the other's sandbox and no files (share the
 * other's). ERR_NOT_FOUND "network x not found"; ERR_SYSTEM "driver failed
 * programming external connectivity on endpoint ...".
 */
MUST_CHECK int network_attach(struct container *c, struct network_sandbox *ret, struct error *err);
/* At exit of the container. Never fails; nothing attached is fine. */
void network_detach(struct container *c);
/* At rm. */
void network_forget(struct container *c);
/* After c->name changed. */
void network_renamed(struct container *c);

/* The "NetworkSettings" object of inspect (all keys of API 1.41). */
void network_settings_write(struct container *c, struct jsonw *w);
/* The "NetworkSettings" object of /containers/json: {"Networks":{...}}. */
void network_summary_write(struct container *c, struct jsonw *w);
/* The "Ports" array of /containers/json. */
void network_ports_write(struct container *c, struct jsonw *w);
/* For `ps --filter network=x`: x is a name, an id or an id's prefix. */
bool network_container_uses(struct container *c, const char *ref);
/* For `ps --filter publish=` and `expose=`: "80", "80/tcp", "80-90/udp". */
MUST_CHECK int network_port_matches(struct container *c, const char *filter, bool published,
				    bool *ret, struct error *err);
/* "networks" of stats; *ret freed by the caller, empty for host and none. */
MUST_CHECK int network_stats(struct container *c, struct net_stats **ret, size_t *ret_n,
			     struct error *err);

/* The IPv4 address of a running container on the default bridge; false: it has none. */
bool network_bridge_address(struct container *c, char out[static NET_ADDR_TEXT_MAX]);

/* Set "net.x.y" in the namespace of an attached container, from outside. */
MUST_CHECK int network_sysctl(struct container *c, const char *name, const char *value,
			      struct error *err);

/* For "Warnings" of GET /info; the caller's, or NULL. */
char *network_warning(struct engine *e);

/* For RUN steps of the builder; lives as long as the room. */
struct network_provider *network_provider_get(struct engine *e);
