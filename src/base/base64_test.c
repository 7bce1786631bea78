#include "base/base64.h"

#include "tests/tap.h"

static const struct {
	const char *plain, *std, *url;
} cases[] = {
	{ "", "", "" },
	{ "f", "Zg==", "Zg" },
	{ "fo", "Zm8=", "Zm8" },
	{ "foo", "Zm9v", "Zm9v" },
	{ "foob", "Zm9vYg==", "Zm9vYg" },
	{ "\xfb\xff", "+/8=", "-_8" },
};

static const char *const bad[] = { "Z", "Zg=a", "Zm 9v", "Zg===", "====", "Zm9v\n" };

int main(void)
{
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(buf) a = BUF_INIT(64), b = BUF_INIT(64), c = BUF_INIT(64), d = BUF_INIT(64);

		ok(base64_encode(&a, cases[i].plain, strlen(cases[i].plain), false, &err) == 0,
		   "encode");
		is_str(a.data ? a.data : "", cases[i].std, "standard alphabet");
		ok(base64_encode(&b, cases[i].plain, strlen(cases[i].plain), true, &err) == 0,
		   "encode for urls");
		is_str(b.data ? b.data : "", cases[i].url, "url alphabet without padding");
		is_int(base64_decode(&c, str_of(cases[i].std), &err), 0, "decode");
		is_str(c.data ? c.data : "", cases[i].plain, "and back");
		is_int(base64_decode(&d, str_of(cases[i].url), &err), 0, "decode url form");
		is_str(d.data ? d.data : "", cases[i].plain, "and back");
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		auto_(buf) b = BUF_INIT(64);

		is_int(base64_decode(&b, str_of(bad[i]), &err), -ERR_INVALID, bad[i]);
	}
	return tap_done();
}
