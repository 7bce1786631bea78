#include "api/call.h"

#include "tests/tap.h"

static const struct {
	const char *pattern, *path;
	bool want;
	const char *arg;
} cases[] = {
	{ "/_ping", "/_ping", true, "" },
	{ "/_ping", "/_ping/", false, "" },
	{ "/_ping", "/_pin", false, "" },
	{ "/containers/*/json", "/containers/abc/json", true, "abc" },
	{ "/containers/*/json", "/containers/a/b/json", false, "" },
	{ "/containers/*/json", "/containers//json", false, "" },
	{ "/containers/**", "/containers/parent/alias", true, "parent/alias" },
	{ "/containers/*", "/containers/abc", true, "abc" },
	{ "/containers/*", "/containers/", false, "" },
	{ "/images/**/json", "/images/busybox/json", true, "busybox" },
	{ "/images/**/push", "/images/127.0.0.1:5991/api/bb/push", true, "127.0.0.1:5991/api/bb" },
	{ "/images/**/json", "/images/json/json", true, "json" },
	{ "/images/**/json", "/images/a/json/json", true, "a/json" },
	{ "/images/**/json", "/images/json", false, "" },
	{ "/images/**", "/images/a/b:1", true, "a/b:1" },
	{ "/images/**", "/images/", false, "" },
	{ "/networks/", "/networks/", true, "" },
	{ "/swarm/**", "/swarm", false, "" },
};

int main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		auto_(arena) a = ARENA_INIT;
		const char *args[API_ARGS_MAX] = { "", "" };
		char what[128];

		snprintf(what, sizeof(what), "%s for %s", cases[i].path, cases[i].pattern);
		is_int(route_match(cases[i].pattern, cases[i].path, &a, args), cases[i].want, what);
		if (cases[i].want)
			is_str(args[0], cases[i].arg, "its wildcard");
	}
	return tap_done();
}
