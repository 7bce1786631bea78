#include "base/idmap.h"

#include "base/macros.h"
#include "tests/tap.h"

int main(void)
{
	const struct id_map maps[] = { { 0, 100000, 10 }, { 10, 1000, 1 }, { 20, 4294967290U, 5 } };
	static const struct {
		uint32_t inside;
		bool known;
		uint32_t outside;
	} cases[] = {
		{ 0, true, 100000 },       { 9, true, 100009 }, { 10, true, 1000 },
		{ 11, false, 0 },          { 19, false, 0 },    { 20, true, 4294967290U },
		{ 24, true, 4294967294U }, { 25, false, 0 },    { 4294967295U, false, 0 },
	};
	uint32_t id;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool known = id_map_out(maps, ARRAY_LEN(maps), cases[i].inside, &id);

		ok(known == cases[i].known && (!known || id == cases[i].outside), "an id inside");
		if (known)
			is_int(id_map_in(maps, ARRAY_LEN(maps), id), cases[i].inside, "and back");
	}
	is_int(id_map_in(maps, ARRAY_LEN(maps), 0), 65534, "the machine's root is nobody inside");
	is_int(id_map_root(maps, ARRAY_LEN(maps)), 100000, "root inside");
	is_int(id_map_root(maps + 1, 2), 65534, "no root inside");
	return tap_done();
}
