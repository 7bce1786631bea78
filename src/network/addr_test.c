#include "network/addr.h"

#include <arpa/inet.h>

#include "base/macros.h"
#include "tests/tap.h"

static const struct {
	const char *what, *in, *mask, *last;
} prefixes[] = {
	{ "a /16", "172.17.0.1/16", "172.17.0.0/16", "172.17.255.255" },
	{ "a /20 within a byte", "192.168.17.3/20", "192.168.16.0/20", "192.168.31.255" },
	{ "a /32", "10.0.0.7/32", "10.0.0.7/32", "10.0.0.7" },
	{ "the whole of IPv4", "1.2.3.4/0", "0.0.0.0/0", "255.255.255.255" },
	{ "a ULA", "fd00:1:2:3::9/64", "fd00:1:2:3::/64", "fd00:1:2:3:ffff:ffff:ffff:ffff" },
};

static const char *const bad_prefixes[] = {
	"",          "10.0.0.0", "10.0.0.0/33", "10.0.0/8",     "fd00::/129",      "10.0.0.0/8 ",
	"10.0.0.0/", "/8",       "10.0.0.0/-1", "10.0.0.256/8", "fe80::1%eth0/64", NULL,
};

static void test_prefixes(void)
{
	struct net_prefix p, a, b;
	char text[NET_PREFIX_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		struct net_addr last;

		is_int(net_prefix_parse(prefixes[i].in, &p, NULL), 0, prefixes[i].what);
		a = net_prefix_mask(&p);
		net_prefix_format(&a, text);
		is_str(text, prefixes[i].mask, "its mask");
		last = net_prefix_last(&p);
		net_addr_format(&last, text);
		is_str(text, prefixes[i].last, "its last address");
		ok(net_prefix_contains(&p, &last), "contains its last address");
	}
	for (size_t i = 0; bad_prefixes[i]; i++)
		is_int(net_prefix_parse(bad_prefixes[i], &p, NULL), -ERR_INVALID, bad_prefixes[i]);
	is_int(net_prefix_parse("172.16.0.0/12", &a, NULL), 0, "wide");
	is_int(net_prefix_parse("172.31.9.0/24", &b, NULL), 0, "narrow");
	ok(net_prefix_overlaps(&a, &b) && net_prefix_overlaps(&b, &a), "overlap either way round");
	is_int(net_prefix_parse("172.32.0.0/24", &b, NULL), 0, "beside");
	ok(!net_prefix_overlaps(&a, &b), "neighbours do not overlap");
	is_int(net_prefix_parse("::/0", &b, NULL), 0, "all of IPv6");
	ok(!net_prefix_overlaps(&a, &b), "families do not overlap");
}

int main(void)
{
	struct net_addr a, b;
	uint8_t mac[6];
	char text[NET_ADDR_TEXT_MAX];

	test_prefixes();
	is_int(net_addr_parse("10.0.255.255", &a, NULL), 0, "address");
	b = net_addr_add(&a, 2);
	net_addr_format(&b, text);
	is_str(text, "10.1.0.1", "addition carries");
	is_int(net_addr_parse("255.255.255.255", &a, NULL), 0, "the last of IPv4");
	b = net_addr_add(&a, 1);
	ok(net_addr_is_any(&b), "addition wraps");
	is_int(net_addr_parse("fd00::ffff:ffff:ffff:ffff", &a, NULL), 0, "IPv6");
	b = net_addr_add(&a, 0x100000001ULL);
	net_addr_format(&b, text);
	is_str(text, "fd00::1:0:1:0:0", "64-bit addition carries");
	is_int(net_addr_parse("010.0.0.1", &a, NULL), -ERR_INVALID, "octal looks are refused");
	ok(net_addr_parse("127.8.9.1", &a, NULL) == 0 && net_addr_is_loopback(&a), "127/8");
	ok(net_addr_parse("::1", &a, NULL) == 0 && net_addr_is_loopback(&a), "::1");
	ok(net_addr_parse("::2", &a, NULL) == 0 && !net_addr_is_loopback(&a), "::2 is not");

	is_int(net_mac_parse("02:42:AC:11:00:ff", mac, NULL), 0, "a MAC of either case");
	net_mac_format(mac, text);
	is_str(text, "02:42:ac:11:00:ff", "is written in lower case");
	is_int(net_mac_parse("02:42:ac:11:00", mac, NULL), -ERR_INVALID, "too short");
	is_int(net_mac_parse("02:42:ac:11:00:0g", mac, NULL), -ERR_INVALID, "not hex");
	is_int(net_mac_parse("02:42:ac:11:00:01:02", mac, NULL), -ERR_INVALID, "too long");
	is_int(net_addr_parse("172.17.0.2", &a, NULL), 0, "container address");
	net_mac_of_ip4(&a, mac);
	net_mac_format(mac, text);
	is_str(text, "02:42:ac:11:00:02", "gives Docker's MAC");
	return tap_done();
}
