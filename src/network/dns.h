/*
 * network/dns.h: the name server of user networks: one thread, one epoll, the
 * sockets of every sandbox.
 *
 * Names of a sandbox's own networks are answered here; others go to the host's
 * servers from the host's namespace, unless all networks of the sandbox are
 * internal: then they do not exist (NXDOMAIN), and nothing leaves.
 *
 * The thread also watches fds for the rest of the room (dns_watch).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "network/addr.h"

struct dns;

/* servers: NULL-terminated addresses instead of resolv_conf's, or NULL. */
MUST_CHECK int dns_open(const char *resolv_conf, const char *const *servers, struct dns **ret,
			struct error *err);
void dns_close(struct dns *d); /* ends the thread; closes all sockets; NULL is fine */

/* Call fn(ctx) in the thread whenever fd is readable; fd is borrowed until dns_close. */
MUST_CHECK int dns_watch(struct dns *d, int fd, void (*fn)(void *ctx), void *ctx,
			 struct error *err);

/* Non-blocking sockets of a sandbox; owned from now on, also on failure. */
MUST_CHECK int dns_sandbox_add(struct dns *d, const char *key, int take_udp, int take_tcp,
			       struct error *err);
void dns_sandbox_remove(struct dns *d, const char *key);
/* Upstream servers of one sandbox; NULL = the common ones. May come before _add. */
void dns_sandbox_servers(struct dns *d, const char *key, const char *const *servers);

struct dns_endpoint_spec {
	const char *id;      /* 64 hex */
	const char *sandbox; /* key */
	const char *network; /* id */
	const char *network_name;
	bool internal;
	struct net_addr ip4, ip6; /* family 0 = none */
	const char *container_name;
	const char *const *names; /* NULL-terminated, besides container_name */
	const char *const *links; /* NULL-terminated "name:alias": what this sandbox calls others */
};
/* Replaces one of the same id. Strings are copied. */
void dns_endpoint_set(struct dns *d, const struct dns_endpoint_spec *spec);
void dns_endpoint_remove(struct dns *d, const char *id);
/* Other names for an endpoint; unknown ids are fine. */
void dns_endpoint_rename(struct dns *d, const char *id, const char *container_name,
			 const char *const *names);
