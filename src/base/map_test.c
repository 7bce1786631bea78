#include "base/map.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/random.h"
#include "tests/tap.h"

enum { MANY = 5000 };

static void test_map(void)
{
	auto_(map) m = { .free_value = free };
	char key[16], last[16] = "";
	bool ordered = true, right = true;
	long seen = 0;

	for (int i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "k%05d", i);
		map_set(&m, key, xstrdup(key));
		if (i % 3 == 0)
			right &= map_remove(&m, key);
	}
	map_for_each (e, &m) {
		ordered &= strcmp(e->key, last) > 0 && strcmp(e->key, e->value) == 0;
		snprintf(last, sizeof(last), "%s", e->key);
		seen++;
	}
	ok(ordered && right, "iteration is in the order of insertion");
	is_int(seen, (long)m.len, "each live entry once");
	is_int((long)m.len, MANY - (MANY + 2) / 3, "as many as were kept");
	ok(map_get(&m, "k00000") == NULL && !map_has(&m, "k00003"), "removed ones are gone");
	ok(!map_remove(&m, "nope"), "removing nothing");
	map_set(&m, "k00001", xstrdup("new"));
	is_str(map_get(&m, "k00001"), "new", "a replaced value");
	free(map_steal(&m, "k00002"));
	ok(!map_has(&m, "k00002") && map_steal(&m, "k00002") == NULL, "stolen once");
	map_release(&m);
	ok(m.len == 0 && map_get(&m, "k00001") == NULL, "empty after release");
	map_set(&m, "again", xstrdup("x"));
	is_str(map_get(&m, "again"), "x", "and usable again");
}

static void test_arena(void)
{
	auto_(arena) a = ARENA_INIT;
	bool aligned = true, zeroed = true;
	char *big;

	for (size_t i = 1; i < 3000; i++) {
		unsigned char *p = arena_alloc(&a, i);

		aligned &= (uintptr_t)p % _Alignof(max_align_t) == 0;
		for (size_t k = 0; k < i; k++)
			zeroed &= p[k] == 0;
		memset(p, 0xff, i);
	}
	ok(aligned, "aligned");
	ok(zeroed, "zeroed, and no two overlap");
	big = arena_array(&a, 1024, 1024);
	memset(big, 1, 1024UL * 1024);
	is_str(arena_format(&a, "%s/%d", "a", 1), "a/1", "format");
	ok(arena_strdup(&a, NULL) == NULL, "NULL gives NULL");
	is_str(arena_strndup(&a, "hello", 2), "he", "a part");
}

static void test_random(void)
{
	char a[65], b[65];

	random_hex(a, 32);
	random_hex(b, 32);
	ok(strlen(a) == 64 && strspn(a, "0123456789abcdef") == 64, "64 hex digits");
	ok(strcmp(a, b) != 0, "never the same");
}

int main(void)
{
	test_map();
	test_arena();
	test_random();
	return tap_done();
}
