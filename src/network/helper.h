/*
 * network/helper.h: the process that enters network namespaces so that proad's
 * threads never have to.
 *
 * Started from the same executable; speaks one request, one answer over a
 * SOCK_SEQPACKET pair and leaves when the other side closes. It opens sockets
 * inside a namespace and hands them back; what is done with them is decided
 * here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/lock.h"

struct helper {
	char *program;
	struct lock lock; /* one exchange at a time */
	int sock;         /* FD_NONE: not running */
};

/* program: an executable whose main calls net_helper_main. Starts at once. */
MUST_CHECK int helper_open(struct helper *h, const char *program, struct error *err);
void helper_close(struct helper *h);

/* A namespace's handles, owned by the caller. */
struct helper_netns {
	int ns_fd;      /* O_RDONLY of the bind mount */
	int netlink_fd; /* NETLINK_ROUTE socket inside */
};
/*
 * A new namespace with lo up, bind-mounted at path (which must not exist);
 * IPv6 on or off on later links, no router advertisements.
 */
MUST_CHECK int helper_create(struct helper *h, const char *path, bool ipv6,
			     struct helper_netns *ret, struct error *err);
/* One that exists. ERR_NOT_FOUND when path is absent or no namespace. */
MUST_CHECK int helper_enter(struct helper *h, const char *path, struct helper_netns *ret,
			    struct error *err);

struct helper_dns {
	int udp, tcp; /* bound to 127.0.0.11, tcp listens; non-blocking */
	int nft;      /* NETLINK_NETFILTER socket inside, or FD_NONE */
	uint16_t udp_port, tcp_port;
};
/* Name-server sockets. port 0: any free one. ERR_CONFLICT when port is taken. */
MUST_CHECK int helper_dns(struct helper *h, int ns_fd, uint16_t port, struct helper_dns *ret,
			  struct error *err);
/* Write /proc/sys/net/<name> inside. name: "ipv6/conf/eth0/disable_ipv6". */
MUST_CHECK int helper_sysctl(struct helper *h, int ns_fd, const char *name, const char *value,
			     struct error *err);
