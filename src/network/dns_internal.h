/*
 * network/dns_internal.h: what dns.c (sockets, names) and dns_forward.c
 * (upstream) share. All of it belongs to the lock of struct dns.
 */
#pragma once

#include <netinet/in.h>

#include "base/lock.h"
#include "base/map.h"
#include "base/vec.h"
#include "network/dns.h"
#include "network/dns_message.h"
#include "network/resolv.h"

/* What an epoll event points to. Freed by the thread between two rounds, so
 * that an event of the same round never meets freed memory. */
enum source_kind {
	SOURCE_UDP,      /* queries of a sandbox */
	SOURCE_LISTEN,   /* its TCP listener */
	SOURCE_CLIENT,   /* one TCP client */
	SOURCE_UPSTREAM, /* a UDP socket to a server */
	SOURCE_UPSTREAM_TCP,
	SOURCE_WATCH,
	SOURCE_WAKE,
};

struct dns_sandbox;

struct source {
	enum source_kind kind;
	int fd;
	bool dead;
	struct source *next; /* in the list of all, or of the dead */
	struct dns_sandbox *sandbox;
	int64_t deadline_ns; /* of TCP ones */
	/* SOURCE_CLIENT, SOURCE_UPSTREAM_TCP: a message with its two length bytes */
	uint8_t *in, *out;
	size_t in_len, out_len, out_sent;
	unsigned waiting;        /* SOURCE_CLIENT: answers to come */
	struct pending *pending; /* SOURCE_UPSTREAM_TCP */
	struct net_addr server;  /* SOURCE_UPSTREAM */
	void (*fn)(void *ctx);
	void *ctx;
};

struct dns_endpoint {
	char *id, *sandbox, *network, *network_name, *container_name;
	char **names; /* NULL-terminated, lower case */
	char **links; /* NULL-terminated "name:alias" */
	bool internal;
	struct net_addr ip4, ip6;
};

struct dns_sandbox {
	char *key;
	struct source *udp, *listen; /* NULL until dns_sandbox_add */
	struct net_addr servers[RESOLV_SERVERS_MAX];
	size_t n_servers; /* 0 = the common ones */
	unsigned clients, pending;
};

/* A query on its way upstream. */
struct pending {
	struct dns_sandbox *sandbox; /* NULL: it went away */
	struct source *client;       /* TCP client, or NULL: UDP to `from` */
	struct sockaddr_in from;
	uint8_t *query;
	size_t len, question_end;
	uint16_t client_id, id, udp_size;
	unsigned try; /* over all servers */
	struct source *upstream;
	int64_t deadline_ns;
	struct pending *next, *prev; /* by deadline */
};

#define PENDING_MAX 32768U
/* Of them: one container does not take the others'; by TCP each has a socket of its own. */
#define SANDBOX_PENDING     8192U
#define SANDBOX_PENDING_TCP 512U
#define SOCKETS_PER_SERVER  8U

struct dns {
	struct lock lock;
	int epoll, wake;
	bool started, stop; /* started: `thread` is to be joined */
	pthread_t thread;
	struct source *sources, *graveyard;
	struct map sandboxes;   /* key -> dns_sandbox */
	struct map endpoints;   /* id -> dns_endpoint */
	struct map names;       /* "network\nname" -> endpoint_list */
	struct map addresses;   /* "network\naddress" -> dns_endpoint */
	struct pending **by_id; /* 65536 */
	struct pending *first, *last;
	size_t n_pending;
	VEC(struct source *) upstreams;
	char *resolv_conf;
	struct net_addr fixed[RESOLV_SERVERS_MAX];
	size_t n_fixed;
	struct resolv resolv;
	int64_t resolv_checked_ns, resolv_mtime_ns;
	uint64_t resolv_ino, resolv_size;
	unsigned turn; /* for `rotate` and for spreading over sockets */
};

/* dns.c */
struct source *dns_source_add(struct dns *d, enum source_kind kind, int take_fd, uint32_t events);
void dns_source_kill(struct dns *d, struct source *s);
void dns_source_events(struct dns *d, struct source *s, uint32_t events);
/* Send an answer to whoever asked; the bytes' id is set by the caller. */
void dns_reply_udp(struct dns_sandbox *s, const struct sockaddr_in *to, const uint8_t *bytes,
		   size_t len);
void dns_reply_tcp(struct dns *d, struct source *client, const uint8_t *bytes, size_t len);

/* dns_forward.c */
struct dns_request {
	struct dns_sandbox *sandbox;
	struct source *client;   /* TCP, or NULL */
	struct sockaddr_in from; /* UDP */
	const uint8_t *bytes;
	size_t len;
	const struct dns_query *query;
};
/* Takes care of the answer in every case. */
void dns_forward(struct dns *d, const struct dns_request *rq);
void dns_upstream_readable(struct dns *d, struct source *s);
void dns_upstream_tcp_event(struct dns *d, struct source *s, uint32_t events);
/* Retry or fail what is late; returns ms until the next deadline, -1 = none. */
int dns_forward_tick(struct dns *d);
/* A client or a sandbox is gone. */
void dns_forward_forget(struct dns *d, const struct source *client,
			const struct dns_sandbox *sandbox);
void dns_forward_release(struct dns *d);
