#include "network/resolv.h"

#include "base/macros.h"
#include "tests/tap.h"

static const struct {
	const char *what, *in, *out;
	unsigned timeout_s, attempts;
} cases[] = {
	{ "the usual", "# by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a b\n",
	  "nameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a b\n", 0, 0 },
	{ "options", "options timeout:3 attempts:4 rotate\nnameserver ::1",
	  "nameserver ::1\noptions timeout:3 attempts:4 rotate\n", 3, 4 },
	{ "a zone is cut", "nameserver fe80::1%eth0\n", "nameserver fe80::1\n", 0, 0 },
	{ "the last search counts", "domain x\nsearch y\n", "search y\n", 0, 0 },
	{ "nonsense is skipped", "nameserver\nnameserver x\n;nameserver 1.1.1.1\n\tfoo bar\n", "",
	  0, 0 },
	{ "too large options", "options timeout:99999 attempts:77\n",
	  "options timeout:99999 attempts:77\n", 0, 0 },
	{ "comments behind", "nameserver 1.2.3.4 # mine\n", "nameserver 1.2.3.4\n", 0, 0 },
	{ "nothing", "", "", 0, 0 },
};

int main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(resolv) r = RESOLV_INIT;
		auto_(buf) b = BUF_INIT(65536);

		resolv_parse(cases[i].in, strlen(cases[i].in), &r);
		is_int(resolv_format(&r, &b, NULL), 0, cases[i].what);
		is_str(b.data ? b.data : "", cases[i].out, "comes out");
		is_int(r.timeout_s, cases[i].timeout_s, "timeout");
		is_int(r.attempts, cases[i].attempts, "attempts");
	}
	return tap_done();
}
