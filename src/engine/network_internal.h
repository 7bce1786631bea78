/*
 * engine/network_internal.h: what the network files of this room share.
 *
 * All of it is guarded by room->lock. A network cannot go while a member is
 * active, so a plan made under the lock stays true while the kernel is asked
 * without it.
 */
#pragma once

#include "base/alloc.h"
#include "base/auto.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/str.h"
#include "base/vec.h"
#include "engine/internal.h"
#include "engine/network.h"
#include "network/ipam.h"
#include "network/network.h"
#include "store/store.h"

enum network_kind { NETWORK_BRIDGE, NETWORK_HOST, NETWORK_NONE };

struct network_pool {
	struct net_prefix subnet, gateway, range; /* gateway.addr, family 0 = none */
	struct ipam_pool *pool;                   /* NULL = family not served */
	bool user_subnet;                         /* not chosen by us */
};

struct network {
	char id[65];
	char *name;
	enum network_kind kind;
	int64_t created_ns;
	struct arena arena;
	const struct json
	    *config; /* as stored: Driver Internal Attachable EnableIPv6 IPAM Options Labels */
	bool internal, attachable, is_default;
	bool ipv6;       /* has it */
	bool ipv6_asked; /* and was made so: shown as EnableIPv6 */
	char ifname[NET_IFNAME_MAX];
	struct network_pool v4, v6;
	unsigned holds; /* of a connect or disconnect under way: it counts as used */
};

/* A container's place in one network. */
struct member {
	char *network;       /* name or id as asked for, later the id */
	struct network *net; /* while active */
	bool active;
	const struct json *settings; /* EndpointSettings as asked for; in attachment->arena */
	char endpoint_id[65];
	char ifname[NET_IFNAME_MAX];
	struct net_addr ip4, ip6;
	uint8_t mac[6];
	bool gateway; /* gives the default route and publishes the ports */
};

typedef VEC(struct net_port) port_list;

/* A container's networking. */
struct attachment {
	char id[65];
	char *name;
	char *mode; /* "bridge" (for default), "host", "none", "container:<ref>", network */
	struct arena arena;
	VEC(struct member) members;
	char key[NET_SANDBOX_KEY_MAX]; /* "" = none */
	port_list ports;               /* as taken, while attached */
	char shares[65];               /* mode container: whose sandbox */
};

struct network_room {
	struct network_provider provider;
	struct engine *engine;
	struct net *net;
	struct lock lock;
	struct map by_id;       /* -> network */
	struct map attachments; /* container id -> attachment */
	char engine_id[64];
};

/* network.c */
struct network *network_get(struct network_room *r, const char *ref, struct error *err);
struct network *network_by_name(struct network_room *r, const char *name);
void network_free(struct network *n);
bool network_in_use(struct network_room *r, const struct network *n);
/* Fill v4/v6 of n from its config, choosing subnets where none are given. */
MUST_CHECK int network_plan(struct network_room *r, struct network *n, struct error *err);
MUST_CHECK int network_realize(struct network_room *r, struct network *n, struct error *err);
MUST_CHECK int network_store(struct network_room *r, const struct network *n, struct error *err);
void network_event(struct network_room *r, const char *action, const struct network *n,
		   const char *container);
const char *network_option(const struct network *n, const char *key);
const char *network_driver(const struct network *n);

/* network_state.c */
struct attachment *attachment_get(struct network_room *r, const char *container_id);
void attachment_free(struct attachment *a);
MUST_CHECK int attachment_load(struct network_room *r, struct error *err);
MUST_CHECK int attachment_store(struct network_room *r, const struct attachment *a,
				struct error *err);
/* attachment_store; a failure is logged: the kernel's state is right all the same. */
void attachment_record(struct network_room *r, const struct attachment *a);
struct member *attachment_add_member(struct attachment *a, const char *network,
				     const struct json *settings);
/* Addresses back to their pools, no longer active. */
void member_clear(struct member *m);
/* NULL-terminated; short_id must outlive it. The array is freed by the caller. */
const char **member_names(struct container *c, const struct member *m, const char *short_id);
/* "name:alias" of the endpoint's Links; as member_names. */
const char **member_links(const struct member *m);
/* The member whose bridge is the way out: priority, then the network's name; or NULL. */
struct member *attachment_gateway(struct attachment *a);

/* network_attach.c */
MUST_CHECK int member_plan(struct network_room *r, struct container *c, struct attachment *a,
			   struct member *m, struct error *err);
MUST_CHECK int member_plug(struct network_room *r, struct container *c, struct attachment *a,
			   struct member *m, port_list *ports, struct error *err);
/* Everything out of the kernel; events only for what was in. */
void attachment_detach(struct network_room *r, struct attachment *a, bool events);

/* network_live.c */
/* Live: plug one member in, or take it out. c->op is held. */
MUST_CHECK int member_connect(struct network_room *r, struct container *c, struct attachment *a,
			      struct network *n, const struct json *settings, bool live,
			      struct error *err);
MUST_CHECK int member_disconnect(struct network_room *r, struct container *c, struct attachment *a,
				 size_t i, struct error *err);
/* network_attach.c: checks EndpointSettings for this network. */
MUST_CHECK int member_check(const struct network *n, const struct json *settings,
			    struct error *err);

/* network_files.c */
/* Text of the two files; NULL = the host's own. Owned by the caller. */
char *network_hosts_text(struct network_room *r, struct container *c, struct attachment *a);
char *network_resolv_text(struct network_room *r, struct container *c, struct attachment *a);
/* Upstream servers of a sandbox from --dns or the engine's; NULL-terminated,
 * strings borrowed from c, array freed by the caller; NULL = the host's. */
const char **network_dns_servers(struct network_room *r, struct container *c);
/* Write both again in the container's directory (it is running). */
void network_files_update(struct network_room *r, struct container *c, struct attachment *a);

/* network_step.c */
int network_step_join(struct network_provider *p, const char *mode, struct network_step *ret,
		      struct error *err);
void network_step_leave(struct network_provider *p, struct network_step *step);

/* network_ports.c */
/* "Ports" of inspect; a may be NULL. */
void network_ports_map_write(struct container *c, const struct attachment *a, struct jsonw *w);
/* The ports to publish, from HostConfig and Config. ERR_INVALID with Docker's texts. */
MUST_CHECK int network_ports_wanted(struct container *c, port_list *out, struct error *err);
/* "80/tcp" */
MUST_CHECK int network_port_parse(const char *s, uint16_t *ret_port, enum net_proto *ret_proto,
				  struct error *err);
const char *network_proto_name(enum net_proto p);
