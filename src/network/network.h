/*
 * network/network.h: the face of the room: one object that owns this engine's
 * network devices, namespaces, firewall table and name server.
 *
 * The room keeps no files of its own: engine/network.c remembers networks and
 * endpoints and tells them again after a restart (net_restore_*). What lives
 * in the kernel (namespaces, bridges, veths, nftables) survives proad.
 *
 * proad never calls setns(): a helper process, started from the same
 * executable (net_helper_main), does what must happen inside a namespace and
 * hands back sockets.
 *
 * Threads: every function may be called from any thread. One thread of the
 * room's own serves DNS and watches the firewall table and /etc/resolv.conf.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "network/addr.h"

struct net;

enum net_firewall {
	NET_FIREWALL_DNAT,    /* published ports are DNATed: they pass FORWARD, as Docker's do */
	NET_FIREWALL_RESPECT, /* a proxy accepts: the host's INPUT rules decide */
};

struct net_config {
	const char *netns_dir; /* absolute; created 0711; namespaces are bind-mounted in it */
	const char *instance;  /* [a-z0-9_]*; the table is "proa" or "proa_<instance>" */
	const char *helper;    /* executable with net_helper_main; NULL = /proc/self/exe */
	enum net_firewall firewall;
	bool ipv6;               /* most endpoints have it: namespaces are made so */
	bool no_forwarding;      /* leave net.ipv4.ip_forward alone */
	bool no_rules;           /* no firewall table at all: ports by the proxy, no masquerade */
	unsigned pool;           /* ready namespaces to keep; 0 = none */
	const char *resolv_conf; /* NULL = /etc/resolv.conf */
	const char *const
	    *dns; /* NULL-terminated upstream servers instead of the host's, or NULL */
};

/* In main(), before anything else: when argv says that this process is the
 * helper, serve it and exit; else return at once. */
void net_helper_main(int argc, char **argv);

/*
 * Start the helper and the DNS thread, turn on IP forwarding, take over the
 * firewall table. ERR_SYSTEM; a kernel without nft NAT is not an error
 * (net_has_nat tells).
 */
MUST_CHECK int net_open(const struct net_config *config, struct net **ret, struct error *err);
/* Stops helper and thread; kernel objects stay. NULL is fine. */
void net_close(struct net *n);
/* Also removes the table and the pool's namespaces: for tests and `--purge`. */
void net_close_and_clean(struct net *n);
/* false: published ports are served by the proxy, no masquerade. */
bool net_has_nat(const struct net *n);

/*
 * Does another program's table drop what is forwarded by default (dockerd sets
 * such a policy)? A drop anywhere is final in nftables, so our containers reach
 * neither each other nor the world until that program lets them.
 * out  "ip filter FORWARD": family, table, chain
 */
bool net_forward_blocker(struct net *n, char *out, size_t max);

/* A bridge network. Strings are borrowed for the call. */
struct net_bridge {
	const char *id;                      /* 64 hex */
	const char *name;                    /* for DNS: "<container>.<name>" */
	const char *ifname;                  /* at most 15 bytes */
	struct net_prefix subnet4, gateway4; /* family 0 = none; gateway4.len = subnet's */
	struct net_prefix subnet6, gateway6;
	bool internal, icc, masquerade;
	unsigned mtu;                 /* 0 = kernel's default */
	struct net_addr host_binding; /* default HostIp of publishes; family 0 = any */
	bool dns;                     /* false: the default bridge, names are not served */
};

/* Create (or adopt) the link, addresses, rules. Idempotent. */
MUST_CHECK int net_bridge_add(struct net *n, const struct net_bridge *b, struct error *err);
/* Remove the link and the rules; what is gone already is no error. */
MUST_CHECK int net_bridge_remove(struct net *n, const char *id, struct error *err);

/*
 * A sandbox: one network namespace with lo up and, while endpoints are in it,
 * the name server at 127.0.0.11.
 */
#define NET_SANDBOX_KEY_MAX 13 /* 12 hex and a NUL */
struct net_sandbox_info {
	char key[NET_SANDBOX_KEY_MAX];
	char *path; /* <netns_dir>/<key>, owned by the caller */
};
/* From the pool when one is ready. The caller records the key at once: an
 * unrecorded sandbox is removed by net_sandbox_sweep at the next start. */
MUST_CHECK int net_sandbox_new(struct net *n, struct net_sandbox_info *ret, struct error *err);
/* After a restart: ERR_NOT_FOUND when the namespace is gone (reboot). */
MUST_CHECK int net_sandbox_adopt(struct net *n, const char *key, struct error *err);
/* Write /proc/sys/net/<name> in it, "ipv4/ip_forward". */
MUST_CHECK int net_sandbox_sysctl(struct net *n, const char *key, const char *name,
				  const char *value, struct error *err);
/* With its endpoints: ports and names are gone at once, namespace and devices a
 * moment later, by another thread. Unknown keys are fine. */
void net_sandbox_remove(struct net *n, const char *key);
/* After everything that still runs was adopted: what was there when the net was opened, on bridges
 * that we made, goes: veths that are no endpoint's, as of a connect in whose middle the engine was
 * killed (their other end would keep its name and its address in a container that runs), and
 * bridges that are no network's. */
void net_link_sweep(struct net *n);
/* Remove every namespace below netns_dir that nobody adopted or made. */
void net_sandbox_sweep(struct net *n);

enum net_proto { NET_TCP = 6, NET_UDP = 17, NET_SCTP = 132 };

struct net_port {
	enum net_proto proto;
	uint16_t container_port;
	struct net_addr host_ip;  /* family 0 = any address of both families */
	uint16_t host_port;       /* in: first of the range, 0 = random; out: the one taken */
	uint16_t host_port_end;   /* last of the range, or 0 */
	struct net_addr bound[2]; /* out: what inspect shows: 0.0.0.0 and, with IPv6, :: */
	unsigned n_bound;         /* out */
};

struct net_endpoint {
	const char *bridge_id;
	const char *id;           /* 64 hex; host side is called veth<first 7> */
	struct net_addr ip4, ip6; /* family 0 = none; allocated by the caller's IPAM */
	uint8_t mac[6];
	bool default_route;         /* the sandbox's gateway is this bridge's */
	const char *const *names;   /* NULL-terminated: container name, aliases, short id */
	const char *const *links;   /* NULL-terminated "name:alias" of others, or NULL */
	const char *container_name; /* answer of PTR */
	struct net_port *ports;     /* published; outputs are filled */
	size_t n_ports;
};

/*
 * Plug an endpoint into a sandbox, publish its ports, answer for its names.
 *
 * ERR_CONFLICT "Bind for <ip>:<port> failed: port is already allocated" when a
 * port is taken; on failure nothing of the endpoint is left.
 * ret_ifname  e.g. "eth0"
 */
#define NET_IFNAME_MAX 16
MUST_CHECK int net_endpoint_add(struct net *n, const char *sandbox_key, struct net_endpoint *ep,
				char ret_ifname[static NET_IFNAME_MAX], struct error *err);
/* After a restart: the veth exists; reserve the ports, refill rules and names.
 * ep->ports hold the host ports that were taken. */
MUST_CHECK int net_endpoint_adopt(struct net *n, const char *sandbox_key, struct net_endpoint *ep,
				  const char *ifname, struct error *err);
/* Unknown ids are fine. */
void net_endpoint_remove(struct net *n, const char *sandbox_key, const char *endpoint_id);
/* Publish ports through an endpoint that has none so far; errors as net_endpoint_add. */
MUST_CHECK int net_endpoint_publish(struct net *n, const char *endpoint_id, struct net_port *ports,
				    size_t n_ports, struct error *err);
/* Change what DNS answers (rename, aliases). */
void net_endpoint_rename(struct net *n, const char *endpoint_id, const char *container_name,
			 const char *const *names);
/* Make this endpoint's bridge the default route of its sandbox (after another left). */
MUST_CHECK int net_endpoint_default_route(struct net *n, const char *sandbox_key,
					  const char *endpoint_id, struct error *err);

/* Everything the kernel and the room hold is told; write rules once and start
 * watching them. Call once after net_open and the adopts. */
MUST_CHECK int net_ready(struct net *n, struct error *err);

/* Per-sandbox upstream servers (`--dns`); NULL = the host's. */
void net_sandbox_dns(struct net *n, const char *key, const char *const *servers);

/* Bytes and packets of all interfaces but lo, for stats. */
struct net_stats {
	char ifname[NET_IFNAME_MAX];
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};
/* *ret: array of *ret_n, freed by the caller. ERR_NOT_FOUND for unknown keys. */
MUST_CHECK int net_sandbox_stats(struct net *n, const char *key, struct net_stats **ret,
				 size_t *ret_n, struct error *err);

/* What the host can route already, for pool choice: true when `p` overlaps a
 * route or an address of the host. */
MUST_CHECK int net_host_overlaps(struct net *n, const struct net_prefix *p, bool *ret,
				 struct error *err);

/*
 * How a room that may not see the engine (build) asks for a network of a RUN
 * step; engine/network.c implements it.
 */
struct network_step {
	char *netns_path;  /* NULL: the host's (mode "host") */
	char *hosts;       /* text for /etc/hosts, NUL-terminated */
	char *resolv_conf; /* text for /etc/resolv.conf */
	char token[65];    /* for leave */
};
struct network_provider {
	/* mode: "" or "default" (the default bridge), "none", "host", or a network's name. */
	int (*join)(struct network_provider *p, const char *mode, struct network_step *ret,
		    struct error *err);
	void (*leave)(struct network_provider *p, struct network_step *step); /* frees it too */
};
