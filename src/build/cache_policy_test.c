#include "build/cache_policy.h"

#include <string.h>

#include "base/clock.h"
#include "tests/tap.h"

#define GIB  (1LL << 30)
#define DISK (100 * GIB)

static int read_rules(struct arena *a, const char *text, struct cache_rules *ret, struct error *err)
{
	const struct json *j = NULL;

	if (text != NULL && json_parse(a, text, strlen(text), &j, err) < 0)
		return -ERR_SYSTEM;
	return cache_rules_read(a, j, DISK, ret, err);
}

static void defaults(void)
{
	auto_(arena) a = ARENA_INIT;
	struct cache_rules r;
	struct error err;

	is_int(read_rules(&a, NULL, &r, &err), 0, "without a configuration there are rules");
	is_int((long long)r.n, 4, "four of them");
	is_int(r.at[0].types, CACHE_MOUNT, "the first is about cache mounts");
	is_int(r.at[0].unused_ns / NS_PER_SEC, 48 * 3600, "that nobody used for two days");
	is_int(r.at[3].max_used_bytes / GIB, 80, "the last lets 80 % of the disk");
	is_int(r.at[3].all, 1, "to anything");
	is_int(read_rules(&a, "{\"gc\":{\"enabled\":false}}", &r, &err), 0,
	       "it can be switched off");
	is_int((long long)r.n, 0, "then there are none");
	is_int(read_rules(&a, "{\"gc\":{\"defaultKeepStorage\":\"20GB\"}}", &r, &err), 0,
	       "dockerd's old word");
	is_int(r.at[3].reserved_bytes / GIB, 20, "is the amount");
	is_int(r.at[3].max_used_bytes + r.at[3].min_free_bytes, 0, "and the limit");
	is_int(read_rules(&a, "{\"gc\":{\"defaultReservedSpace\":\"25%\"}}", &r, &err), 0,
	       "a part of the disk");
	is_int(r.at[2].reserved_bytes / GIB, 25, "is so much of it");
}

static void policy(void)
{
	static const char text[] =
	    "{\"gc\":{\"enabled\":true,\"policy\":["
	    "{\"keepStorage\":\"512MB\",\"filter\":[\"unused-for=2200h\",\"type==exec.cachemount\"]"
	    "},"
	    "{\"all\":true,\"reservedSpace\":\"1GB\",\"maxUsedSpace\":2147483648,"
	    "\"minFreeSpace\":\"5%\",\"keepDuration\":\"48h\"}]}}";
	auto_(arena) a = ARENA_INIT;
	struct cache_rules r;
	struct error err;

	is_int(read_rules(&a, text, &r, &err), 0, "a policy of two rules");
	is_int((long long)r.n, 2, "is two");
	is_int(r.at[0].reserved_bytes >> 20, 512, "keepStorage");
	is_int(r.at[0].unused_ns / NS_PER_SEC / 3600, 2200, "unused-for");
	is_int(r.at[0].types, CACHE_MOUNT, "type");
	is_int(r.at[1].all, 1, "all");
	is_int(r.at[1].max_used_bytes / GIB, 2, "maxUsedSpace");
	is_int(r.at[1].min_free_bytes / GIB, 5, "minFreeSpace");
	is_int(r.at[1].unused_ns / NS_PER_SEC / 3600, 48, "keepDuration");
}

static const struct {
	const char *text, *want;
} wrong[] = {
	{ "{\"history\":{}}", "builder.history is not supported yet" },
	{ "{\"gc\":[]}", "builder.gc: want an object" },
	{ "{\"gc\":{\"enable\":true}}", "builder.gc.enable is not a configuration option" },
	{ "{\"gc\":{\"enabled\":\"yes\"}}", "builder.gc.enabled: want true or false" },
	{ "{\"gc\":{\"defaultKeepStorage\":\"lots\"}}", "builder.gc.defaultKeepStorage: want" },
	{ "{\"gc\":{\"defaultKeepStorage\":\"101%\"}}", "builder.gc.defaultKeepStorage: want" },
	{ "{\"gc\":{\"defaultKeepStorage\":-1}}", "builder.gc.defaultKeepStorage: want" },
	{ "{\"gc\":{\"policy\":{}}}", "builder.gc.policy: want a list" },
	{ "{\"gc\":{\"policy\":[1]}}", "builder.gc.policy[0]: want an object" },
	{ "{\"gc\":{\"policy\":[{},{\"keep\":1}]}}",
	  "builder.gc.policy[1].keep is not a configuration option" },
	{ "{\"gc\":{\"policy\":[{\"filter\":[\"label=x\"]}]}}",
	  "builder.gc.policy[0].filter: invalid filter 'label'" },
	{ "{\"gc\":{\"policy\":[{\"filter\":[\"type=x\"]}]}}",
	  "builder.gc.policy[0].filter: invalid filter 'type=x'" },
	{ "{\"gc\":{\"policy\":[{\"filter\":[\"until=24h\"]}]}}", "until is a fixed time" },
	{ "{\"gc\":{\"policy\":[{\"keepDuration\":\"long\"}]}}", "keepDuration: want a duration" },
};

int main(void)
{
	defaults();
	policy();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		auto_(arena) a = ARENA_INIT;
		struct error err = { 0 };
		struct cache_rules r;

		ok(read_rules(&a, wrong[i].text, &r, &err) < 0 &&
		       strstr(err.msg, wrong[i].want) != NULL,
		   wrong[i].want);
	}
	return tap_done();
}
