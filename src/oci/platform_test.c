#include "oci/platform.h"

#include "tests/tap.h"

static const struct {
	const char *text, *want; /* want NULL: refused */
} parses[] = {
	{ "linux/amd64", "linux/amd64" },
	{ "linux/x86_64", "linux/amd64" },
	{ "Linux/AMD64", "linux/amd64" },
	{ "linux/amd64/v1", "linux/amd64" },
	{ "linux/amd64/v3", "linux/amd64/v3" },
	{ "linux/aarch64", "linux/arm64" },
	{ "linux/arm64/v8", "linux/arm64" },
	{ "linux/arm", "linux/arm/v7" },
	{ "linux/arm/6", "linux/arm/v6" },
	{ "linux/armhf", "linux/arm/v7" },
	{ "linux/armel", "linux/arm/v6" },
	{ "linux/i386", "linux/386" },
	{ "macos/arm64", "darwin/arm64" },
	{ "s390x", "linux/s390x" },
	{ "windows/amd64", "windows/amd64" },
	{ "nosuch", NULL },
	{ "", NULL },
	{ "linux/", NULL },
	{ "a/b/c/d", NULL },
	{ "linux/&arm", NULL },
};

static const struct {
	const char *want, *have;
	int rank; /* -1 none, 0 the same, 1 worse */
} ranks[] = {
	{ "linux/amd64", "linux/amd64", 0 },     { "linux/amd64", "linux/386", 1 },
	{ "linux/amd64", "linux/amd64/v3", -1 }, { "linux/amd64/v3", "linux/amd64", 1 },
	{ "linux/386", "linux/amd64", -1 },      { "linux/arm64", "linux/arm/v7", 1 },
	{ "linux/arm64", "linux/arm64", 0 },     { "linux/arm/v6", "linux/arm/v7", -1 },
	{ "linux/arm/v7", "linux/arm/v5", 1 },   { "linux/arm/v7", "linux/arm64", -1 },
	{ "linux/amd64", "windows/amd64", -1 },  { "linux/s390x", "linux/s390x", 0 },
};

int main(void)
{
	char text[PLATFORM_TEXT_MAX];
	struct platform p, q;
	struct error err;

	for (size_t i = 0; i < ARRAY_LEN(parses); i++) {
		int r = platform_parse(parses[i].text, &p, &err);

		is_int(r, parses[i].want ? 0 : -ERR_INVALID, parses[i].text);
		if (r < 0)
			continue;
		platform_format(&p, text);
		is_str(text, parses[i].want, "normalised");
	}
	for (size_t i = 0; i < ARRAY_LEN(ranks); i++) {
		int r = platform_parse(ranks[i].want, &p, &err);

		r = r < 0 ? r : platform_parse(ranks[i].have, &q, &err);
		is_int(r, 0, ranks[i].want);
		r = platform_rank(&p, &q);
		is_int(r > 1 ? 1 : r, ranks[i].rank, ranks[i].have);
	}
	is_int(platform_parse("foo", &p, &err), -ERR_INVALID, "an unknown word");
	is_str(err.msg, "\"foo\": unknown operating system or architecture: invalid argument",
	       "in containerd's words");
	return tap_done();
}
