/* registry/limit_test.c: who shares a bucket. */
#include "registry/limit.h"
#include "tests/tap.h"

int main(void)
{
	struct limit *l = limit_new(0.001, 2);

	ok(limit_pass(l, "10.0.0.7:1") && limit_pass(l, "10.0.0.7:2"), "a burst of two");
	ok(!limit_pass(l, "10.0.0.7:3"), "no third, from whatever port");
	ok(limit_pass(l, "10.0.0.8:3"), "another address has its own");
	ok(limit_pass(l, "[2001:db8::1]:1") && limit_pass(l, "[2001:db8:0:0:ffff::9]:1"),
	   "IPv6: two of one /64");
	ok(!limit_pass(l, "[2001:db8::abcd]:1"), "are that /64's burst");
	ok(limit_pass(l, "[2001:db8:0:1::1]:1"), "the next /64 has its own");
	ok(limit_pass(l, "[::ffff:10.0.0.1]:1") && limit_pass(l, "[::ffff:10.0.0.1]:1") &&
	       limit_pass(l, "[::ffff:10.0.0.2]:1") && !limit_pass(l, "[::ffff:10.0.0.1]:1"),
	   "an IPv4 address in IPv6 counts alone");
	limit_free(l);
	l = limit_new(0, 1);
	ok(limit_pass(l, "10.0.0.7:1") && limit_pass(l, "10.0.0.7:1"), "no limit is none");
	limit_free(l);
	return tap_done();
}
