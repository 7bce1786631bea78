/*
 * network/addr.h: IP addresses and prefixes as values. No I/O.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct net_addr {
	int family;    /* AF_INET, AF_INET6 or 0 = none */
	uint8_t b[16]; /* network order; IPv4 uses the first four */
};

struct net_prefix {
	struct net_addr addr;
	uint8_t len;
};

#define NET_ADDR_TEXT_MAX   46
#define NET_PREFIX_TEXT_MAX 50

/* Dotted quad or RFC 4291 text (zone ids refused). ERR_INVALID "invalid IP address: x". */
MUST_CHECK int net_addr_parse(const char *s, struct net_addr *ret, struct error *err);
/* RFC 5952 text; "" for family 0. */
void net_addr_format(const struct net_addr *a, char out[static NET_ADDR_TEXT_MAX]);
/* "10.0.0.0/8"; ERR_INVALID "invalid CIDR address: x". Host bits are kept. */
MUST_CHECK int net_prefix_parse(const char *s, struct net_prefix *ret, struct error *err);
void net_prefix_format(const struct net_prefix *p, char out[static NET_PREFIX_TEXT_MAX]);
bool net_addr_eq(const struct net_addr *a, const struct net_addr *b);
bool net_addr_is_any(const struct net_addr *a);      /* 0.0.0.0 or :: */
bool net_addr_is_loopback(const struct net_addr *a); /* 127/8 or ::1 */
bool net_prefix_contains(const struct net_prefix *p, const struct net_addr *a);
bool net_prefix_overlaps(const struct net_prefix *a, const struct net_prefix *b);
struct net_prefix net_prefix_mask(const struct net_prefix *p); /* host bits cleared */
/* Broadcast address of an IPv4 prefix; the last address of an IPv6 one. */
struct net_addr net_prefix_last(const struct net_prefix *p);
/* a + n, 128-bit wise within the family (wraps). */
struct net_addr net_addr_add(const struct net_addr *a, uint64_t n);
/* "02:42:ac:11:00:02" and back; ERR_INVALID "invalid MAC address: x" . */
#define NET_MAC_TEXT_MAX 18
MUST_CHECK int net_mac_parse(const char *s, uint8_t ret[static 6], struct error *err);
void net_mac_format(const uint8_t mac[static 6], char out[static NET_MAC_TEXT_MAX]);
/* 02:42 and the four bytes of the address, as Docker's. */
void net_mac_of_ip4(const struct net_addr *a, uint8_t ret[static 6]);
