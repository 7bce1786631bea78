/* Outputs and caches as a client says them: lines "out|from|to TYPE KEY=VALUE,...". */
#include <stdint.h>
#include <string.h>

#include "build/cache_places.h"
#include "build/outputs.h"

#define PAIRS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_attrs(struct arena *a, struct str text, struct build_place *ret)
{
	struct plan_pair *pairs = arena_array(a, PAIRS_MAX, sizeof(*pairs));
	struct str field;

	ret->attrs = pairs;
	while (ret->n_attrs < PAIRS_MAX && str_split(&text, ',', &field)) {
		ptrdiff_t eq = str_find(field, '=');
		size_t n = eq < 0 ? field.len : (size_t)eq;

		/* JSON may have null for a value. */
		pairs[ret->n_attrs++] = (struct plan_pair){
			arena_strndup(a, field.at, n),
			eq < 0 ? NULL : arena_strndup(a, field.at + n + 1, field.len - n - 1),
		};
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = { (const char *)data, size }, line;

	while (str_split(&rest, '\n', &line)) {
		auto_(arena) a = ARENA_INIT;
		struct build_place p = { .fd = FD_NONE };
		struct build_request q = { 0 };
		struct str verb = { 0 }, type = { 0 };

		(void)!str_split(&line, ' ', &verb);
		(void)!str_split(&line, ' ', &type);
		p.type = arena_strndup(&a, type.len ? type.at : "", type.len);
		p.fd = str_ends(verb, "+") ? 3 : FD_NONE;
		read_attrs(&a, line, &p);
		q.outputs = q.cache_from = q.cache_to = &p;
		q.n_outputs = str_starts(verb, "out");
		q.n_cache_from = str_starts(verb, "from");
		q.n_cache_to = str_starts(verb, "to");
		(void)!outputs_check(&q, NULL);
		(void)!caches_check(&q, NULL);
		(void)outputs_want_image(&q);
		(void)outputs_keep_image(&q);
		(void)caches_want_all(&q);
	}
	return 0;
}
