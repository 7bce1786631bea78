#include "network/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static unsigned addr_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

int net_addr_parse(const char *s, struct net_addr *ret, struct error *err)
{
	struct net_addr a = { 0 };

	if (s && inet_pton(AF_INET, s, a.b) == 1)
		a.family = AF_INET;
	else if (s && inet_pton(AF_INET6, s, a.b) == 1)
		a.family = AF_INET6;
	else
		return error_set(err, ERR_INVALID, "invalid IP address: %s", s ? s : "");
	*ret = a;
	return 0;
}

void net_addr_format(const struct net_addr *a, char out[static NET_ADDR_TEXT_MAX])
{
	out[0] = '\0';
	if (a->family != 0 && !inet_ntop(a->family, a->b, out, NET_ADDR_TEXT_MAX))
		out[0] = '\0';
}

int net_prefix_parse(const char *s, struct net_prefix *ret, struct error *err)
{
	char text[NET_ADDR_TEXT_MAX];
	const char *slash = s ? strchr(s, '/') : NULL;
	struct net_prefix p;
	uint64_t len;

	if (!slash || (size_t)(slash - s) >= sizeof(text))
		return error_set(err, ERR_INVALID, "invalid CIDR address: %s", s ? s : "");
	memcpy(text, s, (size_t)(slash - s));
	text[slash - s] = '\0';
	if (net_addr_parse(text, &p.addr, NULL) < 0 ||
	    parse_u64(str_of(slash + 1), addr_bits(p.addr.family), &len, NULL) < 0)
		return error_set(err, ERR_INVALID, "invalid CIDR address: %s", s);
	p.len = (uint8_t)len;
	*ret = p;
	return 0;
}

void net_prefix_format(const struct net_prefix *p, char out[static NET_PREFIX_TEXT_MAX])
{
	char text[NET_ADDR_TEXT_MAX];

	net_addr_format(&p->addr, text);
	out[0] = '\0';
	if (text[0])
		snprintf(out, NET_PREFIX_TEXT_MAX, "%s/%u", text, p->len);
}

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
	return a->family == b->family && memcmp(a->b, b->b, addr_bits(a->family) / 8) == 0;
}

bool net_addr_is_any(const struct net_addr *a)
{
	static const uint8_t zero[16];

	return a->family != 0 && memcmp(a->b, zero, addr_bits(a->family) / 8) == 0;
}

bool net_addr_is_loopback(const struct net_addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (a->family == AF_INET)
		return a->b[0] == 127;
	return a->family == AF_INET6 && memcmp(a->b, one, sizeof(one)) == 0;
}

/* True when the first `bits` bits are the same. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return rest == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

bool net_prefix_contains(const struct net_prefix *p, const struct net_addr *a)
{
	return p->addr.family != 0 && p->addr.family == a->family &&
	       same_bits(p->addr.b, a->b, p->len);
}

bool net_prefix_overlaps(const struct net_prefix *a, const struct net_prefix *b)
{
	return a->addr.family != 0 && a->addr.family == b->addr.family &&
	       same_bits(a->addr.b, b->addr.b, a->len < b->len ? a->len : b->len);
}

struct net_prefix net_prefix_mask(const struct net_prefix *p)
{
	struct net_prefix m = *p;

	for (unsigned i = p->len; i < addr_bits(p->addr.family); i++)
		m.addr.b[i / 8] &= (uint8_t) ~(0x80U >> (i % 8));
	return m;
}

struct net_addr net_prefix_last(const struct net_prefix *p)
{
	struct net_addr a = p->addr;

	for (unsigned i = p->len; i < addr_bits(a.family); i++)
		a.b[i / 8] |= (uint8_t)(0x80U >> (i % 8));
	return a;
}

struct net_addr net_addr_add(const struct net_addr *a, uint64_t n)
{
	struct net_addr sum = *a;
	uint64_t carry = n;

	for (int i = (int)addr_bits(a->family) / 8 - 1; i >= 0 && carry != 0; i--) {
		uint64_t low = (carry & 0xff) + sum.b[i];

		sum.b[i] = (uint8_t)low;
		carry = (carry >> 8) + (low >> 8);
	}
	return sum;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int net_mac_parse(const char *s, uint8_t ret[static 6], struct error *err)
{
	uint8_t mac[6];
	bool good = s && strlen(s) == 17;

	for (int i = 0; good && i < 6; i++) {
		int hi = hex_digit(s[i * 3]), lo = hex_digit(s[i * 3 + 1]);
		char sep = s[i * 3 + 2];

		good = hi >= 0 && lo >= 0 && (i == 5 ? sep == '\0' : sep == ':' || sep == '-');
		mac[i] = (uint8_t)(hi * 16 + lo);
	}
	if (!good)
		return error_set(err, ERR_INVALID, "invalid MAC address: %s", s ? s : "");
	memcpy(ret, mac, sizeof(mac));
	return 0;
}

void net_mac_format(const uint8_t mac[static 6], char out[static NET_MAC_TEXT_MAX])
{
	snprintf(out, NET_MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
}

void net_mac_of_ip4(const struct net_addr *a, uint8_t ret[static 6])
{
	ret[0] = 0x02;
	ret[1] = 0x42;
	memcpy(ret + 2, a->b, 4);
}
