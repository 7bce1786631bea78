#include "engine/idmap.h"

#include <stdio.h>
#include <string.h>

#include "tests/tap.h"

static const struct {
	const char *spec, *want; /* NULL: refused */
} specs[] = {
	{ "uids=0-1000-1;gids=0-1001-2", "u 0-1000-1 g 0-1001-2" },
	{ "uids=0-1-10#10-11-10", "u 0-1-10 10-11-10 g 0-1-10 10-11-10" },
	{ "gids=3-4-1", "u 3-4-1 g 3-4-1" },
	{ "uids=@1000-5-1", "u 1000-100005-1 g 1000-100005-1" },
	{ "uids=@1000-2000-1", NULL },
	{ "uids=@1000-99-2", NULL },
	{ "", NULL },
	{ "uids=", NULL },
	{ "uids=1-2", NULL },
	{ "uids=1-2-3-4", NULL },
	{ "uids=1-2-0", NULL },
	{ "uids=-1-2-3", NULL },
	{ "uids=1-4294967294-3", NULL },
	{ "uids=4294967296-1-1", NULL },
	{ "uids=1-2-3;uids=1-2-3", NULL },
	{ "pids=1-2-3", NULL },
	{ "uids=1-2-3,gids=1-2-3", NULL },
};

static void show(char *out, size_t size, const struct id_map *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + strlen(out), size - strlen(out), " %u-%u-%u", m[i].container,
			 m[i].host, m[i].size);
}

static void test_specs(void)
{
	struct id_map base[] = { { 0, 100000, 100 } };
	struct id_maps outer = { base, base, 1, 1 };

	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		auto_(arena) a = ARENA_INIT;
		char text[256] = "u";
		struct id_maps m;
		int r = idmap_parse(&a, specs[i].spec, &outer, &m, NULL);

		if (specs[i].want == NULL) {
			snprintf(text, sizeof(text), "'%s' is refused", specs[i].spec);
			ok(r == -(int)ERR_INVALID, text);
			continue;
		}
		is_int(r, 0, specs[i].spec);
		show(text, sizeof(text), m.uids, m.n_uids);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " g");
		show(text, sizeof(text), m.gids, m.n_gids);
		is_str(text, specs[i].want, "its ids");
	}
}

static void test_auto(void)
{
	static const char *const bad[] = { "auto:size=0",           "auto:size=-1",
					   "auto:size=99999999999", "auto:x",
					   "auto:uidmapping=1:2",   "auto:uidmapping=1-2-3",
					   "auto:size=1,,size=2" };
	auto_(arena) a = ARENA_INIT;
	struct userns_request q;

	is_int(userns_parse(&a, "auto", &q, NULL), 0, "auto");
	ok(q.size == 0 && q.extra.n_uids == 0, "nothing asked for");
	is_int(userns_parse(&a, "auto:size=70000,uidmapping=1:2:3,gidmapping=4:5:6", &q, NULL), 0,
	       "all options");
	ok(q.size == 70000 && q.extra.n_uids == 1 && q.extra.uids[0].host == 2 &&
	       q.extra.n_gids == 1 && q.extra.gids[0].size == 6,
	   "their values");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ok(userns_parse(&a, bad[i], &q, NULL) < 0, bad[i]);
}

static void test_fit(void)
{
	const struct id_range pool[] = { { 100, 50 }, { 1000, 100 } };
	const struct id_range used[] = { { 1000, 10 }, { 120, 10 }, { 100, 10 } };
	uint32_t at = 0;

	ok(idmap_fit(pool, 2, used, 0, 50, &at) && at == 100,
	   "the first range when nothing is used");
	ok(idmap_fit(pool, 2, used, 3, 10, &at) && at == 110, "a gap that fits exactly");
	ok(idmap_fit(pool, 2, used, 3, 20, &at) && at == 130, "behind the last of the range");
	ok(idmap_fit(pool, 2, used, 3, 90, &at) && at == 1010, "in the next range");
	ok(!idmap_fit(pool, 2, used, 3, 91, &at), "one too many");
	ok(!idmap_fit(pool, 2, used, 3, UINT32_MAX, &at), "no overflow");
}

int main(void)
{
	test_specs();
	test_auto();
	test_fit();
	return tap_done();
}
