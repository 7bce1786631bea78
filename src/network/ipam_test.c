#include "network/ipam.h"

#include "base/macros.h"
#include "base/vec.h"
#include "tests/tap.h"

static struct net_prefix prefix(const char *s)
{
	struct net_prefix p = { 0 };

	if (s && net_prefix_parse(s, &p, NULL) < 0)
		printf("Bail out! %s\n", s);
	return p;
}

static const char *next(struct ipam_pool *p)
{
	static char text[NET_ADDR_TEXT_MAX];
	struct net_addr a;

	if (ipam_next(p, &a, NULL) < 0)
		return "none";
	net_addr_format(&a, text);
	return text;
}

static void test_small(void)
{
	struct net_prefix s = prefix("10.9.8.0/29");
	struct ipam_pool *p = ipam_pool_new(&s, NULL);
	struct net_addr a = prefix("10.9.8.1/32").addr;
	struct net_addr out = prefix("10.9.9.1/32").addr;

	is_int(ipam_take(p, &a, NULL), 0, "the gateway is taken by hand");
	is_int(ipam_take(p, &a, NULL), -ERR_CONFLICT, "and only once");
	is_int(ipam_take(p, &out, NULL), -ERR_INVALID, "an address outside is refused");
	is_str(next(p), "10.9.8.2", "the first after it");
	is_str(next(p), "10.9.8.3", "goes on");
	a = prefix("10.9.8.2/32").addr;
	ipam_give_back(p, &a);
	is_str(next(p), "10.9.8.4", "a freed address rests");
	is_str(next(p), "10.9.8.5", "goes on");
	is_str(next(p), "10.9.8.6", "up to the last before broadcast");
	is_str(next(p), "10.9.8.2", "then the freed one");
	is_str(next(p), "none", "and the pool is empty");
	a = prefix("10.9.8.4/32").addr;
	ipam_give_back(p, &a);
	is_str(next(p), "10.9.8.4", "what comes back is found");
	ipam_pool_free(p);
}

static void test_range(void)
{
	struct net_prefix s = prefix("10.0.0.0/16"), r = prefix("10.0.5.0/30");
	struct ipam_pool *p = ipam_pool_new(&s, &r);
	struct net_addr a = prefix("10.0.9.9/32").addr;

	is_int(ipam_take(p, &a, NULL), 0, "outside the range by hand");
	is_str(next(p), "10.0.5.0", "the range's first is an ordinary address");
	is_str(next(p), "10.0.5.1", "2nd");
	is_str(next(p), "10.0.5.2", "3rd");
	is_str(next(p), "10.0.5.3", "so is its last");
	is_str(next(p), "none", "no more than the range");
	ipam_pool_free(p);

	s = prefix("fd00::/64");
	p = ipam_pool_new(&s, NULL);
	is_str(next(p), "fd00::1", "IPv6 starts at 1");
	ipam_pool_free(p);
	s = prefix("10.1.1.0/31");
	p = ipam_pool_new(&s, NULL);
	is_str(next(p), "10.1.1.0", "a /31 has two addresses");
	is_str(next(p), "10.1.1.1", "both usable");
	is_str(next(p), "none", "not three");
	ipam_pool_free(p);
}

struct taken {
	VEC(struct net_prefix) list;
};

static int overlaps(void *ctx, const struct net_prefix *p, bool *ret, struct error *err)
{
	struct taken *t = ctx;

	(void)err;
	*ret = false;
	vec_for_each (q, &t->list)
		*ret |= net_prefix_overlaps(q, p);
	return 0;
}

static void test_choose(void)
{
	static const struct {
		int at;
		const char *want;
	} cases[] = {
		{ 0, "172.17.0.0/16" },     { 1, "172.18.0.0/16" },   { 3, "172.20.0.0/16" },
		{ 14, "172.31.0.0/16" },    { 15, "192.168.0.0/20" }, { 16, "192.168.16.0/20" },
		{ 30, "192.168.240.0/20" },
	};
	struct taken t = { 0 };
	struct net_prefix p;
	char text[NET_PREFIX_TEXT_MAX];
	size_t c = 0;

	for (int i = 0; i < 31; i++) {
		if (ipam_choose(ipam_default_blocks, ipam_n_default_blocks, overlaps, &t, &p,
				NULL) < 0)
			break;
		if (c < ARRAY_LEN(cases) && cases[c].at == i) {
			net_prefix_format(&p, text);
			is_str(text, cases[c++].want, "the default pools come in Docker's order");
		}
		*vec_push(&t.list) = p;
	}
	is_int((long long)t.list.len, 31, "31 networks fit");
	is_int(ipam_choose(ipam_default_blocks, ipam_n_default_blocks, overlaps, &t, &p, NULL),
	       -ERR_UNAVAILABLE, "the 32nd does not");
	vec_release(&t.list);
}

int main(void)
{
	struct net_prefix a = ipam_ula("one", "x"), b = ipam_ula("one", "y");
	struct net_prefix c = ipam_ula("one", "x"), ula = prefix("fd00::/8");

	test_small();
	test_range();
	test_choose();
	ok(net_prefix_contains(&ula, &a.addr), "a ULA is in fd00::/8");
	ok(net_addr_eq(&a.addr, &c.addr), "the same seed gives the same ULA");
	ok(!net_addr_eq(&a.addr, &b.addr), "another seed another one");
	ok(memcmp(a.addr.b, b.addr.b, 6) == 0, "with the engine's prefix in common");
	return tap_done();
}
